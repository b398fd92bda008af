"""Logs one account in: with the saved login, or with a QR code that somebody scans.

    ShowQr        ->  `login/state` is `waiting_for_scan` Scanned       ->  `waiting_for_confirm` LoggedIn
    ->  `account_owner.py` checks whose login it is; when the session has the contacts, `online` follows

`Backend.login` yields the steps of a login: there is a QR code, it was scanned, the person must confirm, the
account is logged in. `AccountLogin.log_in` shows each of them in `login/state`; `account_owner.py` checks
whose login it is.
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial

import structlog

from wx2mqtt.bridge.account_owner import AccountOwner
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.login_state import LoginStatus, required_of_person
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import ProtocolViolation, StoreError
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import LoginState, Needs
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

log = structlog.get_logger(__name__)

# QR codes shown in a row before the session is idle until somebody requests a login.
MAX_QR_CODES = 10

# The watchdog waits this long for each step of a login and each page of the contacts: a QR code is valid for
# 300 s, the confirmation on the phone may take as long, and a page may take 180 s
# (webwx 2.2.3, 2.3.5, 2.8.4).
STEP_WATCHDOG_SECONDS = 600.0


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


@frozen
class RenewalOffer:
    """What `login/state` says while the login goes on and a code for the next one is offered."""

    reason: str
    needs: Needs
    qr_expires: int | None = None
    qr_url: str = ""


class LoginStateTracker:
    """Holds the state of the login as `status`; logs each change and emits `login_changed`.

    The state `online` has another reason, and a need, in these cases; the last one that is true counts:

    - the operator has not said whose the bot is, or who its owner is;
    - the configuration file is refused;
    - a renewal of the login is offered.
    """

    def __init__(self, ctx: AccountContext, owner: AccountOwner) -> None:
        self._ctx = ctx
        self._owner = owner
        #: When WeChat last answered, in milliseconds; None before the first answer.
        self.last_answer: int | None = None
        self._renewal: RenewalOffer | None = None
        #: What the state `online` says in the normal case.
        self._online_reason = ""
        self.status = LoginStatus(since=now_ms(), reason=self.text("starting"))

    def set(
        self,
        state: LoginState,
        reason: str,
        *,
        needs: Needs | None = None,
        qr_expires: int | None = None,
        qr_url: str = "",
    ) -> None:
        """Sets the state; without `needs` the usual one of the state. `reason` is a sentence for people."""
        if state is LoginState.ONLINE:
            self._online_reason = reason
            reason, needs = self._online_reason_and_need(needs)
            offer = self._renewal
            if offer is not None:
                reason, needs = offer.reason, offer.needs
                qr_expires, qr_url = offer.qr_expires, offer.qr_url
        previous = self.status
        self.status = previous.transition(
            state, reason, now_ms(), needs=needs, qr_expires=qr_expires, qr_url=qr_url
        )
        if self.status == previous:
            return
        if state is not previous.state:
            log.info("login", state=str(state), needs=str(self.status.needs), reason=reason)
        self._ctx.signals.login_changed.emit(self.status)

    def _online_reason_and_need(self, needs: Needs | None) -> tuple[str, Needs | None]:
        """Returns what the state `online` says while no renewal is offered."""
        reason = self._online_reason
        owner_need = self._owner.need
        if owner_need:
            needs = Needs.OWNER
            reason = self.text(owner_need, bot=self._owner.bot_id)
        if self._ctx.shared.reload_status.is_refused:
            reason = self._ctx.shared.reload_status.sentence(self._ctx.language)
        return reason, needs

    def set_renewal(self, offer: RenewalOffer | None) -> None:
        """Shows an offer in the state `online`, now or as soon as that is the state; None ends it."""
        self._renewal = offer
        self.refresh()

    def refresh(self) -> None:
        """Computes reason and need of the state `online` anew."""
        if self.status.state is LoginState.ONLINE:
            self.set(LoginState.ONLINE, self._online_reason)

    def set_interrupted(self, error: Exception) -> None:
        """Sets the state `interrupted`: the error is temporary, and the bridge tries again."""
        message_key = "storage_trouble" if isinstance(error, StoreError) else "interrupted"
        self.set(LoginState.INTERRUPTED, self.text(message_key, why=str(error).removesuffix(".")))

    def on_answer(self) -> None:
        """Records an answer of WeChat.

        It is a heartbeat of the login only. While messages are received, it may be an answer with contacts,
        and the receive loop may be stuck nevertheless.
        """
        self.last_answer = now_ms()
        if not self._ctx.login_requests.logged_in:
            self._ctx.heartbeat("receive", STEP_WATCHDOG_SECONDS)

    def on_store_failure(self, error: StoreError) -> None:
        """Sets the state `interrupted` while a new login waits for the store.

        Once messages are received, the receive loop reports its errors itself.
        """
        if not self._ctx.login_requests.logged_in:
            self.set_interrupted(error)
            self._ctx.heartbeat("receive", STEP_WATCHDOG_SECONDS)

    def text(self, message_key: str, **facts: object) -> str:
        """Returns a sentence for people in the language of the account."""
        return bridge_text(self._ctx.language, message_key, **facts)


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
