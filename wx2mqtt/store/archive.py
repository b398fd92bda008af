"""A backup as one file, and the replacement of a store by a restored one. Blocking.

A backup is a gzipped tar. Its first member is the header, which lists what must follow. A backup may be
damaged or forged: nothing is written outside of the target folder, and nothing is used before all of it was
read and checked.

A replacement is all or nothing: the new store is collected beside the old one, one rename decides, and the
next process that opens the folder finishes what a crash interrupted. The caller holds the folder's lock.
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
from wx2mqtt.store.files import PRIVATE_FOLDER_MODE, PRIVATE_MODE, file_error, sync_folder

PROGRAM = "wx2mqtt"
FORMAT_VERSION = 1  # of the archive; a newer one is refused
HEADER_NAME = "backup.json"

GATHERING_FOLDER = "restore.gathering"
DECIDED_PREFIX = "restore.decided-"  # followed by the time of the decision
MOVING_FOLDER = "restore.moving"
REPLACED_PREFIX = "replaced-"  # followed by the same time: the old store

_MAX_HEADER_BYTES = 1_000_000
_CHUNK_BYTES = 1024 * 1024
_LISTED_NAME = re.compile(r"wx2mqtt\.db|people\.json|sessions/[a-z0-9_]{1,32}\.json", re.ASCII)
_MEDIA_NAME = re.compile(r"media/([0-9a-f]{2})/(\1[0-9a-f]{62})(\.[A-Za-z0-9]{1,8})?", re.ASCII)
_MEDIA_NAME_SHA256 = 2  # the group of `_MEDIA_NAME`
_STORE_PATTERNS = ("wx2mqtt.db*", "people.json*", ".people.json.*", "sessions", "media")
"""The files of a store. Everything else in the folder has another owner, such as the embedded broker."""


class BadBackup(Wx2MqttError):
    """The backup cannot be made or restored; `key` and `facts` select the text (`i18n`)."""

    def __init__(self, key: str, **facts: object) -> None:
        super().__init__(key)
        self.key = key
        self.facts = facts


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveEntry:
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveHeader:
    """The header of a backup. `made` is RFC 3339; `running` says that the bridge ran while it was made.

    `store` is the version of the database. `media` says that all media are included, not only those that
    commands have still to send. `files` are all files but the media, whose names contain their SHA-256.
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
    """Returns whether a file of this name goes into a backup; other files in the folder do not."""
    return bool(_LISTED_NAME.fullmatch(name) or _MEDIA_NAME.fullmatch(name))


def measure_file(path: Path) -> ArchiveEntry:
    """Returns size and SHA-256 of a file."""
    with path.open("rb") as file:
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
            count += _add_file(tar, name, path)
    return count


def _tar_info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = PRIVATE_MODE
    return info


def _add_file(tar: tarfile.TarFile, name: str, path: Path) -> bool:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        tar.addfile(_tar_info(name, os.fstat(file.fileno()).st_size), file)
    return True


def read_archive(source: IO[bytes], folder: Path, check: Callable[[ArchiveHeader], None]) -> ArchiveHeader:
    """Reads a backup into an empty folder; `check` gets the header before any file is written.

    Raises `BadBackup`, `StoreFull`, `StoreError`, and what `check` raises.
    """
    with _damage_as_bad_backup(), gzip.GzipFile(fileobj=source, mode="rb") as packed:
        with tarfile.open(fileobj=packed, mode="r|") as tar:
            members = iter(tar)
            head = _read_header(tar, next(members, None))
            check(head)
            missing = dict(head.files)
            for member in members:
                _extract(tar, member, folder, missing)
        while packed.read(_CHUNK_BYTES):  # gzip checks its checksum at the end
            pass
    if missing:
        raise BadBackup("backup_incomplete", name=next(iter(missing)))
    return head


@contextmanager
def _damage_as_bad_backup() -> Iterator[None]:
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
        raise BadBackup("backup_damaged") from error


def _read_header(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> ArchiveHeader:
    if member is None or member.name != HEADER_NAME or not member.isreg() or member.size > _MAX_HEADER_BYTES:
        raise BadBackup("backup_none")
    try:
        fields: dict[str, Any] = json.loads(_content(tar, member).read())
        if fields.pop("program") != PROGRAM:
            raise BadBackup("backup_none")
        if int(fields.pop("format")) > FORMAT_VERSION:
            raise BadBackup("backup_newer", version=fields.get("version"))
        files = {str(name): ArchiveEntry(**entry) for name, entry in fields.pop("files").items()}
        return ArchiveHeader(**{**fields, "accounts": tuple(fields["accounts"]), "files": files})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadBackup("backup_damaged") from error


def _extract(
    tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, missing: dict[str, ArchiveEntry]
) -> None:
    """Writes one member if it belongs to a store and is as the header says; removes it from `missing`."""
    listed = missing.pop(member.name, None) if _LISTED_NAME.fullmatch(member.name) else None
    media = _MEDIA_NAME.fullmatch(member.name)
    if not member.isreg() or not (listed or media):
        raise BadBackup("backup_strange", name=member.name)
    for parent in reversed(Path(member.name).parents[:-1]):
        (folder / parent).mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
    sha256 = _write_new_file(_content(tar, member), folder / member.name)
    if media and sha256 != media[_MEDIA_NAME_SHA256]:
        (folder / member.name).unlink()  # damaged before the backup; the bridge can do without it
    if listed and listed != ArchiveEntry(size=member.size, sha256=sha256):
        raise BadBackup("backup_damaged")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    assert content is not None  # it is a regular file
    return content


def _write_new_file(content: IO[bytes], path: Path) -> str:
    """Copies content into a new file; returns its SHA-256."""
    digest = hashlib.sha256()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
        with os.fdopen(handle, "wb") as file:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
    except gzip.BadGzipFile:  # an OSError too, but of the backup and not of the new file
        raise
    except FileExistsError as error:
        raise BadBackup("backup_strange", name=path.name) from error
    except OSError as error:
        raise file_error(error, path) from error
    return digest.hexdigest()


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
            _make_durable(Path(subfolder) / name, folder)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    gathering.rename(folder / f"{DECIDED_PREFIX}{stamp}")
    sync_folder(folder)
    finish_replacement(folder)
    replaced = folder / f"{REPLACED_PREFIX}{stamp}"
    return replaced if replaced.exists() else None


def finish_replacement(folder: Path) -> None:
    """Finishes a replacement that was decided, wherever a crash interrupted it; discards others."""
    discard_replacement(folder)
    for decided in folder.glob(f"{DECIDED_PREFIX}*"):
        _move_old_store(folder, folder / f"{REPLACED_PREFIX}{decided.name.removeprefix(DECIDED_PREFIX)}")
        decided.rename(folder / MOVING_FOLDER)
        sync_folder(folder)
    if (moving := folder / MOVING_FOLDER).is_dir():
        for part in sorted(moving.iterdir()):
            part.rename(folder / part.name)
        sync_folder(folder)
        moving.rmdir()
        sync_folder(folder)


def _move_old_store(folder: Path, replaced: Path) -> None:
    old_parts = store_parts(folder)
    if not old_parts:
        return
    replaced.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
    _make_durable(replaced, folder)
    for part in old_parts:
        part.rename(replaced / part.name)
    sync_folder(replaced)
    sync_folder(folder)


def _make_durable(path: Path, folder: Path) -> None:
    """Forces a file or folder to the disk.

    When root restores, also gives it to the owner of the store's folder, which is the user of the service.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        if os.geteuid() == 0:
            owner = folder.stat()
            os.fchown(handle, owner.st_uid, owner.st_gid)
        os.fsync(handle)
    finally:
        os.close(handle)
