"""Stores new commands and hands them to the queues of their chats.

    a text for wife, and nothing holds it back    ->  one commit: the text, and the begin of its attempt
    a file, or a text that must wait for another  ->  the begin of its attempt is a later commit

So a text usually waits for one commit before its request, instead of two. `intake.py` decides which commands
are accepted together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wx2mqtt.bridge.commands.resolver import ChatKey, is_simple
from wx2mqtt.bridge.commands.sender import MAX_CONCURRENT_SENDS, CommandSender
from wx2mqtt.clock import now_ms
from wx2mqtt.store.command_records import AcceptOutcome, AcceptResult, CommandState, NewCommand
from wx2mqtt.store.journal import Journal


class Acceptance:
    """Accepts the new commands of one account."""

    def __init__(self, journal: Journal, sender: CommandSender) -> None:
        self._journal = journal
        self._sender = sender
        self._resolver = sender.resolver

    async def accept(self, new: Sequence[NewCommand]) -> list[AcceptResult]:
        """Stores new commands, as `JournaledCommands.accept`, and queues those that wait.

        The attempts that begin with it have taken their tokens of the rate limit. Those that do not begin
        after all give them back: a repeat is not sent, and what is not stored will be tried again.
        """
        begun_count = 0
        if not self._sender.slots.locked():
            new, begun_count = self._begin_at_once(new)
        if not begun_count:
            accepted = await self._journal.commands.accept(new)
            self._add_waiting(accepted)
            return accepted
        async with self._sender.slots:  # a stop waits for it, and then knows the attempts that have begun
            try:
                accepted = await self._journal.commands.accept(new)
                begun_count -= self._add_waiting(accepted)
            finally:
                if begun_count:
                    self._sender.limits.bucket.put_back(begun_count)
        return accepted

    def _begin_at_once(self, new: Sequence[NewCommand]) -> tuple[Sequence[NewCommand], int]:
        """Returns the commands, some with `starts`, and how many these are; takes their tokens."""
        chats: set[ChatKey] = set()
        selected = list(new)
        free_slots = MAX_CONCURRENT_SENDS - len(self._sender.waiting.queues)
        begun_count = 0
        for index, command in enumerate(new):
            if begun_count >= free_slots:
                break
            if command.result is not None:
                continue
            chat = self._resolver.chat_key(command)
            if chat not in chats and self._can_begin_at_once(command, chat):
                self._sender.limits.bucket.take()
                selected[index] = replace(command, starts=True)
                begun_count += 1
            chats.add(chat)
        return selected, begun_count

    def _can_begin_at_once(self, new: NewCommand, chat: ChatKey) -> bool:
        """Returns whether a command is certainly sent next in its chat, and now.

        What is in doubt is left to `next_step.py`, after the command is stored.
        """
        may_be_stored = new.delivery is not None and new.delivery.dup
        return (
            not may_be_stored
            and not new.command.urgent  # the fallback may have to send it
            and (new.expires is None or new.expires > now_ms())
            and is_simple(new)
            and self._resolver.chat_of(new) is not None
            and self._sender.waiting.would_be_first(chat)
            and self._sender.limits.seconds_until_allowed(new) <= 0
            and self._sender.window_wait.messages_left(new) != 1  # others may have to share the last message
        )

    def _add_waiting(self, accepted: Sequence[AcceptResult]) -> int:
        """Queues the commands that wait; returns at how many the attempt has begun in this commit."""
        begun_count = 0
        for result in accepted:
            row = result.row
            if row is None or row.state is not CommandState.WAITING:
                continue
            if result.outcome is AcceptOutcome.NEW:
                self._sender.add(row, is_begun=row.attempt_open)
                if row.attempt_open:
                    begun_count += 1
            elif result.outcome is AcceptOutcome.REPEAT:  # it has further reply targets
                self._sender.add(row)
        return begun_count
