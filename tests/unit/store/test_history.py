"""History queries by seq, chat, kind and text: complete, in order, and `more` is right."""

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
from tests.unit.store.make import event, message, on_sqlite, picture
from wx2mqtt.store import history
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.history import MessageHistory
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import HistoryQuery, HistoryRow, NewMessage, NewPublication
from wx2mqtt.store.sqlite_database import SqliteDatabase


async def _record(journal: Journal, *items: NewMessage) -> None:
    await journal.received.record(items, NO_CHANGES, None, "")


async def _seqs(journal: Journal, **wanted: object) -> tuple[list[int], bool]:
    kept, more = await journal.history.find(HistoryQuery(**wanted))  # type: ignore[arg-type]
    return [one.seq for one in kept], more


@pytest.fixture
async def ten(journal: Journal) -> Journal:
    """Ten messages: odd ones of wife, even ones of mom; with an event in between."""
    items = [message(f"k{n}", user="wife" if n % 2 else "mom", text=f"text {n}") for n in range(1, 11)]
    await journal.received.record([*items[:5], event("e"), *items[5:]], NO_CHANGES, None, "")
    return journal


async def test_an_empty_store_has_no_history(journal: Journal) -> None:
    assert await journal.history.find(HistoryQuery()) == ([], False)
    assert await journal.history.find(HistoryQuery(since=0)) == ([], False)


async def test_a_message_is_as_it_was_published(journal: Journal) -> None:
    await _record(journal, message("a"))
    (row,) = await journal.outbox.list_waiting(0, 9)
    assert await journal.history.find(HistoryQuery()) == (
        [HistoryRow(seq=1, message_id="id-a", payload=row.payload)],
        False,
    )


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
async def test_what_is_asked_for_is_found(
    ten: Journal, wanted: dict[str, object], seqs: list[int], more: bool
) -> None:
    assert await _seqs(ten, **wanted) == (seqs, more)


async def test_a_kind_is_found_among_others(ten: Journal) -> None:
    await _record(ten, picture("p"), message("z"))
    assert await _seqs(ten, kind="image") == ([11], False)


@pytest.mark.parametrize("text", ["100%", "_", "\\", "'", '"', "%", "开灯", "ÄB", "a\x00b", "\ud83d"])
async def test_any_text_is_searched_as_it_stands(journal: Journal, text: str) -> None:
    await _record(journal, message("a", text=f"x{text}Y"), message("b", text="other"))
    assert await _seqs(journal, text=f"X{text}y") == ([1], False)


async def test_capital_letters_of_ascii_do_not_matter(journal: Journal) -> None:
    await _record(journal, message("a", text="Türe ÖFFNEN"))
    assert await _seqs(journal, text="tÜRE") == ([], False)
    assert await _seqs(journal, text="tüRE Ö") == ([1], False)


async def test_another_account_is_not_seen(database: Database, ten: Journal, clock: Clock) -> None:
    other = Journal(database, "work", clock)
    await other.open()
    assert await _seqs(other) == ([], False)


async def test_what_was_given_up_or_is_held_is_history_too(journal: Journal) -> None:
    """History cures what a broker refused; the seq must have no gaps."""
    await _record(journal, message("a"), message("b", user="mom"), picture("c", held=True))
    await journal.outbox.drop_topic("wx/in/wife", "refused")
    await journal.outbox.mark_rejected(
        [row.id for row in await journal.outbox.list_waiting(0, 9)], "too large"
    )
    assert await _seqs(journal, since=0) == ([1, 2, 3], False)


async def test_what_is_deleted_once_it_is_published_is_no_history(journal: Journal) -> None:
    """Messages stay, and so does what has not been published."""
    result = NewPublication(topic="wx/result/wife", payload=b"{}", category="result", content_type="")
    await _record(journal, message("a"))
    await journal.outbox.add([result, result])
    message_id, first, second = [row.id for row in await journal.outbox.list_waiting(0, 9)]
    await journal.outbox.mark_published([message_id, first])
    await journal.outbox.delete_published([message_id, first, second])
    assert sorted(await journal.outbox.created_times([message_id, first, second])) == [message_id, second]
    assert await _seqs(journal, since=0) == ([1], False)


async def test_pruned_history_is_not_missed(ten: Journal, clock: Clock) -> None:
    await ten.outbox.mark_published([row.id for row in await ten.outbox.list_waiting(0, 5)])
    clock.now += 10**10
    await ten.retention.prune(clock.now, 1, 1)
    assert await _seqs(ten, since=0, limit=2) == ([6, 7], True)
    assert await _seqs(ten, text="text", limit=5) == ([6, 7, 8, 9, 10], False)


@pytest.mark.parametrize("since", [None, 0])
async def test_a_search_through_many_lets_others_read_in_between(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, since: int | None
) -> None:
    monkeypatch.setattr(history, "SCAN_BATCH_ROWS", 10)
    await _record(journal, *(message(f"k{n}", text="needle" if n in {4, 95} else "hay") for n in range(100)))
    reads = []
    found = MessageHistory._compare_batch

    def counted(messages: MessageHistory, *arguments: object) -> list[HistoryRow]:
        reads.append(arguments)
        return found(messages, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(MessageHistory, "_compare_batch", counted)
    assert await _seqs(journal, text="needle", since=since) == ([5, 96], False)
    assert len(reads) == 10
    reads.clear()
    await _seqs(journal, text="hay", since=since, limit=5)
    assert len(reads) == 1


async def test_a_client_that_remembers_its_last_seq_gets_all_that_it_missed_once(ten: Journal) -> None:
    got: list[int] = []
    more = True
    while more:
        seqs, more = await _seqs(ten, since=got[-1] if got else 0, limit=3)
        got += seqs
    assert got == list(range(1, 11))


@dataclass(frozen=True)
class Said:
    """What the model knows of a message."""

    user: str
    kind: str
    text: str


said = st.builds(
    Said,
    user=st.sampled_from(["wife", "mom", "ann"]),
    kind=st.sampled_from(["text", "image"]),
    text=st.text("aAbä%_", max_size=4),
)
wanted = st.builds(
    HistoryQuery,
    since=st.none() | st.integers(-1, 40),
    before=st.none() | st.integers(-1, 40),
    users=st.lists(st.sampled_from(["wife", "mom", "x"]), max_size=2).map(tuple),
    kind=st.sampled_from(["", "text", "image"]),
    text=st.text("aAbä%_", max_size=2),
    limit=st.integers(1, 6),
)


def _expected(stored: list[Said], asked: HistoryQuery) -> tuple[list[int], bool]:
    fits = [
        seq
        for seq, one in enumerate(stored, 1)
        if (asked.since is None or seq > asked.since)
        and (asked.before is None or seq < asked.before)
        and (not asked.users or one.user in asked.users)
        and (not asked.kind or one.kind == asked.kind)
        and asked.text.lower() in one.text.lower()
    ]
    part = fits[-asked.limit :] if asked.since is None else fits[: asked.limit]
    return part, len(fits) > len(part)


@settings(deadline=None, max_examples=repetitions(20, 200))
@given(st.lists(said, max_size=30), st.lists(wanted, min_size=1, max_size=8), st.integers(1, 7))
def test_it_finds_what_reading_all_would_find(
    tmp_path_factory: pytest.TempPathFactory, stored: list[Said], asked: list[HistoryQuery], stride: int
) -> None:
    async def check(folder: Path) -> None:
        database = await SqliteDatabase.open(folder / "wx2mqtt.db")
        journal = Journal(database, "home")
        await journal.open()
        items = [
            replace(message(str(n), user=one.user, text=one.text), kind=one.kind)
            for n, one in enumerate(stored)
        ]
        await _record(journal, *items)
        for one in asked:
            kept, more = await journal.history.find(one)
            assert ([row.seq for row in kept], more) == _expected(stored, one)
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
async def test_an_index_leads_to_what_is_asked_for(database: Database, statement: str, index: str) -> None:
    plan = await database.read(lambda db: list(_plan(db, statement)))
    assert plan == [f"SEARCH publication USING INDEX {index}"]


@on_sqlite
async def test_the_edges_are_found_without_reading_all(database: Database) -> None:
    explain = f"EXPLAIN QUERY PLAN {history._SEQ_RANGE}"
    plan = await database.read(lambda db: [row[3] for row in db.execute(explain, ["home"])])
    assert sum("SEARCH publication USING COVERING INDEX publication_seq" in step for step in plan) == 2


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 9, 10])
async def test_a_search_from_old_to_new_misses_no_row_where_two_batches_meet(
    ten: Journal, monkeypatch: pytest.MonkeyPatch, batch_rows: int
) -> None:
    monkeypatch.setattr(history, "SCAN_BATCH_ROWS", batch_rows)
    assert await _seqs(ten, since=0, text="text") == ([*range(1, 11)], False)
