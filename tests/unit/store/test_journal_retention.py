"""Old rows are pruned by age and size; rows that wait stay."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import (
    command,
    event,
    message,
    on_sqlite,
    publication,
    result,
)
from wx2mqtt.model import Status
from wx2mqtt.store import journal_retention
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import JournalStats, PruneCounts
from wx2mqtt.store.sqlite_database import SqliteDatabase

DAY = 86_400_000


WEEK = 7 * DAY


async def _record(journal: Journal, *keys: str, text: str = "x") -> None:
    await journal.received.record([message(key, text=text) for key in keys], NO_CHANGES, None, "")


async def _publish_all(journal: Journal) -> None:
    await journal.outbox.mark_published([row.id for row in await journal.outbox.list_waiting(0, 100_000)])


async def _stored_seqs(database: Database) -> list[int]:
    def seqs(connection: Connection) -> list[int]:
        rows = connection.execute("SELECT seq FROM publication WHERE seq IS NOT NULL ORDER BY seq")
        return [seq for (seq,) in rows]

    return await database.read(seqs)


async def _count(database: Database, table: str) -> int:
    (count,) = await database.read(lambda db: db.execute(f"SELECT count(*) FROM {table}").fetchone())
    return int(count)


async def test_published_messages_are_deleted_after_the_time_of_the_history(
    database: Database, journal: Journal, clock: Clock
) -> None:
    await _record(journal, "a", "b")
    clock.now += DAY
    await _record(journal, "c", "d")
    await _publish_all(journal)
    pruned = await journal.retention.prune(clock.now + WEEK - 1, WEEK, WEEK)
    assert pruned == PruneCounts(messages=2)
    assert await _stored_seqs(database) == [3, 4]


async def test_the_newest_message_always_stays(database: Database, journal: Journal, clock: Clock) -> None:
    """The topic `last` needs it after a start, however long nobody wrote."""
    await _record(journal, "a", "b")
    await _publish_all(journal)
    clock.now += 100 * WEEK
    assert (await journal.retention.prune(clock.now, 0, 0)).messages == 1
    assert json.loads((await journal.open()).last_payload or b"")["id"] == "id-b"
    assert await journal.retention.prune_history(0) == 0


async def test_rows_that_wait_are_never_pruned(database: Database, journal: Journal, clock: Clock) -> None:
    await _record(journal, *"abcd")
    first, second, *_ = await journal.outbox.list_waiting(0, 10)
    await journal.outbox.mark_published([second.id])
    await journal.outbox.mark_rejected([first.id], "too large")
    await journal.received.record([event("e")], NO_CHANGES, None, "")
    await journal.outbox.add([publication()])
    await journal.commands.accept([command("a")])
    clock.now += 100 * WEEK
    assert await journal.retention.prune(clock.now, 0, 0) == PruneCounts(messages=1)
    assert await journal.retention.prune_history(0) == 0
    assert await _stored_seqs(database) == [1, 3, 4]
    assert [row.category for row in await journal.outbox.list_waiting(0, 10)] == [
        "message",
        "message",
        "event",
        "result",
    ]
    assert len(await journal.commands.list_due(10)) == 1


async def test_dropped_messages_are_deleted_after_the_time_of_the_history(
    database: Database, journal: Journal, clock: Clock
) -> None:
    await _record(journal, "a", "b")
    await journal.outbox.drop_topic("wx/in/wife", "refused")
    assert (await journal.retention.prune(clock.now + WEEK - 1, WEEK, WEEK)).messages == 0
    assert (await journal.retention.prune(clock.now + WEEK + 1, WEEK, WEEK)).messages == 1
    assert (await journal.stats()).dropped == 2


async def test_published_results_and_events_are_deleted_after_a_day(
    database: Database, journal: Journal, clock: Clock
) -> None:
    await journal.outbox.add([publication(), publication()])
    await journal.received.record([event("e")], NO_CHANGES, None, "")
    await _publish_all(journal)
    assert (await journal.retention.prune(clock.now + DAY, WEEK, WEEK)).publications == 0
    assert (await journal.retention.prune(clock.now + DAY + 1, WEEK, WEEK)).publications == 3
    assert await _count(database, "publication") == 0


async def test_an_event_with_private_fields_stays_a_week(journal: Journal, clock: Clock) -> None:
    await journal.received.record([event("e", ticket="geheim")], NO_CHANGES, None, "")
    await _publish_all(journal)
    assert (await journal.retention.prune(clock.now + WEEK, 0, 0)).publications == 0
    assert (await journal.retention.prune(clock.now + WEEK + 1, 0, 0)).publications == 1


@pytest.mark.parametrize("items", [[message("a"), message("z")], [event("a")]], ids=["message", "event"])
async def test_a_key_is_known_for_a_week_though_its_row_was_deleted(
    journal: Journal, clock: Clock, items: list[object]
) -> None:
    await journal.received.record(items, NO_CHANGES, None, "")  # type: ignore[arg-type]
    await _publish_all(journal)
    pruned = await journal.retention.prune(clock.now + 2 * DAY, DAY, WEEK)
    assert pruned.messages + pruned.publications == 1
    again = await journal.received.record(items[:1], NO_CHANGES, None, "")  # type: ignore[arg-type]
    assert again.repeated == 1
    clock.now += WEEK + 1
    await journal.outbox.add([publication()])
    await journal.retention.prune(clock.now + 1, DAY, WEEK)
    again = await journal.received.record(items[:1], NO_CHANGES, None, "")  # type: ignore[arg-type]
    assert again.repeated == 0


async def test_a_key_is_known_as_long_as_the_history(
    database: Database, journal: Journal, clock: Clock
) -> None:
    await journal.received.record([event("e")], NO_CHANGES, None, "")
    await _publish_all(journal)
    await journal.retention.prune(clock.now + 20 * DAY, 30 * DAY, WEEK)
    assert (await journal.received.record([event("e")], NO_CHANGES, None, "")).repeated == 1


async def test_finished_commands_are_deleted_after_their_time(journal: Journal, clock: Clock) -> None:
    accepted = await journal.commands.accept([command("a"), command("b")])
    assert accepted[0].row is not None
    clock.now += WEEK
    await journal.commands.finish(accepted[0].row.id, result("a", message_id="77"), [])
    assert (await journal.retention.prune(clock.now + WEEK, WEEK, WEEK)).commands == 0
    assert (await journal.retention.prune(clock.now + WEEK + 1, WEEK, WEEK)).commands == 1
    assert await journal.commands.get("a") is None
    assert await journal.commands.get("b") is not None


@pytest.mark.parametrize("behind", [0, 1, 10 * WEEK])
async def test_nothing_is_pruned_while_the_clock_is_behind_the_newest_row(
    journal: Journal, clock: Clock, behind: int
) -> None:
    await _record(journal, "a", "b")
    clock.now += 100 * WEEK
    await _record(journal, "c")
    await _publish_all(journal)
    assert await journal.retention.prune(clock.now - behind, 0, 0) == PruneCounts()


async def test_more_rows_than_one_commit_deletes_are_deleted(
    database: Database, journal: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_retention, "PRUNE_BATCH_ROWS", 10)
    await _record(journal, *(f"k{number}" for number in range(101)))
    await journal.outbox.add([publication()] * 35)
    rows = [
        answer.row
        for answer in await journal.commands.accept([command(f"c{number}") for number in range(30)])
    ]
    for row in rows:
        assert row is not None
        await journal.commands.finish(row.id, result(row.command_id), [])
    await _publish_all(journal)
    assert await journal.retention.prune(clock.now + 100 * WEEK, WEEK, WEEK) == PruneCounts(
        messages=100, publications=35, commands=30
    )
    assert await _count(database, "seen") == 0


async def test_waiting_rows_among_the_oldest_do_not_keep_later_rows_from_being_deleted(
    database: Database, journal: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_retention, "PRUNE_BATCH_ROWS", 10)
    await _record(journal, *(f"k{number}" for number in range(50)))
    rows = await journal.outbox.list_waiting(0, 100)
    await journal.outbox.mark_published([row.id for row in rows[25:]])
    assert (await journal.retention.prune(clock.now + 100 * WEEK, WEEK, WEEK)).messages == 24
    assert await _stored_seqs(database) == [*range(1, 26), 50]


def _path(database: Database) -> Path:
    assert isinstance(database, SqliteDatabase)
    return database.path


@on_sqlite
async def test_history_is_pruned_until_there_is_space(database: Database, journal: Journal) -> None:
    for start in range(0, 2000, 500):
        await _record(journal, *(f"k{start + number}" for number in range(500)), text="x" * 1000)
    await _publish_all(journal)
    assert isinstance(database, SqliteDatabase)
    await database.checkpoint()
    before = _path(database).stat().st_size
    pruned = await journal.retention.prune_history(before // 2)
    assert 0 < pruned < 2000
    assert _path(database).stat().st_size <= before // 2
    assert await _stored_seqs(database) == list(range(pruned + 1, 2001))
    assert await journal.retention.prune_history(before // 2) == 0


async def test_history_is_pruned_until_its_rows_need_little(database: Database, journal: Journal) -> None:
    for start in range(0, 1000, 500):
        await _record(journal, *(f"k{start + number}" for number in range(500)), text="x" * 1000)
    await _publish_all(journal)
    target = await database.used_bytes() * 3 // 4
    pruned = await journal.retention.prune_history(target)
    assert 0 < pruned < 1000
    assert await database.used_bytes() <= target
    assert await _stored_seqs(database) == list(range(pruned + 1, 1001))


@on_sqlite
async def test_the_file_shrinks_when_much_was_deleted(
    database: Database, journal: Journal, clock: Clock
) -> None:
    for start in range(0, 2000, 500):
        await _record(journal, *(f"k{start + number}" for number in range(500)), text="x" * 1000)
    await _publish_all(journal)
    assert isinstance(database, SqliteDatabase)
    await database.checkpoint()
    before = _path(database).stat().st_size
    await journal.retention.prune(clock.now + 100 * WEEK, WEEK, WEEK)
    assert _path(database).stat().st_size < before / 2


async def test_other_accounts_are_left_alone(database: Database, journal: Journal, clock: Clock) -> None:
    other = Journal(database, "work", clock)
    await other.open()
    for account in (journal, other):
        await _record(account, "a", "b")
        await account.outbox.add([publication()])
        await _publish_all(account)
    await journal.retention.prune(clock.now + 100 * WEEK, WEEK, WEEK)
    assert (await other.received.record([message("a")], NO_CHANGES, None, "")).repeated == 1
    assert await _stored_seqs(database) == [1, 2, 2]


async def test_the_figures_of_an_empty_store_are_zero(journal: Journal) -> None:
    assert await journal.stats() == JournalStats(
        waiting_publications=0,
        oldest_publication=None,
        waiting_commands=0,
        oldest_command=None,
        set_aside=0,
        dropped=0,
        messages=0,
        failed_today=0,
    )
    assert await journal.retention.prune(1, 0, 0) == PruneCounts()


def _ids(rows: Iterable[object]) -> list[int]:
    return [row.id for row in rows]  # type: ignore[attr-defined]


async def test_the_figures_count_what_waits_and_what_failed_today(
    database: Database, journal: Journal, clock: Clock
) -> None:
    other = Journal(database, "work", clock)
    await other.open()
    await _record(other, *"xyz")
    start = clock.now
    await _record(journal, "a")
    clock.now += 10
    await _record(journal, "b", "c")
    a, b, _ = _ids(await journal.outbox.list_waiting(0, 10))
    await journal.outbox.mark_published([a])
    await journal.outbox.mark_rejected([b], "too large")
    rows = [answer.row for answer in await journal.commands.accept([command(name) for name in "defgh"])]
    for row, status in zip(
        rows, (Status.SENT, Status.FAILED, Status.UNCERTAIN, Status.EXPIRED), strict=False
    ):
        assert row is not None
        await journal.commands.finish(row.id, result(row.command_id, status), [])
    assert await journal.stats() == JournalStats(
        waiting_publications=1,
        oldest_publication=start + 10,
        waiting_commands=1,
        oldest_command=1000,
        set_aside=1,
        dropped=0,
        messages=3,
        failed_today=3,
    )
    of_the_bridge = command("wx2mqtt-remind-1", result=result("wx2mqtt-remind-1", Status.EXPIRED))
    refused = command("wx2mqtt", result=result("wx2mqtt", Status.REJECTED))
    await journal.commands.accept([of_the_bridge, refused])
    assert (await journal.stats()).failed_today == 4, "texts of the bridge itself do not count"
    fallback = command("x~fallback", result=result("x~fallback", Status.FAILED))
    await journal.commands.accept([replace(fallback, fallback_of="office")])
    assert (await journal.stats()).failed_today == 4, "nor do fallbacks of another account's commands"
    clock.now += DAY + 1
    assert (await journal.stats()).failed_today == 0
