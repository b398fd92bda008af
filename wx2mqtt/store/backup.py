"""Backup and restore of a whole store, and snapshots of its database. Blocking.

A backup can be made while the bridge runs: it opens a connection of its own, since SQLite lets many read
while one writes. A restore needs the store for itself.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from wx2mqtt import __version__
from wx2mqtt.bounded_json import JsonOutOfBounds
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.errors import StoreError, StoreFull, StoreLocked, StoreTooNew
from wx2mqtt.limits import STORED_JSON
from wx2mqtt.model import Blob
from wx2mqtt.store.archive import (
    ArchiveHeader,
    BadBackup,
    belongs_to_store,
    measure_file,
    read_archive,
    write_archive,
)
from wx2mqtt.store.blobs import MEDIA_FOLDER
from wx2mqtt.store.column_values import blob_from_text
from wx2mqtt.store.files import PRIVATE_FOLDER_MODE, PRIVATE_MODE, database_error, file_errors, read_file
from wx2mqtt.store.folder import (
    DATABASE_NAME,
    PEOPLE_FILE_NAME,
    SESSIONS_FOLDER,
    StoreFolder,
    discard_replacement,
    new_stream_id,
    replace_store,
    start_replacement,
    store_parts,
)
from wx2mqtt.store.restored import NO_CONFIGURATION, RestoreRules, take_trust_away
from wx2mqtt.store.sqlite_database import has_own_schema, newest_version
from wx2mqtt.store.statements import Statement
from wx2mqtt.values import frozen

_FIRST_VERSION_WITH_FILES = 2  # of the store: older commands have no files
# The columns with JSON, of which older stores have some only.
_JSON_COLUMNS = {
    "account": {"announced", "owner"},
    "publication": {"payload", "private"},
    "command": {"replies", "result", "command", "blob"},
    "person": {"profile"},
    "media": {"ref", "blob"},
    "question": {"buttons"},
    "deed": {"answer"},
}
_BUSY_TIMEOUT_SECONDS = 10.0


@frozen
class BackupSummary:
    """A backup that was made."""

    head: ArchiveHeader
    #: How many are in it.
    messages: int
    #: How many files are in it.
    media: int


@frozen
class RestoreSummary:
    """A restore that was done."""

    head: ArchiveHeader
    #: The new id of the store.
    stream: str
    #: How many publications waited for topics that are not the bridge's.
    dropped: int = 0
    #: The new path of the old store, if there was one.
    replaced: Path | None = None


@frozen
class StoreSnapshot:
    """The content of a database copy."""

    version: int
    stream: str
    accounts: tuple[str, ...]
    messages: int
    #: The files that waiting commands need.
    unsent: tuple[Blob, ...]


def create_backup(path: Path, out: IO[bytes], work: Path, *, media: bool) -> BackupSummary:
    """Writes the store at `path` to `out`. `work` is a folder with space for a copy of the database.

    Without `media` only the files that commands have still to send are included. Raises `BadBackup`,
    `StoreError`, and `OSError` if `out` or `work` is full.
    """
    with _locked_unless_in_use(path) as is_running:
        if not (path / DATABASE_NAME).is_file():
            raise BadBackup("backup_no_store", folder=path)
        with tempfile.TemporaryDirectory(prefix=".wx2mqtt-", dir=work) as name:
            copy = Path(name) / DATABASE_NAME
            copy.touch(mode=PRIVATE_MODE)
            snapshot = take_snapshot(path / DATABASE_NAME, copy)
            # The saved logins are copied after the database: a login is never older than its cursor.
            files = {DATABASE_NAME: copy, **_copy_small_files(path, Path(name))}
            head = archive_header(snapshot, files, media=media, running=is_running)
            unsent = {blob.path: path / blob.path for blob in snapshot.unsent}
            count = write_archive(out, head, files, _all_media(path) if media else unsent.items())
    return BackupSummary(head=head, messages=snapshot.messages, media=count)


def record_backup(path: Path, made: int) -> None:
    """Stores when the last backup of the store at `path` was made (ms). Raises `StoreError`."""
    with _locked_unless_in_use(path), _connect(path / DATABASE_NAME) as database:
        database.execute(SET_LAST_BACKUP, (str(made),))


@contextmanager
def _locked_unless_in_use(path: Path) -> Iterator[bool]:
    """Locks the store at `path`, if there is one; yields whether a running bridge has it instead."""
    folder: StoreFolder | None = None
    is_running = False
    if path.is_dir():
        try:
            folder = StoreFolder.open(path)
        except StoreLocked:
            is_running = True
    try:
        yield is_running
    finally:
        if folder is not None:
            folder.close()


def archive_header(
    snapshot: StoreSnapshot, files: Mapping[str, Path], *, media: bool, running: bool
) -> ArchiveHeader:
    """Returns the header of a backup that is made now."""
    return ArchiveHeader(
        version=__version__,
        store=snapshot.version,
        stream=snapshot.stream,
        made=rfc3339(now_ms()),
        running=running,
        accounts=snapshot.accounts,
        media=media,
        files={name: measure_file(file) for name, file in files.items()},
    )


def _copy_small_files(path: Path, target: Path) -> dict[str, Path]:
    """Copies `people.json` and the saved logins, since a running bridge may change them meanwhile."""
    sessions = sorted(f"{SESSIONS_FOLDER}/{file.name}" for file in (path / SESSIONS_FOLDER).glob("*.json"))
    names = [PEOPLE_FILE_NAME, *filter(belongs_to_store, sessions)]
    (target / SESSIONS_FOLDER).mkdir(mode=PRIVATE_FOLDER_MODE)
    copies: dict[str, Path] = {}
    for name in names:
        data = read_file(path / name)
        if data is not None:  # a logout deletes a saved login
            copies[name] = target / name
            copies[name].touch(mode=PRIVATE_MODE)
            copies[name].write_bytes(data)
    return copies


def _all_media(path: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted((path / MEDIA_FOLDER).glob("*/*")):
        name = str(file.relative_to(path))
        if belongs_to_store(name) and file.is_file():
            yield name, file


def restore_store(
    path: Path, source: IO[bytes], *, force: bool, rules: RestoreRules = NO_CONFIGURATION
) -> RestoreSummary:
    """Replaces the store at `path` by a backup; an existing store only with `force`.

    After a crash there is either the old store or the restored one. Raises `BadBackup`, `StoreLocked`,
    `StoreTooNew`, `StoreFull`, `StoreError`, and then nothing was changed.
    """
    folder = StoreFolder.open(path)
    try:
        if store_parts(path) and not force:
            raise BadBackup("restore_not_empty", folder=path)
        with file_errors(path):
            restored = read_restored(start_replacement(path), source, rules)
            return replace(restored, replaced=replace_store(path))
    finally:
        discard_replacement(path)
        folder.close()


def read_restored(
    gathering: Path, source: IO[bytes], rules: RestoreRules = NO_CONFIGURATION
) -> RestoreSummary:
    """Reads a backup into an empty folder, checks it, takes away its trust, and gives it a new stream id.

    Raises `BadBackup`, `StoreTooNew`, `StoreFull`, `StoreError`.
    """
    head = read_archive(source, gathering, _refuse_newer_store)
    copy = gathering / DATABASE_NAME
    if not copy.is_file():
        raise BadBackup("backup_incomplete", name=DATABASE_NAME)
    try:
        snapshot = inspect_snapshot(copy)
        if snapshot.version != head.store:
            raise BadBackup("backup_damaged")
        with _connect(copy) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            dropped = take_trust_away(connection, rules)
        stream = start_new_stream(copy, other_store_active=head.running)
    except StoreFull:
        raise
    except StoreError as error:
        raise BadBackup("backup_damaged") from error
    return RestoreSummary(head=head, stream=stream, dropped=dropped)


def _refuse_newer_store(head: ArchiveHeader) -> None:
    if head.store > newest_version():
        raise StoreTooNew(
            f"The backup holds a store of version {head.store}, of wx2mqtt {head.version}, and this wx2mqtt"
            f" knows {newest_version()}; install the newer one."
        )


def take_snapshot(source: Path, target: Path) -> StoreSnapshot:
    """Copies the database, without migration or repair. Raises `StoreError`."""
    with _connect(source) as database, _connect(target) as copy:
        database.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()  # one file, without -wal and -shm
        return _read_snapshot(copy)


def inspect_snapshot(path: Path) -> StoreSnapshot:
    """Reads a copy from elsewhere. Raises `StoreError` if it is damaged, or holds what no store holds."""
    with _connect(path) as copy:
        if not has_own_schema(copy):
            raise StoreError(f"{path.name} has tables or indices that no store has.")
        if copy.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise StoreError(f"{path.name} is damaged.")
        if not _is_json_within_bounds(copy):
            raise StoreError(f"{path.name} has rows that cannot be read.")
        return _read_snapshot(copy)


def _is_json_within_bounds(copy: sqlite3.Connection) -> bool:
    """Returns whether the bridge can parse every row: a forged one may be nested so deep that it cannot."""
    copy.create_function("is_within_bounds", 1, _is_within_bounds, deterministic=True)
    for table, columns in _JSON_COLUMNS.items():
        present = {name for _, name, *_ in copy.execute(f"PRAGMA table_info({table})")} & columns
        conditions = " OR ".join(f"NOT is_within_bounds({name})" for name in sorted(present))
        if conditions and copy.execute(f"SELECT 1 FROM {table} WHERE {conditions} LIMIT 1").fetchone():  # noqa: S608
            return False
    return True


def _is_within_bounds(value: object) -> bool:
    text = value.encode("utf-8", "replace") if isinstance(value, str) else value
    try:
        STORED_JSON.check(text if isinstance(text, bytes) else b"", exact=True)
    except JsonOutOfBounds:
        return False
    return True


def start_new_stream(path: Path, *, other_store_active: bool) -> str:
    """Gives a copy a new stream id, which makes it a store of its own; returns the id.

    With `other_store_active` the bridge ran on after the copy was made and may have sent the commands that
    wait in it. They become uncertain, so that none is sent twice.
    """
    stream = new_stream_id()
    with _connect(path) as copy, copy:
        copy.execute("BEGIN IMMEDIATE")
        copy.execute(_SET_STREAM, (stream,))
        if other_store_active:
            copy.execute(_MARK_WAITING_UNCERTAIN)
    return stream


@contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(
            sqlite3.connect(path, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None)
        ) as connection:
            yield connection
    except sqlite3.Error as error:
        raise database_error(error, path) from error


def _read_snapshot(copy: sqlite3.Connection) -> StoreSnapshot:
    version: int = copy.execute("PRAGMA user_version").fetchone()[0]
    unsent: list[Blob | None] = []
    if version >= _FIRST_VERSION_WITH_FILES:
        unsent = [blob_from_text(text) for (text,) in copy.execute(_UNSENT_FILES)]
    stream = copy.execute(_READ_STREAM).fetchone()
    return StoreSnapshot(
        version=version,
        stream=stream[0] if stream else "",
        accounts=tuple(name for (name,) in copy.execute(_ACCOUNTS)),
        messages=copy.execute(_MESSAGE_COUNT).fetchone()[0],
        unsent=tuple(blob for blob in unsent if blob is not None),
    )


# Statements

# When a backup of this store was written last, in milliseconds.
SET_LAST_BACKUP = Statement("""
    INSERT INTO meta (name, value) VALUES ('last_backup', ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
""")

# Replaces the stream id: the store may give a seq again that consumers saw on messages which it does not
# contain.
_SET_STREAM = Statement("""
    INSERT INTO meta (name, value) VALUES ('stream', ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
""")

# The bridge that ran on after the backup may have sent these commands; to send twice is worse than to ask
# the owner. Two unanswered attempts end a command. Its echo may still arrive, so one attempt is counted as
# made.
_MARK_WAITING_UNCERTAIN = Statement("""
    UPDATE command SET
        open = 0,
        unknown = CASE WHEN unknown > 2 THEN unknown ELSE 2 END,
        attempts = attempts + 1,
        duplicate_possible = 1
    WHERE status IS NULL
""")

# Files that commands have still to send.
_UNSENT_FILES = Statement("SELECT DISTINCT blob FROM command WHERE status IS NULL AND blob IS NOT NULL")

_READ_STREAM = Statement("SELECT value FROM meta WHERE name = 'stream'")

_ACCOUNTS = Statement("SELECT name FROM account ORDER BY name")

_MESSAGE_COUNT = Statement("SELECT count(*) FROM publication WHERE seq IS NOT NULL")
