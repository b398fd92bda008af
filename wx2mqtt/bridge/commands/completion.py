"""Settles a command: stores its result and the publications of that, in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.commands.fallback import with_fallback
from wx2mqtt.bridge.commands.outcomes import CommandOutcomes
from wx2mqtt.bridge.commands.queues import ChatQueues
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.results import (
    ResultPublications,
    final_result,
    result_of_parts,
    with_remarks,
)
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Result, Status
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.store.commands import AlreadySettled
from wx2mqtt.store.records import NewPublication

log = structlog.get_logger(__name__)


class CommandCompletion:
    """Settles the commands of one account and removes them from their queues."""

    def __init__(
        self,
        ctx: AccountContext,
        resolver: CommandResolver,
        queues: ChatQueues,
        results: ResultPublications,
        outcomes: CommandOutcomes,
    ) -> None:
        self._journal = ctx.journal
        self._ctx = ctx
        self._resolver = resolver
        self._queues = queues
        self._results = results
        self._outcomes = outcomes

    async def settle(self, results: Sequence[tuple[CommandRow, Result]], next_row: CommandRow | None) -> bool:
        """Stores the result of a command, or those of a bundle, and marks the attempt of `next_row`.

        All this is one commit. Returns whether that attempt is marked: the owner may have dropped either
        command meanwhile.
        """
        finished = [self._with_current_replies(row, result) for row, result in results]
        is_next_started = next_row is not None and await self._store_results(finished, next_row.id)
        if not is_next_started and not await self._store_results(finished, None):
            await self.finish_already_settled([row for row, _ in finished])
            return False
        for row, result in finished:
            await self._publish_late_answers(row, result)
            self.remove_settled(row, result)
        return is_next_started

    def _with_current_replies(self, row: CommandRow, result: Result) -> tuple[CommandRow, Result]:
        """Returns a command with the reply targets that were added meanwhile, and its whole result."""
        row = replace(row, replies=self._queues.replies_to(row))
        return row, self._whole_result(row, result)

    def _whole_result(self, row: CommandRow, result: Result) -> Result:
        result = result_of_parts(row, result, len(self._resolver.parts_of(row)))
        has_window = self._ctx.backend.capabilities.has_reply_window
        return with_remarks(result, row.command, self._ctx.language, has_window=has_window)

    def other_account_result(self, row: CommandRow) -> tuple[Result, tuple[NewPublication, ...]]:
        """Returns the result of a command that waited for another owner, and its publications.

        It is `uncertain` where an attempt for that owner got no answer.
        """
        is_uncertain = row.attempt_open or row.unanswered > 0
        status = Status.UNCERTAIN if is_uncertain else Status.FAILED
        sentence = bridge_text(self._ctx.language, "other_account")
        result = final_result(row, status, "other_account", sentence)
        if is_uncertain:
            result = replace(result, duplicate_possible=True)
        result = self._whole_result(row, with_fallback(result, row.fallback, self._ctx.language))
        return result, self._results.publications(result, row.replies)

    def remove_settled(self, row: CommandRow, result: Result) -> None:
        """Removes a command whose result is stored, and records its end."""
        self._queues.remove(row)
        self._outcomes.record(row.command.kind, result)
        if row.held_reason:
            self._ctx.signals.sending_changed.emit()

    async def finish_already_settled(self, rows: Sequence[CommandRow]) -> None:
        """Removes commands that have their result already, since the owner dropped them or came late.

        One without a result stays: another one of its bundle has one.
        """
        for command_id, row in {row.command_id: row for row in rows}.items():
            stored = await retry_until_stored(partial(self._journal.commands.get, command_id))
            if stored is not None and stored.result is None:
                continue
            log.info("command has its result already", command=command_id)
            if stored is not None and stored.result is not None:
                await self._publish_late_answers(replace(row, replies=()), stored.result)
            self._queues.remove(row)

    async def _store_results(
        self, results: Sequence[tuple[CommandRow, Result]], next_row_id: int | None
    ) -> bool:
        """Returns False where the owner has dropped one of these commands or the next one."""
        (leading, leading_result), *others = results
        bundled = [(row.id, result) for row, result in others]
        publications = [
            publication
            for row, result in results
            for publication in self._results.publications(result, row.replies)
        ]
        try:
            stored = await retry_until_stored(
                lambda: self._journal.commands.finish(
                    leading.id, leading_result, publications, next_row_id, bundled
                )
            )
        except AlreadySettled:
            return False
        self._ctx.signals.outbox_changed.emit(stored)
        return True

    async def _publish_late_answers(self, row: CommandRow, result: Result) -> None:
        """Publishes the result to reply targets that were added while it was stored: those not in `row`."""
        late = [reply for reply in self._queues.replies_to(row) if reply not in row.replies]
        if late:
            publications = self._results.publications(result, late)
            await retry_until_stored(lambda: self._ctx.publish(publications))
