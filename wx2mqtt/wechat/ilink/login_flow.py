"""One QR code, from the moment it is shown until it is over (ilink 3.2): who scans, who types a number.

Signing in: go on with a saved login, else show QR codes (ilink 3). Only conversations.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from wx2mqtt.backoff import Backoff
from wx2mqtt.errors import BackendError, LoginRefused, Unreachable
from wx2mqtt.model import Cursor, Handle
from wx2mqtt.wechat.backend import (
    CodeRequired,
    LoggedIn,
    LoginStep,
    PollFailing,
    PollRecovered,
    QrExpired,
    Scanned,
    ShowQr,
)
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.protocol import requests, responses
from wx2mqtt.wechat.ilink.protocol.endpoints import ScanStatus, host_of
from wx2mqtt.wechat.ilink.protocol.responses import QrCode, ScanAnswer, SyncCursor
from wx2mqtt.wechat.ilink.protocol.session import Bot
from wx2mqtt.wechat.ilink.transport import HttpStatusError
from wx2mqtt.wechat.qr_login import OutageDetector

log = structlog.get_logger(__name__)


QR_LIFETIME_SECONDS = (
    300.0  # seconds until a code is given up; the server tells earlier when it is over (ilink 3.2.6)
)


CONFIRM_TIMEOUT_SECONDS = 120.0  # seconds that a person who has scanned may take


MIN_POLL_INTERVAL_SECONDS = 1.0  # seconds between the beginnings of polls that bring nothing


OUTAGE_AFTER_SECONDS = (
    30.0  # seconds of failing polls before they are told: to the official client they are mere waiting
)


GATEWAY_TIMEOUTS = frozenset({504, 524})


_ENDS = frozenset({ScanStatus.CONFIRMED, ScanStatus.BOUND, ScanStatus.EXPIRED, ScanStatus.BLOCKED})


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The phone said yes."""

    answer: ScanAnswer = field(repr=False)


@dataclass(frozen=True, slots=True)
class AlreadyBound:
    """This person's bot is one that we have already; nothing new is given (ilink 3.2.2)."""


PollStep = Scanned | CodeRequired | PollFailing | PollRecovered | Confirmed | AlreadyBound | None
"""None: nothing has happened."""


class VerificationCode:
    """The number that a person reads on the phone. Only one that is waited for counts."""

    def __init__(self) -> None:
        self._entered = asyncio.Event()
        self._code = ""
        self._expected = False

    def expect(self) -> None:
        """From now on a number is waited for."""
        self._expected, self._code = True, ""
        self._entered.clear()

    def enter(self, code: str) -> None:
        """Somebody typed it."""
        if self._expected and code.strip():
            self._code, self._expected = code.strip(), False
            self._entered.set()

    async def wait(self, seconds: float) -> str:
        """The number; empty where none came in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._entered.wait()
        except TimeoutError:
            self._expected = False
        return self._code


class QrPoll:
    """Asks what became of the code with this `handle`."""

    def __init__(self, client: ApiClient, handle: str, verification_code: VerificationCode) -> None:
        self._client = client
        self._clock = client.clock
        self._handle = handle
        self._verification_code = verification_code
        self._base = client.hosts.login
        self._code = ""
        self._scanned = False
        self._deadline = self._clock.monotonic() + QR_LIFETIME_SECONDS

    async def steps(self) -> AsyncGenerator[PollStep, None]:
        """Poll until the code is over; `Confirmed` and `AlreadyBound` are the last. A failed poll is
        waiting.
        """
        now = self._clock.monotonic
        silence, backoff = (
            OutageDetector(now(), OUTAGE_AFTER_SECONDS),
            Backoff(first=MIN_POLL_INTERVAL_SECONDS, cap=10.0),
        )
        while (began := now()) < self._deadline:
            answer = await self._poll()
            if isinstance(answer, Unreachable):
                if not _is_waiting(answer) and silence.record_failure(now()):
                    yield PollFailing(reason=str(answer))
                backoff = backoff.after_failure()
                await self._clock.sleep(0 if answer.poll_timed_out else backoff.wait(self._clock.chance()))
                continue
            backoff = backoff.reset()
            if silence.record_success(now()):
                yield PollRecovered()
            step = self._step_for(answer)
            if answer.scan not in _ENDS or step is not None:
                yield step
            if answer.scan in _ENDS:
                return
            if isinstance(step, CodeRequired):
                self._code = await self._verification_code.wait(self._deadline - now())
            else:
                await self._clock.sleep(max(0.0, began + MIN_POLL_INTERVAL_SECONDS - now()))

    def _step_for(self, answer: ScanAnswer) -> PollStep:
        """What an answer says; None where it says nothing new."""
        match answer.scan:
            case ScanStatus.CONFIRMED:
                return Confirmed(answer)
            case ScanStatus.BOUND:
                return AlreadyBound()
            case ScanStatus.NEED_CODE:
                self._verification_code.expect()
                self._extend_deadline()
                return CodeRequired(wrong=bool(self._code))
            case ScanStatus.SCANNED | ScanStatus.REDIRECT if self._register_scan(answer):
                return Scanned()
            case None:
                log.warning("status of a QR code that is not known", status=answer.status)
        return None

    def _register_scan(self, answer: ScanAnswer) -> bool:
        """Somebody has scanned, or typed the right number; their account may live at another host."""
        if answer.scan is ScanStatus.REDIRECT and answer.host:
            self._base = self._redirect_base(answer.host)
        news = not self._scanned or bool(self._code)
        self._scanned, self._code = True, ""
        if news:
            self._extend_deadline()
        return news

    def _redirect_base(self, host: str) -> str:
        base = self._client.hosts.polling_url(host)
        if base is None:
            shown = host_of(f"https://{host}") or "?"
            raise LoginRefused(self._client.text("foreign_host", host=shown))
        return base

    def _extend_deadline(self) -> None:
        self._deadline = max(self._deadline, self._clock.monotonic() + CONFIRM_TIMEOUT_SECONDS)

    async def _poll(self) -> ScanAnswer | Unreachable:
        request = requests.status_request(self._base, self._handle, self._code)
        try:
            return responses.read_scan_answer(await self._client.call_json(request))
        except Unreachable as why:
            log.info("login poll failed", reason=str(why))
            return why


def _is_waiting(trouble: Unreachable) -> bool:
    """Whether it only means that nothing happened for long (ilink 3.2.3)."""
    return trouble.poll_timed_out or (
        isinstance(trouble, HttpStatusError) and trouble.status in GATEWAY_TIMEOUTS
    )


QR_RETRY_SECONDS = 1.0  # seconds between codes that are over at once, at first


LOGIN_PROBE_INTERVAL_SECONDS = (
    600.0  # seconds between two looks whether WeChat takes a login again that it had ended
)


MAX_LOGIN_ATTEMPTS = 3


class LoginFlow:
    """The ways in. `typed` is where a number comes from that the phone shows."""

    def __init__(self, client: ApiClient, verification_code: VerificationCode) -> None:
        self._client = client
        self._clock = client.clock
        self._verification_code = verification_code
        self._denied: set[str] = set()

    async def steps(self, *, resume: bool) -> AsyncGenerator[LoginStep, None]:
        """As `Gateway.login`."""
        channel = self._client
        await channel.load()
        saved = self._resumable_bot()
        if resume and saved is not None:
            if await channel.is_login_valid(saved):
                yield await self._resume(saved)
                return
            log.info("saved login refused")
        async with aclosing(self._login_by_qr_code()) as steps:
            async for step in steps:
                yield step

    def _resumable_bot(self) -> Bot | None:
        """The login that would go on: nobody has logged out of it."""
        return next((bot for bot in self._client.saved_bots() if not bot.over), None)

    async def _login_by_qr_code(self) -> AsyncGenerator[LoginStep, None]:
        """QR codes without end, each as soon as the one before is over; slower when they are over at once."""
        backoff = Backoff(first=QR_RETRY_SECONDS)
        while True:
            began = self._clock.monotonic()
            code = await self._fetch_qr_code()
            yield ShowQr(url=code.content, lifetime=QR_LIFETIME_SECONDS)
            async with aclosing(self._poll_qr_code(code)) as steps:
                async for step in steps:
                    yield step
                    if isinstance(step, LoggedIn):
                        return
            yield QrExpired()
            lasted = self._clock.monotonic() - began
            backoff = backoff.reset() if lasted > backoff.cap else backoff.after_failure()
            await self._clock.sleep(backoff.wait(self._clock.chance()))

    async def _fetch_qr_code(self) -> QrCode:
        channel = self._client
        tokens = tuple(bot.token for bot in channel.saved_bots() if bot.id not in self._denied)
        request = requests.qr_code_request(channel.hosts.login, tokens, channel.random_uint32())
        code = responses.read_qr_code(await channel.call_json(request))
        if not code.handle:
            raise Unreachable(channel.text("no_code", ret=code.ret))
        return code

    async def _poll_qr_code(self, code: QrCode) -> AsyncGenerator[LoginStep, None]:
        """One code. No `LoggedIn` when it is over; between two polls an old login may be good again."""
        async with aclosing(QrPoll(self._client, code.handle, self._verification_code).steps()) as steps:
            async for step in steps:
                match step:
                    case Confirmed(answer):
                        yield await self._complete_login(answer)
                        return
                    case AlreadyBound():
                        if (known := await self._existing_login()) is not None:
                            yield known
                        return
                    case None:
                        if (again := await self._reactivated_login()) is not None:
                            yield again
                            return
                    case _:
                        yield step

    async def _complete_login(self, answer: ScanAnswer) -> LoggedIn:
        """A new login; without id, token and person it is none (ilink 3.3.2)."""
        channel = self._client
        if not (answer.bot and answer.token and answer.user):
            raise LoginRefused(channel.text("no_credentials"))
        base = channel.hosts.base_url(answer.base)
        if base is None:
            raise LoginRefused(channel.text("foreign_host", host=host_of(answer.base) or "?"))
        user, endpoint = Handle(answer.user), channel.hosts.endpoint
        channel.set_current(Bot(id=answer.bot, token=answer.token, user=user, base=base, endpoint=endpoint))
        await channel.save_if_possible()
        try:
            await channel.is_login_valid(channel.bot)
        except BackendError as why:  # it is only told that we are here
            log.info("presence not told", reason=str(why))
        return self._logged_in(resumed=False)

    async def _existing_login(self) -> LoggedIn | None:
        """The login to which the person is bound already; None where WeChat takes none all the same."""
        held = [bot for bot in self._client.saved_bots() if bot.id not in self._denied]
        for bot in held:
            if await self._is_valid_or_unknown(bot):
                return await self._resume(bot)
        log.warning("WeChat knows a login of ours and takes none", logins=len(held))
        self._denied.update(bot.id for bot in held)  # the next code asks for a new one
        return None

    async def _is_valid_or_unknown(self, bot: Bot) -> bool:
        """The person has scanned; one lost answer must not make them scan again."""
        for _ in range(MAX_LOGIN_ATTEMPTS - 1):
            try:
                return await self._client.is_login_valid(bot)
            except Unreachable as why:
                log.info("trying again", reason=str(why))
                await self._clock.sleep(QR_RETRY_SECONDS)
        return await self._client.is_login_valid(bot)

    async def _reactivated_login(self) -> LoggedIn | None:
        """Very seldom: whether WeChat takes a login again that it had ended (ilink 4.6.2)."""
        saved = self._resumable_bot()
        if (
            saved is None
            or self._clock.monotonic() - self._client.logged_out_at < LOGIN_PROBE_INTERVAL_SECONDS
        ):
            return None
        self._client.logged_out_at = self._clock.monotonic()
        try:
            return await self._resume(saved) if await self._client.is_login_valid(saved) else None
        except Unreachable:
            return None

    async def _resume(self, bot: Bot) -> LoggedIn:
        self._client.set_current(bot)
        await self._client.save_if_possible()
        return self._logged_in(resumed=True)

    def _logged_in(self, *, resumed: bool) -> LoggedIn:
        bot = self._client.bot
        cursor = Cursor(bot.cursor) if bot.cursor else SyncCursor().to_cursor()
        return LoggedIn(owner=bot.owner, login_id=bot.login_id, resumed=resumed, cursor=cursor)
