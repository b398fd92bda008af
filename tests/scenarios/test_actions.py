"""What is done at WeChat by request: read marks, remarks, friends, groups (webwx 2.15 to 2.19)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.signing_in import calls
from tests.support.home import PEOPLE, Home

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ask(home: Home, name: str, /, **fields: Any) -> dict[str, Any]:
    """The answer to a request."""
    return await home.send_request(name, fields)


async def done(home: Home, name: str, /, **fields: Any) -> Any:
    """What the answer to a request holds, when it was carried out."""
    answer = await ask(home, name, **fields)
    assert answer["status"] == "ok", answer
    return answer["data"]


async def people(home: Home) -> dict[str, Any]:
    """Everybody as the phone sees them."""
    return {one["id"]: one for one in await home.control.get("people")}


async def entry(home: Home, user: str, *, since: int, **wanted: Any) -> dict[str, Any]:
    """Somebody's line in a directory that was published since, once it says what is wanted."""

    def fits(line: dict[str, Any]) -> bool:
        return line["user"] == user and all(line.get(key) == value for key, value in wanted.items())

    received = await home.in_thread(
        home.subscriber.wait, "wx/contacts", lambda one: any(map(fits, one.body["contacts"])), since=since
    )
    return next(line for line in received.body["contacts"] if fits(line))


async def friend_request(home: Home, who: str) -> str:
    """A stranger asks; the id of the event."""
    since = home.subscriber.count
    await home.control.say(who, "我是隔壁老王", kind="friend_request")
    return str((await home.body("wx/event/friend_request", since=since))["id"])


async def test_a_chat_is_read_on_the_phone_too(shared_home: Home):
    await shared_home.control.say("wife", "看到了吗")
    assert (await shared_home.control.get("state"))["unread"]["wife"] == 1
    assert await done(shared_home, "mark_read", user="wife") == {"user": "wife"}
    assert not (await shared_home.control.get("state"))["unread"].get("wife")


async def test_a_remark_is_set_and_told_once(shared_home: Home):
    since = shared_home.subscriber.count
    assert await done(shared_home, "set_remark", user="李雷", remark="李先生") == {
        "user": "李雷",
        "remark": "李先生",
    }
    assert (await people(shared_home))["lilei"]["remark"] == "李先生"
    renamed = await shared_home.body("wx/event/contact_renamed", since=since)
    assert (renamed["user"], renamed["from"], renamed["to"]) == ("李雷", "李雷", "李先生")
    assert (await entry(shared_home, "李雷", since=since, remark="李先生"))["name"] == "李先生"
    await done(shared_home, "set_remark", user="李雷", remark="")
    assert "remark" not in await entry(shared_home, "李雷", since=since, name="李雷")
    received = [
        one for one in shared_home.subscriber.received[since:] if one.topic == "wx/event/contact_renamed"
    ]
    assert [one.body["to"] for one in received] == ["李先生", "李雷"], (
        "WeChat tells of it, too, and that is no news"
    )


async def test_a_stranger_becomes_a_friend_by_the_id_of_the_event(shared_home: Home):
    event = await friend_request(shared_home, "uncle")
    since = shared_home.subscriber.count
    assert await done(shared_home, "accept_friend", id=event) == {"id": event}
    added = await shared_home.body("wx/event/contact_added", since=since)
    assert (added["user"], added["name"]) == ("Uncle_Bob", "Uncle Bob")
    assert (await people(shared_home))["uncle"]["kind"] == "friend"
    assert (await shared_home.send_command(added["user"], "你好"))["status"] == "sent"


async def test_an_id_that_is_none_of_a_friend_request_asks_wechat_nothing(shared_home: Home):
    (message,) = await shared_home.control.say("wife", "not an event")
    before = await calls(shared_home, "webwxverifyuser")
    for unknown in (message, "12345", "members:x"):
        assert (await ask(shared_home, "accept_friend", id=unknown))["code"] == "unknown_id"
    assert await calls(shared_home, "webwxverifyuser") == before


async def test_a_request_that_ran_out_at_wechat_says_so(shared_home: Home):
    await shared_home.control.post("settings", request_life=0.0)
    try:
        event = await friend_request(shared_home, "aunt")
        answer = await ask(shared_home, "accept_friend", id=event)
        assert answer["status"] == "error"
        assert answer["code"] in {"refused_by_wechat", "unknown_id"}
    finally:
        await shared_home.control.post("settings", request_life=259_200.0)


async def test_the_members_of_a_group_have_topics_and_names(shared_home: Home):
    data = await done(shared_home, "group", user="family")
    assert (data["user"], data["count"]) == ("family", 4)
    assert [(one.get("user"), one["name"], one["self"]) for one in data["members"]] == [
        (None, "王小明", True),
        ("wife", "老婆", False),
        ("妈妈", "妈妈", False),
        (None, "三姨🌼", False),
    ]


async def test_a_group_is_made_filled_emptied_and_renamed(shared_home: Home):
    home = shared_home
    made = await done(home, "group", action="create", members=["wife", "妈妈"], name="周末")
    assert made == {"user": "周末", "name": "周末", "refused": []}
    assert (await home.send_command("周末", "大家好"))["status"] == "sent"
    since = home.subscriber.count
    assert (await done(home, "group", action="add", user="周末", members=["李雷"]))["added"] == ["李雷"]
    came = await home.body("wx/event/group_members", since=since, user="周末")
    assert (came["added"], came["removed"], came["count"]) == (["李雷"], [], 4)
    since = home.subscriber.count
    assert (await done(home, "group", action="remove", user="周末", members=["妈妈"]))["removed"] == ["妈妈"]
    gone = await home.body("wx/event/group_members", since=since, user="周末")
    assert (gone["added"], gone["removed"], gone["count"]) == ([], ["妈妈"], 3)
    since = home.subscriber.count
    assert await done(home, "group", action="rename", user="周末", name="下周末") == {
        "user": "周末",
        "name": "下周末",
    }
    renamed = await home.body("wx/event/contact_renamed", since=since)
    assert (renamed["user"], renamed["to"]) == ("周末", "下周末")
    assert (await entry(home, "周末", since=since, nickname="下周末"))["kind"] == "group"


async def test_where_groups_are_switched_off_wechats_no_is_told(shared_home: Home):
    await shared_home.control.post("settings", allow_groups=False)
    try:
        answer = await ask(shared_home, "group", action="create", members=["wife", "妈妈"])
        assert answer["code"] == "refused_by_wechat"
    finally:
        await shared_home.control.post("settings", allow_groups=True)


@pytest.mark.parametrize(
    "fault",
    [{"kind": "status", "value": 502}, {"kind": "drop_answer"}, {"kind": "reset"}, {"kind": "garbage"}],
    ids=lambda fault: str(fault["kind"]),
)
async def test_a_fault_on_the_way_is_overcome(shared_home: Home, fault: dict[str, Any]):
    before = await calls(shared_home, "webwxstatusnotify")
    await shared_home.control.post("fault", endpoint="webwxstatusnotify", **fault)
    assert (await ask(shared_home, "mark_read", user="wife"))["status"] == "ok"
    assert await calls(shared_home, "webwxstatusnotify") == before + 2


async def test_what_may_have_been_done_and_must_not_be_done_twice_is_not_repeated(shared_home: Home):
    before = await calls(shared_home, "webwxcreatechatroom")
    await shared_home.control.post("fault", endpoint="webwxcreatechatroom", kind="drop_answer")
    answer = await ask(shared_home, "group", action="create", members=["wife", "妈妈"], name="也许")
    assert answer["code"] == "no_answer"
    assert await calls(shared_home, "webwxcreatechatroom") == before + 1
    assert [one["nickname"] for one in (await people(shared_home)).values()].count("也许") == 1


async def test_a_slow_request_holds_no_message_up(shared_home: Home):
    home, since = shared_home, shared_home.subscriber.count
    await home.control.post("fault", endpoint="webwxstatusnotify", kind="delay", value=2.0)
    await home.publish("wx/bridge/request/mark_read", {"user": "wife", "transaction": "slow"})
    assert (await home.send_command("wife", {"text": "meanwhile", "id": "meanwhile"}))["status"] == "sent"
    await home.control.say("wife", "in between")
    await home.body("wx/in/wife", text="in between", since=since)
    assert not any(one.topic == "wx/bridge/response/mark_read" for one in home.subscriber.received[since:])
    await home.body("wx/bridge/response/mark_read", since=since, transaction="slow")


async def test_send_allow_names_on_whom_requests_may_act(shared_home: Home):
    settings = {"contacts": PEOPLE, "send": {"allow": ["wife"], "per_minute": 0}}
    shared_home.bridge.configure(shared_home.settings(settings))
    await shared_home.send_request("reload")
    try:
        assert (await ask(shared_home, "mark_read", user="妈妈"))["code"] == "not_allowed"
        assert (await ask(shared_home, "group", user="family"))["status"] == "ok", "that only asks"
        assert (await ask(shared_home, "group", user="family", action="rename", name="x"))[
            "code"
        ] == "not_allowed"
        event = await friend_request(shared_home, "aunt")
        assert (await ask(shared_home, "accept_friend", id=event))["code"] == "not_allowed"
        assert (await ask(shared_home, "mark_read", user="wife"))["status"] == "ok"
    finally:
        shared_home.bridge.configure(shared_home.settings())
        await shared_home.send_request("reload")


async def test_no_username_and_no_ticket_is_on_any_topic(shared_home: Home):
    names = await shared_home.control.get("names")
    secrets = [b"@stranger", b"v2_", b"v1_", *(one.encode() for one in names.values() if one.startswith("@"))]
    assert len(secrets) > 10
    for received in shared_home.subscriber.received:
        found = [secret for secret in secrets if secret in received.payload]
        assert not found, (received.topic, received.payload)


# last, since they log out


async def test_a_request_of_an_earlier_login_is_void(shared_home: Home):
    home = shared_home
    event = await friend_request(home, "aunt")
    since = home.subscriber.count
    await home.send_request("logout")
    answer = await ask(home, "accept_friend", id=event)
    assert answer["code"] == "logged_out"
    for name, fields in (("mark_read", {}), ("set_remark", {"remark": "x"}), ("group", {})):
        user = "family" if name == "group" else "wife"
        assert (await ask(home, name, user=user, **fields))["code"] == "logged_out"
    await home.send_request("login")
    await home.control.wait("code")
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.body("wx/login/state", state="online", since=since)
    before = await calls(home, "webwxverifyuser")
    old = await ask(home, "accept_friend", id=event)
    assert old["code"] == "unknown_id"
    assert "phone" in old["error"]
    assert await calls(home, "webwxverifyuser") == before
    assert await done(home, "mark_read", user="wife") == {"user": "wife"}
