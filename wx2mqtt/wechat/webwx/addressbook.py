"""The people of a login: the address book page by page, single ones on demand (webwx 2.8, 2.9, 4.5)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence

import structlog

from wx2mqtt.errors import GatewayError
from wx2mqtt.model import Contact, Handle, Member
from wx2mqtt.wechat.fields import Entry, number, text
from wx2mqtt.wechat.gateway import Progress
from wx2mqtt.wechat.http import BadAnswer
from wx2mqtt.wechat.webwx import requests, responses
from wx2mqtt.wechat.webwx.channel import Channel
from wx2mqtt.wechat.webwx.codes import FILE_HELPER
from wx2mqtt.wechat.webwx.contacts import contact, file_helper, is_group, owner_contact
from wx2mqtt.wechat.webwx.requests import BATCH
from wx2mqtt.wechat.webwx.responses import ContactPage
from wx2mqtt.wechat.webwx.roster import Roster

log = structlog.get_logger(__name__)

PAGES = 40  # the official client stops after 17
EMPTY_TRIES = 3  # the list is empty right after some logins (webwx 2.8)
PAUSE = 2.0  # seconds before an empty list is asked for again
MEMBERS = 2500  # in one answer; each costs a kilobyte while it is read
UNKNOWN_SIZE = 50  # members of a group that has not said how many
STEPS = (10, 5, 1)  # a slice that fails is asked for again in smaller ones (webwx 2.9)
FAILURES = 10  # calls in a row, until it is the server and not a name
PATIENCE = 5.0  # seconds that messages wait for a name
ASK_AGAIN = 600.0  # seconds until somebody who stayed unknown is asked for again
DOUBTS = 3  # times that a group is looked up whose name or list is said to be another, until it answers
DOUBT_AGAIN = 10.0  # seconds between them
ASKED = 2048  # names that are remembered for it


class AddressBook:
    """What is learned goes into the roster as well, which names senders."""

    def __init__(self, channel: Channel, roster: Roster, known: Sequence[Entry]) -> None:
        self._channel = channel
        self._timing = channel.timing
        self._roster = roster
        self._asked: OrderedDict[str, float] = OrderedDict()
        self._unread = 0
        self._sizes: dict[str, int] = {}
        self._doubted: dict[str, int] = {}
        self._known = self._readable(known)

    def take_unread(self) -> int:
        """How many entries could not be read since this was asked last."""
        unread, self._unread = self._unread, 0
        return unread

    async def pages(self, progress: Progress) -> AsyncGenerator[tuple[Contact, ...], None]:
        """Everybody, groups last and with their members; each once."""
        seen: set[Handle] = set()
        groups: OrderedDict[str, Contact | None] = OrderedDict()
        async for found in self._listed():
            page = self._fresh(found, seen)
            groups.update((one.handle, one) for one in page if is_group(one.handle))
            yield self._learned([one for one in page if not is_group(one.handle)])
            progress(len(seen))
        for name in self._channel.session.chats:
            if is_group(name) and name not in seen:
                groups.setdefault(name, None)
                seen.add(Handle(name))
        async for page in self._with_members(groups):
            yield self._learned(page)
            progress(len(seen))

    def doubt(self, groups: Iterable[str]) -> None:
        """What is known of these is old: they are looked up again, with whoever is looked up next."""
        self._doubted.update((group, DOUBTS) for group in groups)

    async def look_up(self, names: Iterable[str]) -> tuple[Contact, ...]:
        """Up to 50 of these people and groups, each asked for once in a while. Failing, it knows nobody."""
        now = self._timing.monotonic()
        wanted = [name for name in dict.fromkeys([*self._doubted, *names]) if self._may_ask(name, now)]
        if not wanted:
            return ()
        for name in wanted[:BATCH]:
            self._note_asked(name, now)
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._asked_for(wanted[:BATCH])
        except (GatewayError, TimeoutError) as why:
            # What failed here shows in the next poll as well; a message must not wait for a name.
            log.info("people not looked up", count=len(wanted), reason=str(why))
            return ()
        for one in found:
            self._doubted.pop(one.handle, None)
        return self._learned(found)

    async def members(self, group: Handle) -> tuple[Member, ...]:
        """Who is in a group now. The roster does not learn it: its next list tells who came and went."""
        found = await self._asked_for([group])
        return next((one.members for one in found if one.handle == group and one.members), ())

    async def _listed(self) -> AsyncIterator[list[Contact]]:
        """The pages of the address book, and then those whom only webwxinit named."""
        seq, earlier = 0, {0}
        for _ in range(PAGES):
            page = await self._page(seq)
            self._unread += page.unread
            yield self._readable(page.contacts)
            seq = page.next_seq
            if seq in earlier:
                break
            earlier.add(seq)
        yield [*self._known, owner_contact(self._channel.session.owner), file_helper()]

    async def _page(self, seq: int) -> ContactPage:
        for _ in range(EMPTY_TRIES - 1):
            page = await self._asked_page(seq)
            if page.contacts or seq:
                return page
            await self._timing.sleep(PAUSE)
        return await self._asked_page(seq)

    async def _asked_page(self, seq: int) -> ContactPage:
        channel = self._channel
        request = requests.get_contact(channel.site, channel.session, seq, self._timing.now)
        return responses.contact_page(await channel.ask(request))

    async def _with_members(self, groups: OrderedDict[str, Contact | None]) -> AsyncIterator[list[Contact]]:
        for slice_ in self._portions(groups):
            found = {one.handle: one for one in await self._slice(slice_)}
            yield [one for name in slice_ if (one := found.get(Handle(name)) or groups[name]) is not None]

    def _portions(self, names: Iterable[str]) -> Iterator[list[str]]:
        """At most 50 groups, and no more than a few thousand members, which would cost too much memory."""
        portion: list[str] = []
        members = 0
        for name in names:
            size = self._sizes.get(name) or UNKNOWN_SIZE
            if portion and (len(portion) == BATCH or members + size > MEMBERS):
                yield portion
                portion, members = [], 0
            portion.append(name)
            members += size
        if portion:
            yield portion

    async def _slice(self, names: list[str]) -> list[Contact]:
        """These groups; what fails together is asked for in ever smaller steps, and at last left out."""
        found: list[Contact] = []
        failures = 0
        waiting = [names]
        while waiting:
            part = waiting.pop()
            try:
                found += await self._asked_for(part)
                failures = 0
            except BadAnswer:
                failures += 1
                if failures >= FAILURES:
                    raise
                waiting += self._smaller(part)
        return found

    def _smaller(self, part: list[str]) -> list[list[str]]:
        if len(part) == 1:
            self._unread += 1
            log.warning("group cannot be read")
            return []
        size = next(size for size in STEPS if size < len(part))
        return list(_slices(part, size))[::-1]

    async def _asked_for(self, names: Sequence[str]) -> list[Contact]:
        channel = self._channel
        request = requests.batch_get(channel.site, channel.session, names, self._timing.now)
        entries, unread = responses.contact_list(await channel.ask(request))
        self._unread += unread
        return self._readable(entries)

    def _readable(self, entries: Sequence[Entry]) -> list[Contact]:
        owner = self._channel.session.handle
        self._unread += sum(not text(entry, "UserName") for entry in entries)
        for entry in entries:
            if is_group(text(entry, "UserName")):
                self._sizes[text(entry, "UserName")] = number(entry, "MemberCount")
        return [found for entry in entries if (found := contact(entry, owner)) is not None]

    def _fresh(self, found: list[Contact], seen: set[Handle]) -> list[Contact]:
        fresh = []
        for one in found:
            if one.handle not in seen:
                seen.add(one.handle)
                fresh.append(one)
        return fresh

    def _learned(self, contacts: list[Contact]) -> tuple[Contact, ...]:
        self._roster.learn(contacts)
        return tuple(contacts)

    def _may_ask(self, name: str, now: float) -> bool:
        asked = self._asked.get(name)
        again = DOUBT_AGAIN if name in self._doubted else ASK_AGAIN
        return name != FILE_HELPER and (asked is None or now - asked >= again)

    def _note_asked(self, name: str, now: float) -> None:
        self._asked.pop(name, None)
        self._asked[name] = now
        if len(self._asked) > ASKED:
            self._asked.popitem(last=False)
        if name in self._doubted:
            self._doubted[name] -= 1
            if not self._doubted[name]:
                del self._doubted[name]


def _slices(names: list[str], size: int) -> Iterator[list[str]]:
    return (names[at : at + size] for at in range(0, len(names), size))
