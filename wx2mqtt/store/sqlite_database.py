"""The database as a file of SQLite."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from wx2mqtt.store.database import Connection, Database, OnCommitPoint, ignore_commit_point
from wx2mqtt.store.files import database_error, is_damage
from wx2mqtt.store.migrations import WAL_SUFFIXES, OpenDatabase, mark_suspect, open_file


class SqliteDatabase(Database):
    """An open file."""

    def __init__(self, path: Path, opened: OpenDatabase, on_commit_point: OnCommitPoint) -> None:
        self.path = path
        self._files = [f"{path}{suffix}" for suffix in ("", *WAL_SUFFIXES)]
        self.set_aside = opened.set_aside
        self.is_new = opened.fresh
        self._sqlite_writer = opened.writer
        self._sqlite_reader = opened.reader
        super().__init__(on_commit_point)

    @classmethod
    async def open(cls, path: Path, on_commit_point: OnCommitPoint = ignore_commit_point) -> SqliteDatabase:
        """Opens or creates the file, mode 0600; a damaged file is set aside and a new one created.

        Crash tests pass `on_commit_point`: the writer thread calls it with `before:<name>` and `after:<name>`
        for each job of a commit. Raises `StoreTooNew`, `StoreFull`, `StoreError`.
        """
        return cls(path, await asyncio.to_thread(open_file, path), on_commit_point)

    @property
    def allocated_bytes(self) -> int:
        size = 0
        for path in self._files:
            with suppress(OSError):  # SQLite creates and removes the last two
                size += os.stat(path).st_size  # noqa: PTH116 - twice as fast, and called for each message
        return size

    async def measure(self, enough: int) -> None:
        """Does nothing: the files tell it."""

    async def used_bytes(self) -> int:
        return await self.read(_used_bytes)

    async def free_pages(self) -> int:
        return await self.read(_free_pages)

    async def vacuum(self, pages: int) -> int:
        self._check_open()
        return await self._writer.submit(
            "vacuum", lambda _: _vacuum(self._sqlite_writer, pages), outside_transaction=True
        )

    async def checkpoint(self) -> None:
        """Moves the write-ahead log into the file."""
        self._check_open()
        await self._writer.submit("checkpoint", _checkpoint, outside_transaction=True)

    async def release_memory(self) -> None:
        """Frees the pages that SQLite keeps in memory: 2 MB after a login with 5,000 contacts."""
        self._check_open()
        await self._writer.submit("release_memory", _release_memory, outside_transaction=True)
        await self._reader.submit("release_memory", _release_memory)

    def _write_connection(self) -> Connection:
        return self._sqlite_writer

    def _read_connection(self) -> Connection:
        return self._sqlite_reader

    def _begin(self) -> None:
        self._sqlite_writer.execute("BEGIN IMMEDIATE")

    def _end(self) -> None:
        self._sqlite_writer.execute("COMMIT")

    def _is_in_transaction(self) -> bool:
        return self._sqlite_writer.in_transaction

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._sqlite_writer.in_transaction:
                self._sqlite_writer.execute("ROLLBACK")

    def _translate(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        if is_damage(error):
            with suppress(OSError):  # without the mark, the damage is noticed again later
                mark_suspect(self.path)
        store_error = database_error(error, self.path)
        store_error.__cause__ = error
        return store_error

    def _close_writer(self) -> None:
        self._sqlite_writer.close()

    def _close_reader(self) -> None:
        self._sqlite_reader.close()


def _used_bytes(connection: Connection) -> int:
    """Returns the size of the database without its free pages."""
    pages, free, page_size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page_size)


def _free_pages(connection: Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def _vacuum(connection: sqlite3.Connection, pages: int) -> int:
    # `executescript` runs the PRAGMA to its end; `execute` would stop after the first page.
    connection.executescript(f"PRAGMA incremental_vacuum({pages})")
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def _checkpoint(connection: Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _release_memory(connection: Connection) -> None:
    connection.execute("PRAGMA shrink_memory").fetchone()
