"""Each fault that can be ordered, seen from the client's side."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.web_client import PREFIX, WebClient
from wx2mqtt.simulator.server import Simulator


async def order_fault(client: WebClient, endpoint: str, kind: str, **other) -> None:
    await client.control("fault", endpoint=endpoint, kind=kind, **other)


async def test_an_http_status_comes_instead_of_the_answer(online_client: WebClient):
    await order_fault(online_client, "synccheck", "status", value=502)
    response = await online_client.http.get(PREFIX + "synccheck")
    assert response.status_code == 502
    assert await online_client.violations() == [], "the call was not looked at"
    await order_fault(online_client, "webwxsync", "status")
    assert (await online_client.sync_response()).status_code == 503


async def test_an_ordered_ret_comes_in_the_answer_format_of_each_call(online_client: WebClient):
    await order_fault(online_client, "webwxsync", "ret", value=-1)
    assert (await online_client.sync())["BaseResponse"] == {"Ret": -1, "ErrMsg": ""}
    await order_fault(online_client, "synccheck", "ret", value=1103)
    assert await online_client.check() == 'window.synccheck={retcode:"1103",selector:"0"}'
    await order_fault(online_client, "webwxnewloginpage", "ret", value=1203)
    assert "<ret>1203</ret>" in (await online_client.http.get(PREFIX + "webwxnewloginpage")).text
    await order_fault(online_client, "webwxpushloginurl", "ret", value=2)
    assert (await online_client.http.get(PREFIX + "webwxpushloginurl")).json()["ret"] == "2"


@pytest.mark.parametrize("selector", range(8))
async def test_every_selector_can_come(online_client: WebClient, selector: int):
    await order_fault(online_client, "synccheck", "selector", value=selector)
    assert await online_client.check() == f'window.synccheck={{retcode:"0",selector:"{selector}"}}'


@pytest.mark.parametrize("retcode", [1100, 1101, 1102, 1103, 1205])
async def test_every_retcode_can_come(online_client: WebClient, retcode: int):
    await order_fault(online_client, "synccheck", "retcode", value=retcode)
    assert await online_client.check() == f'window.synccheck={{retcode:"{retcode}",selector:"0"}}'


@pytest.mark.parametrize("code", [0, 202, 400, 402, 408, 500])
async def test_every_code_of_the_login_poll_can_come(web_client: WebClient, code: int):
    uuid = await web_client.uuid()
    await order_fault(web_client, "login", "code", value=code)
    assert await web_client.poll(uuid) == f"window.code={code};"
    await order_fault(web_client, "jslogin", "code", value=code)
    assert (await web_client.jslogin()).text.startswith(f"window.QRLogin.code = {code};")


async def test_a_hang_lasts_until_the_client_goes(online_client: WebClient):
    await order_fault(online_client, "synccheck", "hang")
    with pytest.raises(httpx.ReadTimeout):
        await online_client.http.get(PREFIX + "synccheck", timeout=httpx.Timeout(MAX_WAIT_SECONDS, read=0.1))
    assert (await online_client.sync())["BaseResponse"]["Ret"] == 0
    assert await online_client.violations() == []


async def test_a_hang_can_end_by_itself_without_an_answer(online_client: WebClient):
    await order_fault(online_client, "synccheck", "hang", value=0.05)
    with pytest.raises(httpx.RemoteProtocolError):
        await online_client.check()


async def test_a_reset_fault_resets_the_connection(sim: Simulator, online_client: WebClient):
    await order_fault(online_client, "webwxsendmsg", "reset")
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(b"POST /cgi-bin/mmwebwx-bin/webwxsendmsg HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    assert await online_client.seen("sent") == []


async def test_a_dropped_answer_belongs_to_a_message_that_was_taken(online_client: WebClient):
    await order_fault(online_client, "webwxsendmsg", "drop_answer")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        await online_client.say("filehelper", "taken")
    assert [message["text"] for message in await online_client.seen("sent")] == ["taken"]


async def test_a_truncated_answer_is_shorter_than_it_says(online_client: WebClient):
    await online_client.control("say", text="a")
    await order_fault(online_client, "webwxsync", "truncate")
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        await online_client.sync()
    await order_fault(online_client, "webwxsendmsg", "truncate", value=0)
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        await online_client.say("filehelper", "taken")
    assert len(await online_client.seen("sent")) == 1
    assert (await online_client.sync())["AddMsgCount"] == 1, "the same key brings it again"


async def test_garbage_a_web_page_and_nothing_at_all(online_client: WebClient):
    await order_fault(online_client, "webwxsync", "garbage")
    with pytest.raises(ValueError):
        await online_client.sync()
    await order_fault(online_client, "webwxsync", "garbage", value="[]")
    assert (await online_client.sync_response()).text == "[]"
    await order_fault(online_client, "webwxsync", "html")
    assert "<html>" in (await online_client.sync_response()).text
    await order_fault(online_client, "synccheck", "empty")
    assert await online_client.check() == ""


async def test_the_status_line_can_be_malformed(online_client: WebClient):
    await order_fault(online_client, "synccheck", "bad_status_line")
    with pytest.raises(httpx.RemoteProtocolError):
        await online_client.check()


async def test_another_charset_makes_the_body_no_utf_8(online_client: WebClient):
    await online_client.control("say", text="开灯")
    await order_fault(online_client, "webwxsync", "charset")
    content = (await online_client.sync_response()).content
    with pytest.raises(UnicodeDecodeError):
        content.decode()
    assert "开灯" in content.decode("gbk")


async def test_a_sync_can_be_stuck_without_messages_and_with_the_same_key(online_client: WebClient):
    await online_client.control("say", text="a")
    before = online_client.sync_key
    await order_fault(online_client, "synccheck", "selector", value=2)
    await order_fault(online_client, "webwxsync", "stuck")
    assert (await online_client.check()).endswith('selector:"2"}')
    answer = await online_client.sync()
    assert (answer["AddMsgCount"], online_client.sync_key) == (0, before)
    assert (await online_client.sync())["AddMsgCount"] == 1


async def test_a_delay_comes_before_the_call_is_carried_out(online_client: WebClient):
    await order_fault(online_client, "webwxsendmsg", "delay", value=0.05)
    began = time.monotonic()
    assert (await online_client.say("filehelper", "late"))["BaseResponse"]["Ret"] == 0
    assert time.monotonic() - began >= 0.05


async def test_a_call_that_is_held_is_carried_out_when_the_faults_are_cleared(online_client: WebClient):
    await order_fault(online_client, "webwxsendmsg", "hold")
    sending = asyncio.create_task(online_client.say("filehelper", "held"))
    await online_client.seen("wait", **{"for": "calls:webwxsendmsg:1"})
    assert await online_client.seen("sent") == []
    await online_client.control("fault/clear")
    assert (await sending)["BaseResponse"]["Ret"] == 0
    assert [line["text"] for line in await online_client.seen("sent")] == ["held"]


async def test_a_late_answer_comes_after_the_call_was_carried_out(online_client: WebClient):
    await order_fault(online_client, "webwxsendmsg", "late", value=2 * MAX_WAIT_SECONDS)
    sending = asyncio.create_task(online_client.say("filehelper", "late"))
    assert [message["text"] for message in await online_client.seen("sent", wait=MAX_WAIT_SECONDS)] == [
        "late"
    ]
    assert not sending.done()
    sending.cancel()


async def test_faults_are_counted_skip_calls_and_can_be_cleared(online_client: WebClient):
    await order_fault(online_client, "webwxsync", "status", times=2, skip=1)
    assert [(await online_client.sync_response()).status_code for _ in range(4)] == [200, 503, 503, 200]
    await order_fault(online_client, "*", "status", times=0)
    assert (
        (await online_client.sync_response()).status_code
        == (await online_client.jslogin()).status_code
        == 503
    )
    assert (await online_client.seen("state"))["faults"][0]["endpoint"] == "*", "the control is not touched"
    await online_client.control("fault/clear")
    assert (await online_client.sync_response()).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "nowhere", "kind": "status"},
        {"endpoint": "login", "kind": "strange"},
        {"endpoint": "login", "kind": "status", "value": "503"},
        {"endpoint": "login", "kind": "garbage", "value": 7},
        {"endpoint": "login", "kind": "charset", "value": "klingon"},
        {"endpoint": "login", "kind": "status", "times": -1},
    ],
)
async def test_a_fault_that_cannot_be_is_refused(web_client: WebClient, wrong):
    answer = await web_client.http.post("/sim/fault", json=wrong)
    assert answer.status_code == 400
    assert answer.json()["error"]
