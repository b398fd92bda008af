"""The bridge of a recording: the real program, which writes a mark to a file for each change that it considers durable.

Run as `python -m tests.power_cut.bridge MARKS run -c FILE`. A line `commit` follows each commit of the database, a
line `file PATH` each change of a file beside it. Old rows and files are removed after seconds, so that a short
recording has removals and a file that shrinks. `POWER_CUT_FAULT` in the environment plants a fault.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.soak.bridge import shorten_retention
from wx2mqtt.app import logs, storage_maintenance
from wx2mqtt.app.application import RunEnvironment
from wx2mqtt.app.process import run
from wx2mqtt.settings.loader import load
from wx2mqtt.store import atomic_files, blobs, journal_retention, sqlite_database
from wx2mqtt.wechat.registry import BACKENDS

FAULT = "POWER_CUT_FAULT"
KEPT_SECONDS = 1.0
MIN_FREE_PAGES = 8  # so that a small database shrinks
CHECK_SECONDS = 0.3  # between two checks of the size of the store

Mark = Callable[[str], None]


def mark_files(mark: Mark, store: Path) -> None:
    """Marks each change of a file when the function that makes it durable returns."""
    write, delete = atomic_files.write_atomically, atomic_files.delete_file

    def marked_write(path: Path, data: bytes) -> None:
        write(path, data)
        mark(f"file {path.relative_to(store)}")

    def marked_delete(path: Path) -> None:
        delete(path)
        mark(f"file {path.relative_to(store)}")

    atomic_files.write_atomically = marked_write
    atomic_files.delete_file = marked_delete


def set_synchronous(mode: str) -> None:
    """Lets SQLite sync less: with NORMAL only before a checkpoint, with OFF never."""
    configure = sqlite_database._configure

    def configured(connection: sqlite3.Connection, path: Path) -> None:
        configure(connection, path)
        connection.execute(f"PRAGMA synchronous = {mode}")

    sqlite_database._configure = configured


def no_file_sync() -> None:
    """Lets files that Python writes not be synced; those of SQLite are."""
    os.fsync = lambda fd: None


def no_folder_sync() -> None:
    for module in (atomic_files, blobs):
        module.sync_folder = lambda _folder: None  # type: ignore[attr-defined]


FAULTS: dict[str, Callable[[], None]] = {
    "synchronous_off": partial(set_synchronous, "OFF"),
    "synchronous_normal": partial(set_synchronous, "NORMAL"),
    "no_file_sync": no_file_sync,
    "no_folder_sync": no_folder_sync,
}


def main() -> None:
    marks, config = Path(sys.argv[1]), Path(sys.argv[sys.argv.index("-c") + 1])
    descriptor = os.open(marks, os.O_WRONLY | os.O_CREAT, 0o600)

    def mark(line: str) -> None:
        os.write(descriptor, f"{line}\n".encode())

    def on_commit_point(point: str) -> None:
        if point.startswith("after:"):
            mark("commit")

    shorten_retention(KEPT_SECONDS, KEPT_SECONDS)
    storage_maintenance.SIZE_CHECK_INTERVAL_SECONDS = CHECK_SECONDS
    journal_retention.MIN_FREE_PAGES = MIN_FREE_PAGES
    loaded = load(config, {}, BACKENDS)
    assert loaded.settings.storage.path is not None
    mark_files(mark, loaded.settings.storage.path)
    if fault := os.environ.get(FAULT):
        FAULTS[fault]()
    logs.configure(level="warning", format="json", stream=sys.stderr, message_text=False)
    environment = RunEnvironment(env={}, on_commit_point=on_commit_point)
    asyncio.run(run(loaded, environment))


if __name__ == "__main__":
    main()
