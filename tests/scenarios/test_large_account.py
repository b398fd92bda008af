"""5,000 contacts and 300 groups of 500 members: all are found, and a change publishes one directory."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.home import Home

FRIENDS, GROUPS, MEMBERS = 5_000, 300, 500
USER_NAME = re.compile(rb"@@?[0-9a-f]{16,}")


async def whole_directory(home: Home) -> list[dict[str, Any]]:
    """Returns the whole directory, which it requests page by page."""
    found: list[dict[str, Any]] = []
    count = 1
    while len(found) < count:
        data = (await home.send_request("contacts", {"offset": len(found), "limit": 1_000}))["data"]
        count = data["count"]
        found += data["contacts"]
    return found


@pytest.mark.in_folder
async def test_all_contacts_of_a_large_account_are_known(home: Home):
    await home.control.post("people", friends=FRIENDS, groups=GROUPS, members=MEMBERS)
    await home.log_in()
    people = await whole_directory(home)
    levels = [contact["user"] for contact in people]
    assert len(set(levels)) == len(levels)
    for number in range(1, FRIENDS + 1):
        assert (f"备注{number}" if number % 2 else f"好友{number}") in levels
    groups = [contact for contact in people if contact["kind"] == "group"]
    assert len(groups) == GROUPS + 2
    directory = home.subscriber.on("wx/contacts")[-1].body
    assert (directory["complete"], {contact["user"] for contact in directory["contacts"]}) == (
        False,
        {"wife", "family"},
    )

    found_contacts = (await home.send_request("contacts", {"query": "备注4999"}))["data"]
    assert [contact["user"] for contact in found_contacts["contacts"]] == ["备注4999"]
    members = (await home.send_request("group", {"user": "群聊7"}))["data"]
    assert (members["count"], len(members["members"])) == (MEMBERS, MEMBERS)
    assert sum("user" in member for member in members["members"]) == MEMBERS - 1
    assert sum(member["self"] for member in members["members"]) == 1
    page = (await home.send_request("group", {"user": "群聊7", "limit": 10, "offset": 495}))["data"]
    assert page["members"] == members["members"][495:]

    since = home.subscriber.count
    renamed = [{"id": f"friend{number}", "nickname": f"改名{number}"} for number in range(2, 402, 2)]
    await home.control.post("people", rename=renamed)
    await home.body("wx/event/contact_renamed", since=since, to="改名400")
    assert (
        len(
            [
                message
                for message in home.subscriber.received[since:]
                if message.topic == "wx/event/contact_renamed"
            ]
        )
        == 200
    )
    assert (
        len([message for message in home.subscriber.received[since:] if message.topic == "wx/contacts"]) <= 2
    )
    renamed_contacts = (await home.send_request("contacts", {"query": "改名"}))["data"]
    assert renamed_contacts["count"] == 200
    await home.control.say("friend1", "hello")
    received = await home.body("wx/in/备注1", text="hello")
    assert received["sender"]["user"] == "备注1"

    for message in home.subscriber.received:
        assert not USER_NAME.search(message.payload), message.topic
    await home.in_thread(home.bridge.stop)  # which writes the copy; a running bridge does so once a minute
    stored = (home.bridge.store / "people.json").read_bytes()
    assert json.loads(stored)["schema"] == 1
