"""Alarms, questions and commands on iLink, whatever state it is in: each reaches a person, or says where it failed."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.docs.markdown import ROOT, blocks
from tests.home.conftest import BLUEPRINTS, Scene, automation
from tests.home.test_blueprints import HOUSE, MESSAGE, THINGS, named, texts
from tests.home.test_entities import complaints
from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.ilink_home import ILinkHome
from tests.support.receiver import Receiver

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("dry")]

CARD = BLUEPRINTS.parent / "dashboard.yaml"
SHORT_SECONDS = 5
NOTIFIER = "other/notifier"
TELL = [
    {"action": "mqtt.publish", "data": {"topic": NOTIFIER, "payload": "{{ failure | default(text, true) }}"}}
]
REFUSED = [  # Home Assistant may not write there
    {**TELL[0]},
    {
        "action": "image.snapshot",
        "target": {"entity_id": "image.wechat_home_login_qr"},
        "data": {"filename": "/x"},
    },
]
WINDOW = {
    "window": "binary_sensor.wechat_home_would_take_a_message_me",
    "left": "sensor.wechat_home_messages_left_me",
    "until": "sensor.wechat_home_window_until_me",
}
LEFT = WINDOW["left"]
LOGIN = "sensor.wechat_home_login_state"


def bot(scene: Scene) -> ILinkHome:
    assert isinstance(scene.home, ILinkHome)
    return scene.home


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(bot_scene: Scene) -> Scene:
    """A house with everything, and automations of which none is on."""
    scene = bot_scene
    for place, thing in THINGS.items():
        unique = f"house_{place.replace('/', '_')}"
        await scene.publish(
            f"homeassistant/{place}/config", {**thing, **HOUSE, "unique_id": unique, "qos": 1}
        )
    second = {
        "state_topic": "house/bath",
        "device_class": "moisture",
        "name": "Bath",
        "unique_id": "house_bath",
    }
    await scene.publish("homeassistant/binary_sensor/bath/config", {**second, **HOUSE, "qos": 1})
    topics = {
        "house/water": "OFF",
        "house/bath": "OFF",
        "house/siren": "OFF",
        "house/lamp": "OFF",
        "house/home": "ON",
    }
    for topic, state in topics.items():
        await scene.listens(topic)
        await scene.publish(topic, state)
    await scene.listens("house/bell")
    alarm: dict[str, Any] = {
        "sensors": ["binary_sensor.house_water", "binary_sensor.house_bath"],
        "sirens": ["switch.house_siren"],
        "message": MESSAGE,
        "text": "Water!",
        "undelivered": TELL,
    }
    lamp = {"target": {"entity_id": "switch.house_lamp"}}
    automations = [
        automation("water-alarm", "as_shipped", **alarm),
        automation("water-alarm", "alarm", deadline=SHORT_SECONDS, **alarm),
        automation("water-alarm", "broken", deadline=SHORT_SECONDS, **{**alarm, "undelivered": REFUSED}),
        automation(
            "doorbell",
            doorbell="event.house_bell",
            camera="camera.house_door",
            text="Ding",
            house=scene.house.url,
            quiet=0,
            deadline=SHORT_SECONDS,
        ),
        automation(
            "presence-question",
            "question",
            presence="binary_sensor.house_somebody",
            state="off",
            lasting={"seconds": 0},
            message=MESSAGE,
            question="Off?",
            patience={"seconds": 10},
            on_yes=[{"action": "switch.turn_off", **lamp}],
            on_silence=[{"action": "mqtt.publish", "data": {"topic": "house/silence", "payload": "x"}}],
            undelivered=TELL,
        ),
        automation(
            "trusted-command",
            "command",
            message=MESSAGE,
            words=["open"],
            actions=[{"action": "switch.turn_on", **lamp}],
        ),
        automation(
            "login-ended",
            "login",
            login=LOGIN,
            left="sensor.wechat_home_login_days_left",
            patience=0,
            absence=0,
            actions=TELL,
        ),
        automation(
            "login-ended",
            "flaps",
            login=LOGIN,
            left="sensor.wechat_home_login_days_left",
            absence=SHORT_SECONDS / 60,
            actions=TELL,
        ),
        automation("window-closes", "window", **WINDOW, actions=TELL),
        automation("water-alarm", "unset", deadline=SHORT_SECONDS, result="event.of_nobody", **alarm),
        *(of_the_page(language) for language in ("en", "zh")),
    ]
    await scene.do("automations", automations=automations)
    for one in automations:
        entity = f"automation.{one['alias'].replace('-', '_')}"
        await scene.until(f"states('{entity}') == 'on'")
        await scene.call("automation.turn_off", entity_id=entity)
    return scene


def of_the_page(language: str) -> dict[str, Any]:
    """The automation of `docs/<language>/start/home-assistant.md`, which switches the lamp of this house."""
    page = blocks(ROOT / f"docs/{language}/start/home-assistant.md")
    shown = next(block.text for block in page if "triggers:" in block.text)
    here = shown.replace("light.turn_on", "switch.turn_on").replace("light.hall", "switch.house_lamp")
    return {"id": f"page_{language}", "alias": f"page_{language}", **yaml.safe_load(here)}


@pytest_asyncio.fixture(loop_scope="module")
async def dry(scene: Scene) -> Any:
    """After the test the house is dry, and no automation is on or runs."""
    yield
    for topic in ("house/water", "house/bath"):
        await scene.publish(topic, "OFF")
    running = "states.automation | selectattr('state', 'eq', 'on') | map(attribute='entity_id') | list"
    for entity in await scene.do("render", template="{{ " + running + " }}"):
        await scene.call("automation.turn_off", {"stop_actions": True}, entity_id=entity)
    await scene.publish("house/siren", "OFF")
    await scene.until(
        "states('binary_sensor.house_water') == 'off' and states('switch.house_siren') == 'off'"
    )


async def enable(scene: Scene, name: str) -> None:
    await scene.call("automation.turn_on", entity_id=f"automation.{name}")


async def flood(scene: Scene, name: str = "alarm") -> int:
    """Water; where in what was heard it was."""
    await enable(scene, name)
    since = scene.home.ear.count
    await scene.publish("house/water", "ON")
    return since


async def notified(scene: Scene, text: str, since: int) -> str:
    """What the other notifier says of it."""
    heard = await scene.home.hear(
        scene.home.ear.wait, NOTIFIER, lambda one: text in one.payload.decode(), since=since
    )
    return str(heard.payload.decode())


async def delivered(scene: Scene, since: int) -> dict[str, Any]:
    """The result of the next alarm, once Home Assistant has it as well."""
    heard = await scene.home.hear(
        scene.home.ear.wait, "wx/result/me", lambda one: one.body["id"].startswith("water-"), since=since
    )
    await scene.until(
        f"'{heard.body['id']}' in state_attr('event.wechat_home_result', 'recent') | map(attribute='id')"
    )
    return dict(heard.body)


def notes_since(scene: Scene, since: int) -> list[str]:
    return [one.payload.decode() for one in scene.home.ear.heard[since:] if one.topic == NOTIFIER]


async def so_far(scene: Scene) -> int:
    return len(await bot(scene).bot.get("ilink/sent"))


async def write(scene: Scene, text: str = "hello") -> None:
    """The person writes, and may get ten messages again."""
    since = scene.home.ear.count
    await bot(scene).bot.write(text)
    await scene.home.body("wx/window/me", since=since, left=10)
    await scene.until(f"state_attr('{MESSAGE}', 'text') == '{text}'")


async def comes_late(scene: Scene, seconds: int = 120) -> None:
    """The newest message again, as another one that was written so long ago and is published only now."""
    newest = scene.home.ear.on("wx/in/me")[-1].body
    written = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - seconds))
    late = {"id": f"{newest['id']}-late", "seq": newest["seq"] + (seconds > 0), "time": written}
    await scene.publish("wx/in/me", {**newest, **late}, retain=False)
    await scene.until(f"state_attr('{MESSAGE}', 'time') == '{written}'")


# Nobody has written to the bot yet


async def test_where_nobody_has_written_the_alarm_as_shipped_says_so_within_a_minute(scene: Scene) -> None:
    begun = time.monotonic()
    since = await flood(scene, "as_shipped")
    said = await notified(scene, "House Water", since)
    assert time.monotonic() - begun < allowed(60)
    result = await delivered(scene, since)
    assert (result["status"], result["code"]) == ("failed", "window_closed")
    assert said.startswith("Water! House Water (")
    assert said.endswith(f" – not delivered 未送达：me: {result['message']} (window_closed)")
    await scene.until("states('switch.house_siren') == 'on'")


async def test_a_ring_that_does_not_reach_wechat_is_told_with_the_reason(scene: Scene) -> None:
    await enable(scene, "doorbell")
    await scene.publish("house/bell", {"event_type": "ring"}, retain=False)
    await scene.home.hear(scene.home.ear.wait, "wx/result/me", lambda one: one.body["id"].startswith("bell-"))
    note = await scene.do("note", note="wechat_doorbell", seconds=MAX_WAIT_SECONDS)
    assert note.startswith("Ding – not delivered 未送达：me, text 文字: ")
    assert "(window_closed); me, picture 图片: " in note
    assert note.endswith("(window_closed)")


async def test_a_question_that_reaches_nobody_ends_as_silence_and_says_why(scene: Scene) -> None:
    await enable(scene, "question")
    since = scene.home.ear.count
    await scene.publish("house/home", "OFF")
    said = await notified(scene, "Off?", since)
    assert said.endswith("(window_closed)")
    await scene.home.hear(scene.home.ear.wait, "house/silence", since=since)


# The window is open


async def test_an_alarm_that_arrives_is_told_nowhere_else_and_the_answer_ends_it(scene: Scene) -> None:
    await write(scene)
    before = await so_far(scene)
    since = await flood(scene, "as_shipped")
    assert (await delivered(scene, since))["status"] == "sent"
    (command,) = [one.body for one in scene.home.ear.heard[since:] if one.topic == "wx/out/me"]
    assert (command["urgent"], command["priority"], command["ttl"]) == (True, "high", 40)
    await scene.until("states('switch.house_siren') == 'on'")
    await bot(scene).bot.write("好")
    await scene.until("states('switch.house_siren') == 'off'")
    await scene.until("state_attr('automation.as_shipped', 'current') == 0")
    lines = [one["text"] for one in (await bot(scene).bot.bot_sent(before + 2))[before:]]
    assert lines[0].startswith("Water! House Water (")
    assert lines[1].startswith("Silenced by ")
    assert notes_since(scene, since) == []


async def test_an_old_answer_that_comes_late_silences_nothing(scene: Scene) -> None:
    await write(scene, "ok")
    since = await flood(scene, "as_shipped")
    await delivered(scene, since)
    await comes_late(scene)
    await write(scene, "what?")
    assert (await scene.state("switch.house_siren"))["state"] == "on"
    await bot(scene).bot.write("ok")
    await scene.until("states('switch.house_siren') == 'off'")


async def test_the_answer_to_another_command_ends_nothing(scene: Scene) -> None:
    await write(scene)
    os.kill(scene.home.bridge.pid, signal.SIGSTOP)
    since = await flood(scene)
    body = {"schema": 1, "account": "home", "user": "me", "status": "sent", "code": "ok", "message": "m"}
    await scene.publish("wx/result/me", {**body, "id": "of-somebody-else"}, retain=False)
    said = await notified(scene, "House Water", since)
    os.kill(scene.home.bridge.pid, signal.SIGCONT)
    assert said.endswith("me: the bridge does not answer 桥接程序没有应答")


async def test_an_alarm_that_cannot_hear_its_results_says_what_to_choose(scene: Scene) -> None:
    since = await flood(scene, "unset")
    said = await notified(scene, "House Water", since)
    assert "me: there is no event.of_nobody; choose the Result event" in said


async def test_a_sensor_that_flutters_costs_one_message(scene: Scene) -> None:
    await write(scene)
    since = await flood(scene)
    await delivered(scene, since)
    for state in ("OFF", "ON") * 12:
        await scene.publish("house/water", state)
        await scene.until(f"states('binary_sensor.house_water') == '{state.lower()}'")
        await scene.until(f"states('switch.house_siren') == '{state.lower()}'")
    await scene.publish("house/bath", "ON")  # another one is worth a message
    await scene.home.hear(
        scene.home.ear.wait, "wx/out/me", lambda one: "House Bath" in one.body["text"], since=since
    )
    sent = [one.body["text"] for one in scene.home.ear.heard[since:] if one.topic == "wx/out/me"]
    assert len(sent) == 2
    assert sent[1].startswith("Water! House Bath, House Water (")


async def test_a_wet_sensor_of_which_nothing_is_heard_is_not_dry(scene: Scene) -> None:
    await write(scene)
    since = await flood(scene)
    await delivered(scene, since)
    await scene.do("set", entity="binary_sensor.house_water", state="unavailable")
    await scene.publish("house/bath", "ON")  # looked at after that
    await scene.home.hear(
        scene.home.ear.wait, "wx/out/me", lambda one: "Bath" in one.body["text"], since=since
    )
    await scene.publish("house/bath", "OFF")
    await scene.until("states('binary_sensor.house_bath') == 'off'")
    await write(scene, "any news?")
    assert (await scene.state("switch.house_siren"))["state"] == "on"
    await bot(scene).bot.write("ok")
    await scene.until("states('switch.house_siren') == 'off'")


async def test_an_alarm_may_use_what_is_kept_for_it_and_then_says_that_all_is_used(scene: Scene) -> None:
    await write(scene)
    for number in range(9):
        await scene.home.tell("me", {"text": f"{number}", "id": f"usual-{number}-{time.time_ns()}"})
    since = await flood(scene)
    assert (await delivered(scene, since))["status"] == "sent"
    await scene.until(f"states('{LEFT}') == '0'")
    await scene.call("automation.turn_off", {"stop_actions": True}, entity_id="automation.alarm")
    await scene.publish("house/water", "OFF")
    await scene.until("states('binary_sensor.house_water') == 'off'")
    since = await flood(scene)
    assert (await notified(scene, "House Water", since)).endswith("(quota_used)")


async def test_a_picture_that_the_bridge_may_not_fetch_is_told_and_the_text_arrives(scene: Scene) -> None:
    await write(scene)
    scene.home.bridge.configure(scene.settings("me", account={"media": {"allow_hosts": []}}))
    assert (await scene.home.ask("reload"))["status"] == "ok"
    await scene.publish("house/camera", b"picture", retain=False)
    await scene.until("state_attr('camera.house_door', 'entity_picture') is not none")
    await enable(scene, "doorbell")
    await scene.call("persistent_notification.dismiss_all")
    before = await so_far(scene)
    await scene.publish("house/bell", {"event_type": "ring"}, retain=False)
    note = await scene.do("note", note="wechat_doorbell", seconds=MAX_WAIT_SECONDS)
    assert note.startswith("Ding – not delivered 未送达：me, picture 图片: 127.0.0.1 ")
    assert note.endswith("media.allow_hosts (not_allowed)")
    assert [one["text"] for one in (await bot(scene).bot.bot_sent(before + 1))[before:]] == ["Ding"]
    scene.home.bridge.configure(scene.settings("me"))
    assert (await scene.home.ask("reload"))["status"] == "ok"


async def test_a_word_that_comes_late_opens_nothing_and_is_asked_for_again(scene: Scene) -> None:
    await write(scene, "open")  # nothing listens yet
    await enable(scene, "command")
    before = await so_far(scene)
    await comes_late(scene)
    (line,) = (await bot(scene).bot.bot_sent(before + 1))[before:]
    assert line["text"].startswith("Too old, not done; write it again.")
    assert (await scene.state("switch.house_lamp"))["state"] == "off"
    await bot(scene).bot.write("open")
    await scene.until("states('switch.house_lamp') == 'on'")
    await scene.publish("house/lamp", "OFF")


async def test_a_word_of_the_future_opens_nothing_since_a_clock_is_wrong(scene: Scene) -> None:
    await write(scene, "open")
    await scene.publish("house/lamp", "OFF")
    await scene.until("states('switch.house_lamp') == 'off'")
    await enable(scene, "command")
    before = await so_far(scene)
    await comes_late(scene, -120)
    (line,) = (await bot(scene).bot.bot_sent(before + 1))[before:]
    assert line["text"].startswith("Not done: the clock of Home Assistant is wrong.")
    assert (await scene.state("switch.house_lamp"))["state"] == "off"


@pytest.mark.parametrize(("language", "word"), [("en", "light on"), ("zh", "开灯")])
async def test_the_automation_of_the_page_acts_on_a_new_word_only(
    scene: Scene, language: str, word: str
) -> None:
    await write(scene, word)
    await scene.publish("house/lamp", "OFF")
    await scene.until("states('switch.house_lamp') == 'off'")
    await enable(scene, f"page_{language}")
    await comes_late(scene)
    await write(scene, "what?")
    assert (await scene.state("switch.house_lamp"))["state"] == "off"
    await bot(scene).bot.write(word)
    await scene.until("states('switch.house_lamp') == 'on'")


async def test_an_old_yes_answers_no_question(scene: Scene) -> None:
    await write(scene, "yes")
    await scene.publish("house/lamp", "ON")
    await scene.publish("house/home", "ON")
    await scene.until(
        "states('switch.house_lamp') == 'on' and states('binary_sensor.house_somebody') == 'on'"
    )
    await enable(scene, "question")
    since, before = scene.home.ear.count, await so_far(scene)
    await scene.publish("house/home", "OFF")
    await bot(scene).bot.bot_sent(before + 1)
    await comes_late(scene)
    await scene.home.hear(scene.home.ear.wait, "house/silence", since=since)
    assert (await scene.state("switch.house_lamp"))["state"] == "on"
    assert notes_since(scene, since) == []


async def test_before_the_window_shuts_another_notifier_says_so(scene: Scene) -> None:
    await write(scene)
    await enable(scene, "window")
    since = scene.home.ear.count
    for number in range(8):
        await scene.home.tell("me", {"text": f"{number}", "id": f"few-{number}-{time.time_ns()}"})
    assert (await notified(scene, "2 more messages", since)).startswith("WeChat takes 2 more messages; write")
    for number in range(2):
        await scene.home.tell(
            "me", {"text": "x", "id": f"last-{number}-{time.time_ns()}", "priority": "high"}
        )
    await notified(scene, "WeChat takes no more messages; write anything to the bot.", since)
    soon = {"schema": 1, "account": "home", "user": "me", "open": True, "waiting": 0, "why": "", "left": 9}
    until = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + 3600))
    await scene.publish("wx/window/me", {**soon, "until": until}, retain=False)
    await notified(scene, f"WeChat takes messages until {until[11:16]} only;", since)


async def test_the_card_shows_only_what_there_is(scene: Scene) -> None:
    card = yaml.safe_load(CARD.read_text())
    assert named(card) <= (await scene.do("states")).keys()
    for text in texts(card):
        assert await scene.do("render", template=text)
    assert complaints(scene) == []


# The login and the bridge


async def test_a_bridge_that_comes_and_goes_is_told_as_one_that_is_away(scene: Scene) -> None:
    await enable(scene, "flaps")
    since = scene.home.ear.count
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        for state in itertools.cycle(["unavailable", "starting"]):
            await scene.do("set", entity=LOGIN, state=state)
            if notes_since(scene, since):
                break
    await scene.do("set", entity=LOGIN, state="online")
    (note,) = notes_since(scene, since)
    assert "no message arrives" in note


async def test_where_nobody_is_logged_in_the_alarm_says_so(scene: Scene) -> None:
    since = scene.home.ear.count
    await enable(scene, "login")
    await scene.home.ask("logout")
    await notified(scene, "the login has ended", since)
    since = await flood(scene)
    assert (await notified(scene, "House Water", since)).endswith("(logged_out)")
    await scene.home.ask("login")
    await bot(scene).scan()
    await scene.home.body("wx/login/state", state="online", since=since)


async def test_a_notifier_that_fails_ends_no_alarm(scene: Scene) -> None:
    since = await flood(scene, "broken")
    await notified(scene, "House Water", since)
    await scene.until(
        "states('switch.house_siren') == 'on' and state_attr('automation.broken', 'current') == 1"
    )
    await scene.publish("house/water", "OFF")
    await scene.until("states('switch.house_siren') == 'off'")
    assert any("/x" in line for line in scene.house.said())


async def test_what_a_fallback_of_the_bridge_has_taken_has_arrived(scene: Scene) -> None:
    with Receiver() as receiver:
        fallback = {"fallback": {"after": "1s", "urls": [receiver.url]}}
        scene.home.bridge.configure(scene.settings("me", account=fallback))
        await scene.home.hear(scene.home.bridge.stop)
        await scene.until("states('event.wechat_home_result') == 'unavailable'")
        await scene.home.restart()
        await scene.until(f"states('{LOGIN}') == 'online'")
        since = await flood(scene, "as_shipped")
        result = await delivered(scene, since)
        assert (result["status"], result["code"], result["fallback"]) == ("failed", "window_closed", "sent")
        assert "House Water" in receiver.wait(1)[0]["message"]
        await scene.publish("house/bath", "ON")
        await scene.home.hear(receiver.wait, 2)
        assert notes_since(scene, since) == []


async def test_where_the_bridge_is_away_it_is_told_at_once_and_nothing_comes_late(scene: Scene) -> None:
    await enable(scene, "login")
    since = scene.home.ear.count
    await scene.home.hear(scene.home.bridge.kill)
    await notified(scene, "the bridge is away", since)
    begun = time.monotonic()
    since = await flood(scene)
    assert (await notified(scene, "House Water", since)).endswith("me: the bridge is away 桥接程序未运行")
    assert time.monotonic() - begun < allowed(20)
    assert [one for one in scene.home.ear.heard[since:] if one.topic == "wx/out/me"] == []
