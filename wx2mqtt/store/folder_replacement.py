"""Replaces a store in its folder, all or nothing, as a restore does. Blocking; the caller holds the lock.

    gathering = start_replacement(folder)  # the new store is written in there
    replaced = replace_store(folder)       # where the old one is now

The next process that opens the folder finishes what a crash has interrupted (`finish_replacement`):

    restore.gathering/       the new store is written here; after a crash it is discarded
    restore.decided-<time>/  one rename has decided; now the old store is moved into replaced-<time>/
    restore.moving/          the old store is out of the way; now the parts of the new one are moved out
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from wx2mqtt.store.atomic_files import PRIVATE_FOLDER_MODE, sync_folder

GATHERING_FOLDER = "restore.gathering"
DECIDED_PREFIX = "restore.decided-"
MOVING_FOLDER = "restore.moving"
REPLACED_PREFIX = "replaced-"

# The files of a store. Everything else in the folder has another owner, such as the embedded broker.
_STORE_PATTERNS = ("wx2mqtt.db*", "people.json*", ".people.json.*", "sessions", "media")


def store_parts(folder: Path) -> list[Path]:
    """Returns the files and folders of a store that exist."""
    return sorted(part for pattern in _STORE_PATTERNS for part in folder.glob(pattern))


def start_replacement(folder: Path) -> Path:
    """Returns a new empty folder for the new store."""
    gathering = folder / GATHERING_FOLDER
    discard_replacement(folder)
    gathering.mkdir(mode=PRIVATE_FOLDER_MODE)
    return gathering


def discard_replacement(folder: Path) -> None:
    """Deletes a new store that `replace_store` did not decide on."""
    shutil.rmtree(folder / GATHERING_FOLDER, ignore_errors=True)


def replace_store(folder: Path) -> Path | None:
    """Replaces the store by the new one; returns the new path of the old store, if there was one."""
    gathering = folder / GATHERING_FOLDER
    for subfolder, _, names in os.walk(gathering):
        for name in (*names, "."):
            _make_durable(Path(subfolder) / name)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    gathering.rename(folder / f"{DECIDED_PREFIX}{stamp}")
    sync_folder(folder)
    finish_replacement(folder)
    replaced = folder / f"{REPLACED_PREFIX}{stamp}"
    return replaced if replaced.exists() else None


def finish_replacement(folder: Path) -> None:
    """Finishes a replacement that was decided, wherever a crash interrupted it; discards others."""
    discard_replacement(folder)
    for decided in filter(_is_own_folder, folder.glob(f"{DECIDED_PREFIX}*")):
        _move_old_store(folder, folder / f"{REPLACED_PREFIX}{decided.name.removeprefix(DECIDED_PREFIX)}")
        decided.rename(folder / MOVING_FOLDER)
        sync_folder(folder)
    moving = folder / MOVING_FOLDER
    if _is_own_folder(moving):
        for part in sorted(moving.iterdir()):
            part.rename(folder / part.name)
        sync_folder(folder)
        moving.rmdir()
        sync_folder(folder)


def _move_old_store(folder: Path, replaced: Path) -> None:
    old_parts = store_parts(folder)
    if not old_parts:
        return
    if not _is_own_folder(replaced):  # a crash may have left it
        replaced.mkdir(mode=PRIVATE_FOLDER_MODE)
    _make_durable(replaced)
    for part in old_parts:
        part.rename(replaced / part.name)
    sync_folder(replaced)
    sync_folder(folder)


def _make_durable(path: Path) -> None:
    """Forces a file or folder to the disk. Follows no link."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_own_folder(path: Path) -> bool:
    """Returns whether this is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()
