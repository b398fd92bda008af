"""A backup as one file: tar in gzip, the head first, which says what must follow and how each file must be.

What is read may have been damaged or made by anybody: nothing lands outside of the folder, and nothing counts
before all of it was there as the head says. Blocking.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.store.faults import file_trouble
from wx2mqtt.store.files import PRIVATE

FORMAT = 1  # of the file; a newer one is refused
HEAD = "backup.json"
PROGRAM = "wx2mqtt"
_LARGEST_HEAD = 1_000_000
_PIECE = 1 << 20
_LISTED = re.compile(r"wx2mqtt\.db|people\.json|sessions/[a-z0-9_]{1,32}\.json", re.ASCII)
_MEDIA = re.compile(r"media/([0-9a-f]{2})/(\1[0-9a-f]{62})(\.[A-Za-z0-9]{1,8})?", re.ASCII)


class BadBackup(Wx2MqttError):
    """This backup cannot be restored; `word` and `facts` make the sentence (`words.say`)."""

    def __init__(self, word: str, **facts: object) -> None:
        super().__init__(word)
        self.word = word
        self.facts = facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of a backup."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
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
    files: Mapping[str, Entry]


def belongs(name: str) -> bool:
    """Whether a file of this name goes into a backup; what others put into the folder does not."""
    return bool(_LISTED.fullmatch(name) or _MEDIA.fullmatch(name))


def measured(path: Path) -> Entry:
    """How a file is."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Entry(size=file.tell(), sha256=digest.hexdigest())


def pack(out: IO[bytes], head: Head, files: Mapping[str, Path], media: Iterable[tuple[str, Path]]) -> int:
    """Write a backup; returns how many files of media are in it. One that went away meanwhile is left out."""
    told = {"program": PROGRAM, "format": FORMAT, **asdict(head)}
    written = json.dumps(told, ensure_ascii=False, indent=1).encode("utf-8", "replace")
    count = 0
    with (
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as tar,
    ):
        tar.addfile(_info(HEAD, len(written)), io.BytesIO(written))
        for name, path in files.items():
            _add(tar, name, path)
        for name, path in media:
            count += _add(tar, name, path)
    return count


def unpack(source: IO[bytes], folder: Path, check: Callable[[Head], None]) -> Head:
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
    info.size, info.mode = size, PRIVATE
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


def _head(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> Head:
    if member is None or member.name != HEAD or not member.isreg() or member.size > _LARGEST_HEAD:
        raise BadBackup("backup_none")
    try:
        told: dict[str, Any] = json.loads(_content(tar, member).read())
        if told.pop("program") != PROGRAM:
            raise BadBackup("backup_none")
        if int(told.pop("format")) > FORMAT:
            raise BadBackup("backup_newer", version=told.get("version"))
        files = {str(name): Entry(**entry) for name, entry in told.pop("files").items()}
        return Head(**{**told, "accounts": tuple(told["accounts"]), "files": files})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadBackup("backup_damaged") from error


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, missing: dict[str, Entry]) -> None:
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
    if listed and listed != Entry(size=member.size, sha256=digest):
        raise BadBackup("backup_damaged")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    assert content is not None  # it is a regular file
    return content


def _write(content: IO[bytes], path: Path) -> str:
    """Copy into a new file; the SHA-256 of what came."""
    digest = hashlib.sha256()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(handle, "wb") as file:
            while piece := content.read(_PIECE):
                digest.update(piece)
                file.write(piece)
    except gzip.BadGzipFile:  # an OSError as well, but not of our file
        raise
    except FileExistsError as error:
        raise BadBackup("backup_strange", name=path.name) from error
    except OSError as error:
        raise file_trouble(error, path) from error
    return digest.hexdigest()
