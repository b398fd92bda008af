"""Receiving: wait for news behind a cursor, read them, see what they open for us (ilink 4, 5).

The server's cursor moves only through the one that is returned, so the same cursor brings the same again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import structlog

from wx2mqtt.errors import Throttled
from wx2mqtt.model import ChatKind, Contact, Cursor, Handle, Json, Message
from wx2mqtt.retry import Backoff
from wx2mqtt.wechat.fields import Entry
from wx2mqtt.wechat.gateway import Batch, Lookup
from wx2mqtt.wechat.ilink import requests, responses
from wx2mqtt.wechat.ilink.channel import Channel
from wx2mqtt.wechat.ilink.endpoints import AFTER_HOLD, GET_UPDATES, HOLD
from wx2mqtt.wechat.ilink.messages import Letter, letter
from wx2mqtt.wechat.ilink.position import Position
from wx2mqtt.wechat.ilink.quotes import Quote
from wx2mqtt.wechat.ilink.requests import Body
from wx2mqtt.wechat.ilink.transport import Refusal
from wx2mqtt.wechat.ilink.window import Chat

log = structlog.get_logger(__name__)

FORBIDDEN = 403
AT_ONCE = 0.2  # seconds; a poll that brings nothing is held for longer
FRUITLESS = 3  # such answers at once in a row, until we slow down
AT_FIRST, AT_MOST = 0.5, 10.0  # seconds between two polls then
CARRIED = 20  # chats whose tokens stand in a cursor
AHEAD = 60_000  # milliseconds that a message may come before its time; a later time is none


class Inbox:
    """What one login receives. `said` tells what a message said that is answered by its id."""

    def __init__(self, channel: Channel, said: Lookup) -> None:
        self._channel = channel
        self._said = said
        self._hold = HOLD
        self._fruitless = Backoff(first=AT_FIRST, cap=AT_MOST)
        self._another = Backoff(first=5.0, cap=30.0)
        self._latest: tuple[str, ...] = ()
        self._met: set[Handle] = set()

    async def receive(self, cursor: Cursor) -> Batch:
        """As `Gateway.receive`."""
        position, channel = Position.of(cursor), self._channel
        for user, chat in position.chats.items():
            channel.change(user, partial(_also_heard, wrote=chat.wrote, token=chat.token))
        channel.reached(cursor)
        await channel.save_now_and_then()
        await self._pause()
        began = channel.timing.monotonic()
        fields, limit = requests.updates(position.buf), self._hold + AFTER_HOLD
        found = responses.updates(await self._asked(fields, limit))
        self._hold = found.hold or max(HOLD, self._hold)  # not every answer tells it
        letters, unread = self._read(found.messages)
        self._note(letters, channel.timing.monotonic() - began)
        if not letters and found.buf in {"", position.buf}:
            return Batch(cursor=cursor, unread=unread + found.unread)
        now = channel.clock.now()
        for one in letters:
            when = one.time if 0 < one.time < now + AHEAD else now
            channel.change(one.sender, partial(_also_heard, wrote=when, token=one.token))
        items: dict[str, Message] = {}
        for one in letters:
            for message in await self._resolved(one):
                items.setdefault(message.key, message)
        return Batch(
            cursor=self._after(found.buf or position.buf),
            items=tuple(items.values()),
            contacts=tuple(self._strangers(letters)),
            unread=unread + found.unread,
        )

    async def _asked(self, fields: Body, limit: float) -> Entry:
        """403 is said to who polls while a poll is open: another program's, or ours of before a crash."""
        try:
            answer = await self._channel.ask(GET_UPDATES, fields, limit=limit)
        except Refusal as why:
            if why.status != FORBIDDEN:
                raise
            self._another = self._another.failed()
            pause = self._another.wait(1.0)
            raise Throttled(self._channel.words("second_poller"), retry_after=pause) from None
        self._another = self._another.reset()
        return answer

    async def _pause(self) -> None:
        """A server that answers at once and has nothing new, again and again, is asked less often."""
        failures = self._fruitless.failures - FRUITLESS
        if failures > 0:
            timing = self._channel.timing
            await timing.sleep(replace(self._fruitless, failures=failures).wait(timing.chance()))

    def _note(self, letters: list[Letter], seconds: float) -> None:
        """Whether a poll brought anything, or the server should have held it."""
        before, self._latest = self._latest, tuple(m.key for one in letters for m in one.messages)
        fruitless = seconds < AT_ONCE and self._latest in {(), before}
        self._fruitless = self._fruitless.failed() if fruitless else self._fruitless.reset()

    def _read(self, entries: list[Entry]) -> tuple[list[Letter], int]:
        bot, language, now = self._channel.bot.id, self._channel.language, self._channel.timing.now
        letters: list[Letter] = []
        unread = 0
        for entry in entries:
            try:
                found = letter(entry, bot, language, now)
            except Exception:  # noqa: BLE001 - one entry, whatever is in it, never stops the others (DESIGN P5)
                unread += 1
                log.warning("message cannot be read", type=str(entry.get("message_type"))[:20])
                continue
            if found is not None:
                letters.append(found)
        return letters, unread

    def _after(self, buf: str) -> Cursor:
        chats = list(self._channel.bot.chats.items())[-CARRIED:]
        known = {user: Chat(token=chat.token, wrote=chat.wrote) for user, chat in chats if chat.wrote}
        return Position(buf=buf, chats=known).cursor()

    def _strangers(self, letters: list[Letter]) -> Iterator[Contact]:
        """Who writes for the first time: nothing is told of anybody but their id (ilink 9)."""
        for one in letters:
            if one.sender not in self._met:
                self._met.add(one.sender)
                yield contact(one.sender)

    async def _resolved(self, found: Letter) -> list[Message]:
        """The messages of a letter, with what they answer as far as it can be known."""
        messages = list(found.messages)
        for place, quote in found.quotes.items():
            messages[place] = replace(messages[place], detail=await self._detail(quote))
        return messages

    async def _detail(self, quote: Quote) -> dict[str, Json]:
        """Newer phones tell only which message is answered: it is looked up among all (ilink 5.4)."""
        said = await self._said(quote.id) if quote.id else None
        if said is None:
            return quote.detail()
        if not quote.text:
            quote = replace(quote, kind=said.kind, text=said.text)
        author: dict[str, Json] = {"user": said.user} if said.user else {}
        ours: dict[str, Json] = {"self": True, "command_id": said.command} if said.command else {}
        return {**quote.detail(), **author, **ours}


def contact(user: Handle) -> Contact:
    """Somebody as iLink knows them: an id that stays the same over all logins, and no name."""
    return Contact(handle=user, kind=ChatKind.FRIEND, permanent_id=user)


def _also_heard(chat: Chat, *, wrote: int, token: str) -> Chat:
    return chat.heard(wrote, token)
