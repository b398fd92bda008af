"""Files in PostgreSQL are stored in pieces, and every instance can fetch, count and remove them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgresql import empty_database
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Blob
from wx2mqtt.store import postgresql_blobs
from wx2mqtt.store.blobs import SizeLimitExceeded
from wx2mqtt.store.database import Connection
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.postgresql_blobs import COPY_SECONDS, DatabaseBlobs
from wx2mqtt.store.postgresql_database import PostgresqlDatabase

LIMIT = 10_000_000
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 2500


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_blobs, "PIECE_BYTES", 1000)


@pytest.fixture
async def database() -> AsyncIterator[PostgresqlDatabase]:
    opened = await PostgresqlDatabase.open(empty_database())
    yield opened
    await opened.close()


async def _instance(database: PostgresqlDatabase, folder: Path) -> DatabaseBlobs:
    blobs = DatabaseBlobs(folder, database)
    await blobs.open()
    return blobs


@pytest.fixture
async def here(database: PostgresqlDatabase, tmp_path: Path) -> DatabaseBlobs:
    return await _instance(database, tmp_path / "here")


@pytest.fixture
async def there(database: PostgresqlDatabase, tmp_path: Path) -> DatabaseBlobs:
    return await _instance(database, tmp_path / "there")


async def _sizes(database: PostgresqlDatabase) -> list[int]:
    statement = "SELECT octet_length(content) FROM media_piece ORDER BY sha256, number"
    return [size for (size,) in await database.read(lambda db: db.execute(statement).fetchall())]


async def _age(database: PostgresqlDatabase, seconds: int) -> None:
    def job(connection: Connection) -> None:
        for table in ("media_file", "media_piece"):
            connection.execute(f"UPDATE {table} SET stored = stored - make_interval(secs => ?)", (seconds,))

    await database.write("age", job)


async def _remove(database: PostgresqlDatabase, blobs: DatabaseBlobs, blob: Blob) -> int:
    return await database.write("remove", lambda db: blobs.remove([blobs.path_of(blob)], db))


@pytest.mark.parametrize("content", [b"", b"a", b"x" * 1000, b"x" * 1001, PNG])
async def test_another_instance_gets_the_same_file(
    here: DatabaseBlobs, there: DatabaseBlobs, content: bytes
) -> None:
    blob = await here.store(content, LIMIT)
    assert await there.fetch(blob)
    assert there.path_of(blob).read_bytes() == content
    assert await there.fetch(blob)


async def test_no_piece_is_larger_than_a_piece(here: DatabaseBlobs, database: PostgresqlDatabase) -> None:
    await here.store(PNG, LIMIT)
    assert await _sizes(database) == [1000, 1000, 508]


async def test_a_file_of_two_instances_is_stored_and_counted_once(
    here: DatabaseBlobs, there: DatabaseBlobs, database: PostgresqlDatabase, tmp_path: Path
) -> None:
    await here.store(PNG, LIMIT)
    await there.store(PNG, LIMIT)
    assert len(await _sizes(database)) == 3
    later = await _instance(database, tmp_path / "later")
    assert (here.size, later.size) == (len(PNG), len(PNG))
    await there.older_than(0)
    assert there.size == len(PNG)


async def test_two_instances_may_store_the_same_file_at_once(
    here: DatabaseBlobs, there: DatabaseBlobs, database: PostgresqlDatabase, tmp_path: Path
) -> None:
    blob, _ = await asyncio.gather(here.store(PNG, LIMIT), there.store(PNG, LIMIT))
    later = await _instance(database, tmp_path / "later")
    assert await later.fetch(blob)
    assert later.size == len(PNG)


async def test_a_removed_file_cannot_be_fetched(
    here: DatabaseBlobs, there: DatabaseBlobs, database: PostgresqlDatabase
) -> None:
    blob = await here.store(PNG, LIMIT)
    here.mark_referenced(blob)
    await _age(database, 61)
    assert await _remove(database, here, blob) == len(PNG)
    assert not here.path_of(blob).exists()
    assert here.size == 0
    assert await _sizes(database) == []
    assert not await there.fetch(blob)
    assert not await here.fetch(blob)


async def test_a_new_file_is_not_removed_since_its_row_may_still_be_stored(
    here: DatabaseBlobs, there: DatabaseBlobs, database: PostgresqlDatabase
) -> None:
    blob = await here.store(PNG, LIMIT)
    assert await _remove(database, there, blob) == 0
    await _age(database, 61)
    assert await _remove(database, here, blob) == 0  # it is pending here
    await there.store(PNG, LIMIT)
    there.mark_referenced(blob)
    assert await _remove(database, there, blob) == 0  # it is new again
    assert await there.fetch(blob)


async def test_a_removal_that_is_undone_removes_nothing(
    here: DatabaseBlobs, there: DatabaseBlobs, database: PostgresqlDatabase
) -> None:
    blob = await here.store(PNG, LIMIT)
    here.mark_referenced(blob)
    await _age(database, 61)

    def job(connection: Connection) -> None:
        here.remove([here.path_of(blob)], connection)
        raise KeyError

    with pytest.raises(KeyError):
        await database.write("remove", job)
    assert await here.fetch(blob)
    await here.older_than(0)
    assert here.size == len(PNG)


async def test_an_interrupted_upload_is_no_file_and_its_pieces_are_deleted_later(
    here: DatabaseBlobs, there: DatabaseBlobs, database: PostgresqlDatabase
) -> None:
    blob = await here.store(PNG, LIMIT)
    await database.write("kill", lambda db: db.execute("DELETE FROM media_file"))
    assert not await there.fetch(blob)
    await there.older_than(0)
    assert len(await _sizes(database)) == 3  # the upload may still run
    await _age(database, 3601)
    await there.older_than(0)
    assert await _sizes(database) == []


async def test_a_failed_upload_is_no_file(
    here: DatabaseBlobs, database: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = database.execute

    async def failing_execute(name: str, *values: Any) -> int:
        if name == "media_file":
            raise StoreError("no room")
        return await execute(name, *values)

    monkeypatch.setattr(database, "execute", failing_execute)
    with pytest.raises(StoreError, match="no room"):
        await here.store(PNG, LIMIT)
    monkeypatch.undo()
    assert here.size == 0
    assert not here._pending._counts


@pytest.mark.parametrize("change", ["content = 'x'", "number = 9", "content = repeat('x', 2000)::bytea"])
async def test_a_damaged_file_cannot_be_fetched(
    here: DatabaseBlobs, there: DatabaseBlobs, database: PostgresqlDatabase, change: str
) -> None:
    blob = await here.store(PNG, LIMIT)
    statement = f"UPDATE media_piece SET {change} WHERE number = 1"
    await database.write("damage", lambda db: db.execute(statement))
    assert not await there.fetch(blob)


async def test_a_file_that_is_too_large_is_refused_before_it_is_in_the_database(
    here: DatabaseBlobs, database: PostgresqlDatabase
) -> None:
    with pytest.raises(SizeLimitExceeded):
        await here.store(PNG, 100)
    assert await _sizes(database) == []


async def test_old_local_copies_are_deleted_and_fetched_again(here: DatabaseBlobs) -> None:
    blob = await here.store(PNG, LIMIT)
    here.mark_referenced(blob)
    path = here.path_of(blob)
    old = path.stat().st_mtime - COPY_SECONDS - 1
    os.utime(path, (old, old))
    await here.older_than(3600)
    assert not path.exists()
    assert await here.fetch(blob)
    assert path.read_bytes() == PNG


async def test_the_retention_removes_files_that_no_row_needs(
    here: DatabaseBlobs, there: DatabaseBlobs, database: PostgresqlDatabase
) -> None:
    blob = await here.store(PNG, LIMIT)
    retention = MediaRetention(database, there)
    assert await retention.delete_unused_files() == 0
    await _age(database, 3601)
    await there.older_than(0)
    assert retention.blobs.size == len(PNG)
    assert await retention.delete_unused_files() == len(PNG)
    assert retention.blobs.size == 0
    assert not await there.fetch(blob)
