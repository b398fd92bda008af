"""A backup from somebody else is refused in one sentence, changes nothing and takes no more than it should."""

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
from tests.unit.store.test_backup_archive import crafted, telling
from tests.unit.store.test_folder_backup import OpenStore, living, opened, packed
from wx2mqtt.errors import StoreTooNew
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.limits import BACKUP_HEAD_JSON, MAX_UNPACKED_RATIO, MIN_UNPACKED_BYTES
from wx2mqtt.model import Blob
from wx2mqtt.store.backup_archive import HEADER_NAME, BadBackup, measure_file
from wx2mqtt.store.column_values import blob_from_text, blob_to_text
from wx2mqtt.store.folder import DATABASE_NAME
from wx2mqtt.store.folder_backup import create_backup, restore_store
from wx2mqtt.store.records import MediaState
from wx2mqtt.store.sqlite_database import newest_version

MEGABYTE = 1 << 20


def refusal(data: bytes, folder: Path) -> BadBackup:
    """Nothing is in the folder afterwards but the lock, and there is a sentence in both languages."""
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
    return crafted((HEADER_NAME, text))


def header(**more: object) -> bytes:
    return json.dumps(telling(**more)).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"program": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        header().replace(b'"format": 1', b'"format": Infinity'),
        header().replace(b'"format": 1', b'"format": NaN'),
        header().replace(b'"format": 1', b'"format": 1e999'),
        header().replace(b'"format": 1', b'"format": ' + b"9" * 5000),
        header().replace(b'"store": 3', b'"store": Infinity'),
        header(accounts=["../../etc"]),
        header(accounts=["a" * 100_000]),
        header(version="\x1b[2J"),
        header(version="9" * 100_000),
        header(made="\x1b[2J"),
        header(stream=["x"]),
        header(files={DATABASE_NAME: {"size": -1e9, "sha256": "0" * 64}}),
        header(files={DATABASE_NAME: {"size": 1, "sha256": "x"}}),
        header(files={DATABASE_NAME: 7}),
        header(files=[DATABASE_NAME]),
        header(other=1),
        header(accounts=[["home"]] * BACKUP_HEAD_JSON.max_values),
    ],
    ids=lambda text: text[:30].decode() + str(len(text)),
)
def test_a_hostile_head_is_damage(tmp_path: Path, text: bytes) -> None:
    assert refusal(with_header(text), tmp_path / "store").key == "backup_damaged"


keys = st.sampled_from(sorted(telling()))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=5,
)


@given(key=keys, value=values)
def test_any_value_of_any_key_in_the_head_is_accepted_or_refused(
    tmp_path_factory, key: str, value: Any
) -> None:
    with pytest.raises((BadBackup, StoreTooNew)) as caught:
        restore_store(
            tmp_path_factory.mktemp("any"), io.BytesIO(with_header(header(**{key: value}))), force=False
        )
    if isinstance(caught.value, BadBackup):
        assert bridge_text("en", caught.value.key, **caught.value.facts)


def kinds() -> list[tuple[str, bytes]]:
    return [
        (name, getattr(tarfile, name))
        for name in ("XHDTYPE", "XGLTYPE", "GNUTYPE_LONGNAME", "GNUTYPE_LONGLINK", "SYMTYPE", "LNKTYPE")
    ] + [
        (name, getattr(tarfile, name))
        for name in ("DIRTYPE", "FIFOTYPE", "CHRTYPE", "BLKTYPE", "GNUTYPE_SPARSE")
    ]


def zeros_of(kind: bytes, size: int) -> bytes:
    """A tar in gzip, after its head with one member of zeros, whose kind only its header tells."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, size
    first = tarfile.TarInfo(HEADER_NAME)
    text = header()
    first.size = len(text)
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb") as packed_file:
        packed_file.write(first.tobuf(tarfile.GNU_FORMAT) + text + bytes(-len(text) % 512))
        packed_file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(size // MEGABYTE):
            packed_file.write(bytes(MEGABYTE))
        packed_file.write(bytes(1024))
    return out.getvalue()


@pytest.mark.parametrize(("name", "kind"), kinds(), ids=lambda value: value if isinstance(value, str) else "")
def test_only_regular_files_are_read_whatever_their_header_announces(
    tmp_path: Path, name: str, kind: bytes
) -> None:
    data = zeros_of(kind, 32 * MEGABYTE)
    tracemalloc.start()
    try:
        assert refusal(data, tmp_path / "store").key == "backup_strange"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MEGABYTE


def test_a_file_of_another_size_than_the_head_says_is_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    monkeypatch.setattr("wx2mqtt.store.backup_archive._write_new_file", lambda _, path: written.append(path))
    told = telling(files={DATABASE_NAME: {"size": 1, "sha256": "0" * 64}})
    data = crafted((DATABASE_NAME, bytes(MEGABYTE)), told=told)
    assert refusal(data, tmp_path / "store").key == "backup_damaged"
    assert written == []


def bomb(size: int) -> bytes:
    """A backup that lists a database of zeros."""
    entry = {"size": size, "sha256": hashlib.sha256(bytes(size)).hexdigest()}
    return crafted((DATABASE_NAME, bytes(size)), told=telling(files={DATABASE_NAME: entry}))


def test_what_unpacks_to_much_more_than_its_size_is_refused(tmp_path: Path) -> None:
    refused = refusal(bomb(MIN_UNPACKED_BYTES + MEGABYTE), tmp_path / "store")
    assert (refused.key, refused.facts["ratio"]) == ("backup_unpacks_too_large", MAX_UNPACKED_RATIO)


def test_a_small_backup_may_have_any_ratio(tmp_path: Path) -> None:
    assert refusal(bomb(MIN_UNPACKED_BYTES // 2), tmp_path / "store").key == "backup_damaged"  # no database


def test_zeros_after_the_end_of_the_tar_count_as_well(tmp_path: Path) -> None:
    living(tmp_path / "old")
    data = packed(tmp_path / "old")
    tail = io.BytesIO()
    with gzip.GzipFile(fileobj=tail, mode="wb") as packed_file:
        for _ in range(MIN_UNPACKED_BYTES // MEGABYTE + 1):
            packed_file.write(bytes(MEGABYTE))
    assert refusal(data + tail.getvalue(), tmp_path / "store").key == "backup_unpacks_too_large"


def test_no_member_is_kept_once_it_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    members: weakref.WeakSet[object] = weakref.WeakSet()

    def count(member: object, *_: object) -> None:
        members.add(member)
        kept.append(len(members))

    monkeypatch.setattr("wx2mqtt.store.backup_archive._extract", count)
    data = crafted(*((f"sessions/a{number}.json", b"") for number in range(100)), told=telling())
    assert refusal(data, tmp_path / "store").key == "backup_incomplete"
    assert len(kept) == 100
    assert max(kept) <= 2


def forged(folder: Path, change: Callable[[sqlite3.Connection], object]) -> bytes:
    """The backup of a store in which somebody has changed the database."""
    living(folder / "old")
    with closing(sqlite3.connect(folder / "old" / DATABASE_NAME)) as database, database:
        change(database)
    (folder / "secret.txt").write_text("outside of the store")
    out = io.BytesIO()
    copy = folder / "copy.db"
    with (
        closing(sqlite3.connect(folder / "old" / DATABASE_NAME)) as database,
        closing(sqlite3.connect(copy)) as target,
    ):
        database.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")
    files = {DATABASE_NAME: measure_file(copy)}
    told = telling(
        store=newest_version(),
        files={name: {"size": entry.size, "sha256": entry.sha256} for name, entry in files.items()},
    )
    out.write(crafted((DATABASE_NAME, copy.read_bytes()), told=told))
    return out.getvalue()


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
    data = forged(tmp_path, lambda database: database.execute(statement))
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
    assert (
        refusal(forged(tmp_path, lambda database: database.execute(change)), tmp_path / "store").key
        == "backup_damaged"
    )


OUTSIDE = (
    "../secret.txt",
    "/etc/passwd",
    "media/../../secret.txt",
    "wx2mqtt.db",
    "sessions/home.json",
    "media/aa/x",
)


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_row_of_a_forged_backup_opens_no_file_but_media_of_the_store(tmp_path: Path, path: str) -> None:
    def change(database: sqlite3.Connection) -> None:
        for table in ("media", "command"):
            database.execute(
                f"UPDATE {table} SET blob = json_set(blob, '$.path', ?) WHERE blob IS NOT NULL", (path,)
            )

    data = forged(tmp_path, change)
    store = tmp_path / "store"
    restore_store(store, io.BytesIO(data), force=False)

    async def look(open_store: OpenStore) -> None:
        row = await open_store.journal.media.get("m")
        assert row is not None
        assert (row.state, row.blob) == (MediaState.READY, None)
        (waiting,) = [
            one for one in await open_store.journal.commands.list_newest() if one.command_id == "with-file"
        ]
        assert waiting.blob is None

    opened(store, look)
    out = io.BytesIO()
    create_backup(store, out, tmp_path, media=False)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue()), mode="r:gz") as tar:
        assert all("secret" not in name and "passwd" not in name for name in tar.getnames())


SHA256 = "ab" * 32
GOOD = Blob(sha256=SHA256, size=1, mime="image/jpeg", path=f"media/ab/{SHA256}.jpg")


def test_the_one_form_of_a_file_is_read() -> None:
    assert blob_from_text(blob_to_text(GOOD)) == GOOD
    bare = replace(GOOD, path=f"media/ab/{SHA256}")
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
def test_any_other_form_is_no_file(changes: dict[str, Any]) -> None:
    assert blob_from_text(blob_to_text(replace(GOOD, **changes))) is None
