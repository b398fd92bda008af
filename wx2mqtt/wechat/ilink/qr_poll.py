"""One QR code, from the moment it is shown until it is over (ilink 3.2): who scans, who types a number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from wx2mqtt.backoff import Backoff
from wx2mqtt.errors import LoginRefused, Unreachable
from wx2mqtt.wechat.backend import CodeRequired, PollFailing, PollRecovered, Scanned
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.protocol import requests, responses
from wx2mqtt.wechat.ilink.protocol.endpoints import ScanStatus, host_of
from wx2mqtt.wechat.ilink.protocol.responses import ScanAnswer
from wx2mqtt.wechat.ilink.transport import HttpStatusError
from wx2mqtt.wechat.qr_login import (
    CONFIRM_TIMEOUT_SECONDS,
    MAX_POLL_BACKOFF_SECONDS,
    MIN_POLL_INTERVAL_SECONDS,
    OutageDetector,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")

QR_LIFETIME_SECONDS = 300.0
"""Until a code is given up; the server says earlier when it is over (ilink 3.2.6)."""

OUTAGE_AFTER_SECONDS = 30.0
"""Of failing polls, until they are reported: the official client takes them for waiting (ilink 3.2.3)."""

GATEWAY_TIMEOUTS = frozenset({504, 524})

_FINAL_STATUSES = frozenset({ScanStatus.CONFIRMED, ScanStatus.BOUND, ScanStatus.EXPIRED, ScanStatus.BLOCKED})


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The person confirmed; `answer` holds the credentials."""

    answer: ScanAnswer = field(repr=False)


@dataclass(frozen=True, slots=True)
class AlreadyBound:
    """This person's bot is one of the saved logins; no new credentials follow (ilink 3.2.2)."""


PollStep = Scanned | CodeRequired | PollFailing | PollRecovered | Confirmed | AlreadyBound | None
"""None: nothing has happened."""


class VerificationCode:
    """The number that a person reads on the phone. One that nobody waits for is ignored."""

    def __init__(self) -> None:
        self._entered = asyncio.Event()
        self._number = ""
        self._is_expected = False

    @property
    def is_expected(self) -> bool:
        """Whether a number is waited for, typed or not."""
        return self._is_expected

    @property
    def is_entered(self) -> bool:
        """Whether the expected number was typed and not yet taken."""
        return self._is_expected and self._entered.is_set()

    def expect(self) -> None:
        """Waits for a number from now on."""
        self._is_expected = True
        self._entered.clear()

    def enter(self, number: str) -> None:
        """Stores what a person typed."""
        if self._is_expected and not self._entered.is_set() and number.strip():
            self._number = number.strip()
            self._entered.set()

    async def wait(self) -> None:
        """Returns when the expected number was typed."""
        await self._entered.wait()

    def take(self) -> str:
        """Returns the number that was typed, and waits for none any more."""
        self.cancel()
        return self._number

    def cancel(self) -> None:
        """Waits for no number any more."""
        self._is_expected = False
        self._entered.clear()


class QrPoll:
    """Asks what became of the code with this `handle`.

    While a number is awaited the polls go on, since only they say that the code is over. A number that is
    typed ends the poll that is under way and goes along with the next one.
    """

    def __init__(self, client: ApiClient, handle: str, verification_code: VerificationCode) -> None:
        self._client = client
        self._clock = client.clock
        self._handle = handle
        self._verification_code = verification_code
        self._base = client.hosts.login
        self._number = ""  # goes along with polls until WeChat has answered it
        self._is_scanned = False
        self._deadline = self._clock.monotonic() + QR_LIFETIME_SECONDS

    async def steps(self) -> AsyncGenerator[PollStep, None]:
        """Polls until the code is over; `Confirmed` and `AlreadyBound` are the last steps."""
        try:
            async with aclosing(self._poll_until_over()) as steps:
                async for step in steps:
                    yield step
        finally:
            self._verification_code.cancel()

    async def _poll_until_over(self) -> AsyncGenerator[PollStep, None]:
        now = self._clock.monotonic
        outage = OutageDetector(now(), OUTAGE_AFTER_SECONDS)
        backoff = Backoff(first=MIN_POLL_INTERVAL_SECONDS, cap=MAX_POLL_BACKOFF_SECONDS)
        while (started_at := now()) < self._deadline:
            answer = await self._unless_number_typed(self._poll)
            if answer is None:
                continue
            if isinstance(answer, Unreachable):
                if not _means_waiting(answer) and outage.record_failure(now()):
                    yield PollFailing(reason=str(answer))
                backoff = backoff.after_failure()
                await self._pause(0 if answer.poll_timed_out else backoff.wait(self._clock.chance()))
                continue
            backoff = backoff.reset()
            if outage.record_success(now()):
                yield PollRecovered()
            step = self._step_for(answer)
            if answer.scan not in _FINAL_STATUSES or step is not None:
                yield step
            if answer.scan in _FINAL_STATUSES:
                return
            await self._pause(max(0.0, started_at + MIN_POLL_INTERVAL_SECONDS - now()))

    async def _pause(self, seconds: float) -> None:
        await self._unless_number_typed(lambda: self._clock.sleep(seconds))

    async def _unless_number_typed(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """What `work` returns; None, and the work is given up, as soon as an awaited number is typed."""
        if not self._verification_code.is_expected:
            return await work()
        if not self._verification_code.is_entered:
            working = asyncio.ensure_future(work())
            typed = asyncio.ensure_future(self._verification_code.wait())
            try:
                await asyncio.wait((working, typed), return_when=asyncio.FIRST_COMPLETED)
                if not typed.done():
                    return working.result()
            finally:
                working.cancel()
                typed.cancel()
                await asyncio.gather(working, typed, return_exceptions=True)
        self._number = self._verification_code.take()
        return None

    def _step_for(self, answer: ScanAnswer) -> PollStep:
        """What an answer says; None where it says nothing new."""
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
        """Somebody has scanned, or typed the right number; returns whether that is news.

        Their account may live at another host.
        """
        if answer.scan is ScanStatus.REDIRECT and answer.host:
            self._base = self._redirect_base(answer.host)
        is_news = not self._is_scanned or bool(self._number) or self._verification_code.is_expected
        self._is_scanned = True
        self._number = ""
        self._verification_code.cancel()
        if is_news:
            self._extend_deadline()
        return is_news

    def _redirect_base(self, host: str) -> str:
        base = self._client.hosts.polling_url(host)
        if base is None:
            shown = host_of(f"https://{host}") or "?"
            raise LoginRefused(self._client.text("foreign_host", host=shown))
        return base

    def _extend_deadline(self) -> None:
        self._deadline = max(self._deadline, self._clock.monotonic() + CONFIRM_TIMEOUT_SECONDS)

    async def _poll(self) -> ScanAnswer | Unreachable:
        request = requests.status_request(self._base, self._handle, self._number)
        try:
            return responses.read_scan_answer(await self._client.call_json(request))
        except Unreachable as why:
            log.info("login poll failed", reason=str(why))
            return why


def _means_waiting(trouble: Unreachable) -> bool:
    """Whether a failed poll only means that nothing happened for long (ilink 3.2.3)."""
    return trouble.poll_timed_out or (
        isinstance(trouble, HttpStatusError) and trouble.status in GATEWAY_TIMEOUTS
    )
