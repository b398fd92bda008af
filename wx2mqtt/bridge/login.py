"""Logs one account in: with the saved login, or with a QR code that somebody scans.

    ShowQr    ->  `login/state` is `waiting_for_scan`
    Scanned   ->  `waiting_for_confirm`
    LoggedIn  ->  `account_owner.py` checks whose login it is; `online` follows when the contacts are stored

`Backend.login` yields these steps of an attempt, `AccountLogin.log_in` shows them.
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial

from wx2mqtt.bridge.account_owner import AccountOwner
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.login_state import LoginStatus, required_of_person
from wx2mqtt.bridge.login_tracker import STEP_WATCHDOG_SECONDS, LoginStateTracker
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import ProtocolViolation
from wx2mqtt.model import LoginState
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import (
    CodeRequired,
    ConfirmOnPhone,
    LoggedIn,
    PollFailing,
    PollRecovered,
    QrExpired,
    Scanned,
    ShowQr,
)

# QR codes shown in a row before the session is idle until somebody requests a login.
MAX_QR_CODES = 10


class TooManyQrCodes(Exception):
    """`MAX_QR_CODES` codes have expired, and nobody has scanned one."""


@frozen
class LoginAttempt:
    """How the next login is made."""

    #: With the saved login, if there is one; else with a QR code.
    resume: bool = False
    #: Why the last login ended, which the text beside the QR code repeats; empty if nobody needs to know.
    previous_reason: str = ""
    #: The pause before the attempt.
    pause_seconds: float = 0.0


class AccountLogin:
    """Logs in, one attempt after the other."""

    def __init__(self, ctx: AccountContext, owner: AccountOwner, state: LoginStateTracker) -> None:
        self._ctx = ctx
        self._owner = owner
        self._requests = ctx.login_requests
        self._state = state
        #: QR codes shown since the last login, or since somebody requested one.
        self.qr_codes_shown = 0
        #: Whether a saved login has asked for a confirmation on the phone.
        self.phone_asked = False

    async def log_in(self, attempt: LoginAttempt) -> LoggedIn:
        """Makes one attempt. Raises `LoginRefused`, `WrongAccount`, `TooManyQrCodes` or a temporary error."""
        before_outage = self._state.status  # what is shown again when WeChat can be reached again
        self._ctx.heartbeat("receive", STEP_WATCHDOG_SECONDS)
        await self._owner.adopt_saved_login()
        usable = partial(self._owner.may_resume, new_owner=self._requests.new_owner)
        async with aclosing(self._ctx.backend.login(resume=attempt.resume, usable=usable)) as steps:
            async for step in steps:
                if not isinstance(step, PollFailing):
                    self._state.on_answer()
                match step:
                    case ShowQr(url=url, lifetime=lifetime):
                        self._show_qr(url, lifetime, attempt.previous_reason)
                    case ConfirmOnPhone() | Scanned() | CodeRequired():
                        if isinstance(step, ConfirmOnPhone):
                            self.phone_asked = True
                        key, needs = required_of_person(step)
                        self._state.set(LoginState.WAITING_FOR_CONFIRM, self._state.text(key), needs=needs)
                    case QrExpired():
                        self._require_code_left()  # here, so that no further code is requested in vain
                        self._state.set(LoginState.STARTING, self._state.text("code_over"))
                    case PollFailing(reason=cause):
                        before_outage = self._state.status
                        self._show_outage(cause)
                    case PollRecovered():
                        self._show_recovery(before_outage)
                    case LoggedIn():
                        await self._accept(step)
                        return step
        raise ProtocolViolation

    def _show_qr(self, url: str, lifetime: float, previous_reason: str) -> None:
        self._require_code_left()
        self.qr_codes_shown += 1
        text = self._state.text
        if self._state.status.state is LoginState.ONLINE:  # WeChat has refused the login after a renewal
            self._state.set(LoginState.LOGGED_OUT, text("renewal_refused"))
        reason = text("scan_again", why=previous_reason) if previous_reason else text("scan")
        expires = now_ms() + int(lifetime * 1000)
        self._state.set(LoginState.WAITING_FOR_SCAN, reason, qr_expires=expires, qr_url=url)

    def _require_code_left(self) -> None:
        if self.qr_codes_shown >= MAX_QR_CODES:
            raise TooManyQrCodes

    def _show_outage(self, cause: str) -> None:
        """Sets the state `interrupted` and keeps the QR code, which may still be valid."""
        reason = self._state.text("interrupted", why=cause)
        shown = self._state.status
        self._state.set(LoginState.INTERRUPTED, reason, qr_expires=shown.qr_expires, qr_url=shown.qr_url)

    def _show_recovery(self, before: LoginStatus) -> None:
        """Sets the state from before the outage again. The code may have been replaced meanwhile."""
        self._state.set(
            before.state,
            before.reason,
            needs=before.needs,
            qr_expires=before.qr_expires,
            qr_url=self._state.status.qr_url,
        )

    async def _accept(self, step: LoggedIn) -> None:
        """Checks and remembers whose login it is. Raises `WrongAccount`."""
        await self._owner.accept(
            step.owner,
            new_owner=self._requests.new_owner,
            is_configured=step.is_configured,
            on_store_failure=self._state.on_store_failure,
        )
        self._requests.new_owner = False
        self.qr_codes_shown = 0
        if self._state.status.state in (LoginState.LOGGED_OUT, LoginState.REFUSED):
            # Credentials of the configuration log in without a step that a person sees.
            self._state.set(LoginState.STARTING, self._state.text("starting"))
