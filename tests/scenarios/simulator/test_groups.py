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
    members = [{"UserName": names.get(name, name)} for name in who]
    body = {"MemberCount": len(members), "MemberList": members, "Topic": "新群", **other}
    return await client.post("webwxcreatechatroom", "r=1&", **body)


async def update(client: WebClient, fun: str, group: str, **body: Any) -> dict[str, Any]:
    names = await client.seen("names")
    return await client.post(
        "webwxupdatechatroom", f"fun={fun}&", ChatRoomName=names.get(group, group), **body
    )


async def test_a_group_is_made_and_can_be_asked_for_and_written_to(online_client: WebClient):
    await online_client.control("people", set={"id": "twin1", "deleted_me": True})
    await online_client.sync()
    made = await create(online_client, "wife", "mom", "twin1")
    assert (ret(made), made["Topic"]) == (0, "新群")
    assert [member["MemberStatus"] for member in made["MemberList"]] == [0, 0, 4]
    name = made["ChatRoomName"]
    contacts_update = await online_client.sync()
    assert [contact["UserName"] for contact in contacts_update["ModContactList"]] == [name]
    assert (
        contacts_update["AddMsgList"][0]["FromUserName"],
        contacts_update["AddMsgList"][0]["MsgType"],
    ) == (name, 10000)
    [group] = (await online_client.batch(name))["ContactList"]
    assert [member["NickName"] for member in group["MemberList"]][1:] == [
        '晓梅<span class="emoji emoji1f338"></span>',
        "平安是福",
    ]
    assert group["IsOwner"] == 1
    assert ret(await online_client.say(name, "hallo")) == 0
    assert await online_client.violations() == []


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
async def test_a_group_that_cannot_be_is_refused(online_client: WebClient, who, other, what: str):
    assert ret(await create(online_client, *who, **other)) == 1
    assert await online_client.violations() == [f"webwxcreatechatroom: {what}"]


async def test_people_are_added_and_removed(online_client: WebClient):
    names = await online_client.seen("names")
    added = await update(
        online_client, "addmember", "family", AddMemberList=f"{names['lilei']},{names['wife']}"
    )
    assert (ret(added), added["MemberCount"]) == (0, 2)
    contacts_update = await online_client.sync()
    assert len(contacts_update["ModContactList"][0]["MemberList"]) == 5
    assert contacts_update["AddMsgList"][0]["Content"] == "你邀请&quot;李雷&quot;加入了群聊", (
        "she was there already"
    )
    removed = await update(
        online_client, "delmember", "family", DelMemberList=f"{names['lilei']},{names['aunt']}"
    )
    assert ret(removed) == 0
    contacts_update = await online_client.sync()
    assert len(contacts_update["ModContactList"][0]["MemberList"]) == 3
    assert contacts_update["AddMsgList"][0]["Content"] == "你将&quot;李雷、三姨&quot;移出了群聊"
    assert await online_client.violations() == []


async def test_a_person_who_deleted_the_owner_is_not_added(online_client: WebClient):
    names = await online_client.seen("names")
    await online_client.control("people", set={"id": "lilei", "deleted_me": True})
    await online_client.sync()
    added = await update(online_client, "addmember", "family", AddMemberList=names["lilei"])
    assert [member["MemberStatus"] for member in added["MemberList"]] == [4]
    assert (await online_client.sync())["ModContactList"] == []


async def test_a_large_group_needs_invitations_and_they_change_nothing_yet(online_client: WebClient):
    await online_client.control("people", friends=45, groups=1, members=40)
    names = await online_client.seen("names")
    newcomer = names["friend45"]
    assert ret(await update(online_client, "addmember", "group1", AddMemberList=newcomer)) == 1
    assert len(await online_client.violations()) == 1
    assert ret(await update(online_client, "invitemember", "group1", InviteMemberList=newcomer)) == 0
    assert (await online_client.sync())["ModContactList"] == []
    await online_client.control("people", join={"group": "group1", "id": "friend45"})
    assert len((await online_client.sync())["ModContactList"][0]["MemberList"]) == 41


async def test_a_group_is_renamed(online_client: WebClient):
    assert ret(await update(online_client, "modtopic", "work", NewTopic="新名 & <b>")) == 0
    contacts_update = await online_client.sync()
    assert contacts_update["ModContactList"][0]["NickName"] == "新名 &amp; &lt;b&gt;"
    assert "新名" in contacts_update["AddMsgList"][0]["Content"]
    assert await online_client.violations() == []


async def test_a_group_is_left(online_client: WebClient):
    names = await online_client.seen("names")
    assert ret(await update(online_client, "quitchatroom", "family")) == 0
    assert [contact["UserName"] for contact in (await online_client.sync())["DelContactList"]] == [
        names["family"]
    ]
    assert (await online_client.batch(names["family"]))["ContactList"] == []
    assert ret(await online_client.say(names["family"], "a")) == 1


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
async def test_a_change_that_cannot_be_is_refused(
    online_client: WebClient, fun: str, group: str, body, what: str
):
    names = await online_client.seen("names")
    body = {key: names.get(value, value) for key, value in body.items()}
    assert ret(await update(online_client, fun, group, **body)) == 1
    assert await online_client.violations() == [f"webwxupdatechatroom: {what}"]


async def test_a_group_without_me_and_groups_that_are_switched_off_refuse_and_that_is_no_violation(
    online_client: WebClient,
):
    names = await online_client.seen("names")
    await online_client.control("settings", allow_groups=False)
    assert ret(await create(online_client, "wife", "mom")) == 1
    assert ret(await update(online_client, "addmember", "family", AddMemberList=names["lilei"])) == 1
    assert ret(await update(online_client, "delmember", "family", DelMemberList=names["mom"])) == 1
    assert ret(await update(online_client, "modtopic", "family", NewTopic="still")) == 0
    await online_client.control("people", leave={"group": "work", "id": "me"})
    assert ret(await update(online_client, "modtopic", "work", NewTopic="x")) == 1
    assert await online_client.violations() == []
