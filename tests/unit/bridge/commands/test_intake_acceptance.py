"""The attempt of a command that can be sent at once begins in the commit that accepts it, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.bridge.sender_support import SenderHarness, sender_harness
from wx2mqtt.bridge.commands.sender import MAX_CONCURRENT_SENDS, CommandSender
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreFull
from wx2mqtt.model import Status
from wx2mqtt.store.command_records import AcceptOutcome, DeliveryMark, NewCommand

FRIENDS = [f"friend{n}" for n in range(MAX_CONCURRENT_SENDS + 1)]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[SenderHarness]:
    async with sender_harness(tmp_path, "wife", "mom", *FRIENDS) as made:
        yield made


@asynccontextmanager
async def in_calm(here: SenderHarness) -> AsyncIterator[CommandSender]:
    """A sender that has loaded what the journal had, and has nothing to do."""
    async with here.running() as sender:
        first = fresh(here, "mom")
        await here.accept(first)
        assert (await here.result(first.command_id)).status is Status.SENT
        here.wire.drafts.clear()
        yield sender


def fresh(here: SenderHarness, user: str) -> NewCommand:
    return here.command(user, accepted=now_ms())


async def started(here: SenderHarness, *commands: NewCommand) -> list[str]:
    """The users whose command was marked as begun with its acceptance; nothing is sent."""
    accepted = [one.row for one in await here.acceptance.accept(commands)]
    return [row.command.user for row in accepted if row is not None and row.attempt_open]


async def test_a_command_in_calm_is_begun_with_its_acceptance(
    here: SenderHarness, monkeypatch: pytest.MonkeyPatch
):
    async def no_commit_of_its_own(_row_id: int) -> None:
        raise AssertionError

    async with in_calm(here):
        monkeypatch.setattr(here.journal.commands, "begin_attempt", no_commit_of_its_own)
        here.wire.gate.clear()
        command = fresh(here, "wife")
        await here.accept(command)
        await here.sends(1)
        row = await here.journal.commands.get(command.command_id)
        assert row is not None
        assert (row.attempt_open, row.attempts) == (True, 1)
        here.wire.gate.set()
        result = await here.result(command.command_id)
        assert (result.status, result.duplicate_possible) == (Status.SENT, False)


async def test_only_the_first_of_a_chat_is_begun_and_no_more_chats_than_are_sent_to(here: SenderHarness):
    async with in_calm(here):
        commands = [fresh(here, user) for user in (*FRIENDS, *FRIENDS)]
        assert await started(here, *commands) == FRIENDS[:MAX_CONCURRENT_SENDS]


async def test_what_waits_behind_another_of_its_chat_is_not_begun(here: SenderHarness):
    async with in_calm(here):
        here.wire.gate.clear()
        await here.accept(fresh(here, "wife"))
        await here.sends(1)
        assert await started(here, fresh(here, "wife"), fresh(here, "mom")) == ["mom"]


@pytest.mark.parametrize("reason", ["offline", "expired", "urgent", "redelivered"])
async def test_what_may_not_go_at_once_is_not_begun(here: SenderHarness, reason: str):
    async with in_calm(here) as sender:
        command = fresh(here, "wife")
        match reason:
            case "offline":
                sender.set_online(online=False)
            case "expired":
                command = replace(command, expires=now_ms() - 1)
            case "urgent":
                command = replace(command, command=replace(command.command, urgent=True))
            case "redelivered":
                command = replace(command, delivery=redelivered())
        assert await started(here, command) == []


def redelivered() -> DeliveryMark:
    return DeliveryMark(broker_session=1, packet_id=1, topic="wx/out/wife", digest=b"a", dup=True)


async def test_nothing_is_begun_before_the_journal_was_read(here: SenderHarness):
    """Commands of the last run of the process may come before this one."""
    async with here.running():
        assert await started(here, fresh(here, "wife")) == []


async def test_who_begins_counts_against_the_rate_limit(here: SenderHarness):
    here.per_minute, here.burst = 0.001, 3
    async with in_calm(here):
        assert await started(here, *(fresh(here, user) for user in FRIENDS)) == FRIENDS[:2]


async def test_what_is_not_stored_or_was_stored_before_gives_its_token_back(here: SenderHarness):
    here.per_minute, here.burst = 0.001, 2
    async with in_calm(here) as sender:
        known = (await here.journal.commands.list_newest())[0]
        again = replace(fresh(here, "wife"), command_id=known.command_id, fingerprint=known.fingerprint)
        (accepted,) = await here.acceptance.accept([again])
        assert accepted.outcome is AcceptOutcome.REPEAT
        with pytest.MonkeyPatch.context() as disk:
            disk.setattr(here.journal.commands, "accept", full)
            with pytest.raises(StoreFull):
                await here.acceptance.accept([fresh(here, "wife")])
        assert sender.limits.bucket.seconds_until_token() == 0
        assert await started(here, fresh(here, "wife")) == ["wife"]
        assert sender.limits.bucket.seconds_until_token() > 0


async def full(_new: object) -> None:
    raise StoreFull


async def test_a_stop_waits_for_the_commit_and_leaves_nothing_in_doubt(
    here: SenderHarness, monkeypatch: pytest.MonkeyPatch
):
    accept, committed, go_on = here.journal.commands.accept, asyncio.Event(), asyncio.Event()

    async def slowly(new: list[NewCommand]) -> object:
        accepted = await accept(new)
        committed.set()
        await go_on.wait()
        return accepted

    async with in_calm(here) as sender:
        monkeypatch.setattr(here.journal.commands, "accept", slowly)
        command = fresh(here, "wife")
        accepting = asyncio.create_task(here.accept(command))
        await committed.wait()
        stopping = asyncio.create_task(sender.drain(5.0))
        await asyncio.sleep(0)
        go_on.set()
        await accepting
        await stopping
        assert here.wire.drafts == []
    assert await here.journal.commands.recover_attempts() == []
    assert await here.unsettled() == [command.command_id]
