"""Commands with the retain flag: a live one is sent and cleared, a copy that the broker kept is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount
from wx2mqtt.bridge.retained_commands import MAX_PENDING_CLEARS
from wx2mqtt.mqtt.broker import ProtocolVersion

HELLO = {"text": "hello", "id": "a"}


def clears(bridge: BridgedAccount, topic: str = "wx/out/老婆") -> Sequence[tuple[bytes, bool]]:
    return [(sent.payload, sent.publication.retain) for sent in bridge.sent(topic)]


async def open_old(open_bridge: OpenBridge) -> BridgedAccount:
    """Opens a bridge at a broker of MQTT 3.1.1, which delivers to the bridge what it clears."""
    bridge = await open_bridge(start=False)
    bridge.broker.grants = replace(bridge.broker.grants, protocol=ProtocolVersion.MQTT_3_1_1)
    await bridge.start()
    return bridge


async def test_a_kept_copy_is_refused_reported_once_and_cleared(bridge: BridgedAccount):
    await bridge.send("老婆", HELLO)
    bridge.broker.honours_retain = False
    refused = await bridge.send("老婆", HELLO, retain=True)
    assert (refused["status"], refused["code"]) == ("rejected", "retained")
    assert refused["id"] != "a", "it is not even read"
    assert clears(bridge) == [(b"", True)]
    assert len(bridge.backend.sent) == 1


async def test_a_live_command_with_the_retain_flag_is_sent_and_cleared_and_its_result_says_so(
    bridge: BridgedAccount,
):
    assert "cleared" not in (await bridge.send("老婆", HELLO))["message"]
    live = bridge.deliver("wx/out/老婆", {**HELLO, "id": "b"}, retain=True)
    result = await bridge.result("老婆")
    assert (result["status"], result["code"]) == ("sent", "ok")
    assert "the copy that the broker kept was cleared" in result["message"]
    assert clears(bridge) == [(b"", True)]
    bridge.broker.redeliver(live, retain=False)
    await bridge.send("老婆", "the last")
    assert len(bridge.backend.sent) == 3
    late = await bridge.send("老婆", HELLO, retain=True, connection_number=0)
    assert late["code"] == "retained", "of an earlier connection"


async def test_what_clears_a_topic_is_not_cleared_again(bridge: BridgedAccount):
    assert (await bridge.send("老婆", "", retain=True))["code"] == "empty"
    assert clears(bridge) == []


@pytest.mark.parametrize(
    "topic",
    [
        "wx/out/老婆/image",
        "wx/out/老婆/what",
        "wx/out/nobody",
        "wx/bridge/request/send",
        "wx/bridge/request/health",
    ],
)
async def test_whatever_is_retained_below_our_topics_is_cleared(bridge: BridgedAccount, topic: str):
    bridge.deliver(topic, "{}", retain=True)
    await bridge.pass_time(5)
    assert clears(bridge, topic) == [(b"", True)]


async def test_the_empty_payload_of_our_own_clearing_is_ignored_and_that_of_a_user_is_not(
    open_bridge: OpenBridge,
):
    """Only a broker of MQTT 3.1.1 delivers it; a clearing that did not reach it hides nothing."""
    bridge = await open_old(open_bridge)
    assert (await bridge.send("老婆", HELLO, retain=True))["code"] == "retained"
    own, users = bridge.deliver("wx/out/老婆", ""), bridge.deliver("wx/out/老婆", "")
    assert (await bridge.result("老婆"))["code"] == "empty"
    assert [mid for _, mid in bridge.broker.pubacks][-2:] == [own.mid, users.mid]
    await bridge.pass_time(5)
    bridge.broker.refusals.add("wx/out/老婆")
    assert (await bridge.send("老婆", HELLO, retain=True))["code"] == "retained"
    await bridge.pass_time(5)
    assert (await bridge.send("老婆", ""))["code"] == "empty"
    assert len(bridge.published("wx/result/老婆")) == 4


async def test_on_mqtt_5_every_empty_payload_is_a_users(bridge: BridgedAccount):
    bridge.broker.honours_retain = False
    assert [(await bridge.send("老婆", text, retain=bool(text)))["code"] for text in ("hello", "")] == [
        "retained",
        "empty",
    ]


async def test_retained_commands_on_ever_other_topics_take_a_bounded_place_on_3_1_1(open_bridge: OpenBridge):
    bridge = await open_old(open_bridge)
    pending = bridge.account.components.intake._retained_commands._pending_clears
    for number in range(3):
        await bridge.send(f"nobody-{number}", "x", retain=True)
        bridge.deliver(f"wx/out/nobody-{number}", "")
    await bridge.pass_time(5)
    assert not pending, "what came back is forgotten"
    for number in range(MAX_PENDING_CLEARS + 50):
        bridge.deliver(f"wx/out/silent-{number}", "x", retain=True)
    await bridge.wait_until(lambda: clears(bridge, f"wx/out/silent-{MAX_PENDING_CLEARS + 49}"))
    assert len(pending) == MAX_PENDING_CLEARS, "the broker need not deliver what it was given"
    bridge.broker.disconnect()
    await bridge.broker.connect(session_present=False)
    assert not pending
