"""Lets the owner of a store reach it, and this program, through folders that only root may enter.

    /var/lib/private/wx2mqtt    the store of a service with `DynamicUser=`; only root may enter its parent
    /root/wx2mqtt/.venv         a program in the home of root

`make_reachable` shows these to a process of the owner, in a view of the file system that only it has. Linux.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from wx2mqtt.errors import StoreError
from wx2mqtt.values import frozen

# Flags of `unshare` and `mount`, from <sched.h> and <sys/mount.h>.
_CLONE_NEWNS = 0x00020000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_SLAVE = 2, 4, 4096, 16384, 1 << 19


@frozen
class User:
    """A user of this machine; `name` is empty for one that is in no list of users."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str = ""

    def __str__(self) -> str:
        return self.name or str(self.uid)


def user_of(entry: pwd.struct_passwd) -> User:
    """Returns a listed user with all groups."""
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return User(uid=entry.pw_uid, gid=entry.pw_gid, groups=tuple(groups), name=entry.pw_name)


def make_reachable(owner: User, folder: Path | None = None) -> None:
    """Lets the owner reach the store and this program, in a view of the file system that only we have.

    Call it as root, before `become`. Raises `StoreError`.

    systemd keeps the folder of a service with `DynamicUser=` in /var/lib/private, which lets nobody but root
    in, and the service sees its folder through a mount. So does this process. The same is done for a program
    in the home of root, since Python loads many modules only when they are needed.
    """
    store = None if folder is None else folder.resolve()
    needed = [Path(text).resolve() for text in (sys.prefix, sys.base_prefix, *sys.path) if text]
    if store is not None:
        needed.append(store)
    behind = _behind_closed_folders(owner, needed)
    if not behind:
        return
    try:
        _call("unshare", _CLONE_NEWNS)
        _mount("none", Path("/"), None, _MS_REC | _MS_SLAVE, None)
        for closed, paths in behind.items():
            with _opened(paths) as handles:
                # A link in place of the store must not show its owner what is behind the closed folder.
                if store in handles and os.fstat(handles[store]).st_uid != owner.uid:
                    del handles[store]
                _cover(closed, handles)
    except OSError as error:
        closed_folders = ", ".join(map(str, behind))
        raise StoreError(
            f"user {owner}, as whom the command goes on, may not enter {closed_folders}, and root cannot"
            f" arrange it here ({error.strerror}): install wx2mqtt where everybody may read it, such as"
            " /opt/wx2mqtt, or run the command as that user."
        ) from error


def _behind_closed_folders(owner: User, needed: Iterable[Path]) -> dict[Path, list[Path]]:
    """Returns, by folder that the owner may not enter, those of the needed folders that are behind it."""
    behind: dict[Path, list[Path]] = {}
    for path in dict.fromkeys(needed):
        closed = next((parent for parent in reversed(path.parents) if not _may_enter(owner, parent)), None)
        if closed is not None and path.is_dir():
            behind.setdefault(closed, []).append(path)
    return behind


@contextmanager
def _opened(paths: Iterable[Path]) -> Iterator[dict[Path, int]]:
    """Yields the handles of folders."""
    with ExitStack() as stack:
        handles: dict[Path, int] = {}
        for path in paths:
            handles[path] = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY)
            stack.callback(os.close, handles[path])
        yield handles


def _may_enter(user: User, folder: Path) -> bool:
    try:
        status = folder.stat()
    except OSError:  # an entry of sys.path that does not exist
        return True
    if status.st_uid == user.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid in {user.gid, *user.groups}:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _cover(closed: Path, handles: Mapping[Path, int]) -> None:
    """Replaces a folder by an empty one that everybody may enter, with only these folders in it."""
    _mount("tmpfs", closed, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755,size=1m")
    for path, handle in sorted(handles.items()):
        if path.exists():  # within one that is there already
            continue
        for parent in reversed([path, *path.parents]):
            if not parent.exists():
                parent.mkdir()
                parent.chmod(0o755)  # whatever the umask
        _mount(f"/proc/self/fd/{handle}", path, None, _MS_BIND, None)


def _mount(source: str, target: Path, kind: str | None, flags: int, data: str | None) -> None:
    texts: Sequence[bytes | None] = [
        None if text is None else os.fsencode(text) for text in (source, target, kind, data)
    ]
    _call("mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])


def _call(name: str, *arguments: object) -> None:
    """Calls a function of the C library that Python 3.11 does not have. Raises `OSError`."""
    library = ctypes.CDLL(None, use_errno=True)
    if library[name](*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
