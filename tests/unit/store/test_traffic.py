"""What came and was sent in each hour, counted from the rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import command, message, on_sqlite, result
from wx2mqtt.model import Status
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.traffic import HOUR_MS


async def receive(journal: Journal, *keys: str) -> None:
    await journal.received.record([message(key) for key in keys], NO_CHANGES, None, "")


async def settle(journal: Journal, name: str, status: Status, **more: Any) -> None:
    await journal.commands.accept([replace(command(name, settled=result(name, status)), **more)])


async def counts(journal: Journal, hours: int = 24) -> list[tuple[int, int, int]]:
    found = await journal.traffic.last_hours(hours)
    return [(one.received, one.sent, one.not_sent) for one in found]


async def test_an_account_in_which_nothing_happened_has_hours_of_nothing(
    journal: Journal, clock: Clock
) -> None:
    found = await journal.traffic.last_hours(24)
    assert [one.hour for one in found] == [*range(clock.now // HOUR_MS - 23, clock.now // HOUR_MS + 1)]
    assert await counts(journal) == [(0, 0, 0)] * 24


async def test_each_hour_has_what_came_and_was_sent_in_it(
    database: Database, journal: Journal, clock: Clock
) -> None:
    other = Journal(database, "work", clock)
    await other.open()
    clock.now = 500_000 * HOUR_MS
    await receive(journal, "a", "b")
    await receive(other, "x")
    await settle(journal, "c1", Status.SENT)
    clock.now += HOUR_MS - 1
    await settle(journal, "c2", Status.FAILED)
    await receive(journal, "c")
    clock.now += 1
    await receive(journal, "d")
    await settle(journal, "c3", Status.UNCERTAIN)
    await settle(journal, "c4", Status.SENT)
    await settle(other, "c5", Status.SENT)
    clock.now += 2 * HOUR_MS
    assert await counts(journal, 5) == [(0, 0, 0), (3, 1, 1), (1, 1, 1), (0, 0, 0), (0, 0, 0)]


async def test_they_survive_a_restart_and_older_hours_go(
    database: Database, journal: Journal, clock: Clock
) -> None:
    await receive(journal, "a", "b")
    await settle(journal, "c1", Status.SENT)
    clock.now += 23 * HOUR_MS
    before = await counts(journal)
    assert before[0] == (2, 1, 0)
    restarted = Journal(database, "home", clock)
    await restarted.open()
    assert await counts(restarted) == before
    clock.now += HOUR_MS
    assert await counts(restarted) == [(0, 0, 0)] * 24


async def test_what_comes_later_is_counted_though_the_hours_before_are_remembered(
    journal: Journal, clock: Clock
) -> None:
    for number in range(30):
        await receive(journal, *(f"{number}-{key}" for key in range(number % 3)))
        if number % 2:
            await settle(journal, f"c{number}", Status.SENT)
        expected = [(hour % 3, hour % 2, 0) for hour in range(max(0, number - 23), number + 1)]
        assert (await counts(journal))[-len(expected) :] == expected
        clock.now += HOUR_MS


async def test_after_the_clock_was_set_back_nothing_of_the_future_is_shown(
    journal: Journal, clock: Clock
) -> None:
    await receive(journal, "a")
    await counts(journal)
    clock.now -= 48 * HOUR_MS
    await settle(journal, "c1", Status.SENT)
    assert (await counts(journal))[-1][1] == 1
    assert len(await counts(journal)) == 24


async def test_pruned_messages_in_between_are_counted_all_the_same(
    database: Database, journal: Journal, clock: Clock
) -> None:
    await receive(journal, *"abcd")
    clock.now += HOUR_MS
    await receive(journal, *"efgh")
    await database.write("test", lambda db: db.execute("DELETE FROM publication WHERE seq IN (2, 3, 6, 7)"))
    assert await counts(journal, 2) == [(4, 0, 0), (4, 0, 0)]


async def test_texts_of_the_bridge_and_fallbacks_are_no_failures(journal: Journal) -> None:
    await settle(journal, "wx2mqtt-remind-1", Status.EXPIRED)
    await settle(journal, "x~fallback", Status.FAILED, fallback_of="office")
    assert (await counts(journal, 1)) == [(0, 0, 0)]
    await settle(journal, "mine", Status.FAILED)
    assert (await counts(journal, 1)) == [(0, 0, 1)]
    assert (await journal.stats()).failed_today == 1


@on_sqlite
@pytest.mark.parametrize("messages", [100, 6400])
async def test_a_look_at_the_messages_costs_few_reads_however_many_there_are(
    journal: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch, messages: int
) -> None:
    for number in range(0, messages, 100):
        await receive(journal, *(f"{number + key}" for key in range(100)))
        clock.now += 24 * HOUR_MS * 100 // messages
    reads = 0
    searched = journal.traffic._first_seq_since

    def counting(connection: Any, time: int, low: int, high: int) -> int:
        class Counting:
            def execute(self, *values: Any) -> Any:
                nonlocal reads
                reads += 1
                return connection.execute(*values)

        return searched(Counting(), time, low, high)  # type: ignore[arg-type]

    monkeypatch.setattr(journal.traffic, "_first_seq_since", counting)
    assert sum(one.received for one in await journal.traffic.last_hours(24)) >= messages - 400
    assert reads <= 24 * 14
    reads = 0
    await journal.traffic.last_hours(24)
    assert reads <= 2 * 14
