"""Opens a store with the product's own code, and returns its content and its damage."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.column_values import blob_from_text
from wx2mqtt.store.database import Database
from wx2mqtt.store.folder import DATABASE_NAME, PEOPLE_FILE_NAME, SESSIONS_FOLDER, StoreFolder
from wx2mqtt.store.people_file import PeopleFile
from wx2mqtt.store.saved_logins import SavedLoginFile
from wx2mqtt.store.sqlite_database import SqliteDatabase

MEMORY = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK)), None)
"""Where copies of a disk are opened: in memory, which needs no time for an fsync, or the usual temporary folder."""

_FILES_OF_ROWS = """
SELECT blob FROM media WHERE state = 'ready' UNION ALL SELECT blob FROM command WHERE status IS NULL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """`rows` is a digest of all rows of all tables; `files` are `people.json` and the saved logins, by path."""

    rows: str
    files: dict[str, bytes]
    problems: tuple[str, ...]


def inspect(store: Path) -> Inspection:
    """Opens the store in a loop of its own: the caller may run in one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _inspect(store)).result()


async def _inspect(store: Path) -> Inspection:
    folder = StoreFolder.open(store)
    try:
        database = await SqliteDatabase.open(store / DATABASE_NAME)
        try:
            problems = [] if database.set_aside is None else ["the database was set aside as damaged"]
            with closing(sqlite3.connect(store / DATABASE_NAME)) as connection:
                (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
                rows = content_of(connection)
            problems += [] if integrity == "ok" else [f"integrity_check: {integrity}"]
            problems += await _check_blobs(store, database)
            await PeopleFile(database, store / PEOPLE_FILE_NAME).restore(["somebody new"])
        finally:
            await database.close()
        for login in _logins(store):
            await SavedLoginFile(login).load()
        problems += _set_aside(store)
        files = _small_files(store)
    finally:
        folder.close()
    return Inspection(rows=rows, files=files, problems=tuple(problems))


def _logins(store: Path) -> list[Path]:
    return sorted((store / SESSIONS_FOLDER).glob("*.json"))


def _set_aside(store: Path) -> list[str]:
    return [f"set aside: {path.relative_to(store)}" for path in store.rglob("*.damaged-*")]


def _small_files(store: Path) -> dict[str, bytes]:
    found = [file for file in (store / PEOPLE_FILE_NAME, *_logins(store)) if file.exists()]
    return {str(file.relative_to(store)): file.read_bytes() for file in found}


def content_of(connection: sqlite3.Connection) -> str:
    """Returns a digest of all rows of all tables."""
    digest = hashlib.sha256()
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    ).fetchall()
    for (table,) in tables:
        digest.update(table.encode())
        for row in connection.execute(f'SELECT * FROM "{table}"'):
            digest.update(repr(row).encode())
    return digest.hexdigest()


async def _check_blobs(store: Path, database: Database) -> list[str]:
    """Returns the rows whose file is missing or not whole."""
    blobs = Blobs(store)
    await blobs.open()
    texts = await database.read(lambda connection: connection.execute(_FILES_OF_ROWS).fetchall())
    wanted = [blob for (text,) in texts if (blob := blob_from_text(text)) is not None]
    return [
        f"the file of a row is not whole: {blob.path}"
        for blob in wanted
        if not blobs.exists(blob)
        or hashlib.sha256(blobs.path_of(blob).read_bytes()).hexdigest() != blob.sha256
    ]
