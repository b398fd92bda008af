"""Old rows are pruned by age and size; rows that wait stay."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import (
    accept,
    command,
    event,
    message,
    on_sqlite,
    publication,
    publish_all,
    record,
    result,
    waiting_ids,
)
from wx2mqtt.model import Status
from wx2mqtt.store import journal_retention
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.records import JournalStats, NewEvent, NewMessage, PruneCounts
from wx2mqtt.store.sqlite_database import SqliteDatabase

DAY = 86_400_000


WEEK = 7 * DAY


async def _record(journal: Journal, *keys: str, text: str = "x") -> None:
    await record(journal, *(message(key, text=text) for key in keys))


async def _stored_seqs(database: Database) -> list[int]:
    statement = "SELECT seq FROM publication WHERE seq IS NOT NULL ORDER BY seq"
    return [seq for (seq,) in await database.read(lambda db: db.execute(statement).fetchall())]


async def _count(database: Database, table: str) -> int:
    (count,) = await database.read(lambda db: db.execute(f"SELECT count(*) FROM {table}").fetchone())
    return int(count)


async def test_published_messages_are_deleted_after_the_time_of_the_history(
    database: Database, journal: Journal, clock: Clock
) -> None:
    await _record(journal, "a", "b")
    clock.now += DAY
    await _record(journal, "c", "d")
    await publish_all(journal)
    pruned = await journal.retention.prune(clock.now + WEEK - 1, WEEK, WEEK)
    assert pruned == PruneCounts(messages=2)
    assert await _stored_seqs(database) == [3, 4]


async def test_the_newest_message_always_stays(journal: Journal, clock: Clock) -> None:
    """The topic `last` needs it after a start, however long nobody wrote."""
    await _record(journal, "a", "b")
    await publish_all(journal)
    clock.now += 100 * WEEK
    assert (await journal.retention.prune(clock.now, 0, 0)).messages == 1
    assert json.loads((await journal.open()).last_payload or b"")["id"] == "id-b"
    assert await journal.retention.prune_history(0) == 0


async def test_rows_that_wait_are_never_pruned(database: Database, journal: Journal, clock: Clock) -> None:
    await _record(journal, *"abcd")
    first, second, *_ = await waiting_ids(journal)
    await journal.outbox.mark_published([second])
    await journal.outbox.mark_rejected([first], "too large")
    await record(journal, event("e"))
    await journal.outbox.add([publication()])
    await accept(journal, command("a"))
    clock.now += 100 * WEEK
    assert await journal.retention.prune(clock.now, 0, 0) == PruneCounts(messages=1)
    assert await journal.retention.prune_history(0) == 0
    assert await _stored_seqs(database) == [1, 3, 4]
    categories = [row.category for row in await journal.outbox.list_waiting(0, 10)]
    assert categories == ["message", "message", "event", "result"]
    assert len(await journal.commands.list_due(10)) == 1


async def test_dropped_messages_are_deleted_after_the_time_of_the_history(
    journal: Journal, clock: Clock
) -> None:
    await _record(journal, "a", "b")
    await journal.outbox.drop_topic("wx/in/wife", "refused")
    assert (await journal.retention.prune(clock.now + WEEK - 1, WEEK, WEEK)).messages == 0
    assert (await journal.retention.prune(clock.now + WEEK + 1, WEEK, WEEK)).messages == 1
    assert (await journal.stats()).dropped == 2


async def test_published_results_and_events_are_deleted_after_a_day_and_private_fields_after_a_week(
    database: Database, journal: Journal, clock: Clock
) -> None:
    await journal.outbox.add([publication(), publication()])
    await record(journal, event("e"), event("private", ticket="geheim"))
    await publish_all(journal)
    for age, deleted in ((DAY, 0), (DAY + 1, 3), (WEEK, 0), (WEEK + 1, 1)):
        assert (await journal.retention.prune(clock.now + age, WEEK, WEEK)).publications == deleted
    assert await _count(database, "publication") == 0


@pytest.mark.parametrize("items", [[message("a"), message("z")], [event("a")]], ids=["message", "event"])
async def test_a_key_is_known_for_a_week_though_its_row_was_deleted(
    journal: Journal, clock: Clock, items: list[NewMessage | NewEvent]
) -> None:
    await record(journal, *items)
    await publish_all(journal)
    pruned = await journal.retention.prune(clock.now + 2 * DAY, DAY, WEEK)
    assert pruned.messages + pruned.publications == 1
    assert (await record(journal, items[0])).repeated == 1
    clock.now += WEEK + 1
    await journal.outbox.add([publication()])
    await journal.retention.prune(clock.now + 1, DAY, WEEK)
    assert (await record(journal, items[0])).repeated == 0


async def test_a_key_is_known_as_long_as_the_history(journal: Journal, clock: Clock) -> None:
    await record(journal, event("e"))
    await publish_all(journal)
    await journal.retention.prune(clock.now + 20 * DAY, 30 * DAY, WEEK)
    assert (await record(journal, event("e"))).repeated == 1


async def test_finished_commands_are_deleted_after_their_time(journal: Journal, clock: Clock) -> None:
    row, _ = await accept(journal, command("a"), command("b"))
    clock.now += WEEK
    await journal.commands.finish(row.id, result("a", message_id="77"), [])
    assert (await journal.retention.prune(clock.now + WEEK, WEEK, WEEK)).commands == 0
    assert (await journal.retention.prune(clock.now + WEEK + 1, WEEK, WEEK)).commands == 1
    assert [row.command_id for row in await journal.commands.list_newest()] == ["b"]


async def test_nothing_is_pruned_while_the_clock_is_behind_the_newest_row(
    journal: Journal, clock: Clock
) -> None:
    await _record(journal, "a", "b")
    clock.now += 100 * WEEK
    await _record(journal, "c")
    await publish_all(journal)
    for behind in (0, 1, 10 * WEEK):
        assert await journal.retention.prune(clock.now - behind, 0, 0) == PruneCounts()


async def test_more_rows_than_one_commit_deletes_are_deleted(
    database: Database, journal: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_retention, "PRUNE_BATCH_ROWS", 10)
    await _record(journal, *(f"k{number}" for number in range(101)))
    await journal.outbox.add([publication()] * 35)
    await accept(journal, *(command(f"c{number}", result=result(f"c{number}")) for number in range(30)))
    await publish_all(journal)
    pruned = await journal.retention.prune(clock.now + 100 * WEEK, WEEK, WEEK)
    assert pruned == PruneCounts(messages=100, publications=35, commands=30)
    assert await _count(database, "seen") == 0


async def test_waiting_rows_among_the_oldest_do_not_keep_later_rows_from_being_deleted(
    database: Database, journal: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_retention, "PRUNE_BATCH_ROWS", 10)
    await _record(journal, *(f"k{number}" for number in range(50)))
    await journal.outbox.mark_published((await waiting_ids(journal))[25:])
    assert (await journal.retention.prune(clock.now + 100 * WEEK, WEEK, WEEK)).messages == 24
    assert await _stored_seqs(database) == [*range(1, 26), 50]


def _file_size(database: Database) -> int:
    assert isinstance(database, SqliteDatabase)
    return database.path.stat().st_size


@pytest.fixture
async def large_history(database: Database, journal: Journal) -> Journal:
    """A journal with 1000 published messages of a kilobyte."""
    for start in range(0, 1000, 500):
        await _record(journal, *(f"k{start + number}" for number in range(500)), text="x" * 1000)
    await publish_all(journal)
    if isinstance(database, SqliteDatabase):
        await database.checkpoint()
    return journal


async def test_history_is_pruned_until_its_rows_need_little(
    database: Database, large_history: Journal
) -> None:
    target = await database.used_bytes() * 3 // 4
    pruned = await large_history.retention.prune_history(target)
    assert 0 < pruned < 1000
    assert await database.used_bytes() <= target
    assert await _stored_seqs(database) == list(range(pruned + 1, 1001))
    if isinstance(database, SqliteDatabase):
        assert _file_size(database) <= target
    assert await large_history.retention.prune_history(target) == 0


@on_sqlite
async def test_the_file_shrinks_when_much_was_deleted(
    database: Database, large_history: Journal, clock: Clock
) -> None:
    before = _file_size(database)
    await large_history.retention.prune(clock.now + 100 * WEEK, WEEK, WEEK)
    assert _file_size(database) < before / 2


async def test_other_accounts_are_left_alone(
    database: Database, journal: Journal, work: Journal, clock: Clock
) -> None:
    for account in (journal, work):
        await _record(account, "a", "b")
        await account.outbox.add([publication()])
        await publish_all(account)
    await journal.retention.prune(clock.now + 100 * WEEK, WEEK, WEEK)
    assert (await record(work, message("a"))).repeated == 1
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


async def test_the_figures_count_what_waits_and_what_failed_today(
    journal: Journal, work: Journal, clock: Clock
) -> None:
    await _record(work, *"xyz")
    start = clock.now
    await _record(journal, "a")
    clock.now += 10
    await _record(journal, "b", "c")
    a, b, _ = await waiting_ids(journal)
    await journal.outbox.mark_published([a])
    await journal.outbox.mark_rejected([b], "too large")
    statuses = (Status.SENT, Status.FAILED, Status.UNCERTAIN, Status.EXPIRED)
    ended = [command(str(status), result=result(str(status), status)) for status in statuses]
    await accept(journal, *ended, command("waits"))
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
    await accept(journal, of_the_bridge, refused)
    assert (await journal.stats()).failed_today == 4, "texts of the bridge itself do not count"
    fallback = command("x~fallback", result=result("x~fallback", Status.FAILED))
    await accept(journal, replace(fallback, fallback_of="office"))
    assert (await journal.stats()).failed_today == 4, "nor do fallbacks of another account's commands"
    clock.now += DAY + 1
    assert (await journal.stats()).failed_today == 0
