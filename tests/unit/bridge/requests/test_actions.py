"""`mark_read`, `set_remark`, `accept_friend`: what WeChat is asked to do, and what the answer says.

`request/group`: who is in it, and what can be done to it (webwx 2.19).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.bridge.requests.support import MEMBERS, Room, new_group, open_room
from wx2mqtt.errors import Unreachable
from wx2mqtt.model import (
    AcceptFriend,
    ActionResult,
    AddMembers,
    CreateGroup,
    Handle,
    MarkRead,
    RemoveMembers,
    RenameGroup,
    SetRemark,
)
from wx2mqtt.mqtt.payloads import REQUEST_CODES


@pytest.fixture
async def room(tmp_path):
    async with open_room(tmp_path) as room:
        yield room


async def refused(room, name, **fields):
    """The code of a refusal, for which nothing was done at WeChat."""
    answer = await room.ask(name, **fields)
    assert answer["status"] == "error", answer
    assert answer["code"] in REQUEST_CODES
    assert answer["error"]
    assert room.wechat.done == []
    return answer["code"]


@pytest.mark.parametrize("user", ["wife", "family", "filehelper", "news"])
async def test_every_chat_can_be_marked_as_read(room, user):
    assert await room.ask("mark_read", user=user) == {"status": "ok", "data": {"user": user}}
    assert [type(one) for one in room.wechat.actions] == [MarkRead]


async def test_a_remark_is_set_at_wechat_and_the_directory_follows_at_once(room):
    answer = await room.ask("set_remark", user="wife", remark=" 爱人 👨‍👩‍👧 ")
    assert answer["data"] == {"user": "wife", "remark": "爱人 👨‍👩‍👧"}
    assert room.wechat.actions == [SetRemark(person=Handle("@wife"), remark="爱人 👨‍👩‍👧")]
    (entry,) = [one for one in room.house.identity.directory() if one.user == "wife"]
    assert (entry.remark, entry.name) == ("爱人 👨‍👩‍👧", "爱人 👨‍👩‍👧")
    assert room.happened() == [("contact_renamed", "wife")]


async def test_an_empty_remark_takes_it_away(room):
    assert (await room.ask("set_remark", user="mom", remark=""))["data"] == {"user": "mom", "remark": ""}
    (entry,) = [one for one in room.house.identity.directory() if one.user == "mom"]
    assert (entry.remark, entry.name) == ("", "妈")


async def test_the_same_remark_again_is_no_news(room):
    await room.ask("set_remark", user="mom", remark="妈妈")
    assert room.happened() == []


async def test_a_friend_request_is_accepted_by_the_id_of_its_event(room):
    await room.befriend("7001")
    assert await room.ask("accept_friend", id="7001") == {"status": "ok", "data": {"id": "7001"}}
    assert room.wechat.actions == [AcceptFriend(request={"ticket": "v2_x"})]


@pytest.mark.parametrize("event", ["7002", "x" * 1000, "\ud800"])
async def test_an_id_of_no_friend_request_is_unknown(room, event):
    assert await refused(room, "accept_friend", id=event) == "unknown_id"


async def test_a_friend_request_of_an_earlier_login_is_void(room):
    await room.befriend("7001", login="another login")
    assert await refused(room, "accept_friend", id="7001") == "unknown_id"


@pytest.mark.parametrize("name", ["mark_read", "set_remark"])
@pytest.mark.parametrize(
    ("user", "code"),
    [
        ("nobody", "unknown_user"),
        ("gone", "unknown_user"),
        ("lost", "unresolved_user"),
        ("a/b", "bad_request"),
        ("", "bad_request"),
        (7, "bad_request"),
        (None, "bad_request"),
    ],
)
async def test_whom_nobody_knows_nothing_is_done_to(room, name, user, code):
    more = {"remark": "x"} if name == "set_remark" else {}
    assert await refused(room, name, user=user, **more) == code


@pytest.mark.parametrize("user", ["family", "filehelper", "news", "stranger"])
async def test_only_a_friend_can_have_a_remark(room, user):
    assert await refused(room, "set_remark", user=user, remark="x") == "bad_request"


@pytest.mark.parametrize("remark", ["x" * 101, "a\nb", "a\0", "\u2028", 5, None, ["a"], "\ud800"])
async def test_a_remark_is_one_line(room, remark):
    assert await refused(room, "set_remark", user="wife", remark=remark) == "bad_request"


async def test_a_remark_that_is_left_out_does_not_take_the_old_one_away(room):
    assert await refused(room, "set_remark", user="wife") == "bad_request"


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("mark_read", {"user": "wife"}),
        ("set_remark", {"user": "wife", "remark": "x"}),
        ("accept_friend", {"id": "1"}),
    ],
)
async def test_a_misspelt_key_is_named_and_nothing_is_done(room, name, fields):
    answer = await room.ask(name, **fields, remrak="x")
    assert answer["code"] == "bad_request"
    assert "'remrak'" in answer["error"]
    assert room.wechat.done == []


async def test_send_allow_says_on_whom_a_request_may_act(tmp_path):
    async with open_room(tmp_path, allow=("wife",)) as room:
        assert (await room.ask("mark_read", user="wife"))["status"] == "ok"
        room.wechat.done.clear()
        assert await refused(room, "mark_read", user="mom") == "not_allowed"
        assert await refused(room, "set_remark", user="mom", remark="x") == "not_allowed"
        await room.befriend("7001")
        assert await refused(room, "accept_friend", id="7001") == "not_allowed"


async def test_what_the_backend_cannot_do_is_unsupported(room):
    room.wechat.capabilities = room.wechat.capabilities.__class__(
        backend="x",
        has_contacts=True,
        has_groups=True,
        can_start_chat=True,
        handles_change_at_login=True,
        text_limit=1,
    )
    assert await refused(room, "mark_read", user="wife") == "unsupported"


async def group(room: Room, action: str = "", **fields: object) -> dict[str, Any]:
    asked = {"user": "family", **fields} if action != "create" else fields
    return await room.ask("group", **asked, **({"action": action} if action else {}))


async def test_members_are_named_by_their_topics_where_they_have_one(room):
    answer = await group(room)
    assert answer["data"] == {
        "user": "family",
        "count": 5,
        "members": [
            {"name": "我", "self": True},
            {"user": "wife", "name": "wife", "self": False},
            {"name": "三姨", "self": False},
            {"name": "明明", "self": False},
            {"name": "小明", "self": False},
        ],
    }
    assert (await group(room, "members"))["data"] == answer["data"]
    assert room.wechat.done == []


async def test_members_come_in_pages(room):
    page = (await group(room, limit=2, offset=1))["data"]
    assert (page["count"], [one["name"] for one in page["members"]]) == (5, ["wife", "三姨"])
    assert (await group(room, offset=4))["data"]["members"] == [{"name": "小明", "self": False}]
    assert (await group(room, offset=9))["data"]["members"] == []


async def test_whoever_may_not_be_written_to_may_be_asked_about(tmp_path):
    async with open_room(tmp_path, allow=()) as room:
        assert (await group(room))["status"] == "ok"
        assert (await group(room, "rename", name="x"))["code"] == "not_allowed"


async def test_a_group_of_which_wechat_says_nothing(room):
    room.wechat.who = ()
    assert (await group(room))["code"] == "refused_by_wechat"
    room.wechat.who = Unreachable()
    assert (await group(room))["code"] == "no_answer"


async def test_a_new_group_has_a_topic_in_the_answer(room):
    room.wechat.answer(CreateGroup, ActionResult(group=new_group(), refused_members=(Handle("@mom"),)))
    answer = await group(room, "create", members=["wife", "mom", "lilei"], name="新群")
    assert answer["data"] == {"user": "新群", "name": "新群", "refused": ["mom"]}
    handles = (Handle("@wife"), Handle("@mom"), Handle("@lilei"))
    assert room.wechat.actions == [CreateGroup(members=handles, name="新群")]
    assert room.level("@@new") == "新群"


async def test_a_new_group_is_never_taken_for_an_old_one_of_its_name(room):
    room.wechat.answer(CreateGroup, ActionResult(group=new_group("一家人")))
    assert (await group(room, "create", members=["wife", "mom"]))["data"]["user"] == "一家人"
    assert room.level("@@family") == "family"


async def test_a_group_that_wechat_told_of_before_it_answered_is_the_same(room):
    room.house.identity.apply_update((new_group(),), (), 1)
    room.wechat.answer(CreateGroup, ActionResult(group=new_group()))
    assert (await group(room, "create", members=["wife", "mom"]))["data"]["user"] == "新群"
    assert room.happened() == []


@pytest.mark.parametrize("members", [["wife"], ["wife", "wife"], [], "wife", [1, 2], None, ["wife", ""]])
async def test_a_group_needs_two_others(room, members):
    assert (await group(room, "create", members=members))["code"] == "bad_request"
    assert room.wechat.done == []


@pytest.mark.parametrize(
    ("who", "code"),
    [
        ("nobody", "unknown_user"),
        ("gone", "unknown_user"),
        ("family", "bad_request"),
        ("stranger", "bad_request"),
        ("filehelper", "bad_request"),
    ],
)
@pytest.mark.parametrize("action", ["create", "add"])
async def test_only_people_can_come_into_a_group(room, action, who, code):
    assert (await group(room, action, members=["wife", "mom", who]))["code"] == code
    assert room.wechat.done == []


async def test_whoever_may_not_be_written_to_may_not_be_brought_in(tmp_path):
    async with open_room(tmp_path, allow=("wife", "mom", "family")) as room:
        assert (await group(room, "create", members=["wife", "mom", "lilei"]))["code"] == "not_allowed"
        assert (await group(room, "add", members=["lilei"]))["code"] == "not_allowed"
        assert room.wechat.done == []
        assert (await group(room, "add", members=["mom"]))["status"] == "ok"


async def test_people_are_added(room):
    room.wechat.answer(AddMembers, ActionResult(refused_members=(Handle("@lilei"),)))
    answer = await group(room, "add", members=["mom", "lilei"])
    assert answer["data"] == {"user": "family", "added": ["mom"], "refused": ["lilei"]}
    handles = (Handle("@mom"), Handle("@lilei"))
    assert room.wechat.actions == [AddMembers(group=Handle("@@family"), members=handles)]


async def test_people_are_removed_by_topic_or_by_the_name_that_the_group_shows(room):
    answer = await group(room, "remove", members=["wife", "三姨", "明明"])
    assert answer["data"] == {"user": "family", "removed": ["wife", "三姨", "明明"]}
    handles = (Handle("@wife"), Handle("@aunt"), Handle("@one"))
    assert room.wechat.actions == [RemoveMembers(group=Handle("@@family"), members=handles)]


async def test_whoever_is_not_in_the_group_or_not_one_alone_is_not_removed(room):
    for name in ("mom", "nobody", "小明"):
        answer = await group(room, "remove", members=["wife", name])
        assert answer["code"] == "unknown_user"
        assert f"'{name}'" in answer["error"]
    assert room.wechat.done == []


async def test_a_topic_is_never_taken_for_the_name_of_somebody_else_in_the_group(room):
    room.wechat.who = (MEMBERS[0], MEMBERS[2].__class__(handle=Handle("@eve"), nickname="mom"))
    assert (await group(room, "remove", members=["mom"]))["code"] == "unknown_user"


async def test_a_group_has_another_name_at_wechat_and_in_the_directory(room):
    answer = await group(room, "rename", name="一大家人")
    assert answer["data"] == {"user": "family", "name": "一大家人"}
    assert room.wechat.actions == [RenameGroup(group=Handle("@@family"), name="一大家人")]
    assert room.happened() == [("contact_renamed", "family")]
    (entry,) = [one for one in room.house.identity.directory() if one.user == "family"]
    assert entry.nickname == "一大家人"


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("", {"user": "wife"}),
        ("rename", {"user": "wife", "name": "x"}),
        ("rename", {}),
        ("rename", {"name": ""}),
        ("rename", {"name": "x", "members": ["wife"]}),
        ("add", {"user": "mom", "members": ["wife"]}),
        ("remove", {"user": "mom", "members": ["wife"]}),
        ("leave", {}),
        ("members", {"limit": -1}),
        ("members", {"offset": "1"}),
        ("members", {"limit": True}),
    ],
)
async def test_what_does_not_fit_is_a_bad_request(room, action, fields):
    answer = await group(room, action, **fields)
    assert answer["code"] == "bad_request", answer
    assert room.wechat.done == []
