"""Receiving: wait for news, fetch them, name who wrote. One conversation at a time (webwx 2.10, 2.11, 3).

The keys move only through the cursor that is returned, so the same cursor brings the same again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import structlog

from wx2mqtt.model import Contact, Cursor, Event, Message
from wx2mqtt.wechat.answers import Unreadable
from wx2mqtt.wechat.fields import Entry
from wx2mqtt.wechat.gateway import Batch
from wx2mqtt.wechat.webwx import requests, responses
from wx2mqtt.wechat.webwx.addressbook import AddressBook
from wx2mqtt.wechat.webwx.channel import Channel
from wx2mqtt.wechat.webwx.codes import Ret
from wx2mqtt.wechat.webwx.contacts import contact, handles_in, is_group, new_nickname, owner_contact
from wx2mqtt.wechat.webwx.messages import chats_told, key_of, read
from wx2mqtt.wechat.webwx.position import Position
from wx2mqtt.wechat.webwx.responses import Synced
from wx2mqtt.wechat.webwx.roster import Roster
from wx2mqtt.wechat.webwx.sync import Pace, Verdict, judge, moved
from wx2mqtt.wechat.webwx.turnover import Turnover, changed_by, news_in

log = structlog.get_logger(__name__)

WAITING_NAMES = 1000  # of the phone's recent chats that are still to be looked up


@dataclass(frozen=True, slots=True)
class _Reading:
    """What became of the entries of one answer."""

    items: tuple[Message | Event, ...]
    unread: int
    unknown: tuple[str, ...]


class Inbox:
    """What one login receives."""

    def __init__(self, channel: Channel, roster: Roster, people: AddressBook) -> None:
        self._channel = channel
        self._timing = channel.timing
        self._roster = roster
        self._people = people
        self._pace = Pace()
        self._recent: dict[str, None] = {}
        self._doubtful = False
        self._latest: tuple[str, ...] = ()
        self._turnover = Turnover(roster)

    async def receive(self, cursor: Cursor) -> Batch:
        """As `Gateway.receive`."""
        found = await self._recent_chats()
        if found:
            events = self._turnover.events(cursor, [], self._timing.now)
            return Batch(cursor=cursor, items=events, contacts=found, unread=self._people.take_unread())
        # A cursor that is not ours would be the place before everything; the login knows a better one.
        position = Position.of(cursor)
        if not position.sync:
            position = self._channel.session.position
        # After a sync that failed, synccheck is asked in any case: it knows whether the login stands.
        if not position.more or self._doubtful:
            await self._timing.sleep(self._pace.pause(self._timing.monotonic()))
            if not await self._news(position):
                await self._channel.save()
                return Batch(cursor=cursor, unread=self._people.take_unread())
        answer = await self._synced(position)
        after = moved(position, answer)
        self._pace = self._pace.synced(position, after, fruitless=answer.empty or self._is_repeat(answer))
        batch = await self._batch(cursor, answer, after)
        self._channel.take_position(after)
        await self._channel.save()
        return batch

    async def _news(self, position: Position) -> bool:
        """Whether there is something to fetch; held by the server until there is."""
        self._pace = self._pace.poll(self._timing.monotonic())
        channel = self._channel
        request = requests.sync_check(channel.site, channel.session, position, self._timing.now)
        reply = await channel.transport.call(request)
        try:
            check = responses.check(reply.body)
        except Unreadable:
            raise channel.unreadable(request.endpoint) from None
        channel.must_be_current(check.retcode, request.endpoint, stale=reply.stale)
        verdict = judge(check)
        if verdict in {Verdict.OVER, Verdict.LATER}:
            raise channel.refusal(check.retcode, request.endpoint)
        channel.eased(request.endpoint)
        if verdict is Verdict.QUIET:
            self._pace, self._doubtful = self._pace.nothing(), False
        return verdict is Verdict.NEWS

    async def _synced(self, position: Position) -> Synced:
        channel = self._channel
        request = requests.sync(channel.site, channel.session, position, self._timing.now)
        self._doubtful = True
        answer, ret = await channel.ask_anyway(request)
        if ret != Ret.OK:
            raise channel.refusal(ret, request.endpoint)
        self._doubtful = False
        synced = responses.synced(answer)
        channel.take_skey(synced.skey)
        return synced

    def _is_repeat(self, answer: Synced) -> bool:
        """Whether this answer has the very messages of the one before: a server that is stuck."""
        before, self._latest = self._latest, tuple(map(key_of, answer.messages))
        return bool(before) and before == self._latest

    async def _batch(self, cursor: Cursor, answer: Synced, after: Position) -> Batch:
        """Contacts before messages, so that names resolve (webwx 2.11)."""
        removed = handles_in(answer.deleted)
        for handle in removed:
            self._roster.forget(handle)
        contacts = [*self._own_profile(answer.profile), *self._changed(answer.changed)]
        self._roster.learn(contacts)
        self._note_recent(answer.messages)
        reading = self._read(answer.messages)
        told = news_in(reading.items)
        self._people.doubt(changed_by(told) - {one.handle for one in contacts if one.members is not None})
        found = await self._people.look_up(reading.unknown)
        reading = self._read(answer.messages) if found else reading
        return Batch(
            cursor=after.cursor(),
            items=(*self._turnover.events(cursor, told, self._timing.now), *reading.items),
            contacts=(*contacts, *found),
            removed=removed,
            unread=reading.unread + answer.unread + self._people.take_unread(),
        )

    def _own_profile(self, profile: Entry) -> Iterator[Contact]:
        nickname = new_nickname(profile)
        if nickname:
            self._channel.renew(lambda session: replace(session, nickname=nickname))
            self._roster.owner = self._channel.session.owner
            yield owner_contact(self._roster.owner)

    def _changed(self, entries: list[Entry]) -> list[Contact]:
        owner = self._channel.session.handle
        return [found for entry in entries if (found := contact(entry, owner)) is not None]

    def _read(self, entries: Iterable[Entry]) -> _Reading:
        items: list[Message | Event] = []
        unread, now = 0, self._timing.now
        for entry in entries:
            try:
                item = read(entry, self._roster, self._channel.language, now)
            except Exception:  # noqa: BLE001 - one entry, whatever is in it, never stops the others (DESIGN P5)
                unread += 1
                log.warning("message cannot be read", type=str(entry.get("MsgType"))[:20])
                continue
            if item is not None:
                items.append(item)
        return _Reading(tuple(items), unread, tuple(self._unknown(items)))

    def _unknown(self, items: list[Message | Event]) -> Iterator[str]:
        """Chats that nobody told us of, and groups in which a sender is not known (webwx 3.5)."""
        for item in items:
            if not isinstance(item, Message):
                continue
            if not self._roster.knows(item.chat) or self._is_stranger(item):
                yield item.chat

    def _is_stranger(self, message: Message) -> bool:
        """Whether a group does not know who wrote; its list may be old (webwx 3.5)."""
        sender = message.sender
        return (
            sender is not None
            and not message.sender_name
            and is_group(message.chat)
            and self._roster.name(message.chat, sender) is None
        )

    def _note_recent(self, entries: list[Entry]) -> None:
        for entry in entries:
            for name in chats_told(entry):
                if len(self._recent) < WAITING_NAMES and not self._roster.knows(name):
                    self._recent[name] = None

    async def _recent_chats(self) -> tuple[Contact, ...]:
        """A slice of the phone's recent chats that no list had (webwx 3.9), and groups that changed.

        One call in each `receive`.
        """
        names = [name for name in self._recent if not self._roster.knows(name)][: requests.BATCH]
        if not names:
            self._recent.clear()
        for name in names:
            del self._recent[name]
        return await self._people.look_up(names)
