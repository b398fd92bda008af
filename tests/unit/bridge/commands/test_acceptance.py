"""The attempt of a command that can be sent at once begins in the commit that accepts it, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.bridge.sender_harness import SenderHarness, open_sender_harness
from wx2mqtt.bridge.commands.sender import MAX_CONCURRENT_SENDS, CommandSender
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreFull
from wx2mqtt.model import Status
from wx2mqtt.store.command_records import AcceptOutcome, DeliveryMark, NewCommand

FRIENDS = [f"friend{n}" for n in range(MAX_CONCURRENT_SENDS + 1)]


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[SenderHarness]:
    async with open_sender_harness(tmp_path, "wife", "mom", *FRIENDS) as harness:
        yield harness


@asynccontextmanager
async def idle_sender(harness: SenderHarness) -> AsyncIterator[CommandSender]:
    """Runs a sender that has loaded the journal and has nothing to do."""
    async with harness.running() as sender:
        first = command_to(harness, "mom")
        await harness.accept(first)
        assert (await harness.result(first.command_id)).status is Status.SENT
        harness.backend.drafts.clear()
        yield sender


def command_to(harness: SenderHarness, user: str) -> NewCommand:
    return harness.command(user, accepted=now_ms())


async def users_begun(harness: SenderHarness, *commands: NewCommand) -> list[str]:
    """Accepts commands, and returns the users whose attempt began in the same commit; nothing is sent."""
    accepted = [result.row for result in await harness.acceptance.accept(commands)]
    return [row.command.user for row in accepted if row is not None and row.attempt_open]


async def test_a_command_in_calm_is_begun_with_its_acceptance(
    harness: SenderHarness, monkeypatch: pytest.MonkeyPatch
):
    async def no_commit_of_its_own(_row_id: int) -> None:
        raise AssertionError

    async with idle_sender(harness):
        monkeypatch.setattr(harness.journal.commands, "begin_attempt", no_commit_of_its_own)
        harness.backend.gate.clear()
        command = command_to(harness, "wife")
        await harness.accept(command)
        await harness.wait_for_sends(1)
        row = await harness.journal.commands.get(command.command_id)
        assert row is not None
        assert (row.attempt_open, row.attempts) == (True, 1)
        harness.backend.gate.set()
        result = await harness.result(command.command_id)
        assert (result.status, result.duplicate_possible) == (Status.SENT, False)


async def test_only_the_first_of_a_chat_is_begun_and_no_more_chats_than_are_sent_to(harness: SenderHarness):
    async with idle_sender(harness):
        commands = [command_to(harness, user) for user in (*FRIENDS, *FRIENDS)]
        assert await users_begun(harness, *commands) == FRIENDS[:MAX_CONCURRENT_SENDS]


async def test_what_waits_behind_another_of_its_chat_is_not_begun(harness: SenderHarness):
    async with idle_sender(harness):
        harness.backend.gate.clear()
        await harness.accept(command_to(harness, "wife"))
        await harness.wait_for_sends(1)
        assert await users_begun(harness, command_to(harness, "wife"), command_to(harness, "mom")) == ["mom"]


@pytest.mark.parametrize("reason", ["offline", "expired", "urgent", "redelivered"])
async def test_what_may_not_go_at_once_is_not_begun(harness: SenderHarness, reason: str):
    async with idle_sender(harness) as sender:
        command = command_to(harness, "wife")
        match reason:
            case "offline":
                sender.set_online(online=False)
            case "expired":
                command = replace(command, expires=now_ms() - 1)
            case "urgent":
                command = replace(command, command=replace(command.command, urgent=True))
            case "redelivered":
                command = replace(command, delivery=redelivered())
        assert await users_begun(harness, command) == []


def redelivered() -> DeliveryMark:
    return DeliveryMark(broker_session=1, packet_id=1, topic="wx/out/wife", digest=b"a", dup=True)


async def test_nothing_is_begun_before_the_journal_was_read(harness: SenderHarness):
    """Commands that an earlier process has accepted may have to be sent before this one."""
    async with harness.running():
        assert await users_begun(harness, command_to(harness, "wife")) == []


async def test_who_begins_counts_against_the_rate_limit(harness: SenderHarness):
    harness.per_minute, harness.burst = 0.001, 3
    async with idle_sender(harness):
        assert await users_begun(harness, *(command_to(harness, user) for user in FRIENDS)) == FRIENDS[:2]


async def test_what_is_not_stored_or_was_stored_before_gives_its_token_back(harness: SenderHarness):
    harness.per_minute, harness.burst = 0.001, 2
    async with idle_sender(harness) as sender:
        known = (await harness.journal.commands.list_newest())[0]
        again = replace(
            command_to(harness, "wife"), command_id=known.command_id, fingerprint=known.fingerprint
        )
        (accepted,) = await harness.acceptance.accept([again])
        assert accepted.outcome is AcceptOutcome.REPEAT
        with pytest.MonkeyPatch.context() as disk:
            disk.setattr(harness.journal.commands, "accept", raise_store_full)
            with pytest.raises(StoreFull):
                await harness.acceptance.accept([command_to(harness, "wife")])
        assert sender.limits.bucket.seconds_until_token() == 0
        assert await users_begun(harness, command_to(harness, "wife")) == ["wife"]
        assert sender.limits.bucket.seconds_until_token() > 0


async def raise_store_full(_new: object) -> None:
    raise StoreFull


async def test_a_stop_waits_for_the_commit_and_leaves_nothing_in_doubt(
    harness: SenderHarness, monkeypatch: pytest.MonkeyPatch
):
    accept, committed, go_on = harness.journal.commands.accept, asyncio.Event(), asyncio.Event()

    async def accept_slowly(new: list[NewCommand]) -> object:
        accepted = await accept(new)
        committed.set()
        await go_on.wait()
        return accepted

    async with idle_sender(harness) as sender:
        monkeypatch.setattr(harness.journal.commands, "accept", accept_slowly)
        command = command_to(harness, "wife")
        accepting = asyncio.create_task(harness.accept(command))
        await committed.wait()
        stopping = asyncio.create_task(sender.drain(5.0))
        await asyncio.sleep(0)
        go_on.set()
        await accepting
        await stopping
        assert harness.backend.drafts == []
    assert await harness.journal.commands.recover_attempts() == []
    assert await harness.waiting_ids() == [command.command_id]
