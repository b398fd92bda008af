"""The history finds the content of a quoted message, among received messages and sent commands."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.store.make import accept, command, event, message, on_sqlite, picture, record, result
from wx2mqtt.model import Json, Kind, QuotedMessage
from wx2mqtt.store.history import _RECEIVED_MESSAGE
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import NewMessage


def written_by(new: NewMessage, **sender: Json) -> NewMessage:
    return replace(new, body={**new.body, "sender": sender})


async def test_a_received_message_is_found_with_its_chat_and_its_author(journal: Journal) -> None:
    rows = [
        written_by(message("a", text="door?"), user="wife", name="W", self=False),
        written_by(picture("b", user="family"), user="mom", name="M", self=False),
        written_by(message("c", user="family"), name="a stranger", self=False),
        written_by(message("d", text="from the phone"), name="me", self=True),
        message("e", text="a system text"),
    ]
    await journal.received.record(rows, NO_CHANGES, None, "")
    assert [await journal.history.quoted_message(f"id-{key}") for key in "abcde"] == [
        QuotedMessage(kind=Kind.TEXT, text="door?", chat="wife", user="wife"),
        QuotedMessage(kind=Kind.IMAGE, text="[Image]", chat="family", user="mom"),
        QuotedMessage(kind=Kind.TEXT, text="开灯 ☀", chat="family"),
        QuotedMessage(kind=Kind.TEXT, text="from the phone", chat="wife", from_self=True),
        QuotedMessage(kind=Kind.TEXT, text="a system text", chat="wife"),
    ]


async def test_a_sent_message_is_found_with_its_command_and_a_file_with_its_name(journal: Journal) -> None:
    snap = command("snap")
    snap = replace(snap, command=replace(snap.command, kind="image", text="", name="door.jpg"))
    rows = await accept(journal, command("alarm-7", text="door open"), snap, command("alarm-8"))
    for row, message_id in zip(rows, ("555", "556"), strict=False):
        await journal.commands.begin_attempt(row.id)
        await journal.commands.finish(row.id, result(row.command_id, message_id=message_id), ())
    sent = QuotedMessage(kind=Kind.TEXT, text="door open", chat="wife", from_self=True, command_id="alarm-7")
    assert await journal.history.quoted_message("555") == sent
    file = replace(sent, kind=Kind.IMAGE, text="door.jpg", command_id="snap")
    assert await journal.history.quoted_message("556") == file


async def test_each_part_of_a_long_sent_text_is_found_with_its_command(journal: Journal) -> None:
    (row,) = await accept(journal, command("long", text="a very long text"))
    for number in ("551", "", "552"):
        await journal.commands.begin_attempt(row.id)
        await journal.commands.end_part_sent(row.id, number)
    await journal.commands.begin_attempt(row.id)
    await journal.commands.finish(row.id, result("long", message_id="553"), ())
    expected = QuotedMessage(
        kind=Kind.TEXT, text="a very long text", chat="wife", from_self=True, command_id="long"
    )
    for number in ("551", "552", "553"):
        assert await journal.history.quoted_message(number) == expected
    for unknown in ("", " ", "55", "51", "1"):
        assert await journal.history.quoted_message(unknown) is None


async def test_an_unknown_id_or_one_of_another_account_is_no_message(journal: Journal, work: Journal) -> None:
    await record(journal, message("a"), event("e"))
    for unknown in ("", "id-x", "e", "id-a' OR 1", "\ud800"):
        assert await journal.history.quoted_message(unknown) is None
    assert await work.history.quoted_message("id-a") is None


@on_sqlite
async def test_a_message_is_looked_up_by_an_index_whatever_its_id(journal: Journal) -> None:
    """Anybody can quote an id that nobody has; without the index all stored messages were read."""
    explain = f"EXPLAIN QUERY PLAN {_RECEIVED_MESSAGE}"
    plan = await journal._database.read(lambda db: [row[3] for row in db.execute(explain, ["home", "x"])])
    assert plan == [
        "SEARCH publication USING INDEX publication_message (account=? AND message_id=? AND seq>?)"
    ]


async def test_of_two_messages_with_the_same_id_the_newer_is_found(journal: Journal) -> None:
    first, second = message("a", text="old"), message("b", text="new")
    await journal.received.record([first, replace(second, id=first.id)], NO_CHANGES, None, "")
    quoted = await journal.history.quoted_message(first.id)
    assert quoted is not None
    assert quoted.text == "new"
