"""A bot: its token, its message queue, and the reply window of its person."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from wx2mqtt.simulator.ilink.chat_log import BotMessage
from wx2mqtt.simulator.waiting_condition import WaitingCondition

MAX_CLIENT_IDS = 100_000
"""Number of client ids a bot keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSlice:
    """Rendered messages up to the position `end`."""

    end: int
    messages: Sequence[bytes]


class Bot:
    """The binding of one person to one program.

    `address` (scheme and host) is the one that the program uses; media links start with it. `last_message_at`
    is when the person wrote last (seconds of the servers' clock), None before that; `replies` counts the
    messages of the bot since then.
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
        """Whether a getupdates is open; connections that the program has closed do not count."""
        return any(not transport.is_closing() for transport in self.open_polls)

    @property
    def head(self) -> int:
        """The position after the newest message."""
        return len(self._log)

    def invalidate(self) -> None:
        """Revokes the token (ilink 9.4) and wakes open polls."""
        self.alive = False
        self.changes.notify()

    def new_context_token(self) -> str:
        """Issues another context token; older ones stay valid."""
        token = "AARzJW" + base64.urlsafe_b64encode(self._rng.randbytes(97)).decode().rstrip("=")
        self.context_tokens.append(token)
        return token

    def append(self, *messages: bytes) -> None:
        """Adds messages of the person and wakes open polls."""
        self._log += messages
        self.changes.notify()

    def find(self, msg_id: str) -> bytes | None:
        """Returns the message with that id, or the newest one if `msg_id` is empty."""
        if not msg_id:
            return self._log[-1] if self._log else None
        id_field = f'"message_id": {msg_id},'.encode()
        return next((message for message in reversed(self._log) if id_field in message), None)

    def record_client_id(self, client_id: str, message: BotMessage) -> None:
        """Keeps the first message of a client id; drops the oldest ids beyond `MAX_CLIENT_IDS`."""
        self.client_ids.setdefault(client_id, message)
        if len(self.client_ids) > MAX_CLIENT_IDS:
            del self.client_ids[next(iter(self.client_ids))]

    def position(self, cursor: str) -> int | None:
        """Returns the position of a cursor; None when this bot never got it."""
        return self._cursors.get(cursor)

    def acknowledge(self, position: int) -> None:
        """Marks the messages before a position as received (ilink 4.4.2)."""
        self.acknowledged_position = max(self.acknowledged_position, position)

    def message_ids(self) -> list[str]:
        """Returns the ids of all messages in order."""
        return [str(json.loads(message)["message_id"]) for message in self._log]

    def slice_after(self, position: int, max_messages: int) -> MessageSlice:
        """Returns at most `max_messages` messages after a position."""
        end = min(position + max_messages, self.head)
        return MessageSlice(end=end, messages=self._log[position:end])

    def new_cursor(self, position: int) -> str:
        text = base64.b64encode(self._rng.randbytes(48)).decode()
        self._cursors[text] = position
        return text

    def is_window_open(self, now: float, hours: float) -> bool:
        """Returns whether the person wrote within the last `hours` (ilink 10.1)."""
        return self.last_message_at is not None and now - self.last_message_at <= hours * 3600
