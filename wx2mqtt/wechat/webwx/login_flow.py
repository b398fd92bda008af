"""Logs in to web WeChat: by the saved session, else by push login, else by QR code (webwx 2.1-2.7).

| way | what happens |
|---|---|
| saved session | a call that changes nothing finds out whether WeChat still accepts it |
| push login | WeChat asks on the phone of the saved account; its owner confirms |
| QR code | somebody scans the code with the phone, and confirms |

A push login and a QR code both have a uuid, whose state `poll_code` polls until it is confirmed or has ended.
`_start_session` then makes the session.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import structlog

from wx2mqtt.clock import Backoff
from wx2mqtt.errors import BackendError, LoginRefused, Unreachable
from wx2mqtt.wechat.backend import (
    ConfirmOnPhone,
    LoggedIn,
    LoginStep,
    PollFailing,
    PollRecovered,
    Scanned,
)
from wx2mqtt.wechat.http_client import with_retries
from wx2mqtt.wechat.json_reader import JsonObject, UnreadableJson
from wx2mqtt.wechat.qr_login import (
    CONFIRM_TIMEOUT_SECONDS,
    MAX_POLL_BACKOFF_SECONDS,
    MIN_POLL_INTERVAL_SECONDS,
    LoginCode,
    OutageDetector,
    qr_login_steps,
)
from wx2mqtt.wechat.webwx.client import ApiClient
from wx2mqtt.wechat.webwx.protocol import endpoints, requests, responses
from wx2mqtt.wechat.webwx.protocol.codes import SESSION_ENDED, Ret, ScanStatus
from wx2mqtt.wechat.webwx.protocol.contacts import read_owner
from wx2mqtt.wechat.webwx.protocol.cookies import ENDPOINT_HOST
from wx2mqtt.wechat.webwx.protocol.hosts import host_of, is_wechat
from wx2mqtt.wechat.webwx.protocol.responses import InitAnswer, NewLogin, require_sid_and_uin
from wx2mqtt.wechat.webwx.protocol.session import Session, SyncCursor

log = structlog.get_logger(__name__)

# So many failures in a row end a QR code when the last one is an answer without a scan status.
MAX_STRANGE_ANSWERS = 3


class LoginFlow:
    """Runs one login."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._clock = client.clock
        #: The contact entries of webwxinit, some of which are in no other list.
        self.initial_contacts: list[JsonObject] = []

    async def steps(self, *, resume: bool) -> AsyncGenerator[LoginStep, None]:
        """Yields the steps of `Backend.login`."""
        session = await self._client.load() if resume else None
        if session is not None:
            if await self._is_still_valid(session):
                yield _logged_in(session, resumed=True)
                return
            async with aclosing(self._login_by_push(session)) as steps:
                async for step in steps:
                    yield step
                    if isinstance(step, LoggedIn):
                        return
        self._client.reset_session()
        async with aclosing(qr_login_steps(self, self._clock)) as steps:
            async for step in steps:
                yield step

    async def _is_still_valid(self, session: Session) -> bool:
        """Returns whether WeChat accepts a saved login, by a call that changes nothing.

        A synccheck would take 25 s for a valid login (webwx 5.3.3, 5.3.4).
        """
        request = requests.batch_get_request(session, [session.handle], self._clock.now)
        _, ret = await self._client.call_unchecked(request)
        if ret in SESSION_ENDED or ret == Ret.TICKET_ERROR:
            log.info("saved login refused", ret=ret)
            return False
        if ret != Ret.OK:
            raise self._client.error_for(ret, request.endpoint)
        return True

    async def _login_by_push(self, session: Session) -> AsyncGenerator[LoginStep, None]:
        """Tries a push login; yields no `LoggedIn` when it is not offered, not answered or declined."""
        client = self._client
        if client.push_tried_login_id == session.login_id:
            return
        client.push_tried_login_id = session.login_id
        try:
            host = host_of(client.profile.hosts.base) if client.endpoint is None else ENDPOINT_HOST
            request = requests.push_login_request(session, client.http.cookies.for_host(host))
            uuid = responses.read_push_login((await client.http.call(request)).body)
        except (Unreachable, UnreadableJson) as error:
            log.info("push login not offered", reason=str(error))
            return
        if uuid:
            yield ConfirmOnPhone()
            async with aclosing(self.poll_code(uuid)) as steps:
                async for step in steps:
                    yield step

    # The code

    async def fetch_code(self) -> LoginCode:
        """Asks WeChat for a new code. Raises `Unreachable`."""
        request = requests.jslogin_request(self._client.profile, self._clock.now)
        code = responses.read_qr_code((await self._client.http.call(request)).body)
        is_refused = code.code not in {200, None}  # an answer without a code may have a uuid all the same
        if is_refused or not code.uuid:
            raise Unreachable(self._client.text("no_code", code=code.code or "-"))
        return LoginCode(
            code_id=code.uuid,
            url=f"{endpoints.QR_CONTENT_PREFIX}{code.uuid}",
            lifetime_seconds=endpoints.QR_LIFETIME_SECONDS,
        )

    async def poll_code(self, code_id: str) -> AsyncGenerator[LoginStep, None]:
        """Polls until the phone has answered; yields no `LoggedIn` when the code has ended.

        A failed poll is repeated; one that is answered without a scan status as well, but only a few times.
        """
        now = self._clock.monotonic
        deadline = now() + endpoints.QR_LIFETIME_SECONDS
        outage = OutageDetector(now())
        backoff = Backoff(first=MIN_POLL_INTERVAL_SECONDS, cap=MAX_POLL_BACKOFF_SECONDS)
        is_first = True
        is_scanned = False
        while (started_at := now()) < deadline:
            answer = await self._poll(code_id, first=is_first)
            if isinstance(answer, Unreachable):
                if outage.record_failure(now()):
                    yield PollFailing(reason=str(answer))
                backoff = await self._pause_after_failure(backoff)
                continue
            if outage.record_success(now()):
                yield PollRecovered()
            if answer.scan is None:
                if backoff.failures + 1 >= MAX_STRANGE_ANSWERS:
                    return
                backoff = await self._pause_after_failure(backoff)
                continue
            backoff = backoff.reset()
            is_first = False
            if answer.scan is ScanStatus.CONFIRMED and answer.redirect:
                yield _logged_in(await self._start_session(answer.redirect), resumed=False)
                return
            if answer.scan in {ScanStatus.OVER, ScanStatus.CONFIRMED}:  # also confirmed without a redirect
                return
            if answer.scan is ScanStatus.SCANNED and not is_scanned:
                is_scanned = True
                deadline = max(deadline, now() + CONFIRM_TIMEOUT_SECONDS)
                yield Scanned(avatar=answer.avatar)
            else:
                await self._clock.sleep(max(0.0, started_at + MIN_POLL_INTERVAL_SECONDS - now()))

    async def _pause_after_failure(self, backoff: Backoff) -> Backoff:
        """Waits after one more failure; returns the back-off that has counted it."""
        backoff = backoff.after_failure()
        await self._clock.sleep(backoff.wait(self._clock.chance()))
        return backoff

    async def _poll(self, uuid: str, *, first: bool) -> responses.ScanAnswer | Unreachable:
        request = requests.scan_poll_request(self._client.profile, uuid, first=first, now=self._clock.now)
        try:
            return responses.read_scan_answer((await self._client.http.call(request)).body)
        except Unreachable as error:
            log.info("login poll failed", reason=str(error))
            return error

    # The session of a confirmed login

    async def _start_session(self, redirect: str) -> Session:
        """Makes the calls of every new login, and saves it.

        1. webwxnewloginpage exchanges the ticket in the redirect for the keys of the session.
        2. webwxinit returns the owner, the first position of receiving and some of the contacts.
        3. webwxstatusnotify tells the phone; it may fail.

        Raises `LoginRefused` when WeChat refuses it, or the error of a failed call.
        """
        session = await self._granted_session(redirect)
        init = await with_retries(lambda: self._initialize(session), self._clock)
        self.initial_contacts = init.contacts
        owner = read_owner(init.user)
        session = replace(
            session,
            skey=init.skey or session.skey,
            handle=owner.handle,
            nickname=owner.nickname,
            position=SyncCursor(sync=init.keys, check=init.keys),
            chats=init.chats,
        )
        self._client.login = session
        await self._notify_phone(session)
        await self._client.save_if_possible()
        return session

    async def _granted_session(self, redirect: str) -> Session:
        """Returns the session that WeChat grants for a ticket; it does not know its owner's handle yet."""
        client = self._client
        answer = await self._exchange_ticket(redirect)
        # The server may send the client to another cluster (webwx 2.4.3.5).
        if not answer.skey and answer.redirect:
            answer = await self._exchange_ticket(answer.redirect)
        sid, uin = require_sid_and_uin(answer, client.http.cookies, client.language)
        return Session(
            login_id=secrets.token_hex(8),
            base=client.base,
            profile=client.profile,
            uin=uin,
            sid=sid,
            skey=answer.skey,
            pass_ticket=answer.pass_ticket,
            device_id=f"e{int(client.clock.chance() * 10**15):015d}",
        )

    async def _notify_phone(self, session: Session) -> None:
        """Tells the phone that web WeChat is in use. A failure does not end the session (webwx 2.7.3)."""
        try:
            await self._client.call(requests.status_notify_request(session, self._clock.now))
        except BackendError as error:
            log.info("status notify failed", reason=str(error))

    async def _exchange_ticket(self, redirect: str) -> NewLogin:
        """Exchanges the ticket in a redirect for the keys of a session, at the host of the redirect.

        Raises `LoginRefused` for a host that is not WeChat's.
        """
        client = self._client
        if client.endpoint is None and not is_wechat(redirect):
            raise LoginRefused(client.text("foreign_host"))
        client.set_base(host_of(redirect))
        attempts = 0

        async def exchange() -> NewLogin:
            nonlocal attempts
            attempts += 1
            request = requests.new_login_request(client.profile, redirect)
            answer = responses.read_new_login((await client.http.call(request)).body)
            if not (answer.skey or answer.ret or answer.is_page or answer.redirect):
                raise client.unreadable_error(request.endpoint)
            return answer

        answer = await with_retries(exchange, self._clock)
        if attempts > 1 and answer.ret not in {Ret.OK, Ret.LOGIN_REFUSED}:
            # An attempt whose answer was lost may have used up the ticket: the account is not refused.
            raise client.unreadable_error(endpoints.NEW_LOGIN)
        return answer

    async def _initialize(self, session: Session) -> InitAnswer:
        """Calls webwxinit. Raises `BadAnswer` for an answer without the owner."""
        request = requests.init_request(session, self._clock.now)
        init = responses.read_init(await self._client.call(request))
        if not read_owner(init.user).handle:
            raise self._client.unreadable_error(request.endpoint)
        return init


def _logged_in(session: Session, *, resumed: bool) -> LoggedIn:
    return LoggedIn(
        owner=session.owner, login_id=session.login_id, resumed=resumed, cursor=session.position.to_cursor()
    )
