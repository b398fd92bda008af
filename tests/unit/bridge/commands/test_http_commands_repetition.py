"""A webhook that reports the same again is not sent again, unless the first report did not arrive."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.commands_harness import running
from tests.unit.bridge.contexts import changed
from wx2mqtt.bridge.commands import fallback_ways, http_commands
from wx2mqtt.bridge.commands.http_commands import REPETITION_SECONDS, CommandCalls
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import Rejected
from wx2mqtt.external.alerts import AlertOutcome
from wx2mqtt.settings.schema import Fallback


@pytest.fixture
async def harness(tmp_path):
    async with running(tmp_path) as harness:
        yield harness


def calls_of(harness):
    """Returns the `CommandCalls` of the account, which are created once."""
    if not hasattr(harness, "command_calls"):
        outcomes = harness.sender.outcomes
        harness.command_calls = CommandCalls(harness.ctx, harness.validator, harness.intake, outcomes)
    return harness.command_calls


async def report(harness, content="load", sender="grafana", user="wife", **more):
    """Accepts the report of a webhook, and returns the id of its command once it has its result."""
    fields = {"text": "FIRING", **more}
    call = await calls_of(harness).accept(user, fields, sender, None, None, content)
    await harness.result(call.command_id, user)
    return call.command_id


async def test_the_same_is_sent_once_also_when_it_comes_at_once(harness):
    ids = {await report(harness)}
    ids |= {*await asyncio.gather(*(report(harness) for _ in range(3)))}
    assert len(ids) == 1
    assert harness.wechat.texts() == ["FIRING"]


@pytest.mark.parametrize("other", [{"content": "disk"}, {"sender": "alerts"}, {"user": "mom"}])
async def test_another_content_sender_or_recipient_is_another_report(harness, other):
    assert await report(harness) != await report(harness, **other)
    assert harness.wechat.texts() == ["FIRING"] * 2


async def test_what_did_not_arrive_is_sent_again(harness):
    harness.wechat.answer("FIRING", Rejected("no"))
    first = await report(harness)
    second = await report(harness)
    assert (await harness.result(first))["status"] == "failed"
    assert (await harness.result(second))["status"] == "sent"
    assert await report(harness) == second


@pytest.mark.parametrize(
    ("outcome", "arrived"),
    [(AlertOutcome.SENT, True), (AlertOutcome.FAILED, False), (AlertOutcome.UNCERTAIN, False)],
)
async def test_what_arrived_by_the_fallback_is_not_sent_again(harness, monkeypatch, outcome, arrived):
    async def send_alert(urls, alarm):
        sent_alerts.append(alarm.body)
        return outcome

    sent_alerts: list[str] = []
    monkeypatch.setattr(fallback_ways, "send_alert", send_alert)
    rules = Fallback(after=600, urls=("tgram://123456:secret/42",))
    harness.ctx.settings = changed(harness.ctx.settings, fallback=rules)
    harness.wechat.answer("FIRING", Rejected("no"))
    first = await report(harness, urgent=True)
    result = await harness.result(first)
    assert (result["status"], result["fallback"]) == ("failed", str(outcome))
    second = await report(harness, urgent=True)
    assert (second == first) is arrived
    assert sent_alerts == ["FIRING"]
    assert harness.wechat.texts() == ["FIRING"] * (1 if arrived else 2)


async def test_while_the_fallback_of_the_first_is_under_way_it_is_not_sent_again(harness, monkeypatch):
    begun, gate = asyncio.Event(), asyncio.Event()

    async def send_alert(urls, alarm):
        begun.set()
        await gate.wait()
        return AlertOutcome.SENT

    monkeypatch.setattr(fallback_ways, "send_alert", send_alert)
    rules = Fallback(after=600, urls=("tgram://123456:secret/42",))
    harness.ctx.settings = changed(harness.ctx.settings, fallback=rules)
    harness.wechat.answer("FIRING", Rejected("no"))
    fields = {"text": "FIRING", "urgent": True}
    first = await calls_of(harness).accept("wife", fields, "grafana", None, None, "load")
    await asyncio.wait_for(begun.wait(), MAX_WAIT_SECONDS)
    again = await calls_of(harness).accept("wife", fields, "grafana", None, None, "load")
    assert (again.command_id, again.result) == (first.command_id, None)
    gate.set()
    assert (await harness.result(first.command_id))["fallback"] == "sent"


async def test_it_is_remembered_for_ten_minutes_by_the_next_process_too(tmp_path, monkeypatch):
    async with running(tmp_path) as harness:
        first = await report(harness)
    async with running(tmp_path) as harness:
        row = await harness.journal.commands.get(first)
        assert row is not None
        assert (row.command.sender, row.command.content) == ("grafana", "load")
        found = await harness.journal.commands.list_with_content("grafana", "load", row.accepted - 1)
        assert [row.command_id for row in found] == [first]
        monkeypatch.setattr(http_commands, "now_ms", lambda: now_ms() + REPETITION_SECONDS * 1000 + 1)
        assert await report(harness) != first
