"""A new store for each test, and a clock that the test sets."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.postgresql import empty_database
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.postgresql_database import PostgresqlDatabase
from wx2mqtt.store.sqlite_database import SqliteDatabase

NOBODY = 65534


@dataclass
class Clock:
    """A clock in milliseconds since 1970, which the test sets."""

    now: int = 1_795_600_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A new store in each kind of database."""
    opened: Database
    if request.param == "sqlite":
        opened = await SqliteDatabase.open(tmp_path / "wx2mqtt.db")
    else:
        opened = await PostgresqlDatabase.open(empty_database())
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite_database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await SqliteDatabase.open(tmp_path / "wx2mqtt.db")
    yield opened
    await opened.close()


@pytest.fixture
async def journal(database: Database, clock: Clock) -> Journal:
    journal = Journal(database, "home", clock)
    await journal.open()
    return journal


@pytest.fixture
async def work(database: Database, clock: Clock) -> Journal:
    """The journal of another account in the same database."""
    journal = Journal(database, "work", clock)
    await journal.open()
    return journal


@pytest.fixture
def read_only_folder() -> Iterator[Path]:
    """A folder that is read-only within `unprivileged`."""
    folder = Path(tempfile.mkdtemp(prefix="wx2mqtt-"))
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Runs the block as a user who may not write everywhere, as root may."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
