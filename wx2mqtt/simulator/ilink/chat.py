"""What the phones show of the chats with the bots, and what the bots sent. For the page and tests."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from wx2mqtt.simulator.bell import Bell
from wx2mqtt.simulator.media import Shown

KEPT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A message in the chat of a person (an id of the world) with their bot. `quoted` is what it answers."""

    n: int
    person: str
    by: Literal["person", "bot"]
    kind: str
    text: str
    msg_id: str
    time: float
    quoted: str = ""
    media: Shown | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
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
    media: Shown | None = None
    sha256: str = ""


class Chats:
    """The newest lines, and everything that was sent."""

    def __init__(self) -> None:
        self.bell = Bell()
        self.lines: deque[Line] = deque(maxlen=KEPT)
        self.sent: list[Sent] = []
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
        media: Shown | None = None,
    ) -> None:
        """Another line."""
        self.count += 1
        self.lines.append(
            Line(
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

    def find(self, msg_id: str) -> Line | None:
        """The message with that id, if it is still kept."""
        return next((line for line in reversed(self.lines) if line.msg_id == msg_id), None)

    def took(self, sent: Sent) -> None:
        """A bot sent something."""
        self.sent.append(sent)
        self.bell.ring()
