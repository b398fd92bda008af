"""The folder of the store: which one it is, that it is ours alone, and how much room is left.

The name of a store, by which consumers see that the numbers of its messages begin anew.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from wx2mqtt.errors import StoreError, StoreLocked
from wx2mqtt.store.archive import finish_replacement
from wx2mqtt.store.files import PRIVATE_MODE, file_error

PROGRAM_NAME = "wx2mqtt"


SYSTEM_FOLDER = Path("/var/lib") / PROGRAM_NAME


LOCK_NAME = "lock"


DATABASE_NAME = "wx2mqtt.db"  # with its -wal and -shm


PEOPLE_COPY_NAME = "people.json"


SESSIONS_FOLDER = "sessions"


_OWN_ONLY = 0o700


_TRIES = 5  # `store_holder` takes the lock for a moment; that must not keep a start out


_PAUSE = 0.02  # seconds between two tries


def resolve_store_path(path: Path | None, env: Mapping[str, str]) -> tuple[Path, str]:
    """The folder of the store, and a sentence that says by which rule."""
    if path is not None:
        return path.expanduser(), f"The store is {path}, as storage.path says."
    state = env.get("STATE_DIRECTORY", "").partition(":")[0]
    if state:
        return Path(state), f"The store is {state}, as $STATE_DIRECTORY says."
    if SYSTEM_FOLDER.is_dir():
        return SYSTEM_FOLDER, f"The store is {SYSTEM_FOLDER}, since that folder exists."
    data = _data_folder(env) / PROGRAM_NAME
    return data, f"The store is {data}, in the user's data folder."


def _data_folder(env: Mapping[str, str]) -> Path:
    home = env.get("XDG_DATA_HOME", "")
    return Path(home) if home.startswith("/") else Path(env.get("HOME") or Path.home()) / ".local" / "share"


def store_holder(path: Path) -> int | None:
    """The process that has the store at `path` open, or None when nobody has."""
    try:
        handle = os.open(path / LOCK_NAME, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(handle)[0]
    else:
        return None
    finally:
        os.close(handle)


class StoreFolder:
    """An open store folder; no other process has it while this one does."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    @classmethod
    def open(cls, path: Path) -> StoreFolder:
        """Create the folder (mode 0700) where there is none, lock it, and finish a restore that was cut off.

        Raises `StoreLocked` (its message names who has it), `StoreFull`, `StoreError`.
        """
        try:
            path.mkdir(mode=_OWN_ONLY, parents=True, exist_ok=True)
            lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT, PRIVATE_MODE)
        except OSError as error:
            raise file_error(error, path) from error
        try:
            _take(lock, path)
            _ready(lock, path)
        except BaseException:
            os.close(lock)
            raise
        return cls(path, lock)

    def size_bytes(self, excluded: str = "") -> int:
        """Bytes of everything below, but for one folder in it."""
        return sum(_size(file) for file in _below(self.path, excluded))

    def free_bytes(self) -> int:
        """Bytes that this user may still write on the disk."""
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    def close(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _take(lock: int, path: Path) -> None:
    for _ in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        except OSError as error:
            raise StoreError(f"{path} cannot be locked; set storage.path to a local disk.") from error
        else:
            return _sign(lock, path)
    process, command = _holder(lock)
    raise StoreLocked(f"{path} is in use by process {process or 'unknown'} ({command}); stop it first.")


def _ready(lock: int, path: Path) -> None:
    try:
        if os.geteuid() == 0:  # a lock that root made must not keep the service's own user out
            owner = path.stat()
            os.fchown(lock, owner.st_uid, owner.st_gid)
        finish_replacement(path)
    except OSError as error:
        raise file_error(error, path) from error


def _sign(lock: int, path: Path) -> None:
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n{command}\n".encode("utf-8", "replace"), 0)
    except OSError as error:
        raise file_error(error, path) from error


def _holder(lock: int) -> tuple[int | None, str]:
    number, _, command = os.pread(lock, 4096, 0).decode("utf-8", "replace").partition("\n")
    return int(number) if number.isdigit() else None, command.strip() or "starting"


def _below(path: Path, excluded: str) -> Iterator[Path]:
    for folder, folders, names in os.walk(path):
        if Path(folder) == path and excluded in folders:
            folders.remove(excluded)
        yield from (Path(folder) / name for name in names)


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:  # went away while we looked
        return 0


_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


_LENGTH = 6


def new_stream_id() -> str:
    """A name that no store had before."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
