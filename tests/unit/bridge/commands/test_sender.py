"""The sender with unanswered attempts, chats that hang, a stop, and clocks that are set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.conftest import PassTime
from tests.unit.bridge.rows import row_of
from tests.unit.bridge.sender_harness import SenderHarness, open_sender_harness
from wx2mqtt.bridge.commands import chat_queue, send_attempts, waiting_commands
from wx2mqtt.bridge.commands.next_step import expiry_grace_seconds
from wx2mqtt.bridge.commands.sender import MAX_CONCURRENT_SENDS
from wx2mqtt.clock import Backoff, now_ms
from wx2mqtt.errors import BackendError, OutcomeUnknown, ProtocolViolation, Unreachable
from wx2mqtt.model import Draft, Status
from wx2mqtt.store.command_records import CommandRow

HOUR = 3_600_000


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[SenderHarness]:
    async with open_sender_harness(tmp_path, "wife", "mom", *(f"friend{n}" for n in range(10))) as harness:
        yield harness


def unanswered_row(*, accepted: int, expires: int) -> CommandRow:
    row = row_of(1, "wife", "hi")
    return replace(row, accepted=accepted, expires=expires, unanswered=1, attempts=1, duplicate_possible=True)


def now(harness: SenderHarness, *, ahead: int = 0) -> int:
    return now_ms() + ahead


# attempts that nobody answered


async def test_after_two_crashes_in_its_attempts_a_command_is_uncertain_and_not_tried_a_third_time(
    harness: SenderHarness,
):
    harness.backend.gate.clear()
    async with harness.running():
        await harness.accept(harness.command("wife", "hi", accepted=now(harness)))
        await harness.wait_for_sends(1)
    async with harness.running():
        await harness.wait_for_sends(2)
    async with harness.running():
        result = await harness.result("c1")
    assert (result.status, result.duplicate_possible) == (Status.UNCERTAIN, True)
    assert len(harness.backend.drafts) == 2
    assert len(set(harness.backend.keys)) == 1


async def test_the_echo_of_an_attempt_that_a_crash_cut_off_is_known_after_its_command_was_settled(
    harness: SenderHarness,
):
    harness.backend.gate.clear()
    async with harness.running():
        await harness.accept(harness.command("wife", "hi", accepted=now(harness)))
        await harness.wait_for_sends(1)
    sent_at = now_ms()
    harness.backend.gate.set()
    async with harness.running():
        assert (await harness.result("c1")).status is Status.SENT
    async with harness.running(online=False):
        await harness.echoes.wait_for_open_attempts(harness.own_message("wife", "hi", "lost", sent_at))
        assert harness.echoes.is_echo(harness.own_message("wife", "hi", "lost", sent_at))
        assert harness.echoes.is_echo(harness.own_message("wife", "hi", "lost", sent_at)), "handed over twice"


async def test_what_the_owner_writes_long_after_an_unanswered_attempt_is_no_echo(harness: SenderHarness):
    harness.backend.outcomes += [OutcomeUnknown(), OutcomeUnknown()]
    async with harness.running():
        await harness.accept(harness.command("wife", "hi", accepted=now(harness)))
        assert (await harness.result("c1")).status is Status.UNCERTAIN
        assert not harness.echoes.is_echo(harness.own_message("wife", "hi", "phone", now_ms() + HOUR))


async def test_what_the_owner_wrote_between_acceptance_and_an_unanswered_attempt_is_no_echo(
    harness: SenderHarness,
):
    harness.backend.outcomes += [OutcomeUnknown(), OutcomeUnknown()]
    accepted = now_ms() - HOUR
    async with harness.running():
        await harness.accept(harness.command("wife", "hi", accepted=accepted, ttl=86_400.0))
        assert (await harness.result("c1")).status is Status.UNCERTAIN
        assert not harness.echoes.is_echo(harness.own_message("wife", "hi", "phone", accepted + HOUR // 2))
        assert harness.echoes.is_echo(harness.own_message("wife", "hi", "ours", now_ms()))


async def test_both_attempts_of_an_uncertain_command_may_echo(harness: SenderHarness):
    harness.backend.outcomes += [OutcomeUnknown(), OutcomeUnknown()]
    async with harness.running():
        await harness.accept(harness.command("wife", "hi", accepted=now(harness)))
        assert (await harness.result("c1")).status is Status.UNCERTAIN
        for message_id, known in (("first", True), ("second", True), ("third", False)):
            assert harness.echoes.is_echo(harness.own_message("wife", "hi", message_id, now_ms())) is known
    async with harness.running(online=False):
        for message_id, known in (("first", True), ("second", True), ("third", False)):
            echo = harness.own_message("wife", "hi", message_id, now_ms())
            await harness.echoes.wait_for_open_attempts(echo)
            assert harness.echoes.is_echo(echo) is known, f"{message_id}, after a restart"


async def test_an_echo_waits_until_the_attempts_of_the_previous_process_are_known(
    harness: SenderHarness,
):
    harness.backend.gate.clear()
    async with harness.running():
        await harness.accept(harness.command("wife", "hi", accepted=now(harness)))
        await harness.wait_for_sends(1)
    echo = harness.own_message("wife", "hi", "lost", now_ms())
    async with harness.running(online=False):
        await asyncio.wait_for(harness.echoes.wait_for_open_attempts(echo), MAX_WAIT_SECONDS)
        assert harness.echoes.is_echo(echo)


# chats whose sends hang


async def test_a_chat_with_more_commands_than_fit_into_memory_does_not_hold_up_another(
    harness: SenderHarness,
):
    harness.backend.hanging_chats.add(harness.address_book.handle("wife"))
    many = [harness.command("wife", accepted=now(harness)) for _ in range(1200)]
    async with harness.running():
        await harness.accept(*many)
        other = harness.command("mom", accepted=now(harness))
        await harness.accept(other)
        assert (await harness.result(other.command_id)).status is Status.SENT


@pytest.mark.parametrize("is_first_of_its_chat", [True, False])
async def test_a_command_behind_more_than_fit_into_memory_expires_in_time(
    harness: SenderHarness, monkeypatch: pytest.MonkeyPatch, is_first_of_its_chat: bool
):
    monkeypatch.setattr(waiting_commands, "EXPIRY_CHECK_SECONDS", 0.05)
    monkeypatch.setattr(waiting_commands, "MAX_COMMANDS_PER_CHAT", 3)
    monkeypatch.setattr(waiting_commands, "MAX_COMMANDS_IN_MEMORY", 3)
    many = [harness.command("wife", accepted=now(harness)) for _ in range(10)]
    late = harness.command("mom" if is_first_of_its_chat else "wife", accepted=now(harness), ttl=0.2)
    async with harness.running(online=False):
        await harness.accept(*many, late)
        result = await harness.result(late.command_id)
        assert (result.status, result.code) == (Status.EXPIRED, "logged_out")
        assert len(await harness.waiting_ids()) == 10
        harness.sender.set_online(online=True)
        await harness.wait_for_sends(10)
        assert [draft.text for draft in harness.backend.drafts] == [new.command.text for new in many]


async def test_after_a_start_a_stuck_chat_does_not_hold_up_another(harness: SenderHarness):
    harness.backend.hanging_chats.add(harness.address_book.handle("wife"))
    many = [harness.command("wife", accepted=now(harness)) for _ in range(1200)]
    other = harness.command("mom", accepted=now(harness))
    await harness.journal.commands.accept([*many, other])
    async with harness.running():
        assert (await harness.result(other.command_id)).status is Status.SENT


async def test_more_commands_than_fit_into_memory_are_sent_in_order(harness: SenderHarness):
    many = [harness.command("wife", accepted=now(harness)) for _ in range(700)]
    async with harness.running():
        for at in range(0, 700, 100):
            await harness.accept(*many[at : at + 100])
        await harness.result(many[-1].command_id)
    assert [draft.text for draft in harness.backend.drafts] == [command.command_id for command in many]


async def test_commands_that_come_while_those_of_the_previous_process_are_read_are_sent_once_and_in_order(
    harness: SenderHarness,
):
    many = [harness.command("wife", accepted=now(harness)) for _ in range(300)]
    await harness.journal.commands.accept(many[:200])
    async with harness.running():
        for command in many[200:]:
            await harness.accept(command)
        await harness.result(many[-1].command_id)
    assert [draft.text for draft in harness.backend.drafts] == [command.command_id for command in many]


async def test_a_command_that_was_settled_before_the_sender_got_it_is_not_sent_again(harness: SenderHarness):
    command = harness.command("wife", accepted=now(harness))
    (accepted,) = await harness.journal.commands.accept([command])
    assert accepted.row is not None
    async with harness.running() as sender:
        await harness.result(command.command_id)
        sender.add(accepted.row)
        other = harness.command("wife", accepted=now(harness))
        await harness.accept(other)
        assert (await harness.result(other.command_id)).status is Status.SENT
    assert len(harness.backend.drafts) == 2


async def test_a_command_that_expires_while_it_waits_for_a_slot_is_not_sent(
    harness: SenderHarness, pass_time: PassTime
):
    friends = [f"friend{n}" for n in range(MAX_CONCURRENT_SENDS)]
    harness.backend.gate.clear()
    async with harness.running() as sender:
        await harness.accept(*(harness.command(name, accepted=now(harness)) for name in friends))
        await harness.wait_for_sends(MAX_CONCURRENT_SENDS)
        last = harness.command("wife", "dinner", accepted=now(harness), ttl=600.0)
        await harness.accept(last)
        await harness.wait_until(lambda: sender.slots._waiters)
        pass_time(601.0)
        harness.backend.gate.set()
        assert (await harness.result(last.command_id)).status is Status.EXPIRED
    assert "dinner" not in [draft.text for draft in harness.backend.drafts]


# the stop


async def test_at_the_stop_what_waits_for_its_turn_is_not_begun(harness: SenderHarness):
    harness.backend.gate.clear()
    commands = [harness.command(f"friend{n}", accepted=now(harness)) for n in range(10)]
    async with harness.running() as sender:
        await harness.accept(*commands)
        await harness.wait_for_sends(MAX_CONCURRENT_SENDS)
        stopping = asyncio.create_task(sender.drain(5.0))
        await asyncio.sleep(0)
        harness.backend.gate.set()
        await stopping
        assert len(harness.backend.drafts) == MAX_CONCURRENT_SENDS
    assert not [row for row in await harness.journal.commands.recover_attempts() if row.unanswered]


async def test_at_the_stop_an_attempt_that_was_marked_ahead_and_not_begun_is_in_no_doubt(
    harness: SenderHarness,
):
    friends = [f"friend{n}" for n in range(MAX_CONCURRENT_SENDS - 1)]
    harness.backend.hanging_chats |= {harness.address_book.handle(name) for name in (*friends, "mom")}
    harness.backend.gate.clear()
    async with harness.running() as sender:
        await harness.accept(*(harness.command(name, accepted=now(harness)) for name in (*friends, "wife")))
        await harness.wait_for_sends(MAX_CONCURRENT_SENDS)
        first, second = f"c{MAX_CONCURRENT_SENDS}", harness.command("wife", accepted=now(harness))
        await harness.accept(harness.command("mom", accepted=now(harness)), second)
        harness.backend.gate.set()  # the second one of the wife is marked with the result of the first, and has no place
        assert (await harness.result(first)).status is Status.SENT
        await harness.wait_for_sends(MAX_CONCURRENT_SENDS + 1)
        await sender.drain(0.05)
    doubtful = {row.command_id for row in await harness.journal.commands.recover_attempts()}
    assert second.command_id not in doubtful
    assert len(doubtful) == MAX_CONCURRENT_SENDS


# clocks


async def test_a_clock_that_is_set_ahead_does_not_expire_what_waits(
    harness: SenderHarness, monkeypatch: pytest.MonkeyPatch
):
    async with harness.running(online=False) as sender:
        await harness.accept(harness.command("mom", ttl=0.0), harness.command("wife", accepted=now(harness)))
        await harness.result("c1")  # so all that waits is in memory
        ahead = now_ms() + 24 * HOUR
        for module in (send_attempts, chat_queue):
            monkeypatch.setattr(module, "now_ms", lambda: ahead)
        sender.recheck()
        await harness.accept(harness.command("mom", ttl=0.0, accepted=ahead))
        await harness.result("c3")  # so the clock was looked at
        sender.set_online(online=True)
        assert (await harness.result("c2")).status is Status.SENT


async def test_a_clock_that_is_set_back_does_not_delay_the_expiry_of_a_command(
    harness: SenderHarness, monkeypatch: pytest.MonkeyPatch
):
    async with harness.running(online=False):
        await harness.accept(harness.command("wife", ttl=0.2, accepted=now(harness)))
        back = now_ms() - HOUR
        for module in (send_attempts, chat_queue):
            monkeypatch.setattr(module, "now_ms", lambda: back)
        assert (await harness.result("c1")).status is Status.EXPIRED


async def test_a_clock_that_was_set_back_while_the_bridge_was_stopped_gives_a_command_its_ttl_at_most(
    harness: SenderHarness,
):
    await harness.journal.commands.accept(
        [harness.command("wife", ttl=0.2, accepted=now(harness, ahead=HOUR))]
    )
    async with harness.running(online=False):
        assert (await harness.result("c1")).status is Status.EXPIRED


# attempts that certainly delivered nothing


async def test_what_did_not_arrive_is_sent_again_and_no_duplicate_is_possible(harness: SenderHarness):
    harness.backend.outcomes += [Unreachable()]
    async with harness.running():
        await harness.accept(harness.command("wife", accepted=now(harness)))
        result = await harness.result("c1")
    assert (result.status, result.duplicate_possible) == (Status.SENT, False)
    assert len(harness.backend.drafts) == 2


@pytest.mark.parametrize("outcome", [Unreachable(), OutcomeUnknown()])
async def test_the_next_attempt_comes_after_a_pause(harness: SenderHarness, outcome: BackendError):
    harness.backend.outcomes += [outcome]
    async with harness.running():
        await harness.accept(harness.command("wife", accepted=now(harness)))
        await harness.result("c1")
    first, second = harness.backend.times
    assert second - first >= 0.25


# after an outage


@pytest.fixture
def _long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes each pause after a failure longer than any test."""
    monkeypatch.setattr(Backoff, "wait", lambda self, _chance: 600.0 * bool(self.failures))


@pytest.mark.usefixtures("_long_pauses")
@pytest.mark.parametrize("outcome", [Unreachable(), OutcomeUnknown(), ProtocolViolation()])
async def test_when_the_account_is_online_again_every_chat_goes_on_at_once_and_in_order(
    harness: SenderHarness, outcome: BackendError
):
    users = ("wife", "mom", "friend0", "friend1")
    harness.backend.outcomes += [outcome] * len(users)
    async with harness.running() as sender:
        await harness.accept(
            *(harness.command(user, f"first to {user}", accepted=now(harness)) for user in users)
        )
        await harness.wait_for_sends(len(users))
        await harness.accept(
            *(harness.command(user, f"second to {user}", accepted=now(harness)) for user in users)
        )
        await harness.wait_until(
            lambda: all(queue.backoff.failures for queue in sender.waiting.queues.values())
        )
        sender.set_online(online=True)
        sent = (await harness.wait_for_sends(3 * len(users)))[len(users) :]
    for user in users:
        assert [text for text in sent if text.endswith(user)] == [f"first to {user}", f"second to {user}"]


@pytest.mark.usefixtures("_long_pauses")
async def test_without_a_connection_nothing_is_tried_and_then_all_goes_in_order(harness: SenderHarness):
    def lose_connection(_draft: Draft) -> None:
        harness.backend.has_connection = False
        raise Unreachable

    harness.backend.outcomes += [lose_connection]
    async with harness.running() as sender:
        await harness.accept(harness.command("wife", "refused", accepted=now(harness)))
        await harness.wait_for_sends(1)
        await harness.accept(harness.command("wife", "after it", accepted=now(harness)))
        await harness.accept(harness.command("mom", "meanwhile", accepted=now(harness)))
        await harness.accept(harness.command("mom", "too late", ttl=0.05, accepted=now(harness)))
        sender.recheck()
        assert (await harness.result("c4")).status is Status.EXPIRED
        assert not any(queue.backoff.failures for queue in sender.waiting.queues.values())
        harness.backend.has_connection = True
        sender.set_online(online=True)
        sent = await harness.wait_for_sends(4)
        assert [text for text in sent if text != "meanwhile"] == ["refused", "refused", "after it"]
        assert (await harness.result("c3")).status is Status.SENT
        row = await harness.journal.commands.get("c3")
    assert row is not None
    assert row.attempts == 1


@pytest.mark.parametrize(("ttl", "chance"), [(5, 60), (300, 300), (86_400, 600)])
def test_an_unanswered_attempt_may_be_repeated_for_as_long_as_its_command_was_good(ttl: int, chance: int):
    """A command with a ttl of 5 s is not wanted 10 minutes later; WeChat gets at least one minute to recover."""
    row = unanswered_row(accepted=1_000_000, expires=1_000_000 + ttl * 1000)
    assert expiry_grace_seconds(row) == chance


async def test_the_text_behind_another_is_marked_as_begun_in_the_commit_that_settles_that_one(
    harness: SenderHarness,
):
    friends = [f"friend{n}" for n in range(MAX_CONCURRENT_SENDS - 1)]
    harness.backend.hanging_chats |= {harness.address_book.handle(name) for name in (*friends, "mom")}
    harness.backend.gate.clear()
    async with harness.running():
        await harness.accept(*(harness.command(name, accepted=now(harness)) for name in (*friends, "wife")))
        await harness.wait_for_sends(MAX_CONCURRENT_SENDS)
        first, second = f"c{MAX_CONCURRENT_SENDS}", harness.command("wife", accepted=now(harness))
        await harness.accept(harness.command("mom", accepted=now(harness)), second)
        harness.backend.gate.set()  # the free slot goes to mom, so the second one of the wife cannot begin itself
        assert (await harness.result(first)).status is Status.SENT
        row = await harness.journal.commands.get(second.command_id)
    assert row is not None
    assert row.attempt_open
