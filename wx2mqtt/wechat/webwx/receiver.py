"""Receiving: waits for news, fetches them, names who wrote (webwx 2.10, 2.11, 3).

The keys move only through the returned cursor, so the same cursor brings the same again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import structlog

from wx2mqtt.model import Contact, Cursor, Event, Message
from wx2mqtt.wechat.backend import Batch
from wx2mqtt.wechat.json_reader import JsonObject, UnreadableJson
from wx2mqtt.wechat.webwx.client import ApiClient
from wx2mqtt.wechat.webwx.contact_list import ContactList
from wx2mqtt.wechat.webwx.groups import GroupChanges, GroupMembers, groups_to_refresh, notices_in
from wx2mqtt.wechat.webwx.protocol import requests, responses
from wx2mqtt.wechat.webwx.protocol.codes import Ret
from wx2mqtt.wechat.webwx.protocol.contacts import (
    handles_in,
    is_group,
    new_nickname,
    owner_contact,
    read_contact,
)
from wx2mqtt.wechat.webwx.protocol.messages import entry_key, read_message, recent_chats
from wx2mqtt.wechat.webwx.protocol.responses import SyncAnswer
from wx2mqtt.wechat.webwx.protocol.session import SyncCursor
from wx2mqtt.wechat.webwx.protocol.sync import PollPacing, SyncAction, action_after_check, advanced_cursor

log = structlog.get_logger(__name__)

MAX_PENDING_NAMES = 1000  # of the phone's recent chats that are still to be looked up


@dataclass(frozen=True, slots=True)
class _ReadResult:
    """What became of the entries of one answer."""

    items: tuple[Message | Event, ...]
    unreadable_count: int
    unknown_chats: tuple[str, ...]


class Receiver:
    """What one login receives."""

    def __init__(self, client: ApiClient, group_members: GroupMembers, contact_list: ContactList) -> None:
        self._client = client
        self._clock = client.clock
        self._group_members = group_members
        self._contact_list = contact_list
        self._poll_pacing = PollPacing()
        self._recent_names: dict[str, None] = {}
        self._stale_groups = False
        self._latest: tuple[str, ...] = ()
        self._group_changes = GroupChanges(group_members)

    async def receive(self, cursor: Cursor) -> Batch:
        """As `Backend.receive`."""
        found = await self._recent_chats()
        if found:
            events = self._group_changes.events(cursor, [], self._clock.now)
            return Batch(
                cursor=cursor,
                items=events,
                contacts=found,
                unreadable_count=self._contact_list.pop_unreadable_count(),
            )
        # A cursor that is not ours would be the place before everything; the login knows a better one.
        position = SyncCursor.from_cursor(cursor)
        if not position.sync:
            position = self._client.session.position
        # After a sync that failed, synccheck is asked in any case: it knows whether the login stands.
        if not position.more or self._stale_groups:
            await self._clock.sleep(self._poll_pacing.pause(self._clock.monotonic()))
            if not await self._wait_for_news(position):
                await self._client.save()
                return Batch(cursor=cursor, unreadable_count=self._contact_list.pop_unreadable_count())
        answer = await self._sync(position)
        after = advanced_cursor(position, answer)
        self._poll_pacing = self._poll_pacing.after_sync(
            position, after, fruitless=answer.is_empty or self._is_repeat(answer)
        )
        batch = await self._batch(cursor, answer, after)
        self._client.set_position(after)
        await self._client.save()
        return batch

    async def _wait_for_news(self, position: SyncCursor) -> bool:
        """Whether there is something to fetch; held by the server until there is."""
        self._poll_pacing = self._poll_pacing.after_poll(self._clock.monotonic())
        client = self._client
        request = requests.sync_check_request(client.site, client.session, position, self._clock.now)
        reply = await client.transport.call(request)
        try:
            check = responses.read_sync_check(reply.body)
        except UnreadableJson:
            raise client.unreadable_error(request.endpoint) from None
        client.check_keys_current(check.ret, request.endpoint, stale=reply.stale)
        verdict = action_after_check(check)
        if verdict in {SyncAction.OVER, SyncAction.LATER}:
            raise client.error_for(check.ret, request.endpoint)
        client.reset_throttle(request.endpoint)
        if verdict is SyncAction.QUIET:
            self._poll_pacing, self._stale_groups = self._poll_pacing.after_empty_poll(), False
        return verdict is SyncAction.NEWS

    async def _sync(self, position: SyncCursor) -> SyncAnswer:
        client = self._client
        request = requests.sync_request(client.site, client.session, position, self._clock.now)
        self._stale_groups = True
        answer, ret = await client.call_unchecked(request)
        if ret != Ret.OK:
            raise client.error_for(ret, request.endpoint)
        self._stale_groups = False
        synced = responses.read_sync(answer)
        client.set_skey(synced.skey)
        return synced

    def _is_repeat(self, answer: SyncAnswer) -> bool:
        """Whether this answer has the very messages of the one before: a server that is stuck."""
        before, self._latest = self._latest, tuple(map(entry_key, answer.messages))
        return bool(before) and before == self._latest

    async def _batch(self, cursor: Cursor, answer: SyncAnswer, after: SyncCursor) -> Batch:
        """Contacts before messages, so that names resolve (webwx 2.11.6)."""
        removed = handles_in(answer.deleted)
        for handle in removed:
            self._group_members.remove(handle)
        contacts = [*self._own_profile(answer.profile), *self._changed(answer.changed)]
        self._group_members.update(contacts)
        self._record_recent(answer.messages)
        reading = self._read(answer.messages)
        told = notices_in(reading.items)
        self._contact_list.mark_stale(
            groups_to_refresh(told) - {contact.handle for contact in contacts if contact.members is not None}
        )
        found = await self._contact_list.look_up(reading.unknown_chats)
        reading = self._read(answer.messages) if found else reading
        return Batch(
            cursor=after.to_cursor(),
            items=(*self._group_changes.events(cursor, told, self._clock.now), *reading.items),
            contacts=(*contacts, *found),
            removed=removed,
            unreadable_count=reading.unreadable_count
            + answer.unreadable_count
            + self._contact_list.pop_unreadable_count(),
        )

    def _own_profile(self, profile: JsonObject) -> Iterator[Contact]:
        nickname = new_nickname(profile)
        if nickname:
            self._client.update_session(lambda session: replace(session, nickname=nickname))
            self._group_members.owner = self._client.session.owner
            yield owner_contact(self._group_members.owner)

    def _changed(self, entries: list[JsonObject]) -> list[Contact]:
        owner = self._client.session.handle
        return [found for entry in entries if (found := read_contact(entry, owner)) is not None]

    def _read(self, entries: Iterable[JsonObject]) -> _ReadResult:
        items: list[Message | Event] = []
        unread, now = 0, self._clock.now
        for entry in entries:
            try:
                item = read_message(entry, self._group_members, self._client.language, now)
            except Exception:  # noqa: BLE001 - one entry, whatever is in it, never stops the others
                unread += 1
                log.warning("message cannot be read", type=str(entry.get("MsgType"))[:20])
                continue
            if item is not None:
                items.append(item)
        return _ReadResult(tuple(items), unread, tuple(self._unknown_chats(items)))

    def _unknown_chats(self, items: list[Message | Event]) -> Iterator[str]:
        """Chats that nobody told us of, and groups in which a sender is not known (webwx 3.5.4)."""
        for item in items:
            if not isinstance(item, Message):
                continue
            if not self._group_members.contains(item.chat) or self._is_stranger(item):
                yield item.chat

    def _is_stranger(self, message: Message) -> bool:
        """Whether a group does not know who wrote; its list may be old (webwx 3.5.4)."""
        sender = message.sender
        return (
            sender is not None
            and not message.sender_name
            and is_group(message.chat)
            and self._group_members.member_name(message.chat, sender) is None
        )

    def _record_recent(self, entries: list[JsonObject]) -> None:
        for entry in entries:
            for name in recent_chats(entry):
                if len(self._recent_names) < MAX_PENDING_NAMES and not self._group_members.contains(name):
                    self._recent_names[name] = None

    async def _recent_chats(self) -> tuple[Contact, ...]:
        """A slice of the phone's recent chats that no list had (webwx 3.9.2), and groups that changed.

        One call in each `receive`.
        """
        names = [name for name in self._recent_names if not self._group_members.contains(name)][
            : requests.MAX_NAMES_PER_CALL
        ]
        if not names:
            self._recent_names.clear()
        for name in names:
            del self._recent_names[name]
        return await self._contact_list.look_up(names)
