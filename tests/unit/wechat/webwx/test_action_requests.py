"""What is done at WeChat is asked for exactly as the protocol says (webwx 2.7, 2.15-2.19)."""

from __future__ import annotations

import pytest

from tests.unit.wechat.webwx.asked import BASE_REQUEST, NOW, SESSION, SITE, B, body, place, query
from wx2mqtt.model import (
    AcceptFriend,
    AddMembers,
    CreateGroup,
    Handle,
    MarkRead,
    Recall,
    RemoveMembers,
    RenameGroup,
    SendKey,
    SetRemark,
)
from wx2mqtt.wechat.webwx import action_requests
from wx2mqtt.wechat.webwx.requests import Request

KEY = SendKey("17000000000001234")
GROUP = Handle("@@f00d")
TWO = (Handle("@mom"), Handle("@bob"))
SIGNED = {"lang": "zh_CN", "pass_ticket": "aB+c="}


def rest(request: Request) -> dict[str, object]:
    asked = body(request)
    assert asked.pop("BaseRequest") == BASE_REQUEST
    return asked


def test_recall() -> None:
    request = action_requests.recall(SITE, SESSION, Recall(chat=GROUP, message_id="76152829"), KEY)
    assert (place(request), query(request)) == (f"{B}/webwxrevokemsg", SIGNED)
    assert rest(request) == {"SvrMsgId": "76152829", "ToUserName": GROUP, "ClientMsgId": KEY}


def test_mark_read() -> None:
    request = action_requests.mark_read(SITE, SESSION, MarkRead(chat=GROUP), KEY)
    assert (place(request), query(request)) == (f"{B}/webwxstatusnotify", SIGNED)
    assert rest(request) == {
        "Code": 1,
        "FromUserName": "@me",
        "ToUserName": GROUP,
        "ClientMsgId": 17000000000001234,
    }


@pytest.mark.parametrize("remark", ["老婆 🌸", ""])
def test_set_remark(remark: str) -> None:
    request = action_requests.set_remark(SITE, SESSION, SetRemark(person=Handle("@mom"), remark=remark))
    assert (place(request), query(request)) == (f"{B}/webwxoplog", SIGNED)
    assert rest(request) == {"CmdId": 2, "UserName": "@mom", "RemarkName": remark}


def test_accept_friend() -> None:
    asked = AcceptFriend(request={"username": "@stranger", "ticket": "v2_x@stranger"})
    request = action_requests.accept_friend(SITE, SESSION, asked, NOW)
    assert (place(request), query(request)) == (f"{B}/webwxverifyuser", {**SIGNED, "r": str(NOW)})
    assert rest(request) == {
        "Opcode": 3,
        "VerifyUserListSize": 1,
        "VerifyUserList": [{"Value": "@stranger", "VerifyUserTicket": "v2_x@stranger"}],
        "VerifyContent": "",
        "SceneListCount": 1,
        "SceneList": [33],
        "skey": SESSION.skey,
    }


def test_create_group() -> None:
    request = action_requests.create_group(SITE, SESSION, CreateGroup(members=TWO, name="周末"), NOW)
    assert (place(request), query(request)) == (f"{B}/webwxcreatechatroom", {**SIGNED, "r": str(NOW)})
    assert rest(request) == {
        "MemberCount": 2,
        "MemberList": [{"UserName": "@mom"}, {"UserName": "@bob"}],
        "Topic": "周末",
    }


@pytest.mark.parametrize(
    ("invite", "fun", "key"),
    [(False, "addmember", "AddMemberList"), (True, "invitemember", "InviteMemberList")],
)
def test_members_are_added_to_a_small_group_and_invited_into_a_large_one(
    invite: bool, fun: str, key: str
) -> None:
    request = action_requests.add_members(SITE, SESSION, AddMembers(group=GROUP, members=TWO), invite=invite)
    assert (place(request), query(request)) == (f"{B}/webwxupdatechatroom", {**SIGNED, "fun": fun})
    assert rest(request) == {key: "@mom,@bob", "ChatRoomName": GROUP}


def test_remove_members() -> None:
    request = action_requests.remove_members(SITE, SESSION, RemoveMembers(group=GROUP, members=TWO))
    assert (place(request), query(request)) == (f"{B}/webwxupdatechatroom", {**SIGNED, "fun": "delmember"})
    assert rest(request) == {"DelMemberList": "@mom,@bob", "ChatRoomName": GROUP}


def test_rename_group() -> None:
    request = action_requests.rename_group(SITE, SESSION, RenameGroup(group=GROUP, name="相亲相爱"))
    assert (place(request), query(request)) == (f"{B}/webwxupdatechatroom", {**SIGNED, "fun": "modtopic"})
    assert rest(request) == {"NewTopic": "相亲相爱", "ChatRoomName": GROUP}


def test_each_may_have_been_done_when_its_answer_is_lost() -> None:
    made = [
        action_requests.recall(SITE, SESSION, Recall(chat=GROUP, message_id="1"), KEY),
        action_requests.mark_read(SITE, SESSION, MarkRead(chat=GROUP), KEY),
        action_requests.set_remark(SITE, SESSION, SetRemark(person=Handle("@mom"), remark="")),
        action_requests.accept_friend(SITE, SESSION, AcceptFriend(request={}), NOW),
        action_requests.create_group(SITE, SESSION, CreateGroup(members=TWO), NOW),
        action_requests.rename_group(SITE, SESSION, RenameGroup(group=GROUP, name="x")),
    ]
    assert all(request.endpoint.delivers for request in made)
