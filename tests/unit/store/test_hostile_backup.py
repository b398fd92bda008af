"""A hostile backup is refused in one sentence, changes nothing, and takes little memory and space."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sqlite3
import tarfile
import tracemalloc
import weakref
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from tests.unit.store.make import names
from tests.unit.store.test_backup_archive import header_fields, make_archive
from tests.unit.store.test_folder_backup import OpenStore, make_backup, run_on_store, write_sample_store
from wx2mqtt.errors import BadBackup, StoreTooNew
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.limits import BACKUP_HEAD_JSON, MAX_UNPACKED_RATIO, MIN_UNPACKED_BYTES
from wx2mqtt.model import Blob
from wx2mqtt.store.backup_archive import HEADER_NAME, measure_file
from wx2mqtt.store.column_values import blob_from_text, blob_to_text
from wx2mqtt.store.folder import DATABASE_NAME
from wx2mqtt.store.folder_backup import create_backup, restore_store
from wx2mqtt.store.records import MediaState
from wx2mqtt.store.sqlite_database import newest_version

MEGABYTE = 1 << 20


def refusal(data: bytes, folder: Path) -> BadBackup:
    """Returns the error of a restore that leaves the folder empty; its sentence is there in both languages."""
    with pytest.raises(BadBackup) as caught:
        restore_store(folder, io.BytesIO(data), force=False)
    assert names(folder) == ["lock"]
    for sentence in (
        bridge_text("en", caught.value.key, **caught.value.facts),
        bridge_text("zh", caught.value.key, **caught.value.facts),
    ):
        assert "\n" not in sentence
        assert len(sentence) < 400
    return caught.value


def with_header(text: bytes) -> bytes:
    return make_archive((HEADER_NAME, text))


def header_text(**more: object) -> bytes:
    return json.dumps(header_fields(**more)).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"program": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        header_text().replace(b'"format": 1', b'"format": Infinity'),
        header_text().replace(b'"format": 1', b'"format": NaN'),
        header_text().replace(b'"format": 1', b'"format": 1e999'),
        header_text().replace(b'"format": 1', b'"format": ' + b"9" * 5000),
        header_text().replace(b'"store": 3', b'"store": Infinity'),
        header_text(accounts=["../../etc"]),
        header_text(accounts=["a" * 100_000]),
        header_text(version="\x1b[2J"),
        header_text(version="9" * 100_000),
        header_text(made="\x1b[2J"),
        header_text(stream=["x"]),
        header_text(files={DATABASE_NAME: {"size": -1e9, "sha256": "0" * 64}}),
        header_text(files={DATABASE_NAME: {"size": 1, "sha256": "x"}}),
        header_text(files={DATABASE_NAME: 7}),
        header_text(files=[DATABASE_NAME]),
        header_text(other=1),
        header_text(accounts=[["home"]] * BACKUP_HEAD_JSON.max_values),
    ],
    ids=lambda text: text[:30].decode() + str(len(text)),
)
def test_a_hostile_head_is_damage(tmp_path: Path, text: bytes) -> None:
    assert refusal(with_header(text), tmp_path / "store").key == "backup_damaged"


keys = st.sampled_from(sorted(header_fields()))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=5,
)


@given(key=keys, value=values)
def test_any_value_of_any_key_in_the_header_is_accepted_or_refused(
    tmp_path_factory, key: str, value: Any
) -> None:
    with pytest.raises((BadBackup, StoreTooNew)) as caught:
        restore_store(
            tmp_path_factory.mktemp("any"), io.BytesIO(with_header(header_text(**{key: value}))), force=False
        )
    if isinstance(caught.value, BadBackup):
        assert bridge_text("en", caught.value.key, **caught.value.facts)


MEMBER_TYPES = (
    *("XHDTYPE", "XGLTYPE", "GNUTYPE_LONGNAME", "GNUTYPE_LONGLINK", "SYMTYPE", "LNKTYPE"),
    *("DIRTYPE", "FIFOTYPE", "CHRTYPE", "BLKTYPE", "GNUTYPE_SPARSE"),
)


@pytest.mark.parametrize("name", MEMBER_TYPES)
def test_only_regular_files_are_read_whatever_their_header_announces(tmp_path: Path, name: str) -> None:
    data = archive_with_member(getattr(tarfile, name), 32 * MEGABYTE)
    tracemalloc.start()
    try:
        assert refusal(data, tmp_path / "store").key == "backup_strange"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MEGABYTE


def archive_with_member(kind: bytes, size: int) -> bytes:
    """Returns a tar in gzip with a header, and one member of zeros that has this type."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, size
    first = tarfile.TarInfo(HEADER_NAME)
    text = header_text()
    first.size = len(text)
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb") as packed_file:
        packed_file.write(first.tobuf(tarfile.GNU_FORMAT) + text + bytes(-len(text) % 512))
        packed_file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(size // MEGABYTE):
            packed_file.write(bytes(MEGABYTE))
        packed_file.write(bytes(1024))
    return out.getvalue()


def test_a_file_of_another_size_than_the_header_says_is_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    monkeypatch.setattr("wx2mqtt.store.backup_archive._write_new_file", lambda _, path: written.append(path))
    header_content = header_fields(files={DATABASE_NAME: {"size": 1, "sha256": "0" * 64}})
    data = make_archive((DATABASE_NAME, bytes(MEGABYTE)), header=header_content)
    assert refusal(data, tmp_path / "store").key == "backup_damaged"
    assert written == []


def backup_of_zeros(size: int) -> bytes:
    """Returns a backup with a database of zeros, which unpacks to much more than its size."""
    entry = {"size": size, "sha256": hashlib.sha256(bytes(size)).hexdigest()}
    return make_archive((DATABASE_NAME, bytes(size)), header=header_fields(files={DATABASE_NAME: entry}))


def test_what_unpacks_to_much_more_than_its_size_is_refused(tmp_path: Path) -> None:
    refused = refusal(backup_of_zeros(MIN_UNPACKED_BYTES + MEGABYTE), tmp_path / "store")
    assert (refused.key, refused.facts["ratio"]) == ("backup_unpacks_too_large", MAX_UNPACKED_RATIO)
    small = refusal(backup_of_zeros(MIN_UNPACKED_BYTES // 2), tmp_path / "small")
    assert small.key == "backup_damaged", "it may have any ratio, but is no database"


def test_zeros_after_the_end_of_the_tar_count_as_well(tmp_path: Path) -> None:
    write_sample_store(tmp_path / "old")
    data = make_backup(tmp_path / "old")
    tail = io.BytesIO()
    with gzip.GzipFile(fileobj=tail, mode="wb") as packed_file:
        for _ in range(MIN_UNPACKED_BYTES // MEGABYTE + 1):
            packed_file.write(bytes(MEGABYTE))
    assert refusal(data + tail.getvalue(), tmp_path / "store").key == "backup_unpacks_too_large"


def test_the_members_of_an_archive_are_not_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive_counts: list[int] = []
    members: weakref.WeakSet[object] = weakref.WeakSet()

    def count(member: object, *_: object) -> None:
        members.add(member)
        alive_counts.append(len(members))

    monkeypatch.setattr("wx2mqtt.store.backup_archive._extract", count)
    data = make_archive(*((f"sessions/a{number}.json", b"") for number in range(100)), header=header_fields())
    assert refusal(data, tmp_path / "store").key == "backup_incomplete"
    assert len(alive_counts) == 100
    assert max(alive_counts) <= 2


def forged_backup(folder: Path, change: Callable[[sqlite3.Connection], object]) -> bytes:
    """Returns the backup of a store in which somebody has changed the database."""
    write_sample_store(folder / "old")
    (folder / "secret.txt").write_text("outside of the store")
    copy = folder / "copy.db"
    with (
        closing(sqlite3.connect(folder / "old" / DATABASE_NAME)) as database,
        closing(sqlite3.connect(copy)) as target,
    ):
        with database:
            change(database)
        database.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")
    entry = measure_file(copy)
    files = {DATABASE_NAME: {"size": entry.size, "sha256": entry.sha256}}
    header = header_fields(store=newest_version(), files=files)
    return make_archive((DATABASE_NAME, copy.read_bytes()), header=header)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW more AS SELECT * FROM command",
        "CREATE TRIGGER more AFTER INSERT ON command BEGIN DELETE FROM publication; END",
        "CREATE VIRTUAL TABLE more USING fts5(a)",
        "CREATE TABLE more (a TEXT, b TEXT GENERATED ALWAYS AS (a || a))",
        "CREATE INDEX more ON publication (json(topic)) WHERE id > 1000000",
        "CREATE UNIQUE INDEX more ON publication (account) WHERE id > 1000000",
        "ALTER TABLE publication ADD COLUMN more TEXT NOT NULL DEFAULT '' CHECK (id < 1000000)",
        "DROP INDEX publication_key",
    ],
)
def test_a_database_with_another_schema_is_refused(tmp_path: Path, statement: str) -> None:
    data = forged_backup(tmp_path, lambda database: database.execute(statement))
    assert refusal(data, tmp_path / "store").key == "backup_damaged"


DEEP = "[" * 900 + "]" * 900


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE command SET command = '{DEEP}'",
        f"UPDATE command SET replies = '{DEEP}'",
        f"UPDATE publication SET payload = CAST('{DEEP}' AS BLOB)",
        f"UPDATE media SET ref = '{DEEP}'",
        f"UPDATE person SET profile = '{DEEP}'",
        f"UPDATE account SET announced = '{DEEP}'",
        f"UPDATE publication SET payload = CAST('[{DEEP}{',1' * 30_000}]' AS BLOB)",
    ],
    ids=lambda change: change.split()[1],
)
def test_a_row_that_is_nested_too_deep_to_be_read_is_refused(tmp_path: Path, change: str) -> None:
    data = forged_backup(tmp_path, lambda database: database.execute(change))
    assert refusal(data, tmp_path / "store").key == "backup_damaged"


OUTSIDE = (
    *("../secret.txt", "/etc/passwd", "media/../../secret.txt"),
    *("wx2mqtt.db", "sessions/home.json", "media/aa/x"),
)


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_row_of_a_forged_backup_opens_no_file_but_media_of_the_store(tmp_path: Path, path: str) -> None:
    def change(database: sqlite3.Connection) -> None:
        for table in ("media", "command"):
            database.execute(
                f"UPDATE {table} SET blob = json_set(blob, '$.path', ?) WHERE blob IS NOT NULL", (path,)
            )

    data = forged_backup(tmp_path, change)
    store = tmp_path / "store"
    restore_store(store, io.BytesIO(data), force=False)

    async def check_rows(open_store: OpenStore) -> None:
        row = await open_store.journal.media.get("m")
        assert row is not None
        assert (row.state, row.blob) == (MediaState.READY, None)
        (waiting,) = [
            command
            for command in await open_store.journal.commands.list_newest()
            if command.command_id == "with-file"
        ]
        assert waiting.blob is None

    run_on_store(store, check_rows)
    out = io.BytesIO()
    create_backup(store, out, tmp_path, media=False)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue()), mode="r:gz") as tar:
        assert all("secret" not in name and "passwd" not in name for name in tar.getnames())


SHA256 = "ab" * 32
VALID = Blob(sha256=SHA256, size=1, mime="image/jpeg", path=f"media/ab/{SHA256}.jpg")


def test_a_valid_reference_to_a_file_is_read() -> None:
    assert blob_from_text(blob_to_text(VALID)) == VALID
    bare = replace(VALID, path=f"media/ab/{SHA256}")
    assert blob_from_text(blob_to_text(bare)) == bare


@every_row(
    "changes",
    [
        {"path": f"media/cd/{SHA256}.jpg"},
        {"path": f"media/ab/{'ab' * 31}cd.jpg"},
        {"path": f"media/ab/{SHA256}.jpg\n"},
        {"path": f"media/ab/{SHA256}.j/g"},
        {"sha256": "cd" * 32},
        {"mime": "text/html\r\nSet-Cookie: a=b"},
        {"mime": "image"},
        {"size": -1},
    ],
)
def test_any_other_reference_to_a_file_is_ignored(changes: dict[str, Any]) -> None:
    assert blob_from_text(blob_to_text(replace(VALID, **changes))) is None
