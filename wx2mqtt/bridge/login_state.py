"""The state machine of a login, as `login/state` publishes it. Pure.

LoginStatus().transition(LoginState.ONLINE, "online as Lily", now)  ->  the status that is published
"""

from __future__ import annotations

from dataclasses import replace

from wx2mqtt.clock import rfc3339
from wx2mqtt.model import Json, LoginState, Needs
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import CodeRequired, ConfirmOnPhone, Scanned

S = LoginState
_ANY = frozenset(LoginState)

# The states that may follow each state. Each may also follow itself, with another code or reason.
TRANSITIONS: dict[LoginState, frozenset[LoginState]] = {
    S.STARTING: _ANY,
    S.WAITING_FOR_SCAN: _ANY,
    S.WAITING_FOR_CONFIRM: _ANY,
    S.ONLINE: frozenset({S.INTERRUPTED, S.LOGGED_OUT, S.STOPPED}),
    S.INTERRUPTED: _ANY,
    S.LOGGED_OUT: _ANY - {S.ONLINE},
    S.REFUSED: frozenset({S.STARTING, S.WAITING_FOR_SCAN, S.INTERRUPTED, S.LOGGED_OUT, S.STOPPED}),
    S.STOPPED: frozenset({S.STARTING}),
}

# What a person must do in each state, unless the transition says something else.
NEEDS: dict[LoginState, Needs] = {
    S.STARTING: Needs.NOTHING,
    S.WAITING_FOR_SCAN: Needs.SCAN,
    S.WAITING_FOR_CONFIRM: Needs.CONFIRM,
    S.ONLINE: Needs.NOTHING,
    S.INTERRUPTED: Needs.NOTHING,
    S.LOGGED_OUT: Needs.RELOGIN,
    S.REFUSED: Needs.OTHER_BACKEND,
    S.STOPPED: Needs.NOTHING,
}


@frozen
class LoginStatus:
    """The state of a login. Times are in milliseconds."""

    state: LoginState = LoginState.STARTING
    #: What a person must do next.
    needs: Needs = Needs.NOTHING
    #: A sentence for people.
    reason: str = ""
    #: When the state began.
    since: int
    #: When the QR code expires; None without a code.
    qr_expires: int | None = None
    #: The text of the QR code; empty without one. Whoever has it can log in, so it is no part of `body`.
    qr_url: str = ""

    def transition(
        self,
        state: LoginState,
        reason: str,
        now: int,
        *,
        needs: Needs | None = None,
        qr_expires: int | None = None,
        qr_url: str = "",
    ) -> LoginStatus:
        """Returns the status in the new state. Raises `ValueError` for a transition not in `TRANSITIONS`."""
        if state is not self.state and state not in TRANSITIONS[self.state]:
            msg = f"no way from {self.state} to {state}"
            raise ValueError(msg)
        return replace(
            self,
            state=state,
            needs=needs or NEEDS[state],
            reason=reason,
            since=self.since if state is self.state else now,
            qr_expires=qr_expires,
            qr_url=qr_url,
        )

    def body(self, account: str) -> dict[str, Json]:
        body: dict[str, Json] = {
            "schema": 1,
            "state": str(self.state),
            "needs": str(self.needs),
            "reason": self.reason,
            "since": rfc3339(self.since),
            "account": account,
        }
        if self.qr_expires is not None:
            body["qr_expires"] = rfc3339(self.qr_expires)
        return body


PhoneStep = ConfirmOnPhone | Scanned | CodeRequired


def required_of_person(step: PhoneStep) -> tuple[str, Needs]:
    """Returns the key of the text that tells the person with the phone what to do, and the need it states."""
    match step:
        case ConfirmOnPhone():
            return "ask_phone", Needs.CONFIRM
        case Scanned():
            return "confirm", Needs.CONFIRM
        case CodeRequired(wrong=wrong):
            return ("wrong_code" if wrong else "type_code"), Needs.CODE
