"""What is no message: recalls, requests, calls, people who come, go and change."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.home import Home

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMMON = {"schema", "event", "id", "account", "time"}
USER_NAME = re.compile(rb"@@?[0-9a-f]{16,}|[a-z]+@chatroom|v[12]_[0-9a-f]+@stranger")


async def event(home: Home, kind: str, *, since: int, **wanted: Any) -> dict[str, Any]:
    """The first event of a kind since then, with all that every event has."""
    body = await home.body(f"wx/event/{kind}", since=since, **wanted)
    assert body.keys() >= COMMON
    assert (body["schema"], body["event"], body["account"]) == (1, kind, "home")
    assert "seq" not in body
    assert body["time"].endswith("Z")
    assert None not in body.values()
    return body


# recalls


@pytest.mark.parametrize(
    ("who", "to", "user", "by"),
    [
        ("wife", "me", "wife", "wife"),
        ("mom", "family", "family", "妈妈"),
        ("aunt", "family", "family", "三姨🌼"),
    ],
)
async def test_a_recall_names_the_message_the_chat_and_who_did_it(
    shared_home: Home, who: str, to: str, user: str, by: str
):
    (message,) = await shared_home.control.say(who, f"{who} takes this back", to=to)
    await shared_home.body(f"wx/in/{user}", id=message)
    since = shared_home.subscriber.count
    await shared_home.control.say(who, to=to, kind="recall", detail={"msg_id": message})
    body = await event(shared_home, "recall", since=since)
    assert (body["id"], body["message_id"], body["user"], body["by"]) == (message, message, user, by)
    assert "撤回" in body["text"]


async def test_the_owner_takes_back_what_they_wrote_on_the_phone(shared_home: Home):
    (message,) = await shared_home.control.say("me", "oh no", to="filehelper")
    await shared_home.body("wx/in/filehelper", id=message)
    since = shared_home.subscriber.count
    await shared_home.control.say("me", to="filehelper", kind="recall", detail={"msg_id": message})
    body = await event(shared_home, "recall", since=since)
    assert (body["message_id"], body["user"]) == (message, "filehelper")


# requests and calls


async def test_a_friend_request_says_who_what_and_from_where(shared_home: Home):
    since = shared_home.subscriber.count
    await shared_home.control.say("uncle", "我是隔壁老王", kind="friend_request")
    body = await event(shared_home, "friend_request", since=since)
    assert body.keys() == {*COMMON, "name", "text", "source"}
    assert (body["name"], body["text"]) == ("Uncle Bob", "我是隔壁老王")
    assert body["source"]


@pytest.mark.parametrize(
    ("said", "state"), [("call", "call"), ("call_end", "ended"), ("call_invite", "invited")]
)
async def test_a_call_says_from_whom(shared_home: Home, said: str, state: str):
    since = shared_home.subscriber.count
    await shared_home.control.say("wife", kind=said)
    body = await event(shared_home, "call", since=since)
    assert (body["user"], body["state"]) == ("wife", state)


# people


async def test_people_come_change_and_go(shared_home: Home):
    home, since = shared_home, shared_home.subscriber.count
    await home.control.post("people", add={"id": "zoe", "nickname": "Zoe"})
    added = await event(home, "contact_added", since=since)
    assert (added["user"], added["kind"], added["name"]) == ("Zoe", "friend", "Zoe")
    await home.control.post("people", remark={"id": "zoe", "remark": "邻居"})
    renamed = await event(home, "contact_renamed", since=since)
    assert (renamed["user"], renamed["from"], renamed["to"]) == ("Zoe", "Zoe", "邻居")
    await home.control.post("people", remove={"id": "zoe"})
    removed = await event(home, "contact_removed", since=since)
    assert (removed["user"], removed["name"]) == ("Zoe", "邻居")
    received = await home.in_thread(
        home.subscriber.wait, "wx/contacts", lambda one: _line(one.body, "Zoe").get("removed")
    )
    assert _line(received.body, "Zoe") == {
        "user": "Zoe",
        "kind": "friend",
        "name": "邻居",
        "remark": "邻居",
        "nickname": "Zoe",
        "matched_by": "new",
        "trusted": False,
        "removed": True,
    }
    gone = await home.send_command("Zoe", "are you there?")
    assert (gone["status"], gone["code"]) == ("rejected", "unknown_user")


def _line(body: dict[str, Any], user: str) -> dict[str, Any]:
    return next((one for one in body["contacts"] if one["user"] == user), {})


async def test_a_group_says_who_came_and_who_went_by_topic_or_name(shared_home: Home):
    home, since = shared_home, shared_home.subscriber.count
    await home.control.post("people", join={"group": "family", "id": "uncle"})
    came = await event(home, "group_members", since=since, count=5)
    assert (came["user"], came["added"], came["removed"]) == ("family", ["Uncle Bob"], [])
    since = home.subscriber.count
    await home.control.post("people", leave={"group": "family", "id": "mom"})
    left = await event(home, "group_members", since=since, count=4)
    assert (left["added"], left["removed"]) == ([], ["妈妈"])


async def test_nobody_in_a_group_is_taken_for_a_topic_by_their_nickname(shared_home: Home):
    home, since = shared_home, shared_home.subscriber.count
    await home.control.post(
        "people", add={"id": "eve", "nickname": "wife", "kind": "stranger", "contact_flag": 0}
    )
    await home.control.post("people", join={"group": "family", "id": "eve"})
    came = await event(home, "group_members", since=since, count=5)
    assert came["added"] != ["wife"]
    assert "wife" in came["added"][0]


async def test_a_group_with_another_name_is_told(shared_home: Home):
    home, since = shared_home, shared_home.subscriber.count
    await home.control.post("people", rename={"id": "family", "nickname": "一家子"})
    body = await event(home, "contact_renamed", since=since)
    assert (body["user"], body["from"], body["to"]) == ("family", "相亲相爱一家人", "一家子")


async def test_many_changes_at_once_are_one_directory(shared_home: Home):
    """Published once per change of the whole, not per contact."""
    home, since = shared_home, shared_home.subscriber.count
    many = [{"id": f"many{n}", "nickname": f"Many {n}"} for n in range(200)]
    await home.control.post("people", add=many)
    received = await home.in_thread(
        home.subscriber.wait, "wx/contacts", lambda one: _line(one.body, "Many_199") != {}, since=since
    )
    assert sum(one["user"].startswith("Many_") for one in received.body["contacts"]) == 200
    directories = [one for one in home.subscriber.received[since:] if one.topic == "wx/contacts"]
    assert len(directories) <= 5
    # What is retained goes first, so the last of the events may still be on its way.
    last = home.subscriber.wait
    await home.in_thread(
        last, "wx/event/contact_added", lambda one: one.body["user"] == "Many_199", since=since
    )
    told = [one for one in home.subscriber.received[since:] if one.topic == "wx/event/contact_added"]
    assert len(told) == len({one.body["id"] for one in told}) == 200


async def test_no_username_and_no_ticket_is_on_any_topic(shared_home: Home):
    names = (await shared_home.control.get("names")).values()
    secrets = [one.encode() for one in names if one.startswith("@")]
    assert len(secrets) > 200
    for received in shared_home.subscriber.received:
        assert not USER_NAME.search(received.payload), received.topic
        assert not USER_NAME.search(received.topic.encode()), received.topic
        assert b"v2_" not in received.payload
    everything = b"".join(received.payload for received in shared_home.subscriber.received)
    assert not any(secret in everything for secret in secrets)
