"""The QR codes of logins by scan and their states behind the poll (wecom 3)."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from enum import StrEnum


class CodeStatus(StrEnum):
    """The states of a code."""

    WAIT = "wait"
    SCANNED = "scanned"
    SUCCESS = "success"
    EXPIRED = "expired"
    FAILED = "failed"


OPEN_STATUSES = frozenset({CodeStatus.WAIT, CodeStatus.SCANNED})

WAITING_WORDS = ("wait", "waiting", "pending", "init", "created")
SCANNED_WORDS = ("scanned", "scaned")
"""The words that clients know for these states; which of them comes is not told (wecom 3.2)."""


class ActionNotPossible(ValueError):
    """The action is not possible in the current state."""


class ScanCode:
    """One QR code. `person` is the id of who scanned it; `bot_id` is set when it was confirmed."""

    def __init__(self, scode: str, *, source: str, address: str, lifetime: float) -> None:
        self.scode = scode
        self.source = source
        self.address = address
        self.status = CodeStatus.WAIT
        self.person = ""
        self.bot_id = ""
        self.polls = 0
        self.polled_at = 0.0
        self.last_answered = CodeStatus.WAIT
        self.created_at = time.time()
        self._expires_at = time.monotonic() + lifetime

    @property
    def content(self) -> str:
        """The text of the QR code."""
        return f"{self.address}/ai/qc/c?s={self.scode}"

    def current_status(self) -> CodeStatus:
        """Returns the status; a code whose lifetime is over expires first."""
        if self.status in OPEN_STATUSES and time.monotonic() >= self._expires_at:
            self.status = CodeStatus.EXPIRED
        return self.status

    def scan(self, person: str) -> None:
        """Raises `ActionNotPossible` when the code is not waiting for a scan."""
        self._require(CodeStatus.WAIT, "scan")
        self.person = person
        self.status = CodeStatus.SCANNED

    def confirm(self, bot_id: str) -> None:
        """Raises `ActionNotPossible` when nobody has scanned it."""
        self._require(CodeStatus.SCANNED, "confirm")
        self.bot_id = bot_id
        self.status = CodeStatus.SUCCESS

    def end(self, status: CodeStatus) -> None:
        """Lets it expire or fail; raises `ActionNotPossible` when it is not open any more."""
        if self.current_status() not in OPEN_STATUSES:
            raise ActionNotPossible(f"cannot end a code that is {self.status}")
        self.status = status

    def _require(self, status: CodeStatus, action: str) -> None:
        if self.current_status() is not status:
            raise ActionNotPossible(f"cannot {action} a code that is {self.status}")


class ScanCodes:
    """All codes, newest last."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._codes: dict[str, ScanCode] = {}

    def __iter__(self) -> Iterator[ScanCode]:
        return iter(self._codes.values())

    def create(self, *, source: str, address: str, lifetime: float) -> ScanCode:
        scode = f"{self._rng.getrandbits(160):040x}"
        self._codes[scode] = ScanCode(scode, source=source, address=address, lifetime=lifetime)
        return self._codes[scode]

    def find(self, scode: str) -> ScanCode | None:
        return self._codes.get(scode)

    def newest(self) -> ScanCode | None:
        return next(reversed(self._codes.values()), None)
