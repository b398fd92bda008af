"""What must not wait goes another way: once, in time, marked before, and the result says what became of it."""

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
from tests.unit.bridge.sender_support import SenderHarness, sender_harness
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


class Services:
    """What stands for apprise: keeps what it is told, and does what the test wrote down."""

    def __init__(self) -> None:
        self.told: list[Alert] = []
        self.urls: Sequence[str] = ()
        self.outcomes: deque[AlertOutcome] = deque()
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    def have_been_told(self, count: int) -> Callable[[], bool]:
        return lambda: len(self.told) >= count

    async def __call__(self, urls: Sequence[str], alarm: Alert) -> AlertOutcome:
        self.told.append(alarm)
        self.urls = urls
        self.asked.set()
        await self.gate.wait()
        return self.outcomes.popleft() if self.outcomes else AlertOutcome.SENT


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[SenderHarness]:
    async with sender_harness(tmp_path, "wife") as made:
        made.fallback = Fallback(after=SOON, urls=(URL,))
        yield made


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    made = Services()
    monkeypatch.setattr(fallback_ways, "send_alert", made)
    return made


def asked(here: SenderHarness, text: str = "smoke", **more: Any) -> Any:
    new = here.command("wife", text, accepted=now_ms())
    return replace(new, command=replace(new.command, **{"urgent": True, **more}))


async def test_what_wechat_has_not_taken_in_time_goes_the_other_way_and_not_to_wechat_later(
    here: SenderHarness, services: Services
):
    async with here.running(online=False) as sender:
        await here.accept(asked(here))
        result = await here.result("c1")
        sender.set_online(online=True)
        await here.accept(here.command("wife", "other", accepted=now_ms()))
        await here.result("c2")
    assert (result.status, result.code, result.fallback) == (Status.EXPIRED, "logged_out", "sent")
    assert result.message.startswith(f"not sent within fallback.after ({SOON:g} s): ")
    assert [one.body for one in services.told] == ["smoke"]
    assert services.urls == (URL,)
    assert [draft.text for draft in here.wire.drafts] == ["other"]


async def test_what_wechat_takes_in_time_goes_no_other_way(here: SenderHarness, services: Services):
    here.fallback = Fallback(after=600, urls=(URL,))
    async with here.running():
        await here.accept(asked(here))
        result = await here.result("c1")
        await here.accept(here.command("wife", "other", accepted=now_ms()))
        await here.result("c2")
        assert not sender_waits(here)
    assert (result.status, result.fallback) == (Status.SENT, "")
    assert not services.told


def sender_waits(here: SenderHarness) -> bool:
    return any(one.stage is Stage.SCHEDULED for one in here.sender.fallback._commands.values())


@pytest.mark.parametrize("more", [{"urgent": False}, {"urgent": False, "priority": "high"}])
async def test_only_what_is_urgent_does(here: SenderHarness, services: Services, more: dict[str, Any]):
    async with here.running(online=False):
        await here.accept(asked(here, **more), asked(here))
        await here.result("c2")
        assert await here.unsettled() == ["c1"]
    assert len(services.told) == 1


async def test_without_an_address_urgent_ones_wait_like_all(here: SenderHarness, services: Services):
    here.fallback = Fallback(after=SOON)
    async with here.running(online=False) as sender:
        await here.accept(asked(here))
        sender.set_online(online=True)
        result = await here.result("c1")
    assert (result.status, result.fallback) == (Status.SENT, "")


@pytest.mark.parametrize("outcome", list(AlertOutcome))
async def test_the_result_says_what_became_of_it(
    here: SenderHarness, services: Services, outcome: AlertOutcome
):
    services.outcomes.append(outcome)
    async with here.running(online=False):
        await here.accept(asked(here))
        result = await here.result("c1")
    assert (result.status, result.fallback) == (Status.EXPIRED, str(outcome))
    assert len(services.told) == 1


async def test_a_row_that_is_older_than_its_delivery_starts_no_second_one(
    here: SenderHarness, services: Services
):
    here.fallback = Fallback(after=0, urls=(URL,))
    async with here.running(online=False) as sender:
        delivered = asyncio.Event()
        sender.fallback.delivered.connect(delivered.set)
        await here.until(lambda: not sender.waiting.can_load)
        accepted = await here.journal.commands.accept([asked(here)])
        row = accepted[0].row
        assert row is not None
        sender.fallback.schedule(row)  # as the start does with a command that is not in its queue yet
        await asyncio.wait_for(delivered.wait(), MAX_WAIT_SECONDS)
        sender.add(row)
        result = await here.result("c1")
    assert (result.status, result.fallback) == (Status.EXPIRED, "sent")
    assert len(services.told) == 1


async def test_with_also_wechat_the_result_follows_the_attempt_at_wechat(
    here: SenderHarness, services: Services
):
    async with here.running(online=False) as sender:
        await here.accept(asked(here, also_wechat=True))
        await services.asked.wait()
        assert await here.unsettled() == ["c1"]
        sender.set_online(online=True)
        result = await here.result("c1")
    assert (result.status, result.code, result.fallback) == (Status.SENT, "ok", "sent")
    assert len(services.told) == 1


async def test_a_window_that_is_shut_is_why(here: SenderHarness, services: Services):
    here.wire.capabilities = replace(here.wire.capabilities, has_reply_window=True)
    here.wire.windows[here.address_book.handle("wife")] = ReplyWindow(open=False, reason="quota_used")
    async with here.running():
        await here.accept(asked(here))
        result = await here.result("c1")
    assert (result.status, result.code, result.fallback) == (Status.EXPIRED, "quota_used", "sent")


async def test_an_alert_that_ends_while_its_command_begins_to_wait_for_the_window_counts(
    here: SenderHarness, services: Services, monkeypatch: pytest.MonkeyPatch
):
    here.wire.capabilities = replace(here.wire.capabilities, has_reply_window=True)
    here.wire.windows[here.address_book.handle("wife")] = ReplyWindow(open=False, reason="quota_used")
    async with here.running() as sender:
        delivered, hold = asyncio.Event(), here.journal.commands.wait_for_window
        sender.fallback.delivered.connect(delivered.set)

        async def slowly(*arguments: Any) -> Any:
            await delivered.wait()
            return await hold(*arguments)

        monkeypatch.setattr(here.journal.commands, "wait_for_window", slowly)
        await here.accept(asked(here))
        result = await here.result("c1")
    assert (result.status, result.code, result.fallback) == (Status.EXPIRED, "quota_used", "sent")


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [([Rejected("no")], Status.FAILED), ([OutcomeUnknown(), OutcomeUnknown()], Status.UNCERTAIN)],
)
async def test_what_ends_earlier_without_having_been_taken_goes_the_other_way_then(
    here: SenderHarness, services: Services, outcomes: list[Any], status: Status
):
    here.fallback = Fallback(after=600, urls=(URL,))
    here.wire.outcomes += outcomes
    async with here.running():
        await here.accept(asked(here))
        result = await here.result("c1")
    assert (result.status, result.fallback) == (status, "sent")


async def test_what_expires_earlier_does_too(here: SenderHarness, services: Services):
    here.fallback = Fallback(after=600, urls=(URL,))
    async with here.running(online=False):
        new = asked(here)
        await here.accept(replace(new, expires=new.accepted + 50))
        result = await here.result("c1")
    assert (result.status, result.fallback) == (Status.EXPIRED, "sent")


async def test_it_does_not_wait_for_a_server_that_hangs_and_the_status_stays_the_truth(
    here: SenderHarness, services: Services
):
    here.fallback = Fallback(after=600, urls=(URL,))
    here.wire.gate.clear()
    async with here.running() as sender:
        await here.accept(asked(here))
        await here.sends(1)
        row = await here.journal.commands.get("c1")
        assert row is not None
        sender.fallback._on_timer(row)
        await asyncio.wait_for(services.asked.wait(), MAX_WAIT_SECONDS)
        here.wire.gate.set()
        result = await here.result("c1")
    assert (result.status, result.code, result.fallback) == (Status.SENT, "ok", "sent")
    assert len(here.wire.drafts) == 1


async def test_its_time_counts_from_acceptance_also_over_a_restart(here: SenderHarness, services: Services):
    here.fallback = Fallback(after=3600, urls=(URL,))
    new = asked(here)
    async with here.running(online=False):
        await here.accept(replace(new, accepted=now_ms() - 1_800_000, expires=now_ms() + 10**6))
        assert not services.told
    here.fallback = Fallback(after=1800, urls=(URL,))
    async with here.running(online=False):
        assert (await here.result("c1")).fallback == "sent"


async def test_a_crash_in_the_attempt_sends_it_again_and_says_that_nobody_knows(
    here: SenderHarness, services: Services
):
    services.gate.clear()
    async with here.running(online=False):
        await here.accept(asked(here))
        await services.asked.wait()
    services.gate.set()
    here.fallback = Fallback(after=3600, urls=(URL,))
    async with here.running(online=False):
        result = await here.result("c1")
    assert (result.status, result.fallback) == (Status.EXPIRED, "uncertain")
    assert len(services.told) == 2


async def test_a_crash_between_its_end_and_the_result_sends_nothing_again(
    here: SenderHarness, services: Services
):
    async with here.running(online=False):
        await here.accept(asked(here, also_wechat=True))
        await asyncio.wait_for(services.asked.wait(), MAX_WAIT_SECONDS)
        await here.until(lambda: not here.sender.fallback.deliveries)
    async with here.running():
        result = await here.result("c1")
    assert (result.status, result.fallback) == (Status.SENT, "sent")
    assert len(services.told) == 1


async def test_refusals_that_pass_do_not_hold_it_up(here: SenderHarness, services: Services):
    here.wire.outcomes += [Unreachable()] * 50
    async with here.running():
        await here.accept(asked(here))
        result = await here.result("c1")
    assert result.fallback == "sent"
    assert result.status is Status.EXPIRED


async def test_what_nobody_wants_any_more_is_not_sent(here: SenderHarness, services: Services):
    here.fallback = Fallback(after=600, urls=(URL,))
    async with here.running(online=False) as sender:
        await here.accept(asked(here))
        row = await here.journal.commands.get("c1")
        assert row is not None
        from wx2mqtt.bridge.commands.results import final_result

        dropped = final_result(row, Status.FAILED, "dropped", "")
        await here.journal.commands.drop("c1", dropped, [])
        sender.remove(row, dropped)
        sender.fallback._on_timer(row)
        await here.until(lambda: not sender.fallback.deliveries)
    assert not services.told


def test_its_addresses_show_nowhere():
    assert "secret" not in repr(Fallback(urls=(URL,)))


# many at once


async def test_a_flood_becomes_few_alerts_and_every_result_says_what_became_of_it(
    here: SenderHarness, services: Services
):
    count = 300
    here.fallback = Fallback(after=0, urls=(URL,))
    async with here.running(online=False):
        await here.accept(*(asked(here, f"flood {number}") for number in range(count)))
        results = [await here.result(f"c{number}") for number in range(1, count + 1)]
    assert {(result.status, result.fallback) for result in results} == {(Status.EXPIRED, "sent")}
    assert len(services.told) <= MAX_ALERTS_PER_MINUTE
    summarized = [result.summarized for result in results if result.summarized]
    assert len(summarized) + len(services.told) > count  # one alert each, or a summary
    assert sum(summarized) >= len(summarized) * 2
    assert any(f"{number} urgent" in result.message for result in results for number in summarized[:1])


async def test_few_alerts_are_under_way_and_an_alarm_behind_a_flood_is_in_the_next_one(
    here: SenderHarness, services: Services
):
    here.fallback = Fallback(after=0, urls=(URL,))
    services.gate.clear()  # the service hangs
    async with here.running(online=False):
        for number in range(MAX_CONCURRENT_ALERTS):
            await here.accept(asked(here, f"first {number}"))
            await here.until(services.have_been_told(number + 1))
        await here.accept(*(asked(here, f"flood {number}") for number in range(100)), asked(here, "fire"))
        await here.until(lambda: len(here.sender.fallback._due) == 101)
        assert len(here.sender.fallback.deliveries) == MAX_CONCURRENT_ALERTS
        services.gate.set()
        result = await here.result("c105")
    assert (result.fallback, result.summarized) == ("sent", 101)
    assert len(services.told) == MAX_CONCURRENT_ALERTS + 1
    assert services.told[-1].title == "wx2mqtt home: 101 urgent messages"
    assert "wife: fire" in services.told[-1].body.splitlines()
    assert len(services.told[-1].body) < 1200


async def test_a_minute_has_so_many_alerts_and_what_comes_then_waits_for_the_next_one(
    here: SenderHarness, services: Services, monkeypatch: pytest.MonkeyPatch
):
    clock = [1000.0]
    monkeypatch.setattr(fallback, "loop_time", lambda: clock[0])
    here.fallback = Fallback(after=0, urls=(URL,))
    async with here.running(online=False) as sender:
        for number in range(MAX_ALERTS_PER_MINUTE):
            await here.accept(asked(here, f"{number}"))
            await here.result(f"c{number + 1}")
        await here.accept(asked(here, "later"), asked(here, "and later"))
        await here.until(lambda: len(sender.fallback._due) == 2)
        assert len(services.told) == MAX_ALERTS_PER_MINUTE
        clock[0] += 61
        sender.fallback._start_alerts()
        results = [await here.result(f"c{MAX_ALERTS_PER_MINUTE + number}") for number in (1, 2)]
    assert [(result.fallback, result.summarized) for result in results] == [("sent", None)] * 2


async def test_a_chat_goes_on_while_the_fallback_of_one_of_its_commands_hangs(
    here: SenderHarness, services: Services
):
    here.fallback = Fallback(after=600, urls=(URL,))
    here.wire.outcomes.append(Rejected("no"))
    services.gate.clear()
    async with here.running():
        await here.accept(asked(here))
        await asyncio.wait_for(services.asked.wait(), MAX_WAIT_SECONDS)
        await here.accept(here.command("wife", "other", accepted=now_ms()))
        assert (await here.result("c2")).status is Status.SENT
        new = here.command("wife", "late", accepted=now_ms())
        here.sender.set_online(online=False)
        await here.accept(replace(new, expires=new.accepted + 50))
        assert (await here.result("c3")).status is Status.EXPIRED
        assert await here.unsettled() == ["c1"]
        services.gate.set()
        result = await here.result("c1")
    assert (result.status, result.fallback) == (Status.FAILED, "sent")
    assert [draft.text for draft in here.wire.drafts] == ["smoke", "other"]


async def test_a_crash_in_a_summary_sends_it_again_and_says_that_nobody_knows(
    here: SenderHarness, services: Services
):
    here.fallback = Fallback(after=0, urls=(URL,))
    services.gate.clear()
    async with here.running(online=False):
        await here.accept(*(asked(here, f"{number}") for number in range(30)))
        await here.until(lambda: any("urgent" in alert.title for alert in services.told))
    before = len(services.told)
    services.gate.set()
    async with here.running(online=False):
        results = [await here.result(f"c{number}") for number in range(1, 31)]
    assert {result.fallback for result in results} == {"uncertain"}
    assert len(services.told) - before <= MAX_ALERTS_PER_MINUTE


# another owner


async def change_owner(here: SenderHarness) -> None:
    await here.journal.open()
    await here.journal.owner.remember("webwx", "1")
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await here.sender.change_owner("webwx", "2")


async def test_an_urgent_command_of_the_previous_owner_goes_the_other_way_before_it_ends(
    here: SenderHarness, services: Services
):
    here.fallback = Fallback(after=600, urls=(URL,))
    async with here.running(online=False):
        await here.accept(asked(here), asked(here, "news", urgent=False), asked(here, "fire"))
        await change_owner(here)
        results = [await here.result(f"c{number}") for number in (1, 2, 3)]
        assert not sender_waits(here)
    assert [(result.status, result.code) for result in results] == [(Status.FAILED, "other_account")] * 3
    assert [result.fallback for result in results] == ["sent", "", "sent"]
    assert "fallback" in results[0].message
    assert sorted(alert.body for alert in services.told) == ["fire", "smoke"]
    assert not here.wire.drafts


async def test_no_queue_ends_what_the_fallback_sends_for_another_owner(
    here: SenderHarness, services: Services
):
    """A queue that is loaded meanwhile finds the command sent, and must leave its result to the new owner."""
    here.fallback = Fallback(after=600, urls=(URL,))
    services.gate.clear()
    async with here.running(online=False):
        await here.accept(asked(here))
        changing = asyncio.create_task(change_owner(here))
        await asyncio.wait_for(services.asked.wait(), MAX_WAIT_SECONDS)
        (row,) = await here.journal.commands.list_urgent()
        assert not here.sender.fallback.replaces_wechat(replace(row, fallback="sent"))
        services.gate.set()
        await changing
        result = await here.result("c1")
    assert (result.status, result.code, result.fallback) == (Status.FAILED, "other_account", "sent")


async def test_an_urgent_command_that_comes_while_the_others_go_goes_too(
    here: SenderHarness, services: Services
):
    here.fallback = Fallback(after=600, urls=(URL,))
    services.gate.clear()
    async with here.running(online=False):
        await here.accept(asked(here))
        changing = asyncio.create_task(change_owner(here))
        await asyncio.wait_for(services.asked.wait(), MAX_WAIT_SECONDS)
        await here.accept(asked(here, "fire"))
        services.gate.set()
        await changing
        results = [await here.result(f"c{number}") for number in (1, 2)]
    assert [(result.code, result.fallback) for result in results] == [("other_account", "sent")] * 2
    assert [alert.body for alert in services.told] == ["smoke", "fire"]


async def test_what_went_the_other_way_already_does_not_go_again_for_another_owner(
    here: SenderHarness, services: Services
):
    async with here.running(online=False):
        await here.accept(asked(here, also_wechat=True))
        await asyncio.wait_for(services.asked.wait(), MAX_WAIT_SECONDS)
        await here.until(lambda: not here.sender.fallback.deliveries)
        await change_owner(here)
        result = await here.result("c1")
    assert (result.code, result.fallback) == ("other_account", "sent")
    assert len(services.told) == 1


async def test_without_an_address_the_commands_of_the_previous_owner_just_end(
    here: SenderHarness, services: Services
):
    here.fallback = Fallback(after=SOON)
    async with here.running(online=False):
        await here.accept(asked(here))
        await change_owner(here)
        result = await here.result("c1")
    assert (result.code, result.fallback) == ("other_account", "")
    assert not services.told


async def test_the_end_of_a_login_is_an_alert_once_for_each_login_and_day(
    here: SenderHarness, services: Services, monkeypatch: pytest.MonkeyPatch
):
    clock = [1000.0]
    monkeypatch.setattr(fallback, "loop_time", lambda: clock[0])
    here.wire.capabilities = BOT_CAPABILITIES
    async with here.running(online=False) as sender:
        pages = ("", "https://house.example/wx")
        for page, later in zip(pages, (0.0, fallback.LOGIN_ALERT_INTERVAL_SECONDS), strict=True):
            clock[0] += later
            here.ctx.settings = changed(here.ctx.settings, web=Web(url=page or None))
            for _ in range(3):
                sender.fallback.report_login_end("the login has ended.")
            await asyncio.gather(*sender.fallback.deliveries)
    assert [one.body for one in services.told] == [
        "the login has ended; log in again on the page of the bridge",
        "the login has ended; log in again: https://house.example/wx",
    ]
    assert {one.title for one in services.told} == {"wx2mqtt home: log in again"}


# other accounts


class Others:
    """What stands for the other accounts: keeps what they are asked, and answers by account."""

    def __init__(self, **answers: AlertOutcome) -> None:
        self.answers = answers
        self.asked: list[tuple[str, FallbackMessage]] = []

    async def deliver(self, recipient: str, message: FallbackMessage) -> AlertOutcome:
        self.asked.append((recipient, message))
        return self.answers[recipient.partition("/")[0]]


SENT, FAILED, UNCERTAIN = AlertOutcome.SENT, AlertOutcome.FAILED, AlertOutcome.UNCERTAIN


@pytest.mark.parametrize(
    ("office", "shop", "services_say", "said"),
    [
        (SENT, SENT, None, ("sent", "office/me")),
        (FAILED, SENT, None, ("sent", "shop/me")),
        (UNCERTAIN, SENT, None, ("sent", "shop/me")),
        (FAILED, FAILED, SENT, ("sent", "")),
        (UNCERTAIN, FAILED, SENT, ("sent", "")),
        (FAILED, FAILED, FAILED, ("failed", "")),
        (FAILED, FAILED, UNCERTAIN, ("uncertain", "")),
        (UNCERTAIN, FAILED, FAILED, ("uncertain", "office/me")),
        (UNCERTAIN, UNCERTAIN, FAILED, ("uncertain", "shop/me")),
    ],
)
async def test_accounts_are_asked_in_their_order_and_then_the_services(
    here: SenderHarness,
    services: Services,
    office: AlertOutcome,
    shop: AlertOutcome,
    services_say: AlertOutcome | None,
    said: tuple[str, str],
):
    here.fallback = Fallback(after=SOON, accounts=("office/me", "shop/me"), urls=(URL,))
    services.outcomes += [services_say] if services_say else []
    async with here.running(online=False):
        others = ask_others(here, Others(office=office, shop=shop))
        await here.accept(asked(here))
        result = await here.result("c1")
    assert (result.fallback, result.fallback_account) == said
    assert [recipient for recipient, _ in others.asked] == ["office/me", "shop/me"][
        : 1 + (office is not SENT)
    ]
    assert len(services.told) == bool(services_say)


def ask_others(here: SenderHarness, others: Others) -> Others:
    here.ctx.shared = replace(here.ctx.shared, fallback_accounts=others)  # type: ignore[arg-type]
    return others


async def test_an_account_alone_is_a_fallback_and_gets_the_text_as_it_is(
    here: SenderHarness, services: Services
):
    here.fallback = Fallback(after=SOON, accounts=("office/me",))
    async with here.running(online=False):
        others = ask_others(here, Others(office=SENT))
        await here.accept(asked(here))
        result = await here.result("c1")
    assert (result.fallback, result.fallback_account, result.summarized) == ("sent", "office/me", None)
    ((_, message),) = others.asked
    assert (message.account, message.command_id, message.kind, message.text) == (
        "home",
        "c1",
        "text",
        "smoke",
    )
    assert not services.told


async def test_after_a_crash_an_account_is_asked_for_the_same_and_its_word_counts(
    here: SenderHarness, services: Services
):
    here.fallback = Fallback(after=SOON, accounts=("office/me",))
    reached, never = asyncio.Event(), asyncio.Event()
    messages: list[FallbackMessage] = []

    class Hanging(Others):
        async def deliver(self, recipient: str, message: FallbackMessage) -> AlertOutcome:
            messages.append(message)
            reached.set()
            await never.wait()
            raise AssertionError

    async with here.running(online=False):
        ask_others(here, Hanging())
        await here.accept(asked(here))
        await asyncio.wait_for(reached.wait(), MAX_WAIT_SECONDS)
    here.fallback = Fallback(after=3600, accounts=("office/me",), urls=(URL,))
    async with here.running(online=False):
        others = ask_others(here, Others(office=SENT))
        result = await here.result("c1")
    assert (result.fallback, result.fallback_account) == ("sent", "office/me")
    assert [message for _, message in others.asked] == messages
    assert not services.told


async def test_a_summary_goes_to_an_account_with_its_title(here: SenderHarness, services: Services):
    here.fallback = Fallback(after=0, accounts=("office/me",))
    count = MAX_ALERTS_PER_MINUTE + 1
    async with here.running(online=False):
        others = ask_others(here, Others(office=SENT))
        await here.accept(*(asked(here, f"flood {number}") for number in range(count)))
        results = [await here.result(f"c{number}") for number in range(1, count + 1)]
    assert {(result.fallback, result.fallback_account) for result in results} == {("sent", "office/me")}
    assert {result.summarized for result in results} == {count}
    ((_, message),) = others.asked
    assert message.text.startswith(f"wx2mqtt home: {count} urgent messages\nwife: flood 0\n")
    assert message.command_id == "c1"


async def test_buttons_go_along_to_an_account_and_not_in_a_summary(here: SenderHarness, services: Services):
    here.fallback = Fallback(after=0, accounts=("office/me",))
    buttons = (Button(text="Yes", key="yes"),)
    async with here.running(online=False):
        others = ask_others(here, Others(office=SENT))
        await here.accept(asked(here, "lock?", buttons=buttons, buttons_for=60.0, buttons_from="anyone"))
        await here.result("c1")
        flood = [asked(here, "lock?", buttons=buttons) for _ in range(MAX_ALERTS_PER_MINUTE)]
        await here.accept(*flood)
        await here.result("c2")
        row = await here.journal.commands.get("c1")
    (_, alone), (_, summary) = others.asked
    assert row is not None
    assert alone.text == "lock?"
    assert alone.question == FallbackQuestion(
        asked_by=AskingCommand(account="home", row_id=row.id, command_id="c1", user="wife"),
        buttons=buttons,
        buttons_for=60.0,
        buttons_from="anyone",
    )
    assert (summary.command_id, summary.question) == ("c2", None)


async def test_what_wechat_took_without_an_id_goes_the_other_way_as_well(
    here: SenderHarness, services: Services
):
    here.wire.receipts.append(Receipt(message_id=""))
    here.fallback = Fallback(after=600, urls=(URL,))
    async with here.running():
        await here.accept(asked(here))
        result = await here.result("c1")
    assert (result.status, result.code, result.fallback) == (Status.SENT, "unconfirmed", "sent")
    assert len(here.wire.drafts) == 1


async def test_the_ways_are_counted(here: SenderHarness, services: Services):
    here.fallback = Fallback(after=SOON, accounts=("office/me",), urls=(URL,))
    async with here.running(online=False):
        ask_others(here, Others(office=FAILED))
        await here.accept(asked(here))
        await here.result("c1")
        assert here.ctx.counters.fallbacks == {("account", "failed"): 1, ("services", "sent"): 1}


async def test_without_services_the_end_of_a_login_is_no_alert(here: SenderHarness, services: Services):
    here.fallback = Fallback()
    here.wire.capabilities = BOT_CAPABILITIES
    async with here.running(online=False) as sender:
        sender.fallback.report_login_end("the login has ended.")
        assert not sender.fallback.deliveries
    assert services.told == []


async def test_without_a_lease_an_alert_waits_until_it_is_certain_that_no_other_process_sends_it(
    here: SenderHarness, services: Services
):
    here.wire.capabilities = BOT_CAPABILITIES
    lease = Lease(600)
    async with here.running(online=False) as sender:
        here.ctx.shared = replace(here.ctx.shared, lease=lease)
        sender.fallback.report_login_end("the login has ended.")
        _, pending = await asyncio.wait(sender.fallback.deliveries, timeout=0)
        assert pending
        assert services.told == []
        lease.renew(boot_time())
        await asyncio.gather(*sender.fallback.deliveries)
    assert len(services.told) == 1
