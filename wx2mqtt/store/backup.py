"""The database of a store as it is at one moment, in a file of its own; and how a store goes on from one.

Opens connections of its own, beside a running bridge too: SQLite lets many read while one writes. Blocking.

A store into one file, and back: what is in it, and what may take the place of what. Blocking.

A backup can be made beside a running bridge; a restore never.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from wx2mqtt import __version__
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.errors import StoreError, StoreFull, StoreLocked, StoreTooNew
from wx2mqtt.model import Blob
from wx2mqtt.store.archive import (
    ArchiveHeader,
    BadBackup,
    belongs_to_store,
    discard_replacement,
    measure_file,
    read_archive,
    replace_store,
    start_replacement,
    store_parts,
    write_archive,
)
from wx2mqtt.store.blobs import MEDIA_FOLDER
from wx2mqtt.store.files import database_error, file_error, read_file
from wx2mqtt.store.folder import DATABASE_NAME, PEOPLE_COPY_NAME, SESSIONS_FOLDER, StoreFolder, new_stream_id
from wx2mqtt.store.migrations import newest_version
from wx2mqtt.store.queries import blob_from_text, load_queries

_SQL = load_queries("snapshot")


_WITH_FILES = 2  # the version of the store from which on commands have files


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSnapshot:
    """What is in a copy: the store's version and name, and which files its waiting commands need."""

    version: int
    stream: str
    accounts: tuple[str, ...]
    messages: int
    unsent: tuple[Blob, ...]


def take_snapshot(source: Path, target: Path) -> StoreSnapshot:
    """Copy the database; neither is migrated nor repaired. Raises `StoreError`."""
    with _opened(source) as database, _opened(target) as copy:
        database.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()  # one file, without companions
        return _read(copy)


def inspect_snapshot(path: Path) -> StoreSnapshot:
    """What is in a copy that was made elsewhere. Raises `StoreError` where it is damaged or no store."""
    with _opened(path) as copy:
        if copy.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise StoreError(f"{path.name} is damaged.")
        return _read(copy)


def start_new_stream(path: Path, *, other_store_active: bool) -> str:
    """Make the store that is to begin with this copy: it gets a new name, which is returned.

    Where the bridge went on after the copy was made, what waited in it may have been sent: nothing of that
    is sent again, and the results say that nobody knows.
    """
    stream = new_stream_id()
    with _opened(path) as copy, copy:
        copy.execute("BEGIN IMMEDIATE")
        copy.execute(_SQL["new_stream"], (stream,))
        if other_store_active:
            copy.execute(_SQL["doubt"])
    return stream


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path, timeout=10.0, isolation_level=None)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise database_error(error, path) from error


def _read(copy: sqlite3.Connection) -> StoreSnapshot:
    version: int = copy.execute("PRAGMA user_version").fetchone()[0]
    stream = copy.execute(_SQL["stream"]).fetchone()
    return StoreSnapshot(
        version=version,
        stream=stream[0] if stream else "",
        accounts=tuple(name for (name,) in copy.execute(_SQL["accounts"])),
        messages=copy.execute(_SQL["messages"]).fetchone()[0],
        unsent=_unsent(copy) if version >= _WITH_FILES else (),
    )


def _unsent(copy: sqlite3.Connection) -> tuple[Blob, ...]:
    found = (blob_from_text(text) for (text,) in copy.execute(_SQL["unsent"]))
    return tuple(blob for blob in found if blob is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSummary:
    """A backup that was made."""

    head: ArchiveHeader
    messages: int
    media: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreSummary:
    """A restore that was done. `replaced` is where the store of before is now, if there was one."""

    head: ArchiveHeader
    stream: str
    replaced: Path | None


def create_backup(path: Path, out: IO[bytes], work: Path, *, media: bool) -> BackupSummary:
    """Write the store at `path` to `out`. `work` is a folder with room for a copy of the database.

    Without `media` only those files go along that are still to be sent. Raises `BadBackup`, `StoreError`,
    and `OSError` where `out` or `work` takes no more.
    """
    folder = _locked(path) if path.is_dir() else None
    try:
        if not (path / DATABASE_NAME).is_file():
            raise BadBackup("backup_no_store", folder=path)
        return _back_up(path, out, work, media=media, running=folder is None)
    finally:
        if folder is not None:
            folder.close()


def restore_store(path: Path, source: IO[bytes], *, force: bool) -> RestoreSummary:
    """Put a backup in the place of the store at `path`; with `force` also where there is one.

    A crash leaves the store of before, or the restored one. Raises `BadBackup`, `StoreLocked`, `StoreTooNew`,
    `StoreFull`, `StoreError`; then nothing was changed.
    """
    folder = StoreFolder.open(path)
    try:
        if store_parts(path) and not force:
            raise BadBackup("restore_not_empty", folder=path)
        return _restore(path, source)
    except OSError as error:
        raise file_error(error, path) from error
    finally:
        discard_replacement(path)
        folder.close()


def _locked(path: Path) -> StoreFolder | None:
    """The folder for us alone; None where a bridge has it, which may go on."""
    try:
        return StoreFolder.open(path)
    except StoreLocked:
        return None


def _back_up(path: Path, out: IO[bytes], work: Path, *, media: bool, running: bool) -> BackupSummary:
    with tempfile.TemporaryDirectory(prefix=".wx2mqtt-", dir=work) as near:
        copy = Path(near) / DATABASE_NAME
        copy.touch(mode=0o600)
        found = take_snapshot(path / DATABASE_NAME, copy)
        # Later than the database, as after a crash: the login of now with where reading was a moment ago.
        files = {DATABASE_NAME: copy, **_small_files(path, Path(near))}
        head = ArchiveHeader(
            version=__version__,
            store=found.version,
            stream=found.stream,
            made=rfc3339(now_ms()),
            running=running,
            accounts=found.accounts,
            media=media,
            files={name: measure_file(file) for name, file in files.items()},
        )
        count = write_archive(out, head, files, _media(path) if media else _unsent_files(path, found))
    return BackupSummary(head=head, messages=found.messages, media=count)


def _small_files(path: Path, near: Path) -> dict[str, Path]:
    """Copies, since a running bridge may write new ones while we pack."""
    sessions = sorted(f"{SESSIONS_FOLDER}/{file.name}" for file in (path / SESSIONS_FOLDER).glob("*.json"))
    names = [PEOPLE_COPY_NAME, *filter(belongs_to_store, sessions)]
    (near / SESSIONS_FOLDER).mkdir(mode=0o700)
    copies: dict[str, Path] = {}
    for name in names:
        data = read_file(path / name)
        if data is not None:  # a logout takes its session away
            copies[name] = near / name
            copies[name].touch(mode=0o600)
            copies[name].write_bytes(data)
    return copies


def _media(path: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted((path / MEDIA_FOLDER).glob("*/*")):
        name = str(file.relative_to(path))
        if belongs_to_store(name) and file.is_file():
            yield name, file


def _unsent_files(path: Path, found: StoreSnapshot) -> Iterator[tuple[str, Path]]:
    for blob in {blob.path: blob for blob in found.unsent}.values():
        yield blob.path, path / blob.path


def _restore(path: Path, source: IO[bytes]) -> RestoreSummary:
    gathered = start_replacement(path)
    head = read_archive(source, gathered, _must_be_known)
    copy = gathered / DATABASE_NAME
    if not copy.is_file():
        raise BadBackup("backup_incomplete", name=DATABASE_NAME)
    try:
        found = inspect_snapshot(copy)
        if found.version != head.store:
            raise BadBackup("backup_damaged")
        stream = start_new_stream(copy, other_store_active=head.running)
    except StoreFull:
        raise
    except StoreError as error:
        raise BadBackup("backup_damaged") from error
    return RestoreSummary(head=head, stream=stream, replaced=replace_store(path))


def _must_be_known(head: ArchiveHeader) -> None:
    if head.store > newest_version():
        raise StoreTooNew(
            f"The backup holds a store of version {head.store}, of wx2mqtt {head.version}, and this wx2mqtt"
            f" knows {newest_version()}; install the newer one."
        )
