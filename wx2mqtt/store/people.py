"""The people and groups of one account, and every topic level that was ever given.

It stores what the identity ladder decided and decides nothing, but one thing: a level that is somebody's is
never given to another.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json, PersonId
from wx2mqtt.store.bulk import insert
from wx2mqtt.store.database import Database
from wx2mqtt.store.encoding import listed, written
from wx2mqtt.store.files import WholeFile, put_aside, read_whole
from wx2mqtt.store.persons import NO_CHANGES, PeopleChanges, Person, columns, from_json, from_row, to_json
from wx2mqtt.store.queries import queries

log = structlog.get_logger(__name__)

_SQL = queries("people")


_PAGE = 500  # persons that are read at a time for the copy


class People:
    """The stored people of one account; `copy` is the file that survives a lost database."""

    def __init__(self, database: Database, account: str, copy: Path) -> None:
        self._database = database
        self._account = account
        self._copy = WholeFile(copy)
        self.next_id = PersonId(1)

    async def load(self) -> tuple[list[Person], dict[str, PersonId]]:
        """All persons, and whose each level is or was. `next_id` is then a number that nobody ever had."""
        persons, levels, self.next_id = await self._database.read(self._all)
        return persons, levels

    async def save(self, changes: PeopleChanges) -> None:
        """Store changes in a commit of their own."""
        await self._database.write("people", lambda connection: self.apply(connection, changes))

    def apply(self, connection: sqlite3.Connection, changes: PeopleChanges) -> None:
        """Store changes inside of a write job. Raises `StoreError` when a level would have two owners."""
        apply_changes(connection, self._account, changes)

    async def write_copy(self) -> None:
        """Write the copy anew: whole or not at all, mode 0600.

        It is read page by page, so that messages pass in between.
        """
        lines: list[bytes] = []
        after = 0
        while page := await self._database.read(partial(self._page, after)):
            lines += (line for _, line in page)
            after = page[-1][0]
        head = await self._database.read(self._head)
        await self._copy.write(_whole(head, lines))

    async def restore_copy(self) -> int:
        """Take the people of the copy into an account that has none; returns how many there are."""
        copied = await asyncio.to_thread(_read_copy, self._copy.path)
        if copied is None:
            return 0
        return await self._database.write("restore", lambda connection: self._restore(connection, *copied))

    def _all(self, connection: sqlite3.Connection) -> tuple[list[Person], dict[str, PersonId], PersonId]:
        persons = [from_row(row) for row in connection.execute(_SQL["persons"], (self._account, 0, -1))]
        return persons, self._levels(connection), self._next_id(connection)

    def _levels(self, connection: sqlite3.Connection) -> dict[str, PersonId]:
        return dict(connection.execute(_SQL["levels"], (self._account,)).fetchall())

    def _next_id(self, connection: sqlite3.Connection) -> PersonId:
        found = connection.execute(_SQL["next_id"], (self._account,)).fetchone()
        return PersonId(found[0] if found else 1)

    def _page(self, after: int, connection: sqlite3.Connection) -> list[tuple[int, bytes]]:
        rows = connection.execute(_SQL["persons"], (self._account, after, _PAGE))
        return [(one.id, written(to_json(one))) for one in map(from_row, rows)]

    def _head(self, connection: sqlite3.Connection) -> bytes:
        next_id, levels = self._next_id(connection), dict[str, Json](self._levels(connection))
        return written({"schema": 1, "account": self._account, "next_id": next_id, "levels": levels})

    def _restore(self, connection: sqlite3.Connection, next_id: int, changes: PeopleChanges) -> int:
        if connection.execute(_SQL["next_id"], (self._account,)).fetchone():
            return 0
        self.apply(connection, changes)
        connection.execute(_SQL["count"], (self._account, next_id))
        return len(changes.persons)


def apply_changes(connection: sqlite3.Connection, account: str, changes: PeopleChanges) -> None:
    """As `People.apply`, for a commit that holds more than people."""
    if changes == NO_CHANGES:
        return
    insert(connection, _SQL["put_person"], [_values(account, one) for one in changes.persons])
    insert(connection, _SQL["put_level"], [(account, *level) for level in changes.levels])
    insert(connection, _SQL["put_own_level"], [(account, one.level, one.id) for one in changes.persons])
    for statement in ("free_levels", "forget"):
        connection.executemany(_SQL[statement], [(account, one) for one in changes.forgotten])
    _count(connection, account, changes)
    _refuse_two_owners(connection, account, changes)


def _count(connection: sqlite3.Connection, account: str, changes: PeopleChanges) -> None:
    ids = [*(one.id for one in changes.persons), *(owner for _, owner in changes.levels)]
    if ids:
        connection.execute(_SQL["count"], (account, max(ids) + 1))


def _refuse_two_owners(connection: sqlite3.Connection, account: str, changes: PeopleChanges) -> None:
    touched = {*(one.level for one in changes.persons), *(level for level, _ in changes.levels)}
    found = connection.execute(_SQL["two_owners"], (account, listed(touched))).fetchone()
    if found:
        raise StoreError(f"The topic level of person {found[0]} belongs to person {found[1]} already.")


def _whole(head: bytes, lines: Sequence[bytes]) -> bytes:
    """One line for each person, for readers and for tools that compare."""
    return b"".join((head[:-1], b',"persons":[\n', b",\n".join(lines), b"\n]}\n"))


def _read_copy(path: Path) -> tuple[int, PeopleChanges] | None:
    """The next number and all people and levels; None when there is no copy that can be read."""
    data = read_whole(path)
    if data is None:
        return None
    try:
        return _parsed(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError):
        log.error("copy of people damaged, set aside", set_aside=str(put_aside(path)))
        return None


def _parsed(whole: dict[str, Any]) -> tuple[int, PeopleChanges]:
    changes = PeopleChanges(
        persons=tuple(from_json(one) for one in whole["persons"]),
        levels=tuple((str(level), PersonId(int(owner))) for level, owner in whole["levels"].items()),
    )
    return int(whole["next_id"]), changes


def _values(account: str, person: Person) -> tuple[object, ...]:
    return (account, *columns(person))


__all__ = ["NO_CHANGES", "People", "PeopleChanges", "Person", "apply_changes"]
