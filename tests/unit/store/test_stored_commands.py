"""Commands are listed and found by state, recipient, time and id."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.store.conftest import Clock
from tests.unit.store.make import accept, command, message, picture, record, result
from wx2mqtt.model import PersonId, Status
from wx2mqtt.store.command_records import CommandRow, CommandState, Recipient
from wx2mqtt.store.journal import Journal


async def test_due_commands_are_listed_in_order_without_the_recipients_to_skip(journal: Journal) -> None:
    recipients: list[tuple[int | None, str]] = [
        (1, "wife"), (None, "wife"), (2, "wife"), (1, "wife"), (None, "1"), (None, "wife")
    ]  # fmt: skip
    new = [
        command(name, person=person, user=user)
        for name, (person, user) in zip("abcdef", recipients, strict=True)
    ]
    rows = await accept(journal, *new)
    assert await journal.commands.list_due(10) == rows
    assert await journal.commands.list_due(2) == rows[:2]
    assert [row.recipient for row in rows] == [1, "wife", 2, 1, "1", "wife"]
    skipped: list[tuple[list[Recipient], str]] = [
        ([PersonId(1)], "bcef"), (["wife", PersonId(2)], "ade"), (["1"], "abcdf")
    ]  # fmt: skip
    for skip, expected in skipped:
        assert ids(await journal.commands.list_due(10, skip)) == expected


def ids(rows: list[CommandRow]) -> str:
    return "".join(row.command_id for row in rows)


async def test_expired_commands_are_listed_without_finished_ones_and_those_to_skip(journal: Journal) -> None:
    expiries = {"a": 10, "b": 11, "c": 5, "d": 5, "e": 5}
    rows = await accept(journal, *(command(name, expires=time) for name, time in expiries.items()))
    await journal.commands.finish(rows[3].id, result("d"), [])
    assert ids(await journal.commands.list_expired(10, 9, ())) == "ace"
    assert ids(await journal.commands.list_expired(10, 2, ())) == "ac"
    assert ids(await journal.commands.list_expired(10, 9, (rows[0].id, rows[4].id))) == "c"


async def test_a_command_with_an_unanswered_attempt_is_listed_for_a_while_after_its_end(
    journal: Journal, clock: Clock
) -> None:
    waiting, finished, _ = await accept(journal, *(command(name) for name in "abc"))
    for row in (waiting, finished):
        await journal.commands.begin_attempt(row.id)
        await journal.commands.end_unanswered(row.id)
    await journal.commands.finish(finished.id, result("b", Status.UNCERTAIN), [])
    assert ids(await journal.commands.list_unanswered(clock.now - 1)) == "ab"
    assert ids(await journal.commands.list_unanswered(clock.now)) == "a"


async def test_commands_are_listed_newest_first_all_or_of_one_state(journal: Journal) -> None:
    assert await journal.commands.get("nobody") is None
    rows = await accept(journal, *(command(name) for name in "abcd"))
    await journal.commands.finish(rows[1].id, result("b"), [])
    assert ids(await journal.commands.list_newest()) == "dcba"
    assert ids(await journal.commands.list_newest(CommandState.WAITING)) == "dca"
    assert ids(await journal.commands.list_newest(CommandState.FINISHED)) == "b"
    assert ids(await journal.commands.list_newest(limit=3)) == "dcb"


async def test_commands_that_were_not_sent_are_listed_however_many_were_sent_since(
    journal: Journal, clock: Clock
) -> None:
    endings = (Status.REJECTED, Status.EXPIRED, Status.FAILED, Status.UNCERTAIN)
    for name, status in zip("abcd", endings, strict=True):
        await accept(journal, command(name, result=result(name, status)))
        clock.now += 1
    sent = [command(f"sent-{number}", result=result(f"sent-{number}")) for number in range(20)]
    await accept(journal, *sent, command("waits"))
    assert ids(await journal.commands.list_unsent(10)) == "dcba"
    assert ids(await journal.commands.list_unsent(2)) == "dc"


async def test_commands_with_an_attempt_are_listed_that_wait_or_ended_lately(
    journal: Journal, work: Journal, clock: Clock
) -> None:
    rows = await accept(journal, *(command(name) for name in "abcd"))
    for row in rows[:3]:
        await journal.commands.begin_attempt(row.id)
    await journal.commands.finish(rows[0].id, result("a"), [])
    clock.now += 10
    await journal.commands.finish(rows[1].id, result("b"), [])
    assert ids(await journal.commands.list_attempted(clock.now - 5)) == "bc"
    assert await work.commands.list_attempted(0) == []


async def test_failing_users_are_those_whose_last_command_was_not_sent(
    journal: Journal, work: Journal, clock: Clock
) -> None:
    async def end(command_id: str, user: str, status: Status) -> None:
        clock.now += 10
        await accept(journal, command(command_id, user=user, result=result(command_id, status)))

    await end("old", "grandma", Status.FAILED)
    since = clock.now
    for number, (user, status) in enumerate(
        [
            *(("wife", Status.REJECTED), ("mom", Status.EXPIRED), ("wife", Status.SENT)),
            *(("mom", Status.SENT), ("mom", Status.UNCERTAIN), ("bob", Status.FAILED)),
        ]
    ):
        await end(f"c{number}", user, status)
    await end("wx2mqtt-remind-1", "me", Status.EXPIRED)
    await accept(journal, command("g", user="dad"))
    failing = [("mom", clock.now - 20), ("bob", clock.now - 10)]
    assert await journal.commands.list_failing_users(since, 10) == failing
    assert await journal.commands.list_failing_users(since, 1) == failing[1:]
    assert await work.commands.list_failing_users(0, 10) == []


async def test_a_sent_message_and_its_target_are_found_by_its_id(
    journal: Journal, work: Journal, clock: Clock
) -> None:
    sent, failed, _ = await accept(journal, *(command(name) for name in "abc"))
    assert not await journal.commands.is_sent_message("77")
    clock.now += 5
    await journal.commands.finish(sent.id, result("a", message_id="77"), [])
    await journal.commands.finish(failed.id, result("b", Status.UNCERTAIN, message_id="78"), [])
    clock.now += 5
    assert await journal.commands.is_sent_message("77")
    assert await journal.commands.sent_message_target("77") == ("wife", clock.now - 5)
    assert await journal.commands.sent_message_target("78") is None
    assert await journal.commands.sent_message_target("79") is None
    assert not await work.commands.is_sent_message("77")
    assert await work.commands.sent_message_target("77") is None


async def test_the_target_of_a_message_from_the_owners_phone_is_found_and_of_other_messages_none(
    journal: Journal,
) -> None:
    own = replace(message("1", user="mom"), body={"sender": {"name": "me", "self": True}})
    theirs = replace(message("2"), body={"sender": {"user": "wife", "self": False}})
    system = replace(message("3"), body={"sender": None})
    await record(journal, own, theirs, system, picture("4"))
    assert await journal.commands.sent_message_target("1") == ("mom", own.time)
    for other in ("2", "3", "4", "5", "\ud83d"):
        assert await journal.commands.sent_message_target(other) is None
