"""After any operations in any order, and kills between them, nothing is lost, stored twice or out of order."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.repetitions import repetitions
from tests.unit.store.conftest import Clock
from tests.unit.store.make import command, delivery_mark, event, message, publication, result
from wx2mqtt.model import Cursor, Status
from wx2mqtt.store.command_records import AcceptOutcome, NewCommand
from wx2mqtt.store.commands import AlreadyFinished
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import NewPublication
from wx2mqtt.store.sqlite_database import SqliteDatabase

DAY = 86_400_000
keys = st.lists(st.sampled_from([f"k{number}" for number in range(9)]), max_size=6)
ids = st.sampled_from([f"c{number}" for number in range(6)])
texts = st.sampled_from(["on", "off"])
statuses = st.sampled_from([Status.SENT, Status.FAILED, Status.UNCERTAIN])
indexes = st.integers(0, 50)


@dataclass
class ModelCommand:
    """The expected state of a command."""

    text: str
    open: bool = False
    unknown: int = 0
    attempts: int = 0
    status: Status | None = None


@dataclass
class Model:
    """The expected content of the journal; each list is in the order of arrival."""

    seen: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    commands: dict[str, ModelCommand] = field(default_factory=dict)
    cursor: str | None = None

    @property
    def unfinished(self) -> list[str]:
        return [name for name, command_state in self.commands.items() if command_state.status is None]


class JournalMachine(RuleBasedStateMachine):
    """Two accounts in one store; what the first does must not change the second."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="wx2mqtt-"))
        self.start_number = 0
        self.model = Model()
        self.clock = Clock()

    @initialize()
    def open_first_store(self) -> None:
        self.runner.run(self._open())

    async def _open(self) -> None:
        path = self.folder / str(self.start_number)
        path.mkdir(exist_ok=True)
        self.database = await SqliteDatabase.open(path / "wx2mqtt.db")
        assert self.database.set_aside is None
        self.journal = Journal(self.database, "home", self.clock)
        self.other = Journal(self.database, "work", self.clock)
        self.opened = await self.journal.open()
        await self.other.open()

    def teardown(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    @rule(batch=keys, events=st.booleans(), cursor=st.sampled_from(["a", "b", None]))
    def record(self, batch: list[str], events: bool, cursor: str | None) -> None:
        """Some keys are events, so that messages and events repeat in one batch."""
        items = [event(key) if events and key.endswith("7") else message(key) for key in batch]
        recorded = self.runner.run(
            self.journal.received.record(
                items, NO_CHANGES, None if cursor is None else Cursor(cursor), "login"
            )
        )
        for item, key in zip(items, batch, strict=True):
            if key in self.model.seen:
                continue
            self.model.seen.append(key)
            is_message = hasattr(item, "text")
            if is_message:
                self.model.messages.append(key)
            self.model.waiting.append(key)
        self.model.cursor = cursor or self.model.cursor
        assert recorded.seq == len(self.model.messages)
        assert recorded.messages + recorded.events + recorded.repeated == len(batch)

    @rule(batch=st.lists(st.tuples(ids, texts), max_size=5))
    def accept(self, batch: list[tuple[str, str]]) -> None:
        accepted = self.runner.run(
            self.journal.commands.accept([command(name, text=text) for name, text in batch])
        )
        for (name, text), outcome in zip(batch, accepted, strict=True):
            known = self.model.commands.get(name)
            if known is None:
                self.model.commands[name] = ModelCommand(text)
                assert outcome.outcome is AcceptOutcome.NEW
            elif known.text == text:
                assert outcome.outcome is AcceptOutcome.REPEAT
            else:
                assert outcome.outcome is AcceptOutcome.REUSED
            assert outcome.row is not None
            assert outcome.row.command_id == name

    @rule(name=ids, mid=st.integers(1, 3))
    def deliver_twice(self, name: str, mid: int) -> None:
        """After a kill between commit and PUBACK the broker delivers the command again: it is the same one."""
        if name in self.model.commands:
            return
        self.runner.run(self.journal.commands.accept([self._delivered(name, mid, dup=False)]))
        self.model.commands[name] = ModelCommand("on")
        self.crash()
        (again,) = self.runner.run(
            self.journal.commands.accept([self._delivered(f"{name} again", mid, dup=True)])
        )
        assert again.outcome is AcceptOutcome.SAME_DELIVERY
        assert again.row is not None
        assert again.row.command_id == name

    def _delivered(self, name: str, mid: int, *, dup: bool) -> NewCommand:
        return command(name, text="on", delivery=delivery_mark(mid, dup=dup, content="on"))

    def _pick(self, names: list[str], index: int) -> str:
        return names[index % len(names)]

    def _row(self, name: str) -> int:
        row = self.runner.run(self.journal.commands.get(name))
        assert row is not None
        return row.id

    @precondition(lambda self: self.model.unfinished)
    @rule(index=indexes)
    def begin_attempt(self, index: int) -> None:
        name = self._pick(self.model.unfinished, index)
        self.runner.run(self.journal.commands.begin_attempt(self._row(name)))
        self.model.commands[name].open = True
        self.model.commands[name].attempts += 1

    @precondition(lambda self: self.model.unfinished)
    @rule(index=indexes, lost=st.booleans())
    def end_attempt(self, index: int, lost: bool) -> None:
        name = self._pick(self.model.unfinished, index)
        change = self.journal.commands.end_unanswered if lost else self.journal.commands.end_undelivered
        self.runner.run(change(self._row(name)))
        self.model.commands[name].open = False
        self.model.commands[name].unknown += lost

    @precondition(lambda self: self.model.unfinished)
    @rule(index=indexes, status=statuses, following=st.booleans())
    def finish(self, index: int, status: Status, following: bool) -> None:
        name = self._pick(self.model.unfinished, index)
        others = [other for other in self.model.unfinished if other != name]
        next_row_id = self._row(others[0]) if following and others else None
        self.runner.run(
            self.journal.commands.finish(
                self._row(name), result(name, status), [_result_publication(name)], next_row_id
            )
        )
        self.model.commands[name].status = status
        self.model.commands[name].open = False
        self.model.results.append(name)
        self.model.waiting.append(name)
        if next_row_id is not None:
            self.model.commands[others[0]].open = True
            self.model.commands[others[0]].attempts += 1

    @precondition(lambda self: self.model.results)
    @rule(index=indexes)
    def finish_again(self, index: int) -> None:
        name = self._pick(self.model.results, index)
        with pytest.raises(AlreadyFinished):
            self.runner.run(
                self.journal.commands.finish(self._row(name), result(name), [_result_publication(name)])
            )

    @rule(start=indexes, count=st.integers(1, 5))
    def publish(self, start: int, count: int) -> None:
        """Marks publications as published, in any order."""
        start %= len(self.model.waiting) or 1
        names = self.model.waiting[start : start + count]
        rows = self.runner.run(self.journal.outbox.list_waiting(0, 1000))[start : start + count]
        self.runner.run(self.journal.outbox.mark_published([row.id for row in rows]))
        self.model.waiting = [name for name in self.model.waiting if name not in names]

    @rule(batch=keys, name=ids, wait=st.booleans())
    def many_at_once(self, batch: list[str], name: str, wait: bool) -> None:
        """Writes of two accounts at the same time share commits and do not mix."""

        async def write_all() -> None:
            await asyncio.gather(
                self.other.received.record([message(key) for key in batch], NO_CHANGES, Cursor("x"), "other"),
                self.other.commands.accept([command(name)]),
                self.journal.stats(),
                self.other.outbox.add([publication("other")]),
            )
            if wait:
                await self.other.outbox.mark_published(
                    [row.id for row in await self.other.outbox.list_waiting(0, 1000)]
                )

        self.runner.run(write_all())

    @rule()
    def prune_young(self) -> None:
        """Prunes while no row is old enough: known keys stay known."""
        self.clock.now += 1
        self.runner.run(self.journal.retention.prune(self.clock.now, 7 * DAY, 7 * DAY))

    @rule()
    def prune_history(self) -> None:
        """Deletes messages; their keys stay known."""
        self.runner.run(self.journal.retention.prune_history(0))

    @rule()
    def crash(self) -> None:
        """Opens the store anew with the files as SIGKILL leaves them between two commits."""
        old, before = self.database, self.folder / str(self.start_number)
        self.start_number += 1
        shutil.copytree(before, self.folder / str(self.start_number))
        self.runner.run(old.close())
        shutil.rmtree(before)
        self.runner.run(self._open())
        self._recover()

    @rule()
    def restart(self) -> None:
        self.runner.run(self.database.close())
        self.runner.run(self._open())
        self._recover()

    def _recover(self) -> None:
        uncertain = self.runner.run(self.journal.commands.recover_attempts())
        for command_state in self.model.commands.values():
            if command_state.open:
                command_state.open, command_state.unknown = False, command_state.unknown + 1
        expected = [name for name in self.model.unfinished if self.model.commands[name].unknown]
        assert [row.command_id for row in uncertain] == expected
        assert (self.opened.seq, self.opened.cursor) == (len(self.model.messages), self.model.cursor)

    @invariant()
    def waiting_publications_are_in_order_with_their_seqs(self) -> None:
        rows = self.runner.run(self.journal.outbox.list_waiting(0, 1000))
        assert [_name(row.payload) for row in rows] == self.model.waiting
        assert [row.id for row in rows] == sorted(row.id for row in rows)
        for row in rows:
            if row.category == "message":
                body = json.loads(row.payload)
                assert self.model.messages[body["seq"] - 1] == body["id"].removeprefix("id-")

    @invariant()
    def every_command_is_as_the_model_says(self) -> None:
        due = self.runner.run(self.journal.commands.list_due(1000))
        assert [row.command_id for row in due] == self.model.unfinished
        for row in self.runner.run(self.journal.commands.list_newest(limit=1000)):
            known = self.model.commands[row.command_id]
            assert (row.attempt_open, row.unanswered, row.attempts) == (
                known.open,
                known.unknown,
                known.attempts,
            )
            assert (row.result.status if row.result else None) == known.status
            assert row.duplicate_possible == bool(known.unknown)

    @invariant()
    def figures_agree(self) -> None:
        stats = self.runner.run(self.journal.stats())
        assert stats.waiting_publications == len(self.model.waiting)
        assert stats.waiting_commands == len(self.model.unfinished)
        assert stats.messages == len(self.model.messages)


def _result_publication(name: str) -> NewPublication:
    return publication(payload=json.dumps({"id": f"id-{name}"}).encode())


def _name(payload: bytes) -> str:
    return str(json.loads(payload)["id"]).removeprefix("id-")


JournalMachine.TestCase.settings = settings(
    max_examples=repetitions(15, 200),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestJournal = JournalMachine.TestCase
