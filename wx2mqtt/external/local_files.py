"""Files by path: only below the folders that the owner named, and only regular ones.

What is checked is what is read: a path is resolved once, then walked down folder by folder without following
a link, and the file that is open is looked at. Whoever swaps a part of it meanwhile gets a refusal.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from wx2mqtt.aio import run_in_daemon_thread
from wx2mqtt.errors import BadCommand
from wx2mqtt.external.http import DeclaredSizeTooLarge

READ_CHUNK_BYTES = 256 * 1024

_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
# Not blocking: a pipe without a writer, or a device, would hold the thread for ever.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC

_SORTS = (
    (stat.S_ISDIR, "path_folder"),
    (stat.S_ISFIFO, "path_pipe"),
    (stat.S_ISSOCK, "path_socket"),
    (stat.S_ISCHR, "path_device"),
    (stat.S_ISBLK, "path_device"),
    (stat.S_ISLNK, "path_changed"),  # the path was resolved: a link has come since
)


async def read_file(path: str, folders: Sequence[Path], limit: int) -> AsyncGenerator[bytes, None]:
    """The bytes of a file, in pieces. Raises `BadCommand` with `bad_file`, `not_allowed` or `bad_command`.

    And `DeclaredSizeTooLarge` for what has more than `limit` bytes when it is opened; it may grow.
    """
    descriptor = await _opened(path, folders)
    try:
        if os.fstat(descriptor).st_size > limit:
            raise DeclaredSizeTooLarge
        while piece := await run_in_daemon_thread(lambda: os.read(descriptor, READ_CHUNK_BYTES)):
            yield piece
    except OSError as error:
        raise _unreadable(error, path) from None
    finally:
        os.close(descriptor)


async def _opened(path: str, folders: Sequence[Path]) -> int:
    opened: list[int] = []

    def work() -> int:
        opened.append(open_file(path, folders))
        return opened[0]

    def undo() -> None:
        for one in opened:
            os.close(one)

    return await run_in_daemon_thread(work, undo)


def open_file(path: str, folders: Sequence[Path]) -> int:
    """A descriptor of a regular file below one of these folders. Blocks. Raises as `read_file`."""
    if not folders:
        raise BadCommand("not_allowed", "path_no_folder")
    if not path.startswith("/") or "\0" in path:
        raise BadCommand("bad_command", "path_relative")
    try:
        real = os.path.realpath(path)
        roots = [os.path.realpath(folder) for folder in folders]
        for root in roots:
            if real == root or real.startswith(f"{root.rstrip('/')}/"):
                return _open_below(root, real[len(root) :].strip("/"), path)
    except OSError as error:
        raise _unreadable(error, path) from None
    raise BadCommand("not_allowed", "path_outside", path=path)


def _open_below(root: str, inside: str, path: str) -> int:
    *folders, name = inside.split("/")
    here = os.open(root, _FOLDER)
    try:
        for folder in folders:
            here, above = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=here), here
            os.close(above)
        return _open_regular(name or ".", here, path)
    finally:
        os.close(here)


def _open_regular(name: str, folder: int, path: str) -> int:
    # Looked at before it is opened too: opening a device may do something.
    _must_be_regular(os.stat(name, dir_fd=folder, follow_symlinks=False), path)
    descriptor = os.open(name, _FILE, dir_fd=folder)
    try:
        _must_be_regular(os.fstat(descriptor), path)
    except BadCommand:
        os.close(descriptor)
        raise
    return descriptor


def _must_be_regular(status: os.stat_result, path: str) -> None:
    for is_one, word in _SORTS:
        if is_one(status.st_mode):
            raise BadCommand("bad_file", word, path=path)


def _unreadable(error: OSError, path: str) -> BadCommand:
    match error.errno:
        case errno.ENOENT:
            return BadCommand("bad_file", "path_missing", path=path)
        case errno.EACCES | errno.EPERM:
            return BadCommand("bad_file", "path_forbidden", path=path)
        case errno.ELOOP | errno.ENOTDIR:
            return BadCommand("bad_file", "path_changed", path=path)
    return BadCommand("bad_file", "path_unreadable", path=path, problem=error.strerror)
