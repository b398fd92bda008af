"""Receives messages after a cursor, and records whose reply windows they open (ilink 4, 5).

One `receive` is one poll. Its cursor holds WeChat's position (`buf`) and the newest chats with their context
tokens, so that the bridge can answer after a restart. The receiver keeps no position of its own: the same
cursor returns the same messages again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

import structlog

from wx2mqtt.aio import yield_after_long_work
from wx2mqtt.clock import Backoff
from wx2mqtt.errors import Throttled
from wx2mqtt.model import ChatKind, Contact, Cursor, Event, Handle, Message
from wx2mqtt.wechat.backend import Batch
from wx2mqtt.wechat.backend_options import (
    MessageMarks,
    QuoteLookup,
    fatal_message_event,
    skipped_message_event,
)
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.ilink_http import HttpStatusError
from wx2mqtt.wechat.ilink.protocol import responses
from wx2mqtt.wechat.ilink.protocol.endpoints import GET_UPDATES, POLL_GRACE_SECONDS, POLL_HOLD_SECONDS
from wx2mqtt.wechat.ilink.protocol.message_ids import hash_entry, read_id
from wx2mqtt.wechat.ilink.protocol.messages import (
    ReceivedItem,
    ReceivedMessage,
    is_of_group,
    read_message,
)
from wx2mqtt.wechat.ilink.protocol.reply_window import ChatWindow
from wx2mqtt.wechat.ilink.protocol.responses import Updates
from wx2mqtt.wechat.ilink.protocol.session import SyncCursor
from wx2mqtt.wechat.json_reader import JsonObject

log = structlog.get_logger(__name__)

HTTP_FORBIDDEN = 403

# The server should hold a poll without news. One that it answers sooner than this, without news, is an empty
# poll; more than MAX_EMPTY_POLLS of them in a row are followed by growing pauses.
IMMEDIATE_ANSWER_SECONDS = 0.2
MAX_EMPTY_POLLS = 3
FIRST_POLL_PAUSE_SECONDS = 0.5
MAX_POLL_PAUSE_SECONDS = 10.0

# The first and the longest pause after WeChat refused a poll because another one is open.
FIRST_SECOND_POLLER_PAUSE_SECONDS = 5.0
MAX_SECOND_POLLER_PAUSE_SECONDS = 30.0

# A cursor has the context tokens of so many chats: those that changed last.
MAX_CHATS_IN_CURSOR = 20

# A message whose time is further in the future by WeChat's clock counts as one without a time.
FUTURE_TOLERANCE_MS = 60_000


class Receiver:
    """Receives for one login. `quote_lookup` returns the messages that replies name by id."""

    def __init__(self, client: ApiClient, quote_lookup: QuoteLookup, marks: MessageMarks) -> None:
        self._client = client
        self._logins = client.logins
        self._marks = marks
        self._quote_lookup = quote_lookup
        #: How long WeChat will hold the next poll.
        self._hold_seconds = POLL_HOLD_SECONDS
        #: Counts the polls in a row that were answered at once without news.
        self._empty_poll_backoff = Backoff(first=FIRST_POLL_PAUSE_SECONDS, cap=MAX_POLL_PAUSE_SECONDS)
        #: Counts the polls in a row that were refused because another one is open.
        self._second_poller_backoff = Backoff(
            first=FIRST_SECOND_POLLER_PAUSE_SECONDS, cap=MAX_SECOND_POLLER_PAUSE_SECONDS
        )
        #: The keys of the items of the last poll.
        self._last_keys: tuple[str, ...] = ()
        #: Everybody who has written in this login.
        self._known_senders: set[Handle] = set()
        #: A message has come in this login, so the login before it need not be kept (`Bot.keeps_earlier`).
        self._has_received = False

    async def receive(self, cursor: Cursor) -> Batch:
        """Waits for news after `cursor`, in this order:

        1. Records what the cursor says: the bridge has stored all messages before it.
        2. Makes one poll, and reads its messages.
        3. Opens the reply windows of those who wrote.
        4. Looks up the messages that they quote.
        """
        client = self._client
        position = SyncCursor.from_cursor(cursor)
        self._restore_chats(position)
        await self._logins.record_stored(cursor, has_received=self._has_received)
        await self._wait_if_empty_polls()
        started_at = client.clock.monotonic()
        updates = await self._poll(position)
        poll_seconds = client.clock.monotonic() - started_at
        entries = await self._read_entries(updates.messages)
        received_messages = entries.received
        unreadable_count = len(entries.unreadable) + updates.unreadable_count
        self._record_poll(received_messages, poll_seconds)
        has_moved = updates.buf not in {"", position.buf}
        has_news = bool(received_messages or entries.events or has_moved)
        if not has_news:
            return Batch(cursor=cursor, unreadable_count=unreadable_count)
        self._open_windows(received_messages)
        if received_messages:
            self._has_received = True
        items = await self._items(received_messages)
        return Batch(
            cursor=self._next_cursor(updates.buf or position.buf),
            items=(*entries.events, *items),
            contacts=tuple(self._new_contacts(received_messages)),
            unreadable_count=unreadable_count,
        )

    def _restore_chats(self, position: SyncCursor) -> None:
        """Records the messages that the cursor knows: after a crash the saved login may lack them."""
        chats = {
            user: self._logins.chat(user).with_message(chat.last_wrote, chat.context_token)
            for user, chat in position.chats.items()
        }
        self._logins.store_chats(chats)

    async def _wait_if_empty_polls(self) -> None:
        """Waits before the next poll where the server keeps answering at once without news."""
        failures = self._empty_poll_backoff.failures - MAX_EMPTY_POLLS
        if failures > 0:
            clock = self._client.clock
            await clock.sleep(replace(self._empty_poll_backoff, failures=failures).wait(clock.chance()))

    async def _poll(self, position: SyncCursor) -> Updates:
        """Makes one poll. Raises `Throttled` where another poll is open.

        WeChat answers 403 then. The other poll may be that of another program, or one from before a crash.
        """
        limit = self._hold_seconds + POLL_GRACE_SECONDS
        try:
            answer = await self._client.call(GET_UPDATES, {"get_updates_buf": position.buf}, limit=limit)
        except HttpStatusError as why:
            if why.status != HTTP_FORBIDDEN:
                raise
            self._second_poller_backoff = self._second_poller_backoff.after_failure()
            pause = self._second_poller_backoff.wait(1.0)  # 1.0: the whole pause
            raise Throttled(self._client.text("second_poller"), retry_after=pause) from None
        self._second_poller_backoff = self._second_poller_backoff.reset()
        updates = responses.read_updates(answer)
        # Not every answer contains the time that the server will hold the next poll.
        self._hold_seconds = updates.hold_seconds or max(POLL_HOLD_SECONDS, self._hold_seconds)
        return updates

    async def _read_entries(self, entries: list[JsonObject]) -> _ReadEntries:
        bot_id = self._logins.bot.id
        language = self._client.language
        now = self._client.clock.now
        result = _ReadEntries()
        loop_clock = asyncio.get_running_loop().time
        started_at = loop_clock()
        for entry in entries:
            started_at = await yield_after_long_work(started_at, loop_clock)
            try:
                message_id = read_id(entry, "message_id")
                key = message_id or hash_entry(entry)
                if self._marks.is_fatal(key):
                    log.error(
                        "message skipped: the process ended three times while it was read",
                        message_id=message_id,
                    )
                    result.events.append(fatal_message_event(key, message_id, now))
                    continue
                if is_of_group(entry):
                    log.warning("message of a group skipped: iLink has none", message_id=message_id)
                    result.events.append(skipped_message_event(key, message_id, now, {"reason": "group"}))
                    continue
                with self._marks.processing(key):
                    received = read_message(entry, bot_id, language, now)
            except Exception:  # noqa: BLE001 - no entry, whatever it contains, stops the others
                result.unreadable.append(entry)
                continue
            if received is not None:
                result.received.append(received)
        if result.unreadable:
            type_of_first = str(result.unreadable[0].get("message_type"))[:20]
            log.warning("message cannot be read", type=type_of_first, count=len(result.unreadable))
        return result

    def _record_poll(self, received_messages: list[ReceivedMessage], seconds: float) -> None:
        """Counts a poll as empty where it was answered at once, with nothing or the same messages again."""
        keys = tuple(item.message.key for received in received_messages for item in received.items)
        is_empty = seconds < IMMEDIATE_ANSWER_SECONDS and keys in {(), self._last_keys}
        self._last_keys = keys
        backoff = self._empty_poll_backoff
        self._empty_poll_backoff = backoff.after_failure() if is_empty else backoff.reset()

    def _open_windows(self, received_messages: list[ReceivedMessage]) -> None:
        now = self._client.server_clock.now()
        chats: dict[Handle, ChatWindow] = {}
        for received in received_messages:
            wrote = received.time if 0 < received.time < now + FUTURE_TOLERANCE_MS else now
            chat = chats.get(received.sender) or self._logins.chat(received.sender)
            chats[received.sender] = chat.with_message(wrote, received.context_token)
        self._logins.store_chats(chats)

    async def _items(self, received_messages: list[ReceivedMessage]) -> list[Message]:
        """Returns the messages of all items, with their quotes; of two with the same key, the first."""
        items: dict[str, Message] = {}
        loop_clock = asyncio.get_running_loop().time
        started_at = loop_clock()
        for item in chain.from_iterable(received.items for received in received_messages):
            started_at = await yield_after_long_work(started_at, loop_clock)
            if item.message.key not in items:
                items[item.message.key] = await self._with_quote(item)
        return list(items.values())

    async def _with_quote(self, item: ReceivedItem) -> Message:
        """Returns the message of an item, with the details of the message that it quotes.

        Newer phones send only the id of the quoted one, so it is looked up in the store (ilink 5.4.1). Its
        text there counts, too, where the phone sends one: whoever quotes could change it.
        """
        if item.quote is None:
            return item.message
        quote = item.quote
        quoted = await self._quote_lookup(quote.id, item.message.chat) if quote.id else None
        if quoted is None:
            return replace(item.message, detail=quote.detail())
        stored = replace(quote, kind=quoted.kind, text=quoted.text)
        return replace(item.message, detail={**stored.detail(), **quoted.author()})

    def _new_contacts(self, received_messages: list[ReceivedMessage]) -> Iterator[Contact]:
        """Yields those who write for the first time in this login; iLink sends only their ids (ilink 9.1)."""
        for received in received_messages:
            if received.sender not in self._known_senders:
                self._known_senders.add(received.sender)
                yield contact_of(received.sender)

    def _next_cursor(self, buf: str) -> Cursor:
        chats = list(self._logins.bot.chats.items())[-MAX_CHATS_IN_CURSOR:]
        chats_with_messages = {
            user: ChatWindow(context_token=chat.context_token, last_wrote=chat.last_wrote)
            for user, chat in chats
            if chat.last_wrote
        }
        return SyncCursor(buf=buf, chats=chats_with_messages).to_cursor()


@dataclass(slots=True)
class _ReadEntries:
    """What the entries of one answer hold."""

    received: list[ReceivedMessage] = field(default_factory=list)
    #: The events about messages that are skipped.
    events: list[Event] = field(default_factory=list)
    #: The entries that cannot be read.
    unreadable: list[JsonObject] = field(default_factory=list)


def contact_of(user: Handle) -> Contact:
    """Returns a person as a contact: iLink has an id that is the same in all logins, and no name."""
    return Contact(handle=user, kind=ChatKind.FRIEND, permanent_id=user)
