"""A store of an older version is migrated with all its data, and an older bridge refuses a newer store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import blob, command, contents, delivery_mark, media, message, picture
from wx2mqtt.errors import StoreTooNew
from wx2mqtt.store import sqlite_database
from wx2mqtt.store.command_records import AcceptOutcome
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.people import StoredPeople
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import HistoryQuery
from wx2mqtt.store.requests import RequestState
from wx2mqtt.store.sqlite_database import SqliteDatabase


def write_version_1(file: Path) -> Path:
    """Writes the database of a store of version 1."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.executescript(Path(__file__).with_name("version_1.sql").read_text(encoding="utf-8"))
        connection.execute("PRAGMA user_version = 1")
    return file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The database of a store of version 1."""
    return write_version_1(tmp_path / "wx2mqtt.db")


@pytest.fixture
async def journal(path: Path, clock: Clock) -> AsyncIterator[Journal]:
    database = await SqliteDatabase.open(path)
    assert not database.is_new
    assert database.set_aside is None
    yield Journal(database, "home", clock)
    await database.close()


async def test_a_store_of_version_1_keeps_all_its_data(journal: Journal) -> None:
    opened = await journal.open()
    assert (opened.cursor, opened.seq, opened.base_topic, opened.broker_session) == ("c1", 2, "wx", 3)
    assert json.loads(opened.last_payload or b"")["text"] == "二"
    waiting = await journal.outbox.list_waiting(0, 9)
    assert [(row.id, row.category) for row in waiting] == [(3, "message"), (5, "result"), (6, "result")]
    assert [row.id for row, _ in await journal.outbox.list_rejected()] == [2]
    assert [(row.command_id, row.attempt_open, row.blob) for row in await journal.commands.list_due(9)] == [
        ("w", False, None),
        ("o", True, None),
    ]
    assert await journal.commands.sent_message_target("77") == ("wife", 1_795_600_000_000)
    history, more = await journal.history.find(HistoryQuery(since=0))
    assert ([row.seq for row in history], more) == ([1, 2], False)
    persons, topic_names = await StoredPeople(journal._database, "home").load()
    assert ([person.topic_name for person in persons], dict(topic_names)) == (["wife"], {"wife": 1})


async def test_in_a_migrated_store_known_messages_are_repeats_and_new_ones_are_stored(
    journal: Journal,
) -> None:
    await journal.open()
    recorded = await journal.received.record(
        [message("a"), picture("p", media("m"), waits_for_file=True)], NO_CHANGES, None, "login"
    )
    assert (recorded.messages, recorded.repeated, recorded.seq) == (1, 1, 3)
    again, new = await journal.commands.accept([command("w"), command("n", blob=blob("x"))])
    assert (again.outcome, new.outcome) == (AcceptOutcome.REPEAT, AcceptOutcome.NEW)
    assert new.row is not None
    assert (new.row.id, new.row.blob) == (5, blob("x"))
    assert (await journal.media.next_download()) == await journal.media.get("m")
    assert (await journal.requests.start(delivery_mark(1))).state is RequestState.FRESH


async def test_a_migrated_store_has_the_schema_of_a_new_one(path: Path, tmp_path: Path) -> None:
    for file in (path, tmp_path / "new.db"):
        database = await SqliteDatabase.open(file)
        await database.close()

    def schema(file: Path) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(file)) as connection:
            rows = connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
            )
            return [(name, " ".join(sql.split())) for name, sql in rows]

    assert schema(path) == schema(tmp_path / "new.db")


async def test_a_bridge_of_version_1_refuses_a_migrated_store_and_does_not_change_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await SqliteDatabase.open(path)
    await database.close()
    before = contents(path.parent)
    first = sqlite_database.migrations()[:1]
    monkeypatch.setattr(sqlite_database, "migrations", lambda: first)
    with pytest.raises(StoreTooNew, match=r"version \d+, this wx2mqtt knows 1"):
        await SqliteDatabase.open(path)
    assert contents(path.parent) == before


async def test_a_migration_that_was_interrupted_is_done_at_the_next_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = sqlite_database.migrations()
    monkeypatch.setattr(
        sqlite_database, "migrations", lambda: [scripts[0], scripts[1] + "; SELECT * FROM nowhere"]
    )
    with pytest.raises(Exception, match="refused"):
        await SqliteDatabase.open(path)
    monkeypatch.setattr(sqlite_database, "migrations", lambda: scripts)
    database = await SqliteDatabase.open(path)
    assert (await Journal(database, "home").open()).seq == 2
    await database.close()


async def test_the_size_of_the_files_is_known_after_each_commit(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "new.db")
    before = database.allocated_bytes
    assert before > 0
    await database.write(
        "more", lambda db: db.execute("CREATE TABLE filler AS SELECT zeroblob(200000) AS data")
    )
    assert database.allocated_bytes >= before + 200_000
    await database.close()
