"""One QR code, from the moment it is shown until it is over (ilink 3.2): who scans, who types a number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import structlog

from wx2mqtt.errors import LoginRefused, Unreachable
from wx2mqtt.retry import Backoff
from wx2mqtt.wechat.gateway import Answered, AskCode, Scanned, Unanswered
from wx2mqtt.wechat.ilink import requests, responses
from wx2mqtt.wechat.ilink.channel import Channel
from wx2mqtt.wechat.ilink.codes import Scan
from wx2mqtt.wechat.ilink.hosts import host_of
from wx2mqtt.wechat.ilink.responses import ScanAnswer
from wx2mqtt.wechat.ilink.transport import Refusal
from wx2mqtt.wechat.silence import Silence

log = structlog.get_logger(__name__)

LIFETIME = 300.0  # seconds until a code is given up; the server tells earlier when it is over (ilink 3.2)
CONFIRM_TIME = 120.0  # seconds that a person who has scanned may take
APART = 1.0  # seconds between the beginnings of polls that bring nothing
PATIENCE = 30.0  # seconds of failing polls before they are told: to the official client they are mere waiting
GATEWAY_TIMEOUTS = frozenset({504, 524})

_ENDS = frozenset({Scan.CONFIRMED, Scan.BOUND, Scan.EXPIRED, Scan.BLOCKED})


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The phone said yes."""

    answer: ScanAnswer = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bound:
    """This person's bot is one that we have already; nothing new is given (ilink 3.2)."""


PollStep = Scanned | AskCode | Unanswered | Answered | Confirmed | Bound | None
"""None: nothing has happened."""


class Typed:
    """The number that a person reads on the phone. Only one that is waited for counts."""

    def __init__(self) -> None:
        self._given = asyncio.Event()
        self._code = ""
        self._wanted = False

    def want(self) -> None:
        """From now on a number is waited for."""
        self._wanted, self._code = True, ""
        self._given.clear()

    def give(self, code: str) -> None:
        """Somebody typed it."""
        if self._wanted and code.strip():
            self._code, self._wanted = code.strip(), False
            self._given.set()

    async def wait(self, seconds: float) -> str:
        """The number; empty where none came in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._given.wait()
        except TimeoutError:
            self._wanted = False
        return self._code


class Scanning:
    """Asks what became of the code with this `handle`."""

    def __init__(self, channel: Channel, handle: str, typed: Typed) -> None:
        self._channel = channel
        self._timing = channel.timing
        self._handle = handle
        self._typed = typed
        self._base = channel.hosts.login
        self._code = ""
        self._scanned = False
        self._deadline = self._timing.monotonic() + LIFETIME

    async def steps(self) -> AsyncGenerator[PollStep, None]:
        """Poll until the code is over; `Confirmed` and `Bound` are the last. A failed poll is waiting."""
        now = self._timing.monotonic
        silence, backoff = Silence(now(), PATIENCE), Backoff(first=APART, cap=10.0)
        while (began := now()) < self._deadline:
            answer = await self._polled()
            if isinstance(answer, Unreachable):
                if not _is_waiting(answer) and silence.goes_on(now()):
                    yield Unanswered(why=str(answer))
                backoff = backoff.failed()
                await self._timing.sleep(0 if answer.hung else backoff.wait(self._timing.chance()))
                continue
            backoff = backoff.reset()
            if silence.ends(now()):
                yield Answered()
            step = self._step(answer)
            if answer.scan not in _ENDS or step is not None:
                yield step
            if answer.scan in _ENDS:
                return
            if isinstance(step, AskCode):
                self._code = await self._typed.wait(self._deadline - now())
            else:
                await self._timing.sleep(max(0.0, began + APART - now()))

    def _step(self, answer: ScanAnswer) -> PollStep:
        """What an answer says; None where it says nothing new."""
        match answer.scan:
            case Scan.CONFIRMED:
                return Confirmed(answer)
            case Scan.BOUND:
                return Bound()
            case Scan.NEED_CODE:
                self._typed.want()
                self._extend()
                return AskCode(wrong=bool(self._code))
            case Scan.SCANNED | Scan.REDIRECT if self._is_news(answer):
                return Scanned()
            case None:
                log.warning("status of a QR code that is not known", status=answer.status)
        return None

    def _is_news(self, answer: ScanAnswer) -> bool:
        """Somebody has scanned, or typed the right number; their account may live at another host."""
        if answer.scan is Scan.REDIRECT and answer.host:
            self._base = self._sent_to(answer.host)
        news = not self._scanned or bool(self._code)
        self._scanned, self._code = True, ""
        if news:
            self._extend()
        return news

    def _sent_to(self, host: str) -> str:
        base = self._channel.hosts.polling(host)
        if base is None:
            shown = host_of(f"https://{host}") or "?"
            raise LoginRefused(self._channel.words("foreign_host", host=shown))
        return base

    def _extend(self) -> None:
        self._deadline = max(self._deadline, self._timing.monotonic() + CONFIRM_TIME)

    async def _polled(self) -> ScanAnswer | Unreachable:
        request = requests.status(self._base, self._handle, self._code)
        try:
            return responses.scan_answer(await self._channel.answered(request))
        except Unreachable as why:
            log.info("login poll failed", reason=str(why))
            return why


def _is_waiting(trouble: Unreachable) -> bool:
    """Whether it only means that nothing happened for long (ilink 3.2)."""
    return trouble.hung or (isinstance(trouble, Refusal) and trouble.status in GATEWAY_TIMEOUTS)
