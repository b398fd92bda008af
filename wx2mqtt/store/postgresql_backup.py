"""Backup and restore of a store in PostgreSQL.

The file is the same as that of a store in a folder: the rows are copied into a database of SQLite, the saved
logins are decrypted, media are fetched. So a backup of one kind of store can be restored into the other.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Final

from wx2mqtt.errors import BadBackup, StoreLocked
from wx2mqtt.model import Blob
from wx2mqtt.store.atomic_files import PRIVATE_FOLDER_MODE, PRIVATE_MODE, sha256_in_media_name
from wx2mqtt.store.backup_archive import write_archive
from wx2mqtt.store.blobs import MEDIA_FOLDER
from wx2mqtt.store.database import Connection, Database, Job, NamedRow
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
from wx2mqtt.store.postgresql_database import PostgresqlDatabase
from wx2mqtt.store.restore_rules import NO_CONFIGURATION, RestoreRules
from wx2mqtt.store.saved_logins import SavedLoginFolder
from wx2mqtt.store.snapshots import StoreSnapshot, take_snapshot
from wx2mqtt.store.sqlite_database import SqliteDatabase
from wx2mqtt.store.statements import insert_rows

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

# The name of a row of `meta` that belongs to the database and not to the store.
_SCHEMA_VERSION = "schema_version"

# The database of SQLite into which the rows are copied for a backup.
_COPY_NAME = "copy.db"


async def back_up_database(
    database: PostgresqlDatabase, logins: EncryptedLogins, out: IO[bytes], work: Path, *, media: bool
) -> BackupSummary:
    """Writes the store to `out`; other instances may use it. `work` is a folder with space for a copy.

    Raises `StoreError`, and `OSError` if `out` or `work` is full.
    """
    with tempfile.TemporaryDirectory(prefix=".wx2mqtt-", dir=work) as name:
        folder = Path(name)
        is_running = bool(await database.other_sessions())
        snapshot = await _copy_rows(database, folder)
        # The saved logins are copied after the rows: a login is never older than its cursor.
        files = {DATABASE_NAME: folder / DATABASE_NAME, **await _copy_logins(logins, folder)}
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


async def _copy_rows(database: PostgresqlDatabase, folder: Path) -> StoreSnapshot:
    copy = await SqliteDatabase.open(folder / _COPY_NAME)
    try:
        await copy_store(database, copy)
    finally:
        await copy.close()
    target = folder / DATABASE_NAME
    target.touch(mode=PRIVATE_MODE)
    snapshot = await asyncio.to_thread(take_snapshot, folder / _COPY_NAME, target)
    (folder / _COPY_NAME).unlink()
    return snapshot


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
    """Yields the files, each fetched when it is needed and deleted then; in a thread beside the loop."""
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
    gathered = start_replacement(folder)
    try:
        restored = await asyncio.to_thread(read_restored, gathered, source, rules)
        await _upload_media(database, gathered)
        sessions = await _read_sessions(gathered)
        copy = await SqliteDatabase.open(gathered / DATABASE_NAME)
        try:
            await copy_store(copy, database, partial(logins.replace_all, sessions))
        finally:
            await copy.close()
    finally:
        discard_replacement(folder)
    return restored


async def _read_sessions(gathered: Path) -> dict[str, Mapping[str, object]]:
    saved = SavedLoginFolder(gathered / SESSIONS_FOLDER)
    loaded = {account: await saved.of(account).load() for account in await saved.accounts()}
    return {account: session for account, session in loaded.items() if session is not None}


async def _upload_media(database: PostgresqlDatabase, gathered: Path) -> None:
    files = DatabaseBlobs(gathered, database)
    for path in sorted((gathered / MEDIA_FOLDER).glob("*/*")):
        name = str(path.relative_to(gathered))
        sha256 = sha256_in_media_name(name)
        assert sha256 is not None
        await files.upload(Blob(sha256=sha256, path=name, size=path.stat().st_size, mime=""))


# The rows, which are the same in both kinds of database


async def copy_store(source: Database, target: Database, add_more: Job[None] | None = None) -> dict[str, int]:
    """Replaces all rows of `target` by those of `source` in one commit; returns how many by table.

    `add_more` runs in the same commit. `source` may be in use: its rows are those of one moment. Raises
    `StoreFull`, `StoreError`, and then `target` is as it was.
    """
    loop = asyncio.get_running_loop()

    def job(target_connection: Connection) -> dict[str, int]:
        # The thread of the source writes to the target as well, while that of the target waits here.
        copying = source.read_snapshot(lambda connection: _replace_rows(connection, target_connection))
        copied = asyncio.run_coroutine_threadsafe(copying, loop).result()
        if add_more is not None:
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
    """Copies the rows of a table page by page; returns how many."""
    count = 0
    after: list[object] | None = None
    while rows := _next_page(source, table, after):
        after = [rows[-1][name] for name in TABLES[table]]
        names = list(rows[0].keys())
        copied = [row for row in rows if table != "meta" or row["name"] != _SCHEMA_VERSION]
        values = [tuple(row[name] for name in names) for row in copied]
        marks = ", ".join("?" * len(names))
        insert = "INSERT OR IGNORE" if table == "seen" else "INSERT"  # PostgreSQL may remember a key twice
        insert_rows(target, f"{insert} INTO {table} ({', '.join(names)}) VALUES ({marks})", values)
        count += len(values)
    return count


def _next_page(source: Connection, table: str, after: list[object] | None) -> list[NamedRow]:
    """Returns the next rows in the order of the table's key, behind the row with the key `after`."""
    order = ", ".join(TABLES[table])
    marks = ", ".join("?" * len(TABLES[table]))
    where = f" WHERE ({order}) > ({marks})" if after is not None else ""
    statement = f"SELECT * FROM {table}{where} ORDER BY {order} LIMIT ?"  # noqa: S608
    return list(source.named_rows(statement, [*(after or ()), ROWS_PER_PAGE]))
