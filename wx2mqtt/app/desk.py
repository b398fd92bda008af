"""What `journal` and `people` do with an account, beside the running bridge or without it.

Each operation takes fields and answers JSON; the control socket and the command line call the same ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from wx2mqtt.bridge.judge import new_key
from wx2mqtt.bridge.people.directory import entry_body
from wx2mqtt.bridge.people.identity import Changes, Identity
from wx2mqtt.bridge.results import Results
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Command, Json, Result, Status
from wx2mqtt.store.journal import CommandRow, CommandState, Journal
from wx2mqtt.words import Language, say

SHOWN = 1000  # commands that wait, and as many of those that have their result; the newest

Operation = Callable[[Mapping[str, Json]], Awaitable[Json]]


class Desk:
    """The operations on one account's journal and people; what cannot be done raises `BadCommand`."""

    def __init__(
        self,
        *,
        journal: Journal,
        identity: Identity,
        results: Results,
        check: Callable[[Command], object],
        is_whole: Callable[[CommandRow], bool],
        language: Callable[[], Language],
        retried: Callable[[CommandRow], None],
        dropped: Callable[[CommandRow], None],
        save: Callable[[Changes], Awaitable[None]],
        brought_back: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._identity = identity
        self._results = results
        self._check = check
        self._is_whole = is_whole
        self._language = language
        self._retried = retried
        self._dropped = dropped
        self._save = save
        self._brought_back = brought_back

    def operations(self) -> dict[str, Operation]:
        """By name, as the control socket offers them."""
        return {
            "journal.list": self._list,
            "journal.show": self._show,
            "journal.retry": self._retry,
            "journal.drop": self._drop,
            "people.list": self._people,
            "people.assign": self._assign,
            "people.merge": self._merge,
        }

    async def _list(self, fields: Mapping[str, Json]) -> Json:
        """Commands that wait, failed or are uncertain, and messages that were set aside."""
        everything = bool(fields.get("all"))
        waiting = await self._journal.commands(CommandState.WAITING, limit=SHOWN)
        settled = await self._journal.commands(CommandState.SETTLED, limit=SHOWN)
        shown = [*waiting, *(row for row in settled if everything or _ended_badly(row))]
        aside: list[Json] = [
            {"row": row.id, "topic": row.topic, "sort": row.sort, "since": rfc3339(row.created), "why": why}
            for row, why in await self._journal.aside()
        ]
        commands: list[Json] = [_line(row) for row in shown]
        return {"commands": commands, "set_aside": aside}

    async def _show(self, fields: Mapping[str, Json]) -> Json:
        row = await self._row(fields)
        return {**_line(row), "kind": row.command.kind, "text": row.command.text}

    async def _retry(self, fields: Mapping[str, Json]) -> Json:
        if isinstance(number := fields.get("row"), int):
            if not await self._journal.bring_back([number]):
                raise BadCommand("bad_request", "row_unknown", row=number)
            self._brought_back()
            return {"row": number}
        row = await self._row(fields)
        self._check(row.command)
        if not self._is_whole(row):
            raise BadCommand("bad_file", "file_lost")
        again = await self._journal.retry(row.command_id, now_ms(), new_key())
        self._retried(again)
        return _line(again)

    async def _drop(self, fields: Mapping[str, Json]) -> Json:
        row = await self._row(fields)
        result = Result(
            id=row.command_id,
            user=row.command.user,
            status=Status.UNCERTAIN if row.unknown or row.open else Status.REJECTED,
            code="dropped",
            message=say(self._language(), "dropped"),
            time=now_ms(),
            duplicate_possible=row.duplicate_possible,
        )
        await self._journal.drop(row.command_id, result, self._results.publications(result, row.replies))
        self._dropped(row)
        return {**_line(row), "status": str(result.status), "code": "dropped"}

    async def _row(self, fields: Mapping[str, Json]) -> CommandRow:
        command_id = str(fields.get("id", ""))
        row = await self._journal.get(command_id)
        if row is None:
            raise BadCommand("bad_request", "command_unknown", id=command_id)
        return row

    async def _people(self, _fields: Mapping[str, Json]) -> Json:
        people: list[Json] = [entry_body(entry) for entry in self._identity.directory()]
        return {"people": people}

    async def _assign(self, fields: Mapping[str, Json]) -> Json:
        changes = self._identity.assign(str(fields.get("user", "")), str(fields.get("to", "")), now_ms())
        await self._save(changes)
        return _changed(changes)

    async def _merge(self, fields: Mapping[str, Json]) -> Json:
        changes = self._identity.merge(str(fields.get("user", "")), str(fields.get("other", "")), now_ms())
        await self._save(changes)
        return _changed(changes)


def _ended_badly(row: CommandRow) -> bool:
    return row.result is not None and row.result.status in (Status.FAILED, Status.UNCERTAIN, Status.EXPIRED)


def _line(row: CommandRow) -> dict[str, Json]:
    state = "waiting" if row.result is None else str(row.result.status)
    body: dict[str, Json] = {
        "id": row.command_id,
        "user": row.command.user,
        "state": "attempt open" if row.open else state,
        "accepted": rfc3339(row.accepted),
        "attempts": row.attempts,
    }
    if row.result is not None:
        body |= {"code": row.result.code, "message": row.result.message}
    return body


def _changed(changes: Changes) -> Json:
    people: list[Json] = [person.level for person in changes.people.persons]
    return {"changed": people}
