"""A command is accepted once, whatever the broker delivers again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.store.make import (
    accept,
    blob,
    command,
    command_row,
    delivery_mark,
    publication,
    reply,
    result,
    topics,
)
from wx2mqtt.model import Status
from wx2mqtt.store.command_records import AcceptOutcome, CommandState, DeliveryMark
from wx2mqtt.store.commands import AlreadyFinished
from wx2mqtt.store.journal import Journal


async def test_an_accepted_command_is_stored_as_it_was_given(journal: Journal) -> None:
    new = command("a", delivery=delivery_mark(1), blob=blob("x"))
    (accepted,) = await journal.commands.accept([new])
    row = await command_row(journal, "a")
    assert (accepted.outcome, accepted.row) == (AcceptOutcome.NEW, row)
    assert (row.command, row.key, row.replies, row.blob) == (new.command, new.key, new.replies, blob("x"))
    assert (row.state, row.attempt_open, row.unanswered, row.attempts) == (CommandState.WAITING, False, 0, 0)
    (plain,) = await accept(journal, command("b"))
    assert plain.blob is None


async def test_many_are_accepted_in_their_order(journal: Journal) -> None:
    assert await journal.commands.accept([]) == []
    rows = await accept(journal, *(command(f"c{number}") for number in range(100)))
    assert [row.command_id for row in rows] == [f"c{number}" for number in range(100)]
    assert [row.id for row in rows] == sorted({row.id for row in rows})
    assert await journal.commands.list_due(1000) == rows


async def test_a_repeat_of_a_waiting_command_adds_its_reply_targets_and_of_a_finished_one_returns_its_result(
    journal: Journal,
) -> None:
    (row,) = await accept(journal, command("a", delivery=delivery_mark(5)))
    other = reply("answers/b", correlation=b"\1")
    for repeat, replies in (
        (command("a"), (reply(),)),
        (command("a", delivery=delivery_mark(6, dup=True)), (reply(),)),
        (command("a", replies=(reply(), other)), (reply(), other)),
    ):
        (again,) = await journal.commands.accept([repeat])
        assert (again.outcome, again.row) == (AcceptOutcome.REPEAT, replace(row, replies=replies))
        assert await journal.commands.list_due(10) == [again.row]
    await journal.commands.finish(row.id, result("a", message_id="77"), [])
    (finished,) = await accept(journal, command("a", replies=(reply("third"),)))
    assert (finished.result, finished.replies) == (result("a", message_id="77"), (reply(), other))


async def test_repeats_inside_of_one_commit_are_repeats(journal: Journal) -> None:
    other, third = reply("b"), reply("c")
    accepted = await journal.commands.accept(
        [command("a"), command("a", replies=(other,)), command("a", text="x"), command("a", replies=(third,))]
    )
    assert [answer.outcome for answer in accepted] == [
        AcceptOutcome.NEW, AcceptOutcome.REPEAT, AcceptOutcome.REUSED, AcceptOutcome.REPEAT
    ]  # fmt: skip
    assert (await command_row(journal, "a")).replies == (reply(), other, third)


async def test_a_command_with_a_known_id_and_other_content_changes_nothing(journal: Journal) -> None:
    (row,) = await accept(journal, command("a"))
    (again,) = await journal.commands.accept([command("a", text="other", replies=(reply("x"),))])
    assert (again.outcome, again.row) == (AcceptOutcome.REUSED, row)
    assert await command_row(journal, "a") == row


async def test_two_accounts_may_use_the_same_id(journal: Journal, work: Journal) -> None:
    await accept(journal, command("a"))
    (accepted,) = await work.commands.accept([command("a", text="other")])
    assert accepted.outcome is AcceptOutcome.NEW
    assert len(await journal.commands.list_due(10)) == len(await work.commands.list_due(10)) == 1
    assert accepted.row is not None
    with pytest.raises(AlreadyFinished):
        await journal.commands.finish(accepted.row.id, result("a"), [])


async def test_the_publications_of_a_command_with_a_result_are_stored_with_it_once(journal: Journal) -> None:
    rejected = result("a", Status.REJECTED)
    for _ in range(2):
        (row,) = await accept(journal, command("a", result=rejected, publications=(publication("r"),)))
        assert (row.state, row.result) == (CommandState.FINISHED, rejected)
        assert await journal.commands.list_due(10) == []
        assert await topics(journal) == ["r"]


async def test_a_redelivery_is_the_same_command(journal: Journal) -> None:
    """Also when both come in one commit."""
    first = command("made 1", delivery=delivery_mark(5))
    again = command("made 2", delivery=delivery_mark(5, dup=True))
    new, same = await journal.commands.accept([first, again])
    (later,) = await journal.commands.accept([again])
    assert [answer.outcome for answer in (new, same, later)] == [
        AcceptOutcome.NEW, AcceptOutcome.SAME_DELIVERY, AcceptOutcome.SAME_DELIVERY
    ]  # fmt: skip
    assert new.row == same.row == later.row == await command_row(journal, "made 1")
    assert len(await journal.commands.list_due(10)) == 1


@pytest.mark.parametrize(
    ("before", "delivery", "is_duplicate_possible"),
    [
        ([delivery_mark(5)], delivery_mark(5), False),
        ([delivery_mark(5)], delivery_mark(5, dup=True, session=2), False),
        ([delivery_mark(5)], delivery_mark(5, dup=True, content="b"), False),
        ([delivery_mark(5)], delivery_mark(6, dup=True), True),
        # The broker used 5 for other content, so it had our acknowledgement of the first: this one is new.
        ([delivery_mark(5), delivery_mark(5, content="b")], delivery_mark(5, dup=True), True),
    ],
    ids=["without dup", "another session", "other content", "another packet id", "packet id used again"],
)
async def test_any_other_delivery_is_a_new_command(
    journal: Journal, before: list[DeliveryMark], delivery: DeliveryMark, is_duplicate_possible: bool
) -> None:
    await accept(journal, *(command(f"before {n}", delivery=mark) for n, mark in enumerate(before)))
    (accepted,) = await journal.commands.accept([command("new", delivery=delivery)])
    row = await command_row(journal, "new")
    assert (accepted.outcome, accepted.row) == (AcceptOutcome.NEW, row)
    assert row.duplicate_possible is is_duplicate_possible


async def test_an_id_with_half_a_surrogate_pair_is_recognised_again(journal: Journal) -> None:
    await accept(journal, command("a\ud83d"))
    (again,) = await journal.commands.accept([command("a\ud83d")])
    assert again.outcome is AcceptOutcome.REPEAT
    assert (await command_row(journal, "a\ud83d")).command_id == "a?"
