"""The request `group`: lists, creates and changes groups (webwx 2.19)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.bridge.requests.request_harness import (
    MEMBERS,
    RequestHarness,
    new_group,
    open_request_harness,
)
from wx2mqtt.errors import Unreachable
from wx2mqtt.model import (
    ActionResult,
    AddMembers,
    CreateGroup,
    Handle,
    RemoveMembers,
    RenameGroup,
)


@pytest.fixture
async def request_harness(tmp_path):
    async with open_request_harness(tmp_path) as request_harness:
        yield request_harness


async def group(request_harness: RequestHarness, action: str = "", **fields: object) -> dict[str, Any]:
    asked = {"user": "family", **fields} if action != "create" else fields
    return await request_harness.ask("group", **asked, **({"action": action} if action else {}))


async def test_members_are_named_by_their_topics_where_they_have_one(request_harness):
    answer = await group(request_harness)
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
    assert (await group(request_harness, "members"))["data"] == answer["data"]
    assert request_harness.wechat.done == []


async def test_members_come_in_pages(request_harness):
    page = (await group(request_harness, limit=2, offset=1))["data"]
    assert (page["count"], [member["name"] for member in page["members"]]) == (5, ["wife", "三姨"])
    assert (await group(request_harness, offset=4))["data"]["members"] == [{"name": "小明", "self": False}]
    assert (await group(request_harness, offset=9))["data"]["members"] == []


async def test_whoever_may_not_be_written_to_may_be_asked_about(tmp_path):
    async with open_request_harness(tmp_path, allow=()) as request_harness:
        assert (await group(request_harness))["status"] == "ok"
        assert (await group(request_harness, "rename", name="x"))["code"] == "not_allowed"


async def test_a_group_of_which_wechat_says_nothing(request_harness):
    request_harness.wechat.members = ()
    assert (await group(request_harness))["code"] == "refused_by_wechat"
    request_harness.wechat.members = Unreachable()
    assert (await group(request_harness))["code"] == "no_answer"


async def test_a_new_group_has_a_topic_in_the_answer(request_harness):
    request_harness.wechat.answer(
        CreateGroup, ActionResult(group=new_group(), refused_members=(Handle("@mom"),))
    )
    answer = await group(request_harness, "create", members=["wife", "mom", "lilei"], name="新群")
    assert answer["data"] == {"user": "新群", "name": "新群", "refused": ["mom"]}
    handles = (Handle("@wife"), Handle("@mom"), Handle("@lilei"))
    assert request_harness.wechat.actions == [CreateGroup(members=handles, name="新群")]
    assert request_harness.topic_name_of("@@new") == "新群"


async def test_a_new_group_is_never_taken_for_an_old_one_of_its_name(request_harness):
    request_harness.wechat.answer(CreateGroup, ActionResult(group=new_group("一家人")))
    assert (await group(request_harness, "create", members=["wife", "mom"]))["data"]["user"] == "一家人"
    assert request_harness.topic_name_of("@@family") == "family"


async def test_a_group_that_wechat_reported_before_its_answer_is_the_same(request_harness):
    request_harness.harness.registry.apply_update((new_group(),), (), 1)
    request_harness.wechat.answer(CreateGroup, ActionResult(group=new_group()))
    assert (await group(request_harness, "create", members=["wife", "mom"]))["data"]["user"] == "新群"
    assert request_harness.people_events() == []


@pytest.mark.parametrize("members", [["wife"], ["wife", "wife"], [], "wife", [1, 2], None, ["wife", ""]])
async def test_a_group_needs_two_others(request_harness, members):
    assert (await group(request_harness, "create", members=members))["code"] == "bad_request"
    assert request_harness.wechat.done == []


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
async def test_only_people_can_come_into_a_group(request_harness, action, who, code):
    assert (await group(request_harness, action, members=["wife", "mom", who]))["code"] == code
    assert request_harness.wechat.done == []


async def test_whoever_may_not_be_written_to_may_not_be_brought_in(tmp_path):
    async with open_request_harness(tmp_path, allow=("wife", "mom", "family")) as request_harness:
        assert (await group(request_harness, "create", members=["wife", "mom", "lilei"]))[
            "code"
        ] == "not_allowed"
        assert (await group(request_harness, "add", members=["lilei"]))["code"] == "not_allowed"
        assert request_harness.wechat.done == []
        assert (await group(request_harness, "add", members=["mom"]))["status"] == "ok"


async def test_people_are_added(request_harness):
    request_harness.wechat.answer(AddMembers, ActionResult(refused_members=(Handle("@lilei"),)))
    answer = await group(request_harness, "add", members=["mom", "lilei"])
    assert answer["data"] == {"user": "family", "added": ["mom"], "refused": ["lilei"]}
    handles = (Handle("@mom"), Handle("@lilei"))
    assert request_harness.wechat.actions == [AddMembers(group=Handle("@@family"), members=handles)]


async def test_people_are_removed_by_topic_or_by_the_name_that_the_group_shows(request_harness):
    answer = await group(request_harness, "remove", members=["wife", "三姨", "明明"])
    assert answer["data"] == {"user": "family", "removed": ["wife", "三姨", "明明"]}
    handles = (Handle("@wife"), Handle("@aunt"), Handle("@one"))
    assert request_harness.wechat.actions == [RemoveMembers(group=Handle("@@family"), members=handles)]


async def test_a_member_with_two_of_the_names_is_removed_once(request_harness):
    answer = await group(request_harness, "remove", members=["wife", "晓梅", "三姨"])
    assert answer["data"]["removed"] == ["wife", "晓梅", "三姨"]
    handles = (Handle("@wife"), Handle("@aunt"))
    assert request_harness.wechat.actions == [RemoveMembers(group=Handle("@@family"), members=handles)]


async def test_a_member_is_removed_by_a_name_in_another_normal_form(request_harness):
    request_harness.wechat.members = (
        MEMBERS[0],
        MEMBERS[2].__class__(handle=Handle("@jose"), nickname="Jos\u00e9"),
    )
    answer = await group(request_harness, "remove", members=["Jose\u0301"])
    assert answer["status"] == "ok", answer
    assert request_harness.wechat.actions == [
        RemoveMembers(group=Handle("@@family"), members=(Handle("@jose"),))
    ]


async def test_whoever_is_not_in_the_group_or_not_one_alone_is_not_removed(request_harness):
    for name in ("mom", "nobody", "小明"):
        answer = await group(request_harness, "remove", members=["wife", name])
        assert answer["code"] == "unknown_user"
        assert f"'{name}'" in answer["error"]
    assert request_harness.wechat.done == []


async def test_a_topic_is_never_taken_for_the_name_of_somebody_else_in_the_group(request_harness):
    request_harness.wechat.members = (MEMBERS[0], MEMBERS[2].__class__(handle=Handle("@eve"), nickname="mom"))
    assert (await group(request_harness, "remove", members=["mom"]))["code"] == "unknown_user"


async def test_a_group_has_another_name_at_wechat_and_in_the_directory(request_harness):
    answer = await group(request_harness, "rename", name="一大家人")
    assert answer["data"] == {"user": "family", "name": "一大家人"}
    assert request_harness.wechat.actions == [RenameGroup(group=Handle("@@family"), name="一大家人")]
    assert request_harness.people_events() == [("contact_renamed", "family")]
    (entry,) = [entry for entry in request_harness.harness.registry.directory() if entry.user == "family"]
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
async def test_keys_and_values_that_do_not_fit_are_a_bad_request(request_harness, action, fields):
    answer = await group(request_harness, action, **fields)
    assert answer["code"] == "bad_request", answer
    assert request_harness.wechat.done == []
