"""A bot: what belongs to one binding of one person. Its token, what waits for it, the person's window."""

from __future__ import annotations

import asyncio
import base64
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from wx2mqtt.simulator.ilink.chat_log import BotMessage
from wx2mqtt.simulator.waiting_condition import WaitingCondition

MAX_CLIENT_IDS = 100_000
"""So many client ids of a bot are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSlice:
    """Messages between two positions, rendered."""

    end: int
    messages: Sequence[bytes]


class Bot:
    """One binding. `place` is the address (scheme and host) that the program uses, for links to media.

    `last_in` is when the person wrote last (seconds of the servers' clock), None before they did; `replies`
    counts what the bot sent since.
    """

    def __init__(self, rng: random.Random, *, person: str, user_id: str, address: str) -> None:
        self._rng = rng
        self.person = person
        self.user_id = user_id
        self.address = address
        self.bot_id = f"{rng.getrandbits(48):012x}@im.bot"
        self.token = f"{self.bot_id}:06{rng.getrandbits(248):062x}"
        self.alive = True
        self.started = False
        self.last_message_at: float | None = None
        self.replies = 0
        self.open_polls: set[asyncio.Transport] = set()
        self.empty_poll_times: deque[float] = deque(maxlen=100)
        self.answer_count = 0
        self.changes = WaitingCondition()
        self.context_tokens: list[str] = []
        self.typing_ticket = base64.b64encode(rng.randbytes(60)).decode()
        self.typing = False
        self.last_uin = ""
        self.acknowledged_position = 0
        self.redelivery_planned: set[bytes] = set()
        self.client_ids: dict[str, BotMessage] = {}
        self._log: list[bytes] = []
        self._cursors: dict[str, int] = {"": 0}

    @property
    def polling(self) -> bool:
        """Whether a getupdates is open; those that the program left do not count."""
        return any(not transport.is_closing() for transport in self.open_polls)

    @property
    def head(self) -> int:
        """The position after everything that was written."""
        return len(self._log)

    def invalidate(self) -> None:
        """The token is worth nothing any more (ilink 9.4); whoever polls is told."""
        self.alive = False
        self.changes.notify()

    def new_context_token(self) -> str:
        """Another one; the older ones stay good."""
        token = "AARzJW" + base64.urlsafe_b64encode(self._rng.randbytes(97)).decode().rstrip("=")
        self.context_tokens.append(token)
        return token

    def append(self, *messages: bytes) -> None:
        """The person wrote."""
        self._log += messages
        self.changes.notify()

    def find(self, msg_id: str) -> bytes | None:
        """The message with that id, or without one the newest."""
        if not msg_id:
            return self._log[-1] if self._log else None
        id_field = f'"message_id": {msg_id},'.encode()
        return next((message for message in reversed(self._log) if id_field in message), None)

    def record_client_id(self, client_id: str, sent: BotMessage) -> None:
        """What came under a client id first; of very many the oldest go."""
        self.client_ids.setdefault(client_id, sent)
        if len(self.client_ids) > MAX_CLIENT_IDS:
            del self.client_ids[next(iter(self.client_ids))]

    def position(self, cursor: str) -> int | None:
        """The position that a cursor names; None when this bot was never given it."""
        return self._cursors.get(cursor)

    def acknowledge(self, position: int) -> None:
        """What lies before that position has arrived (ilink 4.4.2)."""
        self.acknowledged_position = max(self.acknowledged_position, position)

    def slice_after(self, position: int, max_messages: int) -> MessageSlice:
        """At most `most` messages after a position."""
        end = min(position + max_messages, self.head)
        return MessageSlice(end=end, messages=self._log[position:end])

    def new_cursor(self, position: int) -> str:
        """A new cursor for a position."""
        text = base64.b64encode(self._rng.randbytes(48)).decode()
        self._cursors[text] = position
        return text

    def is_window_open(self, now: float, hours: float) -> bool:
        """Whether the person wrote, and not too long ago (ilink 10.1)."""
        return self.last_message_at is not None and now - self.last_message_at <= hours * 3600
