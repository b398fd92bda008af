"""Decides what must happen next to the queue of a chat.

    Settlement   a command ends without being sent: it expired, or must not wait (`expiry.py`)
    HoldStep     the reply window is closed: hold what is not held yet (`hold.py`)
    PrepareStep  start to fetch and upload a file, beside the queue (`file_preparation.py`)
    WaitStep     nothing may be sent yet (login, window, limits, file): wait, at most until a change
    SendStep     send a command, if a slot is free

`sender.py` does it.
"""

from __future__ import annotations

from collections.abc import Callable

from wx2mqtt.bridge.commands.chat_queue import ChatQueue, is_important
from wx2mqtt.bridge.commands.expiry import ExpiryPolicy, Settlement
from wx2mqtt.bridge.commands.file_preparation import FilePreparation
from wx2mqtt.bridge.commands.hold import HoldQueue
from wx2mqtt.bridge.commands.send_limits import FOREVER, SendLimits
from wx2mqtt.clock import boot_time
from wx2mqtt.model import ReplyWindow
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.values import frozen


@frozen
class HoldStep:
    rows: list[CommandRow]
    window: ReplyWindow


@frozen
class WaitStep:
    seconds: float


@frozen
class PrepareStep:
    row: CommandRow


@frozen
class SendStep:
    row: CommandRow


NextStep = Settlement | HoldStep | PrepareStep | WaitStep | SendStep


class NextStepPolicy:
    """Decides the next step of each chat of one account; changes nothing."""

    def __init__(
        self, hold_queue: HoldQueue, limits: SendLimits, expiry: ExpiryPolicy, files: FilePreparation
    ) -> None:
        self._hold_queue = hold_queue
        self._limits = limits
        self._expiry = expiry
        self._files = files

    def next_step(self, queue: ChatQueue) -> NextStep:
        """Returns the next step of a queue that is not empty."""
        expiry = self._expiry
        ended = expiry.find_ended(queue) or expiry.find_expired(queue) or expiry.find_failed(queue)
        if ended is not None:
            return ended
        return self._step_to_send(queue) if queue.waiting_count else WaitStep(seconds=FOREVER)

    def _step_to_send(self, queue: ChatQueue) -> NextStep:
        row = self.next_row(queue)
        window = self._hold_queue.closed_window(row) if self._limits.conditions.allow_sending else None
        if window is not None:
            if (unsendable := self._expiry.find_unsendable(queue, window)) is not None:
                return unsendable
            if not_held := self._hold_queue.find_not_held(queue):
                return HoldStep(rows=not_held, window=window)
        if (unprepared := self._files.find_startable(queue)) is not None:
            return PrepareStep(row=unprepared)
        if (seconds := self._seconds_until_sendable(queue, row)) > 0:
            latest = min(queue.next_expiry - boot_time(), self._files.seconds_until_retry(queue))
            return WaitStep(seconds=min(seconds, latest))
        return SendStep(row=row)

    def next_row(self, queue: ChatQueue) -> CommandRow:
        """Returns the command to send next: the first one whose file, if it has one, is ready.

        Where the rest of the window is reserved, or it would wait for a file before it, an important one.
        """
        row = self._first_ready(queue, lambda _: True) or queue.first
        if queue.is_marked(row) or is_important(row):
            return row
        if self._hold_queue.is_reserved(row) or row != queue.first:
            return self._first_ready(queue, is_important) or row
        return row

    def _first_ready(self, queue: ChatQueue, is_wanted: Callable[[CommandRow], bool]) -> CommandRow | None:
        rows = (row for row in queue if is_wanted(row))
        return next((row for row in rows if self._files.is_ready(queue, row)), None)

    def _seconds_until_sendable(self, queue: ChatQueue, row: CommandRow) -> float:
        if not self._files.is_ready(queue, row):
            return FOREVER
        seconds = self._limits.seconds_until_sendable(queue, row)
        return seconds if seconds > 0 else self._files.seconds_until_overtaking(queue, row)
