"""Creating and changing groups (webwx 2.19)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.web_client import WebClient


def ret(answer) -> int:
    value: int = answer["BaseResponse"]["Ret"]
    return value


async def create(client: WebClient, *who: str, **other: Any) -> dict[str, Any]:
    names = await client.seen("names")
    members = [{"UserName": names.get(one, one)} for one in who]
    body = {"MemberCount": len(members), "MemberList": members, "Topic": "新群", **other}
    return await client.post("webwxcreatechatroom", "r=1&", **body)


async def update(client: WebClient, fun: str, group: str, **body: Any) -> dict[str, Any]:
    names = await client.seen("names")
    return await client.post(
        "webwxupdatechatroom", f"fun={fun}&", ChatRoomName=names.get(group, group), **body
    )


async def test_a_group_is_made_and_can_be_asked_for_and_written_to(online: WebClient):
    await online.control("people", set={"id": "twin1", "deleted_me": True})
    await online.sync()
    made = await create(online, "wife", "mom", "twin1")
    assert (ret(made), made["Topic"]) == (0, "新群")
    assert [one["MemberStatus"] for one in made["MemberList"]] == [0, 0, 4]
    name = made["ChatRoomName"]
    news = await online.sync()
    assert [one["UserName"] for one in news["ModContactList"]] == [name]
    assert (news["AddMsgList"][0]["FromUserName"], news["AddMsgList"][0]["MsgType"]) == (name, 10000)
    [group] = (await online.batch(name))["ContactList"]
    assert [one["NickName"] for one in group["MemberList"]][1:] == [
        '晓梅<span class="emoji emoji1f338"></span>',
        "平安是福",
    ]
    assert group["IsOwner"] == 1
    assert ret(await online.say(name, "hallo")) == 0
    assert await online.violations() == []


@pytest.mark.parametrize(
    ("who", "other", "what"),
    [
        (("wife",), {}, "a group needs two others"),
        (("wife", "wife"), {}, "a group needs two others"),
        (("wife", "@x"), {}, "a member is unknown in this login"),
        (("wife", "family"), {}, "a member is unknown in this login"),
        (("wife", "aunt"), {}, "only friends can be brought into a group"),
        (
            ("wife", "mom"),
            {"MemberCount": 3},
            "MemberCount is not the length of MemberList, or Topic no text",
        ),
        (("wife", "mom"), {"Topic": 7}, "MemberCount is not the length of MemberList, or Topic no text"),
        (
            ("wife", "mom"),
            {"MemberList": "x"},
            "MemberCount is not the length of MemberList, or Topic no text",
        ),
        (("wife", "mom"), {"MemberList": [7, 8]}, "a member is unknown in this login"),
    ],
)
async def test_a_group_that_cannot_be_is_refused(online: WebClient, who, other, what: str):
    assert ret(await create(online, *who, **other)) == 1
    assert await online.violations() == [f"webwxcreatechatroom: {what}"]


async def test_people_are_added_and_removed(online: WebClient):
    names = await online.seen("names")
    added = await update(online, "addmember", "family", AddMemberList=f"{names['lilei']},{names['wife']}")
    assert (ret(added), added["MemberCount"]) == (0, 2)
    news = await online.sync()
    assert len(news["ModContactList"][0]["MemberList"]) == 5
    assert news["AddMsgList"][0]["Content"] == "你邀请&quot;李雷&quot;加入了群聊", "she was there already"
    removed = await update(online, "delmember", "family", DelMemberList=f"{names['lilei']},{names['aunt']}")
    assert ret(removed) == 0
    news = await online.sync()
    assert len(news["ModContactList"][0]["MemberList"]) == 3
    assert news["AddMsgList"][0]["Content"] == "你将&quot;李雷、三姨&quot;移出了群聊"
    assert await online.violations() == []


async def test_who_deleted_me_does_not_come(online: WebClient):
    names = await online.seen("names")
    await online.control("people", set={"id": "lilei", "deleted_me": True})
    await online.sync()
    added = await update(online, "addmember", "family", AddMemberList=names["lilei"])
    assert [one["MemberStatus"] for one in added["MemberList"]] == [4]
    assert (await online.sync())["ModContactList"] == []


async def test_a_large_group_needs_invitations_and_they_change_nothing_yet(online: WebClient):
    await online.control("people", friends=45, groups=1, members=40)
    names = await online.seen("names")
    newcomer = names["friend45"]
    assert ret(await update(online, "addmember", "group1", AddMemberList=newcomer)) == 1
    assert len(await online.violations()) == 1
    assert ret(await update(online, "invitemember", "group1", InviteMemberList=newcomer)) == 0
    assert (await online.sync())["ModContactList"] == []
    await online.control("people", join={"group": "group1", "id": "friend45"})
    assert len((await online.sync())["ModContactList"][0]["MemberList"]) == 41


async def test_a_group_is_renamed(online: WebClient):
    assert ret(await update(online, "modtopic", "work", NewTopic="新名 & <b>")) == 0
    news = await online.sync()
    assert news["ModContactList"][0]["NickName"] == "新名 &amp; &lt;b&gt;"
    assert "新名" in news["AddMsgList"][0]["Content"]
    assert await online.violations() == []


async def test_a_group_is_left(online: WebClient):
    names = await online.seen("names")
    assert ret(await update(online, "quitchatroom", "family")) == 0
    assert [one["UserName"] for one in (await online.sync())["DelContactList"]] == [names["family"]]
    assert (await online.batch(names["family"]))["ContactList"] == []
    assert ret(await online.say(names["family"], "a")) == 1


@pytest.mark.parametrize(
    ("fun", "group", "body", "what"),
    [
        (
            "strange",
            "family",
            {},
            "fun is not one of addmember, invitemember, delmember, modtopic, quitchatroom",
        ),
        ("modtopic", "wife", {"NewTopic": "x"}, "ChatRoomName is no group of this login"),
        ("modtopic", "family", {"NewTopic": ""}, "NewTopic is empty or no text"),
        ("addmember", "family", {}, "AddMemberList is missing or no text"),
        ("addmember", "family", {"AddMemberList": "@x"}, "a member is unknown in this login"),
        (
            "delmember",
            "family",
            {"DelMemberList": "lilei"},
            "DelMemberList names somebody who is not in the group",
        ),
        ("delmember", "work", {"DelMemberList": "lilei"}, "only the owner of a group removes members"),
    ],
)
async def test_a_change_that_cannot_be_is_refused(online: WebClient, fun: str, group: str, body, what: str):
    names = await online.seen("names")
    body = {key: names.get(value, value) for key, value in body.items()}
    assert ret(await update(online, fun, group, **body)) == 1
    assert await online.violations() == [f"webwxupdatechatroom: {what}"]


async def test_a_group_without_me_and_groups_that_are_switched_off_refuse_and_that_is_no_violation(
    online: WebClient,
):
    names = await online.seen("names")
    await online.control("settings", allow_groups=False)
    assert ret(await create(online, "wife", "mom")) == 1
    assert ret(await update(online, "addmember", "family", AddMemberList=names["lilei"])) == 1
    assert ret(await update(online, "delmember", "family", DelMemberList=names["mom"])) == 1
    assert ret(await update(online, "modtopic", "family", NewTopic="still")) == 0
    await online.control("people", leave={"group": "work", "id": "me"})
    assert ret(await update(online, "modtopic", "work", NewTopic="x")) == 1
    assert await online.violations() == []
