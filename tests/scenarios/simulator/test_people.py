"""Contacts and their user names (webwx 2.6, 2.8, 2.9, 4.1)."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from tests.support.web_client import WebClient
from wx2mqtt.simulator.server import Simulator

_CONTACT = {
    "Uin",
    "UserName",
    "NickName",
    "HeadImgUrl",
    "ContactFlag",
    "MemberCount",
    "MemberList",
    "RemarkName",
    "HideInputBarFlag",
    "Sex",
    "Signature",
    "VerifyFlag",
    "OwnerUin",
    "PYInitial",
    "PYQuanPin",
    "RemarkPYInitial",
    "RemarkPYQuanPin",
    "StarFriend",
    "AppAccountFlag",
    "Statues",
    "AttrStatus",
    "Province",
    "City",
    "Alias",
    "SnsFlag",
    "UniFriend",
    "DisplayName",
    "ChatRoomId",
    "KeyWord",
    "EncryChatRoomId",
    "IsOwner",
}
"""The fields of the seed's sample."""


async def test_webwxinit_gives_the_account_the_keys_and_ten_recent_chats(web_client: WebClient):
    init = await web_client.log_in()
    assert init["User"]["Uin"] == 211722515
    assert init["User"]["NickName"] == "王小明"
    assert init["Count"] == len(init["ContactList"]) == 10
    assert [key["Key"] for key in init["SyncKey"]["List"]] == [1, 2, 3, 1000]
    assert init["SKey"] != web_client.xml["skey"]
    assert init["ChatSet"].endswith(",")
    assert init["InviteStartCount"] == 40


async def test_groups_in_webwxinit_have_no_members(web_client: WebClient):
    init = await web_client.log_in()
    groups = [contact for contact in init["ContactList"] if contact["UserName"].startswith("@@")]
    assert groups
    assert {member["NickName"] for group in groups for member in group["MemberList"]} == {""}


async def test_the_address_book_has_all_fields_and_neither_strangers_nor_groups_that_are_not_saved(
    online_client: WebClient,
):
    people = (await online_client.contacts())["MemberList"]
    assert all(set(contact) >= _CONTACT for contact in people)
    names = [contact["NickName"] for contact in people]
    assert names[0] == "王小明"
    assert "相亲相爱一家人" in names
    assert not {"项目组", "三姨", "Uncle Bob"} & set(names)
    assert names.count("小明") == 2


async def test_names_are_escaped_and_their_emoji_are_spans(online_client: WebClient):
    names = {contact["NickName"] for contact in (await online_client.contacts())["MemberList"]}
    assert '晓梅<span class="emoji emoji1f338"></span>' in names
    assert "Han Meimei &amp; Co &lt;3" in names


async def test_user_names_have_the_forms_of_wechat(online_client: WebClient):
    names = [contact["UserName"] for contact in (await online_client.contacts())["MemberList"]]
    assert all(re.fullmatch("@[0-9a-f]{32}|@[0-9a-f]{64}|@@[0-9a-f]{64}|[a-z]+", name) for name in names)
    assert "filehelper" in names


async def test_the_address_book_comes_in_pages_by_seq(online_client: WebClient):
    await online_client.control("people", friends=25)
    await online_client.control("settings", page_size=10)
    names: list[str] = []
    seq, pages = 0, 0
    while True:
        page = await online_client.contacts(seq)
        names += [contact["UserName"] for contact in page["MemberList"]]
        pages, seq = pages + 1, page["Seq"]
        if seq == 0:
            break
    assert pages == 4
    assert len(names) == len(set(names)) == 13 + 25
    assert await online_client.violations() == []


async def test_a_seq_that_was_never_given_is_a_violation(online_client: WebClient):
    assert (await online_client.contacts(77))["BaseResponse"]["Ret"] == 1
    assert await online_client.violations() == ["webwxgetcontact: seq was never given"]


async def test_the_first_answers_can_be_empty(online_client: WebClient):
    await online_client.control("settings", empty_contacts=1)
    assert (await online_client.contacts())["MemberList"] == []
    assert (await online_client.contacts())["MemberCount"] > 0


async def test_a_batch_brings_groups_with_thin_members_in_the_order_asked(
    sim: Simulator, online_client: WebClient
):
    names = await online_client.seen("names")
    answer = await online_client.batch(names["work"], names["wife"])
    group, wife = answer["ContactList"]
    assert group["UserName"] == names["work"]
    assert [member["NickName"] for member in group["MemberList"]] == [
        "李雷",
        "王小明",
        "Han Meimei &amp; Co &lt;3",
        "Uncle Bob",
    ]
    assert set(group["MemberList"][0]) == {
        "Uin",
        "UserName",
        "NickName",
        "AttrStatus",
        "PYInitial",
        "PYQuanPin",
        "RemarkPYInitial",
        "RemarkPYQuanPin",
        "MemberStatus",
        "DisplayName",
        "KeyWord",
    }
    assert group["EncryChatRoomId"]
    assert wife["RemarkName"] == "老婆"
    assert wife["HeadImgUrl"].endswith("&skey=")


async def test_a_member_is_found_by_the_groups_room_id_and_by_its_name(online_client: WebClient):
    names = await online_client.seen("names")
    group = (await online_client.batch(names["family"]))["ContactList"][0]
    aunt = group["MemberList"][3]
    assert aunt["DisplayName"] == '三姨<span class="emoji emoji1f33c"></span>'
    for room in (group["EncryChatRoomId"], names["family"]):
        assert (await online_client.batch(aunt["UserName"], room=room))["ContactList"][0][
            "NickName"
        ] == "三姨"
    assert await online_client.violations() == []


async def test_unknown_names_are_left_out_and_more_than_fifty_are_refused(online_client: WebClient):
    assert (await online_client.batch("@" + "0" * 32, "filehelper"))["Count"] == 1
    assert (await online_client.batch(*["filehelper"] * 50))["Count"] == 50
    assert (await online_client.batch(*["filehelper"] * 51))["BaseResponse"]["Ret"] == 1
    assert await online_client.violations() == ["webwxbatchgetcontact: more than 50 names"]


async def test_a_new_login_gives_new_names_while_pictures_and_remarks_stay(
    sim: Simulator, online_client: WebClient
):
    def identities(page):
        return {
            (
                contact["RemarkName"],
                contact["NickName"],
                parse_qs(urlsplit(contact["HeadImgUrl"]).query)["seq"][0],
            )
            for contact in page["MemberList"]
        }

    first = await online_client.contacts()
    async with WebClient(sim.url) as other:
        await other.log_in()
        second = await other.contacts()
    assert identities(first) == identities(second)
    old, new = ({contact["UserName"] for contact in page["MemberList"]} for page in (first, second))
    assert old & new == {"filehelper", "weixin", "fmessage", "medianote"}


async def test_the_lists_of_recent_chats_come_after_the_login_in_three_parts(
    sim: Simulator, web_client: WebClient
):
    await web_client.log_in()
    assert await web_client.check() == 'window.synccheck={retcode:"0",selector:"7"}'
    messages = (await web_client.sync())["AddMsgList"]
    assert [(message["MsgType"], message["StatusNotifyCode"]) for message in messages] == [(51, 4)] * 3
    result = [name for message in messages for name in message["StatusNotifyUserName"].split(",")]
    names = await web_client.seen("names")
    assert sorted(result) == sorted(
        name for people_by_name, name in names.items() if people_by_name not in ("me", "aunt", "uncle")
    )


async def test_changes_of_people_come_with_the_next_sync(online_client: WebClient):
    await online_client.control(
        "people", rename={"id": "wife", "nickname": "新名字"}, remark={"id": "mom", "remark": "母亲"}
    )
    assert await online_client.check() == 'window.synccheck={retcode:"0",selector:"4"}'
    answer = await online_client.sync()
    assert answer["ModContactCount"] == 2
    assert [contact["NickName"] for contact in answer["ModContactList"]] == ["新名字", "平安是福"]
    assert [contact["RemarkName"] for contact in answer["ModContactList"]] == ["老婆", "母亲"]
    assert "PYQuanPin" not in answer["ModContactList"][0]


async def test_a_removed_friend_and_a_member_who_left_come_with_a_sync(online_client: WebClient):
    names = await online_client.seen("names")
    await online_client.control("people", remove={"id": "twin1"}, leave={"group": "family", "id": "aunt"})
    answer = await online_client.sync()
    assert answer["DelContactList"] == [{"UserName": names["twin1"], "ContactFlag": 0}]
    assert answer["ModContactList"][0]["MemberCount"] == 3
    await online_client.control("people", join={"group": "family", "id": "aunt"}, avatar={"id": "mom"})
    assert (await online_client.sync())["ModContactCount"] == 2


async def test_people_and_groups_can_be_added(online_client: WebClient):
    await online_client.control(
        "people",
        add={"id": "new", "nickname": "新朋友", "remark": "同事"},
        add_group={"id": "club", "nickname": "球队", "members": ["me", "new"], "saved": False},
        display={"group": "club", "id": "new", "name": "队长"},
    )
    people, group = (await online_client.sync())["ModContactList"]
    assert people["RemarkName"] == "同事"
    assert group["MemberCount"] == 2
    names = await online_client.seen("names")
    assert (await online_client.batch(names["club"]))["ContactList"][0]["MemberList"][1][
        "DisplayName"
    ] == "队长"


async def test_another_owner_can_take_over_the_phone(sim: Simulator, web_client: WebClient):
    await web_client.control("people", owner={"nickname": "别人", "uin": 42})
    assert (await web_client.log_in())["User"]["Uin"] == 42
    assert (await web_client.contacts())["MemberList"][0]["NickName"] == "别人"


async def test_five_thousand_friends_are_there_at_once(online_client: WebClient):
    assert (await online_client.control("people", friends=5000, groups=20, members=50))["people"] > 5020
    assert (await online_client.contacts())["MemberCount"] == 1000
    listed = await online_client.seen("people")
    assert {contact["kind"] for contact in listed} == {"friend", "group", "official", "special", "stranger"}


async def test_a_wrong_order_changes_nothing_and_says_what_is_wrong(web_client: WebClient):
    wrong = [
        {"nobody": 1},
        {"friends": "many"},
        {"add": {"nickname": "no id"}},
        {"add": {"id": "x", "sex": "f"}},
        {"add": 7},
        {"set": {"id": "wife", "id2": 1}},
        {"rename": {"id": "wife"}},
        {"owner": {"uin": "x"}},
        {"add": {"id": "me"}},
    ]
    for order in wrong:
        answer = await web_client.http.post("/sim/people", json=order)
        assert answer.status_code == 400, order
        assert answer.json()["error"]
    for order in (
        {"set": {"id": "nobody"}},
        {"join": {"group": "wife", "id": "mom"}},
        {"join": {"group": "work", "id": "family"}},
    ):
        assert (await web_client.http.post("/sim/people", json=order)).status_code == 404, order
