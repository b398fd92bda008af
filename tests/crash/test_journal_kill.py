"""A process that uses a journal is killed around every commit, and at random.

What it reported is stored, and nothing is stored in part.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.crash import journal_child
from tests.crash.journal_child import BATCH, open_database
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.forks import ForkedProgram
from tests.support.postgresql import empty_database, wait_until_unused
from tests.support.repetitions import chaos, repetitions
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.people import StoredPeople
from wx2mqtt.store.records import AccountState
from wx2mqtt.store.sqlite_database import SqliteDatabase

POINTS = ["record", "accept", "begin", "doubt", "finish", "published", "publish", "reject"]


@dataclass
class Reported:
    """What the killed process reported as stored."""

    batches: list[int] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)
    published: set[int] = field(default_factory=set)

    def add(self, line: str) -> None:
        facts = json.loads(line)
        match facts["what"]:
            case "recorded":
                assert facts["seq"] == (facts["batch"] + 1) * BATCH
                self.batches.append(facts["batch"])
            case "accepted":
                self.accepted.update(facts["names"])
            case "begun" | "unanswered" | "finished" as what:
                getattr(self, what).add(facts["name"])
            case "published":
                self.published.update(facts["rows"])


@dataclass
class StoreContents:
    """What is in the store after the kill."""

    opened: AccountState
    seqs: list[int]
    keys: set[str]
    states: dict[int, int]
    results: list[str]
    people: list[int]
    commands: dict[str, CommandRow]
    doubtful: set[str]


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store."""
    return str(tmp_path / "wx2mqtt.db") if request.param == "sqlite" else empty_database()


on_sqlite = pytest.mark.parametrize("address", ["sqlite"], indirect=True)


def _start(address: str, point: str, count: int) -> ForkedProgram:
    return ForkedProgram([address, point, str(count)], main=journal_child.run)


def _read_reports(process: ForkedProgram) -> Reported:
    reported = Reported()
    for line in process.stdout:
        reported.add(line)
    process.stdout.close()
    assert process.wait(MAX_WAIT_SECONDS) == -signal.SIGKILL
    return reported


def _read_store(address: str) -> StoreContents:
    if address.startswith("postgresql:"):
        wait_until_unused(address)
    return asyncio.run(_read_contents(address))


async def _read_contents(address: str) -> StoreContents:
    database = await open_database(address)
    assert database.set_aside is None
    journal = Journal(database, "home")
    opened = await journal.open()
    doubtful = {row.command_id for row in await journal.commands.recover_attempts()}
    commands = {row.command_id: row for row in await journal.commands.list_newest(limit=100_000)}
    persons, _ = await StoredPeople(database, "home").load()
    if isinstance(database, SqliteDatabase):
        check = await database.read(lambda db: db.execute("PRAGMA integrity_check").fetchone())
        assert check == ("ok",)
    statement = "SELECT id, state, sort, seq, key, payload FROM publication ORDER BY id"
    found = await database.read(lambda db: db.execute(statement).fetchall())
    await database.close()
    return StoreContents(
        opened=opened,
        seqs=[seq for _, _, sort, seq, _, _ in found if sort == "message"],
        keys={key for *_, key, _ in found if key},
        states={number: state for number, state, *_ in found},
        results=[json.loads(payload)["result"] for _, _, sort, _, _, payload in found if sort == "result"],
        people=[int(person.id) for person in persons],
        commands=commands,
        doubtful=doubtful,
    )


def _check(reported: Reported, contents: StoreContents) -> None:
    _check_batches(reported, contents)
    _check_commands(reported, contents)
    for row in reported.published:
        assert contents.states[row] == 1


def _check_batches(reported: Reported, contents: StoreContents) -> None:
    """Asserts that each batch is stored whole or not at all; one more may be stored than was reported."""
    assert reported.batches == list(range(len(reported.batches)))
    batches = 0 if contents.opened.cursor is None else int(contents.opened.cursor) + 1
    assert len(reported.batches) <= batches <= len(reported.batches) + 1
    assert contents.opened.seq == batches * BATCH
    assert contents.seqs == list(range(1, batches * BATCH + 1))
    assert contents.people == list(range(1, batches + 1))
    expected = {f"m{batch}-{index}" for batch in range(batches) for index in range(BATCH)}
    assert contents.keys == expected | {f"e{batch}" for batch in range(batches)}


def _check_commands(reported: Reported, contents: StoreContents) -> None:
    """Asserts that each command has one result and its publication, or none; an open attempt is doubtful."""
    assert reported.accepted <= contents.commands.keys()
    assert len(contents.commands) % 2 == 0
    assert len(contents.commands) <= len(reported.accepted) + 2
    finished = {name for name, row in contents.commands.items() if row.result is not None}
    assert reported.finished <= finished
    assert len(finished) <= len(reported.finished) + 1
    results = [name for name in contents.results if name != "by itself"]
    assert sorted(results) == sorted(finished)
    unfinished = contents.commands.keys() - finished
    assert (reported.begun | reported.unanswered) & unfinished <= contents.doubtful
    assert contents.doubtful <= unfinished


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_around_a_commit(address: str, point: str, when: str, count: int) -> None:
    reported = _read_reports(_start(address, f"{when}:{point}", count))
    _check(reported, _read_store(address))


@pytest.mark.parametrize(("when", "batches"), [("before", 2), ("after", 3)])
def test_a_kill_before_the_commit_stores_nothing_and_after_it_the_whole_batch(
    address: str, when: str, batches: int
) -> None:
    reported = _read_reports(_start(address, f"{when}:record", 3))
    assert reported.batches == [0, 1]
    assert _read_store(address).opened.seq == batches * BATCH


@chaos
@on_sqlite
def test_killed_at_random_moments_again_and_again(address: str) -> None:
    """The kill comes from outside, so that it may be in a commit, a checkpoint or a read."""
    dice = random.Random(20261125)
    for attempt in range(repetitions(5, 15)):
        _kill_at_random(f"{address}.{attempt}", dice)


@chaos
def test_killed_at_a_random_moment(address: str) -> None:
    _kill_at_random(address, random.Random(20261127))


def _kill_at_random(address: str, dice: random.Random) -> None:
    process = _start(address, "-", 0)
    reported = Reported()
    for _ in range(dice.randrange(1, 400)):
        reported.add(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = _read_reports(process)
    reported.batches += rest.batches
    for name in ("accepted", "begun", "unanswered", "finished", "published"):
        getattr(reported, name).update(getattr(rest, name))
    _check(reported, _read_store(address))


def test_a_store_whose_creation_was_killed_is_created_again(address: str) -> None:
    _read_reports(_start(address, "before:open", 1))
    assert _read_store(address).opened.seq == 0
