"""The states of the fallback of an urgent command: in memory, in its row, and in its result.

    stage      since when                                              row                      result
    SCHEDULED  it is accepted, or found at the start                   ""
    DUE        `fallback.after` is over, or it ends without WeChat     ""
    SENDING    an alert for it goes out                                begun
    ENDED      the alert has an outcome; until the result is stored    sent, failed, uncertain  the same

WeChat takes a command in one of the first two: it needs no fallback any more. A process that finds `begun` at
its start sends the alert again. An outcome may be followed by more:

    sent 17                   for a summary of 17 commands
    sent 1 office/zhangsan    another account took it, or was the last that may have sent it
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from enum import Enum, auto

from wx2mqtt.external.alerts import AlertOutcome
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Result
from wx2mqtt.values import frozen

# What the row has from before an alert is sent until it has an outcome.
FALLBACK_STARTED = "begun"

_MESSAGE_KEYS = {
    AlertOutcome.SENT: "fallback_sent",
    AlertOutcome.FAILED: "fallback_failed",
    AlertOutcome.UNCERTAIN: "fallback_uncertain",
}


class Stage(Enum):
    SCHEDULED = auto()
    DUE = auto()
    SENDING = auto()
    ENDED = auto()


@dataclass(slots=True, kw_only=True)
class UrgentCommand:
    """How far the fallback of one command is in this process; `fallback.py` changes it."""

    stage: Stage
    #: Makes it due; None when it is.
    timer: asyncio.TimerHandle | None = None
    #: The state in its row, before the alert and then after it; None until the begin of the alert is stored.
    row_state: str | None = None
    #: It gets its alert since the owner changes, who then gives it its result.
    ends_with_owner: bool = False


@frozen
class FallbackEnd:
    """How the fallback of a command ended."""

    outcome: AlertOutcome
    #: `account/user` that took it, or was the last that may have sent it; else empty.
    account: str = ""
    #: How many commands the alert was for.
    count: int = 1
    #: Whether the services were asked, too.
    asked_services: bool = False

    @property
    def state(self) -> str:
        """The state as it is stored."""
        if self.account:
            return f"{self.outcome} {self.count} {self.account}"
        return str(self.outcome) if self.count == 1 else f"{self.outcome} {self.count}"

    def after(self, state_before: str) -> FallbackEnd:
        """Returns the end for a command whose row had this state.

        If an earlier process had begun its alert, the services may have got it twice, or then and not now.
        """
        if self.asked_services and state_before == FALLBACK_STARTED:
            return replace(self, outcome=AlertOutcome.UNCERTAIN)
        return self


def has_ended(state: str) -> bool:
    return state not in ("", FALLBACK_STARTED)


def with_fallback(result: Result, state: str, language: Language) -> Result:
    """Returns a result that says how the fallback ended; the result itself if it has not."""
    if not has_ended(state):
        return result
    outcome, _, rest = state.partition(" ")
    count, _, account = rest.partition(" ")
    sentences = [result.message, bridge_text(language, _MESSAGE_KEYS[AlertOutcome(outcome)])]
    if account:
        sentences.append(bridge_text(language, "fallback_account", account=account))
    summarized = int(count) if count and count != "1" else None
    if summarized is not None:
        sentences.append(bridge_text(language, "fallback_summarized", count=summarized))
    return replace(
        result,
        fallback=outcome,
        fallback_account=account,
        summarized=summarized,
        message="; ".join(sentences),
    )
