"""The folder of the store: where it is, the lock that keeps other processes out, its size, its replacement.

A restore replaces a store all or nothing, and the next process that opens the folder finishes what a crash
interrupted:

    restore.gathering/       the new store is written here; after a crash it is discarded
    restore.decided-<time>/  one rename has decided; now the old store is moved into replaced-<time>/
    restore.moving/          the old store is out of the way; now the parts of the new one are moved out

All of this blocks.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import sqlite3
import string
import sys
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from wx2mqtt.errors import StoreError, StoreLocked
from wx2mqtt.store.atomic_files import (
    PRIVATE_FOLDER_MODE,
    file_errors,
    make_folder,
    open_regular,
    sync_folder,
)

PROGRAM_NAME = "wx2mqtt"
SYSTEM_FOLDER = Path("/var/lib") / PROGRAM_NAME
SYSTEM_CONFIG_FOLDER = Path("/etc") / PROGRAM_NAME  # where it is, the bridge is a service of this machine

LOCK_NAME = "lock"
DATABASE_NAME = "wx2mqtt.db"  # with its -wal and -shm
PEOPLE_FILE_NAME = "people.json"
SEARCH_INDEX_NAME = "search.db"  # with its -wal and -shm; it is made again where it is missing
SESSIONS_FOLDER = "sessions"

GATHERING_FOLDER = "restore.gathering"
DECIDED_PREFIX = "restore.decided-"
MOVING_FOLDER = "restore.moving"
REPLACED_PREFIX = "replaced-"

# The files of a store. Everything else in the folder has another owner, such as the embedded broker.
_STORE_PATTERNS = ("wx2mqtt.db*", "people.json*", ".people.json.*", "sessions", "media")

_URGENT_ACCOUNTS = "SELECT DISTINCT account FROM command WHERE json_extract(command, '$.urgent')"

# A command may hold the lock for a moment; that must not fail a start.
_MAX_LOCK_ATTEMPTS = 5
_LOCK_PAUSE_SECONDS = 0.02
_MAX_LOCK_FILE_BYTES = 4096
_STREAM_ID_CHARACTERS = string.ascii_lowercase + string.digits
_STREAM_ID_LENGTH = 6


def resolve_store_path(path: Path | None, env: Mapping[str, str]) -> tuple[Path, str]:
    """Returns the folder of the store, and a sentence that says which rule chose it."""
    if path is not None:
        return path.expanduser(), f"The store is {path}, as storage.path says."
    state = env.get("STATE_DIRECTORY", "").partition(":")[0]
    if state:
        return Path(state), f"The store is {state}, as $STATE_DIRECTORY says."
    if SYSTEM_FOLDER.is_dir():
        return SYSTEM_FOLDER, f"The store is {SYSTEM_FOLDER}, since that folder exists."
    if os.geteuid() == 0 and SYSTEM_CONFIG_FOLDER.is_dir():
        return SYSTEM_FOLDER, f"The store is {SYSTEM_FOLDER}, since {SYSTEM_CONFIG_FOLDER} exists."
    data = data_folder(env)
    return data, f"The store is {data}, in the user's data folder."


def data_folder(env: Mapping[str, str]) -> Path:
    """Returns the folder of a store that is for one user of this machine, and not for a service."""
    home = env.get("XDG_DATA_HOME", "")
    base = Path(home) if home.startswith("/") else Path(env.get("HOME") or Path.home()) / ".local" / "share"
    return base / PROGRAM_NAME


def accounts_with_urgent_commands(folder: Path) -> frozenset[str]:
    """Returns the accounts to which urgent commands were given lately; empty if the store cannot be read.

    A bridge may have it open; nothing is written.
    """
    database = folder / DATABASE_NAME
    if not database.is_file():
        return frozenset()
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            return frozenset(name for (name,) in connection.execute(_URGENT_ACCOUNTS))
    except sqlite3.Error:
        return frozenset()


def new_stream_id() -> str:
    """Returns a random id for a store. A new id tells consumers that the seq of messages starts again."""
    return "".join(secrets.choice(_STREAM_ID_CHARACTERS) for _ in range(_STREAM_ID_LENGTH))


class StoreFolder:
    """An open store folder, locked against other processes."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    @classmethod
    def open(cls, path: Path) -> StoreFolder:
        """Creates the folder (mode 0700) if needed, locks it, and finishes a restore that was interrupted.

        Raises `StoreLocked` (the message names the process), `StoreFull`, `StoreError`.
        """
        with file_errors(path):
            make_folder(path)
            lock = open_regular(path / LOCK_NAME, os.O_RDWR | os.O_CREAT)
            try:
                _acquire(lock, path)
                finish_replacement(path)
            except BaseException:
                os.close(lock)
                raise
        return cls(path, lock)

    def size_bytes(self, excluded: str = "") -> int:
        """Returns the size of all files in the folder, without the subfolder `excluded`."""
        size = 0
        for folder, subfolders, names in os.walk(self.path):
            if Path(folder) == self.path and excluded in subfolders:
                subfolders.remove(excluded)
            for name in names:
                with suppress(OSError):  # deleted meanwhile
                    size += (Path(folder) / name).lstat().st_size
        return size

    def free_bytes(self) -> int:
        """Returns the space on the disk that this user may still use."""
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _acquire(lock: int, path: Path) -> None:
    """Locks the file, and writes into it who has the lock."""
    for _ in range(_MAX_LOCK_ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_SECONDS)
        except OSError as error:
            raise StoreError(f"{path} cannot be locked; set storage.path to a local disk.") from error
        else:
            command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n{command}\n".encode("utf-8", "replace"), 0)
            return
    process, _, command = os.pread(lock, _MAX_LOCK_FILE_BYTES, 0).decode("utf-8", "replace").partition("\n")
    holder = f"process {process if process.isdigit() else 'unknown'} ({command.strip() or 'starting'})"
    raise StoreLocked(f"{path} is in use by {holder}; stop it first.")


# The replacement of a store; the caller holds the lock


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
