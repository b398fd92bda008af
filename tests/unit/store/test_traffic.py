"""The messages that were received and sent in each hour are counted from the stored rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import command, message, on_sqlite, record, result
from wx2mqtt.model import Status
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.traffic import HOUR_MS


async def receive(journal: Journal, *keys: str) -> None:
    await record(journal, *(message(key) for key in keys))


async def test_each_hour_has_what_came_and_was_sent_in_it(
    journal: Journal, work: Journal, clock: Clock
) -> None:
    hours = await journal.traffic.last_hours(24)
    assert [row.hour for row in hours] == [*range(clock.now // HOUR_MS - 23, clock.now // HOUR_MS + 1)]
    assert await counts(journal) == [(0, 0, 0)] * 24
    clock.now = 500_000 * HOUR_MS
    await receive(journal, "a", "b")
    await receive(work, "x")
    await finish(journal, "c1", Status.SENT)
    clock.now += HOUR_MS - 1
    await finish(journal, "c2", Status.FAILED)
    await receive(journal, "c")
    clock.now += 1
    await receive(journal, "d")
    await finish(journal, "c3", Status.UNCERTAIN)
    await finish(journal, "c4", Status.SENT)
    await finish(work, "c5", Status.SENT)
    clock.now += 2 * HOUR_MS
    assert await counts(journal, 5) == [(0, 0, 0), (3, 1, 1), (1, 1, 1), (0, 0, 0), (0, 0, 0)]


async def finish(journal: Journal, name: str, status: Status, **more: Any) -> None:
    await journal.commands.accept([replace(command(name, result=result(name, status)), **more)])


async def counts(journal: Journal, hours: int = 24) -> list[tuple[int, int, int]]:
    hours_found = await journal.traffic.last_hours(hours)
    return [(hour.received, hour.sent, hour.not_sent) for hour in hours_found]


async def test_the_counts_survive_a_restart_and_older_hours_are_left_out(
    database: Database, journal: Journal, clock: Clock
) -> None:
    await receive(journal, "a", "b")
    await finish(journal, "c1", Status.SENT)
    clock.now += 23 * HOUR_MS
    before = await counts(journal)
    assert before[0] == (2, 1, 0)
    restarted = Journal(database, "home", clock)
    await restarted.open()
    assert await counts(restarted) == before
    clock.now += HOUR_MS
    assert await counts(restarted) == [(0, 0, 0)] * 24


async def test_new_messages_are_counted_also_after_earlier_hours_were_read(
    journal: Journal, clock: Clock
) -> None:
    for number in range(30):
        await receive(journal, *(f"{number}-{key}" for key in range(number % 3)))
        if number % 2:
            await finish(journal, f"c{number}", Status.SENT)
        expected = [(hour % 3, hour % 2, 0) for hour in range(max(0, number - 23), number + 1)]
        assert (await counts(journal))[-len(expected) :] == expected
        clock.now += HOUR_MS


async def test_after_the_clock_was_set_back_no_hour_of_the_future_is_counted(
    journal: Journal, clock: Clock
) -> None:
    await receive(journal, "a")
    await counts(journal)
    clock.now -= 48 * HOUR_MS
    await finish(journal, "c1", Status.SENT)
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
    await finish(journal, "wx2mqtt-remind-1", Status.EXPIRED)
    await finish(journal, "x~fallback", Status.FAILED, fallback_of="office")
    assert (await counts(journal, 1)) == [(0, 0, 0)]
    await finish(journal, "mine", Status.FAILED)
    assert (await counts(journal, 1)) == [(0, 0, 1)]
    assert (await journal.stats()).failed_today == 1


@on_sqlite
@pytest.mark.parametrize("messages", [100, 6400])
async def test_the_messages_are_counted_with_few_reads_however_many_there_are(
    journal: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch, messages: int
) -> None:
    for number in range(0, messages, 100):
        await receive(journal, *(f"{number + key}" for key in range(100)))
        clock.now += 24 * HOUR_MS * 100 // messages
    reads = 0
    first_seq_since = journal.traffic._first_seq_since

    def counting(connection: Any, time: int, low: int, high: int) -> int:
        class CountingConnection:
            def execute(self, *values: Any) -> Any:
                nonlocal reads
                reads += 1
                return connection.execute(*values)

        return first_seq_since(CountingConnection(), time, low, high)  # type: ignore[arg-type]

    monkeypatch.setattr(journal.traffic, "_first_seq_since", counting)
    assert sum(hour.received for hour in await journal.traffic.last_hours(24)) >= messages - 400
    assert reads <= 24 * 14
    reads = 0
    await journal.traffic.last_hours(24)
    assert reads <= 2 * 14


async def test_the_messages_since_a_time_are_listed_with_their_chats(
    journal: Journal, work: Journal, clock: Clock
) -> None:
    assert await journal.traffic.list_received(0) == []
    await receive(journal, "a")
    clock.now += 10
    since = clock.now
    await receive(journal, "b", "c")
    await receive(work, "x")
    clock.now += 10
    await receive(journal, "d")
    expected = [("wife", since), ("wife", since), ("wife", since + 10)]
    assert await journal.traffic.list_received(since) == expected
    assert await journal.traffic.list_received(clock.now + 1) == []
