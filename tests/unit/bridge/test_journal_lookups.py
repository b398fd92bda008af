"""What the journal shows of a chat's messages is never less than what went out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.store.make import command, message, result
from wx2mqtt.bridge import journal_lookups
from wx2mqtt.bridge.journal_lookups import PastMessages
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.model import Button, ChatKind, Handle, PersonId
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES, Person
from wx2mqtt.store.sqlite_database import SqliteDatabase

NOW = 1_795_600_000_000
WIFE = Person(
    id=PersonId(7),
    topic_name="wife",
    kind=ChatKind.FRIEND,
    handle=Handle("user:wife"),
    login_id="wecom:aib1",
    matched_by="",
)


async def test_received_messages_and_each_attempt_count_at_the_latest_time_that_is_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(journal_lookups, "now_ms", lambda: NOW + 50)
    question = command("asks")
    question = replace(question, command=replace(question.command, buttons=(Button(key="1", text="Yes"),)))
    picture = command("picture")
    picture = replace(picture, command=replace(picture.command, kind="image"))
    database = await SqliteDatabase.open(tmp_path / "wx2mqtt.db")
    try:
        journal = Journal(database, "home", lambda: NOW)
        await journal.open()
        await journal.received.record(
            [message("a"), message("b", user="stranger")], NO_CHANGES, None, "wecom:aib1"
        )
        commands = [command(name) for name in ("sent", "open", "waits")]
        accepted = await journal.commands.accept(
            [*commands, question, picture, command("x", user="y", person=1)]
        )
        rows = [row for answer in accepted if (row := answer.row) is not None]
        for row in (rows[0], rows[0], rows[1], *rows[3:]):
            await journal.commands.begin_attempt(row.id)
        await journal.commands.finish(rows[0].id, replace(result("sent"), time=NOW + 20), [])
        past = await PastMessages(journal, PeopleRegistry([WIFE], {"wife": WIFE.id}, {})).lookup(NOW - 1)
    finally:
        await database.close()
    assert {row.chat for row in past} == {WIFE.handle}
    assert Counter((row.is_received, row.time - NOW) for row in past) == {
        (True, 0): 1,
        (False, 20): 2,  # two attempts at `sent`
        (False, 50): 5,  # `open`; a question is a text and a card, and a picture may have gone as a file, too
    }
