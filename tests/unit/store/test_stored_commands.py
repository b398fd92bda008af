"""Commands are listed and found by state, recipient, time and id."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.store.conftest import Clock
from tests.unit.store.make import command, message, picture, result
from wx2mqtt.model import PersonId, Status
from wx2mqtt.store.command_records import CommandRow, CommandState, NewCommand, Recipient
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES


async def _accept(journal: Journal, *new: NewCommand) -> list[CommandRow]:
    rows = [accepted.row for accepted in await journal.commands.accept(new)]
    assert all(rows)
    return [row for row in rows if row]


async def test_due_commands_are_listed_in_order_without_the_recipients_to_skip(journal: Journal) -> None:
    rows = await _accept(
        journal,
        command("a", person=1),
        command("b", person=None),
        command("c", person=2),
        command("d", person=1),
        command("e", person=None, user="1"),
        command("f", person=None),
    )
    assert await journal.commands.list_due(10) == rows
    assert await journal.commands.list_due(2) == rows[:2]

    async def due_without(*skip: Recipient) -> str:
        return "".join(row.command_id for row in await journal.commands.list_due(10, skip))

    assert [row.recipient for row in rows] == [1, "wife", 2, 1, "1", "wife"]
    assert await due_without(PersonId(1)) == "bcef"
    assert await due_without("wife", PersonId(2)) == "ade"
    assert await due_without("1") == "abcdf"


async def test_expired_commands_are_listed_without_finished_ones_and_those_to_skip(journal: Journal) -> None:
    rows = await _accept(
        journal,
        command("a", expires=10),
        command("b", expires=11),
        command("c", expires=5),
        command("d", expires=5),
        command("e", expires=5),
    )
    await journal.commands.finish(rows[3].id, result("d"), [])

    async def expired(limit: int, *skip_ids: int) -> str:
        listed = await journal.commands.list_expired(10, limit, skip_ids)
        return "".join(row.command_id for row in listed)

    assert await expired(9) == "ace"
    assert await expired(2) == "ac"
    assert await expired(9, rows[0].id, rows[4].id) == "c"


async def test_a_command_with_an_unanswered_attempt_is_listed_for_a_while_after_its_end(
    journal: Journal, clock: Clock
) -> None:
    waiting, finished, _ = await _accept(journal, *(command(name) for name in "abc"))
    for row in (waiting, finished):
        await journal.commands.begin_attempt(row.id)
        await journal.commands.end_unanswered(row.id)
    await journal.commands.finish(finished.id, result("b", Status.UNCERTAIN), [])
    assert [row.command_id for row in await journal.commands.list_unanswered(clock.now - 1)] == ["a", "b"]
    assert [row.command_id for row in await journal.commands.list_unanswered(clock.now)] == ["a"]


async def test_a_sent_command_is_found_by_the_message_id_of_wechat(
    database: Database, journal: Journal
) -> None:
    (row,) = await _accept(journal, command("a"))
    assert not await journal.commands.is_sent_message("77")
    await journal.commands.finish(row.id, result("a", message_id="77"), [])
    assert await journal.commands.is_sent_message("77")
    assert not await Journal(database, "work").commands.is_sent_message("77")


async def test_no_command_has_an_unknown_id(journal: Journal) -> None:
    assert await journal.commands.get("nobody") is None


async def test_commands_are_listed_newest_first_all_or_of_one_state(journal: Journal) -> None:
    rows = await _accept(journal, *(command(name) for name in "abcd"))
    await journal.commands.finish(rows[1].id, result("b"), [])
    assert [row.command_id for row in await journal.commands.list_newest()] == list("dcba")
    assert [row.command_id for row in await journal.commands.list_newest(CommandState.WAITING)] == list("dca")
    assert [row.command_id for row in await journal.commands.list_newest(CommandState.FINISHED)] == ["b"]
    assert [row.command_id for row in await journal.commands.list_newest(limit=3)] == list("dcb")


async def test_commands_that_were_not_sent_are_listed_however_many_were_sent_since(
    journal: Journal, clock: Clock
) -> None:
    endings = (Status.REJECTED, Status.EXPIRED, Status.FAILED, Status.UNCERTAIN)
    for name, status in zip("abcd", endings, strict=True):
        await journal.commands.accept([command(name, result=result(name, status))])
        clock.now += 1
    sent = [command(f"sent-{number}", result=result(f"sent-{number}")) for number in range(20)]
    await journal.commands.accept([*sent, command("waits")])
    assert [row.command_id for row in await journal.commands.list_unsent(10)] == list("dcba")
    assert [row.command_id for row in await journal.commands.list_unsent(2)] == list("dc")


async def test_commands_with_an_attempt_are_listed_that_wait_or_ended_lately(
    database: Database, journal: Journal, clock: Clock
) -> None:
    rows = await _accept(journal, *(command(name) for name in "abcd"))
    for row in rows[:3]:
        await journal.commands.begin_attempt(row.id)
    await journal.commands.finish(rows[0].id, result("a"), [])
    clock.now += 10
    since = clock.now - 5
    await journal.commands.finish(rows[1].id, result("b"), [])
    assert [row.command_id for row in await journal.commands.list_attempted(since)] == ["b", "c"]
    assert await Journal(database, "work").commands.list_attempted(0) == []


async def test_failing_users_are_those_whose_last_command_was_not_sent(
    database: Database, journal: Journal, clock: Clock
) -> None:
    async def end(command_id: str, user: str, status: Status) -> None:
        clock.now += 10
        await journal.commands.accept([command(command_id, user=user, result=result(command_id, status))])

    await end("old", "grandma", Status.FAILED)
    since = clock.now
    await end("a", "wife", Status.REJECTED)
    await end("b", "mom", Status.EXPIRED)
    await end("c", "wife", Status.SENT)
    await end("d", "mom", Status.SENT)
    await end("e", "mom", Status.UNCERTAIN)
    await end("f", "bob", Status.FAILED)
    await end("wx2mqtt-remind-1", "me", Status.EXPIRED)
    await journal.commands.accept([command("g", user="dad")])
    assert await journal.commands.list_failing_users(since, 10) == [
        ("mom", clock.now - 20),
        ("bob", clock.now - 10),
    ]
    assert await journal.commands.list_failing_users(since, 1) == [("bob", clock.now - 10)]
    assert await Journal(database, "work").commands.list_failing_users(0, 10) == []


async def test_the_target_of_a_sent_message_is_found_by_its_id(journal: Journal, clock: Clock) -> None:
    sent, failed, _ = await _accept(journal, command("a"), command("b"), command("c"))
    clock.now += 5
    await journal.commands.finish(sent.id, result("a", message_id="77"), [])
    await journal.commands.finish(failed.id, result("b", Status.UNCERTAIN, message_id="78"), [])
    clock.now += 5
    assert await journal.commands.sent_message_target("77") == ("wife", clock.now - 5)
    assert await journal.commands.sent_message_target("78") is None
    assert await journal.commands.sent_message_target("79") is None


async def test_the_target_of_a_message_from_the_owners_phone_is_found_and_of_other_messages_none(
    journal: Journal,
) -> None:
    own = replace(message("1", user="mom"), body={"sender": {"name": "me", "self": True}})
    theirs = replace(message("2"), body={"sender": {"user": "wife", "self": False}})
    system = replace(message("3"), body={"sender": None})
    await journal.received.record([own, theirs, system, picture("4")], NO_CHANGES, None, "")
    assert await journal.commands.sent_message_target("1") == ("mom", own.time)
    for other in ("2", "3", "4", "5", "\ud83d"):
        assert await journal.commands.sent_message_target(other) is None


async def test_a_message_that_another_account_sent_has_no_target(
    database: Database, journal: Journal, clock: Clock
) -> None:
    (row,) = await _accept(journal, command("a"))
    await journal.commands.finish(row.id, result("a", message_id="77"), [])
    assert await Journal(database, "work", clock).commands.sent_message_target("77") is None
