"""Attempts at a command are stored, and each command gets exactly one result."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import accept, blob, command, command_row, publication, reply, result, topics
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.model import Blob, SendKey, Status
from wx2mqtt.store.command_records import CommandState
from wx2mqtt.store.commands import AlreadyFinished
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal


@pytest.mark.parametrize("is_uncertain", [False, True])
async def test_a_caption_that_is_given_up_counts_as_a_part_that_was_lost(
    journal: Journal, *, is_uncertain: bool
) -> None:
    (row, other) = await accept(journal, command("a"), command("b"))
    await journal.commands.begin_attempt(row.id)
    await journal.commands.end_unanswered(row.id)
    await journal.commands.begin_attempt(row.id)
    await journal.commands.end_part_lost(row.id, is_uncertain=is_uncertain)
    lost = await command_row(journal, "a")
    assert (lost.parts_sent, lost.parts_lost, lost.unanswered, lost.attempt_open) == (1, 1, 0, False)
    assert lost.duplicate_possible is True  # its first attempt got no answer
    await journal.commands.end_part_lost(other.id, is_uncertain=is_uncertain)
    assert (await command_row(journal, "b")).duplicate_possible is is_uncertain


async def test_the_start_and_the_end_of_an_attempt_are_stored(journal: Journal) -> None:
    (row,) = await accept(journal, command("a"))
    for change, expected in (
        (journal.commands.begin_attempt, (True, 1, 0, False)),
        (journal.commands.end_undelivered, (False, 1, 0, False)),
        (journal.commands.begin_attempt, (True, 2, 0, False)),
        (journal.commands.end_unanswered, (False, 2, 1, True)),
    ):
        await change(row.id)
        row = await command_row(journal, "a")
        assert (row.attempt_open, row.attempts, row.unanswered, row.duplicate_possible) == expected


async def test_a_command_is_finished_once_with_its_publications_and_the_next_attempt(
    journal: Journal,
) -> None:
    a, b, c = await accept(journal, *(command(name) for name in "abc"))
    await journal.commands.begin_attempt(a.id)
    end = result("a", message_id="77")
    await journal.commands.finish(a.id, end, [publication("r"), publication("s")], next_row_id=b.id)
    row = await command_row(journal, "a")
    assert (row.state, row.result, row.attempt_open) == (CommandState.FINISHED, end, False)
    assert (await command_row(journal, "b")).attempt_open
    assert [row.command_id for row in await journal.commands.list_due(10)] == ["b", "c"]
    for first, following in ((a, c), (c, a)):
        with pytest.raises(AlreadyFinished):
            await journal.commands.finish(
                first.id, result("x", Status.FAILED), [publication("t")], next_row_id=following.id
            )
        assert await command_row(journal, "a") == row
        assert await command_row(journal, "c") == c
        assert await topics(journal) == ["r", "s"]


async def test_a_finished_command_has_no_more_attempts_parts_or_files(journal: Journal) -> None:
    (row,) = await accept(journal, command("a"))
    await journal.commands.attach_file(row.id, blob("x"))
    await journal.commands.finish(row.id, result("a"), [])
    before = await command_row(journal, "a")
    assert before.blob == blob("x")
    for change in (
        journal.commands.begin_attempt,
        journal.commands.end_undelivered,
        journal.commands.end_unanswered,
        partial(journal.commands.end_part_lost, is_uncertain=True),
        partial(journal.commands.attach_file, blob=blob("y")),
    ):
        with pytest.raises(AlreadyFinished) as caught:
            await change(row.id)
        assert not isinstance(caught.value, StoreError)  # trying again would be no use
        assert await command_row(journal, "a") == before


async def test_after_a_crash_the_commands_with_an_uncertain_attempt_are_found(journal: Journal) -> None:
    rows = await accept(journal, *(command(name) for name in "abcd"))
    a, b, c, _ = (row.id for row in rows)
    await journal.commands.begin_attempt(a)
    await journal.commands.begin_attempt(b)
    await journal.commands.end_unanswered(b)
    await journal.commands.begin_attempt(c)
    await journal.commands.end_undelivered(c)
    uncertain = [
        (row.command_id, row.unanswered, row.attempt_open, row.duplicate_possible)
        for row in await journal.commands.recover_attempts()
    ]
    assert uncertain == [("a", 1, False, True), ("b", 1, False, True)]
    assert [row.command_id for row in await journal.commands.list_due(10)] == ["a", "b", "c", "d"]
    await journal.commands.begin_attempt(a)
    again, other = await journal.commands.recover_attempts()
    assert (again.unanswered, again.attempts, other.unanswered) == (2, 2, 1)


async def test_a_retry_is_a_new_command_with_its_own_key_and_time_and_the_same_file(journal: Journal) -> None:
    reply_targets = (reply(), reply("answers/x", correlation=b"\1"), reply("resp", shape="response"))
    row, endless = await accept(
        journal, command("a", replies=reply_targets, blob=blob("x")), command("b", expires=None)
    )
    for ended in (row, endless):
        await journal.commands.finish(ended.id, result(ended.command_id, Status.UNCERTAIN), [])
    again = await journal.commands.retry("a", 50_000, SendKey("99"))
    assert (again.command_id, again.command.id, again.key) == ("a~1", "a~1", "99")
    assert (again.accepted, again.expires) == (50_000, 50_000 + 600_000 - 1000)
    assert (again.replies, again.blob, again.state) == ((reply(),), blob("x"), CommandState.WAITING)
    assert await journal.commands.list_due(10) == [again]
    assert (await command_row(journal, "a")).result == result("a", Status.UNCERTAIN)
    names = [(await journal.commands.retry("b", 1, SendKey("9"))).command_id for _ in range(3)]
    assert names == ["b~1", "b~2", "b~3"]
    assert (await command_row(journal, "b~1")).expires is None


async def test_a_command_that_was_sent_or_still_waits_cannot_be_retried(journal: Journal) -> None:
    sent, _ = await accept(journal, command("sent"), command("waiting"))
    await journal.commands.finish(sent.id, result("sent"), [])
    for name, why in [("sent", "command_sent"), ("waiting", "command_waits"), ("nobody", "command_unknown")]:
        with pytest.raises(BadCommand, match=why):
            await journal.commands.retry(name, 1, SendKey("9"))
    assert len(await journal.commands.list_newest()) == 2


async def test_a_dropped_command_has_the_given_result_and_only_a_waiting_one_can_be_dropped(
    journal: Journal,
) -> None:
    _, finished, sending = await accept(journal, command("a"), command("finished"), command("sending"))
    await journal.commands.drop("a", result("a", Status.FAILED), [publication("r")])
    assert (await command_row(journal, "a")).result == result("a", Status.FAILED)
    await journal.commands.finish(finished.id, result("finished"), [])
    await journal.commands.begin_attempt(sending.id)
    for name, why in (
        ("finished", "command_settled"), ("sending", "command_in_flight"), ("nobody", "command_unknown")
    ):  # fmt: skip
        with pytest.raises(BadCommand, match=why):
            await journal.commands.drop(name, result(name, Status.FAILED), [publication("s")])
    assert await topics(journal) == ["r"]


async def test_a_command_is_pruned_by_the_time_when_the_store_finished_it(
    journal: Journal, clock: Clock
) -> None:
    (row,) = await accept(journal, command("a"))
    clock.now += 5
    await journal.commands.finish(row.id, replace(result("a"), time=1), [])
    assert (await journal.retention.prune(clock.now + 1000, 0, 500)).commands == 1


async def test_files_of_accepted_commands_and_attached_files_are_reported_as_referenced(
    database: Database, clock: Clock
) -> None:
    referenced: list[Blob] = []
    journal = Journal(database, "home", clock, referenced.append)
    await journal.open()
    rows = await accept(journal, command("a", blob=blob("x")), command("b"), command("a", blob=blob("x")))
    assert referenced == [blob("x"), blob("x")], "a repeat counts as well: its row has its own file"
    await journal.commands.attach_file(rows[1].id, blob("y"))
    assert referenced[2:] == [blob("y")]


# Combined messages: several commands in one message


async def test_a_combined_message_is_stored_in_one_commit_with_its_heading(journal: Journal) -> None:
    rows = await accept(journal, command("a"), command("b"), command("c"))
    combined = await journal.commands.begin_combined(
        [rows[2].id, rows[0].id], command("wx2mqtt-digest-1", replies=())
    )
    assert [row.command_id for row in combined] == ["wx2mqtt-digest-1", "c", "a"]
    assert {row.leader for row in combined} == {combined[0].id}
    assert [row.combined_position for row in combined] == [0, 1, 2]
    assert {(row.attempt_open, row.attempts) for row in combined} == {(True, 1)}
    assert not (await command_row(journal, "b")).attempt_open


async def test_a_combined_message_with_a_command_that_is_finished_or_in_another_one_is_not_stored(
    journal: Journal,
) -> None:
    first, finished, *others = await accept(journal, *(command(name) for name in "abcd"))
    await journal.commands.finish(finished.id, result("b"), ())
    await journal.commands.begin_combined([row.id for row in others], None)
    for second in (finished, others[1]):
        with pytest.raises(AlreadyFinished):
            await journal.commands.begin_combined([first.id, second.id], command("wx2mqtt-digest-1"))
        row = await command_row(journal, "a")
        assert (row.leader, row.attempt_open, row.attempts) == (None, False, 0)
        assert await journal.commands.get("wx2mqtt-digest-1") is None


async def test_a_combined_message_that_was_not_delivered_is_deleted_with_its_heading(
    journal: Journal,
) -> None:
    rows = await accept(journal, command("a"), command("b"))
    heading, *_ = await journal.commands.begin_combined([row.id for row in rows], command("wx2mqtt-digest-1"))
    await journal.commands.end_undelivered(heading.id, is_heading=True)
    assert await journal.commands.get("wx2mqtt-digest-1") is None
    for row in [await command_row(journal, "a"), await command_row(journal, "b")]:
        assert (row.leader, row.combined_position, row.attempt_open) == (None, 0, False)
        assert (row.attempts, row.unanswered) == (1, 0)


async def test_an_uncertain_combined_message_stays_one_and_none_of_its_commands_can_be_dropped(
    journal: Journal,
) -> None:
    rows = await accept(journal, command("a"), command("b"))
    leading, _ = await journal.commands.begin_combined([row.id for row in rows], None)
    await journal.commands.end_unanswered(leading.id)
    await journal.commands.begin_attempt(leading.id)
    await journal.commands.end_undelivered(leading.id)
    for row in [await command_row(journal, "a"), await command_row(journal, "b")]:
        assert (row.leader, row.unanswered, row.attempts, row.attempt_open) == (leading.id, 1, 2, False)
        assert row.duplicate_possible
    with pytest.raises(BadCommand):
        await journal.commands.drop("b", result("b", Status.FAILED), ())


async def test_after_a_crash_all_commands_of_a_combined_message_are_uncertain(journal: Journal) -> None:
    rows = await accept(journal, command("a"), command("b"), command("c"))
    await journal.commands.begin_combined([rows[0].id, rows[1].id], None)
    assert [row.command_id for row in await journal.commands.recover_attempts()] == ["a", "b"]


async def test_all_results_of_a_combined_message_are_stored_in_one_commit_and_count_once(
    journal: Journal,
) -> None:
    first, second, third = await accept(journal, *(command(name) for name in "abc"))
    await journal.commands.begin_combined([first.id, second.id], None)
    publications = [publication("wx/result/a"), publication("wx/result/b")]
    sent = [replace(result(name, message_id="77"), code="unconfirmed") for name in "ab"]
    await journal.commands.finish(first.id, sent[0], publications, others=[(second.id, sent[1])])
    assert [(await command_row(journal, name)).result for name in "ab"] == sent
    with pytest.raises(AlreadyFinished):
        await journal.commands.finish(first.id, sent[0], publications, others=[(second.id, sent[1])])
    assert await topics(journal) == ["wx/result/a", "wx/result/b"]
    await journal.commands.finish(third.id, result("c"), ())
    assert sorted(await journal.commands.last_result_codes(10)) == ["ok", "unconfirmed"]
