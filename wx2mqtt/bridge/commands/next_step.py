"""Decides what must happen next to the commands of a chat. `sender.py` does it.

    a chat with one text, nothing holds it back   SendStep
    the same, while WeChat throttles the account  WaitStep, until the throttling or the ttl is over

`NextStepPolicy.next_step` has the order of the decisions.
"""

from __future__ import annotations

from collections.abc import Iterator

from wx2mqtt.bridge.commands.chat_queue import ChatQueue, is_important
from wx2mqtt.bridge.commands.fallback import FallbackDelivery
from wx2mqtt.bridge.commands.file_preparation import FilePreparation
from wx2mqtt.bridge.commands.questions import CommandQuestions
from wx2mqtt.bridge.commands.resolver import is_caption_next
from wx2mqtt.bridge.commands.results import (
    ExpiryCause,
    expired_result,
    final_result,
    rejected_result,
    uncertain_result,
)
from wx2mqtt.bridge.commands.send_limits import FOREVER, SendLimits
from wx2mqtt.bridge.commands.window_wait import RESERVED, TOO_FEW_LEFT, WINDOW_REASONS, WindowWait
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.wechat_calls import WeChatCalls
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
class EndStep:
    """A command ends without being sent; of a combined message it is the leading one."""

    row: CommandRow
    result: Result


@frozen
class WindowStep:
    """The reply window is closed to these commands: they begin to wait for it (`window_wait.py`)."""

    rows: list[CommandRow]
    window: ReplyWindow


@frozen
class WaitStep:
    """Nothing may be sent yet: wait so long, or until something changes."""

    seconds: float


@frozen
class PrepareStep:
    """Fetch and upload the file of a command, beside the queue (`file_preparation.py`)."""

    row: CommandRow


@frozen
class SendStep:
    """Send a command, if a slot is free."""

    row: CommandRow


NextStep = EndStep | WindowStep | PrepareStep | WaitStep | SendStep


class NextStepPolicy:
    """Decides the next step of each chat of one account; changes nothing.

    | a command ends | result |
    |---|---|
    | its question was answered, while the outcome of its attempt is not known | `sent` |
    | its time is over (`ttl`) | `expired`, with the cause: `_expiry_cause` |
    | the fallback has sent it in place of WeChat | `expired` |
    | one of these, after an attempt without an answer | `uncertain` |
    | two attempts without an answer | `uncertain` |
    | it is from a backup, and the other bridge ran on after that | `uncertain` |
    | its file can never be fetched, or uploaded | `rejected`, or `failed` |
    | the reply window is closed, and the command has `hold: false` | `failed` |
    | more commands wait for the window than `hold.max_commands` | `expired`, code `displaced` |

    A file is not lost with its caption: where that got no answer, or was refused, the file follows alone.
    The commands of a combined message end together, `uncertain`, when the last one would.
    """

    def __init__(
        self,
        ctx: AccountContext,
        calls: WeChatCalls,
        limits: SendLimits,
        window_wait: WindowWait,
        fallback: FallbackDelivery,
        files: FilePreparation,
        *,
        questions: CommandQuestions,
    ) -> None:
        self._ctx = ctx
        self._limits = limits
        self._calls = calls
        self._window_wait = window_wait
        self._fallback = fallback
        self._files = files
        self._questions = questions

    def next_step(self, queue: ChatQueue) -> NextStep:
        """Returns the next step of a queue that is not empty.

        1. A command that ends, anywhere in the queue: its fallback has ended, it expired, its file failed; or
           the first one, whose question was answered.
        2. Where the window is closed to the next command: what must not wait ends, and the others wait.
        3. A file that may be prepared.
        4. The next command is sent, or waits until it may be.
        """
        ended = self._find_ended(queue)
        if ended is not None:
            return ended
        if not queue.waiting.rows:  # the results of all are known, and wait for the fallback
            return WaitStep(seconds=FOREVER)
        row = self.next_row(queue)
        window = self._window_wait.window_closed_to(row) if self._calls.may_send else None
        if window is not None and (step := self._step_while_closed(queue, window)) is not None:
            return step
        if not queue.had_file:
            seconds = self._limits.seconds_until_sendable(queue, row)
        elif (unprepared := self._files.find_startable(queue)) is not None:
            return PrepareStep(row=unprepared)
        else:
            seconds = self._seconds_beside_files(queue, row)
        if seconds <= 0:
            return SendStep(row=row)
        latest = min(queue.next_expiry - boot_time(), self._files.seconds_until_retry(queue))
        return WaitStep(seconds=min(seconds, latest))

    # What is sent next

    def is_window_closed(self, queue: ChatQueue) -> bool:
        """Returns whether the window is closed to the next command, if one waits."""
        return bool(queue.waiting.rows) and not self._is_window_open_to(self.next_row(queue))

    def next_row(self, queue: ChatQueue) -> CommandRow:
        """Returns the command to send next.

        1. That whose attempt has begun.
        2. Else the first that is ready: it has no file, or its file is uploaded. Where none is, the first.
        3. Where the window has too few messages left for it and its caption: the first ready one for which
           there are enough.
        4. Where the rest of the window is reserved for important commands, or where that command would
           overtake one that waits for its file: the first *important* one that is ready.
        """
        if queue.begun_id is not None and (begun := queue.rows.get(queue.begun_id)) is not None:
            return begun
        first = queue.waiting.rows[0]
        row = next(self._ready_rows(queue), first) if queue.had_file else first
        window = self._window_wait.window_closed_to(row)
        reason = None if window is None else window.reason
        if reason == TOO_FEW_LEFT:
            return next(filter(self._is_window_open_to, self._ready_rows(queue)), row)
        if is_important(row) or (row.id == first.id and reason != RESERVED):
            return row
        return next(filter(is_important, self._ready_rows(queue)), row)

    def _ready_rows(self, queue: ChatQueue) -> Iterator[CommandRow]:
        """Returns the commands without a file or whose file is uploaded, the next one first."""
        return (row for row in queue.waiting.rows if self._files.is_ready(queue, row))

    def _is_window_open_to(self, row: CommandRow) -> bool:
        return self._window_wait.window_closed_to(row) is None

    def _seconds_beside_files(self, queue: ChatQueue, row: CommandRow) -> float:
        """Returns how long a command waits: for its file, then for the limits, then for files before it."""
        if not self._files.is_ready(queue, row):
            return FOREVER
        seconds = self._limits.seconds_until_sendable(queue, row)
        return seconds if seconds > 0 else self._files.seconds_until_overtaking(queue, row)

    # What ends without being sent

    def _find_ended(self, queue: ChatQueue) -> EndStep | None:
        """Returns a command that ends; the order is that of point 1 of `next_step`.

        A queue says where none can, as most do: then nothing is looked at.
        """
        if queue.endings and (ended := self._find_past_fallback(queue)) is not None:
            return ended
        first = queue.waiting.rows[0] if queue.waiting.rows else None
        if first is not None and first.unanswered and self._questions.is_proven(first):
            return EndStep(row=first, result=self._questions.proven_result(first))
        if boot_time() >= queue.next_expiry and (ended := self.find_expired(queue)) is not None:
            return ended
        return self._find_failed(queue) if queue.had_file else None

    def _find_past_fallback(self, queue: ChatQueue) -> EndStep | None:
        """Returns a command that waited for its fallback, which has ended."""
        for row_id, ending in queue.endings.items():
            if row_id != ending.rows[0].id:
                continue  # the leading command of its attempt stands for it
            if not any(self._fallback.is_pending(row.id) for row in ending.rows):
                return EndStep(row=queue.rows.get(ending.rows[0].id) or ending.rows[0], result=ending.result)
        return None

    def find_expired(self, queue: ChatQueue) -> EndStep | None:
        """Returns a command, anywhere in the queue, that must not be sent any more.

        Looks only at those that may have ended, and not at the rest of a long queue. When none has, the queue
        knows until when none does (`next_expiry`).
        """
        now = boot_time()
        not_ended: list[float] = []
        for row in queue.may_have_ended(now):
            if row.combined_position:
                continue  # its message ends with the leading command
            members = queue.members_of(row)
            results = [self.result_if_expired(queue, member) for member in members]
            leading_result = results[0]
            if row.id != queue.begun_id and leading_result is not None and None not in results:
                return EndStep(row=row, result=leading_result)
            not_ended.append(max(_expires_at(queue, member) for member in members))
        queue.set_next_expiry(now, not_ended)
        return None

    def result_if_expired(self, queue: ChatQueue, row: CommandRow) -> Result | None:
        """Returns the result of a command that must not be sent any more, None while it may be sent."""
        if row.unanswered and self._questions.is_proven(row):
            return self._questions.proven_result(row)
        is_given_up = row.unanswered >= max_unanswered_attempts(row)  # after a crash: else `sender.py` did it
        if row.is_restored or (is_given_up and not is_caption_next(row, self._ctx.backend.capabilities)):
            return uncertain_result(row, self._ctx.language)
        is_replaced = self._fallback.replaces_wechat(row)
        if not is_replaced and _expires_at(queue, row) > boot_time():
            return None
        if row.unanswered:
            return uncertain_result(row, self._ctx.language)
        fallback_seconds = self._fallback.after_seconds if is_replaced else None
        return expired_result(row, self._ctx.language, self._expiry_cause(queue, row), fallback_seconds)

    def _expiry_cause(self, queue: ChatQueue, row: CommandRow) -> ExpiryCause:
        if (error := self._files.error_of(queue, row)) is not None:
            facts = {"why": rejection_text(self._ctx.language, error)}
            return ExpiryCause(code=error.code, message_key="expired_fetch", facts=facts)
        if (seconds := self._calls.throttled_seconds) > 0:
            return ExpiryCause(code="rate_limited", message_key="expired_rate_limited", retry_after=seconds)
        if not self._calls.online and not self._calls.stopping:
            return ExpiryCause(code="logged_out", message_key="expired_logged_out")
        if (window := self._window_wait.window_closed_to(row)) is not None:
            facts = {"why": self._window_reason(row, window)}
            code = WINDOW_REASONS[window.reason].code
            return ExpiryCause(code=code, message_key="expired_shut", facts=facts)
        return self._limit_cause(row) or ExpiryCause(code="expired", message_key="expired")

    def _limit_cause(self, row: CommandRow) -> ExpiryCause | None:
        """Returns the limit that kept a command from being sent, if one did."""
        if (seconds := self._limits.chat_limit_seconds(row)) > 0:
            return ExpiryCause(code="rate_limited", message_key="expired_chat_limit", retry_after=seconds)
        if (seconds := self._limits.bucket.seconds_until_token()) > 0:
            return ExpiryCause(code="rate_limited", message_key="expired_own_limit", retry_after=seconds)
        return None

    def _find_failed(self, queue: ChatQueue) -> EndStep | None:
        """Returns a command whose file can never be prepared."""
        failed = self._files.find_failed(queue)
        if failed is None:
            return None
        row, error = failed
        return EndStep(row=row, result=rejected_result(row, error, self._ctx.language))

    def _step_while_closed(self, queue: ChatQueue, window: ReplyWindow) -> EndStep | WindowStep | None:
        """Returns what must happen before commands wait for this window; None when all of them wait."""
        if (row := self._window_wait.find_impatient(queue, window)) is not None:
            code, text = WINDOW_REASONS[window.reason].code, self._window_reason(row, window)
            return EndStep(row=row, result=final_result(row, Status.FAILED, code, text))
        if (row := self._window_wait.find_excess(queue)) is not None:
            facts = {"most": self._ctx.settings.account.hold.max}
            cause = ExpiryCause(code="displaced", message_key="displaced", facts=facts)
            return EndStep(row=row, result=expired_result(row, self._ctx.language, cause))
        new = self._window_wait.find_new(queue)
        return WindowStep(rows=new, window=window) if new else None

    def _window_reason(self, row: CommandRow, window: ReplyWindow) -> str:
        text_key = WINDOW_REASONS[window.reason].text_key
        return bridge_text(self._ctx.language, text_key, user=row.command.user)


def _expires_at(queue: ChatQueue, row: CommandRow) -> float:
    """Returns until when an attempt may start, in seconds of `boot_time`."""
    grace_seconds = expiry_grace_seconds(row) if row.unanswered else 0.0
    return queue.expires_at(row) + grace_seconds


def max_unanswered_attempts(row: CommandRow) -> int:
    """Returns after how many attempts without an answer a command ends.

    The fallback of another account's command is not repeated: that account has other ways.
    """
    return 1 if row.fallback_of else MAX_UNANSWERED_ATTEMPTS


def expiry_grace_seconds(row: CommandRow) -> float:
    """Returns the seconds after its ttl in which an unanswered attempt may be repeated."""
    ttl = ((row.expires or row.accepted) - row.accepted) / 1000
    return min(MAX_EXPIRY_GRACE_SECONDS, max(MIN_EXPIRY_GRACE_SECONDS, ttl))
