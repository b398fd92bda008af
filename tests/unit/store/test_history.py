"""History queries by seq, chat, kind and text return all matching messages in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.repetitions import repetitions
from tests.unit.store.conftest import Clock
from tests.unit.store.make import event, message, on_sqlite, picture, publication, record, waiting_ids
from wx2mqtt.store import history
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.history import MessageHistory
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import HistoryQuery, HistoryRow
from wx2mqtt.store.sqlite_database import SqliteDatabase


async def test_a_message_is_as_it_was_published(journal: Journal, work: Journal) -> None:
    assert await journal.history.find(HistoryQuery()) == ([], False)
    assert await journal.history.find(HistoryQuery(since=0)) == ([], False)
    await record(journal, message("a"))
    (row,) = await journal.outbox.list_waiting(0, 9)
    expected = HistoryRow(seq=1, message_id="id-a", payload=row.payload)
    assert await journal.history.find(HistoryQuery()) == ([expected], False)
    assert await work.history.find(HistoryQuery()) == ([], False), "another account is not seen"


async def _seqs(journal: Journal, **wanted: object) -> tuple[list[int], bool]:
    rows, more = await journal.history.find(HistoryQuery(**wanted))  # type: ignore[arg-type]
    return [row.seq for row in rows], more


@pytest.fixture
async def ten_messages(journal: Journal) -> Journal:
    """A journal with ten messages, odd ones of wife and even ones of mom, and an event in between."""
    items = [message(f"k{n}", user="wife" if n % 2 else "mom", text=f"text {n}") for n in range(1, 11)]
    await journal.received.record([*items[:5], event("e"), *items[5:]], NO_CHANGES, None, "")
    return journal


@pytest.mark.parametrize(
    ("wanted", "seqs", "more"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], False),
        ({"limit": 3}, [8, 9, 10], True),
        ({"limit": 10}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], False),
        ({"before": 5}, [1, 2, 3, 4], False),
        ({"before": 5, "limit": 2}, [3, 4], True),
        ({"before": 1}, [], False),
        ({"before": -5}, [], False),
        ({"since": 0, "limit": 3}, [1, 2, 3], True),
        ({"since": 3, "limit": 3}, [4, 5, 6], True),
        ({"since": 7, "limit": 3}, [8, 9, 10], False),
        ({"since": 10}, [], False),
        ({"since": -3, "limit": 2}, [1, 2], True),
        ({"since": 2, "before": 5}, [3, 4], False),
        ({"since": 2, "before": 8, "limit": 2}, [3, 4], True),
        ({"since": 10**30}, [], False),
        ({"before": 10**30, "limit": 1}, [10], True),
        ({"users": ("wife",)}, [1, 3, 5, 7, 9], False),
        ({"users": ("wife",), "limit": 2}, [7, 9], True),
        ({"users": ("wife",), "since": 2, "limit": 2}, [3, 5], True),
        ({"users": ("wife", "mom", "wife"), "since": 2, "limit": 3}, [3, 4, 5], True),
        ({"users": ("mom", "wife"), "before": 9, "limit": 3}, [6, 7, 8], True),
        ({"users": ("nobody",)}, [], False),
        ({"text": "text 1"}, [1, 10], False),
        ({"text": "TEXT 1", "limit": 1}, [10], True),
        ({"text": "text 1", "since": 1}, [10], False),
        ({"text": "text", "users": ("wife",), "before": 4}, [1, 3], False),
        ({"kind": "text", "limit": 1}, [10], True),
        ({"kind": "image"}, [], False),
    ],
)
async def test_a_query_finds_the_messages_that_match_it(
    ten_messages: Journal, wanted: dict[str, object], seqs: list[int], more: bool
) -> None:
    assert await _seqs(ten_messages, **wanted) == (seqs, more)


async def test_a_kind_is_found_among_others(ten_messages: Journal) -> None:
    await record(ten_messages, picture("p"), message("z"))
    assert await _seqs(ten_messages, kind="image") == ([11], False)


@pytest.mark.parametrize("text", ["100%", "_", "\\", "'", '"', "%", "开灯", "ÄB", "a\x00b", "\ud83d"])
async def test_no_character_of_a_searched_text_has_a_special_meaning(journal: Journal, text: str) -> None:
    await record(journal, message("a", text=f"x{text}Y"), message("b", text="other"))
    assert await _seqs(journal, text=f"X{text}y") == ([1], False)


async def test_a_search_ignores_case_of_ascii_letters_only(journal: Journal) -> None:
    await record(journal, message("a", text="Türe ÖFFNEN"))
    assert await _seqs(journal, text="tÜRE") == ([], False)
    assert await _seqs(journal, text="tüRE Ö") == ([1], False)


async def test_rejected_messages_and_those_that_wait_for_a_file_are_in_the_history(journal: Journal) -> None:
    """Consumers get from the history what the broker has refused; the seqs must have no gaps."""
    await record(journal, message("a"), message("b", user="mom"), picture("c", waits_for_file=True))
    await journal.outbox.drop_topic("wx/in/wife", "refused")
    await journal.outbox.mark_rejected(await waiting_ids(journal), "too large")
    assert await _seqs(journal, since=0) == ([1, 2, 3], False)


async def test_publications_that_are_deleted_when_published_are_not_in_the_history(journal: Journal) -> None:
    """Messages stay, and so do publications that were not published yet."""
    await record(journal, message("a"))
    await journal.outbox.add([publication(), publication()])
    message_id, first, second = await waiting_ids(journal)
    await journal.outbox.mark_published([message_id, first])
    await journal.outbox.delete_published([message_id, first, second])
    assert sorted(await journal.outbox.created_times([message_id, first, second])) == [message_id, second]
    assert await _seqs(journal, since=0) == ([1], False)


async def test_queries_work_after_history_was_pruned(ten_messages: Journal, clock: Clock) -> None:
    await ten_messages.outbox.mark_published([row.id for row in await ten_messages.outbox.list_waiting(0, 5)])
    clock.now += 10**10
    await ten_messages.retention.prune(clock.now, 1, 1)
    assert await _seqs(ten_messages, since=0, limit=2) == ([6, 7], True)
    assert await _seqs(ten_messages, text="text", limit=5) == ([6, 7, 8, 9, 10], False)


@pytest.mark.parametrize("since", [None, 0])
async def test_a_search_reads_the_messages_in_batches(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, since: int | None
) -> None:
    monkeypatch.setattr(history, "SCAN_BATCH_ROWS", 10)
    await record(journal, *(message(f"k{n}", text="needle" if n in {4, 95} else "hay") for n in range(100)))
    reads = []
    compare_batch = MessageHistory._compare_batch

    def counting_compare_batch(messages: MessageHistory, *arguments: object) -> list[HistoryRow]:
        reads.append(arguments)
        return compare_batch(messages, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(MessageHistory, "_compare_batch", counting_compare_batch)
    assert await _seqs(journal, text="needle", since=since) == ([5, 96], False)
    assert len(reads) == 10
    reads.clear()
    await _seqs(journal, text="hay", since=since, limit=5)
    assert len(reads) == 1


@dataclass(frozen=True)
class ModelMessage:
    """A stored message, as far as a query compares it."""

    user: str
    kind: str
    text: str


model_messages = st.builds(
    ModelMessage,
    user=st.sampled_from(["wife", "mom", "ann"]),
    kind=st.sampled_from(["text", "image"]),
    text=st.text("aAbä%_", max_size=4),
)
queries = st.builds(
    HistoryQuery,
    since=st.none() | st.integers(-1, 40),
    before=st.none() | st.integers(-1, 40),
    users=st.lists(st.sampled_from(["wife", "mom", "x"]), max_size=2).map(tuple),
    kind=st.sampled_from(["", "text", "image"]),
    text=st.text("aAbä%_", max_size=2),
    limit=st.integers(1, 6),
)


def _expected(stored: list[ModelMessage], query: HistoryQuery) -> tuple[list[int], bool]:
    matches = [
        seq
        for seq, message in enumerate(stored, 1)
        if (query.since is None or seq > query.since)
        and (query.before is None or seq < query.before)
        and (not query.users or message.user in query.users)
        and (not query.kind or message.kind == query.kind)
        and query.text.lower() in message.text.lower()
    ]
    part = matches[-query.limit :] if query.since is None else matches[: query.limit]
    return part, len(matches) > len(part)


@settings(deadline=None, max_examples=repetitions(20, 200))
@given(st.lists(model_messages, max_size=30), st.lists(queries, min_size=1, max_size=8), st.integers(1, 7))
def test_a_query_finds_what_a_comparison_of_all_messages_finds(
    tmp_path_factory: pytest.TempPathFactory,
    stored: list[ModelMessage],
    queries: list[HistoryQuery],
    stride: int,
) -> None:
    async def check(folder: Path) -> None:
        database = await SqliteDatabase.open(folder / "wx2mqtt.db")
        journal = Journal(database, "home")
        await journal.open()
        items = [
            replace(message(str(n), user=item.user, text=item.text), kind=item.kind)
            for n, item in enumerate(stored)
        ]
        await record(journal, *items)
        for query in queries:
            rows, more = await journal.history.find(query)
            assert ([row.seq for row in rows], more) == _expected(stored, query)
        await database.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "SCAN_BATCH_ROWS", stride)
        asyncio.run(check(tmp_path_factory.mktemp("history")))


def _plan(connection: Connection, statement: str) -> Iterator[str]:
    arguments = ["home", 1, 9, "", "", 5, *["wife"] * ("?7" in statement)]
    return (row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", arguments))


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (history._OLDEST, "publication_seq (account=? AND seq>? AND seq<?)"),
        (history._NEWEST, "publication_seq (account=? AND seq>? AND seq<?)"),
        (history._OLDEST_IN_CHAT, "publication_history (account=? AND user=? AND seq>? AND seq<?)"),
        (history._NEWEST_IN_CHAT, "publication_history (account=? AND user=? AND seq>? AND seq<?)"),
    ],
    ids=["oldest", "newest", "oldest in a chat", "newest in a chat"],
)
@on_sqlite
async def test_a_query_uses_an_index(database: Database, statement: str, index: str) -> None:
    plan = await database.read(lambda db: list(_plan(db, statement)))
    assert plan == [f"SEARCH publication USING INDEX {index}"]


@on_sqlite
async def test_the_first_and_the_last_seq_are_found_by_an_index(database: Database) -> None:
    explain = f"EXPLAIN QUERY PLAN {history._SEQ_RANGE}"
    plan = await database.read(lambda db: [row[3] for row in db.execute(explain, ["home"])])
    assert sum("SEARCH publication USING COVERING INDEX publication_seq" in step for step in plan) == 2


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 9, 10])
async def test_a_search_from_old_to_new_misses_no_row_where_two_batches_meet(
    ten_messages: Journal, monkeypatch: pytest.MonkeyPatch, batch_rows: int
) -> None:
    monkeypatch.setattr(history, "SCAN_BATCH_ROWS", batch_rows)
    assert await _seqs(ten_messages, since=0, text="text") == ([*range(1, 11)], False)
