"""5,000 contacts and 300 groups of 500 members: everybody is found, and a change costs one directory."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.home import Home

FRIENDS, GROUPS, MEMBERS = 5_000, 300, 500
USER_NAME = re.compile(rb"@@?[0-9a-f]{16,}")


async def everybody(home: Home) -> list[dict[str, Any]]:
    """All of the directory, page by page."""
    found: list[dict[str, Any]] = []
    count = 1
    while len(found) < count:
        data = (await home.send_request("contacts", {"offset": len(found), "limit": 1_000}))["data"]
        count = data["count"]
        found += data["contacts"]
    return found


@pytest.mark.in_folder
async def test_a_large_account_is_known_whole(home: Home):
    await home.control.post("people", friends=FRIENDS, groups=GROUPS, members=MEMBERS)
    await home.log_in()
    people = await everybody(home)
    levels = [one["user"] for one in people]
    assert len(set(levels)) == len(levels)
    for number in range(1, FRIENDS + 1):
        assert (f"备注{number}" if number % 2 else f"好友{number}") in levels
    groups = [one for one in people if one["kind"] == "group"]
    assert len(groups) == GROUPS + 2
    directory = home.subscriber.on("wx/contacts")[-1].body
    assert (directory["complete"], {one["user"] for one in directory["contacts"]}) == (
        False,
        {"wife", "family"},
    )

    some = (await home.send_request("contacts", {"query": "备注4999"}))["data"]
    assert [one["user"] for one in some["contacts"]] == ["备注4999"]
    members = (await home.send_request("group", {"user": "群聊7"}))["data"]
    assert (members["count"], len(members["members"])) == (MEMBERS, MEMBERS)
    assert sum("user" in one for one in members["members"]) == MEMBERS - 1
    assert sum(one["self"] for one in members["members"]) == 1
    page = (await home.send_request("group", {"user": "群聊7", "limit": 10, "offset": 495}))["data"]
    assert page["members"] == members["members"][495:]

    since = home.subscriber.count
    renamed = [{"id": f"friend{number}", "nickname": f"改名{number}"} for number in range(2, 402, 2)]
    await home.control.post("people", rename=renamed)
    await home.body("wx/event/contact_renamed", since=since, to="改名400")
    assert (
        len([one for one in home.subscriber.received[since:] if one.topic == "wx/event/contact_renamed"])
        == 200
    )
    assert len([one for one in home.subscriber.received[since:] if one.topic == "wx/contacts"]) <= 2
    found = (await home.send_request("contacts", {"query": "改名"}))["data"]
    assert found["count"] == 200
    await home.control.say("friend1", "hello")
    received = await home.body("wx/in/备注1", text="hello")
    assert received["sender"]["user"] == "备注1"

    for one in home.subscriber.received:
        assert not USER_NAME.search(one.payload), one.topic
    await home.in_thread(home.bridge.stop)  # which writes the copy; a running bridge does so once a minute
    stored = (home.bridge.store / "people.json").read_bytes()
    assert json.loads(stored)["schema"] == 1
