"""Events instead of messages: recalls, friend requests, calls, people who are added, removed and changed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.home import Home

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMMON_KEYS = {"schema", "event", "id", "account", "time"}
USER_NAME = re.compile(rb"@@?[0-9a-f]{16,}|[a-z]+@chatroom|v[12]_[0-9a-f]+@stranger")


async def event(home: Home, kind: str, *, since: int, **wanted: Any) -> dict[str, Any]:
    """Waits for the first event of a kind since then; asserts the keys that every event has."""
    body = await home.body(f"wx/event/{kind}", since=since, **wanted)
    assert body.keys() >= COMMON_KEYS
    assert (body["schema"], body["event"], body["account"]) == (1, kind, "home")
    assert "seq" not in body
    assert body["time"].endswith("Z")
    assert None not in body.values()
    return body


# recalls


@pytest.mark.parametrize(
    ("person", "to", "user", "by"),
    [
        ("wife", "me", "wife", "wife"),
        ("mom", "family", "family", "妈妈"),
        ("aunt", "family", "family", "三姨🌼"),
    ],
)
async def test_a_recall_names_the_message_the_chat_and_who_did_it(
    shared_home: Home, person: str, to: str, user: str, by: str
):
    (message,) = await shared_home.control.say(person, f"{person} takes this back", to=to)
    await shared_home.body(f"wx/in/{user}", id=message)
    since = shared_home.subscriber.count
    await shared_home.control.say(person, to=to, kind="recall", detail={"msg_id": message})
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
    assert body.keys() == {*COMMON_KEYS, "name", "text", "source"}
    assert (body["name"], body["text"]) == ("Uncle Bob", "我是隔壁老王")
    assert body["source"]


@pytest.mark.parametrize(
    ("call_kind", "state"), [("call", "call"), ("call_end", "ended"), ("call_invite", "invited")]
)
async def test_a_call_says_from_whom(shared_home: Home, call_kind: str, state: str):
    since = shared_home.subscriber.count
    await shared_home.control.say("wife", kind=call_kind)
    body = await event(shared_home, "call", since=since)
    assert (body["user"], body["state"]) == ("wife", state)


# people


async def test_added_changed_and_removed_people_are_events(shared_home: Home):
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
        home.subscriber.wait, "wx/contacts", lambda message: _contact(message.body, "Zoe").get("removed")
    )
    assert _contact(received.body, "Zoe") == {
        "user": "Zoe",
        "kind": "friend",
        "name": "邻居",
        "remark": "邻居",
        "nickname": "Zoe",
        "matched_by": "new",
        "trusted": False,
        "removed": True,
    }
    result = await home.send_command("Zoe", "are you there?")
    assert (result["status"], result["code"]) == ("rejected", "unknown_user")


def _contact(body: dict[str, Any], user: str) -> dict[str, Any]:
    return next((contact for contact in body["contacts"] if contact["user"] == user), {})


async def test_an_event_names_who_joined_and_who_left_a_group_by_topic_or_name(shared_home: Home):
    home, since = shared_home, shared_home.subscriber.count
    await home.control.post("people", join={"group": "family", "id": "uncle"})
    joined = await event(home, "group_members", since=since, count=5)
    assert (joined["user"], joined["added"], joined["removed"]) == ("family", ["Uncle Bob"], [])
    since = home.subscriber.count
    await home.control.post("people", leave={"group": "family", "id": "mom"})
    departed = await event(home, "group_members", since=since, count=4)
    assert (departed["added"], departed["removed"]) == ([], ["妈妈"])


async def test_a_member_whose_nickname_equals_a_topic_is_not_named_by_it(shared_home: Home):
    home, since = shared_home, shared_home.subscriber.count
    await home.control.post(
        "people", add={"id": "eve", "nickname": "wife", "kind": "stranger", "contact_flag": 0}
    )
    await home.control.post("people", join={"group": "family", "id": "eve"})
    joined = await event(home, "group_members", since=since, count=5)
    assert joined["added"] != ["wife"]
    assert "wife" in joined["added"][0]


async def test_a_renamed_group_is_an_event(shared_home: Home):
    home, since = shared_home, shared_home.subscriber.count
    await home.control.post("people", rename={"id": "family", "nickname": "一家子"})
    body = await event(home, "contact_renamed", since=since)
    assert (body["user"], body["from"], body["to"]) == ("family", "相亲相爱一家人", "一家子")


async def test_many_changes_at_once_are_one_directory(shared_home: Home):
    """The directory is published once per change of the whole, not per contact."""
    home, since = shared_home, shared_home.subscriber.count
    people = [{"id": f"many{n}", "nickname": f"Many {n}"} for n in range(200)]
    await home.control.post("people", add=people)
    received = await home.in_thread(
        home.subscriber.wait,
        "wx/contacts",
        lambda message: _contact(message.body, "Many_199") != {},
        since=since,
    )
    assert sum(contact["user"].startswith("Many_") for contact in received.body["contacts"]) == 200
    directories = [message for message in home.subscriber.received[since:] if message.topic == "wx/contacts"]
    assert len(directories) <= 5
    # Retained messages go first, so the last of the events may still follow.
    wait = home.subscriber.wait
    await home.in_thread(
        wait, "wx/event/contact_added", lambda message: message.body["user"] == "Many_199", since=since
    )
    added = [
        message for message in home.subscriber.received[since:] if message.topic == "wx/event/contact_added"
    ]
    assert len(added) == len({message.body["id"] for message in added}) == 200


async def test_no_username_and_no_ticket_is_on_any_topic(shared_home: Home):
    names = (await shared_home.control.get("names")).values()
    secrets = [name.encode() for name in names if name.startswith("@")]
    assert len(secrets) > 200
    for received in shared_home.subscriber.received:
        assert not USER_NAME.search(received.payload), received.topic
        assert not USER_NAME.search(received.topic.encode()), received.topic
        assert b"v2_" not in received.payload
    everything = b"".join(received.payload for received in shared_home.subscriber.received)
    assert not any(secret in everything for secret in secrets)
