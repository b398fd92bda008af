"""The chats with the bots as the phones show them, and all messages that bots sent.

The phone page and the tests read them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from wx2mqtt.simulator.media import FileDescription
from wx2mqtt.simulator.waiting_condition import WaitingCondition

MAX_LINES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLine:
    """A message in the chat of a person (an id of the world) with their bot.

    `quoted` is the text it quotes.
    """

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

    `delivered`: the phone shows it (not a repetition, a voice, or a message to a muted person). `confirmed`:
    the answer had its id. `token` is the age of the context token. For a file, `text` is its name and
    `sha256` its hash in hex.
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
    """The newest lines, and everything that bots sent."""

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
        """Returns the line with that message id, if it is still kept."""
        return next((line for line in reversed(self.lines) if line.msg_id == msg_id), None)

    def record_sent(self, message: BotMessage) -> None:
        self.sent.append(message)
        self.changes.notify()
