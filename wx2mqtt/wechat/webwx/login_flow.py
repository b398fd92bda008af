"""Logs in to web WeChat: by the saved session, else by push login, else by QR code (webwx 2.1-2.7).

| way | what happens |
|---|---|
| saved session | a call that changes nothing finds out whether WeChat still accepts it |
| push login | WeChat asks on the phone of the saved account; its owner confirms |
| QR code | somebody scans the code with the phone, and confirms |

A push login and a QR code both have a uuid, whose state is polled (`_poll_uuid`) until it is confirmed or has
ended. `session_setup.py` then makes the session.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from wx2mqtt.backoff import Backoff
from wx2mqtt.errors import Unreachable
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import (
    ConfirmOnPhone,
    LoggedIn,
    LoginStep,
    PollFailing,
    PollRecovered,
    Scanned,
)
from wx2mqtt.wechat.json_reader import UnreadableJson
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
from wx2mqtt.wechat.webwx.protocol.session import Session
from wx2mqtt.wechat.webwx.session_setup import SessionSetup

log = structlog.get_logger(__name__)

# So many answers in a row without a scan status end a QR code.
MAX_STRANGE_ANSWERS = 3


@frozen(kw_only=False, repr=False)
class Confirmed:
    """The login was confirmed on the phone; `redirect` holds a ticket."""

    redirect: str


PollStep = Scanned | PollFailing | PollRecovered | Confirmed


class LoginFlow:
    """Runs a login: by the saved session, else by push login, else by QR code."""

    def __init__(self, client: ApiClient, session_setup: SessionSetup) -> None:
        self._client = client
        self._session_setup = session_setup
        self._clock = client.clock

    async def steps(self, *, resume: bool) -> AsyncGenerator[LoginStep, None]:
        """As `Backend.login`."""
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
        request = requests.batch_get_request(self._client.profile, session, [session.handle], self._clock.now)
        _, ret = await self._client.call_unchecked(request)
        if ret in SESSION_ENDED or ret == Ret.TICKET_ERROR:
            log.info("saved login refused", ret=ret)
            return False
        if ret != Ret.OK:
            raise self._client.error_for(ret, request.endpoint)
        return True

    async def _login_by_push(self, session: Session) -> AsyncGenerator[LoginStep, None]:
        """Tries a push login; yields no `LoggedIn` when it is not offered, not answered or declined."""
        if self._client.push_tried_login_id == session.login_id:
            return
        self._client.push_tried_login_id = session.login_id
        uuid = await self._request_push_login(session)
        if not uuid:
            return
        yield ConfirmOnPhone()
        async with aclosing(self._poll_until_login(uuid)) as steps:
            async for step in steps:
                yield step

    async def _request_push_login(self, session: Session) -> str:
        client = self._client
        try:
            request = requests.push_login_request(client.profile, session, client.cookies())
            answer = await client.http.call(request)
            return responses.read_push_login(answer.body)
        except (Unreachable, UnreadableJson) as error:
            log.info("push login not offered", reason=str(error))
            return ""

    async def fetch_code(self) -> LoginCode:
        """As `QrLogin.fetch_code`."""
        request = requests.jslogin_request(self._client.profile, self._clock.now)
        code = responses.read_qr_code((await self._client.http.call(request)).body)
        if code.code not in {200, None} or not code.uuid:
            raise Unreachable(self._client.text("no_code", code=code.code or "-"))
        return LoginCode(
            handle=code.uuid,
            url=f"{endpoints.QR_CONTENT_PREFIX}{code.uuid}",
            lifetime_seconds=endpoints.QR_LIFETIME_SECONDS,
        )

    async def poll_code(self, code: LoginCode) -> AsyncGenerator[LoginStep, None]:
        """As `QrLogin.poll_code`."""
        async with aclosing(self._poll_until_login(code.handle)) as steps:
            async for step in steps:
                yield step

    async def _poll_until_login(self, uuid: str) -> AsyncGenerator[LoginStep, None]:
        """Polls until the phone has answered; yields no `LoggedIn` when the code has ended."""
        async with aclosing(self._poll_uuid(uuid)) as steps:
            async for step in steps:
                yield await self._complete_login(step.redirect) if isinstance(step, Confirmed) else step

    async def _poll_uuid(self, uuid: str) -> AsyncGenerator[PollStep, None]:
        """Polls until the code is confirmed, which is the last step, or has ended. Repeats failed polls."""
        now = self._clock.monotonic
        deadline = now() + endpoints.QR_LIFETIME_SECONDS
        outage = OutageDetector(now())
        backoff = Backoff(first=MIN_POLL_INTERVAL_SECONDS, cap=MAX_POLL_BACKOFF_SECONDS)
        first = True
        scanned = False
        while (started_at := now()) < deadline:
            answer = await self._poll(uuid, first=first)
            if isinstance(answer, Unreachable):
                if outage.record_failure(now()):
                    yield PollFailing(reason=str(answer))
                backoff = backoff.after_failure()
                await self._wait(backoff)
                continue
            if outage.record_success(now()):
                yield PollRecovered()
            if answer.scan is None:
                backoff = backoff.after_failure()
                if backoff.failures >= MAX_STRANGE_ANSWERS:
                    return
                await self._wait(backoff)
                continue
            backoff = backoff.reset()
            first = False
            if answer.scan is ScanStatus.CONFIRMED and answer.redirect:
                yield Confirmed(answer.redirect)
                return
            if answer.scan in {ScanStatus.OVER, ScanStatus.CONFIRMED}:
                return
            if answer.scan is ScanStatus.SCANNED and not scanned:
                scanned = True
                deadline = max(deadline, now() + CONFIRM_TIMEOUT_SECONDS)
                yield Scanned(avatar=answer.avatar)
            else:
                await self._clock.sleep(max(0.0, started_at + MIN_POLL_INTERVAL_SECONDS - now()))

    async def _wait(self, backoff: Backoff) -> None:
        await self._clock.sleep(backoff.wait(self._clock.chance()))

    async def _poll(self, uuid: str, *, first: bool) -> responses.ScanAnswer | Unreachable:
        request = requests.scan_poll_request(self._client.profile, uuid, first=first, now=self._clock.now)
        try:
            return responses.read_scan_answer((await self._client.http.call(request)).body)
        except Unreachable as error:
            log.info("login poll failed", reason=str(error))
            return error

    async def _complete_login(self, redirect: str) -> LoggedIn:
        return _logged_in(await self._session_setup.establish(redirect), resumed=False)


def _logged_in(session: Session, *, resumed: bool) -> LoggedIn:
    return LoggedIn(
        owner=session.owner, login_id=session.login_id, resumed=resumed, cursor=session.position.to_cursor()
    )
