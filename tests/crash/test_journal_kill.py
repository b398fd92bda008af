"""SIGKILL around every commit and in the middle of them.

What was reported is there, and nothing is there by half.
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
class Told:
    """What the killed process had been told is on the disk."""

    batches: list[int] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    doubted: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    published: set[int] = field(default_factory=set)

    def add(self, line: str) -> None:
        facts = json.loads(line)
        match facts["what"]:
            case "recorded":
                assert facts["seq"] == (facts["batch"] + 1) * BATCH
                self.batches.append(facts["batch"])
            case "accepted":
                self.accepted.update(facts["names"])
            case "begun" | "doubted" | "settled" as what:
                getattr(self, what).add(facts["name"])
            case "published":
                self.published.update(facts["rows"])


@dataclass
class Left:
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


def _listen(process: ForkedProgram) -> Told:
    told = Told()
    for line in process.stdout:
        told.add(line)
    process.stdout.close()
    assert process.wait(MAX_WAIT_SECONDS) == -signal.SIGKILL
    return told


def _look(address: str) -> Left:
    if address.startswith("postgresql:"):
        wait_until_unused(address)
    return asyncio.run(_left(address))


async def _left(address: str) -> Left:
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
    return Left(
        opened=opened,
        seqs=[seq for _, _, sort, seq, _, _ in found if sort == "message"],
        keys={key for *_, key, _ in found if key},
        states={number: state for number, state, *_ in found},
        results=[json.loads(payload)["result"] for _, _, sort, _, _, payload in found if sort == "result"],
        people=[int(one.id) for one in persons],
        commands=commands,
        doubtful=doubtful,
    )


def _check(told: Told, left: Left) -> None:
    _check_batches(told, left)
    _check_commands(told, left)
    for row in told.published:
        assert left.states[row] == 1


def _check_batches(told: Told, left: Left) -> None:
    """Messages, event, person and cursor of a batch are all there or none is; one batch may be untold."""
    assert told.batches == list(range(len(told.batches)))
    batches = 0 if left.opened.cursor is None else int(left.opened.cursor) + 1
    assert len(told.batches) <= batches <= len(told.batches) + 1
    assert left.opened.seq == batches * BATCH
    assert left.seqs == list(range(1, batches * BATCH + 1))
    assert left.people == list(range(1, batches + 1))
    expected = {f"m{batch}-{index}" for batch in range(batches) for index in range(BATCH)}
    assert left.keys == expected | {f"e{batch}" for batch in range(batches)}


def _check_commands(told: Told, left: Left) -> None:
    """Each command has one result, told with it, or is still to be done; an attempt under way is in doubt."""
    assert told.accepted <= left.commands.keys()
    assert len(left.commands) % 2 == 0
    assert len(left.commands) <= len(told.accepted) + 2
    settled = {name for name, row in left.commands.items() if row.result is not None}
    assert told.settled <= settled
    assert len(settled) <= len(told.settled) + 1
    results = [name for name in left.results if name != "by itself"]
    assert sorted(results) == sorted(settled)
    unsettled = left.commands.keys() - settled
    assert (told.begun | told.doubted) & unsettled <= left.doubtful
    assert left.doubtful <= unsettled


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_around_a_commit(address: str, point: str, when: str, count: int) -> None:
    told = _listen(_start(address, f"{when}:{point}", count))
    _check(told, _look(address))


@pytest.mark.parametrize(("when", "batches"), [("before", 2), ("after", 3)])
def test_what_was_killed_before_its_commit_is_not_there_and_after_it_is(
    address: str, when: str, batches: int
) -> None:
    told = _listen(_start(address, f"{when}:record", 3))
    assert told.batches == [0, 1]
    assert _look(address).opened.seq == batches * BATCH


@chaos
@on_sqlite
def test_killed_at_random_moments_again_and_again(address: str) -> None:
    """From outside, so that it falls into the middle of a commit, a checkpoint or a read as it pleases."""
    dice = random.Random(20261125)
    for attempt in range(repetitions(5, 15)):
        _kill_at_random(f"{address}.{attempt}", dice)


@chaos
def test_killed_at_a_random_moment(address: str) -> None:
    _kill_at_random(address, random.Random(20261127))


def _kill_at_random(address: str, dice: random.Random) -> None:
    process = _start(address, "-", 0)
    told = Told()
    for _ in range(dice.randrange(1, 400)):
        told.add(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = _listen(process)
    told.batches += rest.batches
    for name in ("accepted", "begun", "doubted", "settled", "published"):
        getattr(told, name).update(getattr(rest, name))
    _check(told, _look(address))


def test_a_store_that_is_killed_while_it_is_made_is_made_again(address: str) -> None:
    _listen(_start(address, "before:open", 1))
    assert _look(address).opened.seq == 0
