"""Backup and restore of a whole store. Blocking.

    create_backup(store, out, work, media=True)  # a copy of the database, people.json, logins and media
    restore_store(store, source, force=False)

A backup can be made while the bridge runs: it opens a connection of its own, since SQLite lets many read
while one writes. A restore needs the store for itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from wx2mqtt import __version__
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.errors import BadBackup, StoreError, StoreFull, StoreLocked, StoreTooNew
from wx2mqtt.store.atomic_files import PRIVATE_FOLDER_MODE, PRIVATE_MODE, file_errors, read_file
from wx2mqtt.store.backup_archive import (
    ArchiveHeader,
    belongs_to_store,
    measure_file,
    read_archive,
    write_archive,
)
from wx2mqtt.store.blobs import MEDIA_FOLDER
from wx2mqtt.store.folder import DATABASE_NAME, PEOPLE_FILE_NAME, SESSIONS_FOLDER, StoreFolder
from wx2mqtt.store.folder_replacement import (
    discard_replacement,
    replace_store,
    start_replacement,
    store_parts,
)
from wx2mqtt.store.restore_rules import NO_CONFIGURATION, RestoreRules, take_trust_away
from wx2mqtt.store.snapshots import (
    StoreSnapshot,
    inspect_snapshot,
    open_database,
    start_new_stream,
    take_snapshot,
)
from wx2mqtt.store.sqlite_database import newest_version
from wx2mqtt.store.statements import Statement
from wx2mqtt.values import frozen


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
    #: How many are in it, as in `BackupSummary`.
    messages: int = 0
    #: How many files are in it.
    media: int = 0
    #: How many publications waited for topics that are not the bridge's.
    dropped: int = 0
    #: The new path of the old store, if there was one.
    replaced: Path | None = None


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
    with _locked_unless_in_use(path), open_database(path / DATABASE_NAME) as database:
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
        with open_database(copy) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            dropped = take_trust_away(connection, rules)
        stream = start_new_stream(copy, other_store_active=head.running)
    except StoreFull:
        raise
    except StoreError as error:
        raise BadBackup("backup_damaged") from error
    media = sum(1 for _ in _all_media(gathering))
    return RestoreSummary(head=head, stream=stream, messages=snapshot.messages, media=media, dropped=dropped)


def _refuse_newer_store(head: ArchiveHeader) -> None:
    if head.store > newest_version():
        raise StoreTooNew(
            f"The backup holds a store of version {head.store}, of wx2mqtt {head.version}, and this wx2mqtt"
            f" knows {newest_version()}; install the newer one."
        )


# Statements

# When a backup of this store was written last, in milliseconds.
SET_LAST_BACKUP = Statement("""
    INSERT INTO meta (name, value) VALUES ('last_backup', ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
""")
