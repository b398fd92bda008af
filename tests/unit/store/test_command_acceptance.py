"""A command is accepted once, whatever the broker delivers again."""

from __future__ import annotations

import pytest

from tests.unit.store.make import blob, command, delivery_mark, publication, reply, result
from wx2mqtt.model import Status
from wx2mqtt.store.command_records import AcceptOutcome, CommandRow, CommandState, NewCommand
from wx2mqtt.store.commands import AlreadyFinished
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal


async def _accept(journal: Journal, *new: NewCommand) -> list[CommandRow]:
    rows = [accepted.row for accepted in await journal.commands.accept(new)]
    assert all(rows)
    return [row for row in rows if row]


async def _row(journal: Journal, command_id: str) -> CommandRow:
    row = await journal.commands.get(command_id)
    assert row is not None
    return row


async def _topics(journal: Journal) -> list[str]:
    return [row.topic for row in await journal.outbox.list_waiting(0, 1000)]


async def test_an_accepted_command_is_stored_as_it_was_given(journal: Journal) -> None:
    new = command("a", delivery=delivery_mark(1))
    (accepted,) = await journal.commands.accept([new])
    assert accepted.outcome is AcceptOutcome.NEW
    assert accepted.row is not None
    assert accepted.row == await journal.commands.get("a")
    assert (accepted.row.command, accepted.row.key, accepted.row.replies) == (
        new.command,
        new.key,
        new.replies,
    )
    assert accepted.row.state is CommandState.WAITING
    assert (accepted.row.attempt_open, accepted.row.unanswered, accepted.row.attempts) == (False, 0, 0)


async def test_many_are_accepted_in_their_order(journal: Journal) -> None:
    rows = await _accept(journal, *(command(f"c{number}") for number in range(100)))
    assert [row.command_id for row in rows] == [f"c{number}" for number in range(100)]
    assert [row.id for row in rows] == sorted({row.id for row in rows})
    assert await journal.commands.list_due(1000) == rows


async def test_a_commit_without_commands_accepts_none(journal: Journal) -> None:
    assert await journal.commands.accept([]) == []


async def test_a_command_with_the_same_id_and_content_is_a_repeat(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a"))
    (again,) = await journal.commands.accept([command("a")])
    assert again.outcome is AcceptOutcome.REPEAT
    assert again.row == row
    assert len(await journal.commands.list_due(10)) == 1


async def test_a_repeat_of_a_finished_command_returns_its_result(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a"))
    await journal.commands.finish(row.id, result("a", message_id="77"), [])
    (again,) = await journal.commands.accept([command("a", replies=(reply("other"),))])
    assert again.row is not None
    assert again.row.result == result("a", message_id="77")
    assert again.row.replies == (reply(),)


async def test_a_repeat_of_a_waiting_command_adds_its_reply_targets(journal: Journal) -> None:
    await _accept(journal, command("a"))
    other = reply("answers/b", correlation=b"\1")
    (again,) = await journal.commands.accept([command("a", replies=(reply(), other))])
    assert again.row is not None
    assert again.row.replies == (reply(), other)
    assert (await _row(journal, "a")).replies == (reply(), other)


async def test_repeats_inside_of_one_commit_are_repeats(journal: Journal) -> None:
    other, third = reply("b"), reply("c")
    accepted = await journal.commands.accept(
        [command("a"), command("a", replies=(other,)), command("a", text="x"), command("a", replies=(third,))]
    )
    assert [answer.outcome for answer in accepted] == [
        AcceptOutcome.NEW, AcceptOutcome.REPEAT, AcceptOutcome.REUSED, AcceptOutcome.REPEAT
    ]  # fmt: skip
    assert (await _row(journal, "a")).replies == (reply(), other, third)


async def test_a_command_with_a_known_id_and_other_content_changes_nothing(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a"))
    (again,) = await journal.commands.accept([command("a", text="other", replies=(reply("x"),))])
    assert (again.outcome, again.row) == (AcceptOutcome.REUSED, row)
    assert await _row(journal, "a") == row


async def test_two_accounts_may_use_the_same_id(database: Database, journal: Journal) -> None:
    other = Journal(database, "work")
    await other.open()
    await _accept(journal, command("a"))
    (accepted,) = await other.commands.accept([command("a", text="other")])
    assert accepted.outcome is AcceptOutcome.NEW
    assert len(await journal.commands.list_due(10)) == len(await other.commands.list_due(10)) == 1
    assert accepted.row is not None
    with pytest.raises(AlreadyFinished):
        await journal.commands.finish(accepted.row.id, result("a"), [])


async def test_the_publications_of_a_command_with_a_result_are_stored_with_it(journal: Journal) -> None:
    rejected = result("a", Status.REJECTED)
    (row,) = await _accept(journal, command("a", result=rejected, publications=(publication("r"),)))
    assert row.state is CommandState.FINISHED
    assert row.result == rejected
    assert await journal.commands.list_due(10) == []
    assert await _topics(journal) == ["r"]


async def test_the_publications_of_a_repeat_are_not_stored_again(journal: Journal) -> None:
    new = command("a", result=result("a", Status.REJECTED), publications=(publication("r"),))
    await journal.commands.accept([new])
    await journal.commands.accept([new])
    assert await _topics(journal) == ["r"]


async def test_a_redelivery_is_the_same_command(journal: Journal) -> None:
    (row,) = await _accept(journal, command("made 1", delivery=delivery_mark(5)))
    (again,) = await journal.commands.accept([command("made 2", delivery=delivery_mark(5, dup=True))])
    assert (again.outcome, again.row) == (AcceptOutcome.SAME_DELIVERY, row)
    assert len(await journal.commands.list_due(10)) == 1


async def test_a_redelivery_in_the_same_commit_is_known_too(journal: Journal) -> None:
    first, again = await journal.commands.accept(
        [command("made 1", delivery=delivery_mark(5)), command("made 2", delivery=delivery_mark(5, dup=True))]
    )
    assert first.outcome is AcceptOutcome.NEW
    assert again.outcome is AcceptOutcome.SAME_DELIVERY
    assert again.row is not None
    assert again.row.command_id == "made 1"


async def test_two_equal_deliveries_without_dup_are_two_commands(journal: Journal) -> None:
    accepted = await journal.commands.accept(
        [command("1", delivery=delivery_mark(5)), command("2", delivery=delivery_mark(5))]
    )
    assert [answer.outcome for answer in accepted] == [AcceptOutcome.NEW, AcceptOutcome.NEW]
    assert not any(answer.row.duplicate_possible for answer in accepted if answer.row)


@pytest.mark.parametrize(
    "delivery",
    [delivery_mark(5, dup=True, session=2), delivery_mark(5, dup=True, content="b")],
    ids=["another session", "other content"],
)
async def test_a_redelivery_in_another_session_or_with_other_content_is_a_new_command(
    journal: Journal, delivery: object
) -> None:
    await _accept(journal, command("1", delivery=delivery_mark(5)))
    (accepted,) = await journal.commands.accept([command("2", delivery=delivery)])  # type: ignore[arg-type]
    assert accepted.outcome is AcceptOutcome.NEW
    assert accepted.row is not None
    assert not accepted.row.duplicate_possible


async def test_a_redelivery_with_another_packet_id_is_accepted_as_a_possible_duplicate(
    journal: Journal,
) -> None:
    await _accept(journal, command("1", delivery=delivery_mark(5)))
    (accepted,) = await journal.commands.accept([command("2", delivery=delivery_mark(6, dup=True))])
    assert accepted.outcome is AcceptOutcome.NEW
    assert accepted.row is not None
    assert accepted.row.duplicate_possible
    assert (await _row(journal, "2")).duplicate_possible


async def test_a_redelivery_is_not_an_older_command_whose_packet_id_was_used_again(journal: Journal) -> None:
    """The broker used 5 for other content, so it had our acknowledgement of the first: this one is new."""
    await _accept(
        journal, command("1", delivery=delivery_mark(5)), command("2", delivery=delivery_mark(5, content="b"))
    )
    (accepted,) = await journal.commands.accept([command("3", delivery=delivery_mark(5, dup=True))])
    assert accepted.outcome is AcceptOutcome.NEW
    assert accepted.row is not None
    assert accepted.row.duplicate_possible


async def test_a_redelivery_with_a_command_id_is_a_repeat(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a", delivery=delivery_mark(5)))
    (again,) = await journal.commands.accept([command("a", delivery=delivery_mark(6, dup=True))])
    assert (again.outcome, again.row) == (AcceptOutcome.REPEAT, row)


async def test_an_id_with_half_a_surrogate_pair_is_recognised_again(journal: Journal) -> None:
    await _accept(journal, command("a\ud83d"))
    (again,) = await journal.commands.accept([command("a\ud83d")])
    assert again.outcome is AcceptOutcome.REPEAT
    assert (await _row(journal, "a\ud83d")).command_id == "a?"


async def test_the_file_of_a_command_is_stored_with_it(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a", blob=blob("x")))
    assert row.blob == blob("x")
    assert await journal.commands.list_due(9) == [row]
    (plain,) = await _accept(journal, command("b"))
    assert plain.blob is None
