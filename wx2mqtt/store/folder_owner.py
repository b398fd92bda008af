"""Whose store a folder is, and how a command of root becomes that user.

`sudo wx2mqtt backup` works in a folder of the service's user, who may put links, FIFOs and other folders into
it at any moment. Root would follow them. So a command that is root does there no more than the owner can:

    become_owner(folder)                 this process is the owner from now on, before it opens anything there
    run_as_owner(folder, work, report)   a process of the owner does one step, and this one stays root
    create_for_service(folder, name)     a new folder is the service's from the beginning

Where nobody but root owns the folder and the way to it, nothing changes.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import stat
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from wx2mqtt.errors import StoreError, Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.store.folder_replacement import store_parts
from wx2mqtt.store.owner_access import User, make_reachable, user_of

ROOT = 0

# The ids of users and groups that systemd makes for `DynamicUser=`.
DYNAMIC_IDS = range(61_184, 65_520)

# Symbolic links that are followed on the way to a folder, as many as the kernel follows.
_MAX_LINKS = 40

# Of the answer of the other process, which is JSON.
_MAX_ANSWER_BYTES = 65_536

# The exit code of a process without a better one.
_FAILED = 1


def become_owner(folder: Path) -> User | None:
    """Makes this process the owner of a store, if it is root and the store is somebody else's.

    Returns that user; None where nothing had to change. Raises `StoreError`; then the process is root still.
    """
    if os.geteuid() != ROOT:
        return None
    owner = find_owner(folder)
    if owner is not None:
        make_reachable(owner, folder)
        become(owner)
    return owner


def become(user: User) -> None:
    """Gives up root for good, in all threads. Needs root."""
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)


def run_as_owner(folder: Path, work: Callable[[], Json], report_error: Callable[[Wx2MqttError], int]) -> Json:
    """Returns what `work` returns, which runs in a process of the owner where the store is somebody else's.

    There `report_error` writes an error to the terminal and returns the exit code, and this process raises
    `SystemExit` with it. Otherwise raises what `work` raises, and `StoreError` as `find_owner`.
    """
    if os.geteuid() != ROOT or find_owner(folder) is None:
        return work()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _answer(folder, work, report_error, writer)
    os.close(writer)
    return _await_answer(child, reader)


def _answer(
    folder: Path, work: Callable[[], Json], report_error: Callable[[Wx2MqttError], int], writer: int
) -> None:
    """Does the work and ends this process: nothing else of the command may be done twice."""
    code = _FAILED
    try:
        become_owner(folder)
        os.write(writer, json.dumps(work()).encode())
        code = 0
    except Wx2MqttError as error:
        code = report_error(error)
    except SystemExit as ended:  # by a signal
        code = ended.code if isinstance(ended.code, int) else _FAILED
    except BaseException as error:  # noqa: BLE001 - a bug ends this process, and the other one by the exit code
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _await_answer(child: int, reader: int) -> Json:
    """Waits for the end of the process, which ends with this one."""
    try:
        with os.fdopen(reader, "rb") as pipe:
            answer = pipe.read(_MAX_ANSWER_BYTES)
        _, status = os.waitpid(child, 0)
    except BaseException:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise SystemExit(code if code > 0 else _FAILED)
    result: Json = json.loads(answer)
    return result


def find_owner(folder: Path) -> User | None:
    """Returns who may change a folder or the way to it, beside root; None if nobody else may.

    The folder need not exist. Where its way is root's alone, the files of the store count: a group may have
    made them. Raises `StoreError` if two users may: each could set a trap for the other.
    """
    status = _other_user(_walk(folder)) or _other_user(_parts(folder))
    if status is None:
        return None
    try:
        return user_of(pwd.getpwuid(status.st_uid))
    except KeyError:  # in no list of users
        gid = status.st_gid or status.st_uid  # never the group of root
        return User(uid=status.st_uid, gid=gid, groups=(gid,))


def _parts(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Returns the files and folders of a store with their status."""
    parts: list[tuple[Path, os.stat_result]] = []
    for path in store_parts(folder):
        with suppress(OSError):  # deleted meanwhile
            parts.append((path, path.lstat()))
    return parts


def _other_user(steps: Iterable[tuple[Path, os.stat_result]]) -> os.stat_result | None:
    """Returns the status of the first owner that is not root. Raises `StoreError` if there are two owners."""
    owner: os.stat_result | None = None
    for path, status in steps:
        if status.st_uid == ROOT:
            continue
        if owner is not None and status.st_uid != owner.st_uid:
            raise StoreError(
                f"{path} belongs to user {status.st_uid}, and the way to user {owner.st_uid}: root works"
                " on a store of one user only; run the command as the user of the service, with sudo -u."
            )
        owner = owner or status
    return owner


def _walk(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Returns every folder and link on the way, links resolved, as far as it exists."""
    # The names that are still to be followed, the next one last.
    pending = list(reversed(folder.absolute().parts[1:]))
    # The folders from the root to where the walk is.
    way = [Path("/")]
    steps: list[tuple[Path, os.stat_result]] = []
    link_count = 0
    while pending:
        name = pending.pop()
        if name == "..":
            way = way[:-1] or way
            continue
        path = way[-1] / name
        try:
            status = path.lstat()
        except OSError:
            break
        steps.append((path, status))
        if not stat.S_ISLNK(status.st_mode):
            way.append(path)
            continue
        link_count += 1
        if link_count > _MAX_LINKS:
            raise StoreError(f"{folder} cannot be used: there is a loop of symbolic links; remove it.")
        target = path.readlink()
        if target.is_absolute():
            way = [Path("/")]
        pending += reversed([part for part in target.parts if part != "/"])
    return steps


def create_for_service(folder: Path, name: str) -> None:
    """Creates the missing folder of the service, if this is root and the service has a listed user.

    Without such a user the folder begins as root's, and systemd gives it to the service. Raises `StoreError`.
    """
    user = listed_user(name)
    if os.geteuid() != ROOT or user is None or folder.exists():
        return
    try:
        folder.mkdir(mode=0o700)
        os.chown(folder, user.uid, user.gid)
    except OSError as error:
        raise StoreError(f"{folder} cannot be created: {error.strerror}.") from error


def listed_user(name: str) -> User | None:
    """Returns a user by name; None for one that systemd has made, who is another one later."""
    try:
        user = user_of(pwd.getpwnam(name))
    except KeyError:
        return None
    return None if user.uid in DYNAMIC_IDS else user
