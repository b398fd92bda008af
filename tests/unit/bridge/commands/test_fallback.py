"""An urgent command that WeChat has not taken in time goes out by its fallback, once; its result says so."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.contexts import changed
from tests.unit.bridge.sender_harness import SenderHarness, open_sender_harness
from wx2mqtt.bridge.commands import fallback, fallback_ways
from wx2mqtt.bridge.commands.fallback import MAX_CONCURRENT_ALERTS
from wx2mqtt.bridge.commands.fallback_queue import MAX_ALERTS_PER_MINUTE
from wx2mqtt.bridge.commands.fallback_states import Stage
from wx2mqtt.bridge.fallback_accounts import FallbackMessage, FallbackQuestion
from wx2mqtt.clock import Lease, boot_time, now_ms
from wx2mqtt.errors import OutcomeUnknown, Rejected, Unreachable
from wx2mqtt.external.alerts import Alert, AlertOutcome
from wx2mqtt.model import AskingCommand, Button, Receipt, ReplyWindow, Status
from wx2mqtt.settings.schema import Fallback, Web
from wx2mqtt.wechat.ilink.protocol.endpoints import CAPABILITIES as BOT_CAPABILITIES

SOON = 0.05
URL = "tgram://123456:secret/42"


class FakeServices:
    """Stands in for apprise: keeps the alerts, and returns the outcomes that the test has set."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.urls: Sequence[str] = ()
        self.outcomes: deque[AlertOutcome] = deque()
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    def have_received(self, count: int) -> Callable[[], bool]:
        return lambda: len(self.alerts) >= count

    async def __call__(self, urls: Sequence[str], alarm: Alert) -> AlertOutcome:
        self.alerts.append(alarm)
        self.urls = urls
        self.asked.set()
        await self.gate.wait()
        return self.outcomes.popleft() if self.outcomes else AlertOutcome.SENT


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[SenderHarness]:
    async with open_sender_harness(tmp_path, "wife") as harness:
        harness.fallback = Fallback(after=SOON, urls=(URL,))
        yield harness


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> FakeServices:
    harness = FakeServices()
    monkeypatch.setattr(fallback_ways, "send_alert", harness)
    return harness


def urgent_command(harness: SenderHarness, text: str = "smoke", **more: Any) -> Any:
    new = harness.command("wife", text, accepted=now_ms())
    return replace(new, command=replace(new.command, **{"urgent": True, **more}))


async def test_what_wechat_has_not_taken_in_time_goes_out_by_the_fallback_and_not_to_wechat_later(
    harness: SenderHarness, services: FakeServices
):
    async with harness.running(online=False) as sender:
        await harness.accept(urgent_command(harness))
        result = await harness.result("c1")
        sender.set_online(online=True)
        await harness.accept(harness.command("wife", "other", accepted=now_ms()))
        await harness.result("c2")
    assert (result.status, result.code, result.fallback) == (Status.EXPIRED, "logged_out", "sent")
    assert result.message.startswith(f"not sent within fallback.after ({SOON:g} s): ")
    assert [alert.body for alert in services.alerts] == ["smoke"]
    assert services.urls == (URL,)
    assert [draft.text for draft in harness.backend.drafts] == ["other"]


async def test_what_wechat_takes_in_time_does_not_go_out_by_the_fallback(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=600, urls=(URL,))
    async with harness.running():
        await harness.accept(urgent_command(harness))
        result = await harness.result("c1")
        await harness.accept(harness.command("wife", "other", accepted=now_ms()))
        await harness.result("c2")
        assert not has_scheduled_alert(harness)
    assert (result.status, result.fallback) == (Status.SENT, "")
    assert not services.alerts


def has_scheduled_alert(harness: SenderHarness) -> bool:
    return any(command.stage is Stage.SCHEDULED for command in harness.sender.fallback._commands.values())


@pytest.mark.parametrize("more", [{"urgent": False}, {"urgent": False, "priority": "high"}])
async def test_only_an_urgent_command_goes_out_by_the_fallback(
    harness: SenderHarness, services: FakeServices, more: dict[str, Any]
):
    async with harness.running(online=False):
        await harness.accept(urgent_command(harness, **more), urgent_command(harness))
        await harness.result("c2")
        assert await harness.waiting_ids() == ["c1"]
    assert len(services.alerts) == 1


async def test_without_an_address_urgent_ones_wait_like_all(harness: SenderHarness, services: FakeServices):
    harness.fallback = Fallback(after=SOON)
    async with harness.running(online=False) as sender:
        await harness.accept(urgent_command(harness))
        sender.set_online(online=True)
        result = await harness.result("c1")
    assert (result.status, result.fallback) == (Status.SENT, "")


@pytest.mark.parametrize("outcome", list(AlertOutcome))
async def test_the_result_says_what_became_of_it(
    harness: SenderHarness, services: FakeServices, outcome: AlertOutcome
):
    services.outcomes.append(outcome)
    async with harness.running(online=False):
        await harness.accept(urgent_command(harness))
        result = await harness.result("c1")
    assert (result.status, result.fallback) == (Status.EXPIRED, str(outcome))
    assert len(services.alerts) == 1


async def test_a_row_that_is_older_than_its_delivery_starts_no_second_one(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=0, urls=(URL,))
    async with harness.running(online=False) as sender:
        delivered = asyncio.Event()
        sender.fallback.delivered.connect(delivered.set)
        await harness.wait_until(lambda: not sender.waiting.can_load)
        accepted = await harness.journal.commands.accept([urgent_command(harness)])
        row = accepted[0].row
        assert row is not None
        sender.fallback.schedule(row)  # as the start does with a command that is not in its queue yet
        await asyncio.wait_for(delivered.wait(), MAX_WAIT_SECONDS)
        sender.add(row)
        result = await harness.result("c1")
    assert (result.status, result.fallback) == (Status.EXPIRED, "sent")
    assert len(services.alerts) == 1


async def test_with_also_wechat_the_result_follows_the_attempt_at_wechat(
    harness: SenderHarness, services: FakeServices
):
    async with harness.running(online=False) as sender:
        await harness.accept(urgent_command(harness, also_wechat=True))
        await services.asked.wait()
        assert await harness.waiting_ids() == ["c1"]
        sender.set_online(online=True)
        result = await harness.result("c1")
    assert (result.status, result.code, result.fallback) == (Status.SENT, "ok", "sent")
    assert len(services.alerts) == 1


async def test_a_fallback_because_of_a_closed_reply_window_names_the_window_in_its_result(
    harness: SenderHarness, services: FakeServices
):
    harness.backend.capabilities = replace(harness.backend.capabilities, has_reply_window=True)
    harness.backend.windows[harness.address_book.handle("wife")] = ReplyWindow(
        open=False, reason="quota_used"
    )
    async with harness.running():
        await harness.accept(urgent_command(harness))
        result = await harness.result("c1")
    assert (result.status, result.code, result.fallback) == (Status.EXPIRED, "quota_used", "sent")


async def test_an_alert_that_ends_while_its_command_begins_to_wait_for_the_window_counts(
    harness: SenderHarness, services: FakeServices, monkeypatch: pytest.MonkeyPatch
):
    harness.backend.capabilities = replace(harness.backend.capabilities, has_reply_window=True)
    harness.backend.windows[harness.address_book.handle("wife")] = ReplyWindow(
        open=False, reason="quota_used"
    )
    async with harness.running() as sender:
        delivered, wait_for_window = asyncio.Event(), harness.journal.commands.wait_for_window
        sender.fallback.delivered.connect(delivered.set)

        async def wait_for_alert(*arguments: Any) -> Any:
            await delivered.wait()
            return await wait_for_window(*arguments)

        monkeypatch.setattr(harness.journal.commands, "wait_for_window", wait_for_alert)
        await harness.accept(urgent_command(harness))
        result = await harness.result("c1")
    assert (result.status, result.code, result.fallback) == (Status.EXPIRED, "quota_used", "sent")


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [([Rejected("no")], Status.FAILED), ([OutcomeUnknown(), OutcomeUnknown()], Status.UNCERTAIN)],
)
async def test_an_urgent_command_that_fails_before_its_fallback_is_due_goes_out_by_it(
    harness: SenderHarness, services: FakeServices, outcomes: list[Any], status: Status
):
    harness.fallback = Fallback(after=600, urls=(URL,))
    harness.backend.outcomes += outcomes
    async with harness.running():
        await harness.accept(urgent_command(harness))
        result = await harness.result("c1")
    assert (result.status, result.fallback) == (status, "sent")


async def test_an_urgent_command_that_expires_before_its_fallback_is_due_goes_out_by_it(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=600, urls=(URL,))
    async with harness.running(online=False):
        new = urgent_command(harness)
        await harness.accept(replace(new, expires=new.accepted + 50))
        result = await harness.result("c1")
    assert (result.status, result.fallback) == (Status.EXPIRED, "sent")


async def test_the_fallback_does_not_wait_for_a_send_that_hangs_and_the_status_is_that_of_the_send(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=600, urls=(URL,))
    harness.backend.gate.clear()
    async with harness.running() as sender:
        await harness.accept(urgent_command(harness))
        await harness.wait_for_sends(1)
        row = await harness.journal.commands.get("c1")
        assert row is not None
        sender.fallback._on_timer(row)
        await asyncio.wait_for(services.asked.wait(), MAX_WAIT_SECONDS)
        harness.backend.gate.set()
        result = await harness.result("c1")
    assert (result.status, result.code, result.fallback) == (Status.SENT, "ok", "sent")
    assert len(harness.backend.drafts) == 1


async def test_the_time_until_the_fallback_counts_from_acceptance_also_after_a_restart(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=3600, urls=(URL,))
    new = urgent_command(harness)
    async with harness.running(online=False):
        await harness.accept(replace(new, accepted=now_ms() - 1_800_000, expires=now_ms() + 10**6))
        assert not services.alerts
    harness.fallback = Fallback(after=1800, urls=(URL,))
    async with harness.running(online=False):
        assert (await harness.result("c1")).fallback == "sent"


async def test_a_crash_in_the_attempt_sends_it_again_and_says_that_nobody_knows(
    harness: SenderHarness, services: FakeServices
):
    services.gate.clear()
    async with harness.running(online=False):
        await harness.accept(urgent_command(harness))
        await services.asked.wait()
    services.gate.set()
    harness.fallback = Fallback(after=3600, urls=(URL,))
    async with harness.running(online=False):
        result = await harness.result("c1")
    assert (result.status, result.fallback) == (Status.EXPIRED, "uncertain")
    assert len(services.alerts) == 2


async def test_a_crash_between_its_end_and_the_result_sends_nothing_again(
    harness: SenderHarness, services: FakeServices
):
    async with harness.running(online=False):
        await harness.accept(urgent_command(harness, also_wechat=True))
        await asyncio.wait_for(services.asked.wait(), MAX_WAIT_SECONDS)
        await harness.wait_until(lambda: not harness.sender.fallback.deliveries)
    async with harness.running():
        result = await harness.result("c1")
    assert (result.status, result.fallback) == (Status.SENT, "sent")
    assert len(services.alerts) == 1


async def test_undelivered_attempts_do_not_delay_the_fallback(harness: SenderHarness, services: FakeServices):
    harness.backend.outcomes += [Unreachable()] * 50
    async with harness.running():
        await harness.accept(urgent_command(harness))
        result = await harness.result("c1")
    assert result.fallback == "sent"
    assert result.status is Status.EXPIRED


async def test_a_dropped_command_does_not_go_out_by_the_fallback(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=600, urls=(URL,))
    async with harness.running(online=False) as sender:
        await harness.accept(urgent_command(harness))
        row = await harness.journal.commands.get("c1")
        assert row is not None
        from wx2mqtt.bridge.commands.results import final_result

        dropped = final_result(row, Status.FAILED, "dropped", "")
        await harness.journal.commands.drop("c1", dropped, [])
        sender.remove(row, dropped)
        sender.fallback._on_timer(row)
        await harness.wait_until(lambda: not sender.fallback.deliveries)
    assert not services.alerts


def test_the_urls_of_the_fallback_are_not_shown_in_a_repr():
    assert "secret" not in repr(Fallback(urls=(URL,)))


# many at once


async def test_a_flood_becomes_few_alerts_and_every_result_says_what_became_of_it(
    harness: SenderHarness, services: FakeServices
):
    count = 300
    harness.fallback = Fallback(after=0, urls=(URL,))
    async with harness.running(online=False):
        await harness.accept(*(urgent_command(harness, f"flood {number}") for number in range(count)))
        results = [await harness.result(f"c{number}") for number in range(1, count + 1)]
    assert {(result.status, result.fallback) for result in results} == {(Status.EXPIRED, "sent")}
    assert len(services.alerts) <= MAX_ALERTS_PER_MINUTE
    summarized = [result.summarized for result in results if result.summarized]
    assert len(summarized) + len(services.alerts) > count  # one alert each, or a summary
    assert sum(summarized) >= len(summarized) * 2
    assert any(f"{number} urgent" in result.message for result in results for number in summarized[:1])


async def test_few_alerts_are_under_way_and_an_alarm_behind_a_flood_is_in_the_next_one(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=0, urls=(URL,))
    services.gate.clear()  # the service hangs
    async with harness.running(online=False):
        for number in range(MAX_CONCURRENT_ALERTS):
            await harness.accept(urgent_command(harness, f"first {number}"))
            await harness.wait_until(services.have_received(number + 1))
        await harness.accept(
            *(urgent_command(harness, f"flood {number}") for number in range(100)),
            urgent_command(harness, "fire"),
        )
        await harness.wait_until(lambda: len(harness.sender.fallback._due) == 101)
        assert len(harness.sender.fallback.deliveries) == MAX_CONCURRENT_ALERTS
        services.gate.set()
        result = await harness.result("c105")
    assert (result.fallback, result.summarized) == ("sent", 101)
    assert len(services.alerts) == MAX_CONCURRENT_ALERTS + 1
    assert services.alerts[-1].title == "wx2mqtt home: 101 urgent messages"
    assert "wife: fire" in services.alerts[-1].body.splitlines()
    assert len(services.alerts[-1].body) < 1200


async def test_a_minute_has_so_many_alerts_and_what_comes_then_waits_for_the_next_one(
    harness: SenderHarness, services: FakeServices, monkeypatch: pytest.MonkeyPatch
):
    clock = [1000.0]
    monkeypatch.setattr(fallback, "loop_time", lambda: clock[0])
    harness.fallback = Fallback(after=0, urls=(URL,))
    async with harness.running(online=False) as sender:
        for number in range(MAX_ALERTS_PER_MINUTE):
            await harness.accept(urgent_command(harness, f"{number}"))
            await harness.result(f"c{number + 1}")
        await harness.accept(urgent_command(harness, "later"), urgent_command(harness, "and later"))
        await harness.wait_until(lambda: len(sender.fallback._due) == 2)
        assert len(services.alerts) == MAX_ALERTS_PER_MINUTE
        clock[0] += 61
        sender.fallback._start_alerts()
        results = [await harness.result(f"c{MAX_ALERTS_PER_MINUTE + number}") for number in (1, 2)]
    assert [(result.fallback, result.summarized) for result in results] == [("sent", None)] * 2


async def test_a_chat_goes_on_while_the_fallback_of_one_of_its_commands_hangs(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=600, urls=(URL,))
    harness.backend.outcomes.append(Rejected("no"))
    services.gate.clear()
    async with harness.running():
        await harness.accept(urgent_command(harness))
        await asyncio.wait_for(services.asked.wait(), MAX_WAIT_SECONDS)
        await harness.accept(harness.command("wife", "other", accepted=now_ms()))
        assert (await harness.result("c2")).status is Status.SENT
        new = harness.command("wife", "late", accepted=now_ms())
        harness.sender.set_online(online=False)
        await harness.accept(replace(new, expires=new.accepted + 50))
        assert (await harness.result("c3")).status is Status.EXPIRED
        assert await harness.waiting_ids() == ["c1"]
        services.gate.set()
        result = await harness.result("c1")
    assert (result.status, result.fallback) == (Status.FAILED, "sent")
    assert [draft.text for draft in harness.backend.drafts] == ["smoke", "other"]


async def test_a_crash_in_a_summary_sends_it_again_and_says_that_nobody_knows(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=0, urls=(URL,))
    services.gate.clear()
    async with harness.running(online=False):
        await harness.accept(*(urgent_command(harness, f"{number}") for number in range(30)))
        await harness.wait_until(lambda: any("urgent" in alert.title for alert in services.alerts))
    before = len(services.alerts)
    services.gate.set()
    async with harness.running(online=False):
        results = [await harness.result(f"c{number}") for number in range(1, 31)]
    assert {result.fallback for result in results} == {"uncertain"}
    assert len(services.alerts) - before <= MAX_ALERTS_PER_MINUTE


# another owner


async def change_owner(harness: SenderHarness) -> None:
    await harness.journal.open()
    await harness.journal.owner.remember("webwx", "1")
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await harness.sender.change_owner("webwx", "2")


async def test_an_urgent_command_of_the_previous_owner_goes_out_by_the_fallback_before_it_ends(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=600, urls=(URL,))
    async with harness.running(online=False):
        await harness.accept(
            urgent_command(harness),
            urgent_command(harness, "news", urgent=False),
            urgent_command(harness, "fire"),
        )
        await change_owner(harness)
        results = [await harness.result(f"c{number}") for number in (1, 2, 3)]
        assert not has_scheduled_alert(harness)
    assert [(result.status, result.code) for result in results] == [(Status.FAILED, "other_account")] * 3
    assert [result.fallback for result in results] == ["sent", "", "sent"]
    assert "fallback" in results[0].message
    assert sorted(alert.body for alert in services.alerts) == ["fire", "smoke"]
    assert not harness.backend.drafts


async def test_no_queue_ends_what_the_fallback_sends_for_another_owner(
    harness: SenderHarness, services: FakeServices
):
    """A queue that is loaded meanwhile finds the command sent, and must leave its result to the new owner."""
    harness.fallback = Fallback(after=600, urls=(URL,))
    services.gate.clear()
    async with harness.running(online=False):
        await harness.accept(urgent_command(harness))
        changing_owner = asyncio.create_task(change_owner(harness))
        await asyncio.wait_for(services.asked.wait(), MAX_WAIT_SECONDS)
        (row,) = await harness.journal.commands.list_urgent()
        assert not harness.sender.fallback.replaces_wechat(replace(row, fallback="sent"))
        services.gate.set()
        await changing_owner
        result = await harness.result("c1")
    assert (result.status, result.code, result.fallback) == (Status.FAILED, "other_account", "sent")


async def test_an_urgent_command_that_comes_while_the_owner_changes_goes_out_by_the_fallback_too(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=600, urls=(URL,))
    services.gate.clear()
    async with harness.running(online=False):
        await harness.accept(urgent_command(harness))
        changing_owner = asyncio.create_task(change_owner(harness))
        await asyncio.wait_for(services.asked.wait(), MAX_WAIT_SECONDS)
        await harness.accept(urgent_command(harness, "fire"))
        services.gate.set()
        await changing_owner
        results = [await harness.result(f"c{number}") for number in (1, 2)]
    assert [(result.code, result.fallback) for result in results] == [("other_account", "sent")] * 2
    assert [alert.body for alert in services.alerts] == ["smoke", "fire"]


async def test_what_has_gone_out_by_the_fallback_does_not_go_out_again_for_another_owner(
    harness: SenderHarness, services: FakeServices
):
    async with harness.running(online=False):
        await harness.accept(urgent_command(harness, also_wechat=True))
        await asyncio.wait_for(services.asked.wait(), MAX_WAIT_SECONDS)
        await harness.wait_until(lambda: not harness.sender.fallback.deliveries)
        await change_owner(harness)
        result = await harness.result("c1")
    assert (result.code, result.fallback) == ("other_account", "sent")
    assert len(services.alerts) == 1


async def test_without_an_address_the_commands_of_the_previous_owner_just_end(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=SOON)
    async with harness.running(online=False):
        await harness.accept(urgent_command(harness))
        await change_owner(harness)
        result = await harness.result("c1")
    assert (result.code, result.fallback) == ("other_account", "")
    assert not services.alerts


async def test_the_end_of_a_login_is_an_alert_once_for_each_login_and_day(
    harness: SenderHarness, services: FakeServices, monkeypatch: pytest.MonkeyPatch
):
    clock = [1000.0]
    monkeypatch.setattr(fallback, "loop_time", lambda: clock[0])
    harness.backend.capabilities = BOT_CAPABILITIES
    async with harness.running(online=False) as sender:
        pages = ("", "https://house.example/wx")
        for page, later in zip(pages, (0.0, fallback.LOGIN_ALERT_INTERVAL_SECONDS), strict=True):
            clock[0] += later
            harness.ctx.settings = changed(harness.ctx.settings, web=Web(url=page or None))
            for _ in range(3):
                sender.fallback.report_login_end("the login has ended.")
            await asyncio.gather(*sender.fallback.deliveries)
    assert [alert.body for alert in services.alerts] == [
        "the login has ended; log in again on the page of the bridge",
        "the login has ended; log in again: https://house.example/wx",
    ]
    assert {alert.title for alert in services.alerts} == {"wx2mqtt home: log in again"}


# other accounts


class FakeAccounts:
    """Stands in for the other accounts: keeps the messages, and returns the outcome of each account."""

    def __init__(self, **answers: AlertOutcome) -> None:
        self.answers = answers
        self.asked: list[tuple[str, FallbackMessage]] = []

    async def deliver(self, recipient: str, message: FallbackMessage) -> AlertOutcome:
        self.asked.append((recipient, message))
        return self.answers[recipient.partition("/")[0]]


SENT, FAILED, UNCERTAIN = AlertOutcome.SENT, AlertOutcome.FAILED, AlertOutcome.UNCERTAIN


@pytest.mark.parametrize(
    ("office", "shop", "services_outcome", "expected"),
    [
        (SENT, SENT, None, ("sent", "office/me")),
        (FAILED, SENT, None, ("sent", "shop/me")),
        (UNCERTAIN, SENT, None, ("sent", "shop/me")),
        (FAILED, FAILED, SENT, ("sent", "")),
        (UNCERTAIN, FAILED, SENT, ("sent", "office/me")),
        (FAILED, FAILED, FAILED, ("failed", "")),
        (FAILED, FAILED, UNCERTAIN, ("uncertain", "")),
        (UNCERTAIN, FAILED, FAILED, ("uncertain", "office/me")),
        (UNCERTAIN, UNCERTAIN, FAILED, ("uncertain", "shop/me")),
    ],
)
async def test_accounts_are_asked_in_their_order_and_then_the_services(
    harness: SenderHarness,
    services: FakeServices,
    office: AlertOutcome,
    shop: AlertOutcome,
    services_outcome: AlertOutcome | None,
    expected: tuple[str, str],
):
    harness.fallback = Fallback(after=SOON, accounts=("office/me", "shop/me"), urls=(URL,))
    services.outcomes += [services_outcome] if services_outcome else []
    async with harness.running(online=False):
        accounts = use_accounts(harness, FakeAccounts(office=office, shop=shop))
        await harness.accept(urgent_command(harness))
        result = await harness.result("c1")
    assert (result.fallback, result.fallback_account) == expected
    assert [recipient for recipient, _ in accounts.asked] == ["office/me", "shop/me"][
        : 1 + (office is not SENT)
    ]
    assert len(services.alerts) == bool(services_outcome)


def use_accounts(harness: SenderHarness, accounts: FakeAccounts) -> FakeAccounts:
    harness.ctx.shared = replace(harness.ctx.shared, fallback_accounts=accounts)  # type: ignore[arg-type]
    return accounts


async def test_an_account_alone_is_a_fallback_and_gets_the_text_as_it_is(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=SOON, accounts=("office/me",))
    async with harness.running(online=False):
        accounts = use_accounts(harness, FakeAccounts(office=SENT))
        await harness.accept(urgent_command(harness))
        result = await harness.result("c1")
    assert (result.fallback, result.fallback_account, result.summarized) == ("sent", "office/me", None)
    ((_, message),) = accounts.asked
    assert (message.account, message.command_id, message.kind, message.text) == (
        "home",
        "c1",
        "text",
        "smoke",
    )
    assert not services.alerts


async def test_after_a_crash_an_account_is_asked_with_the_same_message_and_its_outcome_counts(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=SOON, accounts=("office/me",))
    reached, never = asyncio.Event(), asyncio.Event()
    messages: list[FallbackMessage] = []

    class HangingAccounts(FakeAccounts):
        async def deliver(self, recipient: str, message: FallbackMessage) -> AlertOutcome:
            messages.append(message)
            reached.set()
            await never.wait()
            raise AssertionError

    async with harness.running(online=False):
        use_accounts(harness, HangingAccounts())
        await harness.accept(urgent_command(harness))
        await asyncio.wait_for(reached.wait(), MAX_WAIT_SECONDS)
    harness.fallback = Fallback(after=3600, accounts=("office/me",), urls=(URL,))
    async with harness.running(online=False):
        accounts = use_accounts(harness, FakeAccounts(office=SENT))
        result = await harness.result("c1")
    assert (result.fallback, result.fallback_account) == ("sent", "office/me")
    assert [message for _, message in accounts.asked] == messages
    assert not services.alerts


async def test_a_summary_goes_to_an_account_with_its_title(harness: SenderHarness, services: FakeServices):
    harness.fallback = Fallback(after=0, accounts=("office/me",))
    count = MAX_ALERTS_PER_MINUTE + 1
    async with harness.running(online=False):
        accounts = use_accounts(harness, FakeAccounts(office=SENT))
        await harness.accept(*(urgent_command(harness, f"flood {number}") for number in range(count)))
        results = [await harness.result(f"c{number}") for number in range(1, count + 1)]
    assert {(result.fallback, result.fallback_account) for result in results} == {("sent", "office/me")}
    assert {result.summarized for result in results} == {count}
    ((_, message),) = accounts.asked
    assert message.text.startswith(f"wx2mqtt home: {count} urgent messages\nwife: flood 0\n")
    assert message.command_id == "c1"


async def test_buttons_go_along_to_an_account_and_not_in_a_summary(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=0, accounts=("office/me",))
    buttons = (Button(text="Yes", key="yes"),)
    async with harness.running(online=False):
        accounts = use_accounts(harness, FakeAccounts(office=SENT))
        await harness.accept(
            urgent_command(harness, "lock?", buttons=buttons, buttons_for=60.0, buttons_from="anyone")
        )
        await harness.result("c1")
        flood = [urgent_command(harness, "lock?", buttons=buttons) for _ in range(MAX_ALERTS_PER_MINUTE)]
        await harness.accept(*flood)
        await harness.result("c2")
        row = await harness.journal.commands.get("c1")
    (_, alone), (_, summary) = accounts.asked
    assert row is not None
    assert alone.text == "lock?"
    assert alone.question == FallbackQuestion(
        asked_by=AskingCommand(account="home", row_id=row.id, command_id="c1", user="wife"),
        buttons=buttons,
        buttons_for=60.0,
        buttons_from="anyone",
    )
    assert (summary.command_id, summary.question) == ("c2", None)


async def test_what_wechat_took_without_a_message_id_goes_out_by_the_fallback_as_well(
    harness: SenderHarness, services: FakeServices
):
    harness.backend.receipts.append(Receipt(message_id=""))
    harness.fallback = Fallback(after=600, urls=(URL,))
    async with harness.running():
        await harness.accept(urgent_command(harness))
        result = await harness.result("c1")
    assert (result.status, result.code, result.fallback) == (Status.SENT, "unconfirmed", "sent")
    assert len(harness.backend.drafts) == 1


async def test_the_outcome_of_each_way_of_the_fallback_is_counted(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback(after=SOON, accounts=("office/me",), urls=(URL,))
    async with harness.running(online=False):
        use_accounts(harness, FakeAccounts(office=FAILED))
        await harness.accept(urgent_command(harness))
        await harness.result("c1")
        assert harness.ctx.counters.fallbacks == {("account", "failed"): 1, ("services", "sent"): 1}


async def test_without_services_the_end_of_a_login_is_no_alert(
    harness: SenderHarness, services: FakeServices
):
    harness.fallback = Fallback()
    harness.backend.capabilities = BOT_CAPABILITIES
    async with harness.running(online=False) as sender:
        sender.fallback.report_login_end("the login has ended.")
        assert not sender.fallback.deliveries
    assert services.alerts == []


async def test_without_a_lease_an_alert_waits_until_it_is_certain_that_no_other_process_sends_it(
    harness: SenderHarness, services: FakeServices
):
    harness.backend.capabilities = BOT_CAPABILITIES
    lease = Lease(600)
    async with harness.running(online=False) as sender:
        harness.ctx.shared = replace(harness.ctx.shared, lease=lease)
        sender.fallback.report_login_end("the login has ended.")
        _, pending = await asyncio.wait(sender.fallback.deliveries, timeout=0)
        assert pending
        assert services.alerts == []
        lease.renew(boot_time())
        await asyncio.gather(*sender.fallback.deliveries)
    assert len(services.alerts) == 1
