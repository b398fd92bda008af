"""Who may come in: everybody where there is no password, else a browser that logged in and who has the token.

Passwords and tokens are compared in constant time, and guessing them is slowed down (see `tries`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from wx2mqtt.web.options import Options
from wx2mqtt.web.sessions import Sessions
from wx2mqtt.web.tries import Tries


class Verdict(Enum):
    """What is said to who asks."""

    WELCOME = auto()
    STRANGER = auto()
    WRONG = auto()
    TOO_OFTEN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`wait` in seconds, for TOO_OFTEN; `session` is the key of the one that a login has begun."""

    verdict: Verdict
    wait: float = 0.0
    session: str = ""


class Access:
    """The one who decides; `clock` in seconds."""

    def __init__(self, options: Options, clock: Callable[[], float]) -> None:
        self.asks = bool(options.password)  # whether anybody must log in
        self._password = _digest(options.password)
        self._token = _digest(options.token) if options.token else None
        self._sessions = Sessions(clock)
        self._logins = Tries(clock)
        self._tokens = Tries(clock)  # of their own: a script with an old token must not lock its owner out

    def visit(self, *, session: str, token: str | None, address: str) -> Judged:
        """May a request be served that carries this session's key, or this token (None: no token counts)?"""
        if self.stands(session):
            return Judged(verdict=Verdict.WELCOME)
        if token is None:
            return Judged(verdict=Verdict.STRANGER)
        return self._tried(self._tokens, token, self._token, address)

    def stands(self, session: str) -> bool:
        """Whether who was let in with this session's key still may be here."""
        return not self.asks or self._sessions.known(session)

    def log_in(self, password: str, address: str) -> Judged:
        """Begin a session for who knows the password."""
        judged = self._tried(self._logins, password, self._password if self.asks else None, address)
        if judged.verdict is Verdict.WELCOME:
            return Judged(verdict=Verdict.WELCOME, session=self._sessions.begin())
        return judged

    def log_out(self, session: str) -> None:
        """End a session."""
        self._sessions.end(session)

    def _tried(self, tries: Tries, given: str, wanted: bytes | None, address: str) -> Judged:
        """While an address must wait, not even the right word is taken: an answer would be one more guess."""
        if wait := tries.wait(address):
            return Judged(verdict=Verdict.TOO_OFTEN, wait=wait)
        if not hmac.compare_digest(_digest(given), wanted or b"") or wanted is None:
            tries.wrong(address)
            return Judged(verdict=Verdict.WRONG)
        tries.right(address)
        return Judged(verdict=Verdict.WELCOME)


def _digest(word: str) -> bytes:
    """Of one length for all, so that comparing tells nothing, not even how long the right one is."""
    return hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()
