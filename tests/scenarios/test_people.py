"""Which topic each person has after logins, renames, attempts at impersonation and losses of the database."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.login_helpers import STATE, ask
from tests.support.home import PEOPLE, Home

CONTACTS = "wx/contacts"


async def directory_with(home: Home, **wanted: Any) -> dict[str, Any]:
    """Waits until the directory has somebody with these fields; returns all contacts by their user."""

    def fits(received: Any) -> bool:
        people = received.body["contacts"]
        return any(all(contact.get(key) == value for key, value in wanted.items()) for contact in people)

    received = await home.in_thread(
        home.subscriber.wait, CONTACTS, lambda message: bool(message.payload) and fits(message)
    )
    return {contact["user"]: contact for contact in received.body["contacts"]}


async def log_in_again(home: Home, *, meanwhile: Any = None) -> None:
    """Lets the phone end the login, and logs in again, in which everybody has another UserName."""
    since = home.subscriber.count
    await home.control.post("logout", retcode=1101)
    await home.body(STATE, state="waiting_for_scan", since=since)
    if meanwhile is not None:
        await meanwhile()
    await home.control.wait("code")
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.body(STATE, state="online", since=since)
    await home.control.wait("polling")


async def topic_level_of(home: Home, sender: str, text: str) -> str:
    """Lets somebody write; returns the level of the topic on which the message arrives."""
    await home.control.say(sender, text)
    received = await home.in_thread(
        home.subscriber.wait, "wx/in/#", lambda message: message.body["text"] == text
    )
    return str(received.topic.removeprefix("wx/in/"))


async def test_the_directory_says_who_has_which_topic_and_why(home: Home):
    await home.log_in()
    people = await directory_with(home, user="wife")
    whole = home.subscriber.on(CONTACTS)[-1].body
    assert (whole["schema"], whole["complete"], whole["count"]) == (1, True, len(whole["contacts"]))
    assert people["wife"] == {
        "user": "wife",
        "kind": "friend",
        "name": "老婆",
        "remark": "老婆",
        "nickname": "晓梅🌸",
        "matched_by": "pin",
        "trusted": True,
        "removed": False,
    }
    assert (people["family"]["kind"], people["family"]["trusted"]) == ("group", False)
    assert people["filehelper"]["kind"] == "self"
    assert people["妈妈"]["trusted"] is False
    assert people["中国日报双语新闻"]["kind"] == "official"
    assert {"小明", "小明-2"} <= set(people)
    answer = await ask(home, "contacts", query="小明", kind="friend")
    assert answer["data"]["count"] == 2
    every = await ask(home, "contacts")
    assert {contact["user"] for contact in every["data"]["contacts"]} == set(people)
    assert home.subscriber.on("wx/event/contact_added") == [], "nobody becomes a contact by a login"


async def test_people_come_go_and_change_their_names(home: Home):
    await home.log_in()
    await home.control.post("people", add={"id": "bob", "nickname": "Bob"})
    added = await home.body("wx/event/contact_added", user="Bob")
    assert (added["kind"], added["name"]) == ("friend", "Bob")
    await home.control.post("people", rename={"id": "bob", "nickname": "Robert"})
    renamed = await home.body("wx/event/contact_renamed", user="Bob")
    assert (renamed["from"], renamed["to"]) == ("Bob", "Robert")
    assert (await directory_with(home, user="Bob", name="Robert"))["Bob"]["nickname"] == "Robert"
    await home.control.post("people", remove={"id": "bob"})
    await home.body("wx/event/contact_removed", user="Bob")
    assert (await directory_with(home, user="Bob", removed=True))["Bob"]["name"] == "Robert"


async def test_joining_and_leaving_a_group_are_events(home: Home):
    await home.log_in()
    await home.control.post("people", join={"group": "family", "id": "lilei"})
    joined = await home.body("wx/event/group_members", user="family")
    assert (joined["added"], joined["removed"], joined["count"]) == (["李雷"], [], 5)
    since = home.subscriber.count
    await home.control.post("people", leave={"group": "family", "id": "mom"})
    left = await home.body("wx/event/group_members", since=since)
    assert (left["added"], left["removed"], left["count"]) == ([], ["妈妈"], 4)


async def test_a_stranger_in_a_group_is_no_contact_until_they_are(home: Home):
    await home.log_in()
    names = await home.control.get("names")
    aunt = {"MsgType": 51, "StatusNotifyCode": 4, "StatusNotifyUserName": names["aunt"], "MsgId": "51"}
    await home.control.post(
        "raw", AddMsgList=[{**aunt, "FromUserName": names["me"], "ToUserName": names["me"]}]
    )
    people = await directory_with(home, user="三姨")
    assert people["三姨"]["stranger"] is True
    assert home.subscriber.on("wx/event/contact_added") == []
    await home.control.post("people", set={"id": "aunt", "contact_flag": 3, "kind": "friend"})
    await home.body("wx/event/contact_added", user="三姨")


async def test_ten_logins_with_renames_keep_every_topic(home: Home):
    random_source = random.Random(7)
    await home.log_in()
    await home.control.post("people", friends=12)
    await log_in_again(home)
    who = ["wife", "mom", "lilei", "hanmeimei", *(f"friend{n}" for n in range(1, 13))]
    levels_by_person = {person: await topic_level_of(home, person, f"0 {person}") for person in who}
    assert len(set(levels_by_person.values())) == len(who)
    for login in range(1, 10):

        async def meanwhile(login: int = login) -> None:
            for person in random_source.sample(who[2:], 2):
                await home.control.post("people", rename={"id": person, "nickname": f"{person} {login}"})

        await log_in_again(home, meanwhile=meanwhile)
        for person in random_source.sample(who, 4):
            assert await topic_level_of(home, person, f"{login} {person}") == levels_by_person[person]
    for person in who:
        assert await topic_level_of(home, person, f"end {person}") == levels_by_person[person]


async def test_a_name_cannot_be_taken_over(home: Home):
    """Eve takes the name, the picture and all that she can of the wife and of mom; WeChat shows her so in its
    protocol.
    """
    await home.log_in()
    assert await topic_level_of(home, "wife", "it is me") == "wife"
    mom = await topic_level_of(home, "mom", "me too")
    people = {person["id"]: person for person in await home.control.get("people")}
    imitated = {
        key: people["mom"][key] for key in ("nickname", "sex", "province", "city", "avatar", "attr_status")
    }

    async def imitate() -> None:
        await home.control.post("people", add={"id": "eve", **imitated})
        await home.control.post("people", add={"id": "eva", "nickname": "老婆"})
        await home.control.post("people", add={"id": "evi", "nickname": "filehelper"})
        await home.control.post("people", add={"id": "evo", "nickname": "妈妈"})

    await log_in_again(home, meanwhile=imitate)
    assert await topic_level_of(home, "wife", "still me") == "wife"
    assert await topic_level_of(home, "mom", "still me too") == mom
    for eve_id in ("eve", "eva", "evi", "evo"):
        await home.control.say(eve_id, f"I am {eve_id}")
        received = await home.in_thread(
            home.subscriber.wait, "wx/in/#", lambda message, who=eve_id: message.body["text"] == f"I am {who}"
        )
        assert received.topic not in ("wx/in/wife", f"wx/in/{mom}", "wx/in/filehelper")
        assert received.body["trusted"] is False
    since = home.subscriber.count
    await home.in_thread(home.subscriber.publish, "wx/out/wife", "only for you")
    await home.body("wx/result/wife", since=since, status="sent")
    assert [(message["to"], message["text"]) for message in await home.control.sent(1)] == [
        ("wife", "only for you")
    ]


async def test_a_name_given_by_reload_moves_the_topic_and_the_old_one_still_works(home: Home):
    await home.log_in()
    assert await topic_level_of(home, "mom", "before") == "妈妈"
    home.bridge.configure(home.settings({"contacts": {**PEOPLE, "mother": {"remark": "妈妈"}}}))
    answer = await ask(home, "reload")
    assert answer["data"]["applied"] == ["accounts.home.contacts"]
    changed = await home.body("wx/event/topic_changed", user="mother")
    assert (changed["from"], changed["to"]) == ("妈妈", "mother")
    assert await topic_level_of(home, "mom", "after") == "mother"
    people = await directory_with(home, user="mother", trusted=True)
    assert people["mother"]["matched_by"] == "pin"
    for name in ("妈妈", "mother"):
        await home.in_thread(home.subscriber.publish, f"wx/out/{name}", f"to {name}")
        await home.body(f"wx/result/{name}", status="sent")
    assert [message["to"] for message in await home.control.sent(2)] == ["mom", "mom"]
    await home.control.post("people", add={"id": "other", "nickname": "妈妈"})
    assert await topic_level_of(home, "other", "I am new") not in ("妈妈", "mother")


async def test_a_bad_file_changes_nothing(home: Home):
    await home.log_in()
    home.bridge.config.write_text("accounts: {home: {contact: {}}}\n")
    answer = await ask(home, "reload")
    assert (answer["status"], answer["code"]) == ("error", "bad_request")
    assert "contact" in answer["error"]
    assert await topic_level_of(home, "wife", "as before") == "wife"


async def test_topics_can_be_named_in_pinyin(home: Home):
    home.bridge.configure(home.settings({"topic_names": "pinyin", "contacts": {}}))
    await home.log_in()
    levels = [await topic_level_of(home, who, f"I am {who}") for who in ("mom", "lilei", "hanmeimei")]
    assert levels[:2] == ["mama", "lilei"]
    assert all(level.isascii() and level == level.lower() for level in levels)


@pytest.mark.in_folder
async def test_names_and_people_survive_a_lost_database(home: Home):
    await home.log_in()
    levels_by_person = {
        who: await topic_level_of(home, who, f"1 {who}") for who in ("wife", "mom", "twin1", "twin2")
    }
    copy = home.bridge.store / "people.json"
    await directory_with(home, user=levels_by_person["twin2"])
    await home.in_thread(home.bridge.stop)
    assert mode(copy) == 0o600
    people = read(copy)["accounts"]["home"]
    assert set(levels_by_person.values()) <= set(people["levels"])
    remove_database(home.bridge.store)
    await home.restart()
    for who, level in levels_by_person.items():
        assert await topic_level_of(home, who, f"2 {who}") == level
    assert any("people restored from their copy" in line for line in home.bridge.log)
    streams = {message.body["stream"] for message in home.subscriber.on("wx/in/#")}
    assert len(streams) == 2, "another store counts anew and says so"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def remove_database(store: Path) -> None:
    for file in store.glob("wx2mqtt.db*"):
        file.unlink()


@pytest.mark.parametrize(("limit", "friends"), [("max_packet_size 3000", 60), ("", 2500)])
async def test_a_directory_that_is_too_large_has_those_whom_the_owner_named(
    home: Home, limit: str, friends: int
):
    await home.control.post("people", friends=friends)
    if limit:
        home.broker.configure(limit)
        home.broker.restart()
    home.bridge.configure(home.settings(homeassistant={"expose": ["friend_1", "妈妈"]}))
    await home.log_in()
    await directory_with(home, user="wife")
    received = home.subscriber.on(CONTACTS)[-1]
    assert received.body["complete"] is False
    assert {contact["user"] for contact in received.body["contacts"]} == {"wife", "family", "妈妈"}
    if not limit:
        answer = await ask(home, "contacts")
        assert answer["data"]["count"] > friends


async def test_everybody_has_a_name_of_their_own_with_5_000_friends(home: Home):
    await home.control.post("people", friends=5000, groups=20, members=100)
    await home.log_in()
    await home.in_thread(home.subscriber.wait, CONTACTS, lambda message: message.body["complete"] is False)
    answer = await ask(home, "contacts")
    users = [contact["user"] for contact in answer["data"]["contacts"]]
    assert len(users) == len(set(users)) > 5000
