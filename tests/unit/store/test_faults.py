"""What goes wrong with a disk, in words that help."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from wx2mqtt.errors import StoreError, StoreFull
from wx2mqtt.store.faults import database_trouble, file_trouble, is_damage

PATH = Path("/store/wx2mqtt.db")


@pytest.mark.parametrize(
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
    trouble = file_trouble(OSError(number, "Too many levels of symbolic links"), PATH)
    assert type(trouble) is kind
    assert words in str(trouble)
    assert str(PATH) in str(trouble)


def test_a_file_error_without_number_is_an_error_too() -> None:
    assert "FileExistsError" in str(file_trouble(FileExistsError(), PATH))


def _error(code: int, name: str = "SQLITE") -> sqlite3.Error:
    error = sqlite3.OperationalError("near 'geheim': syntax error")
    error.sqlite_errorcode = code
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
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
    trouble = database_trouble(_error(code), PATH)
    assert type(trouble) is kind
    assert words in str(trouble)


def test_an_unknown_error_is_named_and_never_quotes_sqlites_text() -> None:
    trouble = database_trouble(_error(sqlite3.SQLITE_ERROR, "SQLITE_ERROR"), PATH)
    assert "SQLITE_ERROR" in str(trouble)
    assert "geheim" not in str(trouble)


def test_an_error_without_a_code_is_an_error_too() -> None:
    assert "ProgrammingError" in str(database_trouble(sqlite3.ProgrammingError("closed"), PATH))


@pytest.mark.parametrize("code", [sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT_VTAB])
def test_damage_is_told_from_what_is_out_of_reach(code: int) -> None:
    assert is_damage(_error(code))
    assert not is_damage(_error(sqlite3.SQLITE_FULL))
    assert not is_damage(_error(sqlite3.SQLITE_CANTOPEN))
