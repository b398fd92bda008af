"""Reads files by path: only regular ones, and only below the folders that the configuration allows.

A path is resolved once, then opened folder by folder without following links, and the open file is checked.
So whoever replaces a part of the path meanwhile by a link gets an error, not another file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from wx2mqtt.aio import run_in_daemon_thread
from wx2mqtt.errors import BadCommand, DeclaredSizeTooLarge

READ_CHUNK_BYTES = 256 * 1024
# Linux opens no longer path. To resolve one takes a time that grows with the square of its length.
MAX_PATH_BYTES = 4096

_FOLDER_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: a pipe without a writer, or a device, would block the thread for ever.
_FILE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC

_MESSAGE_KEY_BY_TYPE = {
    stat.S_IFDIR: "path_folder",
    stat.S_IFIFO: "path_pipe",
    stat.S_IFSOCK: "path_socket",
    stat.S_IFCHR: "path_device",
    stat.S_IFBLK: "path_device",
    stat.S_IFLNK: "path_changed",  # the path was resolved before: somebody has made a link since
}


async def read_file(path: str, folders: Sequence[Path], limit: int) -> AsyncGenerator[bytes, None]:
    """Yields the bytes of a file. Raises BadCommand with `bad_file`, `not_allowed` or `bad_command`.

    Raises DeclaredSizeTooLarge if the file has more than `limit` bytes when it is opened; it may grow later.
    """
    descriptor = await run_in_daemon_thread(lambda: open_file(path, folders), undo=os.close)
    try:
        if os.fstat(descriptor).st_size > limit:
            raise DeclaredSizeTooLarge
        while piece := await run_in_daemon_thread(lambda: os.read(descriptor, READ_CHUNK_BYTES)):
            yield piece
    except OSError as error:
        raise _os_error(error, path) from None
    finally:
        os.close(descriptor)


def open_file(path: str, folders: Sequence[Path]) -> int:
    """Returns a descriptor of a regular file below one of `folders`. Blocks. Raises BadCommand."""
    if not folders:
        raise BadCommand("not_allowed", "path_no_folder")
    if not path.startswith("/") or "\0" in path:
        raise BadCommand("bad_command", "path_relative")
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise BadCommand(
            "bad_file", "path_unreadable", path=path[:MAX_PATH_BYTES], problem="File name too long"
        )
    try:
        real_path = os.path.realpath(path)
        roots = [os.path.realpath(folder) for folder in folders]
        for root in roots:
            if real_path == root or real_path.startswith(f"{root.rstrip('/')}/"):
                return _open_below(root, real_path[len(root) :].strip("/"), path)
    except OSError as error:
        raise _os_error(error, path) from None
    raise BadCommand("not_allowed", "path_outside", path=path)


def _open_below(root: str, relative_path: str, path: str) -> int:
    *folders, name = relative_path.split("/")
    parent = os.open(root, _FOLDER_FLAGS)
    try:
        for folder in folders:
            child = os.open(folder, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
            os.close(parent)
            parent = child
        return _open_regular(name or ".", parent, path)
    finally:
        os.close(parent)


def _open_regular(name: str, folder: int, path: str) -> int:
    # Checked before it is opened, too: to open a device may have an effect.
    _check_regular(os.stat(name, dir_fd=folder, follow_symlinks=False), path)
    descriptor = os.open(name, _FILE_FLAGS, dir_fd=folder)
    try:
        _check_regular(os.fstat(descriptor), path)
    except BadCommand:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(status: os.stat_result, path: str) -> None:
    message_key = _MESSAGE_KEY_BY_TYPE.get(stat.S_IFMT(status.st_mode))
    if message_key is not None:
        raise BadCommand("bad_file", message_key, path=path)


def _os_error(error: OSError, path: str) -> BadCommand:
    match error.errno:
        case errno.ENOENT:
            return BadCommand("bad_file", "path_missing", path=path)
        case errno.EACCES | errno.EPERM:
            return BadCommand("bad_file", "path_forbidden", path=path)
        case errno.ELOOP | errno.ENOTDIR:
            return BadCommand("bad_file", "path_changed", path=path)
    return BadCommand("bad_file", "path_unreadable", path=path, problem=error.strerror)
