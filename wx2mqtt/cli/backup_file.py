"""The file of a backup: a name, a dated name in a folder, or standard output.

It is opened before the store is, by the user who runs the command. It appears under its name when it is
complete.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from wx2mqtt.store.archive import BadBackup
from wx2mqtt.store.files import PRIVATE_MODE
from wx2mqtt.values import frozen

STANDARD_STREAM = Path("-")
"""Means standard output for a backup and standard input for a restore."""

BACKUP_SUFFIX = ".tar.gz"
_STAMP = re.compile(r"(?P<time>\d{8}T\d{6}Z)(-(?P<number>\d{1,9}))?", re.ASCII)


@frozen
class BackupFile:
    """Where a backup goes. With `keep` it has a dated name, of which the folder keeps that many."""

    path: Path
    store_name: str = ""
    keep: int | None = None


def backup_file(path: Path, store_name: str, *, keep: int | None, force: bool) -> BackupFile:
    """Returns the file to write: in a folder one with a dated name. Raises `BadBackup`.

    `store_name` begins the dated names, so that two stores may share a folder.
    """
    if path == STANDARD_STREAM:
        if sys.stdout.isatty():
            raise BadBackup("backup_terminal")
        return BackupFile(path=path)
    if path.is_dir():
        return BackupFile(path=_dated_path(path, store_name), store_name=store_name, keep=keep)
    if keep is not None:
        raise BadBackup("backup_keep_folder", file=path)
    if path.exists() and not force:
        raise BadBackup("backup_exists", file=path, folder=path.absolute().parent)
    return BackupFile(path=path)


def _dated_path(folder: Path, store_name: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"{store_name}-{stamp}{BACKUP_SUFFIX}"
    number = 1
    while path.exists():
        number += 1
        path = folder / f"{store_name}-{stamp}-{number}{BACKUP_SUFFIX}"
    return path


@contextmanager
def open_backup_file(file: BackupFile) -> Iterator[IO[bytes]]:
    """Yields what to write to. At the end the file is durable and has its name; after an error it is gone.

    Then deletes the oldest files of the same store in the folder, but for `keep`. Raises `OSError`.
    """
    if file.path == STANDARD_STREAM:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    # All names count from this handle: whoever may exchange the folder gets nothing written elsewhere.
    folder = os.open(file.path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _new_file(folder, file.path.name) as out:
            yield out
        os.fsync(folder)
        if file.keep is not None:
            _delete_oldest(folder, file)
    finally:
        os.close(folder)


@contextmanager
def _new_file(folder: int, name: str) -> Iterator[IO[bytes]]:
    temporary_name = f".{name}.{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    handle = os.open(temporary_name, flags, PRIVATE_MODE, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary_name, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary_name, dir_fd=folder)
        raise


def _delete_oldest(folder: int, file: BackupFile) -> None:
    ages = {name: age for name in os.listdir(folder) if (age := _age(name, file.store_name)) is not None}
    assert file.keep is not None
    for name in sorted(ages, key=ages.__getitem__, reverse=True)[file.keep :]:
        if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=folder)
    os.fsync(folder)


def _age(name: str, store_name: str) -> tuple[str, int] | None:
    """Returns what sorts the backups of a store by time: the second, and the number within it."""
    stamp = _STAMP.fullmatch(name.removeprefix(f"{store_name}-").removesuffix(BACKUP_SUFFIX))
    if stamp is None or name != f"{store_name}-{stamp[0]}{BACKUP_SUFFIX}":
        return None
    return stamp["time"], int(stamp["number"] or 1)
