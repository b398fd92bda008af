"""Which accounts of the process can be asked to send in place of another one."""

from __future__ import annotations

import asyncio

from tests.support.pauseless_loop import run_without_pauses
from wx2mqtt.bridge.fallback_accounts import START_WAIT_SECONDS, FallbackAccounts, FallbackMessage
from wx2mqtt.clock import loop_time
from wx2mqtt.external.alerts import AlertOutcome
from wx2mqtt.store.records import OutboxBatch

MESSAGE = FallbackMessage(account="home", command_id="a", fingerprint="f", text="smoke")


class FakeAccount:
    """An account that accepts every message."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answers: list[OutboxBatch] = []

    async def deliver(self, user: str, message: FallbackMessage) -> AlertOutcome:
        self.asked.append((user, message.text))
        return AlertOutcome.SENT

    def on_answered(self, batch: OutboxBatch) -> None:
        self.answers.append(batch)


def test_a_fallback_message_is_delivered_by_the_account_in_its_recipient() -> None:
    async def scenario() -> None:
        accounts, office = FallbackAccounts(), FakeAccount()
        accounts.add("office", office)
        assert await accounts.deliver("office/张三", MESSAGE) is AlertOutcome.SENT
        assert office.asked == [("张三", "smoke")]

    run_without_pauses(scenario())


def test_an_account_that_is_not_built_yet_is_waited_for() -> None:
    async def scenario() -> None:
        accounts, office = FallbackAccounts(), FakeAccount()
        asyncio.get_running_loop().call_later(START_WAIT_SECONDS / 2, accounts.add, "office", office)
        assert await accounts.deliver("office/me", MESSAGE) is AlertOutcome.SENT

    run_without_pauses(scenario())


def test_an_account_that_is_never_built_is_waited_for_only_so_long() -> None:
    async def scenario() -> None:
        started_at = loop_time()
        assert await FallbackAccounts().deliver("office/me", MESSAGE) is AlertOutcome.FAILED
        assert loop_time() - started_at == START_WAIT_SECONDS

    run_without_pauses(scenario())


def test_an_account_that_has_stopped_is_not_waited_for() -> None:
    async def scenario() -> None:
        accounts, office, again = FallbackAccounts(), FakeAccount(), FakeAccount()
        accounts.add("office", office)
        accounts.remove("office", office)
        started_at = loop_time()
        assert await accounts.deliver("office/me", MESSAGE) is AlertOutcome.FAILED
        assert loop_time() == started_at
        accounts.add("office", again)
        accounts.remove("office", office)  # the old one ends late
        assert await accounts.deliver("office/me", MESSAGE) is AlertOutcome.SENT

    run_without_pauses(scenario())


def test_an_answer_is_reported_to_the_asking_account_while_that_runs() -> None:
    accounts, home = FallbackAccounts(), FakeAccount()
    accounts.add("home", home)
    accounts.on_answered("home", OutboxBatch(last_id=7))
    accounts.on_answered("office", OutboxBatch(last_id=8))
    accounts.remove("home", home)
    accounts.on_answered("home", OutboxBatch(last_id=9))
    assert home.answers == [OutboxBatch(last_id=7)]
