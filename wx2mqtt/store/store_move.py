"""Moves the rows of a store from one kind of database to another. They are the same in both kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from wx2mqtt.store.database import Connection, Database, Job, NamedRow
from wx2mqtt.store.queries import insert_rows

# The tables of a store, and the columns by which their rows are read in pages.
TABLES: Final[Mapping[str, Sequence[str]]] = {
    "meta": ("name",),
    "account": ("name",),
    "publication": ("id",),
    "seen": ("account", "key"),
    "command": ("id",),
    "person": ("account", "id"),
    "level": ("account", "level"),
    "media": ("id",),
    "deed": ("account", "session", "mid"),
}
ROWS_PER_PAGE = 500

_TABLES_WITH_NEW_IDS = ("publication", "command")
_SCHEMA_VERSION = "schema_version"  # a row of `meta` that belongs to the database and not to the store


def _add_nothing(_target: Connection) -> None:
    """For a store whose saved logins are files."""


async def copy_store(
    source: Database, target: Database, add_more: Job[None] = _add_nothing
) -> dict[str, int]:
    """Replaces all rows of `target` by those of `source` in one commit; returns how many by table.

    `add_more` runs in the same commit. `source` may be in use: its rows are those of one moment. Raises
    `StoreFull`, `StoreError`, and then `target` is as it was.
    """
    loop = asyncio.get_running_loop()

    def job(target_connection: Connection) -> dict[str, int]:
        # The thread of the source writes to the target as well, while that of the target waits here.
        copying = source.read_snapshot(lambda connection: _replace_rows(connection, target_connection))
        copied = asyncio.run_coroutine_threadsafe(copying, loop).result()
        add_more(target_connection)
        return copied

    return await target.write("copy", job)


def _replace_rows(source: Connection, target: Connection) -> dict[str, int]:
    for table in TABLES:
        where = f" WHERE name <> '{_SCHEMA_VERSION}'" if table == "meta" else ""
        target.execute(f"DELETE FROM {table}{where}")  # noqa: S608
    copied = {table: _copy_table(source, target, table) for table in TABLES}
    for table in _TABLES_WITH_NEW_IDS:
        target.continue_ids(table)
    return copied


def _copy_table(source: Connection, target: Connection, table: str) -> int:
    count = 0
    after: list[object] | None = None
    while rows := _next_page(source, table, after):
        names = list(rows[0].keys())
        after = [rows[-1][name] for name in TABLES[table]]
        values = [tuple(row[name] for name in names) for row in rows]
        if table == "meta":
            values = [row for row in values if row[names.index("name")] != _SCHEMA_VERSION]
        marks = ", ".join("?" * len(names))
        # PostgreSQL lets a key be remembered twice.
        statement = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608
        if table != "seen":
            statement = statement.replace(" OR IGNORE", "")
        insert_rows(target, statement, values)
        count += len(values)
    return count


def _next_page(source: Connection, table: str, after: list[object] | None) -> list[NamedRow]:
    order = ", ".join(TABLES[table])
    marks = ", ".join("?" * len(TABLES[table]))
    where = f" WHERE ({order}) > ({marks})" if after is not None else ""
    statement = f"SELECT * FROM {table}{where} ORDER BY {order} LIMIT ?"  # noqa: S608
    return list(source.named_rows(statement, [*(after or ()), ROWS_PER_PAGE]))
