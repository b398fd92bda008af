"""Who has logged in: random keys, kept in memory only. A restart, or a logout, ends them.

Guessing made slow: after five wrong tries an address must wait, longer each time.

Who may come in: everybody where there is no password, else a browser that logged in and who has the token.

Passwords and tokens are compared in constant time, and guessing them is slowed down (see `tries`).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv6Address, ip_network

from wx2mqtt.web.options import WebOptions
from wx2mqtt.web.request import address_of

SESSION_SECONDS = 30 * 86_400.0  # seconds


MAX_SESSIONS = 100  # browsers at once; the oldest must log in again


class BrowserSessions:
    """The sessions of browsers; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._expiries: OrderedDict[bytes, float] = (
            OrderedDict()
        )  # by the hash of the key: finding it takes no time

    def create(self) -> str:
        """A new one; its key goes into the browser's cookie and nowhere else."""
        key = secrets.token_urlsafe(32)
        self._expiries[_hash(key)] = self._clock() + SESSION_SECONDS
        while len(self._expiries) > MAX_SESSIONS:
            self._expiries.popitem(last=False)
        return key

    def is_valid(self, key: str) -> bool:
        """Whether such a session stands."""
        ends = self._expiries.get(_hash(key))
        return ends is not None and self._clock() < ends

    def delete(self, key: str) -> None:
        """No longer."""
        self._expiries.pop(_hash(key), None)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


FREE_ATTEMPTS = 5  # wrong tries before the first wait


MAX_WAIT_SECONDS = 300.0  # seconds


FAILURE_MEMORY_SECONDS = 3600.0  # seconds without a wrong try after which an address begins anew


MAX_ADDRESSES = 1000  # that are remembered; the oldest goes


_HOUSE = 64  # bits: whoever has one IPv6 address has all of such a network


@dataclass(slots=True)
class _FailureRecord:
    count: int
    last_failure: float
    blocked_until: float


class LoginThrottle:
    """Wrong tries by address; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._records: OrderedDict[str, _FailureRecord] = OrderedDict()

    def remaining_wait(self, address: str) -> float:
        """Seconds until this address may try again; 0 when it may now."""
        record = self._records.get(_house(address))
        return (
            0.0 if record is None else min(MAX_WAIT_SECONDS, max(0.0, record.blocked_until - self._clock()))
        )

    def record_failure(self, address: str) -> None:
        """It tried, and was wrong."""
        now, house = self._clock(), _house(address)
        record = self._records.pop(house, None)
        if record is None or now - record.last_failure > FAILURE_MEMORY_SECONDS:
            record = _FailureRecord(0, now, now)
        record.count += 1
        record.last_failure = now
        if record.count >= FREE_ATTEMPTS:
            record.blocked_until = now + min(
                MAX_WAIT_SECONDS, 2.0 ** min(record.count - FREE_ATTEMPTS + 1, 20)
            )
        self._records[house] = record
        if len(self._records) > MAX_ADDRESSES:
            self._records.popitem(last=False)

    def record_success(self, address: str) -> None:
        """It tried, and was right."""
        self._records.pop(_house(address), None)


def _house(address: str) -> str:
    known = address_of(address)
    if isinstance(known, IPv6Address):
        return str(ip_network((known, _HOUSE), strict=False))
    return address


class AuthDecision(Enum):
    """What is said to who asks."""

    ALLOWED = auto()
    ANONYMOUS = auto()
    WRONG_SECRET = auto()
    THROTTLED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthResult:
    """`wait` in seconds, for TOO_OFTEN; `session` is the key of the one that a login has begun."""

    decision: AuthDecision
    wait_seconds: float = 0.0
    session_key: str = ""


class Authenticator:
    """The one who decides; `clock` in seconds."""

    def __init__(self, options: WebOptions, clock: Callable[[], float]) -> None:
        self.requires_password = bool(options.password)  # whether anybody must log in
        self._password = _digest(options.password)
        self._token = _digest(options.token) if options.token else None
        self._sessions = BrowserSessions(clock)
        self._login_throttle = LoginThrottle(clock)
        self._token_throttle = LoginThrottle(
            clock
        )  # of their own: a script with an old token must not lock its owner out

    def authenticate(self, *, session_key: str, token: str | None, address: str) -> AuthResult:
        """May a request be served that carries this session's key, or this token (None: no token counts)?"""
        if self.is_session_valid(session_key):
            return AuthResult(decision=AuthDecision.ALLOWED)
        if token is None:
            return AuthResult(decision=AuthDecision.ANONYMOUS)
        return self._check_secret(self._token_throttle, token, self._token, address)

    def is_session_valid(self, session_key: str) -> bool:
        """Whether who was let in with this session's key still may be here."""
        return not self.requires_password or self._sessions.is_valid(session_key)

    def log_in(self, password: str, address: str) -> AuthResult:
        """Begin a session for who knows the password."""
        judged = self._check_secret(
            self._login_throttle, password, self._password if self.requires_password else None, address
        )
        if judged.decision is AuthDecision.ALLOWED:
            return AuthResult(decision=AuthDecision.ALLOWED, session_key=self._sessions.create())
        return judged

    def log_out(self, session_key: str) -> None:
        """End a session."""
        self._sessions.delete(session_key)

    def _check_secret(
        self, throttle: LoginThrottle, secret: str, expected_digest: bytes | None, address: str
    ) -> AuthResult:
        """While an address must wait, not even the right word is taken: an answer would be one more guess."""
        if wait := throttle.remaining_wait(address):
            return AuthResult(decision=AuthDecision.THROTTLED, wait_seconds=wait)
        if not hmac.compare_digest(_digest(secret), expected_digest or b"") or expected_digest is None:
            throttle.record_failure(address)
            return AuthResult(decision=AuthDecision.WRONG_SECRET)
        throttle.record_success(address)
        return AuthResult(decision=AuthDecision.ALLOWED)


def _digest(secret: str) -> bytes:
    """Of one length for all, so that comparing tells nothing, not even how long the right one is."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
