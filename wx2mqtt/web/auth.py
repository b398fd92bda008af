"""Authentication: the password of a browser, the bearer token of a program, and the throttle for wrong ones.

Sessions and failures are kept in memory only: a restart ends all sessions. Nothing here knows HTTP.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from wx2mqtt.values import frozen
from wx2mqtt.web.allowed_hosts import client_network
from wx2mqtt.web.options import WebOptions

SESSION_SECONDS = 30 * 86_400.0
MAX_SESSIONS = 100  # the oldest is ended when one more browser logs in

FREE_ATTEMPTS = 5  # wrong attempts of an address before it must wait
MAX_WAIT_SECONDS = 300.0
FAILURE_MEMORY_SECONDS = 3600.0  # after which an address without a further wrong attempt is forgotten
MAX_ADDRESSES = 1000  # that are remembered; the one whose last wrong attempt is the oldest is forgotten
_MAX_BACKOFF_EXPONENT = 20  # 2 to the power of it is far above MAX_WAIT_SECONDS, and no float overflows


class AuthDecision(Enum):
    """Whether a request or a login is allowed, and if not, why."""

    ALLOWED = auto()
    #: There is neither a valid session nor a token.
    ANONYMOUS = auto()
    #: The password or the token is wrong.
    WRONG_SECRET = auto()
    #: The address must wait after too many wrong secrets.
    THROTTLED = auto()


@frozen
class AuthResult:
    decision: AuthDecision
    #: How long the address must wait, after THROTTLED.
    wait_seconds: float = 0.0
    #: The key of the new session, after an allowed login.
    session_key: str = ""


class Authenticator:
    """Checks sessions, passwords and tokens; `clock` in seconds."""

    def __init__(self, options: WebOptions, clock: Callable[[], float]) -> None:
        self.requires_password = bool(options.password)
        self._password_digest = secret_digest(options.password) if options.password else None
        self._token_digest = secret_digest(options.token) if options.token else None
        self._sessions = BrowserSessions(clock)
        self._login_throttle = FailureThrottle(clock)
        # Separate from the logins: a script with an outdated token must not lock out a person at its address.
        self._token_throttle = FailureThrottle(clock)

    def authenticate(self, *, session_key: str, token: str | None, address: str) -> AuthResult:
        """Checks one request. `token` is None without one, or where tokens are not accepted."""
        if self.is_session_valid(session_key):
            return AuthResult(decision=AuthDecision.ALLOWED)
        if token is None:
            return AuthResult(decision=AuthDecision.ANONYMOUS)
        return _check_secret(self._token_throttle, token, self._token_digest, address)

    def is_session_valid(self, session_key: str) -> bool:
        """Returns whether requests of this session are allowed; without a password all are."""
        return not self.requires_password or self._sessions.is_valid(session_key)

    def login_wait(self, address: str) -> float:
        """Returns the seconds until the address may send a password, 0 if it may now."""
        return self._login_throttle.remaining_wait(address)

    def log_in(self, password: str, address: str) -> AuthResult:
        result = _check_secret(self._login_throttle, password, self._password_digest, address)
        if result.decision is not AuthDecision.ALLOWED:
            return result
        return AuthResult(decision=AuthDecision.ALLOWED, session_key=self._sessions.create())

    def log_out(self, session_key: str) -> None:
        self._sessions.delete(session_key)


class BrowserSessions:
    """The sessions of browsers; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        #: When each session expires, by the hash of its key: the time of a look-up says nothing about the
        #: keys.
        self._expiries: OrderedDict[bytes, float] = OrderedDict()

    def create(self) -> str:
        """Creates a session and returns its key, which only the browser's cookie holds."""
        key = secrets.token_urlsafe(32)
        self._expiries[secret_digest(key)] = self._clock() + SESSION_SECONDS
        while len(self._expiries) > MAX_SESSIONS:
            self._expiries.popitem(last=False)
        return key

    def is_valid(self, key: str) -> bool:
        expiry = self._expiries.get(secret_digest(key))
        return expiry is not None and self._clock() < expiry

    def delete(self, key: str) -> None:
        self._expiries.pop(secret_digest(key), None)


@dataclass(slots=True)
class _FailureRecord:
    """The wrong attempts of one address; times in seconds of the throttle's clock."""

    count: int
    last_failure: float
    blocked_until: float


class FailureThrottle:
    """Makes an address wait after wrong attempts, longer each time; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        #: By `client_network`, in the order of the last failures.
        self._records: OrderedDict[str, _FailureRecord] = OrderedDict()

    def remaining_wait(self, address: str) -> float:
        """Returns the seconds until the address may try again, 0 if it may now."""
        record = self._records.get(client_network(address))
        if record is None:
            return 0.0
        return min(MAX_WAIT_SECONDS, max(0.0, record.blocked_until - self._clock()))

    def record_failure(self, address: str) -> None:
        now = self._clock()
        key = client_network(address)
        record = self._records.pop(key, None)
        if record is None or now - record.last_failure > FAILURE_MEMORY_SECONDS:
            record = _FailureRecord(0, now, now)
        record.count += 1
        record.last_failure = now
        if record.count >= FREE_ATTEMPTS:
            exponent = min(record.count - FREE_ATTEMPTS + 1, _MAX_BACKOFF_EXPONENT)
            record.blocked_until = now + min(MAX_WAIT_SECONDS, 2.0**exponent)
        self._records[key] = record
        if len(self._records) > MAX_ADDRESSES:
            self._records.popitem(last=False)

    def record_success(self, address: str) -> None:
        self._records.pop(client_network(address), None)


def _check_secret(
    throttle: FailureThrottle, secret: str, expected_digest: bytes | None, address: str
) -> AuthResult:
    """Checks a password or token; an `expected_digest` of None matches nothing.

    While the address must wait not even the right secret is accepted: the answer would confirm a guess.
    """
    if wait := throttle.remaining_wait(address):
        return AuthResult(decision=AuthDecision.THROTTLED, wait_seconds=wait)
    is_right = expected_digest is not None and hmac.compare_digest(secret_digest(secret), expected_digest)
    if not is_right:
        throttle.record_failure(address)
        return AuthResult(decision=AuthDecision.WRONG_SECRET)
    throttle.record_success(address)
    return AuthResult(decision=AuthDecision.ALLOWED)


def secret_digest(secret: str) -> bytes:
    """Returns a hash. A comparison of the secrets themselves in constant time would reveal their length."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
