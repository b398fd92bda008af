"""The request `history`: earlier messages in their order, as many as fit into an answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.unit.bridge.commands_harness import person
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.requests.history_request import DEFAULT_HISTORY_MESSAGES, READ_BATCH_ROWS, HistoryRequest
from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import MAX_HISTORY_ANSWER_BYTES, MAX_HISTORY_MESSAGES
from wx2mqtt.model import Blob, MediaRef, PersonId
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import MediaPart, NewMedia, NewMessage
from wx2mqtt.store.sqlite_database import SqliteDatabase

PEOPLE = (person(1, "wife"), person(2, "mother"), person(3, "lost", handle=None, closed=True))
TOPIC_NAMES = {"wife": PersonId(1), "mother": PersonId(2), "妈妈": PersonId(2), "lost": PersonId(3)}
BLOB = Blob(sha256="ab" * 32, size=3, mime="image/jpeg", path=f"media/ab/{'ab' * 32}.jpg", width=2, height=1)


class HistoryHarness:
    """A real journal with messages, and the request that reads them."""

    def __init__(self, database: Database) -> None:
        self.journal = Journal(database, "home")
        self.history = HistoryRequest(self.journal, PeopleRegistry(PEOPLE, TOPIC_NAMES, {}), "wx/contacts")
        self.count = 0

    async def record(self, user: str, *texts: str, **more: Any) -> None:
        await self.journal.received.record(
            [self.message(user, text, **more) for text in texts], NO_CHANGES, None, ""
        )

    def message(self, user: str, text: str, *, kind: str = "text", **more: Any) -> NewMessage:
        self.count += 1
        key = str(self.count)
        body = {"id": key, "user": user, "kind": kind, "text": text, **more.pop("body", {})}
        values: dict[str, Any] = {"time": 1, "topic": f"wx/in/{user}"}
        return NewMessage(key=key, id=key, user=user, kind=kind, text=text, body=body, **{**values, **more})

    async def ask(self, *, max_bytes: int | None = None, **fields: Any) -> dict[str, Any]:
        answer = await self.history.answer(fields, max_bytes)
        assert isinstance(answer, dict)
        return answer

    async def seqs(self, **fields: Any) -> tuple[list[int], bool]:
        """Returns the `seq` of the messages in the answer, and whether there are further ones."""
        answer = await self.ask(**fields)
        assert answer["stream"] == self.journal.stream
        return [message["seq"] for message in answer["messages"]], answer["more"]


@pytest_asyncio.fixture
async def history_harness(tmp_path) -> AsyncIterator[HistoryHarness]:
    database = await SqliteDatabase.open(tmp_path / "wx2mqtt.db")
    history_harness = HistoryHarness(database)
    await history_harness.journal.open()
    yield history_harness
    await database.close()


async def test_without_anything_the_newest_come_in_ascending_order(history_harness):
    await history_harness.record("wife", *(f"text {n}" for n in range(1, 251)))
    assert await history_harness.seqs() == (list(range(251 - DEFAULT_HISTORY_MESSAGES, 251)), True)
    assert await history_harness.seqs(limit=3) == ([248, 249, 250], True)
    assert await history_harness.seqs(limit=250) == (list(range(1, 251)), False)
    answer = await history_harness.ask(limit=1)
    assert answer["messages"][0]["text"] == "text 250"
    assert answer["messages"][0]["stream"] == history_harness.journal.stream


async def test_with_since_the_first_ones_after_it_come(history_harness):
    await history_harness.record("wife", *(f"text {n}" for n in range(1, 251)))
    assert await history_harness.seqs(since=0) == (list(range(1, DEFAULT_HISTORY_MESSAGES + 1)), True)
    assert await history_harness.seqs(since=248) == ([249, 250], False)
    assert await history_harness.seqs(since=250) == ([], False)
    assert await history_harness.seqs(since=10**15) == ([], False)
    assert await history_harness.seqs(since=10, before=13) == ([11, 12], False)
    assert await history_harness.seqs(before=3) == ([1, 2], False)
    assert await history_harness.seqs(before=101, limit=2) == ([99, 100], True)


async def test_whoever_asks_on_from_the_last_seq_gets_everything_exactly_once(history_harness):
    await history_harness.record("wife", *(f"text {n}" for n in range(1, 2 * MAX_HISTORY_MESSAGES + 8)))
    arrived: list[int] = []
    more = True
    while more:
        seqs, more = await history_harness.seqs(since=arrived[-1] if arrived else 0, limit=10_000)
        assert len(seqs) <= MAX_HISTORY_MESSAGES
        arrived += seqs
    assert arrived == list(range(1, 2 * MAX_HISTORY_MESSAGES + 8))


async def test_whoever_asks_backwards_from_the_first_seq_gets_everything_exactly_once(history_harness):
    await history_harness.record("wife", *(f"text {n}" for n in range(1, 238)))
    arrived: list[int] = []
    more, place = True, dict[str, int]()
    while more:
        seqs, more = await history_harness.seqs(limit=READ_BATCH_ROWS - 1, **place)
        arrived, place = [*seqs, *arrived], {"before": seqs[0]}
    assert arrived == list(range(1, 238))


async def test_a_person_is_found_by_every_name_they_had(history_harness):
    await history_harness.record("妈妈", "before")
    await history_harness.record("wife", "between")
    await history_harness.record("mother", "after")
    for name in ("mother", "妈妈"):
        assert await history_harness.seqs(user=name) == ([1, 3], False)
    assert await history_harness.seqs(user="lost") == ([], False)
    with pytest.raises(BadCommand, match="unknown_user"):
        await history_harness.ask(user="nobody")


async def test_kind_and_text_select_messages_of_the_history(history_harness):
    await history_harness.record("wife", "Good morning", "good night", "晚安")
    await history_harness.record("wife", "[image] morning", kind="image")
    assert await history_harness.seqs(text="GOOD") == ([1, 2], False)
    assert await history_harness.seqs(text="晚") == ([3], False)
    assert await history_harness.seqs(text="morning", kind="image") == ([4], False)
    assert await history_harness.seqs(kind="text", limit=1) == ([3], True)
    assert await history_harness.seqs(text="%") == ([], False)


async def test_another_stream_is_rejected(history_harness):
    await history_harness.record("wife", "a")
    assert await history_harness.seqs(since=0, stream=history_harness.journal.stream) == ([1], False)
    with pytest.raises(BadCommand) as bad:
        await history_harness.ask(since=0, stream="k3v9qa")
    assert (bad.value.code, bad.value.facts) == ("stream_changed", {"stream": history_harness.journal.stream})


@pytest.mark.parametrize(
    "fields",
    [
        {"since": -1},
        {"since": "1"},
        {"since": 1.5},
        {"since": True},
        {"since": None},
        {"before": []},
        {"limit": 0},
        {"limit": "all"},
        {"user": 1},
        {"kind": "movie"},
        {"kind": None},
        {"text": {}},
        {"stream": 1},
        {"sinse": 1},
    ],
)
async def test_keys_and_values_that_do_not_fit_are_a_bad_request(history_harness, fields):
    with pytest.raises(BadCommand) as bad:
        await history_harness.ask(**fields)
    assert bad.value.code == "bad_request"


@pytest.mark.parametrize("since", [0, None])
@pytest.mark.parametrize("max_bytes", [300, 1_000, 5_000, 20_000])
async def test_no_more_than_the_broker_takes(history_harness, max_bytes, since):
    await history_harness.record("wife", *(f"{n}: {'界' * (n % 40)}" for n in range(1, 200)))
    more, place = True, {} if since is None else {"since": since}
    arrived: list[int] = []
    while more:
        answer = await history_harness.ask(max_bytes=max_bytes, limit=MAX_HISTORY_MESSAGES, **place)
        assert len(encode(answer)) <= max_bytes
        seqs, more = [message["seq"] for message in answer["messages"]], answer["more"]
        assert seqs == sorted(seqs) != []
        arrived = [*arrived, *seqs] if since == 0 else [*seqs, *arrived]
        place = {"since": seqs[-1]} if since == 0 else {"before": seqs[0]}
    assert arrived == list(range(1, 200))


async def test_an_answer_is_bounded_where_the_broker_names_no_limit(history_harness):
    await history_harness.record("wife", *("界" * 5_000 for _ in range(100)))
    answer = await history_harness.ask(limit=MAX_HISTORY_MESSAGES)
    assert answer["more"] is True
    assert MAX_HISTORY_ANSWER_BYTES - 16_000 < len(encode(answer)) <= MAX_HISTORY_ANSWER_BYTES
    assert answer["messages"][-1]["seq"] == 100, "what is left out is the oldest"


async def test_one_that_is_too_large_alone_comes_cut_so_that_one_gets_past_it(history_harness):
    await history_harness.record("wife", "small", "x" * 5_000, "small again")
    answer = await history_harness.ask(max_bytes=1_000, since=1)
    (cut,) = answer["messages"]
    assert (cut["seq"], cut["truncated"], answer["more"]) == (2, True, True)
    assert len(cut["text"]) > 500
    assert len(encode(answer)) <= 1_000
    assert await history_harness.seqs(max_bytes=1_000, since=2) == ([3], False)


async def test_media_have_their_current_state(history_harness):
    job = NewMedia(id="m1", part=MediaPart.WHOLE, kind="image", ref=MediaRef(locator={}), due=1)
    shown = {"image": {"state": "pending", "url": "/media/m1"}}
    await history_harness.record("wife", "[image]", kind="image", media=(job,), body=shown)
    (before,) = (await history_harness.ask())["messages"]
    assert before["image"] == {"state": "pending", "url": "/media/m1"}
    await history_harness.journal.media.mark_ready("m1", BLOB, [])
    (after,) = (await history_harness.ask())["messages"]
    assert after["image"]["state"] == "ready"
    assert after["image"]["sha256"] == BLOB.sha256
    assert after["image"]["url"] == "/media/m1"
    assert json.loads(json.dumps(after)) == after
