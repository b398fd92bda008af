"""Backs up, restores or purges a store, and kills itself at one of its steps.

A step is a call that changes the disk, or the moment before or after a commit. With step 0 the process
finishes its work, and writes the number of its steps to a file.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wx2mqtt.aio import Signal
from wx2mqtt.app.operations import PurgeOperations
from wx2mqtt.app.stores import Stores
from wx2mqtt.clock import ENDLESS_LEASE
from wx2mqtt.store import atomic_files
from wx2mqtt.store.atomic_files import atomic_writer
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.folder import DATABASE_NAME, PEOPLE_FILE_NAME, SESSIONS_FOLDER, StoreFolder
from wx2mqtt.store.folder_backup import create_backup, restore_store
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.people_file import PeopleFile
from wx2mqtt.store.saved_logins import SavedLoginFolder
from wx2mqtt.store.search_index import SearchIndex
from wx2mqtt.store.sqlite_database import SqliteDatabase


class Steps:
    """Counts the steps, and kills this process at the wanted one."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.count = 0

    def __call__(self, *_: object) -> None:
        self.count += 1
        if self.count == self.wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function that counts a step and then does the same work."""

        def call_with_step(*arguments: Any, **named: Any) -> Any:
            self()
            return work(*arguments, **named)

        return call_with_step


def count_disk_calls(steps: Steps) -> None:
    """Lets every call that changes the disk count as a step."""
    for name in ("rename", "replace", "unlink", "mkdir", "rmdir"):
        setattr(os, name, steps.around(getattr(os, name)))
    os.fsync = steps.around(os.fsync)
    for name in ("rename", "replace", "unlink", "mkdir", "rmdir"):
        setattr(Path, name, steps.around(getattr(Path, name)))
    atomic_files.sync_folder = steps.around(atomic_files.sync_folder)


async def purge(path: Path, steps: Steps) -> None:
    """Purges the account `gone`."""
    folder = StoreFolder.open(path)
    database = await SqliteDatabase.open(path / DATABASE_NAME, steps)
    blobs = Blobs(path)
    await blobs.open()
    count_disk_calls(steps)
    stores = Stores(
        folder=folder,
        database=database,
        blobs=blobs,
        saved_logins=SavedLoginFolder(path / SESSIONS_FOLDER),
        lost=Signal(),
        lease=ENDLESS_LEASE,
        people_file=PeopleFile(database, path / PEOPLE_FILE_NAME),
        search_index=SearchIndex(database, path / "search.db"),
    )
    purging = PurgeOperations(stores, MediaRetention(database, blobs), {"home": "wx"})
    await purging.purge({"account": "gone"})
    await database.close()
    folder.close()


def main(work: str, folder: Path, step: int, file: Path, count_file: Path) -> None:
    """Does the work; runs in a process of its own."""
    steps = Steps(step)
    match work:
        case "purge":
            asyncio.run(purge(folder, steps))
        case "backup":
            count_disk_calls(steps)
            with atomic_writer(file) as out:
                create_backup(folder, out, file.parent, media=True)
        case "restore":
            count_disk_calls(steps)
            with file.open("rb") as source:
                restore_store(folder, source, force=True)
    count_file.write_text(str(steps.count))
