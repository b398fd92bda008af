"""The contacts of a login: the address book page by page, single contacts on demand (webwx 2.8, 2.9, 4.5)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence

import structlog

from wx2mqtt.errors import BackendError
from wx2mqtt.model import Contact, Handle, Member
from wx2mqtt.wechat.backend import OnProgress
from wx2mqtt.wechat.http import BadAnswer
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_text
from wx2mqtt.wechat.webwx.client import ApiClient
from wx2mqtt.wechat.webwx.groups import GroupMembers
from wx2mqtt.wechat.webwx.protocol import requests, responses
from wx2mqtt.wechat.webwx.protocol.codes import FILE_HELPER
from wx2mqtt.wechat.webwx.protocol.contacts import file_helper_contact, is_group, owner_contact, read_contact
from wx2mqtt.wechat.webwx.protocol.requests import MAX_NAMES_PER_CALL
from wx2mqtt.wechat.webwx.protocol.responses import ContactPage

log = structlog.get_logger(__name__)

MAX_CONTACT_PAGES = 40  # the official client stops after 17
MAX_EMPTY_ATTEMPTS = 3  # the list is empty right after some logins (webwx 2.8.7)
EMPTY_RETRY_SECONDS = 2.0  # seconds before an empty list is asked for again
MAX_MEMBERS_PER_CALL = 2500  # in one answer; each costs a kilobyte while it is read
ASSUMED_GROUP_SIZE = 50  # members of a group that has not said how many
BATCH_SIZES = (10, 5, 1)  # a slice that fails is asked for again in smaller ones (webwx 2.9.7)
MAX_CONSECUTIVE_FAILURES = 10  # calls in a row, until it is the server and not a name
NAME_LOOKUP_TIMEOUT_SECONDS = 5.0  # seconds that messages wait for a name
UNKNOWN_RETRY_SECONDS = 600.0  # seconds until somebody who stayed unknown is asked for again
MAX_GROUP_REFRESHES = (
    3  # times that a group is looked up whose name or list is said to be another, until it answers
)
GROUP_REFRESH_SECONDS = 10.0  # seconds between them
LOOKUP_CACHE_SIZE = 2048  # names that are remembered for it


class ContactList:
    """What is learned goes into the roster as well, which names senders."""

    def __init__(self, client: ApiClient, group_members: GroupMembers, initial: Sequence[JsonObject]) -> None:
        self._client = client
        self._clock = client.clock
        self._group_members = group_members
        self._requested_at: OrderedDict[str, float] = OrderedDict()
        self._unreadable_count = 0
        self._sizes: dict[str, int] = {}
        self._stale: dict[str, int] = {}
        self._initial = self._parse(initial)

    def pop_unreadable_count(self) -> int:
        """How many entries could not be read since this was asked last."""
        unread, self._unreadable_count = self._unreadable_count, 0
        return unread

    async def pages(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        """Everybody, groups last and with their members; each once."""
        seen: set[Handle] = set()
        groups: OrderedDict[str, Contact | None] = OrderedDict()
        async for found in self._listed_pages():
            page = self._unseen(found, seen)
            groups.update((one.handle, one) for one in page if is_group(one.handle))
            yield self._remember([one for one in page if not is_group(one.handle)])
            on_progress(len(seen))
        for name in self._client.session.chats:
            if is_group(name) and name not in seen:
                groups.setdefault(name, None)
                seen.add(Handle(name))
        async for page in self._with_members(groups):
            yield self._remember(page)
            on_progress(len(seen))

    def mark_stale(self, groups: Iterable[str]) -> None:
        """What is known of these is old: they are looked up again, with whoever is looked up next."""
        self._stale.update((group, MAX_GROUP_REFRESHES) for group in groups)

    async def look_up(self, names: Iterable[str]) -> tuple[Contact, ...]:
        """Up to 50 of these people and groups, each asked for once in a while. Failing, it knows nobody."""
        now = self._clock.monotonic()
        wanted = [name for name in dict.fromkeys([*self._stale, *names]) if self._may_request(name, now)]
        if not wanted:
            return ()
        for name in wanted[:MAX_NAMES_PER_CALL]:
            self._record_request(name, now)
        try:
            async with asyncio.timeout(NAME_LOOKUP_TIMEOUT_SECONDS):
                found = await self._request_contacts(wanted[:MAX_NAMES_PER_CALL])
        except (BackendError, TimeoutError) as why:
            # What failed here shows in the next poll as well; a message must not wait for a name.
            log.info("people not looked up", count=len(wanted), reason=str(why))
            return ()
        for one in found:
            self._stale.pop(one.handle, None)
        return self._remember(found)

    async def list_members(self, group: Handle) -> tuple[Member, ...]:
        """Who is in a group now. The roster does not learn it: its next list tells who came and went."""
        found = await self._request_contacts([group])
        return next((one.members for one in found if one.handle == group and one.members), ())

    async def _listed_pages(self) -> AsyncIterator[list[Contact]]:
        """The pages of the address book, and then those whom only webwxinit named."""
        seq, earlier = 0, {0}
        for _ in range(MAX_CONTACT_PAGES):
            page = await self._fetch_page(seq)
            self._unreadable_count += page.unreadable_count
            yield self._parse(page.contacts)
            seq = page.next_seq
            if seq in earlier:
                break
            earlier.add(seq)
        yield [*self._initial, owner_contact(self._client.session.owner), file_helper_contact()]

    async def _fetch_page(self, seq: int) -> ContactPage:
        for _ in range(MAX_EMPTY_ATTEMPTS - 1):
            page = await self._request_page(seq)
            if page.contacts or seq:
                return page
            await self._clock.sleep(EMPTY_RETRY_SECONDS)
        return await self._request_page(seq)

    async def _request_page(self, seq: int) -> ContactPage:
        client = self._client
        request = requests.get_contact_request(client.site, client.session, seq, self._clock.now)
        return responses.read_contact_page(await client.call(request))

    async def _with_members(self, groups: OrderedDict[str, Contact | None]) -> AsyncIterator[list[Contact]]:
        for slice_ in self._batches(groups):
            found = {one.handle: one for one in await self._fetch_batch(slice_)}
            yield [one for name in slice_ if (one := found.get(Handle(name)) or groups[name]) is not None]

    def _batches(self, names: Iterable[str]) -> Iterator[list[str]]:
        """At most 50 groups, and no more than a few thousand members, which would cost too much memory."""
        portion: list[str] = []
        members = 0
        for name in names:
            size = self._sizes.get(name) or ASSUMED_GROUP_SIZE
            if portion and (len(portion) == MAX_NAMES_PER_CALL or members + size > MAX_MEMBERS_PER_CALL):
                yield portion
                portion, members = [], 0
            portion.append(name)
            members += size
        if portion:
            yield portion

    async def _fetch_batch(self, names: list[str]) -> list[Contact]:
        """These groups; what fails together is asked for in ever smaller steps, and at last left out."""
        found: list[Contact] = []
        failures = 0
        waiting = [names]
        while waiting:
            part = waiting.pop()
            try:
                found += await self._request_contacts(part)
                failures = 0
            except BadAnswer:
                failures += 1
                if failures >= MAX_CONSECUTIVE_FAILURES:
                    raise
                waiting += self._split(part)
        return found

    def _split(self, part: list[str]) -> list[list[str]]:
        if len(part) == 1:
            self._unreadable_count += 1
            log.warning("group cannot be read")
            return []
        size = next(size for size in BATCH_SIZES if size < len(part))
        return list(_slices(part, size))[::-1]

    async def _request_contacts(self, names: Sequence[str]) -> list[Contact]:
        client = self._client
        request = requests.batch_get_request(client.site, client.session, names, self._clock.now)
        entries, unread = responses.read_contact_list(await client.call(request))
        self._unreadable_count += unread
        return self._parse(entries)

    def _parse(self, entries: Sequence[JsonObject]) -> list[Contact]:
        owner = self._client.session.handle
        self._unreadable_count += sum(not read_text(entry, "UserName") for entry in entries)
        for entry in entries:
            if is_group(read_text(entry, "UserName")):
                self._sizes[read_text(entry, "UserName")] = read_number(entry, "MemberCount")
        return [found for entry in entries if (found := read_contact(entry, owner)) is not None]

    def _unseen(self, contacts: list[Contact], seen: set[Handle]) -> list[Contact]:
        fresh = []
        for contact in contacts:
            if contact.handle not in seen:
                seen.add(contact.handle)
                fresh.append(contact)
        return fresh

    def _remember(self, contacts: list[Contact]) -> tuple[Contact, ...]:
        self._group_members.update(contacts)
        return tuple(contacts)

    def _may_request(self, name: str, now: float) -> bool:
        asked = self._requested_at.get(name)
        again = GROUP_REFRESH_SECONDS if name in self._stale else UNKNOWN_RETRY_SECONDS
        return name != FILE_HELPER and (asked is None or now - asked >= again)

    def _record_request(self, name: str, now: float) -> None:
        self._requested_at.pop(name, None)
        self._requested_at[name] = now
        if len(self._requested_at) > LOOKUP_CACHE_SIZE:
            self._requested_at.popitem(last=False)
        if name in self._stale:
            self._stale[name] -= 1
            if not self._stale[name]:
                del self._stale[name]


def _slices(names: list[str], size: int) -> Iterator[list[str]]:
    return (names[at : at + size] for at in range(0, len(names), size))
