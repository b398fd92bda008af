"""Shared by the logins of all backends: the loop over QR codes, and when an outage is reported."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from wx2mqtt.backoff import Backoff
from wx2mqtt.wechat.backend import LoggedIn, LoginStep, QrExpired, ShowQr
from wx2mqtt.wechat.http import Clock

MIN_POLL_INTERVAL_SECONDS = 1.0
"""Between the starts of two polls that bring nothing (webwx 5.1.2)."""

CONFIRM_TIMEOUT_SECONDS = 120.0
"""How long a person who has scanned may take to confirm, at least."""

MAX_POLL_BACKOFF_SECONDS = 10.0
"""Between two polls that fail."""

OUTAGE_AFTER_SECONDS = 5.0
"""Of failing polls, until they are reported."""

FIRST_QR_PAUSE_SECONDS = 1.0
"""After a code that is over at once; it doubles as long as that goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginCode:
    """A QR code of WeChat's: its id in polls, its content, and how long it is probably good."""

    handle: str
    url: str
    lifetime_seconds: float


class QrLogin(Protocol):
    """The two conversations of a backend with which a QR code becomes a login."""

    async def fetch_code(self) -> LoginCode:
        """Asks WeChat for a new code. Raises `Unreachable`."""

    def poll_code(self, code: LoginCode) -> AsyncGenerator[LoginStep, None]:
        """Asks what becomes of a code. Ends with `LoggedIn`, or without it when the code is over."""


async def qr_login_steps(login: QrLogin, clock: Clock) -> AsyncGenerator[LoginStep, None]:
    """Shows codes until one of them leads to a login; more slowly when they are over at once."""
    backoff = Backoff(first=FIRST_QR_PAUSE_SECONDS)
    while True:
        started_at = clock.monotonic()
        code = await login.fetch_code()
        yield ShowQr(url=code.url, lifetime=code.lifetime_seconds)
        async with aclosing(login.poll_code(code)) as steps:
            async for step in steps:
                yield step
                if isinstance(step, LoggedIn):
                    return
        yield QrExpired()
        lasted_seconds = clock.monotonic() - started_at
        backoff = backoff.reset() if lasted_seconds > backoff.cap else backoff.after_failure()
        await clock.sleep(backoff.wait(clock.chance()))


class OutageDetector:
    """Decides when failing polls are reported: not a single lost answer, but `threshold` seconds of them."""

    def __init__(self, now: float, threshold: float = OUTAGE_AFTER_SECONDS) -> None:
        self._threshold = threshold
        self._last_answer_at = now
        self._reported = False

    def record_failure(self, now: float) -> bool:
        """A poll failed. Returns True once, when the outage is to be reported."""
        is_news = not self._reported and now - self._last_answer_at >= self._threshold
        self._reported = self._reported or is_news
        return is_news

    def record_success(self, now: float) -> bool:
        """WeChat answered. Returns True when an outage had been reported."""
        was_reported = self._reported
        self._reported = False
        self._last_answer_at = now
        return was_reported
