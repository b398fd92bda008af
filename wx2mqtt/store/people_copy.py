"""`people.json`: the people and levels of all accounts once more, so that names survive a lost database.

One line for each person, for readers and for tools that compare.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from wx2mqtt.model import Json, PersonId
from wx2mqtt.store.database import Database
from wx2mqtt.store.files import AtomicFile, quarantine, read_file
from wx2mqtt.store.people import (
    PeopleChanges,
    apply_changes,
    levels_of,
    next_id_of,
    person_from_json,
    person_from_row,
    person_to_json,
)
from wx2mqtt.store.queries import encode_payload, load_queries

log = structlog.get_logger(__name__)

_SQL = load_queries("people")
_PAGE = 500  # persons that are read at a time

CopiedPeople = tuple[int, PeopleChanges]
"""The next number of an account, and all its people and levels."""


class PeopleCopy:
    """The copy beside the database; mode 0600, and whole or not there at all."""

    def __init__(self, database: Database, path: Path) -> None:
        self._database = database
        self._file = AtomicFile(path)
        self._lock = asyncio.Lock()

    async def write(self) -> None:
        """Write it anew. It is read page by page, so that messages pass in between. Raises `StoreError`."""
        async with self._lock:  # else one that was read earlier could be written later
            names = await self._database.read(_accounts)
            parts = [await self._account_json(name) for name in names]
            await self._file.write(b'{"schema":1,"accounts":{\n' + b",\n".join(parts) + b"\n}}\n")

    async def restore(self, accounts: Iterable[str]) -> dict[str, int]:
        """Where one of `accounts` has nobody: take the copy into all that have none; how many into which.

        Else it is not even read, since it is large.
        """
        if set(accounts) <= set(await self._database.read(_accounts)):
            return {}
        copied = await asyncio.to_thread(_read, self._file.path)
        restored = await self._database.write("restore", lambda connection: _restore(connection, copied))
        return {account: count for account, count in restored.items() if count}

    async def _account_json(self, account: str) -> bytes:
        lines: list[bytes] = []
        after = 0
        while page := await self._database.read(partial(_page, account, after)):
            lines += (line for _, line in page)
            after = page[-1][0]
        head = await self._database.read(partial(_head, account))
        people = b",\n".join(lines)
        return b"".join((json.dumps(account).encode(), b":", head[:-1], b',"persons":[\n', people, b"\n]}"))


def _accounts(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute(_SQL["accounts"])]


def _page(account: str, after: int, connection: sqlite3.Connection) -> list[tuple[int, bytes]]:
    rows = connection.execute(_SQL["persons"], (account, after, _PAGE))
    return [(one.id, encode_payload(person_to_json(one))) for one in map(person_from_row, rows)]


def _head(account: str, connection: sqlite3.Connection) -> bytes:
    levels = dict[str, Json](levels_of(connection, account))
    return encode_payload({"next_id": next_id_of(connection, account), "levels": levels})


def _restore(connection: sqlite3.Connection, copied: dict[str, CopiedPeople]) -> dict[str, int]:
    restored: dict[str, int] = {}
    for account, (next_id, changes) in copied.items():
        if next_id_of(connection, account) == 1:
            apply_changes(connection, account, changes)
            connection.execute(_SQL["count"], (account, next_id))
            restored[account] = len(changes.persons)
    return restored


def _read(path: Path) -> dict[str, CopiedPeople]:
    """What is in the copy; nothing when there is none that can be read."""
    data = read_file(path)
    if data is None:
        return {}
    try:
        return {account: _parsed(part) for account, part in json.loads(data)["accounts"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        log.error("copy of people damaged, set aside", set_aside=str(quarantine(path)))
        return {}


def _parsed(part: dict[str, Any]) -> CopiedPeople:
    changes = PeopleChanges(
        persons=tuple(person_from_json(one) for one in part["persons"]),
        levels=tuple((str(level), PersonId(int(owner))) for level, owner in part["levels"].items()),
    )
    return int(part["next_id"]), changes
