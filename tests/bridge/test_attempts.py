"""Each answer of WeChat leads to the right next attempt and to one result, whatever the clock and a crash do."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount, ended
from tests.support.memory_backend import WIFE, Pause
from wx2mqtt.errors import LoggedOut, OutcomeUnknown, ProtocolViolation, Rejected, Unreachable
from wx2mqtt.model import Receipt

SENT, SENT_TWICE = ("sent", "ok", False), ("sent", "ok", True)
UNCERTAIN = ("uncertain", "no_answer", True)
DAY = 86_400.0


@pytest.mark.parametrize(
    ("outcomes", "ending", "attempts"),
    [
        pytest.param([], SENT, 1, id="accepted"),
        pytest.param([Receipt(message_id="")], ("sent", "unconfirmed", False), 1, id="no id"),
        pytest.param([Receipt(message_id=None)], SENT, 1, id="a backend without ids"),
        pytest.param([Rejected("no", code="no_chat")], ("rejected", "no_chat", False), 1, id="no chat"),
        pytest.param([Rejected("no")], ("failed", "refused_by_wechat", False), 1, id="refused"),
        pytest.param([Unreachable()] * 3, SENT, 4, id="not delivered"),
        pytest.param([ProtocolViolation()] * 3, SENT, 4, id="protocol violation"),
        pytest.param([OutcomeUnknown()], SENT_TWICE, 2, id="no answer"),
        pytest.param([OutcomeUnknown()] * 2, UNCERTAIN, 2, id="no answer twice"),
        pytest.param([ValueError("ours")] * 2, UNCERTAIN, 2, id="an error of our own"),
        pytest.param(
            [OutcomeUnknown(), Unreachable(), Unreachable(), OutcomeUnknown()],
            *(UNCERTAIN, 4),
            id="undelivered attempts do not count",
        ),
        pytest.param(
            [OutcomeUnknown(), Rejected("no")],
            *(("failed", "refused_by_wechat", True), 2),
            id="the refused one may have arrived before",
        ),
    ],
)
async def test_an_answer_of_wechat_leads_to_a_result(
    bridge: BridgedAccount, outcomes: list[Any], ending: tuple[Any, ...], attempts: int
):
    bridge.backend.outcomes += outcomes
    result = await bridge.send("老婆", "x")
    assert ended(result) == ending
    assert result["message_id"] == (
        f"sent-{attempts}" if result["code"] == "ok" and outcomes != [Receipt(message_id=None)] else None
    )
    if ending[0] in ("failed", "rejected"):
        assert result["message"] == "no"
    assert (await bridge.send("老婆", "next"))["status"] == "sent"
    assert [text for _, text in bridge.backend.texts] == ["x"] * attempts + ["next"]
    *sends, _ = bridge.backend.sent
    assert len({sent.key for sent in sends}) == 1
    assert all(later.time - sent.time >= 0.25 for sent, later in itertools.pairwise(sends))


@pytest.mark.parametrize(
    ("outcomes", "ending"),
    [
        pytest.param([Unreachable()] * 999, ("expired", "expired", False), id="never delivered"),
        pytest.param([Pause(601), OutcomeUnknown(), Unreachable()], SENT_TWICE, id="once more after its ttl"),
        pytest.param([Pause(601), OutcomeUnknown(), *[Unreachable()] * 999], UNCERTAIN, id="never again"),
    ],
)
async def test_the_ttl_ends_only_what_certainly_did_not_arrive(
    bridge: BridgedAccount, outcomes: list[Any], ending: tuple[Any, ...]
):
    bridge.backend.outcomes += outcomes
    assert ended(await bridge.send("老婆", {"text": "x", "ttl": 600})) == ending
    assert len(bridge.backend.sent) > 2


@pytest.mark.parametrize(("ttl", "chance"), [(5, 60), (300, 300), (1200, 600)])
async def test_an_unanswered_attempt_may_be_repeated_for_as_long_as_its_command_was_good(
    bridge: BridgedAccount, ttl: float, chance: float
):
    """A command with a ttl of 5 s is not wanted 10 minutes later; WeChat gets at least one minute to recover."""
    bridge.backend.outcomes += [OutcomeUnknown(), *[Unreachable()] * 9_999]
    began = asyncio.get_running_loop().time()
    assert ended(await bridge.send("老婆", {"text": "x", "ttl": ttl})) == UNCERTAIN
    assert asyncio.get_running_loop().time() - began == pytest.approx(ttl + chance, abs=1)


async def test_after_two_crashes_in_its_attempts_a_command_is_uncertain_and_not_tried_a_third_time(
    bridge: BridgedAccount,
):
    bridge.backend.slow_chats[WIFE.handle] = 60
    bridge.deliver("wx/out/老婆", "hi")
    await bridge.wait_until(lambda: bridge.backend.sent)
    await bridge.kill()
    await bridge.restart()
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 2)
    await bridge.kill()
    await bridge.restart()
    assert ended(await bridge.result("老婆")) == UNCERTAIN
    assert len({sent.key for sent in bridge.backend.sent}) == 1
    assert len(bridge.backend.sent) == 2


# Clocks


@pytest.mark.parametrize(
    ("shift", "ending"), [(DAY, SENT), (-3600.0, SENT), (0.0, SENT)], ids=["ahead", "back", "kept"]
)
async def test_a_clock_that_is_set_neither_ends_what_waits_nor_makes_it_wait_longer(
    bridge: BridgedAccount, shift: float, ending: tuple[Any, ...]
):
    bridge.backend.log_in_after(590)
    bridge.backend.fail(LoggedOut("over"))
    await bridge.pass_time(1)
    bridge.deliver("wx/out/老婆", {"text": "x", "id": "long", "ttl": 600})
    bridge.deliver("wx/out/老婆", {"text": "y", "id": "short", "ttl": 500})
    await bridge.pass_time(1)
    bridge.set_clock(shift)
    bridge.deliver("wx/out/妈妈", {"text": "z", "ttl": 0.1})
    assert ended(await bridge.result("妈妈")) == ("expired", "logged_out", False)
    assert ended(await bridge.result("老婆")) == ("expired", "logged_out", False)
    assert ended(await bridge.result("老婆")) == ending


async def test_a_clock_that_was_set_back_while_the_bridge_was_stopped_gives_a_command_its_ttl_at_most(
    bridge: BridgedAccount,
):
    bridge.backend.log_in_after(3600, 3600)
    bridge.backend.fail(LoggedOut("over"))
    await bridge.pass_time(1)
    bridge.deliver("wx/out/老婆", {"text": "x", "ttl": 600})
    await bridge.pass_time(1)
    await bridge.kill()
    bridge.set_clock(-3600)
    await bridge.restart(online=False)
    await bridge.pass_time(601)
    assert bridge.last("wx/result/老婆")["status"] == "expired"


# What the owner drops at the same moment


async def test_dropping_the_next_command_while_the_first_is_settled_loses_neither_result(
    bridge: BridgedAccount,
):
    bridge.backend.outcomes.append(Pause(5))
    for command_id in "abc":
        bridge.deliver("wx/out/老婆", {"text": command_id, "id": command_id})
    await bridge.wait_until(lambda: bridge.backend.sent)
    held = bridge.hold_store("finish")
    await bridge.pass_time(6)
    await bridge.operate("journal.drop", id="b")
    held.set_result(None)
    results = [await bridge.result("老婆") for _ in "abc"]
    assert {result["id"]: result["code"] for result in results} == {"a": "ok", "b": "dropped", "c": "ok"}
    assert [text for _, text in bridge.backend.texts] == ["a", "c"]


async def test_a_command_that_is_dropped_before_its_attempt_stops_no_other(bridge: BridgedAccount):
    bridge.backend.log_in_after(60)  # else the attempt may be marked in the commit that accepts it
    bridge.backend.fail(LoggedOut("over"))
    await bridge.pass_time(1)
    for command_id in "abc":
        bridge.deliver("wx/out/老婆", {"text": command_id, "id": command_id})
    await bridge.pass_time(1)
    await bridge.operate("journal.drop", id="a")
    held = bridge.hold_store("begin")
    await bridge.wait_until(lambda: bridge.state == "online")
    await bridge.operate("journal.drop", id="b")
    held.set_result(None)
    assert (await bridge.result_of("c"))["code"] == "ok"
    assert bridge.backend.texts == [("@wife", "c")]


async def test_results_are_in_the_language_that_was_chosen(open_bridge: OpenBridge):
    bridge = await open_bridge(language="zh")
    assert (await bridge.send("老婆", "x"))["message"] == "微信已接收消息"
    bridge.backend.outcomes += [OutcomeUnknown(), OutcomeUnknown()]
    assert (await bridge.send("老婆", "y"))["message"] == "已发送（可能两次），但微信没有回应"
