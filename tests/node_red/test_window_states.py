"""Question, webhook and camera on iLink: what each says in every state of the window and of the login, beside
all others.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.node_red.environment import (
    NAMES,
    NodeRedEnvironment,
    sent_count,
    timeout_seconds,
    use_up_quota,
    wait_for_text,
    with_fallback,
)
from tests.node_red.red import Nodes
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.ilink_home import ILinkHome

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "s3cret"
CAPTION = "Somebody is at the door 门口有人"
QUESTION = "Open it?"


@pytest.fixture
def environment(bot_environment: NodeRedEnvironment) -> NodeRedEnvironment:
    return bot_environment


async def load_all(environment: NodeRedEnvironment, **env: Any) -> None:
    """Loads all flows but echo: on iLink each answer of echo is one of ten messages."""
    names = [name for name in NAMES if name != "echo"]
    defaults = {"TOKEN": TOKEN, "QUESTION": QUESTION, "WAIT": timeout_seconds(3)}
    await environment.load(*names, **{**defaults, **env})
    await environment.wait_until_idle()


async def call_webhook(
    environment: NodeRedEnvironment, token: str | None = TOKEN, **request: Any
) -> tuple[int, dict[str, Any]]:
    """Calls the webhook; returns its status and its body."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=environment.red.url, trust_env=False, timeout=MAX_WAIT_SECONDS
    ) as http:
        answer = await http.post("/wechat/send", headers={**headers, **request.pop("headers", {})}, **request)
    return answer.status_code, answer.json()


async def assert_all_refused(environment: NodeRedEnvironment, code: str) -> None:
    """Rings, asks and calls; checks that all three report that WeChat did not take it."""
    since = len(environment.red.output)
    await environment.press("picture without a camera")
    await environment.press_in_flow("ask", "try it")
    status, body = await call_webhook(environment, json={"text": "called"})
    assert (status, body["code"]) == (502, code), body
    debug_output = environment.shown
    assert f"({code})" in await debug_output("not sent", "Picture not sent to me: ", since=since)
    assert await debug_output("not sent", "Not sent to me: ", since=since)
    assert await debug_output("no answer", "The question was not sent: ", since=since)


async def test_with_the_window_open_each_arrives_beside_all_others(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await load_all(environment, WAIT=60)
    since, sent = len(environment.red.output), await sent_count(home)
    status, body = await call_webhook(environment, json={"title": "NAS", "message": "Disk 2 is full"})
    assert (status, body["status"]) == (200, "sent")
    await wait_for_text(home, "NAS\nDisk 2 is full", sent)
    await environment.press("picture without a camera")
    assert await environment.shown("sent", "Picture", since=since) == "Picture sent to me"
    caption, picture = (await home.bot.get("ilink/sent"))[-2:]
    assert (caption["text"], picture["kind"]) == (CAPTION, "image")
    await environment.press_in_flow("ask", "try it")
    await wait_for_text(home, f"{QUESTION}\n1 Yes 是\n2 No 否", sent)
    await home.bot.write("1")
    answer = json.loads(await environment.shown("first button", since=since))
    assert (answer["text"], answer["user"]) == ("Yes 是", "me")
    assert environment.red.all_shown("not sent", since=since) == []


async def test_each_flow_reports_that_the_window_is_shut(environment: NodeRedEnvironment, home: ILinkHome):
    await load_all(environment)
    await home.bot.post("ilink/window", ago=25 * 3600)
    await assert_all_refused(environment, "window_closed")


async def test_each_flow_reports_that_the_quota_is_used(environment: NodeRedEnvironment, home: ILinkHome):
    await load_all(environment)
    await use_up_quota(home)
    await assert_all_refused(environment, "quota_used")


async def test_with_room_for_one_message_a_caption_and_its_picture_wait_together(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await load_all(environment, WAIT=60)
    for _ in range(8):
        assert (await home.send_command("me", "chatter"))["status"] == "sent"
    since, sent = len(environment.red.output), await sent_count(home)
    await environment.press("picture without a camera")
    await home.body("wx/event/held")
    await home.bot.write("hello")
    assert await environment.shown("sent", "Picture", since=since) == "Picture sent to me"
    lines = (await home.bot.get("ilink/sent"))[sent:]
    texts = [line["text"] for line in lines]  # remote-control also answers the hello
    caption, picture = lines[texts.index(CAPTION) :][:2]
    assert (caption["text"], picture["kind"]) == (CAPTION, "image")


async def test_an_urgent_call_goes_by_the_fallback_at_once(environment: NodeRedEnvironment, home: ILinkHome):
    """Neither `WAIT` nor `fallback.after` is over when the call is answered."""
    await load_all(environment, WAIT=600)
    async with with_fallback(home, after="10m") as service:
        await home.bot.post("ilink/window", ago=25 * 3600)
        status, body = await call_webhook(environment, data={"text": "Water!", "urgent": "true"})
        assert (status, body["status"], body["fallback"]) == (200, "failed", "sent")
        (alert, *_) = await home.in_thread(service.wait, 1)
        assert alert["message"] == "Water!"


async def test_an_urgent_call_without_a_fallback_is_refused_at_once(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await load_all(environment, WAIT=600)
    await home.bot.post("ilink/window", ago=25 * 3600)
    status, body = await call_webhook(environment, json={"text": "Water!", "urgent": True})
    assert (status, body["status"], body["code"]) == (502, "failed", "window_closed")


async def connect_urgent_calls_to_alarm(environment: NodeRedEnvironment) -> None:
    """Adds the nodes of the README: first output → switch (`msg.payload.urgent`) → change (`ON`) → mqtt out."""
    flow = environment.flow
    (call_node,) = [node for node in flow if node.get("name") == "call and result"]
    tab, broker = call_node["z"], next(node["id"] for node in flow if node["type"] == "mqtt-broker")
    switch, change, publish = (f"7e57c0de0000000{number}" for number in range(3))
    nodes: Nodes = [
        {
            "id": switch,
            "type": "switch",
            "z": tab,
            "property": "payload.urgent",
            "propertyType": "msg",
            "rules": [{"t": "true"}],
            "outputs": 1,
            "wires": [[change]],
        },
        {
            "id": change,
            "type": "change",
            "z": tab,
            "rules": [{"t": "set", "p": "payload", "pt": "msg", "to": "ON", "tot": "str"}],
            "wires": [[publish]],
        },
        {
            "id": publish,
            "type": "mqtt out",
            "z": tab,
            "topic": "home/water/alarm",
            "qos": "1",
            "retain": "false",
            "broker": broker,
            "wires": [],
        },
    ]
    call_node["wires"][0].append(switch)
    await environment.deploy([*flow, *nodes])


async def test_each_urgent_call_can_begin_the_alarm(environment: NodeRedEnvironment, home: ILinkHome):
    await load_all(environment, WAIT=60)
    await connect_urgent_calls_to_alarm(environment)
    since = len(environment.red.output)
    assert (await call_webhook(environment, token="wrong", json={"text": "x", "urgent": True}))[0] == 401
    assert (await call_webhook(environment, json={"text": "The washing is done"}))[0] == 200
    assert (await call_webhook(environment, json={"text": "Disk 2 is full", "urgent": True}))[0] == 200
    assert await environment.shown("told", since=since) == "me was told"
    texts = [line["text"] for line in await home.bot.get("ilink/sent")]
    assert [text.split("\n")[0] for text in texts[-3:]] == [
        "The washing is done",
        "Disk 2 is full",
        "💧 Water in the cellar! 地下室漏水！",
    ]
    await home.bot.write("好")
    assert "sees to it" in await environment.shown("answered", since=since)


async def test_a_call_that_is_not_sent_begins_the_alarm_too(environment: NodeRedEnvironment, home: ILinkHome):
    await load_all(environment, WAIT=60)
    await connect_urgent_calls_to_alarm(environment)
    await home.bot.post("ilink/window", ago=25 * 3600)
    since = len(environment.red.output)
    assert (await call_webhook(environment, json={"text": "Water!", "urgent": True}))[0] == 502
    assert "me was not told" in await environment.shown("not reached", since=since)


async def test_a_message_that_wechat_takes_without_an_id_is_not_a_failure_of_the_call(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await load_all(environment, WAIT=60)
    await home.bot.post("ilink/mute")
    try:
        status, body = await call_webhook(environment, json={"text": "in doubt"})
        assert (status, body["status"], body["code"]) == (200, "sent", "unconfirmed")
    finally:
        await home.bot.post("ilink/mute", on=False)


async def test_each_flow_reports_that_the_login_has_ended(environment: NodeRedEnvironment, home: ILinkHome):
    await load_all(environment)
    seen = home.subscriber.count
    await home.bot.post("ilink/kill")
    await home.in_thread(
        home.subscriber.wait,
        "wx/login/state",
        lambda message: message.body["state"] in {"logged_out", "waiting_for_scan"},
        since=seen,
    )
    try:
        await assert_all_refused(environment, "logged_out")
    finally:
        seen = home.subscriber.count
        await home.scan()
        await home.body("wx/login/state", state="online", since=seen)
        await home.bot.wait("polling")


async def test_a_call_with_the_bridge_offline_is_reported_and_sent_once_if_it_comes_back_in_time(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await load_all(environment, WAIT=1)
    await home.in_thread(home.bridge.stop)
    status, body = await call_webhook(environment, json={"text": "nobody there"})
    assert (status, body["status"]) == (504, "no_result")
    await load_all(environment, WAIT=60)
    before = await sent_count(home)
    calling = asyncio.create_task(call_webhook(environment, json={"text": "later"}))
    await home.restart()
    assert (await calling)[0] == 200
    assert [line["text"] for line in (await home.bot.get("ilink/sent"))[before:]] == ["later"]


async def test_a_call_with_the_id_of_an_earlier_one_is_sent_once(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await load_all(environment, WAIT=60)
    before = await sent_count(home)
    calls = [call_webhook(environment, json={"text": "once", "id": "job 17"}) for _ in range(3)]
    assert [status for status, _ in await asyncio.gather(*calls)] == [200, 200, 200]
    assert (await call_webhook(environment, json={"text": "once", "id": "job 17"}))[0] == 200
    assert await sent_count(home) == before + 1


async def test_a_call_may_have_a_text_a_form_or_json(environment: NodeRedEnvironment, home: ILinkHome):
    await load_all(environment, WAIT=60)
    before = await sent_count(home)
    calls: list[dict[str, Any]] = [
        {"content": "衣服洗好了".encode(), "headers": {"Content-Type": "text/plain; charset=utf-8"}},
        {"data": {"title": "NAS", "body": "full"}},
        {"json": {"status": "firing", "alerts": 2}},
        {"json": {"content": "by address"}, "params": {"token": TOKEN}, "token": None},
    ]
    for fields in calls:
        assert (await call_webhook(environment, **fields))[0] == 200
    texts = [line["text"] for line in (await home.bot.get("ilink/sent"))[before:]]
    assert texts == ["衣服洗好了", "NAS\nfull", '{"status":"firing","alerts":2}', "by address"]


async def test_a_call_without_its_token_or_without_a_text_reaches_nobody(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await load_all(environment)
    before, since = await sent_count(home), len(environment.red.output)
    assert (await call_webhook(environment, token=None, json={"text": "x"}))[0] == 401
    assert (await call_webhook(environment, token="wrong", json={"text": "x"}))[0] == 401
    assert (await call_webhook(environment, json={"title": ""}))[0] == 400
    await load_all(environment, TOKEN="", LANGUAGE="zh")
    status, body = await call_webhook(environment, token=None, json={"text": "x"})
    assert (status, body["message"]) == (403, "请在此流程的标签页里填 TOKEN")
    await environment.shown("not sent", "请在此流程的标签页里填 TOKEN", since=since)
    assert await sent_count(home) == before
