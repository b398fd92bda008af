"""Receiving: waits for messages after a cursor, reads them, and notes whose window they open (ilink 4, 5).

Only the returned cursor moves on, so the same cursor brings the same messages again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import structlog

from wx2mqtt.backoff import Backoff
from wx2mqtt.errors import Throttled
from wx2mqtt.model import ChatKind, Contact, Cursor, Handle, Json, Message
from wx2mqtt.wechat.backend import Batch, QuoteLookup
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.protocol import requests, responses
from wx2mqtt.wechat.ilink.protocol.endpoints import GET_UPDATES, POLL_GRACE_SECONDS, POLL_HOLD_SECONDS
from wx2mqtt.wechat.ilink.protocol.messages import Quote, ReceivedItem, read_item
from wx2mqtt.wechat.ilink.protocol.reply_window import ChatWindow
from wx2mqtt.wechat.ilink.protocol.requests import JsonBody
from wx2mqtt.wechat.ilink.protocol.responses import SyncCursor
from wx2mqtt.wechat.ilink.transport import HttpStatusError
from wx2mqtt.wechat.json_reader import JsonObject

log = structlog.get_logger(__name__)

HTTP_FORBIDDEN = 403
IMMEDIATE_ANSWER_SECONDS = 0.2  # seconds; a poll that brings nothing is held for longer
MAX_EMPTY_POLLS = 3  # such answers at once in a row, until we slow down
FIRST_POLL_PAUSE_SECONDS, MAX_POLL_PAUSE_SECONDS = 0.5, 10.0  # seconds between two polls then
MAX_CHATS_IN_CURSOR = 20  # chats whose tokens stand in a cursor
CLOCK_TOLERANCE_MS = 60_000  # milliseconds that a message may come before its time; a later time is none


class Receiver:
    """What one login receives. `said` tells what a message said that is answered by its id."""

    def __init__(self, client: ApiClient, quote_lookup: QuoteLookup) -> None:
        self._client = client
        self._quote_lookup = quote_lookup
        self._hold_seconds = POLL_HOLD_SECONDS
        self._empty_poll_backoff = Backoff(first=FIRST_POLL_PAUSE_SECONDS, cap=MAX_POLL_PAUSE_SECONDS)
        self._second_poller_backoff = Backoff(first=5.0, cap=30.0)
        self._last_keys: tuple[str, ...] = ()
        self._known_senders: set[Handle] = set()

    async def receive(self, cursor: Cursor) -> Batch:
        """As `Backend.receive`."""
        position, client = SyncCursor.from_cursor(cursor), self._client
        for user, chat in position.chats.items():
            client.update_chat(user, partial(_also_heard, wrote=chat.last_wrote, token=chat.token))
        client.store_cursor(cursor)
        await client.save_throttled()
        await self._wait_if_empty_polls()
        started_at = client.clock.monotonic()
        fields, limit = requests.updates_request(position.buf), self._hold_seconds + POLL_GRACE_SECONDS
        found = responses.read_updates(await self._fetch_updates(fields, limit))
        self._hold_seconds = found.hold_seconds or max(
            POLL_HOLD_SECONDS, self._hold_seconds
        )  # not every answer tells it
        received_items, unread = self._read(found.messages)
        self._record_poll(received_items, client.clock.monotonic() - started_at)
        if not received_items and found.buf in {"", position.buf}:
            return Batch(cursor=cursor, unreadable_count=unread + found.unreadable_count)
        now = client.server_clock.now()
        for received in received_items:
            when = received.time if 0 < received.time < now + CLOCK_TOLERANCE_MS else now
            client.update_chat(received.sender, partial(_also_heard, wrote=when, token=received.token))
        items: dict[str, Message] = {}
        for received in received_items:
            for message in await self._with_quotes(received):
                items.setdefault(message.key, message)
        return Batch(
            cursor=self._next_cursor(found.buf or position.buf),
            items=tuple(items.values()),
            contacts=tuple(self._new_contacts(received_items)),
            unreadable_count=unread + found.unreadable_count,
        )

    async def _fetch_updates(self, fields: JsonBody, limit: float) -> JsonObject:
        """403 is said to who polls while a poll is open: another program's, or ours of before a crash."""
        try:
            answer = await self._client.call(GET_UPDATES, fields, limit=limit)
        except HttpStatusError as why:
            if why.status != HTTP_FORBIDDEN:
                raise
            self._second_poller_backoff = self._second_poller_backoff.after_failure()
            pause = self._second_poller_backoff.wait(1.0)
            raise Throttled(self._client.text("second_poller"), retry_after=pause) from None
        self._second_poller_backoff = self._second_poller_backoff.reset()
        return answer

    async def _wait_if_empty_polls(self) -> None:
        """A server that answers at once and has nothing new, again and again, is asked less often."""
        failures = self._empty_poll_backoff.failures - MAX_EMPTY_POLLS
        if failures > 0:
            clock = self._client.clock
            await clock.sleep(replace(self._empty_poll_backoff, failures=failures).wait(clock.chance()))

    def _record_poll(self, received_items: list[ReceivedItem], seconds: float) -> None:
        """Whether a poll brought anything, or the server should have held it."""
        before, self._last_keys = (
            self._last_keys,
            tuple(m.key for received in received_items for m in received.messages),
        )
        fruitless = seconds < IMMEDIATE_ANSWER_SECONDS and self._last_keys in {(), before}
        self._empty_poll_backoff = (
            self._empty_poll_backoff.after_failure() if fruitless else self._empty_poll_backoff.reset()
        )

    def _read(self, entries: list[JsonObject]) -> tuple[list[ReceivedItem], int]:
        bot, language, now = self._client.bot.id, self._client.language, self._client.clock.now
        received_items: list[ReceivedItem] = []
        unread = 0
        for entry in entries:
            try:
                found = read_item(entry, bot, language, now)
            except Exception:  # noqa: BLE001 - one entry, whatever is in it, never stops the others
                unread += 1
                log.warning("message cannot be read", type=str(entry.get("message_type"))[:20])
                continue
            if found is not None:
                received_items.append(found)
        return received_items, unread

    def _next_cursor(self, buf: str) -> Cursor:
        chats = list(self._client.bot.chats.items())[-MAX_CHATS_IN_CURSOR:]
        known = {
            user: ChatWindow(token=chat.token, last_wrote=chat.last_wrote)
            for user, chat in chats
            if chat.last_wrote
        }
        return SyncCursor(buf=buf, chats=known).to_cursor()

    def _new_contacts(self, received_items: list[ReceivedItem]) -> Iterator[Contact]:
        """Who writes for the first time: nothing is told of anybody but their id (ilink 9.1)."""
        for received in received_items:
            if received.sender not in self._known_senders:
                self._known_senders.add(received.sender)
                yield contact_of(received.sender)

    async def _with_quotes(self, item: ReceivedItem) -> list[Message]:
        """The messages of a received, with what they answer as far as it can be known."""
        messages = list(item.messages)
        for place, quote in item.quotes.items():
            messages[place] = replace(messages[place], detail=await self._quote_detail(quote))
        return messages

    async def _quote_detail(self, quote: Quote) -> dict[str, Json]:
        """Newer phones tell only which message is answered: it is looked up among all (ilink 5.4.1)."""
        quoted = await self._quote_lookup(quote.id) if quote.id else None
        if quoted is None:
            return quote.detail()
        if not quote.text:
            quote = replace(quote, kind=quoted.kind, text=quoted.text)
        author: dict[str, Json] = {"user": quoted.user} if quoted.user else {}
        ours: dict[str, Json] = {"self": True, "command_id": quoted.command_id} if quoted.command_id else {}
        return {**quote.detail(), **author, **ours}


def contact_of(user: Handle) -> Contact:
    """Somebody as iLink knows them: an id that stays the same over all logins, and no name."""
    return Contact(handle=user, kind=ChatKind.FRIEND, permanent_id=user)


def _also_heard(chat: ChatWindow, *, wrote: int, token: str) -> ChatWindow:
    return chat.with_message(wrote, token)
