"""A process is killed around every commit of media and requests, and at every step of writing a file.

No job is lost, and no file is incomplete.
"""

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
class Reported:
    """What the killed process reported as stored: numbers by outcome."""

    numbers_by_outcome: dict[str, set[int]] = field(default_factory=dict)

    def add(self, line: str) -> None:
        facts = json.loads(line)
        numbers = facts.get("numbers", [facts["number"]] if "number" in facts else [])
        self.numbers_by_outcome.setdefault(facts["what"], set()).update(numbers)

    def __call__(self, what: str) -> set[int]:
        return self.numbers_by_outcome.get(what, set())


@dataclass
class StoreContents:
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


def _read_reports(process: ForkedProgram, reported: Reported) -> Reported:
    for line in process.stdout:
        reported.add(line)
    process.stdout.close()
    assert process.wait(MAX_WAIT_SECONDS) == -signal.SIGKILL
    return reported


async def _read_contents(folder: Path, reported: Reported) -> tuple[StoreContents, set[Path]]:
    """Returns the contents of the store, and the files that are left after the cleanup."""
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
        number: (await journal.requests.start(mark(number, dup=True))).state for number in reported("begun")
    }
    files = {file: file.read_bytes() for file in _files(folder)}
    contents = StoreContents(
        rows={int(media_id[1:]): row for media_id in ids if (row := await journal.media.get(media_id))},
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
    return contents, _files(folder)


def _files(folder: Path) -> set[Path]:
    return {file for file in (folder / "media").rglob("*") if file.is_file()}


def _check(folder: Path, reported: Reported) -> None:
    contents, files_after_cleanup = asyncio.run(_read_contents(folder, reported))
    _check_files(contents, files_after_cleanup)
    _check_jobs(reported, contents)
    _check_commands(reported, contents)
    for number in reported("begun"):
        answered = contents.requests[number] is RequestState.ANSWERED
        assert contents.requests[number] is not RequestState.FRESH
        assert contents.answers[number] == answered
        assert answered or number not in reported("ended")


def _check_files(contents: StoreContents, files_after_cleanup: set[Path]) -> None:
    """Asserts that each file has the hash of its name, that each row has its file, and that no other file is left."""
    for file, content in contents.files.items():
        assert file.name.partition(".")[0] == hashlib.sha256(content).hexdigest()
    waiting = [row for row in contents.commands.values() if row.state is CommandState.WAITING]
    blobs = [*(row.blob for row in contents.rows.values()), *(row.blob for row in waiting)]
    needed = {blob for blob in blobs if blob}
    for blob in needed:
        assert contents.blobs.exists(blob)
    assert files_after_cleanup == {contents.blobs.path_of(blob) for blob in needed}


def _check_jobs(reported: Reported, contents: StoreContents) -> None:
    """Asserts that each message has its job, and each finished job one event."""
    assert reported("recorded") <= contents.rows.keys()
    assert len(contents.rows) <= len(reported("recorded")) + 4
    for number, row in contents.rows.items():
        assert contents.events[number] == (row.state is not MediaState.PENDING)
        assert row.blob is None or row.blob.sha256 == hashlib.sha256(data(number)).hexdigest()
        assert (row.due is None) == (row.state is not MediaState.PENDING)
        assert number % 2 == 0 or number not in contents.held
    assert all(
        contents.rows[number].state in {MediaState.READY, MediaState.GONE} for number in reported("ready")
    )
    assert all(contents.rows[number].state is MediaState.FAILED for number in reported("failed"))
    assert all(contents.rows[number].attempts == 1 for number in reported("postponed"))
    assert not reported("released") & contents.held
    finished = {number for number, row in contents.rows.items() if row.state is not MediaState.PENDING}
    even = {number for number in contents.rows if number % 2 == 0}
    assert even - finished <= contents.held


def _check_commands(reported: Reported, contents: StoreContents) -> None:
    assert reported("accepted") <= contents.commands.keys()
    for number in reported("accepted"):
        blob = contents.commands[number].blob
        assert blob is not None
        assert blob.sha256 == hashlib.sha256(data(-number)).hexdigest()
    for number in reported("finished"):
        assert contents.commands[number].state is CommandState.FINISHED


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", [*COMMITS, *STEPS])
def test_killed_around_a_commit_and_at_each_step_of_a_file(tmp_path: Path, point: str, when: str) -> None:
    reported = _read_reports(_start(tmp_path, f"{when}:{point}", 7), Reported())
    assert reported.numbers_by_outcome, "it ran long enough to report something"
    _check(tmp_path, reported)


@chaos
def test_killed_at_random_moments(tmp_path: Path) -> None:
    dice = random.Random(20261126)
    for attempt in range(repetitions(3, 8)):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        process, reported = _start(folder, "-", 0), Reported()
        for _ in range(dice.randrange(1, 300)):
            reported.add(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        _check(folder, _read_reports(process, reported))
