"""The archive format refuses damaged and forged backups."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.store.make import modes
from wx2mqtt.errors import BadBackup
from wx2mqtt.store.backup_archive import (
    FORMAT_VERSION,
    HEADER_NAME,
    ArchiveEntry,
    ArchiveHeader,
    measure_file,
    read_archive,
    write_archive,
)

PICTURE = b"\xff\xd8\xff a picture"


SHA256 = hashlib.sha256(PICTURE).hexdigest()


MEDIA = f"media/{SHA256[:2]}/{SHA256}.jpg"


def archive_header(files: Mapping[str, ArchiveEntry], **more: object) -> ArchiveHeader:
    values: dict[str, object] = {
        "version": "1.2.3",
        "store": 3,
        "stream": "k3v9qa",
        "made": "2026-11-25T08:00:00.000Z",
        "running": True,
        "accounts": ("home", "work"),
        "media": True,
        "files": files,
    }
    return ArchiveHeader(**{**values, **more})  # type: ignore[arg-type]


def make_backup(folder: Path, media: bool = True) -> bytes:
    """Returns a small backup."""
    files = {"wx2mqtt.db": b"SQLite" * 1000, "people.json": b"{}", "sessions/home.json": "{微信}".encode()}
    (folder / "sessions").mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "a.jpg").write_bytes(PICTURE)
    out = io.BytesIO()
    paths = {name: folder / name for name in files}
    count = write_archive(
        out,
        archive_header({name: measure_file(path) for name, path in paths.items()}),
        paths,
        [(MEDIA, folder / "a.jpg"), ("media/00/gone.jpg", folder / "gone")] if media else [],
    )
    assert count == media
    return out.getvalue()


def extract(data: bytes, folder: Path) -> ArchiveHeader:
    folder.mkdir(mode=0o700)
    return read_archive(io.BytesIO(data), folder, lambda _: None)


def make_archive(*members: tuple[tarfile.TarInfo | str, bytes], header: object = None) -> bytes:
    """Returns a tar in gzip with any members; `header` is the content of its first member."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for member, data in (
            ((HEADER_NAME, json.dumps(header).encode()), *members) if header is not None else members
        ):
            entry = tarfile.TarInfo(member) if isinstance(member, str) else member
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def header_fields(**more: object) -> dict[str, object]:
    """Returns the header of a backup without files."""
    values = {"version": "9.9", "store": 3, "stream": "a", "made": "", "running": False, "media": False}
    return {"program": "wx2mqtt", "format": FORMAT_VERSION, **values, "accounts": [], "files": {}, **more}


def refusal(data: bytes, folder: Path) -> BadBackup:
    with pytest.raises(BadBackup) as caught:
        extract(data, folder)
    return caught.value


def test_the_files_of_a_backup_are_extracted_for_their_owner_only(tmp_path: Path) -> None:
    header = extract(make_backup(tmp_path / "from"), tmp_path / "to")
    assert header.accounts == ("home", "work")
    assert header.running is True
    assert (tmp_path / "to" / "wx2mqtt.db").read_bytes() == b"SQLite" * 1000
    assert (tmp_path / "to" / "sessions" / "home.json").read_text() == "{微信}"
    assert (tmp_path / "to" / MEDIA).read_bytes() == PICTURE
    assert modes(tmp_path / "to") == {
        "wx2mqtt.db": 0o600,
        "people.json": 0o600,
        "sessions": 0o700,
        "media": 0o700,
    }
    assert modes((tmp_path / "to" / MEDIA).parent) == {f"{SHA256}.jpg": 0o600}


def test_a_header_can_be_refused_before_anything_is_written(tmp_path: Path) -> None:
    def refuse(_: ArchiveHeader) -> None:
        raise KeyError

    (tmp_path / "to").mkdir()
    with pytest.raises(KeyError):
        read_archive(io.BytesIO(make_backup(tmp_path / "from")), tmp_path / "to", refuse)
    assert list((tmp_path / "to").iterdir()) == []


def test_a_backup_that_is_cut_off_or_changed_anywhere_or_goes_on_is_refused(tmp_path: Path) -> None:
    data = bytearray(make_backup(tmp_path / "from"))
    extract(bytes(data), tmp_path / "whole")
    for length in [0, 1, 5, 20, *range(40, len(data), 23), len(data) - 1]:
        refused = refusal(bytes(data[:length]), tmp_path / f"cut {length}")
        assert refused.key in {"backup_damaged", "backup_none"}
    for place in range(10, len(data), 17):
        data[place] ^= 0x55
        assert refusal(bytes(data), tmp_path / f"changed {place}").key.startswith("backup_")
        data[place] ^= 0x55
    assert refusal(bytes(data) + b"more", tmp_path / "more").key == "backup_damaged"


@pytest.mark.parametrize("length", [512 + 5, 1024 + 1, 1024 + 511, 1024 + 512 + 1, 1024 + 512 + 599])
def test_a_whole_gzip_with_a_tar_that_is_cut_off_is_damage(length: int, tmp_path: Path) -> None:
    text = json.dumps(header_fields()).encode()
    assert 5 < len(text) < 512  # the second member has its header at 1024, and 600 bytes after that
    tar = gzip.decompress(make_archive((HEADER_NAME, text), (MEDIA, b"a" * 600)))
    assert refusal(gzip.compress(tar[:length]), tmp_path / "to").key == "backup_damaged"


def test_a_member_whose_header_is_damaged_is_not_taken_for_the_end(tmp_path: Path) -> None:
    tar = bytearray(gzip.decompress(make_archive((MEDIA, PICTURE), header=header_fields())))
    extract(gzip.compress(tar), tmp_path / "whole")
    tar[1024 + 3] ^= 0x55  # in the name of the second member
    assert refusal(gzip.compress(tar), tmp_path / "damaged").key == "backup_damaged"


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"hello", gzip.compress(b"hello"), gzip.compress(b"\0" * 20_000)),
        make_archive(("other.json", b"{}")),
        make_archive(header={"program": "other", "format": 1}),
    ],
    ids=["nothing", "text", "gzip", "zeros", "no header", "another program"],
)
def test_a_file_that_is_no_backup_is_refused_with_the_reason(data: bytes, tmp_path: Path) -> None:
    assert refusal(data, tmp_path / "to").key in {"backup_none", "backup_damaged"}


@pytest.mark.parametrize(
    "header",
    [
        *([], "text", {}, header_fields(files=[1]), header_fields(files={"wx2mqtt.db": {}})),
        *(header_fields(accounts=3), header_fields(format="x")),
    ],
)
def test_a_header_that_cannot_be_read_is_damage(header: object, tmp_path: Path) -> None:
    assert refusal(make_archive(header=header), tmp_path / "to").key == "backup_damaged"


def test_a_newer_format_is_refused_with_the_version_that_made_it(tmp_path: Path) -> None:
    newer = refusal(make_archive(header=header_fields(format=FORMAT_VERSION + 1)), tmp_path / "to")
    assert (newer.key, newer.facts) == ("backup_newer", {"version": "9.9"})


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


ENTRY = {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}


@pytest.mark.parametrize(
    "member",
    [
        tar_member("../outside"),
        tar_member("/etc/passwd"),
        tar_member("sessions/../../outside"),
        tar_member("sessions/../wx2mqtt.db"),
        tar_member("sessions/a b.json"),
        tar_member("lock"),
        tar_member("wx2mqtt.db-wal"),
        tar_member("people.json\n"),
        tar_member("media/00/short.jpg"),
        tar_member(f"media/xx/{SHA256}.jpg"),
        tar_member(f"media/{SHA256[:2]}/{SHA256}.jpg/more"),
        tar_member(f"media/{SHA256[:2]}/{SHA256}./../../x"),
        tar_member("wx2mqtt.db", tarfile.SYMTYPE, "/etc/passwd"),
        tar_member("wx2mqtt.db", tarfile.LNKTYPE, "backup.json"),
        tar_member("wx2mqtt.db", tarfile.DIRTYPE),
        tar_member("wx2mqtt.db", tarfile.FIFOTYPE),
        tar_member("wx2mqtt.db", tarfile.CHRTYPE),
        tar_member("people.json"),  # the header does not list it
        tar_member(HEADER_NAME),
    ],
)
def test_no_member_is_extracted_outside_of_its_place(member: tarfile.TarInfo, tmp_path: Path) -> None:
    names = {member.name, "wx2mqtt.db"} - {"people.json", HEADER_NAME}
    data = make_archive((member, b""), header=header_fields(files=dict.fromkeys(names, ENTRY)))
    assert refusal(data, tmp_path / "to").key == "backup_strange"
    assert [path.name for path in tmp_path.iterdir()] == ["to"]
    assert [path for path in (tmp_path / "to").rglob("*") if path.is_file()] == []


def with_database(*members: tuple[str, bytes], **entry: object) -> bytes:
    """Returns an archive whose header lists a database."""
    return make_archive(*members, header=header_fields(files={"wx2mqtt.db": {**ENTRY, **entry}}))


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (with_database(("wx2mqtt.db", b"x"), ("wx2mqtt.db", b"y")), "backup_strange"),
        (make_archive((MEDIA, PICTURE), (MEDIA, PICTURE), header=header_fields()), "backup_strange"),
        (with_database(("wx2mqtt.db", b"y")), "backup_damaged"),
        (with_database(("wx2mqtt.db", b"x"), size=2), "backup_damaged"),
    ],
    ids=["a file twice", "a picture twice", "another digest", "another size"],
)
def test_a_file_that_comes_twice_or_is_not_what_the_header_says_is_refused(
    data: bytes, key: str, tmp_path: Path
) -> None:
    assert refusal(data, tmp_path / "to").key == key


def test_a_picture_that_was_damaged_before_the_backup_is_left_out_and_the_other_files_are_extracted(
    tmp_path: Path,
) -> None:
    extract(with_database((MEDIA, b"another picture"), ("wx2mqtt.db", b"x")), tmp_path / "to")
    assert [path.name for path in (tmp_path / "to").rglob("*") if path.is_file()] == ["wx2mqtt.db"]


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    bad = refusal(with_database(), tmp_path / "to")
    assert (bad.key, bad.facts) == ("backup_incomplete", {"name": "wx2mqtt.db"})
