"""Whose store it is: remembers the WeChat account of a login, and puts another one in its place.

    await journal.owner.remember("ilink", "o9cq…")        # the first login
    await journal.owner.change("ilink", "o9xy…", finish)  # another account, as the operator has said

`remembered_owners.py` has the column that both write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from wx2mqtt.model import Result
from wx2mqtt.store.column_values import storable_text
from wx2mqtt.store.command_records import CommandRow, CommandState
from wx2mqtt.store.commands import finish_command
from wx2mqtt.store.database import Connection
from wx2mqtt.store.outbox import JournalPart
from wx2mqtt.store.people import forget_people
from wx2mqtt.store.questions import forget_questions
from wx2mqtt.store.records import NewPublication, OutboxBatch
from wx2mqtt.store.remembered_owners import NOTHING_SAID, NamedOwner, read_owners
from wx2mqtt.store.statements import Statement
from wx2mqtt.store.stored_commands import read_commands

# Returns the result of a waiting command that is not to be sent, and the publications of that.
FinishWaiting = Callable[[CommandRow], tuple[Result, Sequence[NewPublication]]]


class StoredOwner(JournalPart):
    """The WeChat accounts to which the store of one account belongs, one for each backend."""

    async def remember(self, backend: str, owner_id: str, named: NamedOwner = NOTHING_SAID) -> None:
        """Stores the WeChat account of a backend, and what the operator has said; waiting commands stay."""
        await self._database.write("owner", lambda db: self._remember(db, backend, owner_id, named))

    async def change(
        self,
        backend: str,
        owner_id: str,
        finish: FinishWaiting,
        named: NamedOwner = NOTHING_SAID,
        *,
        forgets_people: bool = False,
    ) -> tuple[list[CommandRow], OutboxBatch]:
        """Stores another account in place of the previous one, of whom nothing is left for the new one:

        1. finishes all waiting commands; `finish` runs in the writer thread
        2. forgets all questions
        3. with `forgets_people` forgets everybody whom the previous owner knew

        All in one commit. Returns the finished commands and the rows of their publications.
        """

        def job(connection: Connection) -> tuple[list[CommandRow], OutboxBatch]:
            self._remember(connection, backend, owner_id, named)
            forget_questions(connection, self._rows)
            if forgets_people:
                forget_people(connection, self._account)
            finished: list[CommandRow] = []
            publications: list[NewPublication] = []
            for (row_id,) in connection.execute(_WAITING_IDS, (self._account,)).fetchall():
                (row,) = read_commands(connection, _COMMAND, self._account, row_id)
                result, more = finish(row)
                finish_command(connection, self._rows, row_id, result)
                publications += more
                finished.append(replace(row, state=CommandState.FINISHED, result=result))
            return finished, self._rows.enqueue(connection, publications)

        return await self._database.write("change_owner", job)

    def _remember(self, connection: Connection, backend: str, owner_id: str, named: NamedOwner) -> None:
        (column,) = connection.execute(_READ_OWNERS, (self._account,)).fetchone()
        owners = read_owners(column).with_owner(backend, owner_id, named)
        connection.execute(_SET_OWNERS, (self._account, storable_text(owners.to_json())))


# Statements

_READ_OWNERS = Statement("SELECT owner FROM account WHERE name = ?")

_SET_OWNERS = Statement("UPDATE account SET owner = ?2 WHERE name = ?1")

_WAITING_IDS = Statement("SELECT id FROM command WHERE account = ? AND status IS NULL ORDER BY id")

_COMMAND = Statement("SELECT * FROM command WHERE account = ? AND id = ?")
