"""The gateway of WeCom: subscriptions, take-overs, heartbeats, and every rule about frames."""

from __future__ import annotations

import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.wecom_client import WeComClient
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.wecom.simulated_wecom import HOME_BOT_ID, HOME_BOT_SECRET

ME = "WangXiaoMing"


async def test_a_program_subscribes_and_its_heartbeats_are_answered(subscribed_client: WeComClient):
    answer = await subscribed_client.call("ping", "ping_1")
    assert answer == {"headers": {"req_id": "ping_1"}, "errcode": 0, "errmsg": "ok"}
    values = (await subscribed_client.seen("state"))["bots"][HOME_BOT_ID]
    assert (values["online"], values["subscriptions"], values["pings"]) == (True, 1, 1)
    assert await subscribed_client.violations() == []


@pytest.mark.parametrize("credentials", [("aibNobody", HOME_BOT_SECRET), (HOME_BOT_ID, "wrong")])
async def test_wrong_credentials_are_refused_and_must_not_be_tried_again_at_once(
    sim: Simulator, wecom_client: WeComClient, credentials: tuple[str, str]
):
    assert (await wecom_client.log_in(*credentials))["errcode"] == 93019
    assert await wecom_client.violations() == []
    async with WeComClient(sim.url) as second:
        assert (await second.log_in(*credentials))["errcode"] == 93019
        assert ["s after a refusal" in violation for violation in await second.violations()] == [True]
        await second.control("clock", forward=61)
    async with WeComClient(sim.url) as third:
        assert (await third.log_in(*credentials))["errcode"] == 93019
    assert await wecom_client.violations() == []


async def test_other_credentials_may_be_tried_at_once(sim: Simulator, wecom_client: WeComClient):
    assert (await wecom_client.log_in(HOME_BOT_ID, "wrong"))["errcode"] == 93019
    async with WeComClient(sim.url) as second:
        assert (await second.log_in())["errcode"] == 0
        assert await second.violations() == []


async def test_a_bot_can_refuse_every_subscription(wecom_client: WeComClient):
    await wecom_client.control("bot", bot=HOME_BOT_ID, refuses=40001)
    assert (await wecom_client.log_in())["errcode"] == 40001


async def test_a_refusal_is_over_when_a_subscription_is_accepted(sim: Simulator, wecom_client: WeComClient):
    await wecom_client.control("bot", bot=HOME_BOT_ID, refuses=40001)
    await wecom_client.log_in()
    await wecom_client.control("bot", bot=HOME_BOT_ID, refuses=0)
    await wecom_client.control("settings", refusal_pause=0)
    for pause in (60, 60):
        async with WeComClient(sim.url) as later:
            assert (await later.log_in())["errcode"] == 0
            await later.control("settings", refusal_pause=pause)
    assert await wecom_client.violations() == []


async def test_one_connection_subscribes_once(subscribed_client: WeComClient):
    assert (
        await subscribed_client.code("aibot_subscribe", bot_id=HOME_BOT_ID, secret=HOME_BOT_SECRET) == 45009
    )
    assert await subscribed_client.violations() == [
        "aibot_subscribe: a second subscription on one connection"
    ]


async def test_commands_before_a_subscription_are_refused_and_counted(wecom_client: WeComClient):
    await wecom_client.connect()
    assert await wecom_client.send(ME, "hi") == 846609
    assert await wecom_client.violations() == ["aibot_send_msg: a command before an accepted subscription"]


async def test_a_second_client_takes_over_and_the_first_gets_an_event(
    sim: Simulator, subscribed_client: WeComClient
):
    async with WeComClient(sim.url) as second:
        assert (await second.log_in())["errcode"] == 0
        event = await subscribed_client.next()
        assert event["cmd"] == "aibot_event_callback"
        assert event["body"]["event"] == {"eventtype": "disconnected_event"}
        assert not {"from", "chatid"} & event["body"].keys()
        assert await subscribed_client.end() == 1000
        await second.control("say", text="hi")
        assert (await second.next())["body"]["text"] == {"content": "hi"}
        assert await second.violations() == []


async def test_two_programs_that_fight_for_a_bot_are_noticed(sim: Simulator, subscribed_client: WeComClient):
    async with WeComClient(sim.url) as second, WeComClient(sim.url) as third:
        await second.log_in()
        await third.log_in()
        assert ["after it was taken over" in violation for violation in await third.violations()] == [True]


async def test_a_program_that_comes_back_at_once_after_a_takeover_is_noticed(
    sim: Simulator, subscribed_client: WeComClient
):
    assert await subscribed_client.control("takeover") == {"was_online": True}
    assert (await subscribed_client.next())["body"]["event"]["eventtype"] == "disconnected_event"
    await subscribed_client.end()
    async with WeComClient(sim.url) as again:
        await again.log_in()
        assert ["after it was taken over" in violation for violation in await again.violations()] == [True]
    await subscribed_client.control("takeover")
    await subscribed_client.control("clock", forward=61)
    async with WeComClient(sim.url) as later:
        await later.log_in()
        assert await later.violations() == []


async def test_a_subscription_can_die_while_the_socket_stays_open(
    sim: Simulator, subscribed_client: WeComClient
):
    await subscribed_client.control("say", text="hi")
    await subscribed_client.next()
    assert await subscribed_client.control("lapse") == {"was_online": True}
    assert await subscribed_client.send(ME, "hi") == 846609
    assert await subscribed_client.code("ping") == 0
    await subscribed_client.disconnect()
    async with WeComClient(sim.url) as again:
        await again.log_in()
        assert await again.send(ME, "hi") == 0
        assert await again.violations() == []
        assert (await again.seen("state"))["refused"] == {"846609": 1}


async def test_a_connection_without_heartbeats_is_closed(wecom_client: WeComClient):
    await wecom_client.control("settings", heartbeat=0.1)
    await wecom_client.log_in()
    assert await wecom_client.end() == 1001
    assert await wecom_client.violations() == ["ping: no ping for 0 s"]


async def test_subscriptions_in_a_loop_are_refused(sim: Simulator, wecom_client: WeComClient):
    await wecom_client.control("settings", subscribe_limit=2, takeover_pause=0.0)
    for code in (0, 0, 45009):
        async with WeComClient(sim.url) as client:
            assert (await client.log_in())["errcode"] == code
    assert await wecom_client.violations() == ["aibot_subscribe: more than 2 subscriptions in a minute"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{no json", "a frame is no JSON"),
        ("[" * 100_000, "a frame is no JSON"),
        ("[]", "a frame is no object"),
        ('{"cmd": "ping"}', "a frame has no headers.req_id"),
        ('{"cmd": "ping", "headers": {"req_id": 7}}', "a frame has no headers.req_id"),
        ('{"cmd": "aibot_dance", "headers": {"req_id": "1"}}', "cmd is not known"),
        ('{"cmd": "ping", "headers": {"req_id": "1"}, "body": []}', "the body of a frame is no object"),
    ],
)
async def test_a_frame_that_is_no_command_is_counted(subscribed_client: WeComClient, text: str, problem: str):
    await subscribed_client.raw(text)
    assert await subscribed_client.code("ping") == 0
    assert await subscribed_client.violations() == [f"wecom_frame: {problem}"]


async def test_a_req_id_is_used_once(subscribed_client: WeComClient):
    await subscribed_client.call("ping", "same")
    await subscribed_client.call("ping", "same")
    assert await subscribed_client.violations() == ["ping: req_id is that of an older command"]


async def test_a_frame_that_is_too_large_ends_the_connection(subscribed_client: WeComClient):
    frame = {"cmd": "ping", "headers": {"req_id": "1"}, "body": {"filler": "x" * 1024 * 1024}}
    await subscribed_client.raw(json.dumps(frame))
    assert await subscribed_client.end() == 1009
    assert await subscribed_client.violations() == ["wecom_frame: a frame is larger than 1048576 bytes"]


async def test_a_binary_frame_ends_the_connection(subscribed_client: WeComClient):
    await subscribed_client.raw(b"{}")
    assert await subscribed_client.end() == 1003
    assert await subscribed_client.violations() == ["wecom_frame: a binary frame"]


async def test_a_path_other_than_the_root_is_refused(sim: Simulator, wecom_client: WeComClient):
    with pytest.raises(InvalidStatus):
        async with connect(sim.url.replace("http", "ws") + "/other", proxy=None):
            pass
    assert await wecom_client.violations() == ["wecom_connect: the path of the gateway is /"]


async def test_a_restart_breaks_all_connections(sim: Simulator, subscribed_client: WeComClient):
    assert await subscribed_client.control("restart") == {"connections": 1}
    assert await subscribed_client.end() == 1006
    async with WeComClient(sim.url) as again:
        assert (await again.log_in())["errcode"] == 0


async def test_the_servers_go_and_return_with_what_they_know(sim: Simulator, subscribed_client: WeComClient):
    await subscribed_client.control("say", text="hi")
    await sim.__aexit__(None, None, None)
    assert await subscribed_client.end() == 1006
    await sim.__aenter__()
    async with WeComClient(sim.url) as again:
        assert (await again.log_in())["errcode"] == 0
        assert await again.send(ME, "back") == 0
        assert await again.violations() == []


async def test_the_log_of_each_connection_lists_its_commands(sim: Simulator, subscribed_client: WeComClient):
    first, second = (await subscribed_client.control("say", text="{n}", count=2))["msg_ids"]
    assert await subscribed_client.answer(await subscribed_client.next(), "✓") == 0
    await subscribed_client.disconnect()
    await subscribed_client.seen("wait", **{"for": "offline", "seconds": MAX_WAIT_SECONDS})
    await subscribed_client.control("say", text="lost")
    async with WeComClient(sim.url) as again:
        await again.log_in()
        [third] = (await again.control("say", text="3"))["msg_ids"]
        logs = await again.seen("logs")
    assert [(log["active"], log["messages"], log["answered"]) for log in logs] == [
        (False, [first, second], [first]),
        (True, [third], []),
    ]


async def test_a_kick_closes_with_its_code(subscribed_client: WeComClient):
    await subscribed_client.control("kick", code=4321)
    assert await subscribed_client.end() == 4321


async def test_exact_frames_can_be_sent_to_a_program(subscribed_client: WeComClient):
    await subscribed_client.control("raw", text='{"cmd": "\x01')
    await subscribed_client.control("raw", data="//4=")
    await subscribed_client.control("raw", frame={"cmd": "aibot_new_callback", "headers": {"req_id": "1"}})
    assert (await subscribed_client.next())["cmd"] == "aibot_new_callback"
    assert subscribed_client.odd_frames == ['{"cmd": "\x01', b"\xff\xfe"]


async def test_a_test_can_wait_for_what_a_program_does(sim: Simulator, subscribed_client: WeComClient):
    for condition in ("online", "any_online", "subscriptions:1"):
        assert await subscribed_client.seen("wait", **{"for": condition, "seconds": MAX_WAIT_SECONDS}) == {
            "ready": True
        }
    calls = await subscribed_client.http.get(
        "/sim/wait", params={"for": "calls:aibot_subscribe:1", "seconds": MAX_WAIT_SECONDS}
    )
    assert calls.json() == {"ready": True}
    assert await subscribed_client.seen("wait", **{"for": "offline", "seconds": 0}) == {"ready": False}
    answer = await subscribed_client.http.get("/sim/wecom/wait", params={"for": "rain"})
    assert answer.status_code == 400
    assert "subscriptions:" in answer.json()["error"]
