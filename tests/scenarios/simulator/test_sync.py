"""Receiving: keys, repeated keys, selectors, the end of a login (webwx 2.10, 2.11)."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.web_client import WebClient
from wx2mqtt.simulator.endpoints import sync
from wx2mqtt.simulator.server import Simulator


def texts(answer) -> list[str]:
    return [message["Content"] for message in answer["AddMsgList"]]


async def test_a_message_wakes_the_poll_that_is_held(online_client: WebClient):
    poll = asyncio.create_task(online_client.check())
    assert (await online_client.seen("wait", **{"for": "polling"}))["ready"]
    await online_client.control("say", text="开灯")
    assert await poll == 'window.synccheck={retcode:"0",selector:"2"}'
    assert texts(await online_client.sync()) == ["开灯"]


async def test_a_poll_that_nothing_interrupts_ends_after_the_hold(sim: Simulator, online_client: WebClient):
    sim.wechat.settings.hold_sync = 0.05
    assert await online_client.check() == 'window.synccheck={retcode:"0",selector:"0"}'


async def test_a_sync_is_plain_text_without_a_charset_in_raw_utf_8_with_new_cookies(online_client: WebClient):
    await online_client.control("say", text="开灯 ☀")
    answer = await online_client.sync_response()
    assert answer.headers["content-type"] == "text/plain"
    assert "开灯".encode() in answer.content
    assert {line.partition("=")[0] for line in answer.headers.get_list("set-cookie")} == {
        "wxuin",
        "wxsid",
        "webwx_data_ticket",
        "wxloadtime",
    }


async def test_every_field_of_a_message_is_there(online_client: WebClient):
    await online_client.control("say", text="a")
    message = (await online_client.sync())["AddMsgList"][0]
    assert set(message) == {
        "MsgId",
        "FromUserName",
        "ToUserName",
        "MsgType",
        "Content",
        "Status",
        "ImgStatus",
        "CreateTime",
        "VoiceLength",
        "PlayLength",
        "FileName",
        "FileSize",
        "MediaId",
        "Url",
        "AppMsgType",
        "StatusNotifyCode",
        "StatusNotifyUserName",
        "RecommendInfo",
        "ForwardFlag",
        "AppInfo",
        "HasProductId",
        "Ticket",
        "ImgHeight",
        "ImgWidth",
        "SubMsgType",
        "NewMsgId",
        "OriContent",
        "EncryFileName",
    }
    assert message["MsgId"] == str(message["NewMsgId"])
    assert message["NewMsgId"] > 2**53


async def test_an_old_key_brings_the_same_again(online_client: WebClient):
    key = online_client.sync_key
    await online_client.control("say", text="eins")
    first = await online_client.sync_response(key)
    await online_client.control("say", text="zwei")
    assert texts(await online_client.sync(key)) == ["eins", "zwei"]
    assert texts(json.loads(first.content)) == ["eins"]
    assert texts(await online_client.sync(json.loads(first.content)["SyncKey"])) == ["zwei"]
    assert await online_client.violations() == []


async def test_sync_key_and_check_key_differ_and_both_name_the_place(online_client: WebClient):
    await online_client.control("say", text="eins")
    await online_client.sync()
    assert online_client.check_key != online_client.sync_key
    await online_client.control("say", text="zwei")
    assert await online_client.check() == 'window.synccheck={retcode:"0",selector:"2"}'
    assert texts(await online_client.sync(online_client.check_key)) == ["zwei"], (
        "itchat fetches with the SyncCheckKey"
    )


async def test_an_answer_without_check_key_is_possible(online_client: WebClient):
    await online_client.control("settings", check_key=False)
    assert "SyncCheckKey" not in await online_client.sync()


async def test_many_messages_come_in_batches_and_can_say_that_more_is_waiting(online_client: WebClient):
    await online_client.control("settings", continue_flag=True)
    await online_client.control("say", text="{n}", count=120)
    flags, seen = [], []
    for _ in range(3):
        answer = await online_client.sync()
        flags.append(answer["ContinueFlag"])
        seen += texts(answer)
    assert flags == [1, 1, 0]
    assert seen == [str(number) for number in range(1, 121)]


async def test_nothing_new_leaves_the_key_where_it_is(online_client: WebClient):
    before = online_client.sync_key
    answer = await online_client.sync()
    assert answer["AddMsgCount"] == answer["ModContactCount"] == answer["DelContactCount"] == 0
    assert online_client.sync_key == before


async def test_new_skeys_and_new_tickets_come_with_a_sync_when_asked(online_client: WebClient):
    await online_client.control("settings", sync_skey=True, rotate_tickets=True)
    skey, ticket = online_client.skey, online_client.http.cookies["webwx_data_ticket"]
    await online_client.sync()
    assert online_client.skey != skey
    assert online_client.http.cookies["webwx_data_ticket"] != ticket
    assert (await online_client.sync())["BaseResponse"]["Ret"] == 0
    assert await online_client.violations() == []


async def test_a_ticket_that_is_too_old_is_1102(online_client: WebClient):
    await online_client.control("settings", ticket_life=0.0)
    assert (await online_client.sync())["BaseResponse"]["Ret"] == 1102


async def test_a_test_can_replace_fields_of_the_next_sync(online_client: WebClient):
    unusual = [{"MsgId": "1", "Content": None}, 7, "text", {"MsgType": 424242}]
    await online_client.control(
        "raw", AddMsgList=unusual, ModContactList=[{"UserName": "@x"}], DelContactList=[]
    )
    answer = await online_client.sync()
    assert answer["AddMsgList"] == unusual
    assert answer["ModContactList"] == [{"UserName": "@x"}]
    assert (await online_client.http.post("/sim/raw", json={"AddMsgList": 7})).status_code == 400
    assert (await online_client.http.post("/sim/raw", json={"Other": []})).status_code == 409


@pytest.mark.parametrize("retcode", [1100, 1101, 1102])
async def test_a_logout_by_the_phone_ends_the_poll_and_every_later_call(
    online_client: WebClient, retcode: int
):
    poll = asyncio.create_task(online_client.check())
    assert (await online_client.seen("wait", **{"for": "polling"}))["ready"]
    await online_client.control("logout", retcode=retcode)
    assert await poll == f'window.synccheck={{retcode:"{retcode}",selector:"0"}}'
    assert (await online_client.sync())["BaseResponse"]["Ret"] == retcode
    assert (await online_client.say("filehelper", "a"))["BaseResponse"]["Ret"] == retcode
    assert (await online_client.contacts())["BaseResponse"]["Ret"] == retcode
    assert await online_client.violations() == []
    assert (await online_client.http.post("/sim/logout", json={})).status_code == 409


async def test_a_login_that_the_servers_forgot_is_1100(online_client: WebClient):
    await online_client.control("reset")
    assert await online_client.check() == 'window.synccheck={retcode:"1100",selector:"0"}'
    assert await online_client.violations() == []


async def test_messages_that_were_written_while_nobody_was_logged_in_do_not_come(online_client: WebClient):
    await online_client.control("logout")
    await online_client.control("say", text="missed")
    await online_client.log_in()
    assert await online_client.all_new() == []
    assert [line["text"] for line in (await online_client.seen("feed"))["lines"]] == ["missed"]


async def test_a_resumed_init_keeps_names_and_starts_at_the_head(online_client: WebClient):
    me = online_client.me
    await online_client.control("say", text="a")
    key = online_client.sync_key
    await online_client.init()
    assert online_client.me == me
    assert await online_client.all_new() == []
    assert texts(await online_client.sync(key)) == ["a"], "and the old key is still good"


async def test_a_message_between_the_ticket_and_webwxinit_is_not_lost(web_client: WebClient):
    await web_client.new_login_page(await web_client.confirmed(await web_client.uuid()))
    await web_client.control("say", text="early")
    await web_client.init()
    assert [message["Content"] for message in await web_client.all_new()] == ["early"]


async def test_two_polls_at_once_are_a_violation_but_a_client_that_left_does_not_count(
    sim: Simulator, online_client: WebClient
):
    poll = asyncio.create_task(online_client.check())
    assert (await online_client.seen("wait", **{"for": "polling"}))["ready"]
    await online_client.sync()
    assert await online_client.violations() == [
        "webwxsync: another synccheck or webwxsync of this login is still open"
    ]
    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)
    await online_client.control("violations/clear")
    await online_client.sync()
    assert await online_client.violations() == []


@pytest.fixture
def long_busy_loop_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the time in which calls count as a busy loop longer, since a busy machine is slow."""
    monkeypatch.setattr(sync, "_BUSY_LOOP_SECONDS", MAX_WAIT_SECONDS)


async def test_a_busy_loop_is_a_violation_and_is_answered_503(
    online_client: WebClient, long_busy_loop_time: None
):
    await online_client.control("say", text="a")
    answers = [await online_client.check() for _ in range(11)]
    assert "503" in answers[-1]
    assert await online_client.violations() == ["synccheck: more than 10 in a second that brought nothing"]
    await online_client.control("settings", poll_limit=0)
    assert "503" not in await online_client.check()


async def test_fetching_nothing_in_a_busy_loop_is_a_violation(
    online_client: WebClient, long_busy_loop_time: None
):
    for _ in range(11):
        response = await online_client.sync_response()
    assert response.status_code == 503
    assert set(await online_client.violations()) == {
        "webwxsync: more than 10 in a second that brought nothing"
    }


async def test_ten_thousand_messages_are_fetched_without_a_violation(online_client: WebClient):
    ids = (await online_client.control("say", text="消息 {n}", count=10_000))["msg_ids"]
    assert [message["MsgId"] for message in await online_client.all_new()] == ids
    assert await online_client.violations() == []


async def test_the_log_of_a_login_says_what_the_client_has_confirmed_by_a_later_key(online_client: WebClient):
    ids = (await online_client.control("say", text="消息 {n}", count=3))["msg_ids"]
    assert await online_client.seen("logs") == [{"active": True, "messages": ids, "confirmed": 0}]
    await online_client.sync()
    assert (await online_client.seen("logs"))[0]["confirmed"] == 0
    later = (await online_client.control("say", text="later"))["msg_ids"]
    await online_client.check()
    await online_client.control("logout")
    assert await online_client.seen("logs") == [{"active": False, "messages": ids + later, "confirmed": 3}]


async def test_a_message_before_a_repeated_webwxinit_counts_as_undelivered_if_the_first_answer_was_lost(
    web_client: WebClient,
):
    """The record must say so: no client can fetch the message, since the second answer begins behind it."""
    await web_client.new_login_page(await web_client.confirmed(await web_client.uuid()))
    await web_client.control("fault", endpoint="webwxinit", kind="drop_answer")
    with pytest.raises(httpx.RemoteProtocolError):
        await web_client.init()
    await web_client.control("say", text="between")
    await web_client.init()
    assert await web_client.violations() == []
    after = await web_client.control("say", text="after")
    assert texts({"AddMsgList": await web_client.all_new()}) == ["after"]
    (log,) = await web_client.seen("logs")
    assert log == {"active": True, "messages": after["msg_ids"], "confirmed": 1}


async def test_a_message_before_a_repeated_webwxinit_counts_as_delivered_if_a_key_of_the_first_came_back(
    online_client: WebClient,
):
    before = await online_client.control("say", text="before")
    await online_client.init()
    assert await online_client.all_new() == []
    (log,) = await online_client.seen("logs")
    assert log["messages"] == before["msg_ids"]
