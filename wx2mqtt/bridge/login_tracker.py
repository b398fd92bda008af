"""The state of the login of one account: what it is now, and that others hear of each change.

    state.set(LoginState.ONLINE, "online as Lily")  ->  one line in the log, and `login/state` is published

`login_state.py` says which state may follow which. At the end of the file: what follows from an error that is
temporary (`RETRIED_ERRORS`).
"""

from __future__ import annotations

import structlog

from wx2mqtt.bridge.bot_owner import BotOwner
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.clock import Backoff, now_ms
from wx2mqtt.errors import LoginPostponed, ProtocolViolation, StoreError, Throttled, Unreachable
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import LoginState, Needs
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

# The watchdog waits this long for each step of a login and each page of the contacts: a QR code is valid for
# 300 s, the confirmation on the phone may take as long, and a page may take 180 s
# (webwx 2.2.3, 2.3.5, 2.8.4).
STEP_WATCHDOG_SECONDS = 600.0

# After these errors the same is tried again after a pause: the next batch, or the login.
RETRIED_ERRORS = (Unreachable, Throttled, ProtocolViolation, StoreError)

# Errors must last this long before `login/state` says `interrupted`; a single lost answer is not reported.
INTERRUPTED_AFTER_SECONDS = 5.0


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

    def __init__(self, ctx: AccountContext, bot_owner: BotOwner) -> None:
        self._ctx = ctx
        self._bot_owner = bot_owner
        bot_owner.changed.connect(self.refresh)
        #: When WeChat last answered, in milliseconds; None before the first answer.
        self.last_answer: int | None = None
        #: None while no renewal is offered.
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
            self._ctx.login_requests.end_postponement()
            self._online_reason = reason
            offer = self._renewal
            if offer is None:
                reason, needs = self._online_reason_and_need(needs)
            else:
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
        owner_need = self._bot_owner.need
        if owner_need:
            needs = Needs.OWNER
            reason = self.text(owner_need, bot=self._bot_owner.bot_id)
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
        match error:
            case StoreError():
                message_key = "storage_trouble"
            case LoginPostponed():
                message_key = "login_postponed"
                self._ctx.login_requests.is_postponed = True
            case _:
                message_key = "interrupted"
        self.set(LoginState.INTERRUPTED, self.text(message_key, why=str(error).removesuffix(".")))

    def on_answer(self) -> None:
        """Records an answer of WeChat.

        It is a heartbeat of the login only. While messages are received, it may be an answer with contacts,
        and the receive loop may be stuck nevertheless.
        """
        self.last_answer = now_ms()
        if not self._ctx.login_requests.is_receiving:
            self._ctx.heartbeat("receive", STEP_WATCHDOG_SECONDS)

    def on_store_failure(self, error: StoreError) -> None:
        """Sets the state `interrupted` while a new login waits for the store.

        Once messages are received, the receive loop reports its errors itself.
        """
        if not self._ctx.login_requests.is_receiving:
            self.set_interrupted(error)
            self._ctx.heartbeat("receive", STEP_WATCHDOG_SECONDS)

    def text(self, message_key: str, **facts: object) -> str:
        """Returns a sentence for people in the language of the account."""
        return bridge_text(self._ctx.language, message_key, **facts)


def retry_delay(error: Exception, backoff: Backoff, chance: float) -> float:
    """Returns the seconds until the next attempt: the back-off, or what WeChat demands if that is longer.

    `chance` is a random number from 0 to 1.
    """
    if isinstance(error, Unreachable) and error.retry_after is not None:
        return error.retry_after  # the backend has a schedule of its own
    return max(backoff.wait(chance), getattr(error, "retry_after", None) or 0.0)


def is_interruption(error: Exception, outage_seconds: float) -> bool:
    """Returns whether `login/state` says `interrupted` after this error; not for a single lost answer."""
    if isinstance(error, StoreError):
        return True  # nothing is received until the store works
    if getattr(error, "poll_timed_out", False):
        return True  # the long poll has waited for its whole time limit, which is longer than this one
    return outage_seconds >= INTERRUPTED_AFTER_SECONDS
