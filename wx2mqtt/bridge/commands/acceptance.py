"""Stores new commands and hands them to the queues; a command that can be sent at once begins right away.

    nothing waits, the window is open   the attempt begins in the commit that accepts the command
    anything else                       the command is stored, and its chat decides (`next_step.py`)

So a command in calm waits for one commit before its request, instead of two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from wx2mqtt.bridge.commands.fallback import FallbackDelivery
from wx2mqtt.bridge.commands.resolver import ChatKey, CommandResolver, is_simple
from wx2mqtt.bridge.commands.send_limits import SendLimits
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.bridge.commands.window_wait import WindowWait
from wx2mqtt.clock import now_ms
from wx2mqtt.store.command_records import AcceptOutcome, AcceptResult, CommandRow, CommandState, NewCommand
from wx2mqtt.store.journal import Journal

# The largest number of chats to which texts are sent in parallel.
MAX_CONCURRENT_SENDS = 4


class Acceptance:
    """Stores the new commands of one account. Each attempt takes one of the `slots`."""

    def __init__(
        self,
        journal: Journal,
        resolver: CommandResolver,
        waiting: WaitingCommands,
        window_wait: WindowWait,
        limits: SendLimits,
        fallback: FallbackDelivery,
    ) -> None:
        self._journal = journal
        self._resolver = resolver
        self._window_wait = window_wait
        self._waiting = waiting
        self._limits = limits
        self._fallback = fallback
        self.slots = asyncio.Semaphore(MAX_CONCURRENT_SENDS)
        #: Is set when there may be a new queue.
        self.added = asyncio.Event()

    async def accept(self, new: Sequence[NewCommand]) -> list[AcceptResult]:
        """Stores new commands, as `JournaledCommands.accept`, and queues those that wait."""
        begun_count = 0
        if not self.slots.locked():
            new, begun_count = self._begin_at_once(new)
        if not begun_count:
            accepted = await self._journal.commands.accept(new)
            self._add_waiting(accepted)
            return accepted
        async with self.slots:  # a stop waits for it, and then knows the attempts that have begun
            try:
                accepted = await self._journal.commands.accept(new)
                begun_count -= self._add_waiting(accepted)
            finally:  # what repeats an earlier command is not sent, and what is not stored is selected again
                self._limits.return_tokens(begun_count)
        return accepted

    def _add_waiting(self, accepted: Sequence[AcceptResult]) -> int:
        """Queues the commands that wait; returns at how many the attempt has begun in this commit."""
        begun_count = 0
        for result in accepted:
            row = result.row
            is_new = result.outcome is AcceptOutcome.NEW
            is_kept = is_new or result.outcome is AcceptOutcome.REPEAT
            if row is not None and is_kept and row.state is CommandState.WAITING:
                is_begun = is_new and row.attempt_open
                self.add(row, is_begun=is_begun)
                if is_begun:
                    begun_count += 1
        return begun_count

    def add(self, row: CommandRow, *, is_begun: bool = False) -> None:
        """Queues an accepted command, as `WaitingCommands.add`."""
        self._waiting.add(row, is_begun=is_begun)
        if row.command.urgent:
            self._fallback.schedule(row)
        self.added.set()
        if self._waiting.by_priority:  # it may overtake others, or must wait for the window too
            self._waiting.recheck()

    def _begin_at_once(self, new: Sequence[NewCommand]) -> tuple[Sequence[NewCommand], int]:
        """Returns the commands, some with `starts`, and how many; takes their tokens."""
        chats: set[ChatKey] = set()
        selected = list(new)
        free_slots = MAX_CONCURRENT_SENDS - self._waiting.chat_count
        begun_count = 0
        for index, command in enumerate(new):
            if begun_count >= free_slots:
                break
            if command.result is not None:
                continue
            chat = self._resolver.chat_key(command)
            if chat not in chats and self._can_begin_at_once(command, chat):
                self._limits.consume_token()
                selected[index] = replace(command, starts=True)
                begun_count += 1
            chats.add(chat)
        return selected, begun_count

    def _can_begin_at_once(self, new: NewCommand, chat: ChatKey) -> bool:
        is_repeat = new.delivery is not None and new.delivery.dup
        return (
            not is_repeat
            and not new.command.urgent  # the fallback may have to send it
            and (new.expires is None or new.expires > now_ms())
            and is_simple(new)
            and self._resolver.chat_of(new) is not None
            and self._waiting.would_be_first(chat)
            and self._limits.seconds_until_allowed(new) <= 0
            and self._window_wait.messages_left(new) != 1  # others may have to share the last message
        )
