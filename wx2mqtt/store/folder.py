"""The folder of the store: where it is, the lock that keeps other processes out, and its size. Blocking.

path, sentence = resolve_store_path(settings.storage.path, os.environ)
folder = StoreFolder.open(path)  # nobody else opens it before `close`
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import stat
import string
import sys
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

from wx2mqtt.errors import StoreError, StoreLocked
from wx2mqtt.store.atomic_files import file_errors, make_folder, open_regular
from wx2mqtt.store.folder_replacement import finish_replacement

PROGRAM_NAME = "wx2mqtt"
SYSTEM_FOLDER = Path("/var/lib") / PROGRAM_NAME
SYSTEM_CONFIG_FOLDER = Path("/etc") / PROGRAM_NAME  # where it is, the bridge is a service of this machine

LOCK_NAME = "lock"
DATABASE_NAME = "wx2mqtt.db"  # with its -wal and -shm
PEOPLE_FILE_NAME = "people.json"
SEARCH_INDEX_NAME = "search.db"  # with its -wal and -shm; it is made again where it is missing
SESSIONS_FOLDER = "sessions"

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
    if may_be_folder(SYSTEM_FOLDER):
        return SYSTEM_FOLDER, f"The store is {SYSTEM_FOLDER}, since that folder exists."
    if os.geteuid() == 0 and SYSTEM_CONFIG_FOLDER.is_dir():
        return SYSTEM_FOLDER, f"The store is {SYSTEM_FOLDER}, since {SYSTEM_CONFIG_FOLDER} exists."
    data = data_folder(env)
    return data, f"The store is {data}, in the user's data folder."


def may_be_folder(path: Path) -> bool:
    """Returns whether this is a folder, or is where this user may not look: whoever opens it is told so."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except PermissionError:
        return True
    except OSError:
        return False


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
    if not os.path.isfile(database):  # noqa: PTH113 - Path.is_file raises where the folder may not be entered
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
