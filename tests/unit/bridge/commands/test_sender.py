"""The sender: what becomes of attempts that nobody answered, of chats that are stuck, of clocks that are set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.conftest import PassTime
from tests.unit.bridge.rows import row_of
from tests.unit.bridge.sender_support import SenderHarness, sender_harness
from wx2mqtt.bridge.commands import chat_queue, send_attempts, waiting_commands
from wx2mqtt.bridge.commands.next_step import expiry_grace_seconds
from wx2mqtt.bridge.commands.sender import MAX_CONCURRENT_SENDS
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BackendError, OutcomeUnknown, Unreachable
from wx2mqtt.model import Status
from wx2mqtt.store.command_records import CommandRow

HOUR = 3_600_000


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[SenderHarness]:
    async with sender_harness(tmp_path, "wife", "mom", *(f"friend{n}" for n in range(10))) as made:
        yield made


def unanswered_row(*, accepted: int, expires: int) -> CommandRow:
    row = row_of(1, "wife", "hi")
    return replace(row, accepted=accepted, expires=expires, unanswered=1, attempts=1, duplicate_possible=True)


def now(here: SenderHarness, *, ahead: int = 0) -> int:
    return now_ms() + ahead


# attempts that nobody answered


async def test_after_two_crashes_in_its_attempts_a_command_is_uncertain_and_not_tried_a_third_time(
    here: SenderHarness,
):
    here.wire.gate.clear()
    async with here.running():
        await here.accept(here.command("wife", "hi", accepted=now(here)))
        await here.sends(1)
    async with here.running():
        await here.sends(2)
    async with here.running():
        result = await here.result("c1")
    assert (result.status, result.duplicate_possible) == (Status.UNCERTAIN, True)
    assert len(here.wire.drafts) == 2
    assert len(set(here.wire.keys)) == 1


async def test_the_echo_of_an_attempt_that_a_crash_cut_off_is_known_after_its_command_was_settled(
    here: SenderHarness,
):
    here.wire.gate.clear()
    async with here.running():
        await here.accept(here.command("wife", "hi", accepted=now(here)))
        await here.sends(1)
    sent_at = now_ms()
    here.wire.gate.set()
    async with here.running():
        assert (await here.result("c1")).status is Status.SENT
    async with here.running(online=False):
        await here.echoes.wait_for_open_attempts(here.own("wife", "hi", "lost", sent_at))
        assert here.echoes.is_echo(here.own("wife", "hi", "lost", sent_at))
        assert here.echoes.is_echo(here.own("wife", "hi", "lost", sent_at)), "handed over twice"


async def test_what_the_owner_writes_long_after_an_unanswered_attempt_is_no_echo(here: SenderHarness):
    here.wire.outcomes += [OutcomeUnknown(), OutcomeUnknown()]
    async with here.running():
        await here.accept(here.command("wife", "hi", accepted=now(here)))
        assert (await here.result("c1")).status is Status.UNCERTAIN
        assert not here.echoes.is_echo(here.own("wife", "hi", "phone", now_ms() + HOUR))


async def test_what_the_owner_wrote_between_acceptance_and_an_unanswered_attempt_is_no_echo(
    here: SenderHarness,
):
    here.wire.outcomes += [OutcomeUnknown(), OutcomeUnknown()]
    accepted = now_ms() - HOUR
    async with here.running():
        await here.accept(here.command("wife", "hi", accepted=accepted, ttl=86_400.0))
        assert (await here.result("c1")).status is Status.UNCERTAIN
        assert not here.echoes.is_echo(here.own("wife", "hi", "phone", accepted + HOUR // 2))
        assert here.echoes.is_echo(here.own("wife", "hi", "ours", now_ms()))


async def test_both_attempts_of_an_uncertain_command_may_echo(here: SenderHarness):
    here.wire.outcomes += [OutcomeUnknown(), OutcomeUnknown()]
    async with here.running():
        await here.accept(here.command("wife", "hi", accepted=now(here)))
        assert (await here.result("c1")).status is Status.UNCERTAIN
        for message_id, known in (("first", True), ("second", True), ("third", False)):
            assert here.echoes.is_echo(here.own("wife", "hi", message_id, now_ms())) is known
    async with here.running(online=False):
        for message_id, known in (("first", True), ("second", True), ("third", False)):
            echo = here.own("wife", "hi", message_id, now_ms())
            await here.echoes.wait_for_open_attempts(echo)
            assert here.echoes.is_echo(echo) is known, f"{message_id}, after a restart"


async def test_no_message_is_taken_for_somebody_s_before_the_attempts_of_the_last_life_are_known(
    here: SenderHarness,
):
    here.wire.gate.clear()
    async with here.running():
        await here.accept(here.command("wife", "hi", accepted=now(here)))
        await here.sends(1)
    echo = here.own("wife", "hi", "lost", now_ms())
    async with here.running(online=False):
        await asyncio.wait_for(here.echoes.wait_for_open_attempts(echo), MAX_WAIT_SECONDS)
        assert here.echoes.is_echo(echo)


# chats that are stuck


async def test_a_chat_with_more_commands_than_fit_into_memory_does_not_hold_up_another(here: SenderHarness):
    here.wire.stuck.add(here.address_book.handle("wife"))
    many = [here.command("wife", accepted=now(here)) for _ in range(1200)]
    async with here.running():
        await here.accept(*many)
        other = here.command("mom", accepted=now(here))
        await here.accept(other)
        assert (await here.result(other.command_id)).status is Status.SENT


@pytest.mark.parametrize("is_first_of_its_chat", [True, False])
async def test_a_command_behind_more_than_fit_into_memory_expires_in_time(
    here: SenderHarness, monkeypatch: pytest.MonkeyPatch, is_first_of_its_chat: bool
):
    monkeypatch.setattr(waiting_commands, "EXPIRY_CHECK_SECONDS", 0.05)
    monkeypatch.setattr(waiting_commands, "MAX_COMMANDS_PER_CHAT", 3)
    monkeypatch.setattr(waiting_commands, "MAX_COMMANDS_IN_MEMORY", 3)
    many = [here.command("wife", accepted=now(here)) for _ in range(10)]
    late = here.command("mom" if is_first_of_its_chat else "wife", accepted=now(here), ttl=0.2)
    async with here.running(online=False):
        await here.accept(*many, late)
        result = await here.result(late.command_id)
        assert (result.status, result.code) == (Status.EXPIRED, "logged_out")
        assert len(await here.unsettled()) == 10
        here.sender.set_online(online=True)
        await here.sends(10)
        assert [draft.text for draft in here.wire.drafts] == [new.command.text for new in many]


async def test_after_a_start_a_stuck_chat_does_not_hold_up_another(here: SenderHarness):
    here.wire.stuck.add(here.address_book.handle("wife"))
    many = [here.command("wife", accepted=now(here)) for _ in range(1200)]
    other = here.command("mom", accepted=now(here))
    await here.journal.commands.accept([*many, other])
    async with here.running():
        assert (await here.result(other.command_id)).status is Status.SENT


async def test_more_commands_than_fit_into_memory_are_sent_in_order(here: SenderHarness):
    many = [here.command("wife", accepted=now(here)) for _ in range(700)]
    async with here.running():
        for at in range(0, 700, 100):
            await here.accept(*many[at : at + 100])
        await here.result(many[-1].command_id)
    assert [draft.text for draft in here.wire.drafts] == [one.command_id for one in many]


async def test_commands_that_come_while_those_of_the_last_life_are_read_are_sent_once_and_in_order(
    here: SenderHarness,
):
    many = [here.command("wife", accepted=now(here)) for _ in range(300)]
    await here.journal.commands.accept(many[:200])
    async with here.running():
        for one in many[200:]:
            await here.accept(one)
        await here.result(many[-1].command_id)
    assert [draft.text for draft in here.wire.drafts] == [one.command_id for one in many]


async def test_a_command_that_was_settled_before_the_sender_got_it_is_not_sent_again(here: SenderHarness):
    command = here.command("wife", accepted=now(here))
    (accepted,) = await here.journal.commands.accept([command])
    assert accepted.row is not None
    async with here.running() as sender:
        await here.result(command.command_id)
        sender.add(accepted.row)
        other = here.command("wife", accepted=now(here))
        await here.accept(other)
        assert (await here.result(other.command_id)).status is Status.SENT
    assert len(here.wire.drafts) == 2


async def test_a_command_that_expires_while_it_waits_for_a_slot_is_not_sent(
    here: SenderHarness, pass_time: PassTime
):
    friends = [f"friend{n}" for n in range(MAX_CONCURRENT_SENDS)]
    here.wire.gate.clear()
    async with here.running() as sender:
        await here.accept(*(here.command(name, accepted=now(here)) for name in friends))
        await here.sends(MAX_CONCURRENT_SENDS)
        last = here.command("wife", "dinner", accepted=now(here), ttl=600.0)
        await here.accept(last)
        await here.until(lambda: sender.slots._waiters)
        pass_time(601.0)
        here.wire.gate.set()
        assert (await here.result(last.command_id)).status is Status.EXPIRED
    assert "dinner" not in [draft.text for draft in here.wire.drafts]


# the stop


async def test_at_the_stop_what_waits_for_its_turn_is_not_begun(here: SenderHarness):
    here.wire.gate.clear()
    commands = [here.command(f"friend{n}", accepted=now(here)) for n in range(10)]
    async with here.running() as sender:
        await here.accept(*commands)
        await here.sends(MAX_CONCURRENT_SENDS)
        stopping = asyncio.create_task(sender.drain(5.0))
        await asyncio.sleep(0)
        here.wire.gate.set()
        await stopping
        assert len(here.wire.drafts) == MAX_CONCURRENT_SENDS
    assert not [row for row in await here.journal.commands.recover_attempts() if row.unanswered]


async def test_at_the_stop_an_attempt_that_was_marked_ahead_and_not_begun_is_in_no_doubt(here: SenderHarness):
    friends = [f"friend{n}" for n in range(MAX_CONCURRENT_SENDS - 1)]
    here.wire.stuck |= {here.address_book.handle(name) for name in (*friends, "mom")}
    here.wire.gate.clear()
    async with here.running() as sender:
        await here.accept(*(here.command(name, accepted=now(here)) for name in (*friends, "wife")))
        await here.sends(MAX_CONCURRENT_SENDS)
        first, second = f"c{MAX_CONCURRENT_SENDS}", here.command("wife", accepted=now(here))
        await here.accept(here.command("mom", accepted=now(here)), second)
        here.wire.gate.set()  # the second one of the wife is marked with the result of the first, and has no place
        assert (await here.result(first)).status is Status.SENT
        await here.sends(MAX_CONCURRENT_SENDS + 1)
        await sender.drain(0.05)
    doubtful = {row.command_id for row in await here.journal.commands.recover_attempts()}
    assert second.command_id not in doubtful
    assert len(doubtful) == MAX_CONCURRENT_SENDS


# clocks


async def test_a_clock_that_is_set_ahead_does_not_expire_what_waits(
    here: SenderHarness, monkeypatch: pytest.MonkeyPatch
):
    async with here.running(online=False) as sender:
        await here.accept(here.command("mom", ttl=0.0), here.command("wife", accepted=now(here)))
        await here.result("c1")  # so all that waits is in memory
        ahead = now_ms() + 24 * HOUR
        for module in (send_attempts, chat_queue):
            monkeypatch.setattr(module, "now_ms", lambda: ahead)
        sender.recheck()
        await here.accept(here.command("mom", ttl=0.0, accepted=ahead))
        await here.result("c3")  # so the clock was looked at
        sender.set_online(online=True)
        assert (await here.result("c2")).status is Status.SENT


async def test_a_clock_that_is_set_back_does_not_lengthen_a_life(
    here: SenderHarness, monkeypatch: pytest.MonkeyPatch
):
    async with here.running(online=False):
        await here.accept(here.command("wife", ttl=0.2, accepted=now(here)))
        back = now_ms() - HOUR
        for module in (send_attempts, chat_queue):
            monkeypatch.setattr(module, "now_ms", lambda: back)
        assert (await here.result("c1")).status is Status.EXPIRED


async def test_a_clock_that_was_set_back_while_the_bridge_was_away_gives_no_more_than_a_whole_life(
    here: SenderHarness,
):
    await here.journal.commands.accept([here.command("wife", ttl=0.2, accepted=now(here, ahead=HOUR))])
    async with here.running(online=False):
        assert (await here.result("c1")).status is Status.EXPIRED


# what is certainly not delivered


async def test_what_did_not_arrive_is_sent_again_and_no_duplicate_is_possible(here: SenderHarness):
    here.wire.outcomes += [Unreachable()]
    async with here.running():
        await here.accept(here.command("wife", accepted=now(here)))
        result = await here.result("c1")
    assert (result.status, result.duplicate_possible) == (Status.SENT, False)
    assert len(here.wire.drafts) == 2


@pytest.mark.parametrize("outcome", [Unreachable(), OutcomeUnknown()])
async def test_the_next_attempt_comes_after_a_pause(here: SenderHarness, outcome: BackendError):
    here.wire.outcomes += [outcome]
    async with here.running():
        await here.accept(here.command("wife", accepted=now(here)))
        await here.result("c1")
    first, second = here.wire.times
    assert second - first >= 0.25


@pytest.mark.parametrize(("ttl", "chance"), [(5, 60), (300, 300), (86_400, 600)])
def test_an_unanswered_attempt_may_be_repeated_for_as_long_as_its_command_was_good(ttl: int, chance: int):
    """Who gave 5 seconds does not want it 10 minutes later; WeChat gets at least one minute to come back."""
    row = unanswered_row(accepted=1_000_000, expires=1_000_000 + ttl * 1000)
    assert expiry_grace_seconds(row) == chance


async def test_the_text_behind_another_is_marked_as_begun_in_the_commit_that_settles_that_one(
    here: SenderHarness,
):
    friends = [f"friend{n}" for n in range(MAX_CONCURRENT_SENDS - 1)]
    here.wire.stuck |= {here.address_book.handle(name) for name in (*friends, "mom")}
    here.wire.gate.clear()
    async with here.running():
        await here.accept(*(here.command(name, accepted=now(here)) for name in (*friends, "wife")))
        await here.sends(MAX_CONCURRENT_SENDS)
        first, second = f"c{MAX_CONCURRENT_SENDS}", here.command("wife", accepted=now(here))
        await here.accept(here.command("mom", accepted=now(here)), second)
        here.wire.gate.set()  # the free slot goes to mom, so the second one of the wife cannot begin itself
        assert (await here.result(first)).status is Status.SENT
        row = await here.journal.commands.get(second.command_id)
    assert row is not None
    assert row.attempt_open
