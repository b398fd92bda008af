"""The QR codes of bot logins and their states behind the status poll (ilink 3.2)."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from wx2mqtt.simulator.hosts import ILINK_LANDING
from wx2mqtt.simulator.waiting_condition import WaitingCondition

LANDING_ID = "TEST01"


class CodeStatus(StrEnum):
    """The states of a code, spelled as in the protocol."""

    WAIT = "wait"
    SCANED = "scaned"
    NEED_VERIFYCODE = "need_verifycode"
    VERIFY_CODE_BLOCKED = "verify_code_blocked"
    BINDED_REDIRECT = "binded_redirect"
    CONFIRMED = "confirmed"
    EXPIRED = "expired"


OPEN_STATUSES = frozenset({CodeStatus.WAIT, CodeStatus.SCANED, CodeStatus.NEED_VERIFYCODE})


class ActionNotPossible(ValueError):
    """The action is not possible in the current state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    bot_token: str
    ilink_bot_id: str
    ilink_user_id: str


class BotQrCode:
    """One QR code. `tokens` are those that the program holds; `person` is the id of who scanned it.

    `number` is what the phone shows while the program must send it; `wrong_numbers` counts failed attempts.
    """

    def __init__(self, handle: str, tokens: tuple[str, ...], *, lifetime: float, address: str) -> None:
        self.handle = handle
        self.tokens = tokens
        self.address = address
        self.status = CodeStatus.WAIT
        self.last_answered = CodeStatus.WAIT
        self.person = ""
        self.number = ""
        self.wrong_numbers = 0
        self.max_tries = 0
        self.redirect = ""
        self.redirected = False
        self.credentials: Credentials | None = None
        self.created_at = time.time()
        self.changes = WaitingCondition()
        self._expires_at = time.monotonic() + lifetime

    @property
    def content(self) -> str:
        """The text of the QR code (ilink 3.1.4)."""
        return f"https://{ILINK_LANDING}/q/{LANDING_ID}?qrcode={self.handle}&bot_type=3"

    def seconds_left(self) -> float:
        """Returns the seconds until it expires."""
        return max(0.0, self._expires_at - time.monotonic())

    def current_status(self) -> CodeStatus:
        """Returns the status; a code whose lifetime is over expires first."""
        if self.status in OPEN_STATUSES and not self.seconds_left():
            self.set_status(CodeStatus.EXPIRED)
        return self.status

    def set_status(self, status: CodeStatus) -> None:
        """Changes the status and wakes open polls."""
        self.status = status
        self.changes.notify()

    def scan(self, person: str, *, number: str, max_tries: int, redirect: str) -> None:
        """Raises `ActionNotPossible` when the code is not waiting for a scan."""
        self._require_status(CodeStatus.WAIT, "scan")
        self.person = person
        self.number = number
        self.max_tries = max_tries
        self.redirect = redirect
        self.set_status(CodeStatus.NEED_VERIFYCODE if number else CodeStatus.SCANED)

    def verify(self, number: str) -> None:
        if self.status is not CodeStatus.NEED_VERIFYCODE:
            return
        if number == self.number:
            self.number = ""
            self.set_status(CodeStatus.SCANED)
            return
        self.wrong_numbers += 1
        if self.wrong_numbers >= self.max_tries:
            self.set_status(CodeStatus.VERIFY_CODE_BLOCKED)

    def confirm(self, credentials: Credentials | None) -> None:
        """Confirms the binding; without credentials the program learns that it is bound already."""
        self._require_status(CodeStatus.SCANED, "confirm")
        self.credentials = credentials
        self.set_status(CodeStatus.CONFIRMED if credentials else CodeStatus.BINDED_REDIRECT)

    def expire(self) -> None:
        """Raises `ActionNotPossible` when the code is not open any more."""
        if self.current_status() not in OPEN_STATUSES:
            raise ActionNotPossible(f"cannot expire a code that is {self.status}")
        self.set_status(CodeStatus.EXPIRED)

    def _require_status(self, status: CodeStatus, action: str) -> None:
        if self.current_status() is not status:
            raise ActionNotPossible(f"cannot {action} a code that is {self.status}")


class BotQrCodes:
    """All codes, newest last."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._codes: dict[str, BotQrCode] = {}

    def __iter__(self) -> Iterator[BotQrCode]:
        return iter(self._codes.values())

    def create(self, tokens: tuple[str, ...], *, lifetime: float, address: str) -> BotQrCode:
        """Creates a code; its handle is 32 hex characters (ilink 3.1.4)."""
        code = BotQrCode(f"{self._rng.getrandbits(128):032x}", tokens, lifetime=lifetime, address=address)
        self._codes[code.handle] = code
        return code

    def find(self, handle: str) -> BotQrCode | None:
        return self._codes.get(handle)

    def newest(self) -> BotQrCode | None:
        return next(reversed(self._codes.values()), None)
