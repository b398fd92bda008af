"""A backup as one file: tar in gzip, the head first, which says what must follow and how each file must be.

What is read may have been damaged or made by anybody: nothing lands outside of the folder, and nothing counts
before all of it was there as the head says. Blocking.

A whole store in the place of another one: a crash leaves the old one or the new one, never a mixture.

The new one is gathered beside what is there. It is decided by one rename; after that whoever opens the folder
first carries it out. Only for who holds the folder's lock.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.store.files import PRIVATE_MODE, file_error, sync_folder

FORMAT_VERSION = 1  # of the file; a newer one is refused


HEADER_NAME = "backup.json"


PROGRAM = "wx2mqtt"


_LARGEST_HEAD = 1_000_000


_PIECE = 1 << 20


_LISTED = re.compile(r"wx2mqtt\.db|people\.json|sessions/[a-z0-9_]{1,32}\.json", re.ASCII)


_MEDIA = re.compile(r"media/([0-9a-f]{2})/(\1[0-9a-f]{62})(\.[A-Za-z0-9]{1,8})?", re.ASCII)


class BadBackup(Wx2MqttError):
    """This backup cannot be restored; `word` and `facts` make the sentence (`words.say`)."""

    def __init__(self, key: str, **facts: object) -> None:
        super().__init__(key)
        self.key = key
        self.facts = facts


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveEntry:
    """A file of a backup."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveHeader:
    """What a backup says of itself. `made` is RFC 3339; `running`: the bridge ran on beside it.

    `files` are all but the media, whose names are their SHA-256.
    """

    version: str
    store: int
    stream: str
    made: str
    running: bool
    accounts: tuple[str, ...]
    media: bool
    files: Mapping[str, ArchiveEntry]


def belongs_to_store(name: str) -> bool:
    """Whether a file of this name goes into a backup; what others put into the folder does not."""
    return bool(_LISTED.fullmatch(name) or _MEDIA.fullmatch(name))


def measure_file(path: Path) -> ArchiveEntry:
    """How a file is."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return ArchiveEntry(size=file.tell(), sha256=digest.hexdigest())


def write_archive(
    out: IO[bytes], head: ArchiveHeader, files: Mapping[str, Path], media: Iterable[tuple[str, Path]]
) -> int:
    """Write a backup; returns how many files of media are in it. One that went away meanwhile is left out."""
    told = {"program": PROGRAM, "format": FORMAT_VERSION, **asdict(head)}
    written = json.dumps(told, ensure_ascii=False, indent=1).encode("utf-8", "replace")
    count = 0
    with (
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as tar,
    ):
        tar.addfile(_info(HEADER_NAME, len(written)), io.BytesIO(written))
        for name, path in files.items():
            _add(tar, name, path)
        for name, path in media:
            count += _add(tar, name, path)
    return count


def read_archive(source: IO[bytes], folder: Path, check: Callable[[ArchiveHeader], None]) -> ArchiveHeader:
    """Read a backup into an empty folder; `check` sees the head before anything is written.

    Raises `BadBackup`, `StoreFull`, `StoreError`, and what `check` raises.
    """
    with _readable(), gzip.GzipFile(fileobj=source, mode="rb") as packed:
        with tarfile.open(fileobj=packed, mode="r|") as tar:
            members = iter(tar)
            head = _head(tar, next(members, None))
            check(head)
            missing = dict(head.files)
            for member in members:
                _take(tar, member, folder, missing)
        while packed.read(_PIECE):  # the checksum of the whole comes at its end
            pass
    if missing:
        raise BadBackup("backup_incomplete", name=next(iter(missing)))
    return head


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, PRIVATE_MODE
    return info


def _add(tar: tarfile.TarFile, name: str, path: Path) -> bool:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        tar.addfile(_info(name, os.fstat(file.fileno()).st_size), file)
    return True


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
        raise BadBackup("backup_damaged") from error


def _head(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> ArchiveHeader:
    if member is None or member.name != HEADER_NAME or not member.isreg() or member.size > _LARGEST_HEAD:
        raise BadBackup("backup_none")
    try:
        told: dict[str, Any] = json.loads(_content(tar, member).read())
        if told.pop("program") != PROGRAM:
            raise BadBackup("backup_none")
        if int(told.pop("format")) > FORMAT_VERSION:
            raise BadBackup("backup_newer", version=told.get("version"))
        files = {str(name): ArchiveEntry(**entry) for name, entry in told.pop("files").items()}
        return ArchiveHeader(**{**told, "accounts": tuple(told["accounts"]), "files": files})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadBackup("backup_damaged") from error


def _take(
    tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, missing: dict[str, ArchiveEntry]
) -> None:
    """One file, if it is one that belongs into a store and is what it should be."""
    listed = missing.pop(member.name, None) if _LISTED.fullmatch(member.name) else None
    media = _MEDIA.fullmatch(member.name)
    if not member.isreg() or not (listed or media):
        raise BadBackup("backup_strange", name=member.name)
    for place in reversed(Path(member.name).parents[:-1]):
        (folder / place).mkdir(mode=0o700, exist_ok=True)
    digest = _write(_content(tar, member), folder / member.name)
    if media and digest != media[2]:
        (folder / member.name).unlink()  # its disk had damaged it before; the bridge does without
    if listed and listed != ArchiveEntry(size=member.size, sha256=digest):
        raise BadBackup("backup_damaged")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    assert content is not None  # it is a regular file
    return content


def _write(content: IO[bytes], path: Path) -> str:
    """Copy into a new file; the SHA-256 of what came."""
    digest = hashlib.sha256()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
        with os.fdopen(handle, "wb") as file:
            while piece := content.read(_PIECE):
                digest.update(piece)
                file.write(piece)
    except gzip.BadGzipFile:  # an OSError as well, but not of our file
        raise
    except FileExistsError as error:
        raise BadBackup("backup_strange", name=path.name) from error
    except OSError as error:
        raise file_error(error, path) from error
    return digest.hexdigest()


GATHERING_FOLDER = "restore.gathering"


DECIDED_PREFIX = "restore.decided-"  # with the time of the decision behind it


MOVING_FOLDER = "restore.moving"


REPLACED_PREFIX = "replaced-"  # with the same time: what had been there


_PARTS = ("wx2mqtt.db*", "people.json*", ".people.json.*", "sessions", "media")
"""What a store consists of. Everything else in the folder is somebody else's (the embedded broker's, say)."""


def store_parts(folder: Path) -> list[Path]:
    """What of a store is there."""
    return sorted(part for pattern in _PARTS for part in folder.glob(pattern))


def start_replacement(folder: Path) -> Path:
    """An empty folder to put the new store into."""
    gathering = folder / GATHERING_FOLDER
    discard_replacement(folder)
    gathering.mkdir(mode=0o700)
    return gathering


def discard_replacement(folder: Path) -> None:
    """Take away what was gathered and not decided."""
    shutil.rmtree(folder / GATHERING_FOLDER, ignore_errors=True)


def replace_store(folder: Path) -> Path | None:
    """Let what was gathered take its place; returns where the old store is now, if there was one."""
    gathering = folder / GATHERING_FOLDER
    for place, _, files in os.walk(gathering):
        for path in (*files, "."):
            _harden(Path(place) / path, folder)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    gathering.rename(folder / f"{DECIDED_PREFIX}{stamp}")
    sync_folder(folder)
    finish_replacement(folder)
    replaced = folder / f"{REPLACED_PREFIX}{stamp}"
    return replaced if replaced.exists() else None


def finish_replacement(folder: Path) -> None:
    """Carry out what was decided, from wherever a crash left it; forget what was not."""
    discard_replacement(folder)
    for decided in folder.glob(f"{DECIDED_PREFIX}*"):
        _set_aside(folder, folder / f"{REPLACED_PREFIX}{decided.name.removeprefix(DECIDED_PREFIX)}")
        decided.rename(folder / MOVING_FOLDER)
        sync_folder(folder)
    if (moving := folder / MOVING_FOLDER).is_dir():
        for part in sorted(moving.iterdir()):
            part.rename(folder / part.name)
        sync_folder(folder)
        moving.rmdir()
        sync_folder(folder)


def _set_aside(folder: Path, replaced: Path) -> None:
    old = store_parts(folder)
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
