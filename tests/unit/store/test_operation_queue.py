"""Operations for accounts that another instance runs."""

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
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation_queue, "QUEUE_POLL_SECONDS", 0.01)
    monkeypatch.setattr(operation_queue, "ANSWER_POLL_SECONDS", 0.01)


@pytest.fixture
async def database() -> AsyncIterator[PostgresqlDatabase]:
    opened = await PostgresqlDatabase.open(empty_database())
    yield opened
    await opened.close()


@pytest.fixture
async def done(database: PostgresqlDatabase) -> AsyncIterator[list[tuple[str, Mapping[str, Json]]]]:
    """What an instance with the account `home` was asked for; `no` is refused, `bug` has a fault in it."""
    operations: list[tuple[str, Mapping[str, Json]]] = []

    async def run(name: str, fields: Mapping[str, Json]) -> Json:
        operations.append((name, fields))
        if name == "no":
            raise Wx2MqttError("there is no command 'c1'")
        if name == "bug":
            raise KeyError("secret")
        return None if name == "nothing" else {"text": "a\0\ud83d 老婆"}

    serving = asyncio.create_task(OperationQueue(database).serve(lambda: ["home", "house"], run))
    yield operations
    serving.cancel()
    await asyncio.wait({serving})
    assert serving.cancelled()


async def rows(database: PostgresqlDatabase) -> int:
    (count,) = await database.read(lambda db: db.execute("SELECT count(*) FROM operation").fetchone())
    return int(count)


async def test_the_instance_that_runs_the_account_answers(database, done) -> None:
    queue = OperationQueue(database)
    answer = await queue.ask("home", "journal.list", {"all": True})
    assert answer == OperationAnswer(value={"text": "a\0\ud83d 老婆"})
    assert await queue.ask("house", "nothing", {}) == OperationAnswer(value=None)
    assert done == [
        ("journal.list", {"all": True, "account": "home"}),
        ("nothing", {"account": "house"}),
    ]
    assert await rows(database) == 0


async def test_its_refusal_is_the_same_sentence_and_a_bug_is_none(database, done) -> None:
    with pytest.raises(Wx2MqttError, match="there is no command 'c1'"):
        await OperationQueue(database).ask("home", "no", {})
    with pytest.raises(Wx2MqttError, match="the log of the other instance") as caught:
        await OperationQueue(database).ask("home", "bug", {})
    assert "secret" not in str(caught.value)
    assert await rows(database) == 0
    assert len(done) == 2


async def test_nobody_answers_for_an_account_that_runs_nowhere(
    database, done, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation_queue, "TAKEN_WITHIN_SECONDS", 0.1)
    assert await OperationQueue(database).ask("elsewhere", "journal.list", {}) is None
    assert done == []
    assert await rows(database) == 0


async def test_an_instance_that_hung_does_not_do_what_was_given_up(database, done) -> None:
    def add(db):
        db.execute(
            "INSERT INTO operation (account, name, fields, asked)"
            " VALUES ('home', 'late', '{}', now() - make_interval(secs => 5))"
        )

    await database.write("old", add)
    await OperationQueue(database).ask("home", "now", {})
    assert [name for name, _ in done] == ["now"]
