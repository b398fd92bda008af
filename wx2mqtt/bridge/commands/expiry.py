"""Decides which waiting commands end without being sent, and with which result. `sender.py` stores it.

| command | result |
|---|---|
| its time is over (`ttl`) | `expired`, with the cause: `_expiry_cause` |
| the fallback has sent it in place of WeChat | `expired` |
| one of these, after an attempt without an answer | `uncertain` |
| two attempts without an answer | `uncertain` |
| its file can never be fetched, or uploaded | `rejected`, or `failed` |
| the reply window is closed, and the command has `hold: false` | `failed` |
| more commands are held than `hold.max_commands` | `expired`, code `displaced` |

The commands of a bundle end together, `uncertain`, when the last one would.

An attempt without an answer may still be repeated for some time after the ttl (`expiry_grace_seconds`).
"""

from __future__ import annotations

from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.fallback import FallbackDelivery
from wx2mqtt.bridge.commands.file_preparation import FilePreparation
from wx2mqtt.bridge.commands.hold import HOLD_REASONS, HoldQueue
from wx2mqtt.bridge.commands.queues import ChatQueues
from wx2mqtt.bridge.commands.results import (
    ExpiryCause,
    expired_result,
    final_result,
    rejected_result,
    uncertain_result,
)
from wx2mqtt.bridge.commands.send_limits import SendConditions
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import boot_time
from wx2mqtt.i18n.bridge import bridge_text, rejection_text
from wx2mqtt.model import ReplyWindow, Result, Status
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.values import frozen

# A command whose attempt got no answer is sent once more; then its result is `uncertain`.
MAX_UNANSWERED_ATTEMPTS = 2

# An unanswered attempt may be repeated after the ttl, for as long as the ttl was, within these limits: a
# command with a short ttl is not wanted much later, but WeChat gets time to be reachable again.
MIN_EXPIRY_GRACE_SECONDS = 60.0
MAX_EXPIRY_GRACE_SECONDS = 600.0


@frozen
class Settlement:
    """A command that ends, or the leading one of a bundle, and its result."""

    row: CommandRow
    result: Result


class ExpiryPolicy:
    """Finds the commands of one account that must not be sent any more, and makes their results."""

    def __init__(
        self,
        ctx: AccountContext,
        queues: ChatQueues,
        conditions: SendConditions,
        hold_queue: HoldQueue,
        fallback: FallbackDelivery,
        files: FilePreparation,
    ) -> None:
        self._ctx = ctx
        self._queues = queues
        self._conditions = conditions
        self._hold_queue = hold_queue
        self._fallback = fallback
        self._files = files

    def find_expired(self, queue: ChatQueue) -> Settlement | None:
        """Returns a command, anywhere in the queue, that must not be sent any more.

        Most calls find `queue.next_expiry` in the future and look at no command. The others look at those
        that may have ended, and not at the rest of a long queue.
        """
        now = boot_time()
        if now < queue.next_expiry:
            return None
        not_ended: list[float] = []
        for row in queue.may_have_ended(now):
            if row.bundle_position:
                continue  # its bundle ends with the leading command
            if not queue.is_marked(row) and (result := self._result_if_ended(queue, row)) is not None:
                return Settlement(row=row, result=result)
            not_ended.append(max(map(self._expires_at, queue.members_of(row))))
        queue.set_next_expiry(now, not_ended)
        return None

    def _result_if_ended(self, queue: ChatQueue, row: CommandRow) -> Result | None:
        """Returns the result of a command, or of the bundle that it leads, that must not be sent any more."""
        results = [self.result_if_expired(member) for member in queue.members_of(row)]
        return results[0] if None not in results else None

    def find_ended(self, queue: ChatQueue) -> Settlement | None:
        """Returns a command that waited for its fallback, which has ended."""
        for ending in queue.endings:
            if not any(self._fallback.is_pending(row.id) for row in ending.rows):
                return Settlement(row=queue.current_row(ending.rows[0]), result=ending.result)
        return None

    def find_failed(self, queue: ChatQueue) -> Settlement | None:
        """Returns a command whose file can never be sent."""
        failed = self._files.find_failed(queue)
        if failed is None:
            return None
        row, error = failed
        return Settlement(row=row, result=rejected_result(row, error, self._ctx.language))

    def find_unsendable(self, queue: ChatQueue, window: ReplyWindow) -> Settlement | None:
        """Returns a command that must not wait until this closed window opens."""
        if (row := self._hold_queue.find_unholdable(queue, window)) is not None:
            code, text = HOLD_REASONS[window.reason].code, self._window_reason(row, window)
            return Settlement(row=row, result=final_result(row, Status.FAILED, code, text))
        if (row := self._hold_queue.find_excess(queue)) is not None:
            facts = {"most": self._hold_queue.max_commands}
            cause = ExpiryCause(code="displaced", message_key="displaced", facts=facts)
            return Settlement(row=row, result=expired_result(row, self._ctx.language, cause))
        return None

    def result_if_expired(self, row: CommandRow) -> Result | None:
        """Returns the result of a command that must not be sent any more, None while it may be sent."""
        if row.unanswered >= MAX_UNANSWERED_ATTEMPTS:  # only after a crash: else `sender.py` settled it
            return uncertain_result(row, self._ctx.language)
        is_replaced = self._fallback.replaces_wechat(row)
        if not is_replaced and self.seconds_left(row) > 0:
            return None
        if row.unanswered:
            return uncertain_result(row, self._ctx.language)
        lifetime = self._fallback.after_seconds if is_replaced else None
        return expired_result(row, self._ctx.language, self._expiry_cause(row), lifetime)

    def seconds_left(self, row: CommandRow) -> float:
        """Returns the seconds within which an attempt may start."""
        return self._expires_at(row) - boot_time()

    def _expires_at(self, row: CommandRow) -> float:
        grace_seconds = expiry_grace_seconds(row) if row.unanswered else 0.0
        return self._queues.expires_at(row) + grace_seconds

    def _expiry_cause(self, row: CommandRow) -> ExpiryCause:
        """Returns what has kept a command from being sent."""
        conditions = self._conditions
        if (error := self._files.error_of(row)) is not None:
            facts = {"why": rejection_text(self._ctx.language, error)}
            return ExpiryCause(code=error.code, message_key="expired_fetch", facts=facts)
        if (seconds := conditions.throttled_seconds) > 0:
            return ExpiryCause(code="rate_limited", message_key="expired_rate_limited", retry_after=seconds)
        if not conditions.online and not conditions.stopping:
            return ExpiryCause(code="logged_out", message_key="expired_logged_out")
        if (window := self._hold_queue.closed_window(row)) is not None:
            facts = {"why": self._window_reason(row, window)}
            code = HOLD_REASONS[window.reason].code
            return ExpiryCause(code=code, message_key="expired_shut", facts=facts)
        if (seconds := conditions.rate_limit_seconds) > 0:
            return ExpiryCause(code="rate_limited", message_key="expired_own_limit", retry_after=seconds)
        return ExpiryCause(code="expired", message_key="expired")

    def _window_reason(self, row: CommandRow, window: ReplyWindow) -> str:
        return bridge_text(self._ctx.language, HOLD_REASONS[window.reason].text_key, user=row.command.user)


def expiry_grace_seconds(row: CommandRow) -> float:
    """Returns the seconds after its ttl in which an unanswered attempt may be repeated."""
    ttl = ((row.expires or row.accepted) - row.accepted) / 1000
    return min(MAX_EXPIRY_GRACE_SECONDS, max(MIN_EXPIRY_GRACE_SECONDS, ttl))
