"""An operation for an account that another instance runs is carried out by that instance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from tests.support.postgresql import empty_database
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.store import operation_queue
from wx2mqtt.store.operation_queue import OperationAnswer, OperationQueue
from wx2mqtt.store.postgresql_database import PostgresqlDatabase


@pytest.fixture(autouse=True)
def _short_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation_queue, "QUEUE_POLL_SECONDS", 0.01)
    monkeypatch.setattr(operation_queue, "ANSWER_POLL_SECONDS", 0.01)


@pytest.fixture
async def database() -> AsyncIterator[PostgresqlDatabase]:
    opened = await PostgresqlDatabase.open(empty_database())
    yield opened
    await opened.close()


@pytest.fixture
async def operations(database: PostgresqlDatabase) -> AsyncIterator[list[tuple[str, Mapping[str, Json]]]]:
    """The operations that an instance with the accounts `home` and `house` was asked for.

    It refuses `no`, and fails with a bug at `bug`.
    """
    received: list[tuple[str, Mapping[str, Json]]] = []

    async def run(name: str, fields: Mapping[str, Json]) -> Json:
        received.append((name, fields))
        if name == "no":
            raise Wx2MqttError("there is no command 'c1'")
        if name == "bug":
            raise KeyError("secret")
        return None if name == "nothing" else {"text": "a\0\ud83d 老婆"}

    serve_task = asyncio.create_task(OperationQueue(database).serve(lambda: ["home", "house"], run))
    yield received
    serve_task.cancel()
    await asyncio.wait({serve_task})
    assert serve_task.cancelled()


async def row_count(database: PostgresqlDatabase) -> int:
    (count,) = await database.read(lambda db: db.execute("SELECT count(*) FROM operation").fetchone())
    return int(count)


async def test_the_instance_that_runs_the_account_answers(database, operations) -> None:
    queue = OperationQueue(database)
    answer = await queue.ask("home", "journal.list", {"all": True})
    assert answer == OperationAnswer(value={"text": "a\0\ud83d 老婆"})
    assert await queue.ask("house", "nothing", {}) == OperationAnswer(value=None)
    assert operations == [
        ("journal.list", {"all": True, "account": "home"}),
        ("nothing", {"account": "house"}),
    ]
    assert await row_count(database) == 0


async def test_a_refusal_comes_back_in_the_same_words_and_a_bug_without_its_text(
    database, operations
) -> None:
    with pytest.raises(Wx2MqttError, match="there is no command 'c1'"):
        await OperationQueue(database).ask("home", "no", {})
    with pytest.raises(Wx2MqttError, match="the log of the other instance") as caught:
        await OperationQueue(database).ask("home", "bug", {})
    assert "secret" not in str(caught.value)
    assert await row_count(database) == 0
    assert len(operations) == 2


async def test_for_an_account_that_runs_nowhere_there_is_no_answer(
    database, operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation_queue, "TAKEN_WITHIN_SECONDS", 0.1)
    assert await OperationQueue(database).ask("elsewhere", "journal.list", {}) is None
    assert operations == []
    assert await row_count(database) == 0


async def test_an_operation_that_was_given_up_is_not_carried_out_later(database, operations) -> None:
    def add(db):
        db.execute(
            "INSERT INTO operation (account, name, fields, asked)"
            " VALUES ('home', 'late', '{}', now() - make_interval(secs => 5))"
        )

    await database.write("old", add)
    await OperationQueue(database).ask("home", "now", {})
    assert [name for name, _ in operations] == ["now"]
