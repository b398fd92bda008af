"""Settles a command: stores its result and the publications of that, in one commit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.commands.fallback import with_fallback
from wx2mqtt.bridge.commands.queues import ChatQueues
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.results import ResultPublications, final_result, result_of_parts
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Result, Status
from wx2mqtt.store.commands import AlreadySettled
from wx2mqtt.store.records import CommandRow, NewPublication

log = structlog.get_logger(__name__)


class CommandCompletion:
    """Settles the commands of one account and removes them from their queues.

    `result_counts` counts results by status and code, `sent_counts` sent commands by kind.
    """

    def __init__(
        self,
        ctx: AccountContext,
        resolver: CommandResolver,
        queues: ChatQueues,
        results: ResultPublications,
    ) -> None:
        self._journal = ctx.journal
        self._ctx = ctx
        self._resolver = resolver
        self._queues = queues
        self._results = results
        self.result_counts: Counter[tuple[str, str]] = Counter()
        self.sent_counts: Counter[str] = Counter()

    async def settle(self, row: CommandRow, result: Result, next_row: CommandRow | None) -> bool:
        """Stores the result of a command, and marks the attempt of `next_row` in the same commit.

        Returns whether that attempt is marked: the owner may have dropped either command meanwhile.
        """
        row = replace(row, replies=self._queues.replies_to(row))  # new reply targets may have been added
        result = result_of_parts(row, result, len(self._resolver.parts_of(row)))
        is_next_started = next_row is not None and await self._store_result(row, result, next_row.id)
        if not is_next_started and not await self._store_result(row, result, None):
            await self.finish_already_settled(row)
            return False
        await self._publish_late_answers(row, result)
        self._queues.remove(row)
        self.result_counts[str(result.status), result.code] += 1
        self.sent_counts[row.command.kind] += result.status is Status.SENT
        return is_next_started

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
        result = with_fallback(result, row.fallback, self._ctx.language)
        result = result_of_parts(row, result, len(self._resolver.parts_of(row)))
        return result, self._results.publications(result, row.replies)

    def remove_settled(self, row: CommandRow, result: Result) -> None:
        """Removes a command that was settled together with others, and counts its result."""
        self._queues.remove(row)
        self.result_counts[str(result.status), result.code] += 1

    async def finish_already_settled(self, row: CommandRow) -> None:
        """Removes a command that has a result already, since the owner dropped it or it was repeated late."""
        log.info("command has its result already", command=row.command_id)
        stored = await retry_until_stored(lambda: self._journal.get_command(row.command_id))
        if stored is not None and stored.result is not None:
            await self._publish_late_answers(replace(row, replies=()), stored.result)
        self._queues.remove(row)

    async def _store_result(self, row: CommandRow, result: Result, next_row_id: int | None) -> bool:
        """Returns False where the owner has dropped this command or the next one."""
        publications = self._results.publications(result, row.replies)
        try:
            stored = await retry_until_stored(
                lambda: self._journal.settle(row.id, result, publications, next_row_id)
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
