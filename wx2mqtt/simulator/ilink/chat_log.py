"""What the phones show of the chats with the bots, and what the bots sent. For the page and tests."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from wx2mqtt.simulator.media import FileDescription
from wx2mqtt.simulator.waiting_condition import WaitingCondition

MAX_LINES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLine:
    """A message in the chat of a person (an id of the world) with their bot. `quoted` is what it answers."""

    n: int
    person: str
    by: Literal["person", "bot"]
    kind: str
    text: str
    msg_id: str
    time: float
    quoted: str = ""
    media: FileDescription | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BotMessage:
    """A message of a bot that the servers accepted.

    `delivered`: the phone shows it (not: a repeat, a muted person, a voice). `confirmed`: the answer had its
    id. `token`: newest, older, or none. `text` of a file is its name; `sha256` (hex) is that of the file.
    """

    n: int
    person: str
    bot_id: str
    kind: str
    text: str
    client_id: str
    msg_id: str
    token: Literal["newest", "older", "none"]
    time: float
    repeat: bool
    delivered: bool
    confirmed: bool
    media: FileDescription | None = None
    sha256: str = ""


class ChatLog:
    """The newest lines, and everything that was sent."""

    def __init__(self) -> None:
        self.changes = WaitingCondition()
        self.lines: deque[ChatLine] = deque(maxlen=MAX_LINES)
        self.sent: list[BotMessage] = []
        self.count = 0

    def show(
        self,
        *,
        person: str,
        by: Literal["person", "bot"],
        kind: str,
        text: str,
        msg_id: str,
        time: float,
        quoted: str = "",
        media: FileDescription | None = None,
    ) -> None:
        """Another line."""
        self.count += 1
        self.lines.append(
            ChatLine(
                n=self.count,
                person=person,
                by=by,
                kind=kind,
                text=text,
                msg_id=msg_id,
                time=time,
                quoted=quoted,
                media=media,
            )
        )

    def find(self, msg_id: str) -> ChatLine | None:
        """The message with that id, if it is still kept."""
        return next((line for line in reversed(self.lines) if line.msg_id == msg_id), None)

    def record_sent(self, sent: BotMessage) -> None:
        """A bot sent something."""
        self.sent.append(sent)
        self.changes.notify()
