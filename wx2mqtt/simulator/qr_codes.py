"""The QR codes of web logins and their states behind the login poll (webwx 2.1 to 2.5)."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from wx2mqtt.simulator.waiting_condition import WaitingCondition


class CodeState(StrEnum):
    WAITING = "waiting"
    SCANNED = "scanned"
    CONFIRMED = "confirmed"
    USED = "used"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class CodeAction(StrEnum):
    SCAN = "scan"
    CONFIRM = "confirm"
    CANCEL = "cancel"
    EXPIRE = "expire"
    USE = "use"


_TRANSITIONS: dict[CodeState, dict[CodeAction, CodeState]] = {
    CodeState.WAITING: {
        CodeAction.SCAN: CodeState.SCANNED,
        CodeAction.EXPIRE: CodeState.EXPIRED,
        CodeAction.CANCEL: CodeState.CANCELLED,
    },
    CodeState.SCANNED: {
        CodeAction.CONFIRM: CodeState.CONFIRMED,
        CodeAction.CANCEL: CodeState.CANCELLED,
        CodeAction.EXPIRE: CodeState.EXPIRED,
    },
    CodeState.CONFIRMED: {CodeAction.USE: CodeState.USED, CodeAction.EXPIRE: CodeState.EXPIRED},
    CodeState.USED: {},
    CodeState.CANCELLED: {CodeAction.SCAN: CodeState.SCANNED, CodeAction.EXPIRE: CodeState.EXPIRED},
    CodeState.EXPIRED: {},
}

OPEN_STATES = frozenset({CodeState.WAITING, CodeState.SCANNED, CodeState.CONFIRMED})


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherAccount:
    """An account besides the simulated one that scans a code; it has the same people."""

    uin: int
    nickname: str


class ActionNotPossible(ValueError):
    """The action is not possible in the current state."""


class LoginQrCode:
    """One login attempt. A `push` code needs no scan: the phone asks by itself (webwx 2.5.4).

    `other_account` is who scanned it, None for the simulated account.
    """

    def __init__(self, uuid: str, *, desktop: bool, push: bool, ticket: str, lifetime: float) -> None:
        self.uuid = uuid
        self.desktop = desktop
        self.push = push
        self.ticket = ticket
        self.state = CodeState.WAITING
        self.last_answered: CodeState = CodeState.WAITING
        self.created_at = time.time()
        self.changes = WaitingCondition()
        self.session_sid = ""
        self.other_account: OtherAccount | None = None
        self._expires_at = time.monotonic() + lifetime

    def seconds_left(self) -> float:
        """Returns the seconds until the code expires."""
        return max(0.0, self._expires_at - time.monotonic())

    def apply(self, action: CodeAction) -> None:
        """Changes the state; raises `ActionNotPossible`."""
        transitions = _TRANSITIONS[self.state]
        if self.push and self.state is CodeState.WAITING:
            transitions = {**transitions, CodeAction.CONFIRM: CodeState.CONFIRMED}
        if action not in transitions:
            raise ActionNotPossible(f"cannot {action} a code that is {self.state}")
        self.state = transitions[action]
        self.changes.notify()

    def current_state(self) -> CodeState:
        """Returns the state; a code whose lifetime is over expires first."""
        if self.state in OPEN_STATES and not self.seconds_left():
            self.apply(CodeAction.EXPIRE)
        return self.state


class LoginQrCodes:
    """All codes, newest last."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._codes: dict[str, LoginQrCode] = {}

    def __iter__(self) -> Iterator[LoginQrCode]:
        return iter(self._codes.values())

    def create(self, *, desktop: bool, lifetime: float, push: bool = False) -> LoginQrCode:
        """Creates a code; its uuid has 12 characters, base64, ending in == (webwx 2.1.4)."""
        uuid = base64.urlsafe_b64encode(self._rng.randbytes(7)).decode()
        ticket = base64.urlsafe_b64encode(self._rng.randbytes(18)).decode() + "@qrticket_0"
        code = LoginQrCode(uuid, desktop=desktop, push=push, ticket=ticket, lifetime=lifetime)
        self._codes[uuid] = code
        return code

    def find(self, uuid: str) -> LoginQrCode | None:
        return self._codes.get(uuid)

    def newest(self) -> LoginQrCode | None:
        return next(reversed(self._codes.values()), None)
