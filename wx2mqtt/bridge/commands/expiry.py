"""Decides which waiting commands are settled without being sent, and why.

The reasons: `ttl`, too many unanswered attempts, a closed window, the fallback. Stores nothing; `sender.py`
settles them.
"""

from __future__ import annotations

from wx2mqtt.bridge.commands.fallback import FallbackDelivery
from wx2mqtt.bridge.commands.hold import HOLD_REASONS, HoldQueue, error_code_of
from wx2mqtt.bridge.commands.queues import ChatQueue, ChatQueues
from wx2mqtt.bridge.commands.rate_limit import SendConditions
from wx2mqtt.bridge.commands.results import expired_result, final_result, uncertain_result
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.i18n.bridge import bridge_text, rejection_text
from wx2mqtt.model import ReplyWindow, Result, Status
from wx2mqtt.store.records import CommandRow

MAX_UNANSWERED_ATTEMPTS = 2
"""A command whose attempt got no answer is sent once more; then its result is `uncertain`."""

# An unanswered attempt may be repeated after the ttl, for as long as the ttl was, within these limits: a
# command with a short ttl is not wanted much later, but WeChat gets time to be reachable again.
MIN_EXPIRY_GRACE_SECONDS = 60.0
MAX_EXPIRY_GRACE_SECONDS = 600.0


class ExpiryPolicy:
    """Finds the commands of one account that must not be sent any more, and makes their results."""

    def __init__(
        self,
        ctx: AccountContext,
        queues: ChatQueues,
        conditions: SendConditions,
        hold_queue: HoldQueue,
        fallback: FallbackDelivery,
    ) -> None:
        self._ctx = ctx
        self._queues = queues
        self._conditions = conditions
        self._hold_queue = hold_queue
        self._fallback = fallback

    def expired_result(self, row: CommandRow) -> Result | None:
        """Returns the result of a command that must not be sent any more, None while it may be sent."""
        if row.unanswered >= MAX_UNANSWERED_ATTEMPTS:  # only after a crash: else `sender.py` settled it
            return uncertain_result(row, self._ctx.language)
        if self._fallback.replaces_wechat(row):
            return self._expire(row, self._fallback.after_seconds)
        return self._expire(row) if self.seconds_left(row) <= 0 else None

    def seconds_left(self, row: CommandRow) -> float:
        """Returns the seconds within which an attempt may start."""
        return self._queues.seconds_left(row) + (expiry_grace_seconds(row) if row.unanswered else 0.0)

    def find_unsendable(self, queue: ChatQueue, window: ReplyWindow) -> tuple[CommandRow, Result] | None:
        """Returns a command that does not wait for the window to open, and its result."""
        if (row := self._hold_queue.find_unholdable(queue, window)) is not None:
            return row, final_result(
                row, Status.FAILED, error_code_of(window), self._window_reason(row, window)
            )
        if (row := self._hold_queue.find_excess(queue)) is not None:
            most = self._hold_queue.max_commands
            return row, expired_result(row, self._ctx.language, "displaced", "displaced", most=most)
        return None

    def _window_reason(self, row: CommandRow, window: ReplyWindow) -> str:
        return bridge_text(self._ctx.language, HOLD_REASONS[window.reason], user=row.command.user)

    def _expire(self, row: CommandRow, seconds: float | None = None) -> Result:
        """Returns the result `expired` with its cause; `seconds` is the time it had, None: its ttl."""
        if row.unanswered:
            return uncertain_result(row, self._ctx.language)
        code, message_key, retry_after, reason = self._expiry_cause(row)
        return expired_result(row, self._ctx.language, code, message_key, seconds, retry_after, why=reason)

    def _expiry_cause(self, row: CommandRow) -> tuple[str, str, float | None, str]:
        """Returns result code, key of the text, `retry_after` in seconds, and the reason for the text."""
        conditions = self._conditions
        if (error := self._queues.fetch_error_of(row)) is not None:
            return error.code, "expired_fetch", None, rejection_text(self._ctx.language, error)
        if (wait := conditions.throttled_seconds) > 0:
            return "rate_limited", "expired_rate_limited", wait, ""
        if not conditions.online and not conditions.stopping:
            return "logged_out", "expired_logged_out", None, ""
        if (window := self._hold_queue.closed_window(row)) is not None:
            return error_code_of(window), "expired_shut", None, self._window_reason(row, window)
        if (wait := conditions.rate_limit_seconds) > 0:
            return "rate_limited", "expired_own_limit", wait, ""
        return "expired", "expired", None, ""


def expiry_grace_seconds(row: CommandRow) -> float:
    """Returns the seconds after its ttl in which an unanswered attempt may be repeated."""
    ttl = ((row.expires or row.accepted) - row.accepted) / 1000
    return min(MAX_EXPIRY_GRACE_SECONDS, max(MIN_EXPIRY_GRACE_SECONDS, ttl))
