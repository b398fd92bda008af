"""Decides what must happen next to the queue of a chat.

    Settlement  a command ends without being sent: it expired, or must not wait (`expiry.py`)
    HoldStep    the reply window is closed: hold what is not held yet (`hold.py`)
    WaitStep    nothing may be sent yet (login, window, throttling, rate limit): wait, at most until `recheck`
    FetchStep   fetch the file of a `url`
    SendStep    send a command, if a slot is free

`sender.py` does it.
"""

from __future__ import annotations

from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.expiry import ExpiryPolicy, Settlement
from wx2mqtt.bridge.commands.hold import HoldQueue
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.send_limits import SendLimits
from wx2mqtt.clock import boot_time
from wx2mqtt.model import ReplyWindow
from wx2mqtt.store.records import CommandRow
from wx2mqtt.values import frozen


@frozen
class HoldStep:
    rows: list[CommandRow]
    window: ReplyWindow


@frozen
class WaitStep:
    seconds: float


@frozen
class FetchStep:
    row: CommandRow


@frozen
class SendStep:
    row: CommandRow


NextStep = Settlement | HoldStep | WaitStep | FetchStep | SendStep


class NextStepPolicy:
    """Decides the next step of each chat of one account; changes nothing."""

    def __init__(
        self, resolver: CommandResolver, hold_queue: HoldQueue, limits: SendLimits, expiry: ExpiryPolicy
    ) -> None:
        self._resolver = resolver
        self._hold_queue = hold_queue
        self._limits = limits
        self._expiry = expiry

    def next_step(self, queue: ChatQueue) -> NextStep:
        """Returns the next step of a queue that is not empty."""
        if (expired := self._expiry.find_expired(queue)) is not None:
            return expired
        row = self._hold_queue.next_row(queue)
        window = self._hold_queue.closed_window(row) if self._limits.conditions.allow_sending else None
        if window is not None:
            if (unsendable := self._expiry.find_unsendable(queue, window)) is not None:
                return unsendable
            if not_held := self._hold_queue.find_not_held(queue):
                return HoldStep(rows=not_held, window=window)
        if (seconds := self._limits.seconds_until_sendable(queue, row)) > 0:
            return WaitStep(seconds=min(seconds, queue.next_expiry - boot_time()))
        return FetchStep(row=row) if self._resolver.needs_fetch(row) else SendStep(row=row)
