"""Calls of a client other than sending: read, recall, befriend, remark, pin (webwx 2.7, 2.15, 2.17, 2.18)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.web_client import WebClient, client_msg_id
from wx2mqtt.simulator.server import Simulator


def ret(answer) -> int:
    value: int = answer["BaseResponse"]["Ret"]
    return value


async def notify(client: WebClient, code: int, to: str, **other: Any) -> int:
    body = {"Code": code, "FromUserName": client.me, "ToUserName": to, "ClientMsgId": int(client_msg_id())}
    answer = await client.post("webwxstatusnotify", **{**body, **other})
    return ret(answer)


async def test_a_client_that_is_ready_says_so(online: WebClient):
    assert await notify(online, 3, online.me) == 0
    assert await notify(online, 9, online.me) == 1
    assert await notify(online, 3, online.me, FromUserName="@x") == 1
    assert await notify(online, 1, "@x") == 1
    assert len(await online.violations()) == 3


async def test_a_chat_that_was_read_is_read_on_the_phone(online: WebClient):
    names = await online.seen("names")
    await online.control("say", text="a", count=3)
    await online.control("say", text="a", **{"from": "mom", "to": "family"})
    assert (await online.seen("state"))["unread"] == {"wife": 3, "family": 1}
    assert await notify(online, 1, names["wife"]) == 0
    assert (await online.seen("state"))["unread"] == {"family": 1}
    await online.control("say", text="a", **{"from": "me", "to": "family"})
    assert (await online.seen("state"))["unread"] == {}


async def test_a_chat_that_is_opened_on_the_phone_is_told_to_the_client(online: WebClient):
    names = await online.seen("names")
    await online.control("say", text="a")
    await online.sync()
    await online.control("read", chat="wife")
    [result] = (await online.sync())["AddMsgList"]
    assert (result["MsgType"], result["StatusNotifyCode"], result["StatusNotifyUserName"]) == (
        51,
        2,
        names["wife"],
    )
    assert (await online.seen("state"))["unread"] == {}
    assert (await online.http.post("/sim/read", json={"chat": "x"})).status_code == 404


async def test_an_own_message_can_be_taken_back_within_two_minutes(sim: Simulator, online: WebClient):
    sent = await online.say("filehelper", "falsch")
    asked = {"SvrMsgId": sent["MsgID"], "ToUserName": "filehelper", "ClientMsgId": client_msg_id()}
    answer = await online.post("webwxrevokemsg", **asked)
    assert (ret(answer), answer["SysWording"]) == (0, "你撤回了一条消息")
    assert (await online.seen("feed"))["lines"][0]["recalled"]
    assert await online.violations() == []
    assert ret(await online.post("webwxrevokemsg", **{**asked, "SvrMsgId": "7"})) == 1
    assert len(await online.violations()) == 1
    sim.wechat.phone.lines[0].time -= 121
    assert ret(await online.post("webwxrevokemsg", **asked)) == 1, "only within two minutes"
    await online.control("settings", recall_within=200)
    assert ret(await online.post("webwxrevokemsg", **asked)) == 0
    assert len(await online.violations()) == 1, "to be late is no violation"


async def test_what_others_wrote_or_stands_elsewhere_cannot_be_taken_back(online: WebClient):
    names = await online.seen("names")
    [theirs] = (await online.control("say", text="a"))["msg_ids"]
    own = (await online.say("filehelper", "a"))["MsgID"]
    for msg_id in (theirs, own):
        asked = {"SvrMsgId": msg_id, "ToUserName": names["wife"], "ClientMsgId": client_msg_id()}
        assert ret(await online.post("webwxrevokemsg", **asked)) == 1
    assert await online.violations() == ["webwxrevokemsg: SvrMsgId is no own message in that chat"] * 2


async def test_a_picture_that_was_taken_back_is_gone(online: WebClient):
    [sent] = (await online.control("say", kind="image", **{"from": "me", "to": "filehelper"}))["msg_ids"]
    asked = {"SvrMsgId": sent, "ToUserName": "filehelper", "ClientMsgId": client_msg_id()}
    assert ret(await online.post("webwxrevokemsg", **asked)) == 0
    assert (await online.fetch("webwxgetmsgimg", {"MsgID": sent})).content == b""


# friends


async def request(client: WebClient, who: str = "new") -> dict[str, Any]:
    """Somebody asks; the RecommendInfo that came."""
    await client.control("people", add={"id": who, "nickname": "新人", "kind": "stranger", "contact_flag": 0})
    await client.control("say", kind="friend_request", text="我是新人", **{"from": who})
    message = (await client.all_new())[-1]
    assert (message["MsgType"], message["FromUserName"]) == (37, "fmessage")
    info: dict[str, Any] = message["RecommendInfo"]
    return info


async def accept(client: WebClient, name: str, ticket: str, **other: Any) -> int:
    body = {
        "Opcode": 3,
        "VerifyUserListSize": 1,
        "VerifyUserList": [{"Value": name, "VerifyUserTicket": ticket}],
        "VerifyContent": "",
        "SceneListCount": 1,
        "SceneList": [33],
        "skey": client.skey,
        **other,
    }
    return ret(await client.post("webwxverifyuser", "r=1&", **body))


async def test_a_friend_request_is_accepted_with_its_ticket(online: WebClient):
    info = await request(online)
    assert (info["NickName"], info["Content"]) == ("新人", "我是新人")
    assert await accept(online, info["UserName"], info["Ticket"]) == 0
    news = await online.sync()
    assert (news["ModContactList"][0]["NickName"], news["ModContactList"][0]["ContactFlag"]) == ("新人", 3)
    assert "你已添加了新人" in news["AddMsgList"][0]["Content"]
    assert await accept(online, info["UserName"], info["Ticket"]) == 0, "again does no harm"
    news = await online.sync()
    assert (news["ModContactList"], news["AddMsgList"]) == ([], [])
    assert "新人" in [one["NickName"] for one in (await online.contacts())["MemberList"]]
    assert await online.violations() == []


async def test_a_wrong_ticket_or_person_is_refused(online: WebClient):
    info = await request(online)
    names = await online.seen("names")
    assert await accept(online, info["UserName"], "v2_x@stranger") == -14
    assert await accept(online, info["UserName"], "") == -14
    assert await accept(online, names["aunt"], info["Ticket"]) == 1
    assert await accept(online, info["UserName"], info["Ticket"], Opcode=2) == 1
    assert await accept(online, info["UserName"], info["Ticket"], VerifyUserListSize=2) == 1
    assert await accept(online, info["UserName"], info["Ticket"], VerifyUserList=[]) == 1
    assert await accept(online, info["UserName"], info["Ticket"], skey="x") == 1101
    assert len(await online.violations()) == 7
    assert (await online.sync())["ModContactList"] == []


async def test_an_old_request_or_one_of_an_earlier_login_is_refused_and_no_violation(online: WebClient):
    info = await request(online)
    await online.control("settings", request_life=0)
    assert await accept(online, info["UserName"], info["Ticket"]) == -14
    await online.control("settings", request_life=1000)
    await online.log_in()
    assert await accept(online, info["UserName"], info["Ticket"]) == -14
    assert await online.violations() == []


async def test_what_itchat_does_to_accept_passes(online: WebClient):
    info = await request(online)
    assert await accept(online, info["UserName"], "", VerifyContent=info["Ticket"]) == 0
    assert await online.violations() == [
        "webwxverifyuser: tolerated, but: the ticket as VerifyContent (itchat)"
    ]


# remarks and pins


async def test_a_remark_is_set_and_told(online: WebClient):
    names = await online.seen("names")
    assert ret(await online.post("webwxoplog", CmdId=2, UserName=names["lilei"], RemarkName="老李")) == 0
    assert (await online.sync())["ModContactList"][0]["RemarkName"] == "老李"
    assert ret(await online.post("webwxoplog", CmdId=2, UserName=names["lilei"], RemarkName="")) == 0
    assert (await online.sync())["ModContactList"][0]["RemarkName"] == ""


async def test_a_pinned_chat_is_flagged_and_loses_a_remark_that_is_left_out(online: WebClient):
    names = await online.seen("names")
    pin = {"CmdId": 3, "OP": 1, "UserName": names["wife"]}
    assert ret(await online.post("webwxoplog", **pin, RemarkName="老婆")) == 0
    result = (await online.sync())["ModContactList"][0]
    assert (result["ContactFlag"], result["RemarkName"]) == (2051, "老婆")
    assert ret(await online.post("webwxoplog", **{**pin, "OP": 0})) == 0
    result = (await online.sync())["ModContactList"][0]
    assert (result["ContactFlag"], result["RemarkName"]) == (3, "")


@pytest.mark.parametrize(
    ("who", "body", "what"),
    [
        ("lilei", {"CmdId": 9}, "CmdId or RemarkName is wrong"),
        ("lilei", {"CmdId": 2, "RemarkName": 7}, "CmdId or RemarkName is wrong"),
        ("lilei", {"CmdId": 3, "OP": 2}, "OP is not 0 or 1"),
        ("family", {"CmdId": 2, "RemarkName": "x"}, "only friends and official accounts can have a remark"),
        ("aunt", {"CmdId": 2, "RemarkName": "x"}, "only friends and official accounts can have a remark"),
        ("", {"CmdId": 2, "RemarkName": "x"}, "UserName is unknown in this login"),
    ],
)
async def test_a_remark_that_cannot_be_is_refused(online: WebClient, who: str, body, what: str):
    names = await online.seen("names")
    assert ret(await online.post("webwxoplog", UserName=names.get(who, "@x"), **body)) == 1
    assert await online.violations() == [f"webwxoplog: {what}"]


async def test_too_many_changes_in_a_minute_are_1205(online: WebClient):
    await online.control("settings", action_limit=2)
    names = await online.seen("names")
    remark = {"CmdId": 2, "UserName": names["lilei"], "RemarkName": "x"}
    assert [ret(await online.post("webwxoplog", **remark)) for _ in range(3)] == [0, 0, 1205]
    info = await request(online)
    assert await accept(online, info["UserName"], info["Ticket"]) == 1205
    topic = {"ChatRoomName": names["family"], "NewTopic": "x"}
    assert ret(await online.post("webwxupdatechatroom", "fun=modtopic&", **topic)) == 1205
    assert ret(await online.say("filehelper", "a")) == 0, "messages have their own limit"
    assert await online.violations() == []
