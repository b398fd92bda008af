"""The state of the fallback of a command, as its row stores it, and what the result says of it.

""                        not needed so far
begun                     an alert is being sent, or was when the process ended
sent, failed, uncertain   it has ended
sent 17                   the same for a summary of 17 commands
sent 1 office/zhangsan    another account took it, or was the last that may have sent it
"""

from __future__ import annotations

from dataclasses import replace

from wx2mqtt.external.alerts import AlertOutcome
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Result
from wx2mqtt.values import frozen

# The state that is stored before an alert is sent.
FALLBACK_STARTED = "begun"

_MESSAGE_KEYS = {
    AlertOutcome.SENT: "fallback_sent",
    AlertOutcome.FAILED: "fallback_failed",
    AlertOutcome.UNCERTAIN: "fallback_uncertain",
}


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
