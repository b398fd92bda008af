"""Receives messages: waits for news, fetches them and looks up unknown senders (webwx 2.10, 2.11, 3).

The position in the stream is only in the returned cursor: the same cursor returns the same messages again.
`PollPace` says how soon web WeChat is asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import filterfalse

import structlog

from wx2mqtt.aio import yield_after_long_work
from wx2mqtt.model import ChatKind, Contact, Cursor, Event, Handle, Message
from wx2mqtt.wechat.backend import Batch
from wx2mqtt.wechat.backend_options import MessageMarks, fatal_message_event
from wx2mqtt.wechat.json_reader import JsonObject, UnreadableJson, read_text
from wx2mqtt.wechat.qr_login import MIN_POLL_INTERVAL_SECONDS
from wx2mqtt.wechat.webwx.client import ApiClient
from wx2mqtt.wechat.webwx.contact_list import ContactList
from wx2mqtt.wechat.webwx.protocol import requests, responses
from wx2mqtt.wechat.webwx.protocol.codes import Ret
from wx2mqtt.wechat.webwx.protocol.contacts import new_nickname, owner_contact, read_contacts
from wx2mqtt.wechat.webwx.protocol.content import read_message_id
from wx2mqtt.wechat.webwx.protocol.group_members import GroupChanges, GroupMembers, NoticedMessages
from wx2mqtt.wechat.webwx.protocol.membership_texts import OWNER_MARK
from wx2mqtt.wechat.webwx.protocol.messages import (
    entry_key,
    known_names,
    read_message,
    read_notice,
    recent_chats,
)
from wx2mqtt.wechat.webwx.protocol.requests import MAX_NAMES_PER_CALL
from wx2mqtt.wechat.webwx.protocol.responses import SyncAnswer
from wx2mqtt.wechat.webwx.protocol.session import SyncCursor

log = structlog.get_logger(__name__)

# Of the phone's recent chats no more than these wait to be looked up.
MAX_PENDING_NAMES = 1000

# After so many useless syncs in a row the interval doubles with each further one, up to the maximum.
MAX_EMPTY_SYNCS = 5
MAX_POLL_PAUSE_SECONDS = 30.0


class Receiver:
    """Receives for one login."""

    def __init__(
        self, client: ApiClient, group_members: GroupMembers, contact_list: ContactList, marks: MessageMarks
    ) -> None:
        self._client = client
        self._marks = marks
        self._clock = client.clock
        self._group_members = group_members
        self._contact_list = contact_list
        self._group_changes = GroupChanges(group_members)
        self._pace = PollPace()
        #: The handles of the phone's recent chats that wait to be looked up, in the order of their arrival.
        self._pending_chats: dict[str, None] = {}

    async def receive(self, cursor: Cursor) -> Batch:
        """Waits for news after `cursor`, in this order:

        1. When recent chats of the phone wait for their names: looks some up, and returns only these.
        2. Makes a long poll, unless the last sync said that there is more. Without news it ends here.
        3. Fetches the news (`_fetch`).
        """
        recent_contacts = await self._look_up_recent_chats()
        if recent_contacts:
            events = self._group_changes.events(cursor, [], self._clock.now)
            return Batch(
                cursor=cursor,
                items=events,
                contacts=recent_contacts,
                unreadable_count=self._contact_list.pop_unreadable_count(),
            )
        # A cursor without keys would start before everything; the login has a better position.
        position = SyncCursor.from_cursor(cursor)
        if not position.sync:
            position = self._client.session.position
        is_polled = not position.more or self._pace.must_poll
        if is_polled and not await self._wait_for_news(position):
            await self._client.save()
            return Batch(cursor=cursor, unreadable_count=self._contact_list.pop_unreadable_count())
        return await self._fetch(cursor, position, is_polled=is_polled)

    async def _wait_for_news(self, position: SyncCursor) -> bool:
        """Makes one long poll and returns whether there is something to fetch.

        Any selector but 0 requires a sync: clients that distinguish selectors poll in an endless loop (webwx
        2.10.5).
        """
        pause = self._pace.start_poll(self._clock.monotonic())
        if pause:
            await self._clock.sleep(pause)
        client = self._client
        request = requests.sync_check_request(client.session, position, self._clock.now)
        reply = await client.http.call(request)
        try:
            ret, selector = responses.read_sync_check(reply.body)
        except UnreadableJson:
            raise client.unreadable_error(request.endpoint) from None
        client.observe_ret(ret, request.endpoint, keys_renewed=reply.cookies_renewed)
        if ret != Ret.OK:
            raise client.error_for(ret, request.endpoint)
        if selector:
            return True
        self._pace.record_no_news()
        return False

    async def _fetch(self, cursor: Cursor, position: SyncCursor, *, is_polled: bool) -> Batch:
        """Returns the news after a position.

        1. Contacts are stored first, since messages need their names (webwx 2.11.6).
        2. The messages are read. The phone's recent chats wait for the next `receive` to be looked up.
        3. Chats and senders that nobody knows, and groups that a text says have changed, are looked up.
        4. When that found somebody, the messages in these chats get their names.
        5. The login, which a sync renews, is saved.
        """
        answer = await self._sync(position)
        contacts, removed = self._store_contacts(answer)
        news = await self._read(answer.messages)
        if news.recent_chats:
            self._record_recent_chats(news.recent_chats)
        if news.notices:
            self._mark_changed_groups(news.notices, contacts)
        looked_up = await self._contact_list.look_up(self._unknown_chats(news.items))
        if looked_up:
            await self._add_names(news.items, {contact.handle for contact in looked_up})
        events = self._group_changes.events(cursor, news.notices, self._clock.now)
        after = answer.position_after(position)
        has_moved = (after.sync, after.check) != (position.sync, position.check)
        keys = None if answer.is_empty else news.keys
        self._pace.record_sync(keys, is_polled=is_polled, has_moved=has_moved)
        if keys is None and not is_polled:
            after = replace(after, more=False)  # the next poll says when there is more
        self._client.update_session(position=after)  # for a resume at the next start
        await self._client.save()
        return Batch(
            cursor=after.to_cursor(),
            items=(*events, *news.items),
            contacts=(*contacts, *looked_up),
            removed=tuple(removed),
            unreadable_count=news.unreadable_count
            + answer.unreadable_count
            + self._contact_list.pop_unreadable_count(),
        )

    async def _sync(self, position: SyncCursor) -> SyncAnswer:
        client = self._client
        request = requests.sync_request(client.session, position, self._clock.now)
        self._pace.sync_failed = True
        answer = responses.read_sync(await client.call(request))
        self._pace.sync_failed = False
        if answer.skey:  # an empty one changes nothing (webwx 2.11.3)
            client.update_session(skey=answer.skey)
        return answer

    def _store_contacts(self, answer: SyncAnswer) -> tuple[list[Contact], list[Handle]]:
        """Stores the changed contacts. Returns these and the deleted ones."""
        removed = []
        for entry in answer.deleted:
            handle = Handle(read_text(entry, "UserName"))
            if handle:
                self._group_members.remove(handle)
                removed.append(handle)
        contacts = read_contacts(answer.changed, self._group_members.owner.handle)
        nickname = new_nickname(answer.profile)
        if nickname:
            self._client.update_session(nickname=nickname)
            self._group_members.owner = self._client.session.owner
            contacts.insert(0, owner_contact(self._group_members.owner))
        self._group_members.update(contacts)
        return contacts, removed

    async def _read(self, entries: Iterable[JsonObject]) -> _News:
        """Reads each entry once. One that cannot be read is counted, and does not stop the others."""
        news = _News()
        unreadable: list[JsonObject] = []
        loop_clock = asyncio.get_running_loop().time
        started_at = loop_clock()
        for entry in entries:
            started_at = await yield_after_long_work(started_at, loop_clock)
            key = entry_key(entry)
            news.keys.append(key)
            news.recent_chats += recent_chats(entry)
            try:
                if self._marks.is_fatal(key):
                    log.error(
                        "message skipped: the process ended three times while it was read", message_id=key
                    )
                    news.items.append(fatal_message_event(key, read_message_id(entry), self._clock.now))
                    continue
                with self._marks.processing(key):
                    item = read_message(entry, self._group_members, self._client.language, self._clock.now)
                    notice = read_notice(entry, item) if isinstance(item, Message) else None
            except Exception:  # noqa: BLE001 - an entry with unexpected data must not stop the others
                unreadable.append(entry)
                continue
            if item is not None:
                news.items.append(item)
            if isinstance(item, Message) and notice is not None:
                news.notices.append((item, notice))
        if unreadable:
            type_of_first = str(unreadable[0].get("MsgType"))[:20]
            log.warning("message cannot be read", type=type_of_first, count=len(unreadable))
        news.unreadable_count = len(unreadable)
        return news

    def _mark_changed_groups(self, notices: NoticedMessages, contacts: list[Contact]) -> None:
        """Has the groups looked up that a text says have changed, unless the sync brought their members."""
        # A group that the owner was removed from cannot be looked up.
        changed = {message.chat for message, notice in notices if OWNER_MARK not in notice.removed}
        refreshed = {contact.handle for contact in contacts if contact.members is not None}
        self._contact_list.mark_stale(changed - refreshed)

    def _unknown_chats(self, items: Iterable[Message | Event]) -> list[str]:
        """Returns the unknown chats, and the groups with an unknown sender (webwx 3.5.4)."""
        unknown: list[str] = []
        for item in items:
            if not isinstance(item, Message):
                continue
            is_known = self._group_members.contains(item.chat)
            if is_known and item.chat_kind is ChatKind.GROUP and item.sender and not item.sender_name:
                # The list of the group may be old, and lack the sender.
                is_known = self._group_members.member_name(item.chat, item.sender) is not None
            if not is_known:
                unknown.append(item.chat)
        return unknown

    async def _add_names(self, items: list[Message | Event], chats: set[Handle]) -> None:
        """Replaces the messages in these chats, of which more is known now."""
        loop_clock = asyncio.get_running_loop().time
        started_at = loop_clock()
        for index, item in enumerate(items):
            started_at = await yield_after_long_work(started_at, loop_clock)
            if isinstance(item, Message) and item.chat in chats:
                names = known_names(item.chat, item.sender, item.kind, item.text, self._group_members)
                items[index] = replace(item, **names)

    def _record_recent_chats(self, handles: list[str]) -> None:
        """Has the unknown ones of the phone's recent chats looked up in one of the next `receive`."""
        for handle in handles:
            if len(self._pending_chats) < MAX_PENDING_NAMES and not self._group_members.contains(handle):
                self._pending_chats[handle] = None

    async def _look_up_recent_chats(self) -> tuple[Contact, ...]:
        """Looks up some of the phone's recent chats that no list held (webwx 3.9.2), and stale groups.

        Each `receive` does this once, with at most one call.
        """
        unknown = list(filterfalse(self._group_members.contains, self._pending_chats))
        self._pending_chats = dict.fromkeys(unknown[MAX_NAMES_PER_CALL:])
        return await self._contact_list.look_up(unknown[:MAX_NAMES_PER_CALL])


class PollPace:
    """How soon web WeChat is asked for news again, by what the last calls brought (webwx 5.1.2).

    A healthy server holds a poll until there is news, so nothing waits. One that is stuck promises news and
    has none, or sends the same messages again and again.

        the last call                             the next `receive`
        sync with new messages                    syncs where there is more, else polls
        empty sync without a poll before it       polls
        poll without news                         polls, a second after the start of this poll
        sync after a poll, empty or repeated      the same; after five in a row less and less often
        sync that failed                          polls, which shows whether the login is still valid
    """

    def __init__(self) -> None:
        #: The last sync ended with an error.
        self.sync_failed = False
        #: The last poll or sync brought nothing new, so the next poll may have to wait.
        self._is_quiet = False
        #: When the last poll started, on the monotonic clock.
        self._poll_started_at = float("-inf")
        #: How many syncs in a row brought nothing new and did not move the position.
        self._useless_syncs = 0
        #: The keys of the messages of the last sync that was not empty.
        self._latest_keys: list[str] = []

    @property
    def must_poll(self) -> bool:
        """Whether a poll goes before the next sync, even where the server has more."""
        return self.sync_failed or self._is_quiet

    def start_poll(self, now: float) -> float:
        """Returns how long the next poll has to wait, and records that it starts then."""
        pause = 0.0
        if self._is_quiet:
            doublings = max(0, min(self._useless_syncs - MAX_EMPTY_SYNCS + 1, 10))
            interval = min(MAX_POLL_PAUSE_SECONDS, MIN_POLL_INTERVAL_SECONDS * 2.0**doublings)
            pause = max(0.0, self._poll_started_at + interval - now)
        self._poll_started_at = now + pause
        return pause

    def record_no_news(self) -> None:
        """Records a poll that ended without news, as it should when there is none."""
        self.sync_failed = False
        self._is_quiet = True
        self._useless_syncs = 0

    def record_sync(self, keys: list[str] | None, *, is_polled: bool, has_moved: bool) -> None:
        """Records a sync. `keys` are those of its messages; None: it had no news of any kind.

        `is_polled` says that a poll had promised news, `has_moved` that the sync brought another position.
        """
        if keys is None:
            self._is_quiet = is_polled
        else:
            self._is_quiet = bool(keys) and keys == self._latest_keys
            self._latest_keys = keys
        if self._is_quiet and not has_moved:
            self._useless_syncs += 1
        else:
            self._useless_syncs = 0


@dataclass(slots=True)
class _News:
    """What the entries of one sync answer hold."""

    items: list[Message | Event] = field(default_factory=list)
    #: The messages of WeChat itself that report a change of a group.
    notices: NoticedMessages = field(default_factory=list)
    #: The key of every entry (`entry_key`), also of one that is not shown or cannot be read.
    keys: list[str] = field(default_factory=list)
    #: The handles in lists of the phone's recent chats.
    recent_chats: list[str] = field(default_factory=list)
    unreadable_count: int = 0
