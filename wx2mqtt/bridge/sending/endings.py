"""A command gets its one result, and everybody who waits for it hears of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import structlog

from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.results import Results, in_parts
from wx2mqtt.bridge.sending.lanes import Lanes
from wx2mqtt.model import Result, Status
from wx2mqtt.store.journal import AlreadySettled, CommandRow, Journal

log = structlog.get_logger(__name__)


class Endings:
    """Settles the commands that are in the lanes. `counts` are by status and code, `sent` by kind.

    `parts` says in how many messages a command goes out.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        lanes: Lanes,
        results: Results,
        parts: Callable[[CommandRow], int],
        published: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._parts = parts
        self._lanes = lanes
        self._results = results
        self._published = published
        self.counts: Counter[tuple[str, str]] = Counter()
        self.sent: Counter[str] = Counter()

    async def settle(self, row: CommandRow, result: Result, following: CommandRow | None) -> bool:
        """Store the end of a command, and in the same commit the mark of the attempt that follows.

        Whether that is marked: the owner may have dropped it in this moment.
        """
        row = replace(row, replies=self._lanes.replies(row))  # by now there may be more
        result = in_parts(row, result, self._parts(row))
        begun = following is not None and await self._end(row, result, following.id)
        if not begun and not await self._end(row, result, None):
            await self.was_settled(row)
            return False
        await self._answer_late(row, result)
        self._lanes.forget(row)
        self.counts[str(result.status), result.code] += 1
        self.sent[row.command.kind] += result.status is Status.SENT
        self._published()
        return begun

    async def was_settled(self, row: CommandRow) -> None:
        """It was dropped in this very moment, or repeated and told to us after its end."""
        log.info("command has its result already", command=row.command_id)
        stored = await insist(lambda: self._journal.get(row.command_id))
        if stored is not None and stored.result is not None:
            await self._answer_late(replace(row, replies=()), stored.result)
        self._lanes.forget(row)
        self._published()

    async def _end(self, row: CommandRow, result: Result, begin: int | None) -> bool:
        """False where the owner has dropped it or the one that is to begin."""
        publications = self._results.publications(result, row.replies)
        try:
            await insist(lambda: self._journal.settle(row.id, result, publications, begin))
        except AlreadySettled:
            return False
        return True

    async def _answer_late(self, row: CommandRow, result: Result) -> None:
        """Tell the result where it was asked for while it was being stored; `row` has those who know."""
        late = [one for one in self._lanes.replies(row) if one not in row.replies]
        if late:
            publications = self._results.publications(result, late)
            await insist(lambda: self._journal.publish(publications))
