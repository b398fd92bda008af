"""From a confirmed ticket to a session that is saved: exchange, init, notify (webwx 2.4, 2.6, 2.7)."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import structlog

from wx2mqtt.errors import GatewayError, LoginRefused, Unreachable
from wx2mqtt.wechat.fields import Entry
from wx2mqtt.wechat.webwx import endpoints, requests, responses
from wx2mqtt.wechat.webwx.channel import Channel
from wx2mqtt.wechat.webwx.codes import Ret
from wx2mqtt.wechat.webwx.contacts import owner_in
from wx2mqtt.wechat.webwx.login import session_from
from wx2mqtt.wechat.webwx.position import Position
from wx2mqtt.wechat.webwx.responses import Init, NewLogin
from wx2mqtt.wechat.webwx.session import Session

log = structlog.get_logger(__name__)
T = TypeVar("T")

TRIES = 3  # one after the other, as the official client does (webwx 2.4)
PAUSE = 1.0  # seconds between them


class Entrance:
    """`known` receives the contacts of webwxinit, some of which no other list has."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.known: list[Entry] = []

    async def enter(self, redirect: str) -> Session:
        """The session behind a redirect. Raises `LoginRefused`, or what a failing call asks for."""
        answer = await self._exchanged(redirect)
        if not answer.skey and answer.redirect:  # the server names another place to go to (webwx 2.4)
            answer = await self._exchanged(answer.redirect)
        session = self._session(answer)
        start = await self._serially(lambda: self._begun(session))
        session = _with_start(session, start)
        self.known = start.contacts
        self._channel.adopt(session)
        await self._tell_phone(session)
        await self._channel.save_if_possible()
        return session

    async def _exchanged(self, redirect: str) -> NewLogin:
        channel = self._channel
        if channel.endpoint is None and not endpoints.is_wechat(redirect):
            raise LoginRefused(channel.words("foreign_host"))
        channel.move_to(endpoints.host_of(redirect))
        tries = 0

        async def exchange() -> NewLogin:
            nonlocal tries
            tries += 1
            return await self._exchange(redirect)

        answer = await self._serially(exchange)
        if tries > 1 and answer.ret not in {Ret.OK, Ret.LOGIN_REFUSED}:
            # A try whose answer was lost may have used the ticket up: that is no refusal of the account.
            raise channel.unreadable(endpoints.NEW_LOGIN)
        return answer

    async def _exchange(self, redirect: str) -> NewLogin:
        request = requests.new_login(self._channel.site, redirect)
        answer = responses.new_login((await self._channel.transport.call(request)).body)
        if not (answer.skey or answer.ret or answer.page or answer.redirect):
            raise self._channel.unreadable(request.endpoint)
        return answer

    def _session(self, answer: NewLogin) -> Session:
        channel = self._channel
        return session_from(
            answer,
            channel.transport.cookies,
            base=channel.base,
            login_id=secrets.token_hex(8),
            device_id=f"e{int(channel.timing.chance() * 10**15):015d}",
            language=channel.language,
        )

    async def _begun(self, session: Session) -> Init:
        request = requests.init(self._channel.site, session, self._channel.timing.now)
        start = responses.init(await self._channel.ask(request))
        if not owner_in(start.user)[0]:
            raise self._channel.unreadable(request.endpoint)
        return start

    async def _tell_phone(self, session: Session) -> None:
        """Code 3; a failure does not stop the session (webwx 2.7)."""
        request = requests.status_notify(self._channel.site, session, self._channel.timing.now)
        try:
            await self._channel.ask(request)
        except GatewayError as why:
            log.info("status notify failed", reason=str(why))

    async def _serially(self, attempt: Callable[[], Awaitable[T]]) -> T:
        for _ in range(TRIES - 1):
            try:
                return await attempt()
            except Unreachable as why:
                log.info("trying again", reason=str(why))
                await self._channel.timing.sleep(PAUSE)
        return await attempt()


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
