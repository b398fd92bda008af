"""Messages that a client sends, and WeChat's answers (webwx 2.7, 2.12, 2.15, 2.20)."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.web_client import WebClient, client_msg_id


def ret(answer) -> int:
    value: int = answer["BaseResponse"]["Ret"]
    return value


async def test_a_text_is_taken_and_seen_by_name(online: WebClient):
    names = await online.seen("names")
    key = client_msg_id()
    answer = await online.say(names["wife"], '开灯 ☀ "<b>"', key)
    assert answer == {"BaseResponse": {"Ret": 0, "ErrMsg": ""}, "MsgID": answer["MsgID"], "LocalID": key}
    sent = (await online.seen("sent"))[0]
    assert sent == {
        "n": 1,
        "to": "wife",
        "text": '开灯 ☀ "<b>"',
        "kind": "text",
        "client_msg_id": key,
        "msg_id": answer["MsgID"],
        "time": sent["time"],
        "repeat": False,
        "delivered": True,
        "media": None,
        "sha256": "",
    }
    assert await online.all_new() == [], "it does not come back"


async def test_sent_waits_for_more(online: WebClient):
    waiting = asyncio.create_task(online.seen("sent", after=1, wait=MAX_WAIT_SECONDS))
    await online.say("filehelper", "eins")
    await online.say("filehelper", "zwei")
    assert [one["text"] for one in await waiting] == ["zwei"]


async def test_an_echo_comes_back_when_asked(online: WebClient):
    await online.control("settings", echo=True)
    answer = await online.say("filehelper", "a & b")
    echo = (await online.all_new())[0]
    assert (echo["MsgId"], echo["FromUserName"], echo["ToUserName"]) == (
        answer["MsgID"],
        online.me,
        "filehelper",
    )
    assert echo["Content"] == "a &amp; b"


async def test_a_repeat_is_dropped_and_gets_the_first_answer(online: WebClient):
    key = client_msg_id()
    first, second = [await online.say("filehelper", "a", key) for _ in range(2)]
    assert first == second
    assert [(one["repeat"], one["delivered"]) for one in await online.seen("sent")] == [
        (False, True),
        (True, False),
    ]


async def test_a_repeat_is_delivered_twice_when_wechat_does_not_look(online: WebClient):
    await online.control("settings", drop_repeats=False)
    key = client_msg_id()
    first, second = [await online.say("filehelper", "a", key) for _ in range(2)]
    assert first["MsgID"] != second["MsgID"]
    assert [(one["repeat"], one["delivered"]) for one in await online.seen("sent")] == [
        (False, True),
        (True, True),
    ]


async def test_a_repeat_is_known_in_the_next_login_too(online: WebClient):
    key = client_msg_id()
    first = await online.say("filehelper", "a", key)
    await online.log_in()
    assert (await online.say("filehelper", "a", key))["MsgID"] == first["MsgID"]


async def test_too_many_in_a_minute_are_1205(online: WebClient):
    await online.control("settings", rate_limit=2)
    assert [ret(await online.say("filehelper", "a")) for _ in range(3)] == [0, 0, 1205]
    assert len(await online.seen("sent")) == 2


async def test_a_message_to_oneself_is_1204_or_not(online: WebClient):
    assert ret(await online.say(online.me, "a")) == 1204
    await online.control("settings", refuse_self=False)
    assert ret(await online.say(online.me, "a")) == 0


async def test_a_text_that_is_too_long_is_refused(online: WebClient):
    assert ret(await online.say("filehelper", "好" * 5462)) == 1
    assert ret(await online.say("filehelper", "好" * 5461)) == 0
    assert await online.violations() == []


async def test_who_deleted_or_blocked_me_still_gives_ret_0_and_then_a_system_text(online: WebClient):
    names = await online.seen("names")
    await online.control(
        "people", set=[{"id": "lilei", "deleted_me": True}, {"id": "twin1", "blocked_me": True}]
    )
    await online.sync()
    assert ret(await online.say(names["lilei"], "a")) == 0
    assert ret(await online.say(names["twin1"], "a")) == 0
    first, second = await online.all_new()
    assert first["FromUserName"] == names["lilei"]
    assert "&lt;a href=&quot;weixin://findfriend/verifycontact&quot;&gt;" in first["Content"]
    assert "拒收" in second["Content"]


async def test_a_group_that_i_left_is_1204(online: WebClient):
    names = await online.seen("names")
    await online.control("people", leave={"group": "work", "id": "me"})
    assert ret(await online.say(names["work"], "a")) == 1204


async def test_a_clear_wxid_is_accepted(online: WebClient):
    assert ret(await online.say("wxid_lilei", "a")) == 0
    assert (await online.seen("sent"))[0]["to"] == "lilei"


async def test_a_name_of_another_login_is_refused_and_recorded(online: WebClient):
    old = (await online.seen("names"))["wife"]
    await online.log_in()
    assert ret(await online.say(old, "a")) == 1
    assert ret(await online.say("@nobody", "a")) == 1
    assert await online.violations() == [
        "webwxsendmsg: ToUserName is of another login",
        "webwxsendmsg: ToUserName is unknown",
    ]


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"Content": ""}, "Content is empty"),
        ({"Content": 7}, "webwxsendmsg takes texts (Type 1) and locations (Type 48)"),
        ({"Type": 3}, "webwxsendmsg takes texts (Type 1) and locations (Type 48)"),
        ({"FromUserName": "@x"}, "FromUserName is not the account's name in this login"),
        ({"LocalID": "17000000000000000"}, "LocalID is not equal to ClientMsgId"),
        ({"ClientMsgId": "abc"}, "ClientMsgId is not 10 to 20 digits"),
    ],
)
async def test_a_message_that_is_not_as_wechat_wants_it_is_refused(online: WebClient, other, what: str):
    assert ret(await online.say("filehelper", **{"content": "a", **other})) == 1
    assert await online.violations() == [f"webwxsendmsg: {what}"]
    assert await online.seen("sent") == []


async def test_a_message_without_its_parts_is_refused(online: WebClient):
    assert ret(await online.post("webwxsendmsg", Msg={"Type": 1}, Scene=0)) == 1
    assert ret(await online.post("webwxsendmsg", Msg=online.text("filehelper", "a"))) == 1
    assert len(await online.violations()) == 2


async def test_escapes_arrive_as_they_are(online: WebClient):
    body = {
        "BaseRequest": online.base_request(),
        "Msg": online.text("filehelper", "你好 😀 \\u4f60 \u0007 a/b"),
        "Scene": 0,
    }
    escaped = json.dumps(body).replace("a/b", "a\\/b")
    answer = await online.http.post(online.path("webwxsendmsg"), content=escaped)
    assert ret(answer.json()) == 0
    text = (await online.seen("sent"))[0]["text"]
    assert text == "\\u4f60\\u597d \\ud83d\\ude00 \\u4f60 \u0007 a\\/b"
    assert await online.violations() == [
        "webwxsendmsg: the body has \\uXXXX or \\/ escapes; they arrive as they are"
    ]


async def test_what_json_must_escape_is_no_violation(online: WebClient):
    text = 'Zeile\nTab\t"\\ \u0001 \\u4f60 a/b'
    assert ret(await online.say("filehelper", text)) == 0
    assert (await online.seen("sent"))[0]["text"] == text
    assert await online.violations() == []


async def test_after_a_logout_the_cookies_are_dead(online: WebClient):
    answer = await online.http.post(f"/cgi-bin/mmwebwx-bin/webwxlogout?redirect=1&type=0&skey={online.skey}")
    assert answer.status_code == 301
    assert (await online.sync())["BaseResponse"]["Ret"] == 1102
    assert await online.check() == 'window.synccheck={retcode:"1102",selector:"0"}'
    assert await online.violations() == []


async def test_telemetry_is_taken(online: WebClient):
    assert ret(await online.post("webwxstatreport", "fun=new&", Count=0, List=[])) == 0
