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


async def test_a_client_reports_that_it_is_ready(online_client: WebClient):
    assert await notify(online_client, 3, online_client.me) == 0
    assert await notify(online_client, 9, online_client.me) == 1
    assert await notify(online_client, 3, online_client.me, FromUserName="@x") == 1
    assert await notify(online_client, 1, "@x") == 1
    assert len(await online_client.violations()) == 3


async def test_a_chat_that_was_read_is_read_on_the_phone(online_client: WebClient):
    names = await online_client.seen("names")
    await online_client.control("say", text="a", count=3)
    await online_client.control("say", text="a", **{"from": "mom", "to": "family"})
    assert (await online_client.seen("state"))["unread"] == {"wife": 3, "family": 1}
    assert await notify(online_client, 1, names["wife"]) == 0
    assert (await online_client.seen("state"))["unread"] == {"family": 1}
    await online_client.control("say", text="a", **{"from": "me", "to": "family"})
    assert (await online_client.seen("state"))["unread"] == {}


async def test_the_client_is_told_of_a_chat_that_is_opened_on_the_phone(online_client: WebClient):
    names = await online_client.seen("names")
    await online_client.control("say", text="a")
    await online_client.sync()
    await online_client.control("read", chat="wife")
    [result] = (await online_client.sync())["AddMsgList"]
    assert (result["MsgType"], result["StatusNotifyCode"], result["StatusNotifyUserName"]) == (
        51,
        2,
        names["wife"],
    )
    assert (await online_client.seen("state"))["unread"] == {}
    assert (await online_client.http.post("/sim/read", json={"chat": "x"})).status_code == 404


async def test_an_own_message_can_be_recalled_within_two_minutes(sim: Simulator, online_client: WebClient):
    sent = await online_client.say("filehelper", "falsch")
    asked = {"SvrMsgId": sent["MsgID"], "ToUserName": "filehelper", "ClientMsgId": client_msg_id()}
    answer = await online_client.post("webwxrevokemsg", **asked)
    assert (ret(answer), answer["SysWording"]) == (0, "你撤回了一条消息")
    assert (await online_client.seen("feed"))["lines"][0]["recalled"]
    assert await online_client.violations() == []
    assert ret(await online_client.post("webwxrevokemsg", **{**asked, "SvrMsgId": "7"})) == 1
    assert len(await online_client.violations()) == 1
    sim.wechat.phone.lines[0].time -= 121
    assert ret(await online_client.post("webwxrevokemsg", **asked)) == 1, "only within two minutes"
    await online_client.control("settings", recall_within=200)
    assert ret(await online_client.post("webwxrevokemsg", **asked)) == 0
    assert len(await online_client.violations()) == 1, "to be late is no violation"


async def test_a_message_of_somebody_else_or_of_another_chat_cannot_be_recalled(online_client: WebClient):
    names = await online_client.seen("names")
    [received] = (await online_client.control("say", text="a"))["msg_ids"]
    own = (await online_client.say("filehelper", "a"))["MsgID"]
    for msg_id in (received, own):
        asked = {"SvrMsgId": msg_id, "ToUserName": names["wife"], "ClientMsgId": client_msg_id()}
        assert ret(await online_client.post("webwxrevokemsg", **asked)) == 1
    assert await online_client.violations() == ["webwxrevokemsg: SvrMsgId is no own message in that chat"] * 2


async def test_a_recalled_picture_cannot_be_downloaded_any_more(online_client: WebClient):
    [sent] = (await online_client.control("say", kind="image", **{"from": "me", "to": "filehelper"}))[
        "msg_ids"
    ]
    asked = {"SvrMsgId": sent, "ToUserName": "filehelper", "ClientMsgId": client_msg_id()}
    assert ret(await online_client.post("webwxrevokemsg", **asked)) == 0
    assert (await online_client.fetch("webwxgetmsgimg", {"MsgID": sent})).content == b""


# friends


async def receive_friend_request(client: WebClient, who: str = "new") -> dict[str, Any]:
    """Lets somebody ask to become a friend; returns the RecommendInfo of the message."""
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


async def test_a_friend_request_is_accepted_with_its_ticket(online_client: WebClient):
    info = await receive_friend_request(online_client)
    assert (info["NickName"], info["Content"]) == ("新人", "我是新人")
    assert await accept(online_client, info["UserName"], info["Ticket"]) == 0
    update = await online_client.sync()
    assert (update["ModContactList"][0]["NickName"], update["ModContactList"][0]["ContactFlag"]) == (
        "新人",
        3,
    )
    assert "你已添加了新人" in update["AddMsgList"][0]["Content"]
    assert await accept(online_client, info["UserName"], info["Ticket"]) == 0, "again does no harm"
    update = await online_client.sync()
    assert (update["ModContactList"], update["AddMsgList"]) == ([], [])
    assert "新人" in [contact["NickName"] for contact in (await online_client.contacts())["MemberList"]]
    assert await online_client.violations() == []


async def test_a_wrong_ticket_or_person_is_refused(online_client: WebClient):
    info = await receive_friend_request(online_client)
    names = await online_client.seen("names")
    assert await accept(online_client, info["UserName"], "v2_x@stranger") == -14
    assert await accept(online_client, info["UserName"], "") == -14
    assert await accept(online_client, names["aunt"], info["Ticket"]) == 1
    assert await accept(online_client, info["UserName"], info["Ticket"], Opcode=2) == 1
    assert await accept(online_client, info["UserName"], info["Ticket"], VerifyUserListSize=2) == 1
    assert await accept(online_client, info["UserName"], info["Ticket"], VerifyUserList=[]) == 1
    assert await accept(online_client, info["UserName"], info["Ticket"], skey="x") == 1101
    assert len(await online_client.violations()) == 7
    assert (await online_client.sync())["ModContactList"] == []


async def test_an_old_friend_request_or_one_of_an_earlier_login_is_refused_and_no_violation(
    online_client: WebClient,
):
    info = await receive_friend_request(online_client)
    await online_client.control("settings", request_life=0)
    assert await accept(online_client, info["UserName"], info["Ticket"]) == -14
    await online_client.control("settings", request_life=1000)
    await online_client.log_in()
    assert await accept(online_client, info["UserName"], info["Ticket"]) == -14
    assert await online_client.violations() == []


async def test_accepting_a_friend_as_itchat_does_is_no_violation(online_client: WebClient):
    info = await receive_friend_request(online_client)
    assert await accept(online_client, info["UserName"], "", VerifyContent=info["Ticket"]) == 0
    assert await online_client.violations() == [
        "webwxverifyuser: tolerated, but: the ticket as VerifyContent (itchat)"
    ]


# remarks and pins


async def test_a_remark_is_set_and_comes_with_the_next_sync(online_client: WebClient):
    names = await online_client.seen("names")
    assert (
        ret(await online_client.post("webwxoplog", CmdId=2, UserName=names["lilei"], RemarkName="老李")) == 0
    )
    assert (await online_client.sync())["ModContactList"][0]["RemarkName"] == "老李"
    assert ret(await online_client.post("webwxoplog", CmdId=2, UserName=names["lilei"], RemarkName="")) == 0
    assert (await online_client.sync())["ModContactList"][0]["RemarkName"] == ""


async def test_a_pinned_chat_is_flagged_and_loses_a_remark_that_is_left_out(online_client: WebClient):
    names = await online_client.seen("names")
    pin = {"CmdId": 3, "OP": 1, "UserName": names["wife"]}
    assert ret(await online_client.post("webwxoplog", **pin, RemarkName="老婆")) == 0
    result = (await online_client.sync())["ModContactList"][0]
    assert (result["ContactFlag"], result["RemarkName"]) == (2051, "老婆")
    assert ret(await online_client.post("webwxoplog", **{**pin, "OP": 0})) == 0
    result = (await online_client.sync())["ModContactList"][0]
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
async def test_a_remark_that_cannot_be_is_refused(online_client: WebClient, who: str, body, what: str):
    names = await online_client.seen("names")
    assert ret(await online_client.post("webwxoplog", UserName=names.get(who, "@x"), **body)) == 1
    assert await online_client.violations() == [f"webwxoplog: {what}"]


async def test_too_many_changes_in_a_minute_are_1205(online_client: WebClient):
    await online_client.control("settings", action_limit=2)
    names = await online_client.seen("names")
    remark = {"CmdId": 2, "UserName": names["lilei"], "RemarkName": "x"}
    assert [ret(await online_client.post("webwxoplog", **remark)) for _ in range(3)] == [0, 0, 1205]
    info = await receive_friend_request(online_client)
    assert await accept(online_client, info["UserName"], info["Ticket"]) == 1205
    topic = {"ChatRoomName": names["family"], "NewTopic": "x"}
    assert ret(await online_client.post("webwxupdatechatroom", "fun=modtopic&", **topic)) == 1205
    assert ret(await online_client.say("filehelper", "a")) == 0, "messages have their own limit"
    assert await online_client.violations() == []
