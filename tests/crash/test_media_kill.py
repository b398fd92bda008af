"""SIGKILL around every commit of media and requests, and at every step of a file: no job lost, no file by half."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.crash import media_child
from tests.crash.media_child import data, mark
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.forks import ForkedProgram
from tests.support.repetitions import chaos, repetitions
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.command_records import CommandRow, CommandState
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.records import MediaRow, MediaState
from wx2mqtt.store.requests import RequestState
from wx2mqtt.store.sqlite_database import SqliteDatabase

COMMITS = [
    "record", "media_postpone", "media_over", "media_ready", "release", "accept", "attach", "finish",
    "request_begin", "request_end", "media_prune", "media_remove",
]  # fmt: skip
STEPS = ["write", "fsync", "rename", "folder"]


@dataclass
class Told:
    """What the killed process had been told is on the disk: numbers, by what became of them."""

    of: dict[str, set[int]] = field(default_factory=dict)

    def add(self, line: str) -> None:
        facts = json.loads(line)
        numbers = facts.get("numbers", [facts["number"]] if "number" in facts else [])
        self.of.setdefault(facts["what"], set()).update(numbers)

    def __call__(self, what: str) -> set[int]:
        return self.of.get(what, set())


@dataclass
class Left:
    """What is in the store after the kill."""

    rows: dict[int, MediaRow]
    commands: dict[int, CommandRow]
    requests: dict[int, RequestState]
    held: set[int]
    events: Counter[int]
    answers: Counter[int]
    files: dict[Path, bytes]
    blobs: Blobs


def _start(folder: Path, point: str, count: int) -> ForkedProgram:
    return ForkedProgram([str(folder), point, str(count)], main=media_child.run)


def _listen(process: ForkedProgram, told: Told) -> Told:
    for line in process.stdout:
        told.add(line)
    process.stdout.close()
    assert process.wait(MAX_WAIT_SECONDS) == -signal.SIGKILL
    return told


async def _left(folder: Path, told: Told) -> tuple[Left, set[Path]]:
    """What is there; and which files are, once what nobody needs was swept away."""
    database = await SqliteDatabase.open(folder / "wx2mqtt.db")
    assert database.set_aside is None
    blobs, journal = Blobs(folder), Journal(database, "home")
    await blobs.open()
    with closing(sqlite3.connect(folder / "wx2mqtt.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        ids = [media_id for (media_id,) in connection.execute("SELECT id FROM media")]
        payloads = [json.loads(text) for (text,) in connection.execute("SELECT payload FROM publication")]
    commands = await journal.commands.list_newest(limit=100_000)
    requests = {
        number: (await journal.requests.start(mark(number, dup=True))).state for number in told("begun")
    }
    files = {file: file.read_bytes() for file in _files(folder)}
    left = Left(
        rows={int(one[1:]): row for one in ids if (row := await journal.media.get(one))},
        commands={int(row.command_id[1:]): row for row in commands},
        requests=requests,
        held={int(key[1:]) for key, _, _ in await journal.media.waiting_messages()},
        events=Counter(payload["media"] for payload in payloads if "media" in payload),
        answers=Counter(payload["request"] for payload in payloads if "request" in payload),
        files=files,
        blobs=blobs,
    )
    await MediaRetention(database, blobs).delete_unused_files(0.0)
    await database.close()
    return left, _files(folder)


def _files(folder: Path) -> set[Path]:
    return {file for file in (folder / "media").rglob("*") if file.is_file()}


def _check(folder: Path, told: Told) -> None:
    left, swept = asyncio.run(_left(folder, told))
    _check_files(left, swept)
    _check_jobs(told, left)
    _check_commands(told, left)
    for number in told("begun"):
        answered = left.requests[number] is RequestState.ANSWERED
        assert left.requests[number] is not RequestState.FRESH
        assert left.answers[number] == answered
        assert answered or number not in told("ended")


def _check_files(left: Left, swept: set[Path]) -> None:
    """Each file is what its name says, each row has its file, and no other file outlives the sweep."""
    for file, content in left.files.items():
        assert file.name.partition(".")[0] == hashlib.sha256(content).hexdigest()
    waiting = [row for row in left.commands.values() if row.state is CommandState.WAITING]
    blobs = [*(row.blob for row in left.rows.values()), *(row.blob for row in waiting)]
    needed = {blob for blob in blobs if blob}
    for blob in needed:
        assert left.blobs.exists(blob)
    assert swept == {left.blobs.path_of(blob) for blob in needed}


def _check_jobs(told: Told, left: Left) -> None:
    """A job is there with its message, and what became of it with its event, once."""
    assert told("recorded") <= left.rows.keys()
    assert len(left.rows) <= len(told("recorded")) + 4
    for number, row in left.rows.items():
        assert left.events[number] == (row.state is not MediaState.PENDING)
        assert row.blob is None or row.blob.sha256 == hashlib.sha256(data(number)).hexdigest()
        assert (row.due is None) == (row.state is not MediaState.PENDING)
        assert number % 2 == 0 or number not in left.held
    assert all(left.rows[number].state in {MediaState.READY, MediaState.GONE} for number in told("ready"))
    assert all(left.rows[number].state is MediaState.FAILED for number in told("failed"))
    assert all(left.rows[number].attempts == 1 for number in told("postponed"))
    assert not told("released") & left.held
    over = {number for number, row in left.rows.items() if row.state is not MediaState.PENDING}
    even = {number for number in left.rows if number % 2 == 0}
    assert even - over <= left.held


def _check_commands(told: Told, left: Left) -> None:
    assert told("accepted") <= left.commands.keys()
    for number in told("accepted"):
        blob = left.commands[number].blob
        assert blob is not None
        assert blob.sha256 == hashlib.sha256(data(-number)).hexdigest()
    for number in told("settled"):
        assert left.commands[number].state is CommandState.FINISHED


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", [*COMMITS, *STEPS])
def test_killed_around_a_commit_and_at_each_step_of_a_file(tmp_path: Path, point: str, when: str) -> None:
    told = _listen(_start(tmp_path, f"{when}:{point}", 7), Told())
    assert told.of, "it lived long enough to be told something"
    _check(tmp_path, told)


@chaos
def test_killed_at_random_moments(tmp_path: Path) -> None:
    dice = random.Random(20261126)
    for attempt in range(repetitions(3, 8)):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        process, told = _start(folder, "-", 0), Told()
        for _ in range(dice.randrange(1, 300)):
            told.add(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        _check(folder, _listen(process, told))
