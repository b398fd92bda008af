"""Which commands are not sent any more, and what kept them."""

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

MAX_UNANSWERED_ATTEMPTS = 2  # attempts that may stay unanswered: a command is repeated once
EXPIRY_GRACE_SECONDS = (
    60.0,
    600.0,
)  # seconds after its ttl in which an unanswered attempt may be repeated: as long
# as the ttl was, since who wanted it at once does not want it much later; but WeChat gets time to come back


class ExpiryPolicy:
    """Judges the commands of one account."""

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
        """The result of a command that is not sent any more."""
        if row.unanswered >= MAX_UNANSWERED_ATTEMPTS:  # one of them, at least, in a life that crashed
            return uncertain_result(row, self._ctx.language)
        if self._fallback.replaces_wechat(row):
            return self._expire(row, self._fallback.after_seconds)
        return self._expire(row) if self.seconds_left(row) <= 0 else None

    def seconds_left(self, row: CommandRow) -> float:
        """Seconds within which an attempt may begin."""
        return self._queues.seconds_left(row) + (expiry_grace_seconds(row) if row.unanswered else 0.0)

    def find_unsendable(self, queue: ChatQueue, window: ReplyWindow) -> tuple[CommandRow, Result] | None:
        """One that does not wait until WeChat takes something again, and its end."""
        if (row := self._hold_queue.find_unholdable(queue, window)) is not None:
            return row, final_result(
                row, Status.FAILED, error_code_of(window), self._window_reason(row, window)
            )
        if (row := self._hold_queue.find_excess(queue)) is not None:
            language, most = self._ctx.language, self._hold_queue.max_commands
            return row, expired_result(row, language, "displaced", "displaced", most=most)
        return None

    def _window_reason(self, row: CommandRow, window: ReplyWindow) -> str:
        return bridge_text(self._ctx.language, HOLD_REASONS[window.reason], user=row.command.user)

    def _expire(self, row: CommandRow, seconds: float | None = None) -> Result:
        """Expired, and what kept it; it had so many seconds where that is not all of its time."""
        if row.unanswered:
            return uncertain_result(row, self._ctx.language)
        code, word, retry_after, why = self._expiry_cause(row)
        return expired_result(row, self._ctx.language, code, word, seconds, retry_after, why=why)

    def _expiry_cause(self, row: CommandRow) -> tuple[str, str, float | None, str]:
        """Code and sentence, in how many seconds to try again, and why in words where that is wanted."""
        now = self._conditions
        if (trouble := self._queues.fetch_error_of(row)) is not None:
            return trouble.code, "expired_fetch", None, rejection_text(self._ctx.language, trouble)
        if (wait := now.throttled_seconds) > 0:
            return "rate_limited", "expired_rate_limited", wait, ""
        if not now.online and not now.stopping:
            return "logged_out", "expired_logged_out", None, ""
        if (window := self._hold_queue.closed_window(row)) is not None:
            return error_code_of(window), "expired_shut", None, self._window_reason(row, window)
        if (wait := now.rate_limit_seconds) > 0:
            return "rate_limited", "expired_own_limit", wait, ""
        return "expired", "expired", None, ""


def expiry_grace_seconds(row: CommandRow) -> float:
    """Seconds after its ttl in which an unanswered attempt may be repeated."""
    shortest, longest = EXPIRY_GRACE_SECONDS
    ttl = ((row.expires or row.accepted) - row.accepted) / 1000
    return min(longest, max(shortest, ttl))
