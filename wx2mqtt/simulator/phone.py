"""What the account's phone knows: every message, in order, whoever wrote it, and what web clients sent.

Bounded; the page and the tests read it. Knows no session and no user name.
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
    """A message as the phone shows it. `chat` and `sender` are ids of the world; `time` in seconds."""

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
    """A message that a web client sent and WeChat took. A repeat has a ClientMsgId that was known.

    `text` of a file is its name; `media` and `sha256` (hex) are there when it brought bytes.
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
    """The newest lines, and everything that was sent."""

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
        """Another message in a chat."""
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
        """The message with that id, if it is still kept."""
        return next((line for line in reversed(self.lines) if line.msg_id == msg_id), None)

    def read(self, chat: str) -> None:
        """A chat was read: nothing in it is unread any more."""
        self.unread.pop(chat, None)
        self.changes.notify()

    def recall(self, msg_id: str) -> None:
        """A message was taken back."""
        line = self.find(msg_id)
        if line is not None and not line.recalled:
            line.recalled = True
            self.recalled.append(msg_id)

    def record_sent(
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
        """A web client sent something."""
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
        """Tell whoever reads."""
        self.changes.notify()
