"""A search finds the same with the index as without it, and reads much less."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.store.make import message, names
from wx2mqtt.store import search_index as search_index_module
from wx2mqtt.store.database import Database
from wx2mqtt.store.history import MessageHistory
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import HistoryQuery, HistoryRow
from wx2mqtt.store.search_index import SearchIndex, pairs

ALPHABET = "你好吗aB-. é\U0001f600\x00\ud800"
WORDS = [
    "你",
    "你好",
    "好你好",
    "ab",
    "AB",
    "a-b",
    "é",
    "b.",
    " ",
    "\U0001f600",
    "\x00",
    "没有人写过",
    "你好吗你好吗",
]


@pytest.fixture
async def index(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SearchIndex]:
    monkeypatch.setattr(search_index_module, "MIN_NEW_ROWS", 1)
    monkeypatch.setattr(search_index_module, "ROWS_PER_STEP", 7)
    monkeypatch.setattr(search_index_module, "OLD_ROWS", 2)
    index = SearchIndex(database, tmp_path / "search.db")
    yield index
    await index.close()


@pytest.fixture
async def journal(database: Database, index: SearchIndex) -> Journal:
    journal = Journal(database, "home", search_index=index)
    await journal.open()
    return journal


async def store(journal: Journal, texts: list[str], user: str = "") -> None:
    number = random.randrange(10**9)
    items = [
        message(f"{number}-{place}", text=text, user=user or ("wife" if place % 2 else "bob"))
        for place, text in enumerate(texts)
    ]
    await journal.received.record(items, NO_CHANGES, None, "")


async def seqs(journal: Journal, **query: object) -> tuple[list[int], bool]:
    rows, more = await journal.history.find(HistoryQuery(**query))  # type: ignore[arg-type]
    return [row.seq for row in rows], more


async def test_a_search_with_the_index_finds_what_a_search_without_it_finds(
    database: Database, journal: Journal, index: SearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wx2mqtt.store.history.CANDIDATES_PER_MATCH", 1)
    generator = random.Random(5)
    texts = ["".join(generator.choices(ALPHABET, k=generator.randrange(12))) for _ in range(150)]
    plain, other = Journal(database, "home"), Journal(database, "other")
    await plain.open()
    await other.open()
    await store(journal, texts)
    await store(other, texts[:30])
    await index.extend()
    await store(journal, texts[:40])  # these are not in the index yet
    assert 0 < index.indexed_id < 220
    for text in WORDS:
        for more in (
            {},
            {"since": 0},
            {"since": 20},
            {"before": 100},
            {"users": ("wife",)},
            {"kind": "text", "limit": 3},
            {"limit": 1},
        ):
            assert await seqs(journal, text=text, **more) == await seqs(plain, text=text, **more), (
                text,
                more,
            )


async def test_a_search_for_a_text_that_nobody_wrote_reads_no_messages(
    journal: Journal, index: SearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(journal, ["今天晚上回家吃饭吗"] * 100)
    await index.extend()
    scans: list[object] = []
    compare_batch = MessageHistory._compare_batch

    def counting_compare_batch(*values: Any) -> list[HistoryRow]:
        scans.append(values)
        return compare_batch(*values)

    monkeypatch.setattr(MessageHistory, "_compare_batch", counting_compare_batch)
    assert await seqs(journal, text="没有人写过这个") == ([], False)
    assert scans == []


async def test_the_index_is_not_extended_by_a_few_messages(
    journal: Journal, index: SearchIndex, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(search_index_module, "MIN_NEW_ROWS", 50)
    await store(journal, ["a"] * 40)
    await index.extend()
    assert "search.db" not in names(tmp_path)
    await store(journal, ["a"] * 20)
    await index.extend()
    assert index.indexed_id == 60


async def test_the_index_is_kept_after_a_restart_and_not_used_for_another_store(
    database: Database, journal: Journal, index: SearchIndex, tmp_path: Path
) -> None:
    await store(journal, ["你好"] * 30)
    await index.extend()
    await index.close()
    reopened = SearchIndex(database, tmp_path / "search.db")
    await store(journal, ["再见"])
    await reopened.extend()
    assert reopened.indexed_id == 31
    assert len(await reopened.candidates("你好", range(1, 100), 100) or ()) == 30
    await reopened.close()
    await database.write(
        "stream", lambda db: db.execute("UPDATE meta SET value = 'else' WHERE name = 'stream'")
    )
    await database.write("delete", lambda db: db.execute("DELETE FROM publication WHERE id < 31"))
    index_of_other_store = SearchIndex(database, tmp_path / "search.db")
    await index_of_other_store.extend()
    assert await index_of_other_store.candidates("你好", range(1, 100), 100) == []
    await index_of_other_store.close()


@pytest.mark.parametrize("kept", [[], [1, 2]])
async def test_the_index_is_made_anew_when_most_of_its_messages_were_deleted(
    database: Database, journal: Journal, index: SearchIndex, kept: list[int]
) -> None:
    """A few old messages may stay, as the newest of an account does; the file must not grow for ever."""
    await store(journal, ["秘密"] * 60)
    await index.extend()
    first = len(kept) + 1
    await database.write(
        "delete", lambda db: db.execute("DELETE FROM publication WHERE id BETWEEN ? AND 50", (first,))
    )
    await store(journal, ["秘密"])
    await index.extend()
    seqs_found = await index.candidates("秘密", range(1, 100), 100)
    assert seqs_found == [*kept, *range(51, 62)]


@pytest.mark.parametrize(("since", "expected"), [(None, range(12, 31, 2)), (0, range(2, 21, 2))])
async def test_a_search_goes_on_when_the_index_is_deleted_meanwhile(
    journal: Journal, index: SearchIndex, monkeypatch: pytest.MonkeyPatch, since: int | None, expected: range
) -> None:
    monkeypatch.setattr("wx2mqtt.store.history.CANDIDATES_PER_MATCH", 1)
    await store(journal, ["秘密"] * 30)
    await index.extend()
    candidates = index.candidates
    answers: list[Sequence[int] | None] = []

    async def candidates_once(*asked: Any) -> Sequence[int] | None:
        if answers:
            await index.delete()
        answers.append(await candidates(*asked))
        return answers[-1]

    monkeypatch.setattr(index, "candidates", candidates_once)
    assert await seqs(journal, text="秘密", users=("wife",), since=since, limit=10) == ([*expected], True)
    assert [answer is None for answer in answers] == [False, True]


async def test_a_deleted_index_leaves_no_file(journal: Journal, index: SearchIndex, tmp_path: Path) -> None:
    await store(journal, ["秘密"] * 30)
    await index.extend()
    await index.delete()
    assert not [name for name in names(tmp_path) if name.startswith("search")]
    assert (await seqs(journal, text="秘密"))[0] == list(range(1, 31))
    await index.extend()
    assert index.indexed_id == 30


@pytest.mark.parametrize("fault", ["no module", "damage"])
async def test_without_a_usable_index_every_message_is_read(
    journal: Journal, index: SearchIndex, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str
) -> None:
    await store(journal, ["你好"] * 30)
    if fault == "damage":
        damage(tmp_path / "search.db")
    else:
        monkeypatch.setattr(search_index_module, "_connect", no_module)
    await index.extend()
    await index.extend()
    assert index.indexed_id == 0
    assert len((await seqs(journal, text="你好"))[0]) == 30
    assert not [name for name in names(tmp_path) if name.startswith("search")]


def no_module(_path: Path) -> sqlite3.Connection:
    raise sqlite3.OperationalError("no such module: fts5")


def damage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def test_a_text_has_its_pairs_and_its_characters() -> None:
    assert pairs("A你好") == {"a你", "你好", "a", "你", "好"}
    assert pairs("") == set()
    assert all(" " not in pair and '"' not in pair for pair in pairs('a "b" c*'))
