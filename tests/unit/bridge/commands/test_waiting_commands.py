"""The commands in memory and in the journal: each chat keeps its order, and none waits for another."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.repetitions import repetitions
from tests.unit.bridge.rows import row_of
from wx2mqtt.bridge.commands import waiting_commands
from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.resolver import ChatKey
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.model import PersonId
from wx2mqtt.store.command_records import CommandRow, Recipient

USERS = ("wife", "mom", "boss")

# The name of a method of `SimulatedAccount`, and its arguments.
Step = tuple[Any, ...]

PERSONS = {user: PersonId(number) for number, user in enumerate(USERS, 1)}

# Small limits, with which few commands reach each of them; all of `USERS` have room in memory.
SMALL_LIMITS = {"MAX_COMMANDS_PER_CHAT": 2, "READ_BATCH_ROWS": 3, "MAX_COMMANDS_IN_MEMORY": 9}


def row(number: int, user: str = "wife", person: PersonId | None = None) -> CommandRow:
    return row_of(number, user, str(number), person=person)


class SimulatedJournal:
    """A journal whose reads return what was committed before they began."""

    def __init__(self) -> None:
        self.rows: dict[int, CommandRow] = {}  # by id
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.reads = 0
        self.rows_read = 0

    async def list_due(self, limit: int, skip: Collection[Recipient]) -> list[CommandRow]:
        rows = list(islice((row for row in self.rows.values() if row.recipient not in skip), limit))
        self.reads += 1
        self.rows_read += len(rows)
        await self.may_answer.wait()
        return rows


class SimulatedAccount:
    """Accepts and sends as `CommandIntake` and `CommandSender` do, one step at a time.

    Nobody is a known person before the first login. The commands to the users in `stuck` are not sent.
    """

    def __init__(self, stuck: Collection[str] = ()) -> None:
        self.journal = SimulatedJournal()
        self.stuck = stuck
        self.accepted: list[CommandRow] = []
        self.sent: list[CommandRow] = []
        self._persons: dict[str, PersonId] = {}
        self.restart()

    def restart(self) -> None:
        resolver: Any = SimpleNamespace(chat_key=self._chat_key)
        self._queues = WaitingCommands(resolver)
        self._served: list[ChatQueue] = []

    def _chat_key(self, row: CommandRow) -> ChatKey:
        user = row.command.user
        return self._persons.get(user, user) if row.person is None else row.person

    async def take_steps(self, steps: Iterable[Step]) -> None:
        for name, *arguments in steps:
            step = getattr(self, name)(*arguments)
            if asyncio.iscoroutine(step):
                await step

    def accept(self, user: str, count: int) -> None:
        for _ in range(count):
            accepted = row(len(self.accepted) + 1, user, self._persons.get(user))
            self.accepted.append(accepted)
            self.journal.rows[accepted.id] = accepted
            self._queues.add(accepted)

    def login(self) -> None:
        self._persons = PERSONS
        self._queues.recheck()

    async def load(self, meanwhile: Iterable[Step] = ()) -> None:
        """Loads; the journal returns what it had before the steps that are taken meanwhile."""
        if self._queues.can_load:
            self.journal.may_answer.clear()
            loading = asyncio.create_task(self._queues.load(self.journal.list_due))
            await asyncio.sleep(0)
            await self.take_steps(meanwhile)
            self.journal.may_answer.set()
            await loading
        self._served += self._queues.new_queues
        self._queues.new_queues.clear()

    def send(self, user: str) -> bool:
        """Sends the next command of the chat. Returns False if none can be sent now."""
        queue = next((queue for queue in self._served if queue.waiting.rows[0].command.user == user), None)
        if queue is None or user in self.stuck:
            return False
        self.sent.append(queue.waiting.rows[0])
        del self.journal.rows[queue.waiting.rows[0].id]
        self._queues.remove(queue.waiting.rows[0].id)
        if not queue.rows:
            self._served.remove(queue)
            self._queues.remove_empty(queue)
        return True

    def in_memory(self) -> list[str]:
        """Returns the texts of the commands in memory."""
        return sorted(
            row.command.text for queue in self._queues.queues.values() for row in queue.waiting.rows
        )

    async def send_all(self) -> None:
        """Loads and sends until nothing more happens."""
        sent_count = 1
        while sent_count:
            await self.load()
            sent_count = sum(self.send(user) for user in USERS)


user_choices = st.sampled_from(USERS)
accept_steps = st.tuples(st.just("accept"), user_choices, st.integers(1, 4))
send_steps = st.tuples(st.just("send"), user_choices)
load_steps = st.tuples(st.just("load"), st.lists(accept_steps | send_steps, max_size=3))
step_lists = st.lists(accept_steps | send_steps | load_steps, max_size=10)


@given(
    before_login=step_lists,
    after_login=step_lists,
    is_restarted=st.booleans(),
    stuck=st.sets(user_choices, max_size=2),
)
@settings(max_examples=repetitions(300, 5000))
def test_whatever_comes_when_each_chat_keeps_its_order_and_none_waits_for_another(
    before_login: list[Step], after_login: list[Step], is_restarted: bool, stuck: set[str]
):
    async def run() -> SimulatedAccount:
        account = SimulatedAccount(stuck)
        await account.take_steps(before_login)
        if is_restarted:
            account.restart()
        account.login()
        await account.take_steps(after_login)
        await account.send_all()
        return account

    with pytest.MonkeyPatch.context() as patch:
        for name, limit in SMALL_LIMITS.items():
            patch.setattr(waiting_commands, name, limit)
        account = asyncio.run(run())
    for user in USERS:
        accepted = [row.id for row in account.accepted if row.command.user == user]
        assert [row.id for row in account.sent if row.command.user == user] == (
            [] if user in stuck else accepted
        )


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in SMALL_LIMITS.items():
        monkeypatch.setattr(waiting_commands, name, limit)


async def test_what_comes_while_the_journal_is_read_is_in_memory_with_the_others_of_its_chat():
    account = SimulatedAccount()
    account.accept("wife", 1)
    await account.load(meanwhile=[("accept", "wife", 1), ("accept", "mom", 1)])
    assert account.in_memory() == ["1", "2", "3"]


@pytest.mark.usefixtures("small_limits")
async def test_a_chat_keeps_its_order_when_a_queue_with_a_backlog_ends_while_the_journal_is_read():
    account = SimulatedAccount()
    account.accept("wife", 3)
    account.accept("boss", 3)
    await account.load()
    await account.take_steps([("send", "wife"), ("send", "wife"), ("accept", "mom", 1)])
    await account.load(meanwhile=[("send", "boss"), ("send", "boss"), ("accept", "mom", 1)])
    account.accept("mom", 1)
    await account.send_all()
    assert [row.id for row in account.sent if row.command.user == "mom"] == [7, 8, 9]


async def journal_after_sending(waiting_count: int, *, is_backlog: bool) -> SimulatedJournal:
    """Sends 100 commands of one chat while so many wait in another, all accepted before the first login.

    With `is_backlog` the 100 wait in the journal too; otherwise each is sent before the next one is accepted.
    """
    account = SimulatedAccount(stuck=("mom",))
    account.accept("mom", waiting_count)
    account.accept("wife", 100 * is_backlog)
    account.login()
    await account.send_all()
    for _ in range(100 * (not is_backlog)):
        account.accept("wife", 1)
        await account.send_all()
    assert len(account.sent) == 100
    return account.journal


@pytest.mark.parametrize("is_backlog", [False, True])
async def test_a_command_costs_the_journal_the_same_however_many_wait_in_another_chat(is_backlog: bool):
    few = await journal_after_sending(300, is_backlog=is_backlog)
    many = await journal_after_sending(3000, is_backlog=is_backlog)
    assert (many.reads, many.rows_read) == (few.reads, few.rows_read)
    assert few.rows_read <= 400 + 200 * is_backlog


def by_priority(count: int) -> WaitingCommands:
    """Returns queues with so many commands to one person, each with a random priority."""
    resolver: Any = SimpleNamespace(chat_key=lambda row: row.command.user)
    waiting, rng = WaitingCommands(resolver, by_priority=True), random.Random(count)
    for number in range(count):
        command = row(number)
        priority = rng.choice(["high", "normal", "low"])
        waiting.add(replace(command, command=replace(command.command, priority=priority)))
    return waiting


async def test_an_attempt_that_began_with_the_acceptance_is_made_once():
    waiting = by_priority(0)
    waiting.add(row(1), is_begun=True)
    (queue,) = waiting.new_queues
    assert queue.begun_id == 1
    queue.begun_id = None  # it is made
    waiting.add(row(1), is_begun=True)
    assert queue.begun_id is None


async def test_what_was_read_from_the_journal_meanwhile_is_begun_again():
    waiting, journal = by_priority(0), SimulatedJournal()
    journal.rows[1] = row(1)
    await waiting.load(journal.list_due)
    waiting.add(row(1), is_begun=True)
    (queue,) = waiting.new_queues
    assert queue.begun_id is None


def test_a_command_costs_the_same_however_many_wait_with_it():
    def seconds_per_command(count: int) -> float:
        begun = time.process_time()
        waiting = by_priority(count)
        (queue,) = waiting.new_queues
        while queue.rows:
            waiting.change(queue.waiting.rows[0].id, parts_sent=1)
            waiting.remove(queue.waiting.rows[0].id)
        return (time.process_time() - begun) / count

    few = min(seconds_per_command(500) for _ in range(3))
    many = min(seconds_per_command(5000) for _ in range(3))
    assert many < 4 * few  # ten times as much where each command goes through all that wait
