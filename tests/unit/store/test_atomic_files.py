"""Files of the store are replaced whole, and their errors name the file and the remedy."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from tests.support.rows import every_row
from tests.unit.store.conftest import unprivileged
from tests.unit.store.make import names
from wx2mqtt.errors import StoreError, StoreFull
from wx2mqtt.store.atomic_files import (
    AtomicFile,
    database_error,
    file_error,
    is_damage,
    quarantine,
    read_file,
    write_atomically,
)

PATH = Path("/store/wx2mqtt.db")


@every_row(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, StoreFull, "no room"),
        (errno.EDQUOT, StoreFull, "no room"),
        (errno.EFBIG, StoreFull, "ulimit"),
        (errno.EACCES, StoreError, "rights"),
        (errno.EROFS, StoreError, "read-only"),
        (errno.EIO, StoreError, "disk"),
        (errno.ELOOP, StoreError, "symbolic"),
    ],
)
def test_a_file_error_names_the_file_the_cause_and_the_remedy(
    number: int, kind: type[StoreError], words: str
) -> None:
    store_error = file_error(OSError(number, "Too many levels of symbolic links"), PATH)
    assert type(store_error) is kind
    assert words in str(store_error)
    assert str(PATH) in str(store_error)


def _error(code: int, name: str = "SQLITE") -> sqlite3.Error:
    error = sqlite3.OperationalError("near 'geheim': syntax error")
    error.sqlite_errorcode = code
    error.sqlite_errorname = name
    return error


@every_row(
    ("code", "kind", "words"),
    [
        (sqlite3.SQLITE_FULL, StoreFull, "no room"),
        (sqlite3.SQLITE_IOERR_SHMSIZE, StoreFull, "no room"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, StoreError, "read-only"),
        (sqlite3.SQLITE_CANTOPEN, StoreError, "rights"),
        (sqlite3.SQLITE_IOERR_WRITE, StoreError, "disk"),
        (sqlite3.SQLITE_CORRUPT_INDEX, StoreError, "damaged"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreError, "another program"),
        (sqlite3.SQLITE_NOMEM, StoreError, "memory"),
    ],
)
def test_an_error_of_sqlite_is_recognised_by_its_code_or_its_family(
    code: int, kind: type[StoreError], words: str
) -> None:
    store_error = database_error(_error(code), PATH)
    assert type(store_error) is kind
    assert words in str(store_error)


def test_an_unknown_error_is_named_without_the_text_of_sqlite() -> None:
    store_error = database_error(_error(sqlite3.SQLITE_ERROR, "SQLITE_ERROR"), PATH)
    assert "SQLITE_ERROR" in str(store_error)
    assert "geheim" not in str(store_error)
    assert "ProgrammingError" in str(database_error(sqlite3.ProgrammingError("closed"), PATH))
    assert "FileExistsError" in str(file_error(FileExistsError(), PATH))


def test_damage_is_distinguished_from_a_file_out_of_reach() -> None:
    damage = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT_VTAB)
    assert all(is_damage(_error(code)) for code in damage)
    assert not is_damage(_error(sqlite3.SQLITE_FULL))
    assert not is_damage(_error(sqlite3.SQLITE_CANTOPEN))


def test_a_file_is_for_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        write_atomically(tmp_path / "a", b"secret")
    finally:
        os.umask(umask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_the_old_content_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"old and longer")
    write_atomically(tmp_path / "a", b"new")
    assert read_file(tmp_path / "a") == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_reader_never_sees_half_of_a_file(tmp_path: Path) -> None:
    path, seen, stop = tmp_path / "a", set(), threading.Event()
    contents = {letter * 200_000 for letter in (b"a", b"b")}
    write_atomically(path, b"a" * 200_000)

    def read() -> None:
        while not stop.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        for content in contents:
            write_atomically(path, content)
    stop.set()
    reader.join()
    assert seen <= contents


def test_when_a_file_cannot_be_written_its_old_content_stays(read_only_folder: Path) -> None:
    read_only_folder.chmod(0o755)
    write_atomically(read_only_folder / "a", b"old")
    read_only_folder.chmod(0o555)
    with unprivileged(), pytest.raises(StoreError, match="rights"):
        write_atomically(read_only_folder / "a", b"new")
    assert (read_only_folder / "a").read_bytes() == b"old"


async def test_a_folder_in_place_of_a_file_is_an_error_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert read_file(path) is None
    path.mkdir()
    with pytest.raises(StoreError):
        write_atomically(path, b"new")
    with pytest.raises(StoreError):
        read_file(path)
    with pytest.raises(StoreError):
        await AtomicFile(path).delete()
    assert names(tmp_path) == ["a"]


def test_a_quarantined_file_keeps_its_content_and_the_files_beside_it(tmp_path: Path) -> None:
    for ending in ("", "-wal", "-shm", "-other"):
        (tmp_path / f"db{ending}").write_text(ending)
    quarantined = quarantine(tmp_path / "db", "-wal", "-shm", "-none")
    assert quarantined.name.startswith("db.damaged-")
    assert quarantined.read_text() == ""
    assert quarantined.with_name(quarantined.name + "-wal").read_text() == "-wal"
    assert quarantined.with_name(quarantined.name + "-shm").read_text() == "-shm"
    assert sorted(file.name for file in tmp_path.iterdir() if "damaged" not in file.name) == ["db-other"]


def test_all_files_that_are_quarantined_in_one_second_are_kept(tmp_path: Path) -> None:
    quarantined_files = []
    for number in range(3):
        (tmp_path / "db").write_text(str(number))
        quarantined_files.append(quarantine(tmp_path / "db"))
    assert [quarantined.read_text() for quarantined in quarantined_files] == ["0", "1", "2"]


async def test_of_writes_at_the_same_time_the_newest_stays(tmp_path: Path) -> None:
    file = AtomicFile(tmp_path / "a")
    for _ in range(20):
        await asyncio.gather(*(file.write(str(number).encode()) for number in range(10)))
        assert read_file(file.path) == b"9"


async def test_a_write_whose_wait_was_cancelled_does_not_undo_a_later_one(tmp_path: Path) -> None:
    file = AtomicFile(tmp_path / "a")
    for number in range(20):
        first = asyncio.create_task(file.write(b"old"))
        await asyncio.sleep(0)
        first.cancel()
        await file.write(str(number).encode())
        await asyncio.to_thread(file._lock.acquire)
        file._lock.release()
        assert read_file(file.path) == str(number).encode()


async def test_a_deleted_file_is_gone_and_may_be_deleted_again(tmp_path: Path) -> None:
    file = AtomicFile(tmp_path / "a")
    await file.write(b"a")
    await file.delete()
    await file.delete()
    assert read_file(file.path) is None
