"""Polls the state of one QR code until it is used or expired (ilink 3.2).

    answer of WeChat          step
    wait                      None: no news
    scanned, redirect         Scanned, once, and again after the right number; polls the new host
    need a number             CodeRequired, until `VerificationCode.enter`; the next poll carries the number
    confirmed, already bound  Confirmed, AlreadyBound: the end
    expired, blocked          none: the end

Polls that fail are repeated with back-off; `PollFailing` reports an outage, `PollRecovered` its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import field
from typing import TypeVar

import structlog

from wx2mqtt.backoff import Backoff
from wx2mqtt.errors import LoginRefused, Unreachable
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import CodeRequired, PollFailing, PollRecovered, Scanned
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.ilink_http import HttpStatusError
from wx2mqtt.wechat.ilink.protocol import requests, responses
from wx2mqtt.wechat.ilink.protocol.endpoints import ScanStatus, host_of
from wx2mqtt.wechat.ilink.protocol.responses import ScanAnswer
from wx2mqtt.wechat.qr_login import (
    CONFIRM_TIMEOUT_SECONDS,
    MAX_POLL_BACKOFF_SECONDS,
    MIN_POLL_INTERVAL_SECONDS,
    OutageDetector,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")

# Seconds after which a code counts as expired; usually the server reports this earlier (ilink 3.2.6).
QR_LIFETIME_SECONDS = 300.0

# Seconds of failing polls until they are reported: the official client ignores them (ilink 3.2.3).
OUTAGE_AFTER_SECONDS = 30.0

# HTTP statuses that only mean that the poll took too long.
GATEWAY_TIMEOUTS = frozenset({504, 524})

_FINAL_STATUSES = frozenset({ScanStatus.CONFIRMED, ScanStatus.BOUND, ScanStatus.EXPIRED, ScanStatus.BLOCKED})


@frozen(kw_only=False)
class Confirmed:
    """The person confirmed; `answer` holds the credentials."""

    answer: ScanAnswer = field(repr=False)


@frozen(kw_only=False)
class AlreadyBound:
    """This person's bot is one of the saved logins; no new credentials follow (ilink 3.2.2)."""


# None: a poll without news.
PollStep = Scanned | CodeRequired | PollFailing | PollRecovered | Confirmed | AlreadyBound | None


class VerificationCode:
    """Passes the number that a person reads on the phone to the poll. Ignores it unless it is expected."""

    def __init__(self) -> None:
        self._number: asyncio.Future[str] | None = None  # while a number is expected

    @property
    def is_expected(self) -> bool:
        """Whether the poll waits for a number, entered or not."""
        return self._number is not None

    @property
    def is_entered(self) -> bool:
        """Whether the expected number was entered and not consumed yet."""
        return self._number is not None and self._number.done()

    def expect(self) -> None:
        """Expects a number from now on. Call it on the event loop."""
        self._number = asyncio.get_running_loop().create_future()

    def enter(self, number: str) -> None:
        """Stores the number that a person entered."""
        if self._number is not None and not self._number.done() and number.strip():
            self._number.set_result(number.strip())

    async def wait(self) -> None:
        """Waits until the expected number is entered."""
        assert self._number is not None
        await asyncio.shield(self._number)

    def consume(self) -> str:
        """Returns the number that was entered, and expects none any more."""
        assert self._number is not None
        number = self._number.result()
        self.cancel()
        return number

    def cancel(self) -> None:
        """Expects no number any more."""
        self._number = None


class QrPoll:
    """Polls the code with this `handle`.

    The polls continue while a number is expected, since only they report that the code has expired. A number
    that is entered cancels the current poll and is sent with the next one.
    """

    def __init__(self, client: ApiClient, handle: str, verification_code: VerificationCode) -> None:
        self._client = client
        self._clock = client.clock
        self._handle = handle
        self._verification_code = verification_code
        self._base = client.hosts.login
        self._number = ""  # sent with each poll until WeChat has answered it
        self._is_scanned = False
        self._deadline = self._clock.monotonic() + QR_LIFETIME_SECONDS

    async def steps(self) -> AsyncGenerator[PollStep, None]:
        """Polls until the code is over; `Confirmed` and `AlreadyBound` are the last steps."""
        now = self._clock.monotonic
        outage = OutageDetector(now(), OUTAGE_AFTER_SECONDS)
        backoff = Backoff(first=MIN_POLL_INTERVAL_SECONDS, cap=MAX_POLL_BACKOFF_SECONDS)
        try:
            while (started_at := now()) < self._deadline:
                answer = await self._unless_number_entered(self._poll)
                if answer is None:
                    continue
                if isinstance(answer, Unreachable):
                    # A timeout only means that there was no news for a long time (ilink 3.2.3).
                    status = answer.status if isinstance(answer, HttpStatusError) else None
                    is_timeout = answer.poll_timed_out or status in GATEWAY_TIMEOUTS
                    if not is_timeout and outage.record_failure(now()):
                        yield PollFailing(reason=str(answer))
                    backoff = backoff.after_failure()
                    await self._pause(0 if answer.poll_timed_out else backoff.wait(self._clock.chance()))
                    continue
                backoff = backoff.reset()
                if outage.record_success(now()):
                    yield PollRecovered()
                step = self._step_for(answer)
                is_final = answer.scan in _FINAL_STATUSES
                if step is not None or not is_final:
                    yield step
                if is_final:
                    return
                await self._pause(max(0.0, started_at + MIN_POLL_INTERVAL_SECONDS - now()))
        finally:
            self._verification_code.cancel()

    async def _pause(self, seconds: float) -> None:
        await self._unless_number_entered(lambda: self._clock.sleep(seconds))

    async def _unless_number_entered(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """Returns the result of `work`, or cancels it and returns None as soon as the number is entered."""
        if not self._verification_code.is_expected:
            return await work()
        if not self._verification_code.is_entered:
            work_task = asyncio.ensure_future(work())
            number_task = asyncio.ensure_future(self._verification_code.wait())
            try:
                await asyncio.wait((work_task, number_task), return_when=asyncio.FIRST_COMPLETED)
                if not number_task.done():
                    return work_task.result()
            finally:
                work_task.cancel()
                number_task.cancel()
                await asyncio.gather(work_task, number_task, return_exceptions=True)
        self._number = self._verification_code.consume()
        return None

    def _step_for(self, answer: ScanAnswer) -> PollStep:
        """Returns the step for an answer, or None where it contains no news."""
        match answer.scan:
            case ScanStatus.CONFIRMED:
                return Confirmed(answer)
            case ScanStatus.BOUND:
                return AlreadyBound()
            case ScanStatus.NEED_CODE:
                return self._require_number()
            case ScanStatus.SCANNED | ScanStatus.REDIRECT if self._register_scan(answer):
                return Scanned()
            case None:
                log.warning("status of a QR code that is not known", status=answer.status)
        return None

    def _require_number(self) -> CodeRequired | None:
        if self._verification_code.is_expected:
            return None
        was_wrong = bool(self._number)
        self._number = ""
        self._verification_code.expect()
        self._extend_deadline()
        return CodeRequired(wrong=was_wrong)

    def _register_scan(self, answer: ScanAnswer) -> bool:
        """Records that the code was scanned or the number was right; returns whether that is news.

        The polls move to another host where the account belongs to one.
        """
        if answer.scan is ScanStatus.REDIRECT and answer.host:
            base = self._client.hosts.polling_url(answer.host)
            if base is None:
                shown_host = host_of(f"https://{answer.host}") or "?"
                raise LoginRefused(self._client.text("foreign_host", host=shown_host))
            self._base = base
        is_news = not self._is_scanned or bool(self._number) or self._verification_code.is_expected
        self._is_scanned = True
        self._number = ""
        self._verification_code.cancel()
        if is_news:
            self._extend_deadline()
        return is_news

    def _extend_deadline(self) -> None:
        self._deadline = max(self._deadline, self._clock.monotonic() + CONFIRM_TIMEOUT_SECONDS)

    async def _poll(self) -> ScanAnswer | Unreachable:
        request = requests.status_request(self._base, self._handle, self._number)
        try:
            return responses.read_scan_answer(await self._client.call_json(request))
        except Unreachable as why:
            log.info("login poll failed", reason=str(why))
            return why
