"""The chats with the bots as people see them, and all that bots sent, for the phone page and for tests."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Literal

from wx2mqtt.simulator.media import FileDescription
from wx2mqtt.simulator.waiting_condition import WaitingCondition
from wx2mqtt.simulator.wecom.cards import Card

MAX_LINES = 20_000

Command = Literal["send", "respond", "welcome", "update"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLine:
    """A message in a chat (an id of the world) with a bot; `sender` is `bot` or an id of the world.

    A line that changes (a card, an answer that grows) gets the next `n` and keeps its `msg_id`.
    `lost`: no program was connected. `chosen` is what was pressed on the card.
    """

    n: int
    bot_id: str
    chat: str
    sender: str
    kind: str
    text: str
    msg_id: str
    time: float
    quoted: str = ""
    lost: bool = False
    media: FileDescription | None = None
    card: Card | None = None
    chosen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMessage:
    """What a bot sent and the gateway took.

    `text` is as it was sent, `shown` as people read it; of a file, both are its name. `answers` is the id of
    the message that it answers. `finished` is false while an answer grows. `sha256` is in hex.
    """

    n: int
    bot_id: str
    chat: str
    command: Command
    kind: str
    text: str
    shown: str
    msg_id: str
    time: float
    answers: str = ""
    finished: bool = True
    media: FileDescription | None = None
    sha256: str = ""
    card: Card | None = None


class ChatLog:
    """The newest lines, and everything that bots sent."""

    def __init__(self) -> None:
        self.changes = WaitingCondition()
        self.lines: deque[ChatLine] = deque(maxlen=MAX_LINES)
        self.sent: list[SentMessage] = []
        self.count = 0
        self._ids = 0

    def new_id(self) -> str:
        """Returns the id of a message that a bot sends; people never see it."""
        self._ids += 1
        return f"bot-{self._ids}"

    def show(self, line: ChatLine) -> None:
        """Adds a line, or replaces the one with the same `msg_id`; its `n` is set here."""
        self.count += 1
        older = self.find(line.msg_id)
        if older is not None:
            self.lines.remove(older)
        self.lines.append(replace(line, n=self.count))
        self.changes.notify()

    def find(self, msg_id: str) -> ChatLine | None:
        """Returns the line with that message id, if it is still kept."""
        return next((line for line in reversed(self.lines) if line.msg_id == msg_id), None)

    def find_card(self, bot_id: str, task_id: str, chat: str = "") -> ChatLine | None:
        """Returns the newest line with a card; an empty `task_id` or `chat` means any."""
        for line in reversed(self.lines):
            if line.card is None or line.bot_id != bot_id:
                continue
            if task_id in ("", line.card.task_id) and chat in ("", line.chat):
                return line
        return None

    def record_sent(self, message: SentMessage) -> None:
        """Adds a message; its `n` is set here."""
        self.sent.append(replace(message, n=len(self.sent) + 1))
        self.changes.notify()
