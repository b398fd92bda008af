"""Each fault on the WebSocket of WeCom, seen from the client's side."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.exceptions import InvalidHandshake

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.wecom_client import WeComClient
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.wecom.gateway import NAMES
from wx2mqtt.simulator.wecom.simulated_wecom import HOME_BOT_ID

ME = "WangXiaoMing"


@pytest.mark.parametrize("kind", ["status", "html", "ret", "reset", "garbage", "empty", "drop_answer"])
async def test_a_handshake_fails(wecom_client: WeComClient, kind: str):
    await wecom_client.fault("wecom_connect", kind)
    with pytest.raises((InvalidHandshake, OSError, EOFError)):
        await wecom_client.connect()
    assert (await wecom_client.log_in())["errcode"] == 0


async def test_a_handshake_hangs_for_its_time(wecom_client: WeComClient):
    await wecom_client.fault("wecom_connect", "hang", value=0.05)
    with pytest.raises((InvalidHandshake, OSError, EOFError)):
        await wecom_client.connect()


async def test_a_handshake_comes_late(wecom_client: WeComClient):
    await wecom_client.fault("wecom_connect", "delay", value=0.05)
    assert (await wecom_client.log_in())["errcode"] == 0


@pytest.mark.parametrize("code", [93006, 93001, 93008, 846605, 846608, 846609, 40201, 45009, 42045, -1])
async def test_every_code_can_be_ordered(subscribed_client: WeComClient, code: int):
    await subscribed_client.fault("aibot_send_msg", "ret", value=code)
    assert await subscribed_client.send(ME, "hi") == code
    assert await subscribed_client.seen("sent") == []


async def test_a_subscription_that_a_fault_refuses_is_a_refusal(sim: Simulator, wecom_client: WeComClient):
    await wecom_client.fault("aibot_subscribe", "ret", value=40001)
    assert (await wecom_client.log_in())["errcode"] == 40001
    async with WeComClient(sim.url) as second:
        await second.log_in()
        assert ["s after a refusal" in violation for violation in await second.violations()] == [True]


@pytest.mark.parametrize(
    ("kind", "text"),
    [("garbage", "\x00\x01{<garbage"), ("html", "<html><body>WeCom</body></html>"), ("empty", "")],
)
async def test_garbage_or_another_frame_comes_in_place_of_the_answer(
    subscribed_client: WeComClient, kind: str, text: str
):
    await subscribed_client.fault("ping", kind)
    await subscribed_client.post("ping")
    assert await subscribed_client.code("ping") == 0
    assert subscribed_client.odd_frames == [text]


@pytest.mark.parametrize("kind", ["huge", "deep", "digits"])
async def test_an_answer_can_be_too_large_or_too_deep_for_a_parser(subscribed_client: WeComClient, kind: str):
    await subscribed_client.fault("ping", kind, value=2000)
    answer = await subscribed_client.post("ping")
    assert await subscribed_client.code("ping") == 0
    assert answer.done() or subscribed_client.odd_frames


@pytest.mark.parametrize(
    ("kind", "code"),
    [("status", 1011), ("reset", 1006), ("drop_answer", 1011), ("truncate", 1011), ("bad_status_line", 1006)],
)
async def test_the_connection_ends_in_place_of_an_answer(
    subscribed_client: WeComClient, kind: str, code: int
):
    await subscribed_client.control("say", text="hi")
    await subscribed_client.next()
    await subscribed_client.fault("aibot_send_msg", kind)
    body = {"chatid": ME, "chat_type": 1, "msgtype": "markdown", "markdown": {"content": "hi"}}
    answer = await subscribed_client.post("aibot_send_msg", body)
    assert await subscribed_client.end() in (code, 1006)
    assert not answer.done()
    was_carried_out = kind in ("drop_answer", "truncate")
    assert len(await subscribed_client.seen("sent")) == was_carried_out


async def test_an_answer_can_be_missing_while_others_come(subscribed_client: WeComClient):
    await subscribed_client.control("say", text="hi")
    await subscribed_client.next()
    body = {"chatid": ME, "chat_type": 1, "msgtype": "markdown", "markdown": {"content": "hi"}}
    for kind, count in (("hang", 0), ("stall", 1)):
        await subscribed_client.fault("aibot_send_msg", kind)
        answer = await subscribed_client.post("aibot_send_msg", body)
        assert await subscribed_client.code("ping") == 0
        assert not answer.done()
        assert len(await subscribed_client.seen("sent")) == count


async def test_an_answer_can_be_late_or_in_another_charset(subscribed_client: WeComClient):
    await subscribed_client.fault("ping", "late", value=0.05)
    late = await subscribed_client.post("ping")
    assert await subscribed_client.code("ping") == 0
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        assert (await late)["errcode"] == 0
    await subscribed_client.fault("ping", "charset", value="utf-16")
    binary = await subscribed_client.post("ping")
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        assert (await binary)["errmsg"] == "ok", "a binary frame, which json reads in UTF-16, too"


async def test_a_command_is_held_until_the_faults_are_cleared(subscribed_client: WeComClient):
    await subscribed_client.fault("ping", "hold")
    held = await subscribed_client.post("ping")
    assert await subscribed_client.code("ping") == 0
    assert not held.done()
    await subscribed_client.http.post("/sim/fault/clear")
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        assert (await held)["errcode"] == 0


async def test_faults_are_known_for_every_command(sim: Simulator, subscribed_client: WeComClient):
    for name in NAMES:
        await subscribed_client.fault(name, "late", value=0)
    answer = await subscribed_client.http.post("/sim/fault", json={"endpoint": "aibot_dance", "kind": "hang"})
    assert answer.status_code == 400
    assert "aibot_send_msg" in answer.json()["error"]


async def test_a_subscription_can_be_lost_with_its_answer(sim: Simulator, wecom_client: WeComClient):
    await wecom_client.fault("aibot_subscribe", "drop_answer")
    await wecom_client.connect()
    body = {"bot_id": HOME_BOT_ID, "secret": sim.wechat.wecom.bots[HOME_BOT_ID].secret}
    await wecom_client.raw(json.dumps({"cmd": "aibot_subscribe", "headers": {"req_id": "1"}, "body": body}))
    assert await wecom_client.end() == 1011
    await wecom_client.seen("wait", **{"for": "offline", "seconds": MAX_WAIT_SECONDS})
    async with WeComClient(sim.url) as again:
        assert (await again.log_in())["errcode"] == 0
        assert await again.violations() == []
