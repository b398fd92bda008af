"""Polls the state of one QR code until it is used or expired (ilink 3.2).

answer of WeChat          step
wait                      NoNews
scanned, redirect         Scanned, once, and again after the right number; polls the new host
need a number             CodeRequired, until `VerificationCode.enter`; the next poll carries the number
confirmed, already bound  Confirmed, AlreadyBound: the end
expired, blocked          none: the end
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import suppress
from dataclasses import field
from enum import Enum, auto
from typing import TypeVar

import structlog

from wx2mqtt.clock import Backoff
from wx2mqtt.errors import LoginRefused, Unreachable
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import (
    CodeRequired,
    PollFailing,
    PollRecovered,
    Scanned,
)
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.ilink_http import HttpStatusError
from wx2mqtt.wechat.ilink.protocol import requests, responses
from wx2mqtt.wechat.ilink.protocol.codes import ScanStatus
from wx2mqtt.wechat.ilink.protocol.responses import ScanAnswer
from wx2mqtt.wechat.ilink.protocol.trusted_hosts import host_of
from wx2mqtt.wechat.qr_login import (
    CONFIRM_TIMEOUT_SECONDS,
    MAX_POLL_BACKOFF_SECONDS,
    MIN_POLL_INTERVAL_SECONDS,
    OutageDetector,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")

# After this time a code counts as expired; usually the server reports this earlier (ilink 3.2.6).
QR_LIFETIME_SECONDS = 300.0

# Polls that fail for so long are reported; the official client ignores them (ilink 3.2.3).
OUTAGE_AFTER_SECONDS = 30.0

# HTTP statuses that only mean that the poll took too long.
GATEWAY_TIMEOUTS = frozenset({504, 524})


@frozen(kw_only=False)
class NoNews:
    """A poll without news."""


@frozen(kw_only=False)
class Confirmed:
    """The person confirmed; `answer` holds the credentials."""

    answer: ScanAnswer = field(repr=False)


@frozen(kw_only=False)
class AlreadyBound:
    """This person's bot is one of the saved logins; no new credentials follow (ilink 3.2.2)."""


PollStep = NoNews | Scanned | CodeRequired | PollFailing | PollRecovered | Confirmed | AlreadyBound


class QrPoll:
    """Polls the code with this `code_id`."""

    def __init__(self, client: ApiClient, code_id: str, verification_code: VerificationCode) -> None:
        self._client = client
        self._clock = client.clock
        self._code_id = code_id
        self._verification_code = verification_code
        #: The base URL of the polls.
        self._base = client.hosts.login
        self._is_scanned = False
        #: When the code counts as expired, on the monotonic clock.
        self._deadline = self._clock.monotonic() + QR_LIFETIME_SECONDS

    async def steps(self) -> AsyncGenerator[PollStep, None]:
        """Polls until the code is over; `Confirmed` and `AlreadyBound` are the last steps.

        After a poll that failed it pauses with back-off; `PollFailing` reports an outage, `PollRecovered` its
        end. While a number is expected the polls continue, since only they report that the code has expired.
        """
        now = self._clock.monotonic
        code = self._verification_code
        outage = OutageDetector(now(), OUTAGE_AFTER_SECONDS)
        backoff = Backoff(first=MIN_POLL_INTERVAL_SECONDS, cap=MAX_POLL_BACKOFF_SECONDS)
        try:
            while (started_at := now()) < self._deadline:
                if code.state is NumberState.ENTERED:
                    code.state = NumberState.SENT
                try:
                    answer = await code.unless_entered(self._poll())
                except NumberEntered:
                    continue
                except Unreachable as why:
                    log.info("login poll failed", reason=str(why))
                    if not _is_timeout(why) and outage.record_failure(now()):
                        yield PollFailing(reason=str(why))
                    backoff = backoff.after_failure()
                    await self._pause(0 if why.poll_timed_out else backoff.wait(self._clock.chance()))
                    continue
                backoff = backoff.reset()
                if outage.record_success(now()):
                    yield PollRecovered()
                if answer.scan in {ScanStatus.EXPIRED, ScanStatus.BLOCKED}:
                    return
                step = self._step_for(answer)
                yield step
                if isinstance(step, Confirmed | AlreadyBound):
                    return
                await self._pause(max(0.0, started_at + MIN_POLL_INTERVAL_SECONDS - now()))
        finally:
            code.state = NumberState.UNWANTED

    async def _poll(self) -> ScanAnswer:
        code = self._verification_code
        number = code.number if code.state is NumberState.SENT else ""
        request = requests.status_request(self._base, self._code_id, number, self._client.version)
        return responses.read_scan_answer(await self._client.call_json(request))

    async def _pause(self, seconds: float) -> None:
        """Waits, but not while an entered number waits to be sent."""
        code = self._verification_code
        if code.state is not NumberState.ENTERED:
            with suppress(NumberEntered):
                await code.unless_entered(self._clock.sleep(seconds))

    def _step_for(self, answer: ScanAnswer) -> PollStep:
        """Returns the step for an answer of a code that is still valid."""
        match answer.scan:
            case ScanStatus.CONFIRMED:
                return Confirmed(answer)
            case ScanStatus.BOUND:
                return AlreadyBound()
            case ScanStatus.NEED_CODE:
                return self._number_step()
            case ScanStatus.REDIRECT | ScanStatus.SCANNED:
                if answer.scan is ScanStatus.REDIRECT and answer.host:
                    self._redirect_to(answer.host)
                return self._scanned_step()
            case None:
                log.warning("status of a QR code that is not known", status=answer.status)
        return NoNews()

    def _number_step(self) -> CodeRequired | NoNews:
        """Returns the step for an answer that asks for the number."""
        code = self._verification_code
        if code.state in {NumberState.EXPECTED, NumberState.ENTERED}:
            return NoNews()
        is_wrong = code.state is NumberState.SENT
        code.state = NumberState.EXPECTED
        self._give_time_to_confirm()
        return CodeRequired(wrong=is_wrong)

    def _scanned_step(self) -> Scanned | NoNews:
        """Returns the step for an answer that says that the code is scanned, and any number right."""
        code = self._verification_code
        is_known = self._is_scanned and code.state is NumberState.UNWANTED
        self._is_scanned = True
        code.state = NumberState.UNWANTED
        if is_known:
            return NoNews()
        self._give_time_to_confirm()
        return Scanned()

    def _give_time_to_confirm(self) -> None:
        self._deadline = max(self._deadline, self._clock.monotonic() + CONFIRM_TIMEOUT_SECONDS)

    def _redirect_to(self, host: str) -> None:
        """Makes the next polls go to another host, to which the account belongs. Raises `LoginRefused`."""
        base = self._client.hosts.polling_url(host)
        if base is None:
            shown_host = host_of(f"https://{host}") or "?"
            raise LoginRefused(self._client.text("foreign_host", host=shown_host))
        self._base = base


def _is_timeout(error: Unreachable) -> bool:
    """Returns whether a failure only means that there was no news for a long time (ilink 3.2.3)."""
    return error.poll_timed_out or (isinstance(error, HttpStatusError) and error.status in GATEWAY_TIMEOUTS)


class NumberState(Enum):
    """What is known of the number that the phone shows."""

    #: WeChat has not asked for it.
    UNWANTED = auto()
    #: The person must enter it.
    EXPECTED = auto()
    #: The next poll carries it.
    ENTERED = auto()
    #: Each poll carries it until WeChat has answered it.
    SENT = auto()


class NumberEntered(Exception):
    """The number was entered while the poll waited for something else."""


class VerificationCode:
    """Passes the number that a person reads on the phone from the bridge to the poll.

        UNWANTED → EXPECTED → ENTERED → SENT → UNWANTED, or EXPECTED again after a wrong number

    The bridge calls `enter`. `QrPoll` makes all other changes of `state`, and waits within `unless_entered`,
    so that an entered number is sent at once.
    """

    def __init__(self) -> None:
        self.state = NumberState.UNWANTED
        #: The number that was entered last.
        self.number = ""
        #: Ends the work that `unless_entered` waits for; None while it waits for nothing.
        self._wait: asyncio.Timeout | None = None

    def enter(self, number: str) -> None:
        """Stores the number that a person entered, if it is expected. Call it on the event loop."""
        if self.state is not NumberState.EXPECTED or not number.strip():
            return
        self.number = number.strip()
        self.state = NumberState.ENTERED
        if self._wait is not None:
            self._wait.reschedule(0)

    async def unless_entered(self, work: Awaitable[T]) -> T:
        """Returns the result of `work`. Cancels it and raises `NumberEntered` when the number is entered."""
        try:
            async with asyncio.timeout(None) as self._wait:
                return await work
        except TimeoutError:
            raise NumberEntered from None
        finally:
            self._wait = None
