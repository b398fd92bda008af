"""Commands for WeChat: accepted once, attempts marked, exactly one result."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import blob, command, mark, message, picture, publication, reply, result
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.model import Blob, ChatKind, Handle, PersonId, Result, SendKey, Status
from wx2mqtt.store.account_removal import AccountRemoval
from wx2mqtt.store.command_records import AcceptOutcome, CommandRow, CommandState, NewCommand, Recipient
from wx2mqtt.store.commands import AlreadyFinished
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.people import StoredPeople
from wx2mqtt.store.person_records import NO_CHANGES, PeopleChanges, Person
from wx2mqtt.store.records import NewPublication
from wx2mqtt.store.remembered_owners import NamedOwner


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


async def test_an_accepted_command_is_what_was_given(journal: Journal) -> None:
    new = command("a", delivery=mark(1))
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


async def test_nothing_is_accepted_of_nothing(journal: Journal) -> None:
    assert await journal.commands.accept([]) == []


async def test_the_same_id_and_content_is_a_repeat_of_the_row(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a"))
    (again,) = await journal.commands.accept([command("a")])
    assert again.outcome is AcceptOutcome.REPEAT
    assert again.row == row
    assert len(await journal.commands.list_due(10)) == 1


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


async def test_a_repeat_of_a_settled_command_brings_its_result(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a"))
    await journal.commands.finish(row.id, result("a", message_id="77"), [])
    (again,) = await journal.commands.accept([command("a", replies=(reply("other"),))])
    assert again.row is not None
    assert again.row.result == result("a", message_id="77")
    assert again.row.replies == (reply(),)


async def test_whoever_else_waits_for_an_unsettled_command_is_noted(journal: Journal) -> None:
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
    assert [one.outcome for one in accepted] == [
        AcceptOutcome.NEW, AcceptOutcome.REPEAT, AcceptOutcome.REUSED, AcceptOutcome.REPEAT
    ]  # fmt: skip
    assert (await _row(journal, "a")).replies == (reply(), other, third)


async def test_the_same_id_with_other_content_changes_nothing(journal: Journal) -> None:
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


async def test_a_command_that_is_settled_at_once_brings_its_publications(journal: Journal) -> None:
    rejected = result("a", Status.REJECTED)
    (row,) = await _accept(journal, command("a", settled=rejected, publications=(publication("r"),)))
    assert row.state is CommandState.FINISHED
    assert row.result == rejected
    assert await journal.commands.list_due(10) == []
    assert await _topics(journal) == ["r"]


async def test_the_publications_of_a_repeat_are_left_to_the_caller(journal: Journal) -> None:
    new = command("a", settled=result("a", Status.REJECTED), publications=(publication("r"),))
    await journal.commands.accept([new])
    await journal.commands.accept([new])
    assert await _topics(journal) == ["r"]


async def test_a_redelivery_of_a_row_is_that_row(journal: Journal) -> None:
    (row,) = await _accept(journal, command("made 1", delivery=mark(5)))
    (again,) = await journal.commands.accept([command("made 2", delivery=mark(5, dup=True))])
    assert (again.outcome, again.row) == (AcceptOutcome.SAME_DELIVERY, row)
    assert len(await journal.commands.list_due(10)) == 1


async def test_a_redelivery_in_the_same_commit_is_known_too(journal: Journal) -> None:
    first, again = await journal.commands.accept(
        [command("made 1", delivery=mark(5)), command("made 2", delivery=mark(5, dup=True))]
    )
    assert first.outcome is AcceptOutcome.NEW
    assert again.outcome is AcceptOutcome.SAME_DELIVERY
    assert again.row is not None
    assert again.row.command_id == "made 1"


async def test_two_equal_deliveries_without_the_mark_are_two_commands(journal: Journal) -> None:
    accepted = await journal.commands.accept([command("1", delivery=mark(5)), command("2", delivery=mark(5))])
    assert [one.outcome for one in accepted] == [AcceptOutcome.NEW, AcceptOutcome.NEW]
    assert not any(one.row.duplicate_possible for one in accepted if one.row)


@pytest.mark.parametrize(
    "delivery",
    [mark(5, dup=True, session=2), mark(5, dup=True, content="b")],
    ids=["another session", "other content"],
)
async def test_a_redelivery_of_something_else_is_new(journal: Journal, delivery: object) -> None:
    await _accept(journal, command("1", delivery=mark(5)))
    (accepted,) = await journal.commands.accept([command("2", delivery=delivery)])  # type: ignore[arg-type]
    assert accepted.outcome is AcceptOutcome.NEW
    assert accepted.row is not None
    assert not accepted.row.duplicate_possible


async def test_a_redelivery_with_another_packet_id_is_executed_and_says_so(journal: Journal) -> None:
    await _accept(journal, command("1", delivery=mark(5)))
    (accepted,) = await journal.commands.accept([command("2", delivery=mark(6, dup=True))])
    assert accepted.outcome is AcceptOutcome.NEW
    assert accepted.row is not None
    assert accepted.row.duplicate_possible
    assert (await _row(journal, "2")).duplicate_possible


async def test_a_packet_id_that_was_used_again_is_no_longer_the_older_row(journal: Journal) -> None:
    """The broker used 5 for other content, so it had our acknowledgement of the first: this one is new."""
    await _accept(journal, command("1", delivery=mark(5)), command("2", delivery=mark(5, content="b")))
    (accepted,) = await journal.commands.accept([command("3", delivery=mark(5, dup=True))])
    assert accepted.outcome is AcceptOutcome.NEW
    assert accepted.row is not None
    assert accepted.row.duplicate_possible


async def test_a_redelivery_with_an_id_is_a_repeat_by_its_id(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a", delivery=mark(5)))
    (again,) = await journal.commands.accept([command("a", delivery=mark(6, dup=True))])
    assert (again.outcome, again.row) == (AcceptOutcome.REPEAT, row)


async def test_what_is_due_comes_in_order_without_the_recipients_to_skip(journal: Journal) -> None:
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


async def test_what_has_expired_is_listed_without_what_is_in_memory_or_finished(journal: Journal) -> None:
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


async def test_an_attempt_is_marked_and_its_end_too(journal: Journal) -> None:
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


async def test_a_settled_command_has_its_result_and_its_publications(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a"))
    await journal.commands.begin_attempt(row.id)
    await journal.commands.finish(row.id, result("a", message_id="77"), [publication("r"), publication("s")])
    row = await _row(journal, "a")
    assert row.state is CommandState.FINISHED
    assert row.result == result("a", message_id="77")
    assert not row.attempt_open
    assert await journal.commands.list_due(10) == []
    assert await _topics(journal) == ["r", "s"]


async def test_settling_may_mark_the_next_attempt_in_the_same_commit(journal: Journal) -> None:
    a, b = await _accept(journal, command("a"), command("b"))
    await journal.commands.finish(a.id, result("a"), [], next_row_id=b.id)
    assert (await _row(journal, "b")).attempt_open


async def test_settling_twice_changes_nothing(journal: Journal) -> None:
    a, b = await _accept(journal, command("a"), command("b"))
    await journal.commands.finish(a.id, result("a", message_id="1"), [publication("r")])
    with pytest.raises(AlreadyFinished):
        await journal.commands.finish(a.id, result("a", Status.FAILED), [publication("s")], next_row_id=b.id)
    assert (await _row(journal, "a")).result == result("a", message_id="1")
    assert not (await _row(journal, "b")).attempt_open
    assert await _topics(journal) == ["r"]


async def test_a_settling_whose_next_attempt_is_settled_already_changes_nothing(journal: Journal) -> None:
    a, b = await _accept(journal, command("a"), command("b"))
    await journal.commands.finish(b.id, result("b"), [])
    with pytest.raises(AlreadyFinished):
        await journal.commands.finish(a.id, result("a"), [publication("r")], next_row_id=b.id)
    assert (await _row(journal, "a")).state is CommandState.WAITING
    assert await _topics(journal) == []


@pytest.mark.parametrize("change", ["begin_attempt", "end_undelivered", "end_unanswered"])
async def test_a_settled_command_has_no_more_attempts(journal: Journal, change: str) -> None:
    (row,) = await _accept(journal, command("a"))
    await journal.commands.finish(row.id, result("a"), [])
    before = await _row(journal, "a")
    with pytest.raises(AlreadyFinished) as caught:
        await getattr(journal.commands, change)(row.id)
    assert not isinstance(caught.value, StoreError)  # trying again would be no use
    assert await _row(journal, "a") == before


async def test_a_start_after_a_crash_finds_what_is_in_doubt(journal: Journal) -> None:
    rows = await _accept(journal, *(command(name) for name in "abcd"))
    a, b, c, _ = (row.id for row in rows)
    await journal.commands.begin_attempt(a)
    await journal.commands.begin_attempt(b)
    await journal.commands.end_unanswered(b)
    await journal.commands.begin_attempt(c)
    await journal.commands.end_undelivered(c)
    found = {
        row.command_id: (row.unanswered, row.attempt_open, row.duplicate_possible)
        for row in await journal.commands.recover_attempts()
    }
    assert found == {"a": (1, False, True), "b": (1, False, True)}
    assert [row.command_id for row in await journal.commands.recover_attempts()] == ["a", "b"]
    assert [row.command_id for row in await journal.commands.list_due(10)] == ["a", "b", "c", "d"]


async def test_what_nobody_answered_is_known_for_a_while_after_its_end(
    journal: Journal, clock: Clock
) -> None:
    waiting, settled, _ = await _accept(journal, *(command(name) for name in "abc"))
    for row in (waiting, settled):
        await journal.commands.begin_attempt(row.id)
        await journal.commands.end_unanswered(row.id)
    await journal.commands.finish(settled.id, result("b", Status.UNCERTAIN), [])
    assert [row.command_id for row in await journal.commands.list_unanswered(clock.now - 1)] == ["a", "b"]
    assert [row.command_id for row in await journal.commands.list_unanswered(clock.now)] == ["a"]


async def test_a_second_unanswered_attempt_is_counted(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a"))
    await journal.commands.begin_attempt(row.id)
    await journal.commands.recover_attempts()
    await journal.commands.begin_attempt(row.id)
    (row,) = await journal.commands.recover_attempts()
    assert (row.unanswered, row.attempts) == (2, 2)


async def test_what_was_sent_is_known_by_the_id_that_wechat_gave(
    database: Database, journal: Journal
) -> None:
    (row,) = await _accept(journal, command("a"))
    assert not await journal.commands.is_sent_message("77")
    await journal.commands.finish(row.id, result("a", message_id="77"), [])
    assert await journal.commands.is_sent_message("77")
    assert not await Journal(database, "work").commands.is_sent_message("77")


async def test_an_unknown_id_is_nothing(journal: Journal) -> None:
    assert await journal.commands.get("nobody") is None


async def test_commands_are_listed_newest_first_all_or_of_one_state(journal: Journal) -> None:
    rows = await _accept(journal, *(command(name) for name in "abcd"))
    await journal.commands.finish(rows[1].id, result("b"), [])
    assert [row.command_id for row in await journal.commands.list_newest()] == list("dcba")
    assert [row.command_id for row in await journal.commands.list_newest(CommandState.WAITING)] == list("dca")
    assert [row.command_id for row in await journal.commands.list_newest(CommandState.FINISHED)] == ["b"]
    assert [row.command_id for row in await journal.commands.list_newest(limit=3)] == list("dcb")


async def test_what_was_not_sent_is_listed_however_much_was_sent_since(
    journal: Journal, clock: Clock
) -> None:
    endings = (Status.REJECTED, Status.EXPIRED, Status.FAILED, Status.UNCERTAIN)
    for name, status in zip("abcd", endings, strict=True):
        await journal.commands.accept([command(name, settled=result(name, status))])
        clock.now += 1
    sent = [command(f"sent-{number}", settled=result(f"sent-{number}")) for number in range(20)]
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
        await journal.commands.accept([command(command_id, user=user, settled=result(command_id, status))])

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


async def test_a_retry_is_a_new_command_with_its_own_key_and_time(journal: Journal) -> None:
    asked = (reply(), reply("answers/x", correlation=b"\1"), reply("resp", shape="response"))
    (row,) = await _accept(journal, command("a", replies=asked))
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


async def test_only_what_ended_badly_is_tried_again(journal: Journal) -> None:
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


async def test_only_what_waits_can_be_dropped(journal: Journal) -> None:
    settled, sending = await _accept(journal, command("settled"), command("sending"))
    await journal.commands.finish(settled.id, result("settled"), [])
    await journal.commands.begin_attempt(sending.id)
    for name, why in [
        ("settled", "command_settled"),
        ("sending", "command_in_flight"),
        ("nobody", "command_unknown"),
    ]:
        with pytest.raises(BadCommand, match=why):
            await journal.commands.drop(name, result(name, Status.FAILED), [publication("r")])
    assert await _topics(journal) == []


async def test_half_a_surrogate_pair_in_an_id_is_one_id(journal: Journal) -> None:
    await _accept(journal, command("a\ud83d"))
    (again,) = await journal.commands.accept([command("a\ud83d")])
    assert again.outcome is AcceptOutcome.REPEAT
    assert (await _row(journal, "a\ud83d")).command_id == "a?"


async def test_the_time_of_settling_is_the_stores(journal: Journal, clock: Clock) -> None:
    (row,) = await _accept(journal, command("a"))
    clock.now += 5
    await journal.commands.finish(row.id, replace(result("a"), time=1), [])
    pruned = await journal.retention.prune(clock.now + 1000, 0, 500)
    assert pruned.commands == 1


async def test_a_file_goes_with_its_command(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a", blob=blob("x")))
    assert row.blob == blob("x")
    assert await journal.commands.list_due(9) == [row]
    (plain,) = await _accept(journal, command("b"))
    assert plain.blob is None


async def test_a_file_that_was_fetched_later_is_attached(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a"))
    await journal.commands.attach_file(row.id, blob("x"))
    assert (await _row(journal, "a")).blob == blob("x")
    await journal.commands.finish(row.id, result("a"), [])
    with pytest.raises(AlreadyFinished):
        await journal.commands.attach_file(row.id, blob("y"))
    assert (await _row(journal, "a")).blob == blob("x")


async def test_a_command_that_is_tried_once_more_sends_the_same_file(journal: Journal) -> None:
    (row,) = await _accept(journal, command("a", blob=blob("x")))
    await journal.commands.finish(row.id, result("a", Status.FAILED), [])
    assert (await journal.commands.retry("a", 5000, SendKey("1"))).blob == blob("x")


async def test_who_keeps_the_files_hears_of_what_was_accepted_and_attached(
    database: Database, clock: Clock
) -> None:
    told: list[Blob] = []
    journal = Journal(database, "home", clock, told.append)
    await journal.open()
    rows = await _accept(journal, command("a", blob=blob("x")), command("b"), command("a", blob=blob("x")))
    assert told == [blob("x"), blob("x")], "also of a repeat, whose row has its own"
    await journal.commands.attach_file(rows[1].id, blob("y"))
    assert told[2:] == [blob("y")]


async def test_an_own_message_is_whose_it_was_sent_to(journal: Journal, clock: Clock) -> None:
    sent, failed, _ = await _accept(journal, command("a"), command("b"), command("c"))
    clock.now += 5
    await journal.commands.finish(sent.id, result("a", message_id="77"), [])
    await journal.commands.finish(failed.id, result("b", Status.UNCERTAIN, message_id="78"), [])
    clock.now += 5
    assert await journal.commands.sent_message_target("77") == ("wife", clock.now - 5)
    assert await journal.commands.sent_message_target("78") is None
    assert await journal.commands.sent_message_target("79") is None


async def test_an_own_message_of_the_phone_is_known_and_a_strangers_is_not(journal: Journal) -> None:
    own = replace(message("1", user="mom"), body={"sender": {"name": "me", "self": True}})
    theirs = replace(message("2"), body={"sender": {"user": "wife", "self": False}})
    system = replace(message("3"), body={"sender": None})
    await journal.received.record([own, theirs, system, picture("4")], NO_CHANGES, None, "")
    assert await journal.commands.sent_message_target("1") == ("mom", own.time)
    for other in ("2", "3", "4", "5", "\ud83d"):
        assert await journal.commands.sent_message_target(other) is None


async def test_what_another_account_sent_is_no_own_message(
    database: Database, journal: Journal, clock: Clock
) -> None:
    (row,) = await _accept(journal, command("a"))
    await journal.commands.finish(row.id, result("a", message_id="77"), [])
    assert await Journal(database, "work", clock).commands.sent_message_target("77") is None


async def test_another_owner_and_the_end_of_what_waits_are_one_commit(
    database: Database, journal: Journal
) -> None:
    rows = await _accept(journal, *(command(name) for name in "abc"))
    await journal.commands.finish(rows[0].id, result("a"), ())
    other_account = Journal(database, "office")
    await other_account.open()
    await _accept(other_account, command("of-the-office"))
    await journal.open()
    await journal.owner.remember("webwx", "1")

    def fail(row: CommandRow) -> tuple[Result, list[NewPublication]]:
        return result(row.command_id, Status.FAILED), [publication(f"wx/result/{row.command_id}")]

    settled, outbox = await journal.owner.change("webwx", "2", fail)
    assert [row.command_id for row in settled] == ["b", "c"]
    assert [row.topic for row in outbox.rows] == ["wx/result/b", "wx/result/c"]
    assert [(await _row(journal, name)).result for name in "abc"] == [
        result("a"),
        result("b", Status.FAILED),
        result("c", Status.FAILED),
    ]
    assert (await journal.open()).owner_ids == {"webwx": "2"}
    assert len(await other_account.commands.list_due(10)) == 1


async def test_a_change_of_the_owner_that_fails_changes_nothing(journal: Journal) -> None:
    await _accept(journal, command("a"))
    await journal.open()
    await journal.owner.remember("ilink", "me")

    def fail(_row: CommandRow) -> tuple[Result, list[NewPublication]]:
        raise StoreError("the disk is away")

    with pytest.raises(StoreError):
        await journal.owner.change("ilink", "wife", fail)
    assert (await journal.open()).owner_ids == {"ilink": "me"}
    assert len(await journal.commands.list_due(10)) == 1


async def test_another_bot_finds_nobody_of_the_one_before_in_the_same_commit(
    database: Database, journal: Journal
) -> None:
    await journal.open()
    people = StoredPeople(database, journal.account)
    person = Person(
        id=PersonId(1),
        topic_name="zhangsan",
        kind=ChatKind.FRIEND,
        handle=Handle("user:zhangsan"),
        login_id="aib1",
        matched_by="id",
        wrote=True,
    )
    await people.save(PeopleChanges(persons=(person,), topic_names=(("me", PersonId(1)),)))
    await journal.owner.remember("wecom", "aib1", NamedOwner(is_confirmed=True, person="user:zhangsan"))

    def finish(row: CommandRow) -> tuple[Result, list[NewPublication]]:
        raise AssertionError(row)

    await journal.owner.change("wecom", "aib2", finish, NamedOwner(), forgets_people=True)
    state = await journal.open()
    assert (state.owner_ids, state.named_owners) == ({"wecom": "aib2"}, {})
    assert await people.load() == ([], {})
    assert people.next_id == PersonId(2)


async def test_each_backend_has_an_owner_and_a_removed_account_none(
    database: Database, journal: Journal
) -> None:
    await journal.open()
    await journal.owner.remember("webwx", "1")
    await journal.owner.remember("ilink", "me@im.wechat")
    assert (await journal.open()).owner_ids == {"webwx": "1", "ilink": "me@im.wechat"}
    removal = AccountRemoval(database)
    await removal.delete_rows(journal.account)
    await removal.delete_account(journal.account)
    assert (await journal.open()).owner_ids == {}


# bundles


async def test_a_bundle_and_its_mark_are_one_commit_with_its_heading(journal: Journal) -> None:
    rows = await _accept(journal, command("a"), command("b"), command("c"))
    bundle = await journal.commands.begin_combined(
        [rows[2].id, rows[0].id], command("wx2mqtt-digest-1", replies=())
    )
    assert [row.command_id for row in bundle] == ["wx2mqtt-digest-1", "c", "a"]
    assert {row.leader for row in bundle} == {bundle[0].id}
    assert [row.combined_position for row in bundle] == [0, 1, 2]
    assert {(row.attempt_open, row.attempts) for row in bundle} == {(True, 1)}
    assert not (await _row(journal, "b")).attempt_open


async def test_of_a_bundle_with_a_settled_command_nothing_is_stored(journal: Journal) -> None:
    first, second = await _accept(journal, command("a"), command("b"))
    await journal.commands.finish(second.id, result("b"), ())
    with pytest.raises(AlreadyFinished):
        await journal.commands.begin_combined([first.id, second.id], command("wx2mqtt-digest-1"))
    row = await _row(journal, "a")
    assert (row.leader, row.attempt_open, row.attempts) == (None, False, 0)
    assert await journal.commands.get("wx2mqtt-digest-1") is None


async def test_a_command_is_in_one_bundle_only(journal: Journal) -> None:
    rows = await _accept(journal, command("a"), command("b"), command("c"))
    await journal.commands.begin_combined([rows[0].id, rows[1].id], None)
    with pytest.raises(AlreadyFinished):
        await journal.commands.begin_combined([rows[2].id, rows[1].id], None)
    assert (await _row(journal, "c")).leader is None


async def test_a_bundle_that_was_not_delivered_is_given_up_with_its_heading(journal: Journal) -> None:
    rows = await _accept(journal, command("a"), command("b"))
    heading, *_ = await journal.commands.begin_combined([row.id for row in rows], command("wx2mqtt-digest-1"))
    await journal.commands.end_undelivered(heading.id, is_heading=True)
    assert await journal.commands.get("wx2mqtt-digest-1") is None
    for row in [await _row(journal, "a"), await _row(journal, "b")]:
        assert (row.leader, row.combined_position, row.attempt_open) == (None, 0, False)
        assert (row.attempts, row.unanswered) == (1, 0)


async def test_a_bundle_in_doubt_stays_one_and_none_of_it_is_dropped(journal: Journal) -> None:
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


async def test_at_start_an_open_bundle_is_in_doubt_as_a_whole(journal: Journal) -> None:
    rows = await _accept(journal, command("a"), command("b"), command("c"))
    await journal.commands.begin_combined([rows[0].id, rows[1].id], None)
    assert [row.command_id for row in await journal.commands.recover_attempts()] == ["a", "b"]


async def test_all_results_of_a_bundle_are_one_commit(journal: Journal) -> None:
    first, second = await _accept(journal, command("a"), command("b"))
    await journal.commands.begin_combined([first.id, second.id], None)
    told = [publication("wx/result/a"), publication("wx/result/b")]
    sent = [result("a", message_id="77"), result("b", message_id="77")]
    await journal.commands.finish(first.id, sent[0], told, others=[(second.id, sent[1])])
    assert [(await _row(journal, name)).result for name in "ab"] == sent
    assert await _topics(journal) == ["wx/result/a", "wx/result/b"]
    with pytest.raises(AlreadyFinished):
        await journal.commands.finish(first.id, sent[0], told, others=[(second.id, sent[1])])


async def test_a_message_of_a_bundle_counts_once_among_the_last_codes(journal: Journal) -> None:
    rows = await _accept(journal, command("a"), command("b"), command("c"))
    await journal.commands.begin_combined([rows[0].id, rows[1].id], None)
    unseen = [replace(result(name, message_id=None), code="unconfirmed") for name in "ab"]
    await journal.commands.finish(rows[0].id, unseen[0], (), others=[(rows[1].id, unseen[1])])
    await journal.commands.finish(rows[2].id, result("c"), ())
    assert sorted(await journal.commands.last_result_codes(10)) == ["ok", "unconfirmed"]
