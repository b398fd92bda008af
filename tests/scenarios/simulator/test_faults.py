"""Each fault that can be ordered, seen from the client's side."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.web_client import PREFIX, WebClient
from wx2mqtt.simulator.server import Simulator


async def order(client: WebClient, endpoint: str, kind: str, **other) -> None:
    await client.control("fault", endpoint=endpoint, kind=kind, **other)


async def test_an_http_status_comes_instead_of_the_answer(online: WebClient):
    await order(online, "synccheck", "status", value=502)
    response = await online.http.get(PREFIX + "synccheck")
    assert response.status_code == 502
    assert await online.violations() == [], "the call was not looked at"
    await order(online, "webwxsync", "status")
    assert (await online.sync_response()).status_code == 503


async def test_a_ret_takes_the_shape_of_each_call(online: WebClient):
    await order(online, "webwxsync", "ret", value=-1)
    assert (await online.sync())["BaseResponse"] == {"Ret": -1, "ErrMsg": ""}
    await order(online, "synccheck", "ret", value=1103)
    assert await online.check() == 'window.synccheck={retcode:"1103",selector:"0"}'
    await order(online, "webwxnewloginpage", "ret", value=1203)
    assert "<ret>1203</ret>" in (await online.http.get(PREFIX + "webwxnewloginpage")).text
    await order(online, "webwxpushloginurl", "ret", value=2)
    assert (await online.http.get(PREFIX + "webwxpushloginurl")).json()["ret"] == "2"


@pytest.mark.parametrize("selector", range(8))
async def test_every_selector_can_come(online: WebClient, selector: int):
    await order(online, "synccheck", "selector", value=selector)
    assert await online.check() == f'window.synccheck={{retcode:"0",selector:"{selector}"}}'


@pytest.mark.parametrize("retcode", [1100, 1101, 1102, 1103, 1205])
async def test_every_retcode_can_come(online: WebClient, retcode: int):
    await order(online, "synccheck", "retcode", value=retcode)
    assert await online.check() == f'window.synccheck={{retcode:"{retcode}",selector:"0"}}'


@pytest.mark.parametrize("code", [0, 202, 400, 402, 408, 500])
async def test_every_code_of_the_login_poll_can_come(browser: WebClient, code: int):
    uuid = await browser.uuid()
    await order(browser, "login", "code", value=code)
    assert await browser.poll(uuid) == f"window.code={code};"
    await order(browser, "jslogin", "code", value=code)
    assert (await browser.jslogin()).text.startswith(f"window.QRLogin.code = {code};")


async def test_a_hang_lasts_until_the_client_goes(online: WebClient):
    await order(online, "synccheck", "hang")
    with pytest.raises(httpx.ReadTimeout):
        await online.http.get(PREFIX + "synccheck", timeout=httpx.Timeout(MAX_WAIT_SECONDS, read=0.1))
    assert (await online.sync())["BaseResponse"]["Ret"] == 0
    assert await online.violations() == []


async def test_a_hang_can_end_by_itself_without_an_answer(online: WebClient):
    await order(online, "synccheck", "hang", value=0.05)
    with pytest.raises(httpx.RemoteProtocolError):
        await online.check()


async def test_a_reset_is_a_reset(sim: Simulator, online: WebClient):
    await order(online, "webwxsendmsg", "reset")
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(b"POST /cgi-bin/mmwebwx-bin/webwxsendmsg HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    assert await online.seen("sent") == []


async def test_a_dropped_answer_belongs_to_a_message_that_was_taken(online: WebClient):
    await order(online, "webwxsendmsg", "drop_answer")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        await online.say("filehelper", "taken")
    assert [one["text"] for one in await online.seen("sent")] == ["taken"]


async def test_a_truncated_answer_is_shorter_than_it_says(online: WebClient):
    await online.control("say", text="a")
    await order(online, "webwxsync", "truncate")
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        await online.sync()
    await order(online, "webwxsendmsg", "truncate", value=0)
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        await online.say("filehelper", "taken")
    assert len(await online.seen("sent")) == 1
    assert (await online.sync())["AddMsgCount"] == 1, "the same key brings it again"


async def test_garbage_a_web_page_and_nothing_at_all(online: WebClient):
    await order(online, "webwxsync", "garbage")
    with pytest.raises(ValueError):
        await online.sync()
    await order(online, "webwxsync", "garbage", value="[]")
    assert (await online.sync_response()).text == "[]"
    await order(online, "webwxsync", "html")
    assert "<html>" in (await online.sync_response()).text
    await order(online, "synccheck", "empty")
    assert await online.check() == ""


async def test_a_status_line_that_is_none(online: WebClient):
    await order(online, "synccheck", "bad_status_line")
    with pytest.raises(httpx.RemoteProtocolError):
        await online.check()


async def test_another_charset_makes_the_body_no_utf_8(online: WebClient):
    await online.control("say", text="开灯")
    await order(online, "webwxsync", "charset")
    content = (await online.sync_response()).content
    with pytest.raises(UnicodeDecodeError):
        content.decode()
    assert "开灯" in content.decode("gbk")


async def test_a_server_can_be_stuck_with_nothing_and_the_same_key(online: WebClient):
    await online.control("say", text="a")
    before = online.sync_key
    await order(online, "synccheck", "selector", value=2)
    await order(online, "webwxsync", "stuck")
    assert (await online.check()).endswith('selector:"2"}')
    answer = await online.sync()
    assert (answer["AddMsgCount"], online.sync_key) == (0, before)
    assert (await online.sync())["AddMsgCount"] == 1


async def test_a_delay_comes_before_the_call_is_carried_out(online: WebClient):
    await order(online, "webwxsendmsg", "delay", value=0.05)
    began = time.monotonic()
    assert (await online.say("filehelper", "late"))["BaseResponse"]["Ret"] == 0
    assert time.monotonic() - began >= 0.05


async def test_a_call_that_is_held_is_carried_out_when_the_faults_are_cleared(online: WebClient):
    await order(online, "webwxsendmsg", "hold")
    saying = asyncio.create_task(online.say("filehelper", "held"))
    await online.seen("wait", **{"for": "calls:webwxsendmsg:1"})
    assert await online.seen("sent") == []
    await online.control("fault/clear")
    assert (await saying)["BaseResponse"]["Ret"] == 0
    assert [line["text"] for line in await online.seen("sent")] == ["held"]


async def test_a_late_answer_comes_after_the_call_was_carried_out(online: WebClient):
    await order(online, "webwxsendmsg", "late", value=2 * MAX_WAIT_SECONDS)
    saying = asyncio.create_task(online.say("filehelper", "late"))
    assert [one["text"] for one in await online.seen("sent", wait=MAX_WAIT_SECONDS)] == ["late"]
    assert not saying.done()
    saying.cancel()


async def test_faults_are_counted_skip_calls_and_can_be_cleared(online: WebClient):
    await order(online, "webwxsync", "status", times=2, skip=1)
    assert [(await online.sync_response()).status_code for _ in range(4)] == [200, 503, 503, 200]
    await order(online, "*", "status", times=0)
    assert (await online.sync_response()).status_code == (await online.jslogin()).status_code == 503
    assert (await online.seen("state"))["faults"][0]["endpoint"] == "*", "the control is not touched"
    await online.control("fault/clear")
    assert (await online.sync_response()).status_code == 200


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
async def test_a_fault_that_cannot_be_is_refused(browser: WebClient, wrong):
    answer = await browser.http.post("/sim/fault", json=wrong)
    assert answer.status_code == 400
    assert answer.json()["error"]
