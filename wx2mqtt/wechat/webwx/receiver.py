"""Receives messages: waits for news, fetches them and looks up unknown senders (webwx 2.10, 2.11, 3).

The position in the stream is only in the returned cursor, so a repeated call with one cursor returns the
same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace

import structlog

from wx2mqtt.aio import yield_after_long_work
from wx2mqtt.model import Contact, Cursor, Event, Message
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import Batch, MessageMarks, fatal_message_event
from wx2mqtt.wechat.json_reader import JsonObject, UnreadableJson
from wx2mqtt.wechat.webwx.client import ApiClient
from wx2mqtt.wechat.webwx.contact_list import ContactList
from wx2mqtt.wechat.webwx.group_changes import GroupChanges, NoticedMessages, groups_to_refresh, notice_in
from wx2mqtt.wechat.webwx.protocol import requests, responses
from wx2mqtt.wechat.webwx.protocol.codes import Ret
from wx2mqtt.wechat.webwx.protocol.contacts import (
    handles_in,
    is_group,
    new_nickname,
    owner_contact,
    read_contacts,
)
from wx2mqtt.wechat.webwx.protocol.content import read_message_id
from wx2mqtt.wechat.webwx.protocol.group_members import GroupMembers
from wx2mqtt.wechat.webwx.protocol.messages import (
    entry_key,
    is_sentence_of_wechat,
    read_message,
    recent_chats,
)
from wx2mqtt.wechat.webwx.protocol.responses import SyncAnswer
from wx2mqtt.wechat.webwx.protocol.session import SyncCursor
from wx2mqtt.wechat.webwx.protocol.sync import PollPacing, SyncAction, action_after_check, advanced_cursor

log = structlog.get_logger(__name__)

# Chats in the phone's list of recent chats that wait to be looked up.
MAX_PENDING_NAMES = 1000


@frozen(kw_only=False)
class _ReadResult:
    """What one sync answer holds."""

    items: tuple[Message | Event, ...]
    #: The messages of WeChat itself that report a change of a group.
    notices: NoticedMessages
    unreadable_count: int
    #: The chats that must be looked up.
    unknown_chats: tuple[str, ...]


class Receiver:
    """Receives for one login."""

    def __init__(
        self,
        client: ApiClient,
        group_members: GroupMembers,
        contact_list: ContactList,
        marks: MessageMarks,
    ) -> None:
        self._client = client
        self._marks = marks
        self._clock = client.clock
        self._group_members = group_members
        self._contact_list = contact_list
        self._poll_pacing = PollPacing()
        self._pending_chats: dict[str, None] = {}
        self._sync_failed = False
        self._latest_keys: tuple[str, ...] = ()
        self._group_changes = GroupChanges(group_members)

    async def receive(self, cursor: Cursor) -> Batch:
        """Waits for news after `cursor`, in this order:

        1. When recent chats of the phone wait for their names: looks some up, and returns only these.
        2. Makes a long poll, unless the last sync said that there is more. Without news it ends here.
        3. Fetches the news, reads them and looks up who is not known yet (`_batch`).
        4. Saves the login, which a sync renews.
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
        # After a failed sync, synccheck is called in any case: its answer shows whether the login is still
        # valid. After a sync that brought nothing new as well: the pause is before the poll.
        is_polled = not position.more or self._sync_failed or self._poll_pacing.quiet
        if is_polled:
            await self._clock.sleep(self._poll_pacing.pause(self._clock.monotonic()))
            if not await self._wait_for_news(position):
                await self._client.save()
                return Batch(cursor=cursor, unreadable_count=self._contact_list.pop_unreadable_count())
        answer = await self._sync(position)
        after = advanced_cursor(position, answer)
        if answer.is_empty and not is_polled:
            after = replace(after, more=False)  # the next poll says when there is more
        keys = await _keys_of(answer.messages)
        # A server that is stuck promises news and has none, or sends the same messages again and again.
        is_fruitless = answer.is_empty and is_polled
        if not is_fruitless:
            is_fruitless = bool(keys) and keys == self._latest_keys
            self._latest_keys = keys
        self._poll_pacing = self._poll_pacing.after_sync(position, after, fruitless=is_fruitless)
        batch = await self._batch(cursor, answer, keys, after)
        self._client.update_session(position=after)  # for a resume at the next start
        await self._client.save()
        return batch

    async def _wait_for_news(self, position: SyncCursor) -> bool:
        """Makes one long poll and returns whether there is something to fetch."""
        self._poll_pacing = self._poll_pacing.after_poll(self._clock.monotonic())
        client = self._client
        request = requests.sync_check_request(client.profile, client.session, position, self._clock.now)
        reply = await client.http.call(request)
        try:
            check = responses.read_sync_check(reply.body)
        except UnreadableJson:
            raise client.unreadable_error(request.endpoint) from None
        client.check_keys_current(check.ret, request.endpoint, stale=reply.stale)
        action = action_after_check(check)
        if action in {SyncAction.OVER, SyncAction.LATER}:
            raise client.error_for(check.ret, request.endpoint)
        client.reset_throttle(request.endpoint)
        if action is SyncAction.QUIET:
            self._poll_pacing = self._poll_pacing.after_empty_poll()
            self._sync_failed = False
        return action is SyncAction.NEWS

    async def _sync(self, position: SyncCursor) -> SyncAnswer:
        client = self._client
        request = requests.sync_request(client.profile, client.session, position, self._clock.now)
        self._sync_failed = True
        answer, ret = await client.call_unchecked(request)
        if ret != Ret.OK:
            raise client.error_for(ret, request.endpoint)
        self._sync_failed = False
        synced = responses.read_sync(answer)
        if synced.skey:  # an empty one changes nothing (webwx 2.11.3)
            client.update_session(skey=synced.skey)
        return synced

    async def _batch(
        self, cursor: Cursor, answer: SyncAnswer, keys: tuple[str, ...], after: SyncCursor
    ) -> Batch:
        """Builds the batch; `keys` are those of its messages.

        1. Contacts are stored first, since messages need their names (webwx 2.11.6).
        2. The messages are read.
        3. Chats and senders that nobody knows, and groups that a text says have changed, are looked up.
        4. When that found somebody, the messages are read once more, now with the names.
        """
        removed = handles_in(answer.deleted)
        for handle in removed:
            self._group_members.remove(handle)
        contacts = read_contacts(answer.changed, self._client.session.handle)
        nickname = new_nickname(answer.profile)
        if nickname:
            self._client.update_session(nickname=nickname)
            self._group_members.owner = self._client.session.owner
            contacts.insert(0, owner_contact(self._group_members.owner))
        self._group_members.update(contacts)
        self._record_recent_chats(answer.messages)
        result = await self._read(answer.messages, keys)
        notices = result.notices
        refreshed_groups = {contact.handle for contact in contacts if contact.members is not None}
        self._contact_list.mark_stale(groups_to_refresh(notices) - refreshed_groups)
        looked_up = await self._contact_list.look_up(result.unknown_chats)
        if looked_up:
            result = await self._read(answer.messages, keys)
        return Batch(
            cursor=after.to_cursor(),
            items=(*self._group_changes.events(cursor, notices, self._clock.now), *result.items),
            contacts=(*contacts, *looked_up),
            removed=removed,
            unreadable_count=result.unreadable_count
            + answer.unreadable_count
            + self._contact_list.pop_unreadable_count(),
        )

    async def _read(self, entries: Iterable[JsonObject], keys: Iterable[str]) -> _ReadResult:
        items: list[Message | Event] = []
        notices: NoticedMessages = []
        unreadable: list[JsonObject] = []
        loop_clock = asyncio.get_running_loop().time
        started_at = loop_clock()
        for entry, key in zip(entries, keys, strict=True):
            started_at = await yield_after_long_work(started_at, loop_clock)
            try:
                if self._marks.is_fatal(key):
                    log.error(
                        "message skipped: the process ended three times while it was read", message_id=key
                    )
                    items.append(fatal_message_event(key, read_message_id(entry), self._clock.now))
                    continue
                with self._marks.processing(key):
                    item = read_message(entry, self._group_members, self._client.language, self._clock.now)
                    if isinstance(item, Message) and is_sentence_of_wechat(entry):
                        notice = notice_in(item)
                        if notice is not None:
                            notices.append((item, notice))
            except Exception:  # noqa: BLE001 - an entry with unexpected data must not stop the others
                unreadable.append(entry)
                continue
            if item is not None:
                items.append(item)
        if unreadable:
            type_of_first = str(unreadable[0].get("MsgType"))[:20]
            log.warning("message cannot be read", type=type_of_first, count=len(unreadable))
        return _ReadResult(tuple(items), notices, len(unreadable), tuple(self._unknown_chats(items)))

    def _unknown_chats(self, items: list[Message | Event]) -> Iterator[str]:
        """Returns the unknown chats, and the groups with an unknown sender (webwx 3.5.4)."""
        known = self._group_members
        for item in items:
            if not isinstance(item, Message):
                continue
            is_unknown = not known.contains(item.chat)
            if item.sender is not None and not item.sender_name and is_group(item.chat):
                # The group's list, which may be old, lacks the sender.
                is_unknown = is_unknown or known.member_name(item.chat, item.sender) is None
            if is_unknown:
                yield item.chat

    def _record_recent_chats(self, entries: list[JsonObject]) -> None:
        for handle in (handle for entry in entries for handle in recent_chats(entry)):
            if len(self._pending_chats) < MAX_PENDING_NAMES and not self._group_members.contains(handle):
                self._pending_chats[handle] = None

    async def _look_up_recent_chats(self) -> tuple[Contact, ...]:
        """Looks up some of the phone's recent chats that no list held (webwx 3.9.2), and stale groups.

        Each `receive` does this once, with at most one call.
        """
        unknown = [handle for handle in self._pending_chats if not self._group_members.contains(handle)]
        handles = unknown[: requests.MAX_NAMES_PER_CALL]
        if not handles:
            self._pending_chats.clear()
        for handle in handles:
            del self._pending_chats[handle]
        return await self._contact_list.look_up(handles)


async def _keys_of(entries: Iterable[JsonObject]) -> tuple[str, ...]:
    keys: list[str] = []
    loop_clock = asyncio.get_running_loop().time
    started_at = loop_clock()
    for entry in entries:
        started_at = await yield_after_long_work(started_at, loop_clock)
        keys.append(entry_key(entry))
    return tuple(keys)
