"""Actions that requests carry out at WeChat: read marks, remarks, friends, groups (webwx 2.15 to 2.19)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.login_helpers import calls
from tests.support.home import PEOPLE, Home

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ask(home: Home, name: str, /, **fields: Any) -> dict[str, Any]:
    """Sends a request; returns its answer."""
    return await home.send_request(name, fields)


async def data_of(home: Home, name: str, /, **fields: Any) -> Any:
    """Sends a request that must succeed; returns the data of its answer."""
    answer = await ask(home, name, **fields)
    assert answer["status"] == "ok", answer
    return answer["data"]


async def people(home: Home) -> dict[str, Any]:
    """Returns all people as the simulated phone sees them, by id."""
    return {person["id"]: person for person in await home.control.get("people")}


async def directory_contact(home: Home, user: str, *, since: int, **wanted: Any) -> dict[str, Any]:
    """Waits until a directory that was published since has a contact of the user with these values; returns it."""

    def is_wanted(contact: dict[str, Any]) -> bool:
        return contact["user"] == user and all(contact.get(key) == value for key, value in wanted.items())

    received = await home.in_thread(
        home.subscriber.wait,
        "wx/contacts",
        lambda message: any(map(is_wanted, message.body["contacts"])),
        since=since,
    )
    return next(contact for contact in received.body["contacts"] if is_wanted(contact))


async def friend_request(home: Home, person: str) -> str:
    """Lets somebody send a friend request; returns the id of its event."""
    since = home.subscriber.count
    await home.control.say(person, "我是隔壁老王", kind="friend_request")
    return str((await home.body("wx/event/friend_request", since=since))["id"])


async def test_a_chat_that_is_marked_read_is_read_on_the_phone_too(shared_home: Home):
    await shared_home.control.say("wife", "看到了吗")
    assert (await shared_home.control.get("state"))["unread"]["wife"] == 1
    assert await data_of(shared_home, "mark_read", user="wife") == {"user": "wife"}
    assert not (await shared_home.control.get("state"))["unread"].get("wife")


async def test_a_remark_is_set_and_published_once(shared_home: Home):
    since = shared_home.subscriber.count
    assert await data_of(shared_home, "set_remark", user="李雷", remark="李先生") == {
        "user": "李雷",
        "remark": "李先生",
    }
    assert (await people(shared_home))["lilei"]["remark"] == "李先生"
    renamed = await shared_home.body("wx/event/contact_renamed", since=since)
    assert (renamed["user"], renamed["from"], renamed["to"]) == ("李雷", "李雷", "李先生")
    assert (await directory_contact(shared_home, "李雷", since=since, remark="李先生"))["name"] == "李先生"
    await data_of(shared_home, "set_remark", user="李雷", remark="")
    assert "remark" not in await directory_contact(shared_home, "李雷", since=since, name="李雷")
    received = [
        message
        for message in shared_home.subscriber.received[since:]
        if message.topic == "wx/event/contact_renamed"
    ]
    assert [message.body["to"] for message in received] == ["李先生", "李雷"], (
        "the change that WeChat reports as well is published once"
    )


async def test_a_stranger_becomes_a_friend_by_the_id_of_the_event(shared_home: Home):
    event = await friend_request(shared_home, "uncle")
    since = shared_home.subscriber.count
    assert await data_of(shared_home, "accept_friend", id=event) == {"id": event}
    added = await shared_home.body("wx/event/contact_added", since=since)
    assert (added["user"], added["name"]) == ("Uncle_Bob", "Uncle Bob")
    assert (await people(shared_home))["uncle"]["kind"] == "friend"
    assert (await shared_home.send_command(added["user"], "你好"))["status"] == "sent"


async def test_an_id_of_no_friend_request_is_refused_without_asking_wechat(shared_home: Home):
    (message,) = await shared_home.control.say("wife", "not an event")
    before = await calls(shared_home, "webwxverifyuser")
    for unknown in (message, "12345", "members:x"):
        assert (await ask(shared_home, "accept_friend", id=unknown))["code"] == "unknown_id"
    assert await calls(shared_home, "webwxverifyuser") == before


async def test_a_friend_request_that_expired_at_wechat_is_an_error(shared_home: Home):
    await shared_home.control.post("settings", request_life=0.0)
    try:
        event = await friend_request(shared_home, "aunt")
        answer = await ask(shared_home, "accept_friend", id=event)
        assert answer["status"] == "error"
        assert answer["code"] in {"refused_by_wechat", "unknown_id"}
    finally:
        await shared_home.control.post("settings", request_life=259_200.0)


async def test_the_members_of_a_group_have_topics_and_names(shared_home: Home):
    data = await data_of(shared_home, "group", user="family")
    assert (data["user"], data["count"]) == ("family", 4)
    assert [(member.get("user"), member["name"], member["self"]) for member in data["members"]] == [
        (None, "王小明", True),
        ("wife", "老婆", False),
        ("妈妈", "妈妈", False),
        (None, "三姨🌼", False),
    ]


async def test_a_group_is_created_gains_and_loses_members_and_is_renamed(shared_home: Home):
    home = shared_home
    created = await data_of(home, "group", action="create", members=["wife", "妈妈"], name="周末")
    assert created == {"user": "周末", "name": "周末", "refused": []}
    assert (await home.send_command("周末", "大家好"))["status"] == "sent"
    since = home.subscriber.count
    assert (await data_of(home, "group", action="add", user="周末", members=["李雷"]))["added"] == ["李雷"]
    joined = await home.body("wx/event/group_members", since=since, user="周末")
    assert (joined["added"], joined["removed"], joined["count"]) == (["李雷"], [], 4)
    since = home.subscriber.count
    assert (await data_of(home, "group", action="remove", user="周末", members=["妈妈"]))["removed"] == [
        "妈妈"
    ]
    departed = await home.body("wx/event/group_members", since=since, user="周末")
    assert (departed["added"], departed["removed"], departed["count"]) == ([], ["妈妈"], 3)
    since = home.subscriber.count
    assert await data_of(home, "group", action="rename", user="周末", name="下周末") == {
        "user": "周末",
        "name": "下周末",
    }
    renamed = await home.body("wx/event/contact_renamed", since=since)
    assert (renamed["user"], renamed["to"]) == ("周末", "下周末")
    assert (await directory_contact(home, "周末", since=since, nickname="下周末"))["kind"] == "group"


async def test_where_groups_are_switched_off_the_refusal_of_wechat_is_reported(shared_home: Home):
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
async def test_a_request_whose_exchange_failed_is_repeated(shared_home: Home, fault: dict[str, Any]):
    before = await calls(shared_home, "webwxstatusnotify")
    await shared_home.control.post("fault", endpoint="webwxstatusnotify", **fault)
    assert (await ask(shared_home, "mark_read", user="wife"))["status"] == "ok"
    assert await calls(shared_home, "webwxstatusnotify") == before + 2


async def test_an_action_that_may_have_been_done_and_must_not_be_done_twice_is_not_repeated(
    shared_home: Home,
):
    before = await calls(shared_home, "webwxcreatechatroom")
    await shared_home.control.post("fault", endpoint="webwxcreatechatroom", kind="drop_answer")
    answer = await ask(shared_home, "group", action="create", members=["wife", "妈妈"], name="也许")
    assert answer["code"] == "no_answer"
    assert await calls(shared_home, "webwxcreatechatroom") == before + 1
    assert [person["nickname"] for person in (await people(shared_home)).values()].count("也许") == 1


async def test_a_slow_request_does_not_delay_messages(shared_home: Home):
    home, since = shared_home, shared_home.subscriber.count
    await home.control.post("fault", endpoint="webwxstatusnotify", kind="delay", value=2.0)
    await home.publish("wx/bridge/request/mark_read", {"user": "wife", "transaction": "slow"})
    assert (await home.send_command("wife", {"text": "meanwhile", "id": "meanwhile"}))["status"] == "sent"
    await home.control.say("wife", "in between")
    await home.body("wx/in/wife", text="in between", since=since)
    assert not any(
        message.topic == "wx/bridge/response/mark_read" for message in home.subscriber.received[since:]
    )
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
    secrets = [
        b"@stranger",
        b"v2_",
        b"v1_",
        *(name.encode() for name in names.values() if name.startswith("@")),
    ]
    assert len(secrets) > 10
    for received in shared_home.subscriber.received:
        found = [secret for secret in secrets if secret in received.payload]
        assert not found, (received.topic, received.payload)


# This test is the last one, since it logs out.


async def test_a_friend_request_of_an_earlier_login_cannot_be_accepted(shared_home: Home):
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
    late_answer = await ask(home, "accept_friend", id=event)
    assert late_answer["code"] == "unknown_id"
    assert "phone" in late_answer["error"]
    assert await calls(home, "webwxverifyuser") == before
    assert await data_of(home, "mark_read", user="wife") == {"user": "wife"}
