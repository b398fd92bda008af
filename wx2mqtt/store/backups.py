"""A store into one file, and back: what is in it, and what may take the place of what (DESIGN 2). Blocking.

A backup can be made beside a running bridge; a restore never.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from wx2mqtt import __version__
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.errors import StoreError, StoreFull, StoreLocked, StoreTooNew
from wx2mqtt.store.archive import BadBackup, Head, belongs, measured, pack, unpack
from wx2mqtt.store.blobs import MEDIA
from wx2mqtt.store.faults import file_trouble
from wx2mqtt.store.files import read_whole
from wx2mqtt.store.folder import DATABASE, PEOPLE, SESSIONS, Folder
from wx2mqtt.store.opening import newest
from wx2mqtt.store.replacing import forget, gather, parts, replace
from wx2mqtt.store.snapshot import Snapshot, go_on_from, look, take


@dataclass(frozen=True, slots=True, kw_only=True)
class Backed:
    """A backup that was made."""

    head: Head
    messages: int
    media: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A restore that was done. `replaced` is where the store of before is now, if there was one."""

    head: Head
    stream: str
    replaced: Path | None


def back_up(path: Path, out: IO[bytes], work: Path, *, media: bool) -> Backed:
    """Write the store at `path` to `out`. `work` is a folder with room for a copy of the database.

    Without `media` only those files go along that are still to be sent. Raises `BadBackup`, `StoreError`,
    and `OSError` where `out` or `work` takes no more.
    """
    folder = _locked(path) if path.is_dir() else None
    try:
        if not (path / DATABASE).is_file():
            raise BadBackup("backup_no_store", folder=path)
        return _back_up(path, out, work, media=media, running=folder is None)
    finally:
        if folder is not None:
            folder.close()


def restore(path: Path, source: IO[bytes], *, force: bool) -> Restored:
    """Put a backup in the place of the store at `path`; with `force` also where there is one.

    A crash leaves the store of before, or the restored one. Raises `BadBackup`, `StoreLocked`, `StoreTooNew`,
    `StoreFull`, `StoreError`; then nothing was changed.
    """
    folder = Folder.open(path)
    try:
        if parts(path) and not force:
            raise BadBackup("restore_not_empty", folder=path)
        return _restore(path, source)
    except OSError as error:
        raise file_trouble(error, path) from error
    finally:
        forget(path)
        folder.close()


def _locked(path: Path) -> Folder | None:
    """The folder for us alone; None where a bridge has it, which may go on."""
    try:
        return Folder.open(path)
    except StoreLocked:
        return None


def _back_up(path: Path, out: IO[bytes], work: Path, *, media: bool, running: bool) -> Backed:
    with tempfile.TemporaryDirectory(prefix=".wx2mqtt-", dir=work) as near:
        copy = Path(near) / DATABASE
        copy.touch(mode=0o600)
        found = take(path / DATABASE, copy)
        # Later than the database, as after a crash: the login of now with where reading was a moment ago.
        files = {DATABASE: copy, **_small_files(path, Path(near))}
        head = Head(
            version=__version__,
            store=found.version,
            stream=found.stream,
            made=rfc3339(now_ms()),
            running=running,
            accounts=found.accounts,
            media=media,
            files={name: measured(file) for name, file in files.items()},
        )
        count = pack(out, head, files, _media(path) if media else _unsent(path, found))
    return Backed(head=head, messages=found.messages, media=count)


def _small_files(path: Path, near: Path) -> dict[str, Path]:
    """Copies, since a running bridge may write new ones while we pack."""
    sessions = sorted(f"{SESSIONS}/{file.name}" for file in (path / SESSIONS).glob("*.json"))
    names = [PEOPLE, *filter(belongs, sessions)]
    (near / SESSIONS).mkdir(mode=0o700)
    copies: dict[str, Path] = {}
    for name in names:
        data = read_whole(path / name)
        if data is not None:  # a logout takes its session away
            copies[name] = near / name
            copies[name].touch(mode=0o600)
            copies[name].write_bytes(data)
    return copies


def _media(path: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted((path / MEDIA).glob("*/*")):
        name = str(file.relative_to(path))
        if belongs(name) and file.is_file():
            yield name, file


def _unsent(path: Path, found: Snapshot) -> Iterator[tuple[str, Path]]:
    for blob in {blob.path: blob for blob in found.unsent}.values():
        yield blob.path, path / blob.path


def _restore(path: Path, source: IO[bytes]) -> Restored:
    gathered = gather(path)
    head = unpack(source, gathered, _must_be_known)
    copy = gathered / DATABASE
    if not copy.is_file():
        raise BadBackup("backup_incomplete", name=DATABASE)
    try:
        found = look(copy)
        if found.version != head.store:
            raise BadBackup("backup_damaged")
        stream = go_on_from(copy, others_went_on=head.running)
    except StoreFull:
        raise
    except StoreError as error:
        raise BadBackup("backup_damaged") from error
    return Restored(head=head, stream=stream, replaced=replace(path))


def _must_be_known(head: Head) -> None:
    if head.store > newest():
        raise StoreTooNew(
            f"The backup holds a store of version {head.store}, of wx2mqtt {head.version}, and this wx2mqtt"
            f" knows {newest()}; install the newer one."
        )
