"""Opens a store after a power cut with the product's own code, and says what is not as it must be."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sqlite3
import tempfile
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.power_cut.disk import Disk
from tests.power_cut.trace import Change, TracedCall
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.database import Database
from wx2mqtt.store.files import SavedLoginFile
from wx2mqtt.store.folder import DATABASE_NAME, PEOPLE_COPY_NAME, SESSIONS_FOLDER, StoreFolder
from wx2mqtt.store.migrations import open_file
from wx2mqtt.store.people_copy import PeopleCopy
from wx2mqtt.store.queries import blob_from_text

MEMORY = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK)), None)
"""Where copies of a disk are opened: in memory, which needs no time for an fsync, or the usual temporary folder."""

STORE = "store"  # within the recorded folder
MARKS = "marks"
DATABASE = f"{STORE}/{DATABASE_NAME}"
_FILES = """
SELECT blob FROM media WHERE state = 'ready' UNION ALL SELECT blob FROM command WHERE status IS NULL
"""
DATABASE_FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-journal")


class Marks:
    """What the bridge considered to be on the disk: the number of the call after which that was said."""

    def __init__(self, calls: list[TracedCall]) -> None:
        self.commits: list[int] = []
        self.files: defaultdict[str, list[int]] = defaultdict(list)
        for number, call in enumerate(calls):
            if call.path.name == MARKS and call.change is Change.WRITE:
                for line in call.data.decode().splitlines():
                    self._take(number, line)

    def _take(self, number: int, line: str) -> None:
        kind, _, path = line.partition(" ")
        if kind == "commit":
            self.commits.append(number)
        else:
            self.files[path].append(number)

    @property
    def count(self) -> int:
        return len(self.commits) + sum(map(len, self.files.values()))


def _last_before(numbers: list[int], cut: int) -> int:
    """Returns the last number below the cut, 0 if there is none."""
    place = bisect_left(numbers, cut)
    return numbers[place - 1] if place else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A power cut before call `cut`, the seed of what was lost, and the problems of the store."""

    cut: int
    losses: int
    problems: tuple[str, ...]


def run(work: Coroutine[Any, Any, list[str]]) -> list[str]:
    """Runs the product's code in a loop of its own, also where a loop runs already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


class Judge:
    """Judges the states of a disk."""

    def __init__(self, root: Path, calls: list[TracedCall]) -> None:
        self._disk = Disk.of(root, calls)
        self.marks = Marks(calls)
        self.length = len(calls)
        self._database_calls = [
            number
            for number, call in enumerate(calls)
            if str(call.path.relative_to(root)) in DATABASE_FILES
            and call.change in (Change.WRITE, Change.TRUNCATE, Change.CREATE, Change.REMOVE)
        ]
        self._contents: dict[int, str] = {}

    def check_at_random(self, cuts: int, seed: int) -> list[Finding]:
        """Cuts the power at random moments; returns those with problems."""
        rng = random.Random(seed)
        moments = [(rng.randint(0, self.length), rng.randrange(1 << 32)) for _ in range(cuts)]
        return [
            Finding(cut=cut, losses=losses, problems=tuple(problems))
            for cut, losses in moments
            if (problems := self.check(cut, losses))
        ]

    def check(self, cut: int, losses: int) -> list[str]:
        """Returns the problems of the store after a power cut before call `cut`; `losses` is a seed."""
        with tempfile.TemporaryDirectory(dir=MEMORY) as name:
            root = Path(name)
            self._disk.write_to(root, cut, random.Random(losses))
            try:
                return run(self._check_store(root / STORE, cut))
            except Exception as error:  # noqa: BLE001 - whatever the product raises is a problem
                return [f"cannot be opened: {type(error).__name__}: {error}"]

    async def _check_store(self, store: Path, cut: int) -> list[str]:
        folder = StoreFolder.open(store)
        try:
            database = await Database.open(store / DATABASE_NAME)
            try:
                problems = [] if database.set_aside is None else ["the database was set aside as damaged"]
                problems += self._check_rows(store, cut)
                problems += await _check_blobs(store, database)
                await PeopleCopy(database, store / PEOPLE_COPY_NAME).restore(["somebody new"])
            finally:
                await database.close()
            for login in sorted((store / SESSIONS_FOLDER).glob("*.json")):
                await SavedLoginFile(login).load()
        finally:
            folder.close()
        return problems + self._check_files(store, cut) + _set_aside(store)

    def _check_rows(self, store: Path, cut: int) -> list[str]:
        """The database holds what was committed last, or also the commit that was under way."""
        with closing(sqlite3.connect(store / DATABASE_NAME)) as connection:
            (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
            content = content_of(connection)
        problems = [] if integrity == "ok" else [f"integrity_check: {integrity}"]
        allowed = {self._content_at(cut), self._content_at(_last_before(self.marks.commits, cut))}
        return problems if content in allowed else [*problems, "the database is not at its last commit"]

    def _content_at(self, cut: int) -> str:
        """Returns the content of the database after a cut that loses nothing."""
        key = _last_before(self._database_calls, cut)
        if key not in self._contents:
            with tempfile.TemporaryDirectory(dir=MEMORY) as name:
                self._disk.write_to(Path(name), cut, None, lambda path: path in DATABASE_FILES)
                (Path(name) / STORE).mkdir(exist_ok=True)
                self._contents[key] = _content_of_file(Path(name) / DATABASE)
        return self._contents[key]

    def _check_files(self, store: Path, cut: int) -> list[str]:
        """Each file has the content that was written last, or the one that was being written."""
        problems = []
        for path, numbers in self.marks.files.items():
            marked = _last_before(numbers, cut)
            allowed = {self._disk.content(f"{STORE}/{path}", at) for at in (cut, marked)}
            file = store / path
            if (file.read_bytes() if file.exists() else None) not in allowed:
                problems.append(f"{path} is not what was written")
        return problems


def content_of(connection: sqlite3.Connection) -> str:
    """Returns a digest of all rows of all tables."""
    digest = hashlib.sha256()
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    ).fetchall()
    for (table,) in tables:
        digest.update(table.encode())
        for row in connection.execute(f'SELECT * FROM "{table}"'):
            digest.update(repr(row).encode())
    return digest.hexdigest()


def _content_of_file(path: Path) -> str:
    opened = open_file(path)
    with closing(opened.writer), closing(opened.reader):
        assert opened.set_aside is None
        return content_of(opened.reader)


async def _check_blobs(store: Path, database: Database) -> list[str]:
    """The file of each row is there, whole."""
    blobs = Blobs(store)
    await blobs.open()
    texts = await database.read(lambda connection: connection.execute(_FILES).fetchall())
    wanted = [blob for (text,) in texts if (blob := blob_from_text(text)) is not None]
    return [
        f"the file of a row is not whole: {blob.path}"
        for blob in wanted
        if not blobs.exists(blob)
        or hashlib.sha256(blobs.path_of(blob).read_bytes()).hexdigest() != blob.sha256
    ]


def _set_aside(store: Path) -> list[str]:
    return [f"set aside: {path.relative_to(store)}" for path in store.rglob("*.damaged-*")]
