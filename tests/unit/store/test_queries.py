"""The SQL files: every statement has a name, is used, and is one that SQLite understands."""

from __future__ import annotations

import re
import sqlite3
from functools import partial
from importlib.resources import files
from pathlib import Path

import pytest

from wx2mqtt import store
from wx2mqtt.store.database import Database
from wx2mqtt.store.queries import queries

FOLDER = files("wx2mqtt.store") / "sql"
TOPICS = sorted(entry.name[:-4] for entry in FOLDER.iterdir() if not entry.name[0].isdigit())
CODE = "".join(path.read_text() for path in Path(store.__file__).parent.glob("*.py"))


def _plan(connection: sqlite3.Connection, statement: str) -> list[str]:
    numbers = [int(number) for number in re.findall(r"\?(\d+)", statement)]
    count = max(numbers) if numbers else statement.count("?")
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", [None] * count)]


@pytest.mark.parametrize("topic", TOPICS)
async def test_sqlite_understands_every_statement(database: Database, topic: str) -> None:
    for statement in queries(topic).values():
        await database.read(partial(_plan, statement=statement))


@pytest.mark.parametrize("topic", TOPICS)
def test_every_statement_is_used(topic: str) -> None:
    for name in queries(topic):
        assert f'"{name}"' in CODE or name.startswith("newest_"), f"{topic}: {name}"


FREQUENT = [
    ("publications", "waiting"),
    ("publications", "waiting_in"),
    ("publications", "published"),
    ("publications", "drop_topic"),
    ("publications", "aside"),
    ("inbound", "known"),
    ("inbound", "last"),
    ("acceptance", "known"),
    ("acceptance", "same_delivery"),
    ("acceptance", "similar_delivery"),
    ("commands", "due"),
    ("commands", "sent"),
    ("commands", "doubtful"),
    ("commands", "recover"),
    ("commands", "newest"),
    ("upkeep", "oldest"),
    ("upkeep", "passing"),
    ("upkeep", "remove_commands"),
    ("upkeep", "stats"),
    ("commands", "whose"),
    ("commands", "by_key"),
    ("upkeep", "remove_deeds"),
    ("media", "next"),
    ("media", "get"),
    ("media", "of_messages"),
    ("media", "avatar"),
    ("media", "ready"),
    ("media", "held"),
    ("media", "held_one"),
    ("media_upkeep", "before"),
    ("media_upkeep", "oldest"),
    ("media_upkeep", "total"),
    ("media_upkeep", "take_away"),
    ("media_upkeep", "needed"),
    ("media_upkeep", "page"),
    ("history", "edges"),
    ("history", "first"),
    ("history", "newest"),
    ("history", "first_of"),
    ("history", "newest_of"),
    ("deeds", "known"),
    ("people", "two_owners"),
    ("people", "free_levels"),
]


@pytest.mark.parametrize(("topic", "name"), FREQUENT)
async def test_no_frequent_statement_reads_a_whole_table(database: Database, topic: str, name: str) -> None:
    plan = await database.read(lambda connection: _plan(connection, queries(topic)[name]))
    scans = [
        step
        for step in plan
        if step.startswith("SCAN") and not re.search("json_each|CONSTANT|VIRTUAL TABLE", step)
        and not re.fullmatch(r"SCAN \(?subquery.*", step, re.IGNORECASE)
    ]  # fmt: skip
    assert not scans, plan


async def test_what_waits_is_read_in_order_without_sorting(database: Database) -> None:
    sorted_by_index = [
        ("publications", "waiting"),
        ("commands", "due"),
        ("media", "next"),
        ("media", "avatar"),
        ("media_upkeep", "before"),
        ("media_upkeep", "oldest"),
        ("media_upkeep", "oldest_of_all"),
        ("media_upkeep", "page"),
        ("history", "first"),
        ("history", "newest"),
    ]
    for topic, name in sorted_by_index:
        plan = await database.read(partial(_plan, statement=queries(topic)[name]))
        assert not [step for step in plan if "TEMP B-TREE" in step], plan


def test_the_plain_sentences_are_left_out() -> None:
    assert all("--" not in statement for topic in TOPICS for statement in queries(topic).values())
