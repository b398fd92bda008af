"""Small files that must be whole or not there: written beside, forced to the disk, then moved into place."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO

from wx2mqtt.store.faults import file_trouble

PRIVATE = 0o600


class WholeFile:
    """A file that is changed off the event loop; of several changes the newest wins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = count(1)
        self._done = 0
        self._one_at_a_time = threading.Lock()

    async def write(self, data: bytes) -> None:
        """Put `data` into the file, durably. Raises `StoreFull`, `StoreError`."""
        await self._change(lambda: write_whole(self.path, data))

    async def delete(self) -> None:
        """Take the file away, durably."""
        await self._change(lambda: delete(self.path))

    async def _change(self, work: Callable[[], None]) -> None:
        """A wait that is cancelled leaves its thread behind; that must not undo what a later call does."""
        await asyncio.to_thread(self._in_turn, next(self._numbers), work)

    def _in_turn(self, number: int, work: Callable[[], None]) -> None:
        with self._one_at_a_time:
            if number > self._done:
                work()
                self._done = number


def read_whole(path: Path) -> bytes | None:
    """What is in the file; None when there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise file_trouble(error, path) from error


def delete(path: Path) -> None:
    """Take a file away, durably; it need not be there."""
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise file_trouble(error, path) from error


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` into `path`, mode 0600, durably. Whoever reads sees the old or the new content, whole.

    Raises `StoreError`; then the old content is still there.
    """
    try:
        _replace(path, data)
    except OSError as error:
        raise file_trouble(error, path) from error


def _replace(path: Path, data: bytes) -> None:
    with writing_whole(path) as file:
        file.write(data)


@contextmanager
def writing_whole(path: Path) -> Iterator[IO[bytes]]:
    """What is written takes the place of `path` at the end, mode 0600, durably; nothing is left of it if it
    fails. Raises OSError.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600 by itself
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
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
