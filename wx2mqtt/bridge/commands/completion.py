"""A command gets its one result, and everybody who waits for it hears of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.commands.queues import ChatQueues
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.results import ResultPublications, result_of_parts
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.model import Result, Status
from wx2mqtt.store.commands import AlreadySettled
from wx2mqtt.store.records import CommandRow

log = structlog.get_logger(__name__)


class CommandCompletion:
    """Settles the commands in the queues. Counts results by status and code, sent commands by kind."""

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

    async def settle(self, row: CommandRow, result: Result, following: CommandRow | None) -> bool:
        """Store the end of a command, and in the same commit the mark of the attempt that follows.

        Whether that is marked: the owner may have dropped it in this moment.
        """
        row = replace(row, replies=self._queues.replies_to(row))  # by now there may be more
        result = result_of_parts(row, result, len(self._resolver.parts_of(row)))
        begun = following is not None and await self._store_result(row, result, following.id)
        if not begun and not await self._store_result(row, result, None):
            await self.finish_already_settled(row)
            return False
        await self._publish_late_answers(row, result)
        self._queues.remove(row)
        self.result_counts[str(result.status), result.code] += 1
        self.sent_counts[row.command.kind] += result.status is Status.SENT
        return begun

    async def finish_already_settled(self, row: CommandRow) -> None:
        """It was dropped in this very moment, or repeated and told to us after its end."""
        log.info("command has its result already", command=row.command_id)
        stored = await retry_until_stored(lambda: self._journal.get_command(row.command_id))
        if stored is not None and stored.result is not None:
            await self._publish_late_answers(replace(row, replies=()), stored.result)
        self._queues.remove(row)

    async def _store_result(self, row: CommandRow, result: Result, next_row_id: int | None) -> bool:
        """False where the owner has dropped it or the one that is to begin."""
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
        """Tell the result where it was asked for while it was being stored; `row` has those who know."""
        late = [one for one in self._queues.replies_to(row) if one not in row.replies]
        if late:
            publications = self._results.publications(result, late)
            await retry_until_stored(lambda: self._ctx.publish(publications))
