"""Receives the callbacks of one bot: messages, presses of buttons, and the gaps between two connections.

WeCom keeps nothing. What came over the socket waits in `WeComConnection`, and after `receive` here, until the
next `receive` with the new cursor says that it is stored. The same cursor returns the same batch again. A
message gets its receipt when it is stored and published (`on_published`); one that is filtered out gets none.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import structlog

from wx2mqtt.aio import yield_after_long_work
from wx2mqtt.clock import rfc3339
from wx2mqtt.errors import Unreachable
from wx2mqtt.model import ButtonPress, Contact, Cursor, Event, Handle, Json, Message
from wx2mqtt.wechat.backend import Batch
from wx2mqtt.wechat.backend_options import MessageMarks, fatal_message_event
from wx2mqtt.wechat.json_reader import read_text
from wx2mqtt.wechat.wecom.client import WeComClient
from wx2mqtt.wechat.wecom.protocol.frames import Callback, CallbackKind, EventType
from wx2mqtt.wechat.wecom.protocol.handles import contact_of
from wx2mqtt.wechat.wecom.protocol.messages import read_button_press, read_messages
from wx2mqtt.wechat.wecom.protocol.session import End
from wx2mqtt.wechat.wecom.receipts import AnswerableMessage, Receipts

log = structlog.get_logger(__name__)

# A batch has at most so many callbacks; the rest comes with the next one.
CALLBACKS_PER_BATCH = 100

GAP_EVENT = "gap"


class Receiver:
    """Receives for one login. `bot_name` is as in `read_messages`."""

    def __init__(
        self, client: WeComClient, marks: MessageMarks, receipts: Receipts, *, bot_name: str
    ) -> None:
        self._client = client
        self._marks = marks
        self._receipts = receipts
        self._bot_name = bot_name
        #: Begins all cursors of this receiver, so that they differ from those of the process before.
        self._cursor_prefix = secrets.token_hex(4)
        #: The number in the last cursor.
        self._batch_number = 0
        #: The last batch with items; None once it is stored.
        self._unstored: _Unstored | None = None
        #: The chats and people that a batch has already brought as contacts.
        self._known: set[Handle] = set()
        #: When the gap began that is not reported yet, in milliseconds since 1970; 0 without one.
        self._gap_since = client.login.last_alive
        #: The last batch was the event about a gap.
        self._has_told_gap = False

    async def receive(self, cursor: Cursor) -> Batch:
        """Waits for news after `cursor`, in this order:

        1. A cursor of before says that the last batch is not stored: it is returned again.
        2. Else it is stored.
        3. Without a connection it connects, and returns at once, with the event about the gap.
        4. It waits for callbacks, and reads them.

        Raises `LoginEnded` when another program has taken the bot over, and the errors of `subscribe`.
        """
        if self._unstored is not None:
            if self._unstored.cursor_before == cursor:
                return self._unstored.batch
            self._unstored = None
        client = self._client
        if not client.is_connected:
            client.login.require_usable(client.login.bot)
            await client.subscribe()
        if self._gap_since:
            gap = _gap_event(self._gap_since, client.subscribed_at)
            self._gap_since = 0
            self._has_told_gap = True
            return self._batch(cursor, _ReadCallbacks(items=[gap]))
        client.connection.confirm_stored()
        # The event about a gap is stored now: the time from which the next gap counts must lie behind it.
        await client.record_alive(at_once=self._has_told_gap)
        self._has_told_gap = False
        return self._batch(cursor, await self._next_callbacks())

    def on_published(self, keys: Collection[str]) -> None:
        """Sends the receipts of messages of the last batch that are stored and published."""
        if self._unstored is not None:
            answerable = self._unstored.answerable
            self._receipts.send(answerable[key] for key in keys if key in answerable)

    async def _next_callbacks(self) -> _ReadCallbacks:
        """Waits for callbacks and reads them. Raises when the connection has ended and all are read."""
        client = self._client
        connection = client.connection
        try:
            callbacks = await connection.next_callbacks(CALLBACKS_PER_BATCH)
        except Unreachable as why:
            self._gap_since = connection.last_heard
            pause = await client.close_ended()
            client.login.require_usable(client.login.bot)  # another program has taken it over
            raise Unreachable(str(why), retry_after=pause) from None
        if connection.is_taken_over:
            await client.login.record_end(End.TAKEN_OVER, client.text("taken_over"))
        read = await self._read(callbacks)
        read.unreadable_count += connection.unreadable_count
        connection.unreadable_count = 0
        return read

    def _batch(self, cursor: Cursor, read: _ReadCallbacks) -> Batch:
        """Returns what was read. A batch with items has a new cursor, and is kept until it is stored."""
        if not read.items:
            return Batch(cursor=cursor, unreadable_count=read.unreadable_count)
        self._batch_number += 1
        batch = Batch(
            cursor=Cursor(f"{self._cursor_prefix}.{self._batch_number}"),
            items=tuple(read.items),
            contacts=tuple(self._new_contacts(read.items)),
            unreadable_count=read.unreadable_count,
        )
        self._unstored = _Unstored(cursor_before=cursor, batch=batch, answerable=read.answerable)
        return batch

    async def _read(self, callbacks: list[Callback]) -> _ReadCallbacks:
        read = _ReadCallbacks()
        loop_clock = asyncio.get_running_loop().time
        started_at = loop_clock()
        for callback in callbacks:
            started_at = await yield_after_long_work(started_at, loop_clock)
            try:
                self._read_callback(callback, read)
            except Exception as why:  # noqa: BLE001 - no callback, whatever it contains, stops the others
                read.unreadable_count += 1
                log.warning("callback cannot be read", kind=callback.command[:40], problem=type(why).__name__)
        chats = [item.chat for item in read.items if isinstance(item, Message)]
        await self._client.login.remember_chats(chats)
        return read

    def _read_callback(self, callback: Callback, read: _ReadCallbacks) -> None:
        """Reads one callback. Raises `ValueError` for one that says not enough."""
        key = read_text(callback.body, "msgid").strip()
        now = self._client.clock.now
        is_message = callback.command == CallbackKind.MESSAGE
        if is_message and self._marks.is_fatal(key):
            log.error("message skipped: the process ended three times while it was read", message_id=key)
            read.items.append(fatal_message_event(key, key, now))
            return
        if is_message:
            with self._marks.processing(key):
                messages = read_messages(callback.body, self._bot_name, self._client.language, now)
            read.items += messages
            answerable = AnswerableMessage(self._client.connection, callback, messages[0].chat)
            for message in messages:
                read.answerable.setdefault(message.key, answerable)
            return
        match callback.event_type:
            case EventType.PRESS:
                read.items.append(read_button_press(callback, self._client.connection.id, now))
            case EventType.DISCONNECTED:
                pass  # the connection has ended itself (`is_taken_over`)
            case EventType.ENTER_CHAT | EventType.FEEDBACK | EventType.ENTER_CHECK | EventType.AUTHORISATION:
                pass
            case unknown:
                read.unreadable_count += 1
                log.warning("callback of an unknown kind", kind=(unknown or callback.command)[:40])

    def _new_contacts(self, items: list[Message | ButtonPress | Event]) -> Iterator[Contact]:
        """Yields chats and people that are seen for the first time in this run; WeCom sends only ids."""
        for item in items:
            handles = (item.chat, item.sender) if isinstance(item, Message | ButtonPress) else ()
            for handle in handles:
                if handle is not None and handle not in self._known:
                    self._known.add(handle)
                    yield contact_of(handle)


@dataclass(slots=True)
class _ReadCallbacks:
    """What some callbacks say."""

    items: list[Message | ButtonPress | Event] = field(default_factory=list)
    #: What can be answered, by the key of each message of the callback.
    answerable: dict[str, AnswerableMessage] = field(default_factory=dict)
    #: How many callbacks were skipped.
    unreadable_count: int = 0


@dataclass(slots=True)
class _Unstored:
    """The last batch, which is returned again for the cursor before it."""

    cursor_before: Cursor
    batch: Batch
    answerable: dict[str, AnswerableMessage]


def _gap_event(since: int, until: int) -> Event:
    """Returns the event about a time without a connection; both times in milliseconds since 1970.

    Both are in its key: the next process may report a gap that began at the same time, with another end.
    """
    since = min(since, until)  # a clock that was set back may end a gap before it began
    fields: dict[str, Json] = {"since": rfc3339(since), "until": rfc3339(until)}
    return Event(key=f"{GAP_EVENT}:{since}:{until}", name=GAP_EVENT, time=until, fields=fields)
