"""The requests `mark_read`, `set_remark` and `accept_friend`: the action at WeChat and the answer."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.bridge.commands_harness import OWNER
from tests.unit.bridge.requests.request_harness import open_request_harness, refused
from wx2mqtt.model import (
    AcceptFriend,
    Handle,
    MarkRead,
    SetRemark,
)


@pytest.fixture
async def request_harness(tmp_path):
    async with open_request_harness(tmp_path) as request_harness:
        yield request_harness


@pytest.mark.parametrize("user", ["wife", "family", "filehelper", "news"])
async def test_every_chat_can_be_marked_as_read(request_harness, user):
    assert await request_harness.ask("mark_read", user=user) == {"status": "ok", "data": {"user": user}}
    assert [type(action) for action in request_harness.wechat.actions] == [MarkRead]


async def test_a_remark_is_set_at_wechat_and_the_directory_follows_at_once(request_harness):
    answer = await request_harness.ask("set_remark", user="wife", remark=" 爱人 👨‍👩‍👧 ")
    assert answer["data"] == {"user": "wife", "remark": "爱人 👨‍👩‍👧"}
    assert request_harness.wechat.actions == [SetRemark(person=Handle("@wife"), remark="爱人 👨‍👩‍👧")]
    (entry,) = [entry for entry in request_harness.harness.registry.directory() if entry.user == "wife"]
    assert (entry.remark, entry.name) == ("爱人 👨‍👩‍👧", "爱人 👨‍👩‍👧")
    assert request_harness.people_events() == [("contact_renamed", "wife")]


async def test_a_remark_that_is_answered_in_the_next_login_is_not_stored(request_harness):
    request_harness.wechat.held = asyncio.Event()
    delivery = request_harness.deliver("set_remark", user="wife", remark="爱人")
    await request_harness.harness.changes.wait_until(lambda: request_harness.wechat.done)
    request_harness.harness.registry.apply_directory((), "next login", OWNER, 0, complete=False)
    request_harness.wechat.held.set()
    assert (await request_harness.answer(delivery))["status"] == "ok"
    assert request_harness.saved == []


async def test_an_empty_remark_takes_it_away(request_harness):
    assert (await request_harness.ask("set_remark", user="mom", remark=""))["data"] == {
        "user": "mom",
        "remark": "",
    }
    (entry,) = [entry for entry in request_harness.harness.registry.directory() if entry.user == "mom"]
    assert (entry.remark, entry.name) == ("", "妈")


async def test_setting_the_same_remark_again_is_no_event(request_harness):
    await request_harness.ask("set_remark", user="mom", remark="妈妈")
    assert request_harness.people_events() == []


async def test_a_friend_request_is_accepted_by_the_id_of_its_event(request_harness):
    await request_harness.record_friend_request("7001")
    assert await request_harness.ask("accept_friend", id="7001") == {"status": "ok", "data": {"id": "7001"}}
    assert request_harness.wechat.actions == [AcceptFriend(request={"ticket": "v2_x"})]


@pytest.mark.parametrize("event", ["7002", "x" * 1000, "\ud800"])
async def test_an_id_of_no_friend_request_is_unknown(request_harness, event):
    assert await refused(request_harness, "accept_friend", id=event) == "unknown_id"


async def test_a_friend_request_of_an_earlier_login_is_void(request_harness):
    await request_harness.record_friend_request("7001", login="another login")
    assert await refused(request_harness, "accept_friend", id="7001") == "unknown_id"


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
async def test_an_unknown_recipient_is_rejected(request_harness, name, user, code):
    more = {"remark": "x"} if name == "set_remark" else {}
    assert await refused(request_harness, name, user=user, **more) == code


@pytest.mark.parametrize("user", ["family", "filehelper", "news", "stranger"])
async def test_only_a_friend_can_have_a_remark(request_harness, user):
    assert await refused(request_harness, "set_remark", user=user, remark="x") == "bad_request"


@pytest.mark.parametrize("remark", ["x" * 101, "a\nb", "a\0", "\u2028", 5, None, ["a"], "\ud800"])
async def test_a_remark_is_one_line(request_harness, remark):
    assert await refused(request_harness, "set_remark", user="wife", remark=remark) == "bad_request"


async def test_a_remark_that_is_left_out_does_not_take_the_old_one_away(request_harness):
    assert await refused(request_harness, "set_remark", user="wife") == "bad_request"


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("mark_read", {"user": "wife"}),
        ("set_remark", {"user": "wife", "remark": "x"}),
        ("accept_friend", {"id": "1"}),
    ],
)
async def test_a_misspelt_key_is_named_and_nothing_is_done(request_harness, name, fields):
    answer = await request_harness.ask(name, **fields, remrak="x")
    assert answer["code"] == "bad_request"
    assert "'remrak'" in answer["error"]
    assert request_harness.wechat.done == []


async def test_send_allow_limits_the_people_on_whom_a_request_acts(tmp_path):
    async with open_request_harness(tmp_path, allow=("wife",)) as request_harness:
        assert (await request_harness.ask("mark_read", user="wife"))["status"] == "ok"
        request_harness.wechat.done.clear()
        assert await refused(request_harness, "mark_read", user="mom") == "not_allowed"
        assert await refused(request_harness, "set_remark", user="mom", remark="x") == "not_allowed"
        await request_harness.record_friend_request("7001")
        assert await refused(request_harness, "accept_friend", id="7001") == "not_allowed"


async def test_what_the_backend_cannot_do_is_unsupported(request_harness):
    request_harness.wechat.capabilities = request_harness.wechat.capabilities.__class__(
        backend="x",
        has_contacts=True,
        has_groups=True,
        can_start_chat=True,
        handles_change_at_login=True,
        text_limit=1,
    )
    assert await refused(request_harness, "mark_read", user="wife") == "unsupported"
