"""A whole store in the place of another one: a crash leaves the old one or the new one, never a mixture.

The new one is gathered beside what is there. It is decided by one rename; after that whoever opens the folder
first carries it out. Only for who holds the folder's lock.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from wx2mqtt.store.files import sync_folder

GATHERING = "restore.gathering"
DECIDED = "restore.decided-"  # with the time of the decision behind it
MOVING = "restore.moving"
REPLACED = "replaced-"  # with the same time: what had been there

_PARTS = ("wx2mqtt.db*", "people.json*", ".people.json.*", "sessions", "media")
"""What a store consists of. Everything else in the folder is somebody else's (the embedded broker's, say)."""


def parts(folder: Path) -> list[Path]:
    """What of a store is there."""
    return sorted(part for pattern in _PARTS for part in folder.glob(pattern))


def gather(folder: Path) -> Path:
    """An empty folder to put the new store into."""
    gathering = folder / GATHERING
    forget(folder)
    gathering.mkdir(mode=0o700)
    return gathering


def forget(folder: Path) -> None:
    """Take away what was gathered and not decided."""
    shutil.rmtree(folder / GATHERING, ignore_errors=True)


def replace(folder: Path) -> Path | None:
    """Let what was gathered take its place; returns where the old store is now, if there was one."""
    gathering = folder / GATHERING
    for place, _, files in os.walk(gathering):
        for path in (*files, "."):
            _harden(Path(place) / path, folder)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    gathering.rename(folder / f"{DECIDED}{stamp}")
    sync_folder(folder)
    finish(folder)
    replaced = folder / f"{REPLACED}{stamp}"
    return replaced if replaced.exists() else None


def finish(folder: Path) -> None:
    """Carry out what was decided, from wherever a crash left it; forget what was not."""
    forget(folder)
    for decided in folder.glob(f"{DECIDED}*"):
        _set_aside(folder, folder / f"{REPLACED}{decided.name.removeprefix(DECIDED)}")
        decided.rename(folder / MOVING)
        sync_folder(folder)
    if (moving := folder / MOVING).is_dir():
        for part in sorted(moving.iterdir()):
            part.rename(folder / part.name)
        sync_folder(folder)
        moving.rmdir()
        sync_folder(folder)


def _set_aside(folder: Path, replaced: Path) -> None:
    old = parts(folder)
    if old:
        replaced.mkdir(mode=0o700, exist_ok=True)
        _harden(replaced, folder)
    for part in old:
        part.rename(replaced / part.name)
    if old:
        sync_folder(replaced)
        sync_folder(folder)


def _harden(path: Path, folder: Path) -> None:
    """Force it to the disk. What root restores belongs to whom the folder belongs: the service's own user."""
    handle = os.open(path, os.O_RDONLY)
    try:
        if os.geteuid() == 0:
            owner = folder.stat()
            os.fchown(handle, owner.st_uid, owner.st_gid)
        os.fsync(handle)
    finally:
        os.close(handle)
