"""Files of the store: errors with a remedy, atomic writes, saved logins."""

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
from wx2mqtt.store.saved_logins import SavedLoginFile

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
def test_a_file_error_says_where_what_and_how_to_mend_it(
    number: int, kind: type[StoreError], words: str
) -> None:
    trouble = file_error(OSError(number, "Too many levels of symbolic links"), PATH)
    assert type(trouble) is kind
    assert words in str(trouble)
    assert str(PATH) in str(trouble)


def test_a_file_error_without_number_is_an_error_too() -> None:
    assert "FileExistsError" in str(file_error(FileExistsError(), PATH))


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
def test_sqlites_error_is_known_by_its_code_or_its_family(
    code: int, kind: type[StoreError], words: str
) -> None:
    trouble = database_error(_error(code), PATH)
    assert type(trouble) is kind
    assert words in str(trouble)


def test_an_unknown_error_is_named_and_never_quotes_sqlites_text() -> None:
    trouble = database_error(_error(sqlite3.SQLITE_ERROR, "SQLITE_ERROR"), PATH)
    assert "SQLITE_ERROR" in str(trouble)
    assert "geheim" not in str(trouble)


def test_an_error_without_a_code_is_an_error_too() -> None:
    assert "ProgrammingError" in str(database_error(sqlite3.ProgrammingError("closed"), PATH))


@pytest.mark.parametrize("code", [sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT_VTAB])
def test_damage_is_distinguished_from_a_file_out_of_reach(code: int) -> None:
    assert is_damage(_error(code))
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


def test_a_reader_never_sees_half_of_it(tmp_path: Path) -> None:
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


def test_when_it_cannot_be_written_the_old_content_stays(guarded: Path) -> None:
    guarded.chmod(0o755)
    write_atomically(guarded / "a", b"old")
    guarded.chmod(0o555)
    with unprivileged(), pytest.raises(StoreError, match="rights"):
        write_atomically(guarded / "a", b"new")
    assert (guarded / "a").read_bytes() == b"old"


def test_when_it_cannot_be_moved_into_place_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StoreError):
        write_atomically(tmp_path / "a", b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_file_that_is_not_there_reads_as_none(tmp_path: Path) -> None:
    assert read_file(tmp_path / "a") is None


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        read_file(tmp_path)


def test_what_is_put_aside_keeps_its_content_and_its_companions(tmp_path: Path) -> None:
    for ending in ("", "-wal", "-shm", "-other"):
        (tmp_path / f"db{ending}").write_text(ending)
    aside = quarantine(tmp_path / "db", "-wal", "-shm", "-none")
    assert aside.name.startswith("db.damaged-")
    assert aside.read_text() == ""
    assert aside.with_name(aside.name + "-wal").read_text() == "-wal"
    assert aside.with_name(aside.name + "-shm").read_text() == "-shm"
    assert sorted(file.name for file in tmp_path.iterdir() if "damaged" not in file.name) == ["db-other"]


def test_two_that_are_put_aside_in_one_second_are_both_kept(tmp_path: Path) -> None:
    asides = []
    for number in range(3):
        (tmp_path / "db").write_text(str(number))
        asides.append(quarantine(tmp_path / "db"))
    assert [aside.read_text() for aside in asides] == ["0", "1", "2"]


async def test_of_changes_at_the_same_time_the_newest_wins(tmp_path: Path) -> None:
    file = AtomicFile(tmp_path / "a")
    for _ in range(20):
        await asyncio.gather(*(file.write(str(number).encode()) for number in range(10)))
        assert read_file(file.path) == b"9"


async def test_a_change_whose_wait_was_cancelled_does_not_undo_a_later_one(tmp_path: Path) -> None:
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


async def test_a_file_that_cannot_be_deleted_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StoreError):
        await AtomicFile(tmp_path / "a").delete()


SESSION = {"skey": "@crypt", "cookies": [{"name": "wxsid", "value": "老"}], "keys": {"1": 2}, "none": None}


async def test_nothing_was_saved(tmp_path: Path) -> None:
    assert await SavedLoginFile(tmp_path / "session.json").load() is None


async def test_what_was_saved_last_is_loaded(tmp_path: Path) -> None:
    vault = SavedLoginFile(tmp_path / "session.json")
    await vault.save({"old": True})
    await vault.save(SESSION)
    assert await SavedLoginFile(tmp_path / "session.json").load() == SESSION


async def test_it_is_for_its_owner_only(tmp_path: Path) -> None:
    await SavedLoginFile(tmp_path / "session.json").save(SESSION)
    assert (tmp_path / "session.json").stat().st_mode & 0o777 == 0o600


async def test_a_cleared_login_is_gone(tmp_path: Path) -> None:
    vault = SavedLoginFile(tmp_path / "session.json")
    await vault.save(SESSION)
    await vault.clear()
    await vault.clear()
    assert await vault.load() is None
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'"text"', b"[" * 100_000])
async def test_a_damaged_file_counts_as_none_and_is_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "session.json").write_bytes(content)
    vault = SavedLoginFile(tmp_path / "session.json")
    assert await vault.load() is None
    (aside,) = names(tmp_path)
    assert aside.startswith("session.json.damaged-")
    assert (tmp_path / aside).read_bytes() == content
    await vault.save(SESSION)
    assert await vault.load() == SESSION


async def test_half_a_surrogate_pair_can_be_saved(tmp_path: Path) -> None:
    vault = SavedLoginFile(tmp_path / "session.json")
    await vault.save({"nickname": "a\ud83d"})
    assert await vault.load() == {"nickname": "a\ud83d"}


async def test_a_folder_without_write_right_is_a_store_error(guarded: Path) -> None:
    with unprivileged(), pytest.raises(StoreError, match="rights"):
        await SavedLoginFile(guarded / "session.json").save(SESSION)


async def test_no_error_shows_what_was_to_be_saved(guarded: Path) -> None:
    with unprivileged(), pytest.raises(StoreError) as caught:
        await SavedLoginFile(guarded / "session.json").save({"skey": "@crypt_geheim"})
    assert "geheim" not in repr(caught.value)
