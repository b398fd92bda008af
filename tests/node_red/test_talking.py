"""Flows that talk: echo, notification, remote control."""

from __future__ import annotations

import json

import pytest

from tests.node_red.environment import NodeRedEnvironment, timeout_seconds

pytestmark = pytest.mark.asyncio(loop_scope="module")


# echo


async def test_a_text_to_filehelper_is_echoed_once_although_it_is_published_again(
    environment: NodeRedEnvironment,
):
    home, before = environment.home, await environment.sent_count()
    await environment.load("echo")
    since = home.subscriber.count
    await home.control.say("me", "开灯 ☀", to="filehelper")
    await environment.assert_sent("filehelper: You wrote: 开灯 ☀", since=before)
    published = await home.in_thread(home.subscriber.wait, "wx/in/filehelper", since=since)
    result = await home.body("wx/result/filehelper", since=since)
    since = home.subscriber.count
    await home.publish("wx/in/filehelper", published.payload)
    again = await home.body("wx/result/filehelper", since=since)
    assert (again["id"], again["message_id"]) == (result["id"], result["message_id"])
    assert await environment.sent_count() == before + 1


async def test_only_texts_of_this_person_come_back_and_only_if_they_are_trusted(
    environment: NodeRedEnvironment,
):
    home, before = environment.home, await environment.sent_count()
    await environment.load("echo", PERSON="wife", ANSWER="")
    since = home.subscriber.count
    await home.control.say("mom", "not asked")
    await home.control.say("wife", kind="image")
    await home.control.say("wife", "in the group", to="family")
    await home.in_thread(home.subscriber.wait, "wx/in/family", since=since)
    stranger = {
        **(await home.in_thread(home.subscriber.wait, "wx/in/wife", since=since)).body,
        "kind": "text",
        "trusted": False,
        "text": "x",
    }
    await home.publish("wx/in/wife", json.dumps(stranger))
    answer = {**stranger, "trusted": True, "button": {"question": "q", "text": "x", "key": "x"}}
    await home.publish("wx/in/wife", json.dumps(answer))
    await home.control.say("wife", "asked")
    await environment.assert_sent("wife: asked", since=before)


# a question with buttons


async def test_each_answer_to_a_question_has_an_exit_of_its_own(environment: NodeRedEnvironment):
    await environment.load("ask", QUESTION="Open?", BUTTONS="Yes, No，Later")
    for answer, button, text in (("1", "first", "Yes"), ("no", "second", "No"), ("３", "another", "Later")):
        before, since = await environment.sent_count(), len(environment.red.output)
        await environment.press("try it")
        await environment.assert_sent("wife: Open?\n1 Yes\n2 No\n3 Later", since=before)
        await environment.home.control.say("wife", answer)
        shown_fields = json.loads(await environment.shown(f"{button} button", text, since=since))
        assert (shown_fields["text"], shown_fields["user"]) == (text, "wife")


async def test_nobody_answers_a_question(environment: NodeRedEnvironment):
    since = len(environment.red.output)
    await environment.load("ask", every=1.0, WAIT=3)
    await environment.press("try it")
    await environment.shown("no answer", "Nobody has answered", since=since)


async def test_a_question_that_is_refused_says_why(environment: NodeRedEnvironment):
    since = len(environment.red.output)
    await environment.load("ask", BUTTONS="1, 2")
    await environment.press("try it")
    await environment.shown("no answer", "The question was not sent: the text of button 1", since=since)


# notification


async def test_a_notification_arrives_and_its_result_is_shown(environment: NodeRedEnvironment):
    before, since = await environment.sent_count(), len(environment.red.output)
    await environment.load("notify")
    await environment.press("try it")
    assert await environment.shown("sent", since=since) == "Sent to wife"
    await environment.assert_sent("wife: Dinner is ready 🍚 吃饭啦", since=before)
    assert environment.red.all_shown("not sent", since=since) == []


@pytest.mark.parametrize(("language", "words"), [("en", "Not sent to nobody: "), ("zh", "没有发给 nobody：")])
async def test_a_notification_that_is_refused_says_why(environment: NodeRedEnvironment, language, words):
    before, since = await environment.sent_count(), len(environment.red.output)
    await environment.load("notify", PERSON="nobody", LANGUAGE=language)
    await environment.press("try it")
    text = await environment.shown("not sent", "unknown_user", since=since)
    assert text.startswith(words)
    assert await environment.sent_count() == before


async def test_a_notification_without_a_result_is_reported_and_was_retried_with_the_same_id(
    environment: NodeRedEnvironment,
):
    home, since, received, wait = (
        environment.home,
        len(environment.red.output),
        environment.home.subscriber.count,
        timeout_seconds(2),
    )
    await home.in_thread(home.bridge.stop)
    await environment.load("notify", WAIT=wait, every=0.3)
    await environment.press("try it")
    assert "Do the bridge and the broker run?" in await environment.shown("not sent", since=since)
    tries = [message for message in home.subscriber.received[received:] if message.topic == "wx/out/wife"]
    assert len(tries) > 1
    assert len({message.payload for message in tries}) == 1
    lives = [message.properties["MessageExpiryInterval"] for message in tries]
    assert (lives[0], lives) == (wait, sorted(lives, reverse=True))
    assert 0 < lives[-1] < wait
    before = await environment.sent_count()
    await home.restart()
    assert (await home.send_command("filehelper", "after"))["status"] == "sent"
    assert await environment.sent_count() == before + 1, "what expired at the broker is not sent any more"


async def test_a_notification_that_is_tried_again_while_wechat_is_slow_arrives_once(
    environment: NodeRedEnvironment,
):
    home, before, since, received = (
        environment.home,
        await environment.sent_count(),
        len(environment.red.output),
        environment.home.subscriber.count,
    )
    await environment.load("notify", WAIT=20, every=0.2)
    await home.control.post("fault", endpoint="webwxsendmsg", kind="late", value=1.5)
    await environment.press("try it")
    assert await environment.shown("sent", since=since) == "Sent to wife"
    assert (
        len([message for message in home.subscriber.received[received:] if message.topic == "wx/out/wife"])
        > 2
    )
    await environment.assert_sent("wife: Dinner is ready", since=before)


async def test_a_notification_is_sent_although_the_broker_goes_away_meanwhile(
    environment: NodeRedEnvironment,
):
    home, before, since, received = (
        environment.home,
        await environment.sent_count(),
        len(environment.red.output),
        environment.home.subscriber.count,
    )
    await environment.load("notify", WAIT=30, every=0.5)
    await home.in_thread(home.broker.kill)
    await home.in_thread(
        environment.red.wait, lambda entry: entry["text"].startswith("Disconnected"), since=since
    )
    await environment.press("try it")
    await home.in_thread(home.broker.start)
    assert await environment.shown("sent", since=since) == "Sent to wife"
    await environment.assert_sent("wife: Dinner is ready", since=before)
    await home.in_thread(home.subscriber.wait, "wx/bridge/state", since=received)  # for those who come after


async def test_an_urgent_notification_goes_before_others_and_to_the_fallback(environment: NodeRedEnvironment):
    home, received = environment.home, environment.home.subscriber.count
    await environment.load("notify")
    (button,) = [
        node for node in environment.flow if node["type"] == "inject" and node["name"].startswith("try it")
    ]
    button["props"].append({"p": "urgent", "v": "true", "vt": "bool"})
    await home.in_thread(environment.red.deploy, environment.flow)
    await environment.press("try it")
    command = (await home.in_thread(home.subscriber.wait, "wx/out/wife", since=received)).body
    assert (command["priority"], command["urgent"]) == ("high", True)
    assert (await home.body("wx/result/wife", id=command["id"]))["status"] == "sent"


# remote control


async def test_commands_of_the_own_phone_act_and_are_answered(environment: NodeRedEnvironment):
    home, before = environment.home, await environment.sent_count()
    await environment.load("remote-control")
    since = home.subscriber.count
    await home.control.say("me", "开灯", to="filehelper")
    await environment.assert_sent("filehelper: 好，开灯", since=before)
    assert (await home.in_thread(home.subscriber.wait, "home/light/set", since=since)).payload == b"ON"
    await home.publish("home/light/state", "ON", retain=True)
    await home.control.say("me", " Light OFF ", to="filehelper")
    await home.in_thread(
        home.subscriber.wait, "home/light/set", lambda message: message.payload == b"OFF", since=since
    )
    await home.control.say("me", "status", to="filehelper")
    await environment.assert_sent("OK, light off", "Light: ON", since=before + 1)
    await home.control.say("me", "constructor", to="filehelper")
    await environment.assert_sent("I know: light on, light off, status, 开灯, 关灯, 状态", since=before + 3)


async def test_a_command_acts_once_though_it_is_published_again_and_not_when_it_is_old(
    environment: NodeRedEnvironment,
):
    home, before = environment.home, await environment.sent_count()
    await environment.load("remote-control", LANGUAGE="zh")
    since = home.subscriber.count
    await home.control.say("me", "开灯", to="filehelper")
    await environment.assert_sent("好，开灯", since=before)
    published = await home.in_thread(home.subscriber.wait, "wx/in/filehelper", since=since)
    await home.publish("wx/in/filehelper", published.payload)
    old = {**published.body, "seq": published.body["seq"] + 1000, "time": "2026-01-01T00:00:00.000Z"}
    await home.publish("wx/in/filehelper", json.dumps(old))
    await environment.assert_sent("filehelper: 太晚了，没有执行：开灯", since=before + 1)
    assert (
        len([message for message in home.subscriber.received[since:] if message.topic == "home/light/set"])
        == 1
    )


async def test_a_command_whose_age_is_not_known_is_not_done(environment: NodeRedEnvironment):
    """Its time is far ahead: one of the clocks is wrong."""
    home, before = environment.home, await environment.sent_count()
    await environment.load("remote-control", PEOPLE="filehelper，wife")
    since = home.subscriber.count
    await home.control.say("wife", "hello")
    hello = await home.body("wx/in/wife", since=since, text="hello")
    ahead = {**hello, "stream": "another", "text": "light on", "time": "2099-01-01T00:00:00.000Z"}
    await home.publish("wx/in/wife", json.dumps(ahead))
    await environment.assert_sent("wife: The clock of Node-RED is wrong, not done: light on", since=before)
    assert not [message for message in home.subscriber.received[since:] if message.topic == "home/light/set"]


async def test_other_people_switch_nothing_and_texts_that_are_no_command_get_no_answer(
    environment: NodeRedEnvironment,
):
    home, before = environment.home, await environment.sent_count()
    await environment.load("remote-control", PEOPLE="filehelper, wife", FRESH=3600)
    since = home.subscriber.count
    await home.control.say("mom", "light on")
    await home.control.say("lilei", "light on")
    await home.control.say("wife", "light on", to="family")
    other = await home.body("wx/in/mom", since=since)
    await home.publish("wx/in/wife", {**other, "user": "wife", "trusted": False})
    await home.control.say("wife", "在干嘛?")
    await home.body("wx/in/wife", text="在干嘛?", since=since)
    await environment.wait_until_idle()
    assert [
        message for message in home.subscriber.received[since:] if message.topic.startswith("wx/out/")
    ] == []
    await home.control.say("wife", "light off")
    await environment.assert_sent("wife: OK, light off", since=before)
    await home.in_thread(
        lambda: home.subscriber.wait("home/light/set", since=since)
    )  # it may come behind the answer
    switched = [
        message.payload for message in home.subscriber.received[since:] if message.topic == "home/light/set"
    ]
    assert switched == [b"OFF"]
