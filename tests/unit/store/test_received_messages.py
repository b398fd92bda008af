"""Received messages are stored in one commit with the cursor, with seqs without gaps, and never twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import event, message, on_sqlite, person, publish_all, record
from wx2mqtt.errors import StoreError, StoreFull
from wx2mqtt.model import Cursor, PersonId
from wx2mqtt.store import received_messages
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.people import StoredPeople
from wx2mqtt.store.person_records import NO_CHANGES, PeopleChanges
from wx2mqtt.store.records import (
    NO_PUBLICATIONS,
    AccountState,
    HistoryQuery,
    NewEvent,
    NewMessage,
    NewPublication,
    RecordResult,
)
from wx2mqtt.store.sqlite_database import SqliteDatabase

C1, C2 = Cursor("cursor 1"), Cursor("cursor 2")


async def _seqs(journal: Journal) -> list[int]:
    rows = await journal.outbox.list_waiting(0, 10_000)
    return [json.loads(row.payload)["seq"] for row in rows if row.category == "message"]


async def test_the_state_of_a_new_account_is_empty(database: Database) -> None:
    assert await Journal(database, "home").open() == AccountState(
        cursor=None, login_id="", seq=0, last_payload=None, base_topic=None, broker_session=0
    )


async def test_the_stream_id_has_six_characters_and_is_the_same_for_all_accounts(database: Database) -> None:
    home, work = Journal(database, "home"), Journal(database, "work")
    await home.open()
    await work.open()
    assert len(home.stream) == 6
    assert home.stream.isalnum()
    assert home.stream == work.stream


async def test_a_restart_finds_the_stored_state(tmp_path: Path, clock: Clock) -> None:
    database = await SqliteDatabase.open(tmp_path / "a.db")
    journal = Journal(database, "home", clock)
    await journal.open()
    await journal.set_base_topic("wx")
    await journal.set_broker_session(17)
    await journal.received.set_cursor("login", C1)
    await journal.received.record([message("a"), message("b"), event("c")], NO_CHANGES, C2, "login")
    stream = journal.stream
    await database.close()

    database = await SqliteDatabase.open(tmp_path / "a.db")
    journal = Journal(database, "home", clock)
    opened = await journal.open()
    assert (opened.cursor, opened.login_id, opened.seq) == (C2, "login", 2)
    assert (opened.base_topic, opened.broker_session) == ("wx", 17)
    assert json.loads(opened.last_payload or b"")["id"] == "id-b"
    assert journal.stream == stream
    await database.close()


async def test_the_payload_gets_schema_stream_and_seq_in_front(journal: Journal) -> None:
    await record(journal, message("a", text="开灯"))
    (row,) = await journal.outbox.list_waiting(0, 10)
    head = f'{{"schema":1,"stream":"{journal.stream}","seq":1,"id":"id-a"'
    assert row.payload.decode().startswith(head)
    assert "开灯" in row.payload.decode()
    assert (row.category, row.topic, row.user) == ("message", "wx/in/wife", "wife")
    assert row.content_type == "application/json"


async def test_an_event_is_published_as_it_is_and_takes_no_seq(journal: Journal) -> None:
    recorded = await record(journal, event("e", ticket="geheim"), message("a"))
    first, second = await journal.outbox.list_waiting(0, 10)
    assert first.payload == b'{"schema":1,"event":"recall","id":"e"}'
    assert json.loads(second.payload)["seq"] == 1
    assert (recorded.messages, recorded.events, recorded.seq) == (1, 1, 1)
    assert (await record(journal, event("b"))).last_payload is None


async def test_recorded_items_are_counted(journal: Journal) -> None:
    recorded = await record(journal, message("a"), event("b"), message("c"))
    assert recorded.kinds == {"text": 2}
    assert replace(recorded, last_payload=None, kinds={}, outbox=NO_PUBLICATIONS) == RecordResult(
        messages=2, events=1, repeated=0, last_payload=None, seq=2, message_keys=("a", "c")
    )
    assert json.loads(recorded.last_payload or b"")["id"] == "id-c"


async def test_the_returned_publications_are_those_that_the_outbox_lists(journal: Journal) -> None:
    with_plain = replace(message("a\ud800"), plain=PLAIN)
    recorded = await record(journal, with_plain, event("b"), message("c"))
    more = await journal.outbox.add([PLAIN, PLAIN])
    assert [*recorded.outbox.rows, *more.rows] == await journal.outbox.list_waiting(0, 10)
    assert (recorded.outbox.after_id, recorded.outbox.last_id) == (None, 4)
    assert (more.after_id, more.last_id) == (4, 6)


PLAIN = NewPublication(
    topic="wx/text/wife", payload="开灯 ☀".encode(), category="plain", content_type="text/plain"
)


async def test_publications_after_a_message_of_their_topic_that_waits_for_a_file_are_not_returned(
    journal: Journal,
) -> None:
    recorded = await record(journal, message("a"), replace(message("b"), waits_for_file=True), message("c"))
    later = await record(journal, message("d"), event("e"))
    rows = [*recorded.outbox.rows, *later.outbox.rows]
    assert rows == await journal.outbox.list_waiting(0, 10)
    assert len(rows) == 2
    assert (later.outbox.after_id, later.outbox.last_id) == (3, 5)


async def test_messages_wait_in_the_order_of_their_arrival(journal: Journal) -> None:
    await record(journal, message("b"), event("x"), message("a"))
    await record(journal, message("c"))
    rows = await journal.outbox.list_waiting(0, 10)
    assert [row.category for row in rows] == ["message", "event", "message", "message"]
    assert [json.loads(row.payload)["id"] for row in rows] == ["id-b", "x", "id-a", "id-c"]
    assert await _seqs(journal) == [1, 2, 3]


async def test_a_repeat_is_left_out_and_takes_no_seq_also_after_it_was_published(journal: Journal) -> None:
    items: list[NewMessage | NewEvent] = [
        *(message("a", text="first"), event("e"), message("b"), message("a", text="second"))
    ]
    recorded = await record(journal, *items)
    assert (recorded.messages, recorded.repeated) == (2, 1)
    rows = await journal.outbox.list_waiting(0, 9)
    assert [json.loads(row.payload).get("text") for row in rows] == ["first", None, "开灯 ☀"]
    await publish_all(journal)
    again = await record(journal, *items, message("c"))
    assert (again.messages, again.events, again.repeated, again.seq) == (1, 0, 4, 3)
    assert await _seqs(journal) == [3]


async def test_accounts_do_not_share_keys_seqs_or_rows(journal: Journal, work: Journal) -> None:
    await record(journal, message("a"), message("b"), cursor=C1)
    recorded = await record(work, message("a"), cursor=C2)
    assert (recorded.messages, recorded.seq) == (1, 1)
    assert len(await work.outbox.list_waiting(0, 9)) == 1
    assert (await journal.open()).cursor == C1


async def test_an_empty_batch_moves_the_cursor_and_without_one_the_stored_one_stays(journal: Journal) -> None:
    await journal.received.set_cursor("login", C1)
    await journal.received.record([event("a")], NO_CHANGES, None, "")
    opened = await journal.open()
    assert (opened.cursor, opened.login_id) == (C1, "login")
    recorded = await record(journal, cursor=C2)
    assert recorded == RecordResult(messages=0, events=0, repeated=0, last_payload=None, seq=0)
    assert (await journal.open()).cursor == C2
    assert not recorded.outbox
    assert not await journal.outbox.add([])


async def test_people_are_stored_in_the_same_commit(database: Database, journal: Journal) -> None:
    wife = PeopleChanges(persons=(person(1, "wife"),), topic_names=(("wife", PersonId(1)),))
    await journal.received.record([message("a")], wife, C1, "login")
    assert await StoredPeople(database, "home").load() == ([person(1, "wife")], {"wife": 1})
    conflict = PeopleChanges(persons=(person(2, "wife"),))
    with pytest.raises(StoreError):
        await journal.received.record([message("b")], conflict, C2, "login")
    opened = await journal.open()
    assert (opened.cursor, opened.seq) == (C1, 1)
    assert await _seqs(journal) == [1]


@on_sqlite
async def test_a_failed_commit_takes_no_seq(database: Database, journal: Journal) -> None:
    await record(journal, message("a"), cursor=C1)
    await database.write("full", lambda db: db.execute("PRAGMA max_page_count = 1").fetchone())
    big = [message(f"big{number}", text="x" * 5000) for number in range(50)]
    with pytest.raises(StoreFull):
        await record(journal, *big, cursor=C2)
    assert (await journal.open()).cursor == C1
    await database.write("room", lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone())
    assert (await record(journal, *big, cursor=C2)).seq == 51
    assert await _seqs(journal) == list(range(1, 52))


@pytest.mark.parametrize(
    "strange",
    [
        replace(message("k\ud83d", text="half \ud83d a pair"), id="i\ud800"),
        message("a\0b", text="x\0y"),
        replace(message("far future"), time=10**30),
        replace(event("far past"), time=-(10**30)),
    ],
    ids=["half a pair", "nul", "far future", "far past"],
)
async def test_what_no_encoding_or_column_can_hold_does_not_stop_the_batch(
    journal: Journal, strange: NewMessage | NewEvent
) -> None:
    recorded = await record(journal, message("a"), strange, message("b"))
    assert recorded.messages + recorded.events == 3
    assert (await record(journal, strange)).repeated == 1
    assert await _seqs(journal) == list(range(1, recorded.messages + 1))


async def test_text_with_a_nul_is_kept_whole(journal: Journal) -> None:
    await record(journal, message("a\0b", text="x\0y"))
    (row,) = await journal.outbox.list_waiting(0, 9)
    assert json.loads(row.payload)["text"] == "x\0y"


async def test_the_plain_text_of_a_message_is_stored_once_with_it_and_counts_as_no_message(
    journal: Journal,
) -> None:
    for _ in range(2):  # WeChat delivers it twice
        await record(journal, replace(message("a"), plain=PLAIN), message("b"))
    rows = [(row.topic, row.category, row.content_type) for row in await journal.outbox.list_waiting(0, 10)]
    received = ("wx/in/wife", "message", "application/json")
    assert sorted(rows) == [received, received, ("wx/text/wife", "plain", "text/plain")]
    assert len((await journal.history.find(HistoryQuery()))[0]) == 2


def test_the_fields_of_a_row_are_the_columns_of_its_statement() -> None:
    columns = received_messages._ADD_PUBLICATION.partition("(")[2].partition(")")[0]
    names = columns.replace("sort", "category").replace("\n", " ").replace(",", " ").split()
    assert received_messages._PublicationRow._fields == tuple(names)
