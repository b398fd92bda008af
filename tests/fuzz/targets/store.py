"""Files of the store: backups, saved logins and people, types of files."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutators import (
    either,
    encode_json,
    grown,
    grown_json,
    mutated,
    mutated_json,
)
from tests.fuzz.oracles import JSON_MEMORY_FACTOR
from tests.fuzz.target import Target
from wx2mqtt.errors import BadBackup, StoreError
from wx2mqtt.model import ChatKind
from wx2mqtt.simulator import samples
from wx2mqtt.store import backup_archive, file_type, people_file
from wx2mqtt.store.backup_archive import FORMAT_VERSION, HEADER_NAME
from wx2mqtt.store.column_values import blob_from_text, storable_text
from wx2mqtt.store.folder_backup import restore_store
from wx2mqtt.store.mapped_files import MAX_KILLS, PUBACK_LOG_BYTES, ProcessingMarks, PubackLog
from wx2mqtt.store.people import person_from_json
from wx2mqtt.store.remembered_owners import NOTHING_SAID, read_owners
from wx2mqtt.store.saved_logins import SavedLoginFile, read_saved_login

# Backups

_PICTURE = b"\xff\xd8\xff a picture"
_SHA256 = hashlib.sha256(_PICTURE).hexdigest()
_MEDIA = f"media/{_SHA256[:2]}/{_SHA256}.jpg"
_FILES = {
    "people.json": b"{}",
    "sessions/home.json": b'{"version": 1}',
    "wx2mqtt.db": b"SQLite format 3\0" * 4,
}
_HEADER: dict[str, Any] = {
    "program": "wx2mqtt",
    "format": FORMAT_VERSION,
    "version": "1.0.0",
    "store": 3,
    "stream": "k3v9qa",
    "made": "2026-11-25T08:00:00.000Z",
    "running": True,
    "accounts": ["home"],
    "media": True,
    "files": {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in _FILES.items()
    },
}


def pack(header: bytes, members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Returns a backup with this header and these members, right or wrong."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for member, data in ((tarfile.TarInfo(HEADER_NAME), header), *members):
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(out.getvalue(), 1, mtime=0)


def _members() -> list[tuple[tarfile.TarInfo, bytes]]:
    return [(tarfile.TarInfo(name), data) for name, data in (*_FILES.items(), (_MEDIA, _PICTURE))]


_BACKUPS = (pack(encode_json(_HEADER), _members()), pack(encode_json({**_HEADER, "files": {}}), []))
_mutate_header = mutated_json(
    (encode_json(_HEADER),), ("wx2mqtt", "wx2mqtt.db", "../x", "size", "sha256", "Infinity")
)
_mutate_backup = mutated(_BACKUPS, most=20_000)
_NAMES = (
    *_FILES,
    _MEDIA,
    "../evil",
    "/etc/evil",
    "sessions/../../evil.json",
    "media/00/x",
    "wx2mqtt.db-wal",
    "",
    "sessions",
)


def _backup(random: Random) -> bytes:
    if random.randrange(4) == 0:
        return _mutate_backup(random)
    header = _mutate_header(random) if random.randrange(2) else encode_json(_HEADER)
    members = _members()
    for _ in range(random.choice((0, 1, 1, 2, 4))):
        member = tarfile.TarInfo(random.choice(_NAMES))
        member.type = random.choice(
            (
                tarfile.REGTYPE,
                tarfile.DIRTYPE,
                tarfile.SYMTYPE,
                tarfile.LNKTYPE,
                tarfile.FIFOTYPE,
                tarfile.CHRTYPE,
            )
        )
        member.linkname = random.choice(_NAMES)
        member.mode = random.choice((0o600, 0o4755, 0))
        data = random.choice((b"", b"x", _PICTURE)) if member.isreg() else b""
        members.insert(random.randint(0, len(members)), (member, data))
    packed = pack(header, members)
    return packed[: random.randrange(len(packed))] if random.randrange(8) == 0 else packed


def _large_backup(random: Random) -> bytes:
    """Returns about 100 kB that unpack to much more, or one long header, or very many members."""
    match random.randrange(4):
        case 0:
            data = bytes(20_000_000)
            name = f"media/{hashlib.sha256(data).hexdigest()[:2]}/{hashlib.sha256(data).hexdigest()}.bin"
            return pack(encode_json({**_HEADER, "files": {}}), [(tarfile.TarInfo(name), data)])
        case 1:
            word = random.choice(("[", '{"a":', "1,", "[],", '"x",'))
            return pack(f'{{"program": "wx2mqtt", "files": [{word * (900_000 // len(word))}'.encode(), [])
        case 2:
            member = tarfile.TarInfo("x" * random.choice((200, 100_000, 5_000_000)))
            return pack(encode_json({**_HEADER, "files": {}}), [(member, b"")])
        case _:
            return pack(encode_json(_HEADER), _members() * 500)


def _run_archive(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        root = Path(name)
        folder = root / "store"
        folder.mkdir()
        with suppress(BadBackup, StoreError):
            head = backup_archive.read_archive(io.BytesIO(data), folder, lambda _: None)
            assert all(isinstance(account, str) for account in head.accounts)
            for file, measured in head.files.items():
                assert backup_archive.measure_file(folder / file) == measured
        outside = [path for path in root.rglob("*") if path != folder and folder not in path.parents]
        assert not outside, outside
        for path in folder.rglob("*"):
            assert not path.is_symlink()
            assert path.is_dir() or backup_archive.belongs_to_store(str(path.relative_to(folder)))


def _run_restore(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name, suppress(BadBackup, StoreError):
        restore_store(Path(name), io.BytesIO(data), force=True)


# Files of the store that a backup may have brought


_PERSON = {
    "id": 1,
    "level": "wife",
    "kind": "friend",
    "profile": {"sex": "2"},
    "members": "",
    "handle": "@a",
    "remark": "老婆",
    "nickname": "晓梅",
    "alias": "",
    "permanent_id": "",
    "login_id": "1",
    "avatar": "600000001",
    "trusted": False,
}
_PEOPLE = (
    encode_json(
        {"schema": 1, "accounts": {"home": {"next_id": 2, "levels": {"wife": 1}, "persons": [_PERSON]}}}
    ),
    encode_json({"schema": 1, "accounts": {}}),
    encode_json(_PERSON),
    b'{"sha256": "00", "size": 1, "mime": "image/jpeg", "path": "media/00/00.jpg", "name": "a"}',
    b'{"version": 1, "bots": []}',
)


_OWNERS = (
    b'{"ilink": "o9@im.wechat", "wecom": "aibK1"}',
    b'{"wecom": "aibK1", "named": {"wecom": {"is_confirmed": true, "person": "user:zhangsan"}}}',
)


def _run_owners(data: bytes) -> None:
    owners = read_owners(data.decode("utf-8", "replace"))
    assert read_owners(owners.to_json()) == owners
    assert owners.with_owner("wecom", "b", NOTHING_SAID).ids["wecom"] == "b"


def _run_store_files(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        path = Path(name) / "people.json"
        path.write_bytes(data)
        for account, (next_id, changes) in people_file._read(path).items():
            assert isinstance(account, str)
            assert isinstance(next_id, int)
            assert all(person.kind in set(ChatKind) for person in changes.persons)
        login = Path(name) / "home.json"
        login.write_bytes(data)
        saved = _LOOP.run_until_complete(SavedLoginFile(login).load())
        assert saved is None or isinstance(saved, dict)
        folder = Path(name) / "sessions"
        folder.mkdir()
        (folder / "home.json").write_bytes(data)
        assert read_saved_login(Path(name), "home") == (saved or {})
    storable_text(data.decode("utf-8", "replace")).encode()
    with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        person_from_json(json.loads(data))
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        blob_from_text(data.decode("utf-8", "replace"))


def _deep_json(random: Random) -> bytes:
    return random.choice((b"[", b'{"accounts": ', b'{"a": [')) * random.choice((500, 5000, 20_000))


_LOOP = asyncio.new_event_loop()

# Marks of the message that is being processed

_MARKS = (
    b"",
    f"{'0' * 32} 1".ljust(63).encode() + b"\n" + b"1" * 32 + b"\n",
    b"- 0".ljust(63) + b"\n" + b"".join(b"%032x\n" % number for number in range(70)),
)


def _puback_log(count: int) -> bytes:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        path = Path(name) / "home.json.pubacks"
        with closing(PubackLog(path, "stream")) as log:
            for number in range(1, count + 1):
                log.add(number, 1_795_000_000_000 + number)
        return path.read_bytes().rstrip(b"\0") if count else b""


_PUBACK_LOGS = (_puback_log(0), _puback_log(1), _puback_log(9))


def _run_puback_log(data: bytes) -> None:
    """Fails unless the next PUBACK is read behind the earlier ones, and none but it once all others are marked."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        path = Path(name) / "home.json.pubacks"
        path.write_bytes(data)
        with closing(PubackLog(path, "stream")) as log:
            earlier = log.earlier
            if not log.add(1, 2):
                assert len(data) > PUBACK_LOG_BYTES - 20
                return
            assert PubackLog(path, "stream").earlier == {**earlier, 1: 2}
            log.replace([(1, 2)])
        assert PubackLog(path, "stream").earlier == {1: 2}


@contextmanager
def _marks_of_process(path: Path) -> Iterator[ProcessingMarks]:
    """Returns the marks of one process, whose end closes the file."""
    marks = ProcessingMarks(path)
    try:
        yield marks
    finally:
        marks._file.close()  # without `clear`, as after a kill


def _run_marks(data: bytes) -> None:
    """Fails unless the message that processes are killed at is found, whatever the file held before."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        path = Path(name) / "home.json.processing"
        path.write_bytes(data)
        key = data[:100].decode("utf-8", "replace")
        for _ in range(MAX_KILLS):
            with _marks_of_process(path) as marks, marks.processing(key):
                killed = path.read_bytes()
            path.write_bytes(killed)
        for _ in range(2):  # also after one more start
            with _marks_of_process(path) as marks:
                assert marks.is_fatal(key)


# Types of files


_SAMPLES = tuple(
    path.read_bytes()[:3000]
    for path in sorted(Path(samples.__file__).parent.iterdir())
    if path.suffix != ".py" and path.is_file()
)
_HEADS = (
    *_SAMPLES,
    *(
        b"<!DOCTYPE html><p>",
        b"<?xml version='1.0'?><!-- a --><svg/>",
        b'{"a": 1}',
        b"hello",
        b"\x02#!SILK_V3",
        b"PK\3\4",
    ),
    *(
        b"GIF89a\x01\0\x01\0",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"BM" + bytes(40),
    ),
)


def _run_file_type(data: bytes) -> None:
    for size in (len(data), len(data) + 1_000_000):
        found = file_type.file_type_of(data[: file_type.SNIFFED_BYTES], size)
        assert found.mime.count("/") == 1
        assert found.extension.startswith(".")
        measured = file_type.image_size(data[: file_type.SNIFFED_BYTES], found.mime)
        assert measured is None or min(measured) > 0
    for mime in (
        "image/jpeg",
        "image/png",
        "image/gif",
        "image/webp",
        "image/bmp",
        "image/tiff",
        "image/svg+xml",
        "image/heic",
    ):
        measured = file_type.image_size(data, mime)
        assert measured is None or min(measured) > 0


def _store(*functions: str) -> tuple[str, ...]:
    return tuple(f"store.{name}" for name in functions)


TARGETS = (
    Target(
        name="store.archives",
        run=_run_archive,
        parsers=_store(
            "backup_archive:read_archive",
            "backup_archive:belongs_to_store",
            "atomic_files:sha256_in_media_name",
        ),
        seeds=_BACKUPS,
        generate=_backup,
        grow=_large_backup,
        cost_factor=3.0,  # 87 kB unpack to 20 MB
        fixed_bytes=3 << 20,  # a buffer of a megabyte for each open file
        writes_files=True,
    ),
    Target(
        name="store.restores",
        run=_run_restore,
        parsers=_store("folder_backup:restore_store", "folder_backup:read_restored"),
        seeds=_BACKUPS,
        generate=_backup,
        grow=_large_backup,
        cost_factor=3.0,  # 87 kB unpack to 20 MB
        fixed_bytes=3 << 20,  # a buffer of a megabyte for each open file
        writes_files=True,
    ),
    Target(
        name="store.saved_files",
        run=_run_store_files,
        parsers=_store(
            "people:person_from_json",
            "column_values:blob_from_text",
            "column_values:storable_text",
            "saved_logins:SavedLoginFile.load",
            "saved_logins:read_saved_login",
        ),
        seeds=_PEOPLE,
        generate=mutated_json(_PEOPLE, ("home", "wife", "friend", "persons", "levels")),
        grow=either(grown_json(_PEOPLE, ("home", "wife")), _deep_json),
        cost_factor=3.0,
        memory_factor=JSON_MEMORY_FACTOR,
        writes_files=True,
    ),
    Target(
        name="store.owners",
        run=_run_owners,
        parsers=_store("remembered_owners:read_owners", "remembered_owners:RememberedOwners.with_owner"),
        seeds=_OWNERS,
        generate=mutated_json(_OWNERS, ("named", "wecom", "person", "is_confirmed")),
        grow=grown_json(_OWNERS, ("named", "wecom", "person")),
        cost_factor=2.0,  # what was read is written and read again
        memory_factor=JSON_MEMORY_FACTOR,
    ),
    Target(
        name="store.processing_marks",
        run=_run_marks,
        parsers=_store(
            *(f"mapped_files:ProcessingMarks.{name}" for name in ("is_fatal", "processing", "__exit__"))
        ),
        seeds=_MARKS,
        generate=mutated(_MARKS, ("\n", " ", "-", "0", "1", "2", "f" * 32)),
        grow=grown(_MARKS, ("\n", " ", "-", "f" * 32)),
        cost_factor=4.0,  # four processes read the file
        memory_factor=3.0,
        writes_files=True,
    ),
    Target(
        name="store.puback_logs",
        run=_run_puback_log,
        parsers=(),  # it takes no bytes, but a path
        seeds=_PUBACK_LOGS,
        generate=mutated(_PUBACK_LOGS, ("\0", "\0" * 12)),
        grow=grown(_PUBACK_LOGS, ("\0" * 12, "\1" * 12)),
        cost_factor=2.0,  # two processes read the file
        memory_factor=3.0,
        writes_files=True,
    ),
    Target(
        name="store.file_types",
        run=_run_file_type,
        parsers=_store("file_type:file_type_of", "file_type:image_size"),
        seeds=_HEADS,
        generate=mutated(_HEADS, ("<html", "<svg", "<!--", "-->", "<?", "?>", "\ufeff")),
        grow=grown(_HEADS, ("<!--", "-->", "<?x?>", " ", "{", "[")),
        cost_factor=10.0,
        memory_factor=2.0,
    ),
)
