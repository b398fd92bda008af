"""A backup as one file. Blocking.

A backup is a gzipped tar:

    backup.json           the header, which lists the next files with size and SHA-256
    wx2mqtt.db
    people.json           if there is one
    sessions/home.json    the saved login of an account
    media/9f/9f86d0….jpg  media, whose names contain their SHA-256

It may be damaged or forged: nothing is written outside of the target folder, and nothing is used before all
of it was read and checked.
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
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, TypeVar

from wx2mqtt.bounded_json import load_json
from wx2mqtt.errors import BadBackup
from wx2mqtt.limits import BACKUP_HEAD_JSON, MAX_UNPACKED_RATIO, MIN_UNPACKED_BYTES
from wx2mqtt.store.atomic_files import (
    PRIVATE_FOLDER_MODE,
    PRIVATE_MODE,
    file_error,
    open_to_read,
    sha256_in_media_name,
)
from wx2mqtt.values import frozen

PROGRAM = "wx2mqtt"
FORMAT_VERSION = 1  # of the archive; a newer one is refused
HEADER_NAME = "backup.json"

T = TypeVar("T")

# Characters that an error shows of the name of a file that does not belong into a backup.
_MAX_SHOWN_CHARACTERS = 100
_CHUNK_BYTES = 1024 * 1024
_LISTED_NAME = re.compile(r"wx2mqtt\.db|people\.json|sessions/[a-z0-9_]{1,32}\.json", re.ASCII)
_ACCOUNT_NAME = re.compile(r"[a-z0-9_]{1,32}", re.ASCII)
_SHORT_WORD = re.compile(r"[\w.:+-]{0,64}", re.ASCII)  # a version, a stream id, a time
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@frozen
class ArchiveEntry:
    size: int
    sha256: str


@frozen
class ArchiveHeader:
    """The header of a backup."""

    #: Of wx2mqtt.
    version: str
    #: The version of the database.
    store: int
    stream: str
    #: When it was made (RFC 3339).
    made: str
    #: The bridge ran while it was made.
    running: bool
    accounts: tuple[str, ...]
    #: All media are included, not only those that commands have still to send.
    media: bool
    #: All files but the media, whose names contain their SHA-256.
    files: Mapping[str, ArchiveEntry]


def belongs_to_store(name: str) -> bool:
    """Returns whether a file of this name goes into a backup; other files in the folder do not."""
    return bool(_LISTED_NAME.fullmatch(name) or sha256_in_media_name(name))


def measure_file(path: Path) -> ArchiveEntry:
    """Returns size and SHA-256 of a file."""
    with open_to_read(path) as file:
        digest = hashlib.file_digest(file, "sha256")
        return ArchiveEntry(size=file.tell(), sha256=digest.hexdigest())


def write_archive(
    out: IO[bytes], head: ArchiveHeader, files: Mapping[str, Path], media: Iterable[tuple[str, Path]]
) -> int:
    """Writes a backup; returns how many media files are in it. Files that vanish meanwhile are left out."""
    fields = {"program": PROGRAM, "format": FORMAT_VERSION, **asdict(head)}
    header = json.dumps(fields, ensure_ascii=False, indent=1).encode("utf-8", "replace")
    count = 0
    with (
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as tar,
    ):
        tar.addfile(_tar_info(HEADER_NAME, len(header)), io.BytesIO(header))
        for name, path in files.items():
            _add_file(tar, name, path)
        for name, path in media:
            if _add_file(tar, name, path):
                count += 1
    return count


def _tar_info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = PRIVATE_MODE
    return info


def _add_file(tar: tarfile.TarFile, name: str, path: Path) -> bool:
    """Adds a file; returns False if it has vanished."""
    try:
        file = open_to_read(path)
    except FileNotFoundError:
        return False
    with file:
        tar.addfile(_tar_info(name, os.fstat(file.fileno()).st_size), file)
    return True


def read_archive(source: IO[bytes], folder: Path, check: Callable[[ArchiveHeader], None]) -> ArchiveHeader:
    """Reads a backup into an empty folder; `check` gets the header before any file is written.

    Raises `BadBackup`, `StoreFull`, `StoreError`, and what `check` raises.
    """
    packed = _CountedReader(source)
    try:
        with gzip.GzipFile(fileobj=packed, mode="rb") as unpacked:
            stream = _BoundedReader(unpacked, packed)
            members = _read_members(stream)
            head = _read_header(next(members, None))
            check(head)
            missing = dict(head.files)
            for member in members:
                _extract(member, folder, missing)
            while stream.read(_CHUNK_BYTES):  # gzip checks its checksum at the end
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
        raise BadBackup("backup_damaged") from error
    if missing:
        raise BadBackup("backup_incomplete", name=next(iter(missing)))
    return head


class _CountedReader(io.RawIOBase):
    """Reads from a stream that cannot be searched, and counts the bytes."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.count += len(data)
        return data


class _BoundedReader(io.RawIOBase):
    """Reads what is unpacked; raises `BadBackup` when that is far more than a store can be."""

    def __init__(self, unpacked: IO[bytes] | gzip.GzipFile, packed: _CountedReader) -> None:
        self._unpacked = unpacked
        self._packed = packed
        self._count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._unpacked.read(size)
        self._count += len(data)
        if self._count > max(MIN_UNPACKED_BYTES, MAX_UNPACKED_RATIO * self._packed.count):
            raise BadBackup("backup_unpacks_too_large", ratio=MAX_UNPACKED_RATIO)
        return data


class _Member:
    """A member of a tar. Its content is read once, before the next member."""

    def __init__(self, info: tarfile.TarInfo, stream: _BoundedReader) -> None:
        self.name = info.name
        self.size = info.size
        self.is_regular = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and info.size >= 0
        self._stream = stream
        self._unread_bytes = info.size

    def read(self, size: int) -> bytes:
        """Returns the next bytes of the content, none at its end. Raises EOFError if the tar ends before."""
        size = min(size, self._unread_bytes)
        data = self._stream.read(size)
        if len(data) < size:
            raise EOFError
        self._unread_bytes -= len(data)
        return data


def _read_members(stream: _BoundedReader) -> Iterator[_Member]:
    """Yields the members of a tar up to its end, and reads on after a regular one only.

    `tarfile.open` would follow a header that announces a name of any length, and keep that in memory.
    """
    while any(block := stream.read(tarfile.BLOCKSIZE)):
        member = _Member(tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape"), stream)
        yield member
        assert member.is_regular
        while member.read(_CHUNK_BYTES):
            pass
        stream.read(-member.size % tarfile.BLOCKSIZE)  # the content is filled up to whole blocks


def _strange_member(name: str) -> BadBackup:
    shown = "".join(sign if sign.isprintable() else "?" for sign in name[:_MAX_SHOWN_CHARACTERS])
    return BadBackup("backup_strange", name=shown)


def _read_header(member: _Member | None) -> ArchiveHeader:
    if member is None or not member.is_regular or member.name != HEADER_NAME:
        raise BadBackup("backup_none")
    if member.size > BACKUP_HEAD_JSON.max_bytes:
        raise BadBackup("backup_none")
    try:
        fields: dict[str, Any] = load_json(member.read(member.size), BACKUP_HEAD_JSON)
        if fields.pop("program") != PROGRAM:
            raise BadBackup("backup_none")
        version = _checked_text(fields["version"], _SHORT_WORD)
        if _checked(fields.pop("format"), int) > FORMAT_VERSION:
            raise BadBackup("backup_newer", version=version)
        return _checked_header(ArchiveHeader(**fields))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadBackup("backup_damaged") from error


def _checked_header(head: ArchiveHeader) -> ArchiveHeader:
    """Returns the header in its own types. Raises ValueError and others: until then it holds any JSON."""
    for text in (head.version, head.stream, head.made):
        _checked_text(text, _SHORT_WORD)
    _checked(head.store, int)
    _checked(head.running, bool)
    _checked(head.media, bool)
    entries = {name: ArchiveEntry(**entry) for name, entry in head.files.items()}  # type: ignore[arg-type]
    for name, entry in entries.items():
        if not _LISTED_NAME.fullmatch(name):
            raise _strange_member(name)
        _checked_text(entry.sha256, _SHA256)
        _checked(entry.size, int)
    accounts = tuple(_checked_text(name, _ACCOUNT_NAME) for name in head.accounts)
    return replace(head, accounts=accounts, files=entries)


def _checked(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise TypeError
    return value


def _checked_text(value: Any, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(value):
        raise ValueError
    return str(value)


def _extract(member: _Member, folder: Path, missing: dict[str, ArchiveEntry]) -> None:
    """Writes one member if it belongs to a store and is as the header says; removes it from `missing`.

    `missing` has the files of the header that have not come yet.
    """
    listed = missing.pop(member.name, None) if _LISTED_NAME.fullmatch(member.name) else None
    media_sha256 = sha256_in_media_name(member.name)
    if not member.is_regular or not (listed or media_sha256):
        raise _strange_member(member.name)
    if listed and listed.size != member.size:
        raise BadBackup("backup_damaged")
    for parent in reversed(Path(member.name).parents[:-1]):
        (folder / parent).mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
    sha256 = _write_new_file(member, folder / member.name)
    if media_sha256 and sha256 != media_sha256:
        (folder / member.name).unlink()  # damaged before the backup; the bridge can do without it
    if listed and listed.sha256 != sha256:
        raise BadBackup("backup_damaged")


def _write_new_file(member: _Member, path: Path) -> str:
    """Copies the content of a member into a new file; returns its SHA-256."""
    digest = hashlib.sha256()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
        with os.fdopen(handle, "wb") as file:
            while chunk := member.read(_CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
    except gzip.BadGzipFile:  # an OSError too, but of the backup and not of the new file
        raise
    except FileExistsError as error:
        raise BadBackup("backup_strange", name=path.name) from error
    except OSError as error:
        raise file_error(error, path) from error
    return digest.hexdigest()
