"""Parts of the login of every backend: the loop over QR codes, and the detection of outages."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from wx2mqtt.clock import Backoff, Clock
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import (
    LoggedIn,
    LoginStep,
    QrExpired,
    ShowQr,
)

# The least time between the starts of two polls without news (webwx 5.1.2).
MIN_POLL_INTERVAL_SECONDS = 1.0

# A person who has scanned has at least so long to confirm.
CONFIRM_TIMEOUT_SECONDS = 120.0

# The longest pause between two polls that fail.
MAX_POLL_BACKOFF_SECONDS = 10.0

# Polls that fail for so long are reported.
OUTAGE_AFTER_SECONDS = 5.0

# The pause after a code that expires at once; it doubles with each further one.
FIRST_QR_PAUSE_SECONDS = 1.0


@frozen
class LoginCode:
    """A QR code that a person can scan."""

    #: Names the code in polls.
    code_id: str
    #: What the code shows.
    url: str
    #: How long the code is probably valid.
    lifetime_seconds: float


class QrLogin(Protocol):
    """The two operations of a backend that turn a QR code into a login."""

    async def fetch_code(self) -> LoginCode:
        """Asks WeChat for a new code. Raises `Unreachable`."""

    def poll_code(self, code_id: str) -> AsyncGenerator[LoginStep, None]:
        """Polls the state of a code. The last step is `LoggedIn`, unless the code expires."""


async def qr_login_steps(login: QrLogin, clock: Clock) -> AsyncGenerator[LoginStep, None]:
    """Shows codes until one of them leads to a login; pauses between codes that expire at once."""
    backoff = Backoff(first=FIRST_QR_PAUSE_SECONDS)
    while True:
        started_at = clock.monotonic()
        code = await login.fetch_code()
        yield ShowQr(url=code.url, lifetime=code.lifetime_seconds)
        async with aclosing(login.poll_code(code.code_id)) as steps:
            async for step in steps:
                yield step
                if isinstance(step, LoggedIn):
                    return
        yield QrExpired()
        lasted_seconds = clock.monotonic() - started_at
        expired_at_once = lasted_seconds <= backoff.cap
        backoff = backoff.after_failure() if expired_at_once else backoff.reset()
        await clock.sleep(backoff.wait(clock.chance()))


class OutageDetector:
    """Decides when failing polls are reported: after `threshold` seconds without an answer."""

    def __init__(self, now: float, threshold: float = OUTAGE_AFTER_SECONDS) -> None:
        self._threshold = threshold
        self._last_answer_at = now
        #: The current outage has been reported.
        self._reported = False

    def record_failure(self, now: float) -> bool:
        """Records a failed poll. Returns True once in an outage, when it must be reported."""
        if self._reported or now - self._last_answer_at < self._threshold:
            return False
        self._reported = True
        return True

    def record_success(self, now: float) -> bool:
        """Records an answer. Returns True where it ends an outage that was reported."""
        was_reported = self._reported
        self._reported = False
        self._last_answer_at = now
        return was_reported
