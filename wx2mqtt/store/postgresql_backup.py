"""Backup and restore of a store in PostgreSQL.

The archive is that of a store in a folder: the rows are copied into a database of SQLite, the saved logins
are decrypted, media are fetched. So a backup of one kind of store can be restored into the other.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

from wx2mqtt.errors import BadBackup, StoreLocked
from wx2mqtt.model import Blob
from wx2mqtt.store.atomic_files import (
    PRIVATE_FOLDER_MODE,
    PRIVATE_MODE,
    database_error,
    sha256_in_media_name,
)
from wx2mqtt.store.backup_archive import write_archive
from wx2mqtt.store.blobs import MEDIA_FOLDER
from wx2mqtt.store.database import Connection, Job, NamedRow
from wx2mqtt.store.encrypted_logins import EncryptedLogins
from wx2mqtt.store.folder import DATABASE_NAME, SESSIONS_FOLDER
from wx2mqtt.store.folder_backup import (
    SET_LAST_BACKUP,
    BackupSummary,
    RestoreSummary,
    archive_header,
    read_restored,
)
from wx2mqtt.store.folder_replacement import discard_replacement, start_replacement
from wx2mqtt.store.postgresql_blobs import DatabaseBlobs
from wx2mqtt.store.postgresql_database import SCHEMA_VERSION, PostgresqlDatabase
from wx2mqtt.store.restore_rules import NO_CONFIGURATION, RestoreRules
from wx2mqtt.store.saved_logins import SavedLoginFolder
from wx2mqtt.store.snapshots import finish_snapshot
from wx2mqtt.store.sqlite_database import OpenDatabase, open_file
from wx2mqtt.store.statements import insert_rows


async def back_up_database(
    database: PostgresqlDatabase, logins: EncryptedLogins, out: IO[bytes], work: Path, *, media: bool
) -> BackupSummary:
    """Writes the store to `out`; other instances may use it. `work` is a folder with space for a copy.

    Raises `StoreError`, and `OSError` if `out` or `work` is full.
    """
    with tempfile.TemporaryDirectory(prefix=".wx2mqtt-", dir=work) as name:
        folder = Path(name)
        copy = folder / DATABASE_NAME
        is_running = bool(await database.other_sessions())
        await copy_to_file(database, copy)
        snapshot = await asyncio.to_thread(finish_snapshot, copy)
        # The saved logins are copied after the rows: a login is never older than its cursor.
        files = {DATABASE_NAME: copy, **await _copy_logins(logins, folder)}
        blobs = list(snapshot.unsent)
        if media:
            stored = await database.fetch("SELECT sha256, path, size FROM media_file ORDER BY path")
            blobs = [Blob(sha256=sha256, path=path, size=size, mime="") for sha256, path, size in stored]
        head = archive_header(snapshot, files, media=media, running=is_running)
        fetched = _fetch_each(database, blobs, folder, asyncio.get_running_loop())
        count = await asyncio.to_thread(write_archive, out, head, files, fetched)
    return BackupSummary(head=head, messages=snapshot.messages, media=count)


async def record_database_backup(database: PostgresqlDatabase, made: int) -> None:
    """Stores when the last backup of the store was made (ms). Raises `StoreError`."""
    await database.execute("backup", SET_LAST_BACKUP, (str(made),))


async def _copy_logins(logins: EncryptedLogins, folder: Path) -> dict[str, Path]:
    (folder / SESSIONS_FOLDER).mkdir(mode=PRIVATE_FOLDER_MODE)
    copies: dict[str, Path] = {}
    for account in sorted(await logins.accounts()):
        session = await logins.of(account).load()
        if session is not None:  # a logout deletes a saved login
            name = f"{SESSIONS_FOLDER}/{account}.json"
            copies[name] = folder / name
            copies[name].touch(mode=PRIVATE_MODE)
            copies[name].write_text(json.dumps(dict(session)))
    return copies


def _fetch_each(
    database: PostgresqlDatabase, blobs: list[Blob], folder: Path, loop: asyncio.AbstractEventLoop
) -> Iterator[tuple[str, Path]]:
    """Yields files to the thread of `write_archive`; `loop` fetches each, and it is deleted when written."""
    files = DatabaseBlobs(folder, database)
    for blob in blobs:
        if asyncio.run_coroutine_threadsafe(files.fetch(blob), loop).result():
            yield blob.path, files.path_of(blob)
            files.path_of(blob).unlink()


async def restore_database(
    database: PostgresqlDatabase,
    logins: EncryptedLogins,
    folder: Path,
    source: IO[bytes],
    *,
    force: bool,
    rules: RestoreRules = NO_CONFIGURATION,
) -> RestoreSummary:
    """Replaces the store by a backup; a store with accounts only with `force`. `folder` is for scratch files.

    Rows and logins change in one commit. Raises `BadBackup`, `StoreLocked`, `StoreTooNew`, `StoreFull`,
    `StoreError`, and then nothing was changed.
    """
    if await database.other_sessions():
        raise StoreLocked("The database is in use by an instance of wx2mqtt; stop all of them first.")
    if not force and await database.fetch("SELECT 1 FROM account LIMIT 1"):
        raise BadBackup("restore_database_not_empty")
    unpacked = start_replacement(folder)
    try:
        restored = await asyncio.to_thread(read_restored, unpacked, source, rules)
        await _upload_media(database, unpacked)
        sessions = await _read_sessions(unpacked)
        await copy_from_file(unpacked / DATABASE_NAME, database, partial(logins.replace_all, sessions))
    finally:
        discard_replacement(folder)
    return restored


async def _upload_media(database: PostgresqlDatabase, unpacked: Path) -> None:
    files = DatabaseBlobs(unpacked, database)
    for path in sorted((unpacked / MEDIA_FOLDER).glob("*/*")):
        name = str(path.relative_to(unpacked))
        sha256 = sha256_in_media_name(name)
        assert sha256 is not None
        await files.upload(Blob(sha256=sha256, path=name, size=path.stat().st_size, mime=""))


async def _read_sessions(unpacked: Path) -> dict[str, Mapping[str, object]]:
    saved = SavedLoginFolder(unpacked / SESSIONS_FOLDER)
    loaded = {account: await saved.of(account).load() for account in await saved.accounts()}
    return {account: session for account, session in loaded.items() if session is not None}


# The rows, which are the same in both kinds of database: one job on the server's connection copies them

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
    "question": ("id",),
    "deed": ("account", "session", "mid"),
}
ROWS_PER_PAGE = 500

# Tables in which the database makes the ids; after the copy they go on behind the highest one.
_TABLES_WITH_NEW_IDS = ("publication", "command", "question")


async def copy_to_file(database: PostgresqlDatabase, path: Path) -> None:
    """Creates a database of SQLite with the rows of one moment. Raises `StoreFull`, `StoreError`."""
    opened = await asyncio.to_thread(open_file, path)

    def job(server: Connection) -> None:
        with _transaction(opened, path) as file:
            _replace_rows(server, file)

    await database.read_snapshot(job)


async def copy_from_file(path: Path, database: PostgresqlDatabase, put_logins: Job[None]) -> None:
    """Replaces all rows by those of a database of SQLite, and the logins, in one commit. Raises as above."""
    opened = await asyncio.to_thread(open_file, path)

    def job(server: Connection) -> None:
        with _transaction(opened, path) as file:
            _replace_rows(file, server)
        put_logins(server)

    await database.write("copy", job)


@contextmanager
def _transaction(opened: OpenDatabase, path: Path) -> Iterator[Connection]:
    """Yields the connection to a file of SQLite; then commits and closes the file. Raises `StoreError`."""
    try:
        with closing(opened.writer), closing(opened.reader):
            opened.writer.execute("BEGIN IMMEDIATE")
            yield opened.writer
            opened.writer.commit()
    except sqlite3.Error as error:
        raise database_error(error, path) from error


def _replace_rows(source: Connection, target: Connection) -> None:
    # The row `SCHEMA_VERSION` belongs to the database on the server, not to the store.
    for table in TABLES:
        where = f" WHERE name <> '{SCHEMA_VERSION}'" if table == "meta" else ""
        target.execute(f"DELETE FROM {table}{where}")  # noqa: S608
    for table in TABLES:
        _copy_table(source, target, table)
    for table in _TABLES_WITH_NEW_IDS:
        target.continue_ids(table)


def _copy_table(source: Connection, target: Connection, table: str) -> None:
    after: list[object] | None = None
    while rows := _next_page(source, table, after):
        after = [rows[-1][name] for name in TABLES[table]]
        names = list(rows[0].keys())
        copied = [row for row in rows if table != "meta" or row["name"] != SCHEMA_VERSION]
        values = [tuple(row[name] for name in names) for row in copied]
        marks = ", ".join("?" * len(names))
        insert = "INSERT OR IGNORE" if table == "seen" else "INSERT"  # PostgreSQL may remember a key twice
        insert_rows(target, f"{insert} INTO {table} ({', '.join(names)}) VALUES ({marks})", values)


def _next_page(source: Connection, table: str, after: list[object] | None) -> list[NamedRow]:
    """Returns the next rows in the order of the table's key, behind the row with the key `after`."""
    order = ", ".join(TABLES[table])
    marks = ", ".join("?" * len(TABLES[table]))
    where = f" WHERE ({order}) > ({marks})" if after is not None else ""
    statement = f"SELECT * FROM {table}{where} ORDER BY {order} LIMIT ?"  # noqa: S608
    return list(source.named_rows(statement, [*(after or ()), ROWS_PER_PAGE]))
