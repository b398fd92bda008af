"""Flows that talk: echo, notification, remote control."""

from __future__ import annotations

import json

import pytest

from tests.node_red.house import House, patience

pytestmark = pytest.mark.asyncio(loop_scope="module")


# echo


async def test_what_is_written_to_filehelper_comes_back_once_though_it_is_published_again(house: House):
    home, before = house.home, await house.count()
    await house.load("echo")
    since = home.ear.count
    await home.phone.say("me", "开灯 ☀", to="filehelper")
    await house.sent("filehelper: You wrote: 开灯 ☀", since=before)
    published = await home.hear(home.ear.wait, "wx/in/filehelper", since=since)
    result = await home.body("wx/result/filehelper", since=since)
    since = home.ear.count
    await home.publish("wx/in/filehelper", published.payload)
    again = await home.body("wx/result/filehelper", since=since)
    assert (again["id"], again["message_id"]) == (result["id"], result["message_id"])
    assert await house.count() == before + 1


async def test_only_texts_of_this_person_come_back_and_only_if_they_are_trusted(house: House):
    home, before = house.home, await house.count()
    await house.load("echo", PERSON="wife", ANSWER="")
    since = home.ear.count
    await home.phone.say("mom", "not asked")
    await home.phone.say("wife", kind="image")
    await home.phone.say("wife", "in the group", to="family")
    await home.hear(home.ear.wait, "wx/in/family", since=since)
    stranger = {
        **(await home.hear(home.ear.wait, "wx/in/wife", since=since)).body,
        "kind": "text",
        "trusted": False,
        "text": "x",
    }
    await home.publish("wx/in/wife", json.dumps(stranger))
    await home.phone.say("wife", "asked")
    await house.sent("wife: asked", since=before)


# notification


async def test_a_notification_arrives_and_says_so(house: House):
    before, since = await house.count(), len(house.red.told)
    await house.load("notify")
    await house.press("try it")
    assert await house.shown("sent", since=since) == "Sent to wife"
    await house.sent("wife: Dinner is ready 🍚 吃饭啦", since=before)
    assert house.red.all_shown("not sent", since=since) == []


@pytest.mark.parametrize(("language", "words"), [("en", "Not sent to nobody: "), ("zh", "没有发给 nobody：")])
async def test_a_notification_that_is_refused_says_why(house: House, language, words):
    before, since = await house.count(), len(house.red.told)
    await house.load("notify", PERSON="nobody", LANGUAGE=language)
    await house.press("try it")
    text = await house.shown("not sent", "unknown_user", since=since)
    assert text.startswith(words)
    assert await house.count() == before


async def test_a_notification_that_nobody_answers_says_so_and_was_tried_again_with_the_same_id(house: House):
    home, since, heard, wait = house.home, len(house.red.told), house.home.ear.count, patience(2)
    await home.hear(home.bridge.stop)
    await house.load("notify", WAIT=wait, every=0.3)
    await house.press("try it")
    assert "Do the bridge and the broker run?" in await house.shown("not sent", since=since)
    tries = [one for one in home.ear.heard[heard:] if one.topic == "wx/out/wife"]
    assert len(tries) > 1
    assert len({one.payload for one in tries}) == 1
    lives = [one.properties["MessageExpiryInterval"] for one in tries]
    assert (lives[0], lives) == (wait, sorted(lives, reverse=True))
    assert 0 < lives[-1] < wait
    before = await house.count()
    await home.restart()
    assert (await home.tell("filehelper", "after"))["status"] == "sent"
    assert await house.count() == before + 1, "what expired at the broker is not sent any more"


async def test_a_notification_that_is_tried_again_while_wechat_is_slow_arrives_once(house: House):
    home, before, since, heard = house.home, await house.count(), len(house.red.told), house.home.ear.count
    await house.load("notify", WAIT=20, every=0.2)
    await home.phone.post("fault", endpoint="webwxsendmsg", kind="late", value=1.5)
    await house.press("try it")
    assert await house.shown("sent", since=since) == "Sent to wife"
    assert len([one for one in home.ear.heard[heard:] if one.topic == "wx/out/wife"]) > 2
    await house.sent("wife: Dinner is ready", since=before)


async def test_a_notification_outlives_a_broker_that_goes_away_right_then(house: House):
    home, before, since, heard = house.home, await house.count(), len(house.red.told), house.home.ear.count
    await house.load("notify", WAIT=30, every=0.5)
    await home.hear(home.broker.kill)
    await home.hear(house.red.wait, lambda one: one["text"].startswith("Disconnected"), since=since)
    await house.press("try it")
    await home.hear(home.broker.start)
    assert await house.shown("sent", since=since) == "Sent to wife"
    await house.sent("wife: Dinner is ready", since=before)
    await home.hear(home.ear.wait, "wx/bridge/state", since=heard)  # for those who come after


async def test_an_urgent_notification_goes_before_others_and_to_the_fallback(house: House):
    home, heard = house.home, house.home.ear.count
    await house.load("notify")
    (button,) = [
        node for node in house.flow if node["type"] == "inject" and node["name"].startswith("try it")
    ]
    button["props"].append({"p": "urgent", "v": "true", "vt": "bool"})
    await home.hear(house.red.deploy, house.flow)
    await house.press("try it")
    command = (await home.hear(home.ear.wait, "wx/out/wife", since=heard)).body
    assert (command["priority"], command["urgent"]) == ("high", True)
    assert (await home.body("wx/result/wife", id=command["id"]))["status"] == "sent"


# remote control


async def test_commands_of_the_own_phone_act_and_are_answered(house: House):
    home, before = house.home, await house.count()
    await house.load("remote-control")
    since = home.ear.count
    await home.phone.say("me", "开灯", to="filehelper")
    await house.sent("filehelper: 好，开灯", since=before)
    assert (await home.hear(home.ear.wait, "home/light/set", since=since)).payload == b"ON"
    await home.publish("home/light/state", "ON", retain=True)
    await home.phone.say("me", " Light OFF ", to="filehelper")
    await home.hear(home.ear.wait, "home/light/set", lambda one: one.payload == b"OFF", since=since)
    await home.phone.say("me", "status", to="filehelper")
    await house.sent("OK, light off", "Light: ON", since=before + 1)
    await home.phone.say("me", "constructor", to="filehelper")
    await house.sent("I know: light on, light off, status, 开灯, 关灯, 状态", since=before + 3)


async def test_a_command_acts_once_though_it_is_published_again_and_not_when_it_is_old(house: House):
    home, before = house.home, await house.count()
    await house.load("remote-control", LANGUAGE="zh")
    since = home.ear.count
    await home.phone.say("me", "开灯", to="filehelper")
    await house.sent("好，开灯", since=before)
    published = await home.hear(home.ear.wait, "wx/in/filehelper", since=since)
    await home.publish("wx/in/filehelper", published.payload)
    old = {**published.body, "seq": published.body["seq"] + 1000, "time": "2026-01-01T00:00:00.000Z"}
    await home.publish("wx/in/filehelper", json.dumps(old))
    await house.sent("filehelper: 太晚了，没有执行：开灯", since=before + 1)
    assert len([one for one in home.ear.heard[since:] if one.topic == "home/light/set"]) == 1


async def test_a_command_whose_age_is_not_known_is_not_done(house: House):
    """Its time is far ahead: one of the clocks is wrong."""
    home, before = house.home, await house.count()
    await house.load("remote-control", PEOPLE="filehelper，wife")
    since = home.ear.count
    await home.phone.say("wife", "hello")
    hello = await home.body("wx/in/wife", since=since, text="hello")
    ahead = {**hello, "stream": "another", "text": "light on", "time": "2099-01-01T00:00:00.000Z"}
    await home.publish("wx/in/wife", json.dumps(ahead))
    await house.sent("wife: The clock of Node-RED is wrong, not done: light on", since=before)
    assert not [one for one in home.ear.heard[since:] if one.topic == "home/light/set"]


async def test_nobody_else_switches_anything_and_people_who_may_are_not_answered_when_they_just_talk(
    house: House,
):
    home, before = house.home, await house.count()
    await house.load("remote-control", PEOPLE="filehelper, wife", FRESH=3600)
    since = home.ear.count
    await home.phone.say("mom", "light on")
    await home.phone.say("lilei", "light on")
    await home.phone.say("wife", "light on", to="family")
    other = await home.body("wx/in/mom", since=since)
    await home.publish("wx/in/wife", {**other, "user": "wife", "trusted": False})
    await home.phone.say("wife", "在干嘛?")
    await home.body("wx/in/wife", text="在干嘛?", since=since)
    await house.settled()
    assert [one for one in home.ear.heard[since:] if one.topic.startswith("wx/out/")] == []
    await home.phone.say("wife", "light off")
    await house.sent("wife: OK, light off", since=before)
    await home.hear(lambda: home.ear.wait("home/light/set", since=since))  # it may come behind the answer
    switched = [one.payload for one in home.ear.heard[since:] if one.topic == "home/light/set"]
    assert switched == [b"OFF"]
