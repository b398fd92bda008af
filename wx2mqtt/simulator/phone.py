"""The account's phone: all messages in sequence, and what web clients sent. Bounded.

The phone page and the tests read it. Has no session and no user names.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Literal

from wx2mqtt.simulator.media import FileDescription
from wx2mqtt.simulator.waiting_condition import WaitingCondition

MAX_LINES = 5_000

Via = Literal["friend", "phone", "web", "system"]


@dataclass(slots=True, kw_only=True)
class PhoneLine:
    """A message as the phone shows it. `chat` and `sender` are ids of the world; `time` is in seconds."""

    n: int
    chat: str
    sender: str
    via: Via
    kind: str
    text: str
    msg_id: str
    time: float
    recalled: bool = False
    media: FileDescription | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMessage:
    """A message that a web client sent and WeChat accepted. `repeat`: its ClientMsgId was known already.

    For a file, `text` is its name, and `media` and `sha256` (hex) are set.
    """

    n: int
    to: str
    text: str
    kind: str
    client_msg_id: str
    msg_id: str
    time: float
    repeat: bool
    delivered: bool
    media: FileDescription | None = None
    sha256: str = ""


class Phone:
    """The newest lines, and everything that web clients sent."""

    def __init__(self) -> None:
        self.changes = WaitingCondition()
        self.lines: deque[PhoneLine] = deque(maxlen=MAX_LINES)
        self.sent: list[ClientMessage] = []
        self.count = 0
        self.unread: Counter[str] = Counter()
        self.recalled: list[str] = []

    def show(
        self,
        *,
        chat: str,
        sender: str,
        via: Via,
        kind: str,
        text: str,
        msg_id: str,
        time: float,
        media: FileDescription | None = None,
    ) -> None:
        self.count += 1
        if via in ("friend", "system"):
            self.unread[chat] += 1
        elif via == "phone":
            self.unread.pop(chat, None)
        self.lines.append(
            PhoneLine(
                n=self.count,
                chat=chat,
                sender=sender,
                via=via,
                kind=kind,
                text=text,
                msg_id=msg_id,
                time=time,
                media=media,
            ),
        )

    def find(self, msg_id: str) -> PhoneLine | None:
        """Returns the line with that message id, if it is still kept."""
        return next((line for line in reversed(self.lines) if line.msg_id == msg_id), None)

    def read(self, chat: str) -> None:
        self.unread.pop(chat, None)
        self.changes.notify()

    def recall(self, msg_id: str) -> None:
        line = self.find(msg_id)
        if line is not None and not line.recalled:
            line.recalled = True
            self.recalled.append(msg_id)

    def record_sent(  # noqa: PLR0913 - a form with many fields
        self,
        *,
        to: str,
        text: str,
        kind: str,
        client_msg_id: str,
        msg_id: str,
        time: float,
        repeat: bool,
        delivered: bool,
        media: FileDescription | None = None,
        sha256: str = "",
    ) -> None:
        self.sent.append(
            ClientMessage(
                n=len(self.sent) + 1,
                to=to,
                text=text,
                kind=kind,
                client_msg_id=client_msg_id,
                msg_id=msg_id,
                time=time,
                repeat=repeat,
                delivered=delivered,
                media=media,
                sha256=sha256,
            )
        )
        self.changes.notify()

    def notify_changed(self) -> None:
        self.changes.notify()
