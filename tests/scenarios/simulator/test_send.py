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


async def test_a_text_is_taken_and_seen_by_name(online_client: WebClient):
    names = await online_client.seen("names")
    key = client_msg_id()
    answer = await online_client.say(names["wife"], '开灯 ☀ "<b>"', key)
    assert answer == {"BaseResponse": {"Ret": 0, "ErrMsg": ""}, "MsgID": answer["MsgID"], "LocalID": key}
    sent = (await online_client.seen("sent"))[0]
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
    assert await online_client.all_new() == [], "it does not come back"


async def test_the_list_of_sent_messages_can_be_waited_for(online_client: WebClient):
    waiting = asyncio.create_task(online_client.seen("sent", after=1, wait=MAX_WAIT_SECONDS))
    await online_client.say("filehelper", "eins")
    await online_client.say("filehelper", "zwei")
    assert [message["text"] for message in await waiting] == ["zwei"]


async def test_an_echo_comes_back_when_asked(online_client: WebClient):
    await online_client.control("settings", echo=True)
    answer = await online_client.say("filehelper", "a & b")
    echo = (await online_client.all_new())[0]
    assert (echo["MsgId"], echo["FromUserName"], echo["ToUserName"]) == (
        answer["MsgID"],
        online_client.me,
        "filehelper",
    )
    assert echo["Content"] == "a &amp; b"


async def test_a_repeat_is_dropped_and_gets_the_first_answer(online_client: WebClient):
    key = client_msg_id()
    first, second = [await online_client.say("filehelper", "a", key) for _ in range(2)]
    assert first == second
    assert [(message["repeat"], message["delivered"]) for message in await online_client.seen("sent")] == [
        (False, True),
        (True, False),
    ]


async def test_a_repeat_is_delivered_twice_when_wechat_does_not_look(online_client: WebClient):
    await online_client.control("settings", drop_repeats=False)
    key = client_msg_id()
    first, second = [await online_client.say("filehelper", "a", key) for _ in range(2)]
    assert first["MsgID"] != second["MsgID"]
    assert [(message["repeat"], message["delivered"]) for message in await online_client.seen("sent")] == [
        (False, True),
        (True, True),
    ]


async def test_a_repeat_is_known_in_the_next_login_too(online_client: WebClient):
    key = client_msg_id()
    first = await online_client.say("filehelper", "a", key)
    await online_client.log_in()
    assert (await online_client.say("filehelper", "a", key))["MsgID"] == first["MsgID"]


async def test_too_many_in_a_minute_are_1205(online_client: WebClient):
    await online_client.control("settings", rate_limit=2)
    assert [ret(await online_client.say("filehelper", "a")) for _ in range(3)] == [0, 0, 1205]
    assert len(await online_client.seen("sent")) == 2


async def test_a_message_to_oneself_is_1204_or_not(online_client: WebClient):
    assert ret(await online_client.say(online_client.me, "a")) == 1204
    await online_client.control("settings", refuse_self=False)
    assert ret(await online_client.say(online_client.me, "a")) == 0


async def test_a_text_that_is_too_long_is_refused(online_client: WebClient):
    assert ret(await online_client.say("filehelper", "好" * 5462)) == 1
    assert ret(await online_client.say("filehelper", "好" * 5461)) == 0
    assert await online_client.violations() == []


async def test_a_message_to_a_person_who_deleted_the_owner_gives_ret_0_and_a_system_message(
    online_client: WebClient,
):
    names = await online_client.seen("names")
    await online_client.control(
        "people", set=[{"id": "lilei", "deleted_me": True}, {"id": "twin1", "blocked_me": True}]
    )
    await online_client.sync()
    assert ret(await online_client.say(names["lilei"], "a")) == 0
    assert ret(await online_client.say(names["twin1"], "a")) == 0
    first, second = await online_client.all_new()
    assert first["FromUserName"] == names["lilei"]
    assert "&lt;a href=&quot;weixin://findfriend/verifycontact&quot;&gt;" in first["Content"]
    assert "拒收" in second["Content"]


async def test_a_group_that_i_left_is_1204(online_client: WebClient):
    names = await online_client.seen("names")
    await online_client.control("people", leave={"group": "work", "id": "me"})
    assert ret(await online_client.say(names["work"], "a")) == 1204


async def test_a_clear_wxid_is_accepted(online_client: WebClient):
    assert ret(await online_client.say("wxid_lilei", "a")) == 0
    assert (await online_client.seen("sent"))[0]["to"] == "lilei"


async def test_a_name_of_another_login_is_refused_and_recorded(online_client: WebClient):
    old = (await online_client.seen("names"))["wife"]
    await online_client.log_in()
    assert ret(await online_client.say(old, "a")) == 1
    assert ret(await online_client.say("@nobody", "a")) == 1
    assert await online_client.violations() == [
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
async def test_a_message_that_is_not_as_wechat_wants_it_is_refused(
    online_client: WebClient, other, what: str
):
    assert ret(await online_client.say("filehelper", **{"content": "a", **other})) == 1
    assert await online_client.violations() == [f"webwxsendmsg: {what}"]
    assert await online_client.seen("sent") == []


async def test_a_message_without_its_parts_is_refused(online_client: WebClient):
    assert ret(await online_client.post("webwxsendmsg", Msg={"Type": 1}, Scene=0)) == 1
    assert ret(await online_client.post("webwxsendmsg", Msg=online_client.text("filehelper", "a"))) == 1
    assert len(await online_client.violations()) == 2


async def test_escapes_arrive_as_they_are(online_client: WebClient):
    body = {
        "BaseRequest": online_client.base_request(),
        "Msg": online_client.text("filehelper", "你好 😀 \\u4f60 \u0007 a/b"),
        "Scene": 0,
    }
    escaped = json.dumps(body).replace("a/b", "a\\/b")
    answer = await online_client.http.post(online_client.path("webwxsendmsg"), content=escaped)
    assert ret(answer.json()) == 0
    text = (await online_client.seen("sent"))[0]["text"]
    assert text == "\\u4f60\\u597d \\ud83d\\ude00 \\u4f60 \u0007 a\\/b"
    assert await online_client.violations() == [
        "webwxsendmsg: the body has \\uXXXX or \\/ escapes; they arrive as they are"
    ]


async def test_characters_that_json_must_escape_are_no_violation(online_client: WebClient):
    text = 'Zeile\nTab\t"\\ \u0001 \\u4f60 a/b'
    assert ret(await online_client.say("filehelper", text)) == 0
    assert (await online_client.seen("sent"))[0]["text"] == text
    assert await online_client.violations() == []


async def test_after_a_logout_the_cookies_are_dead(online_client: WebClient):
    answer = await online_client.http.post(
        f"/cgi-bin/mmwebwx-bin/webwxlogout?redirect=1&type=0&skey={online_client.skey}"
    )
    assert answer.status_code == 301
    assert (await online_client.sync())["BaseResponse"]["Ret"] == 1102
    assert await online_client.check() == 'window.synccheck={retcode:"1102",selector:"0"}'
    assert await online_client.violations() == []


async def test_telemetry_is_taken(online_client: WebClient):
    assert ret(await online_client.post("webwxstatreport", "fun=new&", Count=0, List=[])) == 0
