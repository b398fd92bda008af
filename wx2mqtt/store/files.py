"""Small files that must be whole or not there: written beside, forced to the disk, then moved into place."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from wx2mqtt.store.faults import file_trouble

PRIVATE = 0o600


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` into `path`, mode 0600, durably. Whoever reads sees the old or the new content, whole.

    Raises `StoreError`; then the old content is still there.
    """
    try:
        _replace(path, data)
    except OSError as error:
        raise file_trouble(error, path) from error


def _replace(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600 by itself
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force names that came or went to the disk: a rename is durable only after this."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put_aside(path: Path, *companions: str) -> Path:
    """Give a damaged file a new name and return it; nothing is deleted.

    `companions` are endings of files that belong to it (`-wal`). They are moved first: should we die in
    between, the damaged file is still found damaged, and never a new one beside an old companion.
    """
    aside = _unused(path)
    for ending in companions:
        companion = path.with_name(path.name + ending)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + ending))
    path.rename(aside)
    sync_folder(path.parent)
    return aside


def _unused(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    count = 1
    while aside.exists():
        count += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{count}")
    return aside
