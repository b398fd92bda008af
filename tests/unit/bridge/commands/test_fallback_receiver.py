"""What another account asks for is a command of this one, which does not wait and is not sent twice."""

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
from tests.unit.bridge.sender_support import SenderHarness, sender_harness
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


class Asked:
    """An account that is asked: its sender runs, and `login` has the state of its login."""

    def __init__(self, here: SenderHarness) -> None:
        self.here = here
        login = SimpleNamespace(state=LoginState.ONLINE)
        session: Any = SimpleNamespace(contacts_known=True, login=login)
        results = ResultPublications("home", Topics("wx"))
        validator = CommandValidator(here.ctx, session, Recipients(here.ctx), results)
        intake: Any = self
        self.login = login
        self.receiver = FallbackReceiver(here.ctx, session, validator, here.sender, intake)

    async def accept_fallback(self, new: NewCommand) -> AcceptResult:
        """As `CommandIntake` does it."""
        (accepted,) = await self.here.acceptance.accept([new])
        if accepted.row is not None and new.result is not None:
            self.here.sender.outcomes.record(new.command.kind, new.result, is_fallback=True)
        return accepted

    async def deliver(self, message: FallbackMessage = SMOKE, user: str = "wife") -> AlertOutcome:
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            return await self.receiver.deliver(user, message)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[SenderHarness]:
    async with sender_harness(tmp_path, "wife") as made:
        yield made


@asynccontextmanager
async def asked(here: SenderHarness, *, online: bool = True) -> AsyncIterator[Asked]:
    async with here.running(online=online):
        yield Asked(here)


def texts(here: SenderHarness) -> list[str]:
    return [draft.text for draft in here.wire.drafts]


async def stored_result(here: SenderHarness, command_id: str = "a~fallback") -> Result | None:
    row = await here.journal.commands.get(command_id)
    return None if row is None else row.result


async def test_it_is_sent_as_a_command_of_its_own_without_a_result_topic(here: SenderHarness):
    async with asked(here) as account:
        assert await account.deliver() is AlertOutcome.SENT
        row = await here.journal.commands.get("a~fallback")
        assert await here.journal.outbox.list_waiting(0, 10, ()) == []
    assert row is not None
    assert (row.command.user, row.fallback_of, row.replies) == ("wife", "office", ())
    assert texts(here) == ["smoke"]


async def test_it_has_no_fallback_itself(here: SenderHarness):
    async with asked(here) as account:
        await account.deliver()
        row = await here.journal.commands.get("a~fallback")
    assert row is not None
    assert not row.command.urgent
    assert await here.journal.commands.list_urgent() == []


async def test_what_fails_makes_nobody_failing_and_counts_in_no_figure(here: SenderHarness):
    here.wire.outcomes.append(Rejected("no"))
    async with asked(here) as account:
        assert await account.deliver() is AlertOutcome.FAILED
        assert await here.sender.outcomes.failing_users() == ()
        assert await here.journal.commands.list_failing_users(0, 10) == []
        assert (await here.journal.stats()).failed_today == 0
        assert here.ctx.counters.results["failed", "refused_by_wechat"] == 1


@pytest.mark.parametrize("user", ["nobody", "", "a/b"])
async def test_to_nobody_it_fails_and_the_journal_says_why(here: SenderHarness, user: str):
    async with asked(here) as account:
        assert await account.deliver(user=user) is AlertOutcome.FAILED
        assert (await here.journal.stats()).failed_today == 0
    result = await stored_result(here)
    assert result is not None
    assert (result.status, result.code) == (Status.REJECTED, "unknown_user")


async def test_a_shut_window_is_not_waited_for(here: SenderHarness):
    here.wire.capabilities = BOT_CAPABILITIES
    here.wire.windows[here.address_book.handle("wife")] = ReplyWindow(open=False, reason="too_long_ago")
    async with asked(here) as account:
        assert await account.deliver() is AlertOutcome.FAILED
    result = await stored_result(here)
    assert result is not None
    assert (result.status, result.code) == (Status.FAILED, "window_closed")


async def test_who_is_logged_out_is_not_asked(here: SenderHarness):
    async with asked(here, online=False) as account:
        account.login.state = LoginState.WAITING_FOR_SCAN
        assert await account.deliver() is AlertOutcome.FAILED
    assert await here.journal.commands.get("a~fallback") is None


async def test_who_stops_is_not_asked(here: SenderHarness):
    async with asked(here) as account:
        account.receiver.stop()
        assert await account.deliver() is AlertOutcome.FAILED
    assert await here.journal.commands.get("a~fallback") is None


async def test_who_has_just_started_is_waited_for(here: SenderHarness):
    async with asked(here, online=False) as account:
        account.login.state = LoginState.STARTING
        delivery = asyncio.create_task(account.deliver())
        await asyncio.sleep(0)
        assert not delivery.done()
        account.login.state = LoginState.ONLINE
        here.sender.set_online(online=True)
        account.receiver.on_login_changed()
        assert await delivery is AlertOutcome.SENT


async def test_an_attempt_without_an_answer_leaves_it_in_doubt_and_is_not_repeated(here: SenderHarness):
    here.wire.outcomes.append(OutcomeUnknown())
    async with asked(here) as account:
        assert await account.deliver() is AlertOutcome.UNCERTAIN
    assert texts(here) == ["smoke"]


async def test_what_the_recipient_may_not_see_is_in_doubt(here: SenderHarness):
    here.wire.receipts.append(Receipt(message_id=""))
    async with asked(here) as account:
        assert await account.deliver() is AlertOutcome.UNCERTAIN


async def test_what_is_not_delivered_in_time_has_failed(here: SenderHarness, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fallback_receiver, "TEXT_WAIT_SECONDS", 0.3)
    here.wire.outcomes += [Unreachable()] * 50
    async with asked(here) as account:
        assert await account.deliver() is AlertOutcome.FAILED
    result = await stored_result(here)
    assert result is not None
    assert result.status is Status.EXPIRED


async def test_what_is_not_begun_in_time_is_taken_back(here: SenderHarness, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fallback_receiver, "ALERT_TIMEOUT_SECONDS", 0.1)
    here.wire.stuck.add(here.address_book.handle("wife"))
    async with asked(here) as account:
        await here.accept(here.command("wife", "it hangs", accepted=now_ms()))
        await here.sends(1)
        assert await account.deliver() is AlertOutcome.FAILED
        assert await here.unsettled() == ["c1"]
    assert texts(here) == ["it hangs"]


async def test_what_hangs_is_in_doubt_and_ends_by_itself(
    here: SenderHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fallback_receiver, "ALERT_TIMEOUT_SECONDS", 0.1)
    here.wire.gate.clear()
    async with asked(here) as account:
        assert await account.deliver() is AlertOutcome.UNCERTAIN
        here.wire.gate.set()
        assert (await here.result("a~fallback")).status is Status.SENT


async def test_a_stop_takes_back_what_waits(here: SenderHarness):
    here.wire.stuck.add(here.address_book.handle("wife"))
    async with asked(here) as account:
        await here.accept(here.command("wife", "it hangs", accepted=now_ms()))
        await here.sends(1)
        delivery = asyncio.create_task(account.deliver())
        await here.until(lambda: here.sender.waiting.count == 2)
        account.receiver.stop()
        assert await delivery is AlertOutcome.FAILED


async def test_a_question_goes_along_and_is_that_of_the_account_that_asks(here: SenderHarness):
    asked_by = AskingCommand(account="office", row_id=11, command_id="a", user="me")
    buttons = (Button(text="Yes", key="yes"),)
    question = FallbackQuestion(asked_by=asked_by, buttons=buttons, buttons_for=60.0, buttons_from="anyone")
    async with asked(here) as account:
        assert await account.deliver(replace(SMOKE, question=question)) is AlertOutcome.SENT
        stored = await Journal(here.journal._database, "office", now_ms).questions.get("a")
        assert await here.journal.questions.list_open(now_ms(), 10) == []
    assert texts(here) == ["smoke\n1 Yes"]
    assert stored is not None
    assert (stored.account, stored.command_id, stored.user) == (here.ctx.name, "a~fallback", "wife")
    assert (stored.asked_by, stored.buttons, stored.anyone) == (asked_by, buttons, True)
    assert stored.until is not None
    assert stored.until - now_ms() <= 60_000


async def test_an_answer_that_another_account_got_is_read_from_the_journal(here: SenderHarness):
    async with asked(here) as account:
        batches: list[OutboxBatch] = []
        here.ctx.signals.outbox_changed.connect(batches.append)
        account.receiver.on_answered(OutboxBatch(last_id=7))
        assert batches == [OutboxBatch(last_id=7)]


# Asked again after a crash


async def test_what_was_sent_is_not_sent_again(here: SenderHarness):
    for _ in range(2):
        async with asked(here) as account:
            assert await account.deliver() is AlertOutcome.SENT
    assert texts(here) == ["smoke"]


async def test_what_was_on_its_way_is_in_doubt_and_not_sent_again(here: SenderHarness):
    here.wire.gate.clear()
    async with asked(here) as account:
        delivery = asyncio.create_task(account.deliver())
        await here.sends(1)
        delivery.cancel()
    here.wire.gate.set()
    async with asked(here) as account:
        assert await account.deliver() is AlertOutcome.UNCERTAIN
    assert texts(here) == ["smoke"]


async def test_what_waited_is_sent_also_when_its_time_was_over_at_the_start(here: SenderHarness):
    async with asked(here) as account:
        row = await _accepted_before(account)
        assert row.command.id == "a~fallback"
    async with asked(here) as account:
        assert await account.deliver() is AlertOutcome.SENT
        assert (await here.result("a~fallback")).status is Status.EXPIRED
        assert (await here.result("a~fallback-2")).status is Status.SENT
    assert texts(here) == ["smoke"]


async def _accepted_before(account: Asked) -> NewCommand:
    """Stores the command of an earlier process, which was killed before it sent it."""
    here = account.here
    fingerprint = fallback_receiver._fingerprint_of("wife", SMOKE)
    new = await account.receiver._new_command("a~fallback", fingerprint, "wife", SMOKE)
    new = replace(new, accepted=new.accepted - 60_000, expires=new.accepted - 50_000)
    await here.journal.commands.accept([new])
    return new


async def test_an_id_that_another_command_has_gets_a_number(here: SenderHarness):
    async with asked(here) as account:
        mine = here.command("wife", "mine", accepted=now_ms())
        await here.accept(
            replace(mine, command_id="a~fallback", command=replace(mine.command, id="a~fallback"))
        )
        assert await account.deliver() is AlertOutcome.SENT
        assert await account.deliver(replace(SMOKE, fingerprint="another one's")) is AlertOutcome.SENT
        assert await account.deliver() is AlertOutcome.SENT
    assert texts(here) == ["mine", "smoke", "smoke"]
    assert await here.journal.commands.get("a~fallback-3") is not None


async def test_it_is_not_retried_here_but_where_it_was_given(here: SenderHarness):
    here.wire.outcomes.append(Rejected("no"))
    async with asked(here) as account:
        await account.deliver()
        with pytest.raises(BadCommand) as refused:
            await here.journal.commands.retry("a~fallback", now_ms(), account.here.command("wife").key)
    assert (refused.value.message_key, refused.value.facts["account"]) == ("command_fallback", "office")
