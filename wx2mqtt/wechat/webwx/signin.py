"""Signing in: resume a saved login, else ask the phone, else show QR codes (webwx 2.1-2.7).

Only conversations; what answers mean is in `login`, `responses` and `codes`.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog

from wx2mqtt.errors import GatewayError, LoggedOut, LoginRefused, Unreachable
from wx2mqtt.retry import Backoff
from wx2mqtt.wechat.gateway import AskPhone, LoggedIn, LoginStep, Scanned, ShowQr
from wx2mqtt.wechat.webwx import endpoints, requests, responses
from wx2mqtt.wechat.webwx.channel import Channel
from wx2mqtt.wechat.webwx.codes import Scan
from wx2mqtt.wechat.webwx.contacts import owner_in
from wx2mqtt.wechat.webwx.fields import Entry
from wx2mqtt.wechat.webwx.login import session_from
from wx2mqtt.wechat.webwx.position import Position
from wx2mqtt.wechat.webwx.responses import Init, NewLogin, Unreadable
from wx2mqtt.wechat.webwx.session import Session

log = structlog.get_logger(__name__)
T = TypeVar("T")

APART = 1.0  # seconds between the beginnings of polls that bring nothing (webwx 5.1)
CONFIRM_TIME = 120.0  # seconds that a person who has scanned may take to confirm
TRIES = 3  # of the exchange and of init, which are serial (webwx 2.4)
STRANGE_ANSWERS = 3  # polls in a row without a code, until the QR code is given up


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The phone said yes; `redirect` holds a ticket."""

    redirect: str


class SignIn:
    """The ways in. `known` receives the contacts of webwxinit, which no other list has."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._timing = channel.timing
        self.known: list[Entry] = []

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
        try:
            await self._channel.ask(
                requests.batch_get(self._channel.site, session, [session.handle], self._timing.now)
            )
        except LoggedOut as ended:
            log.info("saved login refused", reason=str(ended))
            return False
        return True

    async def _by_phone(self, session: Session) -> AsyncGenerator[LoginStep, None]:
        """Push login; no `LoggedIn` when it is not offered, not answered or declined (webwx 2.5)."""
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
            lasted = self._timing.monotonic() - began
            backoff = backoff.reset() if lasted > backoff.cap else backoff.failed()
            await self._timing.sleep(backoff.wait(self._timing.chance()))

    async def _new_code(self) -> str:
        request = requests.jslogin(self._channel.site, self._timing.now)
        code = responses.qr_code((await self._channel.transport.call(request)).body)
        if code.code not in {200, None} or not code.uuid:
            raise Unreachable(self._channel.words("no_code", code=code.code or "-"))
        return code.uuid

    async def _scanning(self, uuid: str) -> AsyncGenerator[Scanned | Confirmed, None]:
        """Poll until the code is over; `Confirmed` is the last step. A failed poll is tried again."""
        deadline = self._timing.monotonic() + endpoints.QR_LIFETIME
        backoff, first, scanned = Backoff(first=APART, cap=10.0), True, False
        while (began := self._timing.monotonic()) < deadline:
            answer = await self._polled(uuid, first=first)
            if answer is None or answer.scan is None:
                backoff = backoff.failed()
                if answer is not None and backoff.failures >= STRANGE_ANSWERS:
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
                scanned, deadline = True, max(deadline, self._timing.monotonic() + CONFIRM_TIME)
                yield Scanned(avatar=answer.avatar)
            else:
                await self._timing.sleep(max(0.0, began + APART - self._timing.monotonic()))

    async def _polled(self, uuid: str, *, first: bool) -> responses.ScanAnswer | None:
        request = requests.scan_poll(self._channel.site, uuid, first=first, now=self._timing.now)
        try:
            return responses.scan_answer((await self._channel.transport.call(request)).body)
        except Unreachable as why:
            log.info("login poll failed", reason=str(why))
            return None

    async def _enter(self, redirect: str) -> LoggedIn:
        """From the confirmed ticket to a session that is saved."""
        answer = await self._exchanged(redirect)
        if not answer.skey and answer.redirect:  # the server names another place to go to (webwx 2.4)
            answer = await self._exchanged(answer.redirect)
        channel = self._channel
        session = session_from(
            answer,
            channel.transport.cookies,
            base=channel.base,
            login_id=secrets.token_hex(8),
            device_id=f"e{int(self._timing.chance() * 10**15):015d}",
            language=channel.language,
        )
        start = await self._serially(lambda: self._begun(session))
        channel.adopt(_with_start(session, start))
        self.known = start.contacts
        await self._tell_phone()
        await channel.save_if_possible()
        return _logged_in(channel.session, resumed=False)

    async def _exchanged(self, redirect: str) -> NewLogin:
        channel = self._channel
        if channel.endpoint is None and not endpoints.is_wechat(redirect):
            raise LoginRefused(channel.words("foreign_host"))
        channel.move_to(endpoints.host_of(redirect))
        return await self._serially(lambda: self._ticket_for_keys(redirect))

    async def _ticket_for_keys(self, redirect: str) -> NewLogin:
        channel = self._channel
        request = requests.new_login(channel.site, redirect)
        answer = responses.new_login((await channel.transport.call(request)).body)
        if not (answer.skey or answer.ret or answer.page or answer.redirect):
            raise channel.unreadable(request.endpoint)
        return answer

    async def _begun(self, session: Session) -> Init:
        request = requests.init(self._channel.site, session, self._timing.now)
        start = responses.init(await self._channel.ask(request))
        if not owner_in(start.user)[0]:
            raise self._channel.unreadable(request.endpoint)
        return start

    async def _serially(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Up to three tries, one after the other, as the official client does (webwx 2.4)."""
        for _ in range(TRIES - 1):
            try:
                return await attempt()
            except Unreachable as why:
                log.info("trying again", reason=str(why))
                await self._timing.sleep(APART)
        return await attempt()

    async def _tell_phone(self) -> None:
        """Code 3; a failure does not stop the session (webwx 2.7)."""
        request = requests.status_notify(self._channel.site, self._channel.session, self._timing.now)
        try:
            await self._channel.ask(request)
        except GatewayError as why:
            log.info("status notify failed", reason=str(why))


def _with_start(session: Session, start: Init) -> Session:
    handle, nickname, uin = owner_in(start.user)
    return replace(
        session,
        skey=start.skey or session.skey,
        handle=handle,
        nickname=nickname,
        uin=session.uin or uin,
        position=Position(sync=start.keys, check=start.keys),
        chats=start.chats,
    )


def _logged_in(session: Session, *, resumed: bool) -> LoggedIn:
    return LoggedIn(
        owner=session.owner, login_id=session.login_id, resumed=resumed, cursor=session.position.cursor()
    )
