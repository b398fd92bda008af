"""Signing in: resume a saved login, else ask the phone, else show QR codes (webwx 2.1-2.5).

Only conversations; what answers mean is in `login`, `responses` and `codes`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from wx2mqtt.errors import Unreachable
from wx2mqtt.retry import Backoff
from wx2mqtt.wechat.answers import Unreadable
from wx2mqtt.wechat.gateway import (
    Answered,
    AskPhone,
    CodeOver,
    LoggedIn,
    LoginStep,
    Scanned,
    ShowQr,
    Unanswered,
)
from wx2mqtt.wechat.silence import Silence
from wx2mqtt.wechat.webwx import endpoints, requests, responses
from wx2mqtt.wechat.webwx.channel import Channel
from wx2mqtt.wechat.webwx.codes import SESSION_ENDED, Ret, Scan
from wx2mqtt.wechat.webwx.entrance import Entrance
from wx2mqtt.wechat.webwx.session import Session

log = structlog.get_logger(__name__)

APART = 1.0  # seconds between the beginnings of polls that bring nothing (webwx 5.1)
CONFIRM_TIME = 120.0  # seconds that a person who has scanned may take to confirm
STRANGE_ANSWERS = 3  # polls in a row without a code, until the QR code is given up


@dataclass(frozen=True, slots=True, repr=False)
class Confirmed:
    """The phone said yes; `redirect` holds a ticket."""

    redirect: str


PollStep = Scanned | Unanswered | Answered | Confirmed


class SignIn:
    """The ways in."""

    def __init__(self, channel: Channel, entrance: Entrance) -> None:
        self._channel = channel
        self._entrance = entrance
        self._timing = channel.timing

    async def steps(self, *, resume: bool) -> AsyncGenerator[LoginStep, None]:
        """As `Gateway.login`."""
        session = await self._channel.load() if resume else None
        if session is not None:
            if await self._still_good(session):
                yield _logged_in(session, resumed=True)
                return
            async with aclosing(self._by_phone(session)) as steps:
                async for step in steps:
                    yield step
                    if isinstance(step, LoggedIn):
                        return
        async with aclosing(self._by_qr_code()) as steps:
            async for step in steps:
                yield step

    async def _still_good(self, session: Session) -> bool:
        """Whether WeChat still takes a saved login: asked with a call that is never held and changes nothing.

        A synccheck with the newest key would be held for 25 s if all is well (webwx 2.10, 5.3).
        """
        request = requests.batch_get(self._channel.site, session, [session.handle], self._timing.now)
        _, ret = await self._channel.ask_anyway(request)
        if ret in SESSION_ENDED or ret == Ret.TICKET_ERROR:
            log.info("saved login refused", ret=ret)
            return False
        if ret != Ret.OK:
            raise self._channel.refusal(ret, request.endpoint)
        return True

    async def _by_phone(self, session: Session) -> AsyncGenerator[LoginStep, None]:
        """Push login; no `LoggedIn` when it is not offered, not answered or declined (webwx 2.5)."""
        if self._channel.phone_asked == session.login_id:
            return
        self._channel.phone_asked = session.login_id
        uuid = await self._pushed(session)
        if not uuid:
            return
        yield AskPhone()
        async with aclosing(self._scanning(uuid)) as steps:
            async for step in steps:
                yield await self._enter(step.redirect) if isinstance(step, Confirmed) else step

    async def _pushed(self, session: Session) -> str:
        channel = self._channel
        try:
            request = requests.push_login(channel.site, session, channel.cookies())
            answer = await channel.transport.call(request)
            return responses.push_login(answer.body)
        except (Unreachable, Unreadable) as why:
            log.info("push login not offered", reason=str(why))
            return ""

    async def _by_qr_code(self) -> AsyncGenerator[LoginStep, None]:
        """QR codes without end, each as soon as the one before is over; slower when they are over at once."""
        self._channel.start_anew()
        backoff = Backoff(first=APART)
        while True:
            began = self._timing.monotonic()
            uuid = await self._new_code()
            yield ShowQr(url=f"{endpoints.QR_CONTENT}{uuid}", lifetime=endpoints.QR_LIFETIME)
            async with aclosing(self._scanning(uuid)) as steps:
                async for step in steps:
                    yield await self._enter(step.redirect) if isinstance(step, Confirmed) else step
                    if isinstance(step, Confirmed):
                        return
            yield CodeOver()
            lasted = self._timing.monotonic() - began
            backoff = backoff.reset() if lasted > backoff.cap else backoff.failed()
            await self._timing.sleep(backoff.wait(self._timing.chance()))

    async def _new_code(self) -> str:
        request = requests.jslogin(self._channel.site, self._timing.now)
        code = responses.qr_code((await self._channel.transport.call(request)).body)
        if code.code not in {200, None} or not code.uuid:
            raise Unreachable(self._channel.words("no_code", code=code.code or "-"))
        return code.uuid

    async def _scanning(self, uuid: str) -> AsyncGenerator[PollStep, None]:
        """Poll until the code is over; `Confirmed` is the last step. A failed poll is tried again."""
        now = self._timing.monotonic
        deadline, silence = now() + endpoints.QR_LIFETIME, Silence(now())
        backoff, first, scanned = Backoff(first=APART, cap=10.0), True, False
        while (began := now()) < deadline:
            answer = await self._polled(uuid, first=first)
            if isinstance(answer, Unreachable):
                if silence.goes_on(now()):
                    yield Unanswered(why=str(answer))
            elif silence.ends(now()):
                yield Answered()
            if isinstance(answer, Unreachable) or answer.scan is None:
                backoff = backoff.failed()
                if not isinstance(answer, Unreachable) and backoff.failures >= STRANGE_ANSWERS:
                    return
                await self._timing.sleep(backoff.wait(self._timing.chance()))
                continue
            backoff, first = backoff.reset(), False
            if answer.scan is Scan.CONFIRMED and answer.redirect:
                yield Confirmed(answer.redirect)
                return
            if answer.scan in {Scan.OVER, Scan.CONFIRMED}:
                return
            if answer.scan is Scan.SCANNED and not scanned:
                scanned, deadline = True, max(deadline, now() + CONFIRM_TIME)
                yield Scanned(avatar=answer.avatar)
            else:
                await self._timing.sleep(max(0.0, began + APART - now()))

    async def _polled(self, uuid: str, *, first: bool) -> responses.ScanAnswer | Unreachable:
        request = requests.scan_poll(self._channel.site, uuid, first=first, now=self._timing.now)
        try:
            return responses.scan_answer((await self._channel.transport.call(request)).body)
        except Unreachable as why:
            log.info("login poll failed", reason=str(why))
            return why

    async def _enter(self, redirect: str) -> LoggedIn:
        return _logged_in(await self._entrance.enter(redirect), resumed=False)


def _logged_in(session: Session, *, resumed: bool) -> LoggedIn:
    return LoggedIn(
        owner=session.owner, login_id=session.login_id, resumed=resumed, cursor=session.position.cursor()
    )
