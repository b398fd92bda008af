"""A message that another account cannot deliver becomes a command of this one, which is not sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.sender_harness import SenderHarness, open_sender_harness
from wx2mqtt.bridge.commands import fallback_receiver
from wx2mqtt.bridge.commands.fallback_receiver import FallbackReceiver
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.commands.validation import CommandValidator
from wx2mqtt.bridge.fallback_accounts import FallbackMessage, FallbackQuestion
from wx2mqtt.bridge.recipients import Recipients
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand, OutcomeUnknown, Rejected, Unreachable
from wx2mqtt.external.alerts import AlertOutcome
from wx2mqtt.model import AskingCommand, Button, LoginState, Receipt, ReplyWindow, Result, Status
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.command_records import AcceptResult, NewCommand
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.records import OutboxBatch
from wx2mqtt.wechat.ilink.protocol.endpoints import CAPABILITIES as BOT_CAPABILITIES

SMOKE = FallbackMessage(account="office", command_id="a", fingerprint="office's", text="smoke")


class ReceivingAccount:
    """The account that is asked to deliver; its sender runs, and `login` has the state of its login."""

    def __init__(self, harness: SenderHarness) -> None:
        self.harness = harness
        login = SimpleNamespace(state=LoginState.ONLINE)
        session: Any = SimpleNamespace(contacts_known=True, login=login)
        results = ResultPublications("home", Topics("wx"))
        validator = CommandValidator(harness.ctx, session, Recipients(harness.ctx), results)
        intake: Any = self
        self.login = login
        self.receiver = FallbackReceiver(harness.ctx, session, validator, harness.sender, intake)

    async def accept_fallback(self, new: NewCommand) -> AcceptResult:
        """Accepts as `CommandIntake` does."""
        (accepted,) = await self.harness.acceptance.accept([new])
        if accepted.row is not None and new.result is not None:
            self.harness.sender.outcomes.record(new.command.kind, new.result, is_fallback=True)
        return accepted

    async def deliver(self, message: FallbackMessage = SMOKE, user: str = "wife") -> AlertOutcome:
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            return await self.receiver.deliver(user, message)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[SenderHarness]:
    async with open_sender_harness(tmp_path, "wife") as harness:
        yield harness


@asynccontextmanager
async def receiving_account(
    harness: SenderHarness, *, online: bool = True
) -> AsyncIterator[ReceivingAccount]:
    async with harness.running(online=online):
        yield ReceivingAccount(harness)


def sent_texts(harness: SenderHarness) -> list[str]:
    return [draft.text for draft in harness.backend.drafts]


async def stored_result(harness: SenderHarness, command_id: str = "a~fallback") -> Result | None:
    row = await harness.journal.commands.get(command_id)
    return None if row is None else row.result


async def test_a_fallback_message_is_sent_as_a_command_of_its_own_without_a_result_topic(
    harness: SenderHarness,
):
    async with receiving_account(harness) as account:
        assert await account.deliver() is AlertOutcome.SENT
        row = await harness.journal.commands.get("a~fallback")
        assert await harness.journal.outbox.list_waiting(0, 10, ()) == []
    assert row is not None
    assert (row.command.user, row.fallback_of, row.replies) == ("wife", "office", ())
    assert sent_texts(harness) == ["smoke"]


async def test_a_fallback_message_has_no_fallback_itself(harness: SenderHarness):
    async with receiving_account(harness) as account:
        await account.deliver()
        row = await harness.journal.commands.get("a~fallback")
    assert row is not None
    assert not row.command.urgent
    assert await harness.journal.commands.list_urgent() == []


async def test_what_fails_makes_nobody_failing_and_counts_in_no_figure(harness: SenderHarness):
    harness.backend.outcomes.append(Rejected("no"))
    async with receiving_account(harness) as account:
        assert await account.deliver() is AlertOutcome.FAILED
        assert await harness.sender.outcomes.failing_users() == ()
        assert await harness.journal.commands.list_failing_users(0, 10) == []
        assert (await harness.journal.stats()).failed_today == 0
        assert harness.ctx.counters.results["failed", "refused_by_wechat"] == 1


@pytest.mark.parametrize("user", ["nobody", "", "a/b"])
async def test_a_fallback_message_to_nobody_fails_and_the_journal_says_why(harness: SenderHarness, user: str):
    async with receiving_account(harness) as account:
        assert await account.deliver(user=user) is AlertOutcome.FAILED
        assert (await harness.journal.stats()).failed_today == 0
    result = await stored_result(harness)
    assert result is not None
    assert (result.status, result.code) == (Status.REJECTED, "unknown_user")


async def test_a_fallback_message_does_not_wait_for_a_closed_reply_window(harness: SenderHarness):
    harness.backend.capabilities = BOT_CAPABILITIES
    harness.backend.windows[harness.address_book.handle("wife")] = ReplyWindow(
        open=False, reason="too_long_ago"
    )
    async with receiving_account(harness) as account:
        assert await account.deliver() is AlertOutcome.FAILED
    result = await stored_result(harness)
    assert result is not None
    assert (result.status, result.code) == (Status.FAILED, "window_closed")


async def test_an_account_without_a_connection_delivers_no_fallback_message(harness: SenderHarness):
    harness.backend.has_connection = False
    async with receiving_account(harness) as account:
        assert await account.deliver() is AlertOutcome.FAILED
    assert await stored_result(harness) is None


async def test_an_account_that_is_logged_out_delivers_no_fallback_message(harness: SenderHarness):
    async with receiving_account(harness, online=False) as account:
        account.login.state = LoginState.WAITING_FOR_SCAN
        assert await account.deliver() is AlertOutcome.FAILED
    assert await harness.journal.commands.get("a~fallback") is None


async def test_an_account_that_stops_delivers_no_fallback_message(harness: SenderHarness):
    async with receiving_account(harness) as account:
        account.receiver.stop()
        assert await account.deliver() is AlertOutcome.FAILED
    assert await harness.journal.commands.get("a~fallback") is None


async def test_an_account_that_has_just_started_is_waited_for(harness: SenderHarness):
    async with receiving_account(harness, online=False) as account:
        account.login.state = LoginState.STARTING
        delivery = asyncio.create_task(account.deliver())
        await asyncio.sleep(0)
        assert not delivery.done()
        account.login.state = LoginState.ONLINE
        harness.sender.set_online(online=True)
        account.receiver.on_login_changed()
        assert await delivery is AlertOutcome.SENT


async def test_an_attempt_without_an_answer_leaves_it_in_doubt_and_is_not_repeated(harness: SenderHarness):
    harness.backend.outcomes.append(OutcomeUnknown())
    async with receiving_account(harness) as account:
        assert await account.deliver() is AlertOutcome.UNCERTAIN
    assert sent_texts(harness) == ["smoke"]


async def test_what_the_recipient_may_not_see_is_in_doubt(harness: SenderHarness):
    harness.backend.receipts.append(Receipt(message_id=""))
    async with receiving_account(harness) as account:
        assert await account.deliver() is AlertOutcome.UNCERTAIN


async def test_what_is_not_delivered_in_time_has_failed(
    harness: SenderHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fallback_receiver, "TEXT_WAIT_SECONDS", 0.3)
    harness.backend.outcomes += [Unreachable()] * 50
    async with receiving_account(harness) as account:
        assert await account.deliver() is AlertOutcome.FAILED
    result = await stored_result(harness)
    assert result is not None
    assert result.status is Status.EXPIRED


async def test_a_fallback_message_whose_send_has_not_begun_in_time_is_withdrawn(
    harness: SenderHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fallback_receiver, "ALERT_TIMEOUT_SECONDS", 0.1)
    harness.backend.hanging_chats.add(harness.address_book.handle("wife"))
    async with receiving_account(harness) as account:
        await harness.accept(harness.command("wife", "it hangs", accepted=now_ms()))
        await harness.wait_for_sends(1)
        assert await account.deliver() is AlertOutcome.FAILED
        assert await harness.waiting_ids() == ["c1"]
    assert sent_texts(harness) == ["it hangs"]


async def test_a_fallback_message_whose_send_hangs_is_in_doubt_and_ends_by_itself(
    harness: SenderHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fallback_receiver, "ALERT_TIMEOUT_SECONDS", 0.1)
    harness.backend.gate.clear()
    async with receiving_account(harness) as account:
        assert await account.deliver() is AlertOutcome.UNCERTAIN
        harness.backend.gate.set()
        assert (await harness.result("a~fallback")).status is Status.SENT


async def test_a_stop_takes_back_what_waits(harness: SenderHarness):
    harness.backend.hanging_chats.add(harness.address_book.handle("wife"))
    async with receiving_account(harness) as account:
        await harness.accept(harness.command("wife", "it hangs", accepted=now_ms()))
        await harness.wait_for_sends(1)
        delivery = asyncio.create_task(account.deliver())
        await harness.wait_until(lambda: harness.sender.waiting.count == 2)
        account.receiver.stop()
        assert await delivery is AlertOutcome.FAILED


async def test_a_question_goes_along_and_is_that_of_the_account_that_asks(harness: SenderHarness):
    asked_by = AskingCommand(account="office", row_id=11, command_id="a", user="me")
    buttons = (Button(text="Yes", key="yes"),)
    question = FallbackQuestion(asked_by=asked_by, buttons=buttons, buttons_for=60.0, buttons_from="anyone")
    async with receiving_account(harness) as account:
        assert await account.deliver(replace(SMOKE, question=question)) is AlertOutcome.SENT
        stored = await Journal(harness.journal._database, "office", now_ms).questions.get("a")
        assert await harness.journal.questions.list_open(now_ms(), 10) == []
    assert sent_texts(harness) == ["smoke\n1 Yes"]
    assert stored is not None
    assert (stored.account, stored.command_id, stored.user) == (harness.ctx.name, "a~fallback", "wife")
    assert (stored.asked_by, stored.buttons, stored.anyone) == (asked_by, buttons, True)
    assert stored.until is not None
    assert stored.until - now_ms() <= 60_000


async def test_an_answer_that_another_account_got_is_read_from_the_journal(harness: SenderHarness):
    async with receiving_account(harness) as account:
        batches: list[OutboxBatch] = []
        harness.ctx.signals.outbox_changed.connect(batches.append)
        account.receiver.on_answered(OutboxBatch(last_id=7))
        assert batches == [OutboxBatch(last_id=7)]


# Asked again after a crash


async def test_a_fallback_message_that_was_sent_is_not_sent_again(harness: SenderHarness):
    for _ in range(2):
        async with receiving_account(harness) as account:
            assert await account.deliver() is AlertOutcome.SENT
    assert sent_texts(harness) == ["smoke"]


async def test_what_was_on_its_way_is_in_doubt_and_not_sent_again(harness: SenderHarness):
    harness.backend.gate.clear()
    async with receiving_account(harness) as account:
        delivery = asyncio.create_task(account.deliver())
        await harness.wait_for_sends(1)
        delivery.cancel()
    harness.backend.gate.set()
    async with receiving_account(harness) as account:
        assert await account.deliver() is AlertOutcome.UNCERTAIN
    assert sent_texts(harness) == ["smoke"]


async def test_what_waited_is_sent_also_when_its_time_was_over_at_the_start(harness: SenderHarness):
    async with receiving_account(harness) as account:
        row = await _accepted_before(account)
        assert row.command.id == "a~fallback"
    async with receiving_account(harness) as account:
        assert await account.deliver() is AlertOutcome.SENT
        assert (await harness.result("a~fallback")).status is Status.EXPIRED
        assert (await harness.result("a~fallback-2")).status is Status.SENT
    assert sent_texts(harness) == ["smoke"]


async def _accepted_before(account: ReceivingAccount) -> NewCommand:
    """Stores the command of an earlier process, which was killed before it sent it."""
    harness = account.harness
    fingerprint = fallback_receiver._fingerprint_of("wife", SMOKE)
    new = await account.receiver._new_command("a~fallback", fingerprint, "wife", SMOKE)
    new = replace(new, accepted=new.accepted - 60_000, expires=new.accepted - 50_000)
    await harness.journal.commands.accept([new])
    return new


async def test_an_id_that_another_command_has_gets_a_number(harness: SenderHarness):
    async with receiving_account(harness) as account:
        mine = harness.command("wife", "mine", accepted=now_ms())
        await harness.accept(
            replace(mine, command_id="a~fallback", command=replace(mine.command, id="a~fallback"))
        )
        assert await account.deliver() is AlertOutcome.SENT
        assert await account.deliver(replace(SMOKE, fingerprint="another one's")) is AlertOutcome.SENT
        assert await account.deliver() is AlertOutcome.SENT
    assert sent_texts(harness) == ["mine", "smoke", "smoke"]
    assert await harness.journal.commands.get("a~fallback-3") is not None


async def test_a_failed_fallback_message_can_be_sent_again_only_in_the_account_that_asked_for_it(
    harness: SenderHarness,
):
    harness.backend.outcomes.append(Rejected("no"))
    async with receiving_account(harness) as account:
        await account.deliver()
        with pytest.raises(BadCommand) as refused:
            await harness.journal.commands.retry("a~fallback", now_ms(), account.harness.command("wife").key)
    assert (refused.value.message_key, refused.value.facts["account"]) == ("command_fallback", "office")
