"""Operations of the command line for accounts that another instance runs, as rows in PostgreSQL.

1. The command line adds a row, and looks for the answer every `ANSWER_POLL_SECONDS`.
2. Each instance looks for rows of its accounts every `QUEUE_POLL_SECONDS`, takes them, and stores
   the answers.
3. The command line deletes the row. If nobody takes it within `TAKEN_WITHIN_SECONDS`, no instance runs the
   account, and the operation can be done on the store.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import structlog

from wx2mqtt.bounded_json import load_json
from wx2mqtt.clock import loop_time
from wx2mqtt.errors import StoreError, Wx2MqttError
from wx2mqtt.limits import STORED_JSON
from wx2mqtt.model import Json
from wx2mqtt.store.database import Connection, Database, json_list
from wx2mqtt.store.statements import Statement
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

QUEUE_POLL_SECONDS = 1.0
ANSWER_POLL_SECONDS = 0.1

# The command line gives an operation up that no instance has taken in this time after it was added. An
# instance that hung meanwhile does not take it any more.
TAKEN_WITHIN_SECONDS = 4.0

# The command line waits for the answer for this time after the operation was added.
ANSWERED_WITHIN_SECONDS = 30.0

# Rows of a command line that was killed are deleted then.
FORGOTTEN_AFTER_SECONDS = 600.0


RunOperation = Callable[[str, Mapping[str, Json]], Awaitable[Json]]


@frozen
class _OperationState:
    is_taken: bool
    #: As JSON; None until there is one.
    answer: str | None


@frozen
class OperationAnswer:
    """What an operation returned; `None` is a value as any other."""

    value: Json


class OperationQueue:
    """The rows of the table `operation`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(self, account: str, name: str, fields: Mapping[str, Json]) -> OperationAnswer | None:
        """Returns the answer of the instance that runs an account to an operation; None if none runs it.

        Raises `Wx2MqttError` with the sentence of the other instance, and `StoreError`.
        """
        values = (account, name, json.dumps({**fields, "account": account}))
        operation_id = await self._database.write(
            "operation_ask", lambda db: int(db.execute(_ADD_OPERATION, values).fetchone()[0])
        )
        try:
            answer = await self._wait(operation_id)
        finally:
            await self._database.write("operation_end", partial(_delete, operation_id))
        if answer is None:
            return None
        outcome = load_json(answer.encode(), STORED_JSON)
        if "error" in outcome:
            raise Wx2MqttError(str(outcome["error"]))
        return OperationAnswer(value=outcome["answer"])

    async def _wait(self, operation_id: int) -> str | None:
        """Returns the answer as JSON; None if no instance has taken the operation, and none will.

        1. Waits until an instance has taken it, or `TAKEN_WITHIN_SECONDS` are over.
        2. Then withdraws it; that fails where an instance has taken it just now.
        3. Waits for the answer. Raises `Wx2MqttError` when `ANSWERED_WITHIN_SECONDS` are over.
        """
        asked_at = loop_time()
        while not (await self._state(operation_id)).is_taken:
            if loop_time() - asked_at > TAKEN_WITHIN_SECONDS:
                if await self._withdraw(operation_id):
                    return None
                break  # it was taken just now
            await asyncio.sleep(ANSWER_POLL_SECONDS)
        while loop_time() - asked_at < ANSWERED_WITHIN_SECONDS:
            state = await self._state(operation_id)
            if state.answer is not None:
                return state.answer
            await asyncio.sleep(ANSWER_POLL_SECONDS)
        raise Wx2MqttError("The instance that runs the account does not answer.")

    async def _state(self, operation_id: int) -> _OperationState:
        rows = await self._database.fetch(_READ_STATE, (operation_id,))
        if not rows:
            return _OperationState(is_taken=False, answer=None)
        ((is_taken, answer),) = rows
        return _OperationState(is_taken=bool(is_taken), answer=answer)

    async def _withdraw(self, operation_id: int) -> bool:
        """Deletes an operation that no instance has taken; returns False if one has."""
        count = await self._database.execute("operation_end", _DELETE_FREE, (operation_id,))
        return count > 0

    async def serve(self, accounts: Callable[[], Sequence[str]], run: RunOperation) -> None:
        """Does the operations of the accounts that run here, until cancelled."""
        while True:
            try:
                for operation_id, name, fields in await self._take(accounts()):
                    answer = await _answer(name, json.loads(fields), run)
                    await self._database.execute("operation_answer", _SET_ANSWER, (answer, operation_id))
            except StoreError as error:
                log.warning("operations of other instances wait", problem=str(error))
            await asyncio.sleep(QUEUE_POLL_SECONDS)

    async def _take(self, accounts: Sequence[str]) -> list[tuple[int, str, str]]:
        """Returns id, name and fields of the operations that wait; nobody else does them."""
        values = (json_list(accounts), TAKEN_WITHIN_SECONDS)
        if not await self._database.fetch(_FIND_FREE, values):
            return []
        return await self._database.write(
            "operation_take", lambda db: sorted(db.execute(_TAKE_FREE, values).fetchall())
        )


async def _answer(name: str, fields: Mapping[str, Json], run: RunOperation) -> str:
    try:
        outcome: dict[str, Json] = {"answer": await run(name, fields)}
    except Wx2MqttError as error:
        outcome = {"error": str(error)}
    except Exception:  # a bug in one operation must not end the process
        log.exception("operation failed", operation=name)
        outcome = {"error": "The operation failed; the log of the other instance says why."}
    return json.dumps(outcome)


def _delete(operation_id: int, connection: Connection) -> None:
    connection.execute(_DELETE_OPERATION, (operation_id,))
    connection.execute(_DELETE_OLD, (FORGOTTEN_AFTER_SECONDS,))


# Statements

_ADD_OPERATION = Statement("INSERT INTO operation (account, name, fields) VALUES (?, ?, ?) RETURNING id")

_READ_STATE = Statement("SELECT taken, answer FROM operation WHERE id = ?")

_DELETE_FREE = Statement("DELETE FROM operation WHERE id = ? AND taken = 0")

_SET_ANSWER = Statement("UPDATE operation SET answer = ? WHERE id = ?")

_FIND_FREE = Statement("""
    SELECT 1 FROM operation WHERE taken = 0 AND asked > now() - make_interval(secs => ?2)
    AND account IN (SELECT jsonb_array_elements_text(?1::jsonb)) LIMIT 1
""")

_TAKE_FREE = Statement("""
    UPDATE operation SET taken = 1 WHERE taken = 0 AND asked > now() - make_interval(secs => ?2)
    AND account IN (SELECT jsonb_array_elements_text(?1::jsonb)) RETURNING id, name, fields
""")

_DELETE_OPERATION = Statement("DELETE FROM operation WHERE id = ?")

# Operations of a command line that was killed.
_DELETE_OLD = Statement("DELETE FROM operation WHERE asked < now() - make_interval(secs => ?)")
