"""Turns a confirmed login into a session: the calls that every new login of web WeChat makes (webwx 2.4-2.7).

1. webwxnewloginpage exchanges the ticket in the redirect for the keys of the session.
2. webwxinit returns the owner, the first position of receiving and some of the contacts.
3. webwxstatusnotify tells the phone; it may fail.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import structlog

from wx2mqtt.errors import BackendError, LoginRefused, Unreachable
from wx2mqtt.wechat.json_reader import JsonObject
from wx2mqtt.wechat.webwx.client import ApiClient
from wx2mqtt.wechat.webwx.protocol import endpoints, requests, responses
from wx2mqtt.wechat.webwx.protocol.codes import Ret
from wx2mqtt.wechat.webwx.protocol.contacts import read_owner
from wx2mqtt.wechat.webwx.protocol.responses import InitAnswer, NewLogin, session_from_answer
from wx2mqtt.wechat.webwx.protocol.session import Session, SyncCursor

log = structlog.get_logger(__name__)
T = TypeVar("T")

# As in the official client (webwx 2.4.3.3).
MAX_SETUP_ATTEMPTS = 3
SETUP_RETRY_SECONDS = 1.0


class SessionSetup:
    """Makes sessions of confirmed logins.

    `initial_contacts` are the contact entries of webwxinit, some of which are in no other list.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self.initial_contacts: list[JsonObject] = []

    async def establish(self, redirect: str) -> Session:
        """Starts the session of a redirect and saves it.

        Raises `LoginRefused` when WeChat refuses it, or the error of a failed call.
        """
        answer = await self._exchange_checked(redirect)
        # The server may send the client to another cluster (webwx 2.4.3.5).
        if not answer.skey and answer.redirect:
            answer = await self._exchange_checked(answer.redirect)
        session = self._new_session(answer)
        init = await self._with_retries(lambda: self._initialize(session))
        session = _with_init(session, init)
        self.initial_contacts = init.contacts
        self._client.set_session(session)
        await self._notify_phone(session)
        await self._client.save_if_possible()
        return session

    async def _exchange_checked(self, redirect: str) -> NewLogin:
        client = self._client
        if client.endpoint is None and not endpoints.is_wechat(redirect):
            raise LoginRefused(client.text("foreign_host"))
        client.set_base(endpoints.host_of(redirect))
        attempts = 0

        async def exchange() -> NewLogin:
            nonlocal attempts
            attempts += 1
            return await self._exchange(redirect)

        answer = await self._with_retries(exchange)
        if attempts > 1 and answer.ret not in {Ret.OK, Ret.LOGIN_REFUSED}:
            # An attempt whose answer was lost may have used up the ticket, so this does not refuse the
            # account.
            raise client.unreadable_error(endpoints.NEW_LOGIN)
        return answer

    async def _exchange(self, redirect: str) -> NewLogin:
        request = requests.new_login_request(self._client.profile, redirect)
        answer = responses.read_new_login((await self._client.http.call(request)).body)
        if not (answer.skey or answer.ret or answer.page or answer.redirect):
            raise self._client.unreadable_error(request.endpoint)
        return answer

    def _new_session(self, answer: NewLogin) -> Session:
        client = self._client
        return session_from_answer(
            answer,
            client.http.cookies,
            base=client.base,
            login_id=secrets.token_hex(8),
            device_id=f"e{int(client.clock.chance() * 10**15):015d}",
            language=client.language,
        )

    async def _initialize(self, session: Session) -> InitAnswer:
        request = requests.init_request(self._client.profile, session, self._client.clock.now)
        init = responses.read_init(await self._client.call(request))
        handle, _, _ = read_owner(init.user)
        if not handle:
            raise self._client.unreadable_error(request.endpoint)
        return init

    async def _notify_phone(self, session: Session) -> None:
        """Informs the phone of the login; a failure does not end the session (webwx 2.7.3)."""
        request = requests.status_notify_request(self._client.profile, session, self._client.clock.now)
        try:
            await self._client.call(request)
        except BackendError as error:
            log.info("status notify failed", reason=str(error))

    async def _with_retries(self, attempt: Callable[[], Awaitable[T]]) -> T:
        for _ in range(MAX_SETUP_ATTEMPTS - 1):
            try:
                return await attempt()
            except Unreachable as error:
                log.info("trying again", reason=str(error))
                await self._client.clock.sleep(SETUP_RETRY_SECONDS)
        return await attempt()


def _with_init(session: Session, init: InitAnswer) -> Session:
    handle, nickname, uin = read_owner(init.user)
    return replace(
        session,
        skey=init.skey or session.skey,
        handle=handle,
        nickname=nickname,
        uin=session.uin or uin,
        position=SyncCursor(sync=init.keys, check=init.keys),
        chats=init.chats,
    )
