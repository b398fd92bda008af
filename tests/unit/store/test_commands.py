"""Attempts at a command are stored, and each command gets exactly one result."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import blob, command, publication, reply, result
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.model import Blob, SendKey, Status
from wx2mqtt.store.command_records import CommandRow, CommandState, NewCommand
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


@pytest.mark.parametrize("is_uncertain", [False, True])
async def test_a_caption_that_is_given_up_counts_as_a_part_that_was_lost(
    journal: Journal, *, is_uncertain: bool
) -> None:
    (row, other) = await _accept(journal, command("a"), command("b"))
    await journal.commands.begin_attempt(row.id)
    await journal.commands.end_unanswered(row.id)
    await journal.commands.begin_attempt(row.id)
    await journal.commands.end_part_lost(row.id, is_uncertain=is_uncertain)
    lost = await _row(journal, "a")
    assert (lost.parts_sent, lost.parts_lost, lost.unanswered, lost.attempt_open) == (1, 1, 0, False)
    assert lost.duplicate_possible is True  # its first attempt got no answer
    await journal.commands.end_part_lost(other.id, is_uncertain=is_uncertain)
    assert (await _row(journal, "b")).duplicate_possible is is_uncertain
    await journal.commands.finish(row.id, result("a", message_id="77"), [])
    with pytest.raises(AlreadyFinished):
        await journal.commands.end_part_lost(row.id, is_uncertain=is_uncertain)
    assert (await _row(journal, "a")).parts_lost == 1


async def test_the_start_and_the_end_of_an_attempt_are_stored(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a"))
    await journal.commands.begin_attempt(row.id)
    row = await _row(journal, "a")
    assert (row.attempt_open, row.attempts, row.unanswered) == (True, 1, 0)
    await journal.commands.end_undelivered(row.id)
    row = await _row(journal, "a")
    assert (row.attempt_open, row.attempts, row.unanswered, row.duplicate_possible) == (False, 1, 0, False)
    await journal.commands.begin_attempt(row.id)
    await journal.commands.end_unanswered(row.id)
    row = await _row(journal, "a")
    assert (row.attempt_open, row.attempts, row.unanswered, row.duplicate_possible) == (False, 2, 1, True)


async def test_a_finished_command_has_its_result_and_its_publications(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a"))
    await journal.commands.begin_attempt(row.id)
    await journal.commands.finish(row.id, result("a", message_id="77"), [publication("r"), publication("s")])
    row = await _row(journal, "a")
    assert row.state is CommandState.FINISHED
    assert row.result == result("a", message_id="77")
    assert not row.attempt_open
    assert await journal.commands.list_due(10) == []
    assert await _topics(journal) == ["r", "s"]


async def test_the_next_attempt_can_start_in_the_commit_that_finishes_a_command(journal: Journal) -> None:
    a, b = await _accept(journal, command("a"), command("b"))
    await journal.commands.finish(a.id, result("a"), [], next_row_id=b.id)
    assert (await _row(journal, "b")).attempt_open


async def test_a_command_that_is_finished_twice_keeps_its_first_result(journal: Journal) -> None:
    a, b = await _accept(journal, command("a"), command("b"))
    await journal.commands.finish(a.id, result("a", message_id="1"), [publication("r")])
    with pytest.raises(AlreadyFinished):
        await journal.commands.finish(a.id, result("a", Status.FAILED), [publication("s")], next_row_id=b.id)
    assert (await _row(journal, "a")).result == result("a", message_id="1")
    assert not (await _row(journal, "b")).attempt_open
    assert await _topics(journal) == ["r"]


async def test_when_the_next_command_is_finished_already_nothing_is_stored(journal: Journal) -> None:
    a, b = await _accept(journal, command("a"), command("b"))
    await journal.commands.finish(b.id, result("b"), [])
    with pytest.raises(AlreadyFinished):
        await journal.commands.finish(a.id, result("a"), [publication("r")], next_row_id=b.id)
    assert (await _row(journal, "a")).state is CommandState.WAITING
    assert await _topics(journal) == []


@pytest.mark.parametrize("change", ["begin_attempt", "end_undelivered", "end_unanswered"])
async def test_a_finished_command_has_no_more_attempts(journal: Journal, change: str) -> None:
    (row,) = await _accept(journal, command("a"))
    await journal.commands.finish(row.id, result("a"), [])
    before = await _row(journal, "a")
    with pytest.raises(AlreadyFinished) as caught:
        await getattr(journal.commands, change)(row.id)
    assert not isinstance(caught.value, StoreError)  # trying again would be no use
    assert await _row(journal, "a") == before


async def test_after_a_crash_the_commands_with_an_uncertain_attempt_are_found(journal: Journal) -> None:
    rows = await _accept(journal, *(command(name) for name in "abcd"))
    a, b, c, _ = (row.id for row in rows)
    await journal.commands.begin_attempt(a)
    await journal.commands.begin_attempt(b)
    await journal.commands.end_unanswered(b)
    await journal.commands.begin_attempt(c)
    await journal.commands.end_undelivered(c)
    uncertain = {
        row.command_id: (row.unanswered, row.attempt_open, row.duplicate_possible)
        for row in await journal.commands.recover_attempts()
    }
    assert uncertain == {"a": (1, False, True), "b": (1, False, True)}
    assert [row.command_id for row in await journal.commands.recover_attempts()] == ["a", "b"]
    assert [row.command_id for row in await journal.commands.list_due(10)] == ["a", "b", "c", "d"]


async def test_a_second_unanswered_attempt_is_counted(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a"))
    await journal.commands.begin_attempt(row.id)
    await journal.commands.recover_attempts()
    await journal.commands.begin_attempt(row.id)
    (row,) = await journal.commands.recover_attempts()
    assert (row.unanswered, row.attempts) == (2, 2)


async def test_a_retry_is_a_new_command_with_its_own_key_and_time(journal: Journal) -> None:
    reply_targets = (reply(), reply("answers/x", correlation=b"\1"), reply("resp", shape="response"))
    (row,) = await _accept(journal, command("a", replies=reply_targets))
    await journal.commands.finish(row.id, result("a", Status.UNCERTAIN), [])
    again = await journal.commands.retry("a", 50_000, SendKey("99"))
    assert (again.command_id, again.command.id, again.key) == ("a~1", "a~1", "99")
    assert (again.accepted, again.expires) == (50_000, 50_000 + 600_000 - 1000)
    assert again.replies == (reply(),)
    assert again.state is CommandState.WAITING
    assert await journal.commands.list_due(10) == [again]
    assert (await _row(journal, "a")).result == result("a", Status.UNCERTAIN)


async def test_each_retry_gets_the_next_number(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a", expires=None))
    await journal.commands.finish(row.id, result("a", Status.FAILED), [])
    names = [(await journal.commands.retry("a", 1, SendKey("9"))).command_id for _ in range(3)]
    assert names == ["a~1", "a~2", "a~3"]
    assert (await _row(journal, "a~1")).expires is None


async def test_a_command_that_was_sent_or_still_waits_cannot_be_retried(journal: Journal) -> None:
    sent, _ = await _accept(journal, command("sent"), command("waiting"))
    await journal.commands.finish(sent.id, result("sent"), [])
    for name, why in [("sent", "command_sent"), ("waiting", "command_waits"), ("nobody", "command_unknown")]:
        with pytest.raises(BadCommand, match=why):
            await journal.commands.retry(name, 1, SendKey("9"))
    assert len(await journal.commands.list_newest()) == 2


async def test_a_dropped_command_has_the_given_result(journal: Journal) -> None:
    await _accept(journal, command("a"))
    failed = result("a", Status.FAILED)
    await journal.commands.drop("a", failed, [publication("r")])
    assert (await _row(journal, "a")).result == failed
    assert await _topics(journal) == ["r"]


async def test_only_a_waiting_command_can_be_dropped(journal: Journal) -> None:
    finished, sending = await _accept(journal, command("finished"), command("sending"))
    await journal.commands.finish(finished.id, result("finished"), [])
    await journal.commands.begin_attempt(sending.id)
    for name, why in [
        ("finished", "command_settled"),
        ("sending", "command_in_flight"),
        ("nobody", "command_unknown"),
    ]:
        with pytest.raises(BadCommand, match=why):
            await journal.commands.drop(name, result(name, Status.FAILED), [publication("r")])
    assert await _topics(journal) == []


async def test_a_command_is_pruned_by_the_time_when_the_store_finished_it(
    journal: Journal, clock: Clock
) -> None:
    (row,) = await _accept(journal, command("a"))
    clock.now += 5
    await journal.commands.finish(row.id, replace(result("a"), time=1), [])
    pruned = await journal.retention.prune(clock.now + 1000, 0, 500)
    assert pruned.commands == 1


async def test_a_file_that_was_fetched_later_is_attached(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a"))
    await journal.commands.attach_file(row.id, blob("x"))
    assert (await _row(journal, "a")).blob == blob("x")
    await journal.commands.finish(row.id, result("a"), [])
    with pytest.raises(AlreadyFinished):
        await journal.commands.attach_file(row.id, blob("y"))
    assert (await _row(journal, "a")).blob == blob("x")


async def test_a_retry_sends_the_same_file(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a", blob=blob("x")))
    await journal.commands.finish(row.id, result("a", Status.FAILED), [])
    assert (await journal.commands.retry("a", 5000, SendKey("1"))).blob == blob("x")


async def test_files_of_accepted_commands_and_attached_files_are_reported_as_referenced(
    database: Database, clock: Clock
) -> None:
    referenced: list[Blob] = []
    journal = Journal(database, "home", clock, referenced.append)
    await journal.open()
    rows = await _accept(journal, command("a", blob=blob("x")), command("b"), command("a", blob=blob("x")))
    assert referenced == [blob("x"), blob("x")], "a repeat counts as well: its row has its own file"
    await journal.commands.attach_file(rows[1].id, blob("y"))
    assert referenced[2:] == [blob("y")]


# Combined messages: several commands in one message


async def test_a_combined_message_is_stored_in_one_commit_with_its_heading(journal: Journal) -> None:
    rows = await _accept(journal, command("a"), command("b"), command("c"))
    combined = await journal.commands.begin_combined(
        [rows[2].id, rows[0].id], command("wx2mqtt-digest-1", replies=())
    )
    assert [row.command_id for row in combined] == ["wx2mqtt-digest-1", "c", "a"]
    assert {row.leader for row in combined} == {combined[0].id}
    assert [row.combined_position for row in combined] == [0, 1, 2]
    assert {(row.attempt_open, row.attempts) for row in combined} == {(True, 1)}
    assert not (await _row(journal, "b")).attempt_open


async def test_a_combined_message_with_a_finished_command_is_not_stored(journal: Journal) -> None:
    first, second = await _accept(journal, command("a"), command("b"))
    await journal.commands.finish(second.id, result("b"), ())
    with pytest.raises(AlreadyFinished):
        await journal.commands.begin_combined([first.id, second.id], command("wx2mqtt-digest-1"))
    row = await _row(journal, "a")
    assert (row.leader, row.attempt_open, row.attempts) == (None, False, 0)
    assert await journal.commands.get("wx2mqtt-digest-1") is None


async def test_a_command_is_in_one_combined_message_only(journal: Journal) -> None:
    rows = await _accept(journal, command("a"), command("b"), command("c"))
    await journal.commands.begin_combined([rows[0].id, rows[1].id], None)
    with pytest.raises(AlreadyFinished):
        await journal.commands.begin_combined([rows[2].id, rows[1].id], None)
    assert (await _row(journal, "c")).leader is None


async def test_a_combined_message_that_was_not_delivered_is_deleted_with_its_heading(
    journal: Journal,
) -> None:
    rows = await _accept(journal, command("a"), command("b"))
    heading, *_ = await journal.commands.begin_combined([row.id for row in rows], command("wx2mqtt-digest-1"))
    await journal.commands.end_undelivered(heading.id, is_heading=True)
    assert await journal.commands.get("wx2mqtt-digest-1") is None
    for row in [await _row(journal, "a"), await _row(journal, "b")]:
        assert (row.leader, row.combined_position, row.attempt_open) == (None, 0, False)
        assert (row.attempts, row.unanswered) == (1, 0)


async def test_an_uncertain_combined_message_stays_one_and_none_of_its_commands_can_be_dropped(
    journal: Journal,
) -> None:
    rows = await _accept(journal, command("a"), command("b"))
    leading, _ = await journal.commands.begin_combined([row.id for row in rows], None)
    await journal.commands.end_unanswered(leading.id)
    await journal.commands.begin_attempt(leading.id)
    await journal.commands.end_undelivered(leading.id)
    for row in [await _row(journal, "a"), await _row(journal, "b")]:
        assert (row.leader, row.unanswered, row.attempts, row.attempt_open) == (leading.id, 1, 2, False)
        assert row.duplicate_possible
    with pytest.raises(BadCommand):
        await journal.commands.drop("b", result("b", Status.FAILED), ())


async def test_after_a_crash_all_commands_of_a_combined_message_are_uncertain(journal: Journal) -> None:
    rows = await _accept(journal, command("a"), command("b"), command("c"))
    await journal.commands.begin_combined([rows[0].id, rows[1].id], None)
    assert [row.command_id for row in await journal.commands.recover_attempts()] == ["a", "b"]


async def test_all_results_of_a_combined_message_are_stored_in_one_commit(journal: Journal) -> None:
    first, second = await _accept(journal, command("a"), command("b"))
    await journal.commands.begin_combined([first.id, second.id], None)
    publications = [publication("wx/result/a"), publication("wx/result/b")]
    sent = [result("a", message_id="77"), result("b", message_id="77")]
    await journal.commands.finish(first.id, sent[0], publications, others=[(second.id, sent[1])])
    assert [(await _row(journal, name)).result for name in "ab"] == sent
    assert await _topics(journal) == ["wx/result/a", "wx/result/b"]
    with pytest.raises(AlreadyFinished):
        await journal.commands.finish(first.id, sent[0], publications, others=[(second.id, sent[1])])


async def test_a_combined_message_counts_once_among_the_last_result_codes(journal: Journal) -> None:
    rows = await _accept(journal, command("a"), command("b"), command("c"))
    await journal.commands.begin_combined([rows[0].id, rows[1].id], None)
    unconfirmed = [replace(result(name, message_id=None), code="unconfirmed") for name in "ab"]
    await journal.commands.finish(rows[0].id, unconfirmed[0], (), others=[(rows[1].id, unconfirmed[1])])
    await journal.commands.finish(rows[2].id, result("c"), ())
    assert sorted(await journal.commands.last_result_codes(10)) == ["ok", "unconfirmed"]
