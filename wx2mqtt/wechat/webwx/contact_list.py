"""Fetches contacts: the address book page by page, single contacts on demand (webwx 2.8, 2.9, 4.5).

| method | when | what it asks for |
|---|---|---|
| `pages` | after a login | the whole address book, and all groups with their members |
| `look_up` | in each `receive` | chats that nobody knows, and groups that have changed (`mark_stale`) |
| `list_members` | for a request | the members of one group, as they are now |
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence

import structlog

from wx2mqtt.errors import BackendError
from wx2mqtt.model import FILEHELPER, Contact, Handle, Member
from wx2mqtt.wechat.backend_options import OnProgress
from wx2mqtt.wechat.http_client import BadAnswer
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_objects, read_text
from wx2mqtt.wechat.webwx.client import ApiClient
from wx2mqtt.wechat.webwx.protocol import requests
from wx2mqtt.wechat.webwx.protocol.contacts import FILE_HELPER_CONTACT, is_group, owner_contact, read_contacts
from wx2mqtt.wechat.webwx.protocol.group_members import GroupMembers
from wx2mqtt.wechat.webwx.protocol.requests import MAX_NAMES_PER_CALL

log = structlog.get_logger(__name__)

# How long messages wait for the name of their sender.
NAME_LOOKUP_TIMEOUT_SECONDS = 5.0

# `look_up` requests an unknown contact again after this time.
UNKNOWN_RETRY_SECONDS = 600.0

# `look_up` requests a stale group so many times until it is answered, with this time between them.
MAX_GROUP_REFRESHES = 3
GROUP_REFRESH_SECONDS = 10.0

# `look_up` remembers for so many handles when they were requested.
LOOKUP_CACHE_SIZE = 2048

# The official client stops after 17 pages.
MAX_CONTACT_PAGES = 40

# The first page is empty right after some logins, and is then requested again (webwx 2.8.7).
MAX_EMPTY_ATTEMPTS = 3
EMPTY_RETRY_SECONDS = 2.0

# Group members in one answer; each takes a kilobyte of memory while it is read.
MAX_MEMBERS_PER_CALL = 2500

# How many members a group counts for while its size is not known.
ASSUMED_GROUP_SIZE = 50

# A batch of groups that fails is requested again in smaller ones (webwx 2.9.7).
BATCH_SIZES = (10, 5, 1)

# After so many failed calls in a row the server is at fault and not a single group.
MAX_CONSECUTIVE_FAILURES = 10


class ContactList:
    """Fetches the contacts of one login, and stores them in `GroupMembers`, which names the senders.

    `initial` are the contact entries of webwxinit.
    """

    def __init__(self, client: ApiClient, group_members: GroupMembers, initial: Sequence[JsonObject]) -> None:
        self._client = client
        self._clock = client.clock
        self._group_members = group_members
        #: When `look_up` last requested a handle, on the monotonic clock; the oldest one first.
        self._requested_at: OrderedDict[str, float] = OrderedDict()
        #: How many more times `look_up` requests a stale group; one that was answered is removed.
        self._refreshes_left: dict[str, int] = {}
        #: How many members each group has, as far as an entry has said so.
        self._group_sizes: dict[str, int] = {}
        #: How many entries could not be read since `pop_unreadable_count`.
        self._unreadable_count = 0
        self._note_entries(initial)
        self._initial = read_contacts(initial, client.session.handle)

    def pop_unreadable_count(self) -> int:
        """Returns how many entries could not be read since the last call."""
        count, self._unreadable_count = self._unreadable_count, 0
        return count

    async def pages(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        """Yields all contacts once each; groups come last, with their members."""
        seen: set[Handle] = set()
        # Each group with its entry in the address book, which may lack members; None where it is not there.
        groups: dict[Handle, Contact | None] = {}
        async for listed in self._listed_pages():
            people = []
            for contact in listed:
                if contact.handle in seen:
                    continue
                seen.add(contact.handle)
                if is_group(contact.handle):
                    groups[contact.handle] = contact
                else:
                    people.append(contact)
            self._group_members.update(people)
            yield tuple(people)
            on_progress(len(seen))
        for chat in map(Handle, self._client.session.chats):
            if is_group(chat) and chat not in seen:
                groups[chat] = None
                seen.add(chat)
        for handles in self._batches(groups):
            batch = await self._with_members(handles, groups)
            self._group_members.update(batch)
            yield tuple(batch)
            on_progress(len(seen))

    async def _with_members(
        self, handles: list[Handle], groups: Mapping[Handle, Contact | None]
    ) -> list[Contact]:
        """Fetches groups with their members. One that WeChat does not answer stays as in `groups`."""
        fetched = {contact.handle: contact for contact in await self._fetch_batch(handles)}
        contacts = [fetched.get(handle) or groups[handle] for handle in handles]
        return [contact for contact in contacts if contact is not None]

    # On demand

    def mark_stale(self, groups: Iterable[str]) -> None:
        """Marks groups whose name or members have changed; the next `look_up` requests them too."""
        self._refreshes_left.update(dict.fromkeys(groups, MAX_GROUP_REFRESHES))

    async def look_up(self, handles: Sequence[str]) -> tuple[Contact, ...]:
        """Requests these people and groups and the stale groups, in one call of at most `MAX_NAMES_PER_CALL`.

        Skips handles that were requested recently. Returns nothing when the call fails.
        """
        if not handles and not self._refreshes_left:
            return ()
        now = self._clock.monotonic()
        due = self._due_handles(handles, now)
        if not due:
            return ()
        requested = due[:MAX_NAMES_PER_CALL]
        for handle in requested:
            self._count_request(handle, now)
        try:
            async with asyncio.timeout(NAME_LOOKUP_TIMEOUT_SECONDS):
                contacts = await self._request_contacts(requested)
        except (BackendError, TimeoutError) as error:
            # A lasting fault shows in the next poll too, and messages must not wait for a name.
            log.info("people not looked up", count=len(due), reason=str(error))
            return ()
        for contact in contacts:
            self._refreshes_left.pop(contact.handle, None)
        self._group_members.update(contacts)
        return tuple(contacts)

    def _count_request(self, handle: str, now: float) -> None:
        """Records that a handle is requested now, and counts it where that is a stale group."""
        self._requested_at[handle] = now
        self._requested_at.move_to_end(handle)
        if len(self._requested_at) > LOOKUP_CACHE_SIZE:
            self._requested_at.popitem(last=False)
        if handle in self._refreshes_left:
            self._refreshes_left[handle] -= 1
            if not self._refreshes_left[handle]:
                del self._refreshes_left[handle]

    def _due_handles(self, handles: Iterable[str], now: float) -> list[str]:
        """Returns these handles and the stale groups, without those that were requested recently."""
        due = []
        for handle in dict.fromkeys([*self._refreshes_left, *handles]):
            interval = GROUP_REFRESH_SECONDS if handle in self._refreshes_left else UNKNOWN_RETRY_SECONDS
            requested_at = self._requested_at.get(handle, float("-inf"))
            if handle != FILEHELPER and now - requested_at >= interval:
                due.append(handle)
        return due

    async def list_members(self, group: Handle) -> tuple[Member, ...]:
        """Fetches the members of a group; empty when the answer lacks them.

        They are not stored, so that the next sync still shows the difference to the stored list.
        """
        for contact in await self._request_contacts([group]):
            if contact.handle == group and contact.members:
                return contact.members
        return ()

    # The address book

    async def _listed_pages(self) -> AsyncIterator[list[Contact]]:
        """Yields the pages of the address book, and then contacts that only webwxinit listed."""
        seq = 0  # names the page
        fetched = {seq}
        for _ in range(MAX_CONTACT_PAGES):
            answer = await self._fetch_page(seq)
            entries, unreadable_count = read_objects(answer, "MemberList")
            self._unreadable_count += unreadable_count
            yield await self._parse(entries)
            seq = read_number(answer, "Seq")  # 0 on the last page
            if seq in fetched:
                break
            fetched.add(seq)
        yield [*self._initial, owner_contact(self._client.session.owner), FILE_HELPER_CONTACT]

    async def _fetch_page(self, seq: int) -> JsonObject:
        """Fetches a page; the first one, whose `seq` is 0, again while it is empty."""
        client = self._client
        for attempt in range(1, MAX_EMPTY_ATTEMPTS + 1):
            answer = await client.call(requests.get_contact_request(client.session, seq, self._clock.now))
            entries, _ = read_objects(answer, "MemberList")
            is_first_and_empty = seq == 0 and not entries
            if not is_first_and_empty or attempt == MAX_EMPTY_ATTEMPTS:
                break
            await self._clock.sleep(EMPTY_RETRY_SECONDS)
        return answer

    def _batches(self, handles: Iterable[Handle]) -> Iterator[list[Handle]]:
        """Splits groups into batches that bound the number of groups and, for memory, of their members."""
        batch: list[Handle] = []
        member_count = 0
        for handle in handles:
            size = self._group_sizes.get(handle) or ASSUMED_GROUP_SIZE
            is_full = len(batch) == MAX_NAMES_PER_CALL or member_count + size > MAX_MEMBERS_PER_CALL
            if batch and is_full:
                yield batch
                batch = []
                member_count = 0
            batch.append(handle)
            member_count += size
        if batch:
            yield batch

    async def _fetch_batch(self, handles: list[Handle]) -> list[Contact]:
        """Fetches groups. A batch that fails is split; a group that fails alone is left out."""
        contacts: list[Contact] = []
        failures = 0
        waiting = [handles]
        while waiting:
            batch = waiting.pop()
            try:
                contacts += await self._request_contacts(batch)
                failures = 0
            except BadAnswer:
                failures += 1
                if failures >= MAX_CONSECUTIVE_FAILURES:
                    raise
                if len(batch) == 1:
                    self._unreadable_count += 1
                    log.warning("group cannot be read")
                else:
                    waiting += reversed(_split(batch))  # the first one is taken next
        return contacts

    async def _request_contacts(self, handles: Sequence[str]) -> list[Contact]:
        client = self._client
        request = requests.batch_get_request(client.session, handles, self._clock.now)
        entries, unreadable_count = read_objects(await client.call(request), "ContactList")
        self._unreadable_count += unreadable_count
        return await self._parse(entries)

    async def _parse(self, entries: Sequence[JsonObject]) -> list[Contact]:
        """Returns the contacts of an answer, read in a thread: it may list 100,000 members of groups."""
        self._note_entries(entries)
        return await asyncio.to_thread(read_contacts, entries, self._client.session.handle)

    def _note_entries(self, entries: Sequence[JsonObject]) -> None:
        """Records the sizes of groups, and counts the entries without a handle."""
        for entry in entries:
            handle = read_text(entry, "UserName")
            if not handle:
                self._unreadable_count += 1
            elif is_group(handle):
                self._group_sizes[handle] = read_number(entry, "MemberCount")


def _split(batch: list[Handle]) -> list[list[Handle]]:
    """Splits a batch of at least two groups into batches of the next smaller size."""
    size = next(size for size in BATCH_SIZES if size < len(batch))
    return [batch[start : start + size] for start in range(0, len(batch), size)]
