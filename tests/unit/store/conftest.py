"""A fresh store for each test, and a clock that the test turns."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal

NOBODY = 65534


@dataclass
class Clock:
    """Milliseconds since 1970, as the test says."""

    now: int = 1_795_600_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "wx2mqtt.db")
    yield opened
    await opened.close()


@pytest.fixture
async def journal(database: Database, clock: Clock) -> Journal:
    journal = Journal(database, "home", clock)
    await journal.open()
    return journal


@pytest.fixture
def guarded() -> Iterator[Path]:
    """A folder in which nobody may write while `unprivileged` is on."""
    folder = Path(tempfile.mkdtemp(prefix="wx2mqtt-"))
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write everywhere: be somebody else for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
