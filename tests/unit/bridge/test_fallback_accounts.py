"""Which accounts of the process can be asked to send in place of another one."""

from __future__ import annotations

import asyncio

from tests.support.pauseless_loop import run_without_pauses
from wx2mqtt.bridge.fallback_accounts import START_WAIT_SECONDS, FallbackAccounts, FallbackMessage
from wx2mqtt.clock import loop_time
from wx2mqtt.external.alerts import AlertOutcome
from wx2mqtt.store.records import OutboxBatch

MESSAGE = FallbackMessage(account="home", command_id="a", fingerprint="f", text="smoke")


class Account:
    """Takes everything."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answers: list[OutboxBatch] = []

    async def deliver(self, user: str, message: FallbackMessage) -> AlertOutcome:
        self.asked.append((user, message.text))
        return AlertOutcome.SENT

    def on_answered(self, batch: OutboxBatch) -> None:
        self.answers.append(batch)


def test_an_account_is_asked_for_one_of_its_users() -> None:
    async def story() -> None:
        accounts, office = FallbackAccounts(), Account()
        accounts.add("office", office)
        assert await accounts.deliver("office/张三", MESSAGE) is AlertOutcome.SENT
        assert office.asked == [("张三", "smoke")]

    run_without_pauses(story())


def test_one_that_is_still_to_be_built_is_waited_for() -> None:
    async def story() -> None:
        accounts, office = FallbackAccounts(), Account()
        asyncio.get_running_loop().call_later(START_WAIT_SECONDS / 2, accounts.add, "office", office)
        assert await accounts.deliver("office/me", MESSAGE) is AlertOutcome.SENT

    run_without_pauses(story())


def test_one_that_never_comes_is_not_waited_for_longer() -> None:
    async def story() -> None:
        started_at = loop_time()
        assert await FallbackAccounts().deliver("office/me", MESSAGE) is AlertOutcome.FAILED
        assert loop_time() - started_at == START_WAIT_SECONDS

    run_without_pauses(story())


def test_one_that_has_stopped_is_not_waited_for_until_it_begins_again() -> None:
    async def story() -> None:
        accounts, office, again = FallbackAccounts(), Account(), Account()
        accounts.add("office", office)
        accounts.remove("office", office)
        started_at = loop_time()
        assert await accounts.deliver("office/me", MESSAGE) is AlertOutcome.FAILED
        assert loop_time() == started_at
        accounts.add("office", again)
        accounts.remove("office", office)  # the old one ends late
        assert await accounts.deliver("office/me", MESSAGE) is AlertOutcome.SENT

    run_without_pauses(story())


def test_an_answer_is_told_to_the_account_that_asks_while_it_runs() -> None:
    accounts, home = FallbackAccounts(), Account()
    accounts.add("home", home)
    accounts.on_answered("home", OutboxBatch(last_id=7))
    accounts.on_answered("office", OutboxBatch(last_id=8))
    accounts.remove("home", home)
    accounts.on_answered("home", OutboxBatch(last_id=9))
    assert home.answers == [OutboxBatch(last_id=7)]
