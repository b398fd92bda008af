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
from tests.home.conftest import BLUEPRINTS, HomeAssistantEnvironment, automation
from tests.home.test_blueprints import HOUSE, MESSAGE, THINGS, named, texts
from tests.home.test_entities import complaints
from tests.support.alarm_receiver import AlarmReceiver
from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.ilink_home import ILinkHome

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


def bot(environment: HomeAssistantEnvironment) -> ILinkHome:
    assert isinstance(environment.home, ILinkHome)
    return environment.home


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment(ilink_environment: HomeAssistantEnvironment) -> HomeAssistantEnvironment:
    """A house with everything, and automations of which none is on."""
    environment = ilink_environment
    for place, thing in THINGS.items():
        unique = f"house_{place.replace('/', '_')}"
        await environment.publish(
            f"homeassistant/{place}/config", {**thing, **HOUSE, "unique_id": unique, "qos": 1}
        )
    second = {
        "state_topic": "house/bath",
        "device_class": "moisture",
        "name": "Bath",
        "unique_id": "house_bath",
    }
    await environment.publish("homeassistant/binary_sensor/bath/config", {**second, **HOUSE, "qos": 1})
    topics = {
        "house/water": "OFF",
        "house/bath": "OFF",
        "house/siren": "OFF",
        "house/lamp": "OFF",
        "house/home": "ON",
    }
    for topic, state in topics.items():
        await environment.listens(topic)
        await environment.publish(topic, state)
    await environment.listens("house/bell")
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
            house=environment.home_assistant.url,
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
    await environment.do("automations", automations=automations)
    for one in automations:
        entity = f"automation.{one['alias'].replace('-', '_')}"
        await environment.until(f"states('{entity}') == 'on'")
        await environment.call("automation.turn_off", entity_id=entity)
    return environment


def of_the_page(language: str) -> dict[str, Any]:
    """The automation of `docs/<language>/start/home-assistant.md`, which switches the lamp of this house."""
    page = blocks(ROOT / f"docs/{language}/start/home-assistant.md")
    shown = next(block.text for block in page if "triggers:" in block.text)
    here = shown.replace("light.turn_on", "switch.turn_on").replace("light.hall", "switch.house_lamp")
    return {"id": f"page_{language}", "alias": f"page_{language}", **yaml.safe_load(here)}


@pytest_asyncio.fixture(loop_scope="module")
async def dry(environment: HomeAssistantEnvironment) -> Any:
    """After the test the house is dry, and no automation is on or runs."""
    yield
    for topic in ("house/water", "house/bath"):
        await environment.publish(topic, "OFF")
    running = "states.automation | selectattr('state', 'eq', 'on') | map(attribute='entity_id') | list"
    for entity in await environment.do("render", template="{{ " + running + " }}"):
        await environment.call("automation.turn_off", {"stop_actions": True}, entity_id=entity)
    await environment.publish("house/siren", "OFF")
    await environment.until(
        "states('binary_sensor.house_water') == 'off' and states('switch.house_siren') == 'off'"
    )


async def enable(environment: HomeAssistantEnvironment, name: str) -> None:
    await environment.call("automation.turn_on", entity_id=f"automation.{name}")


async def flood(environment: HomeAssistantEnvironment, name: str = "alarm") -> int:
    """Water; where in what was heard it was."""
    await enable(environment, name)
    since = environment.home.subscriber.count
    await environment.publish("house/water", "ON")
    return since


async def notified(environment: HomeAssistantEnvironment, text: str, since: int) -> str:
    """What the other notifier says of it."""
    received = await environment.home.in_thread(
        environment.home.subscriber.wait, NOTIFIER, lambda one: text in one.payload.decode(), since=since
    )
    return str(received.payload.decode())


async def delivered(environment: HomeAssistantEnvironment, since: int) -> dict[str, Any]:
    """The result of the next alarm, once Home Assistant has it as well."""
    received = await environment.home.in_thread(
        environment.home.subscriber.wait,
        "wx/result/me",
        lambda one: one.body["id"].startswith("water-"),
        since=since,
    )
    await environment.until(
        f"'{received.body['id']}' in state_attr('event.wechat_home_result', 'recent') | map(attribute='id')"
    )
    return dict(received.body)


def notes_since(environment: HomeAssistantEnvironment, since: int) -> list[str]:
    return [
        one.payload.decode() for one in environment.home.subscriber.received[since:] if one.topic == NOTIFIER
    ]


async def so_far(environment: HomeAssistantEnvironment) -> int:
    return len(await bot(environment).bot.get("ilink/sent"))


async def write(environment: HomeAssistantEnvironment, text: str = "hello") -> None:
    """The person writes, and may get ten messages again."""
    since = environment.home.subscriber.count
    await bot(environment).bot.write(text)
    await environment.home.body("wx/window/me", since=since, left=10)
    await environment.until(f"state_attr('{MESSAGE}', 'text') == '{text}'")


async def comes_late(environment: HomeAssistantEnvironment, seconds: int = 120) -> None:
    """The newest message again, as another one that was written so long ago and is published only now."""
    newest = environment.home.subscriber.on("wx/in/me")[-1].body
    written = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - seconds))
    late = {"id": f"{newest['id']}-late", "seq": newest["seq"] + (seconds > 0), "time": written}
    await environment.publish("wx/in/me", {**newest, **late}, retain=False)
    await environment.until(f"state_attr('{MESSAGE}', 'time') == '{written}'")


# Nobody has written to the bot yet


async def test_where_nobody_has_written_the_alarm_as_shipped_says_so_within_a_minute(
    environment: HomeAssistantEnvironment,
) -> None:
    begun = time.monotonic()
    since = await flood(environment, "as_shipped")
    said = await notified(environment, "House Water", since)
    assert time.monotonic() - begun < allowed(60)
    result = await delivered(environment, since)
    assert (result["status"], result["code"]) == ("failed", "window_closed")
    assert said.startswith("Water! House Water (")
    assert said.endswith(f" – not delivered 未送达：me: {result['message']} (window_closed)")
    await environment.until("states('switch.house_siren') == 'on'")


async def test_a_ring_that_does_not_reach_wechat_is_told_with_the_reason(
    environment: HomeAssistantEnvironment,
) -> None:
    await enable(environment, "doorbell")
    await environment.publish("house/bell", {"event_type": "ring"}, retain=False)
    await environment.home.in_thread(
        environment.home.subscriber.wait, "wx/result/me", lambda one: one.body["id"].startswith("bell-")
    )
    note = await environment.do("note", note="wechat_doorbell", seconds=MAX_WAIT_SECONDS)
    assert note.startswith("Ding – not delivered 未送达：me, text 文字: ")
    assert "(window_closed); me, picture 图片: " in note
    assert note.endswith("(window_closed)")


async def test_a_question_that_reaches_nobody_ends_as_silence_and_says_why(
    environment: HomeAssistantEnvironment,
) -> None:
    await enable(environment, "question")
    since = environment.home.subscriber.count
    await environment.publish("house/home", "OFF")
    said = await notified(environment, "Off?", since)
    assert said.endswith("(window_closed)")
    await environment.home.in_thread(environment.home.subscriber.wait, "house/silence", since=since)


# The window is open


async def test_an_alarm_that_arrives_is_told_nowhere_else_and_the_answer_ends_it(
    environment: HomeAssistantEnvironment,
) -> None:
    await write(environment)
    before = await so_far(environment)
    since = await flood(environment, "as_shipped")
    assert (await delivered(environment, since))["status"] == "sent"
    (command,) = [
        one.body for one in environment.home.subscriber.received[since:] if one.topic == "wx/out/me"
    ]
    assert (command["urgent"], command["priority"], command["ttl"]) == (True, "high", 40)
    await environment.until("states('switch.house_siren') == 'on'")
    await bot(environment).bot.write("好")
    await environment.until("states('switch.house_siren') == 'off'")
    await environment.until("state_attr('automation.as_shipped', 'current') == 0")
    lines = [one["text"] for one in (await bot(environment).bot.bot_sent(before + 2))[before:]]
    assert lines[0].startswith("Water! House Water (")
    assert " Silenced by " in lines[1]
    assert notes_since(environment, since) == []


async def test_water_during_a_trial_is_told_at_once(environment: HomeAssistantEnvironment) -> None:
    await write(environment)
    await enable(environment, "alarm")
    since = environment.home.subscriber.count
    # the action ends with the run
    running = asyncio.create_task(environment.call("automation.trigger", entity_id="automation.alarm"))
    trial = await delivered(environment, since)
    await environment.until("states('switch.house_siren') == 'off'")
    since = environment.home.subscriber.count
    await environment.publish("house/water", "ON")
    leak = await delivered(environment, since)
    assert leak["status"] == "sent"
    assert leak["id"] != trial["id"]
    await environment.until("states('switch.house_siren') == 'on'")
    await bot(environment).bot.write("好")
    await running


async def test_an_old_answer_that_comes_late_silences_nothing(environment: HomeAssistantEnvironment) -> None:
    await write(environment, "ok")
    since = await flood(environment, "as_shipped")
    await delivered(environment, since)
    await comes_late(environment)
    await write(environment, "what?")
    assert (await environment.state("switch.house_siren"))["state"] == "on"
    await bot(environment).bot.write("ok")
    await environment.until("states('switch.house_siren') == 'off'")


async def test_the_answer_to_another_command_ends_nothing(environment: HomeAssistantEnvironment) -> None:
    await write(environment)
    os.kill(environment.home.bridge.pid, signal.SIGSTOP)
    since = await flood(environment)
    body = {"schema": 1, "account": "home", "user": "me", "status": "sent", "code": "ok", "message": "m"}
    await environment.publish("wx/result/me", {**body, "id": "of-somebody-else"}, retain=False)
    said = await notified(environment, "House Water", since)
    os.kill(environment.home.bridge.pid, signal.SIGCONT)
    assert said.endswith("me: the bridge does not answer 桥接程序没有应答")


async def test_an_alarm_that_cannot_hear_its_results_says_what_to_choose(
    environment: HomeAssistantEnvironment,
) -> None:
    since = await flood(environment, "unset")
    said = await notified(environment, "House Water", since)
    assert "me: there is no event.of_nobody; choose the Result event" in said


async def test_a_sensor_that_flutters_costs_one_message(environment: HomeAssistantEnvironment) -> None:
    await write(environment)
    since = await flood(environment)
    await delivered(environment, since)
    for state in ("OFF", "ON") * 12:
        await environment.publish("house/water", state)
        await environment.until(f"states('binary_sensor.house_water') == '{state.lower()}'")
        await environment.until(f"states('switch.house_siren') == '{state.lower()}'")
    await environment.publish("house/bath", "ON")  # another one is worth a message
    await environment.home.in_thread(
        environment.home.subscriber.wait,
        "wx/out/me",
        lambda one: "House Bath" in one.body["text"],
        since=since,
    )
    sent = [
        one.body["text"] for one in environment.home.subscriber.received[since:] if one.topic == "wx/out/me"
    ]
    assert len(sent) == 2
    assert sent[1].startswith("Water! House Bath, House Water (")


async def test_a_wet_sensor_of_which_nothing_is_heard_is_not_dry(
    environment: HomeAssistantEnvironment,
) -> None:
    await write(environment)
    since = await flood(environment)
    await delivered(environment, since)
    await environment.do("set", entity="binary_sensor.house_water", state="unavailable")
    await environment.publish("house/bath", "ON")  # looked at after that
    await environment.home.in_thread(
        environment.home.subscriber.wait, "wx/out/me", lambda one: "Bath" in one.body["text"], since=since
    )
    await environment.publish("house/bath", "OFF")
    await environment.until("states('binary_sensor.house_bath') == 'off'")
    await write(environment, "any news?")
    assert (await environment.state("switch.house_siren"))["state"] == "on"
    await bot(environment).bot.write("ok")
    await environment.until("states('switch.house_siren') == 'off'")


async def test_an_alarm_may_use_what_is_kept_for_it_and_then_says_that_all_is_used(
    environment: HomeAssistantEnvironment,
) -> None:
    await write(environment)
    for number in range(9):
        await environment.home.send_command(
            "me", {"text": f"{number}", "id": f"usual-{number}-{time.time_ns()}"}
        )
    since = await flood(environment)
    assert (await delivered(environment, since))["status"] == "sent"
    await environment.until(f"states('{LEFT}') == '0'")
    await environment.call("automation.turn_off", {"stop_actions": True}, entity_id="automation.alarm")
    await environment.publish("house/water", "OFF")
    await environment.until("states('binary_sensor.house_water') == 'off'")
    since = await flood(environment)
    assert (await notified(environment, "House Water", since)).endswith("(quota_used)")


async def test_a_picture_that_the_bridge_may_not_fetch_is_told_and_the_text_arrives(
    environment: HomeAssistantEnvironment,
) -> None:
    await write(environment)
    environment.home.bridge.configure(environment.settings("me", account={"media": {"allow_hosts": []}}))
    assert (await environment.home.send_request("reload"))["status"] == "ok"
    await environment.publish("house/camera", b"picture", retain=False)
    await environment.until("state_attr('camera.house_door', 'entity_picture') is not none")
    await enable(environment, "doorbell")
    await environment.call("persistent_notification.dismiss_all")
    before = await so_far(environment)
    await environment.publish("house/bell", {"event_type": "ring"}, retain=False)
    note = await environment.do("note", note="wechat_doorbell", seconds=MAX_WAIT_SECONDS)
    assert note.startswith("Ding – not delivered 未送达：me, picture 图片: 127.0.0.1 ")
    assert note.endswith("media.allow_hosts (not_allowed)")
    assert [one["text"] for one in (await bot(environment).bot.bot_sent(before + 1))[before:]] == ["Ding"]
    environment.home.bridge.configure(environment.settings("me"))
    assert (await environment.home.send_request("reload"))["status"] == "ok"


async def test_a_word_that_comes_late_opens_nothing_and_is_asked_for_again(
    environment: HomeAssistantEnvironment,
) -> None:
    await write(environment, "open")  # nothing listens yet
    await enable(environment, "command")
    before = await so_far(environment)
    await comes_late(environment)
    (line,) = (await bot(environment).bot.bot_sent(before + 1))[before:]
    assert line["text"].startswith("Too old, not done; write it again.")
    assert (await environment.state("switch.house_lamp"))["state"] == "off"
    await bot(environment).bot.write("open")
    await environment.until("states('switch.house_lamp') == 'on'")
    await environment.publish("house/lamp", "OFF")


async def test_a_word_of_the_future_opens_nothing_since_a_clock_is_wrong(
    environment: HomeAssistantEnvironment,
) -> None:
    await write(environment, "open")
    await environment.publish("house/lamp", "OFF")
    await environment.until("states('switch.house_lamp') == 'off'")
    await enable(environment, "command")
    before = await so_far(environment)
    await comes_late(environment, -120)
    (line,) = (await bot(environment).bot.bot_sent(before + 1))[before:]
    assert line["text"].startswith("Not done: the clock of Home Assistant is wrong.")
    assert (await environment.state("switch.house_lamp"))["state"] == "off"


@pytest.mark.parametrize(("language", "word"), [("en", "light on"), ("zh", "开灯")])
async def test_the_automation_of_the_page_acts_on_a_new_word_only(
    environment: HomeAssistantEnvironment, language: str, word: str
) -> None:
    await write(environment, word)
    await environment.publish("house/lamp", "OFF")
    await environment.until("states('switch.house_lamp') == 'off'")
    await enable(environment, f"page_{language}")
    await comes_late(environment)
    await write(environment, "what?")
    assert (await environment.state("switch.house_lamp"))["state"] == "off"
    await bot(environment).bot.write(word)
    await environment.until("states('switch.house_lamp') == 'on'")


async def test_an_old_yes_answers_no_question(environment: HomeAssistantEnvironment) -> None:
    await write(environment, "yes")
    await environment.publish("house/lamp", "ON")
    await environment.publish("house/home", "ON")
    await environment.until(
        "states('switch.house_lamp') == 'on' and states('binary_sensor.house_somebody') == 'on'"
    )
    await enable(environment, "question")
    since, before = environment.home.subscriber.count, await so_far(environment)
    await environment.publish("house/home", "OFF")
    await bot(environment).bot.bot_sent(before + 1)
    await comes_late(environment)
    await environment.home.in_thread(environment.home.subscriber.wait, "house/silence", since=since)
    assert (await environment.state("switch.house_lamp"))["state"] == "on"
    assert notes_since(environment, since) == []


async def test_before_the_window_shuts_another_notifier_says_so(
    environment: HomeAssistantEnvironment,
) -> None:
    await write(environment)
    await enable(environment, "window")
    since = environment.home.subscriber.count
    for number in range(8):
        await environment.home.send_command(
            "me", {"text": f"{number}", "id": f"few-{number}-{time.time_ns()}"}
        )
    assert (await notified(environment, "2 more messages", since)).startswith(
        "WeChat takes 2 more messages; write"
    )
    for number in range(2):
        await environment.home.send_command(
            "me", {"text": "x", "id": f"last-{number}-{time.time_ns()}", "priority": "high"}
        )
    await notified(environment, "WeChat takes no more messages; write anything to the bot.", since)
    soon = {"schema": 1, "account": "home", "user": "me", "open": True, "waiting": 0, "why": "", "left": 9}
    until = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + 3600))
    await environment.publish("wx/window/me", {**soon, "until": until}, retain=False)
    await notified(environment, f"WeChat takes messages until {until[11:16]} only;", since)


async def test_the_card_shows_only_what_there_is(environment: HomeAssistantEnvironment) -> None:
    card = yaml.safe_load(CARD.read_text())
    assert named(card) <= (await environment.do("states")).keys()
    for text in texts(card):
        assert await environment.do("render", template=text)
    assert complaints(environment) == []


# The login and the bridge


async def test_a_bridge_that_comes_and_goes_is_told_as_one_that_is_away(
    environment: HomeAssistantEnvironment,
) -> None:
    await enable(environment, "flaps")
    since = environment.home.subscriber.count
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        for state in itertools.cycle(["unavailable", "starting"]):
            await environment.do("set", entity=LOGIN, state=state)
            if notes_since(environment, since):
                break
    await environment.do("set", entity=LOGIN, state="online")
    (note,) = notes_since(environment, since)
    assert "no message arrives" in note


async def test_where_nobody_is_logged_in_the_alarm_says_so(environment: HomeAssistantEnvironment) -> None:
    since = environment.home.subscriber.count
    await enable(environment, "login")
    await environment.home.send_request("logout")
    await notified(environment, "the login has ended", since)
    since = await flood(environment)
    assert (await notified(environment, "House Water", since)).endswith("(logged_out)")
    await environment.home.send_request("login")
    await bot(environment).scan()
    await environment.home.body("wx/login/state", state="online", since=since)


async def test_a_notifier_that_fails_ends_no_alarm(environment: HomeAssistantEnvironment) -> None:
    since = await flood(environment, "broken")
    await notified(environment, "House Water", since)
    await environment.until(
        "states('switch.house_siren') == 'on' and state_attr('automation.broken', 'current') == 1"
    )
    await environment.publish("house/water", "OFF")
    await environment.until("states('switch.house_siren') == 'off'")
    assert any("/x" in line for line in environment.home_assistant.said())


async def test_what_a_fallback_of_the_bridge_has_taken_has_arrived(
    environment: HomeAssistantEnvironment,
) -> None:
    with AlarmReceiver() as receiver:
        fallback = {"fallback": {"after": "1s", "urls": [receiver.url]}}
        environment.home.bridge.configure(environment.settings("me", account=fallback))
        await environment.home.in_thread(environment.home.bridge.stop)
        await environment.until("states('event.wechat_home_result') == 'unavailable'")
        await environment.home.restart()
        await environment.until(f"states('{LOGIN}') == 'online'")
        since = await flood(environment, "as_shipped")
        result = await delivered(environment, since)
        assert (result["status"], result["fallback"]) == ("failed", "sent")
        assert result["code"] in {"window_closed", "quota_used"}  # by what the tests before have sent
        assert "House Water" in receiver.wait(1)[0]["message"]
        await environment.publish("house/bath", "ON")
        await environment.home.in_thread(receiver.wait, 2)
        assert notes_since(environment, since) == []


async def test_where_the_bridge_is_away_it_is_told_at_once_and_nothing_comes_late(
    environment: HomeAssistantEnvironment,
) -> None:
    await enable(environment, "login")
    since = environment.home.subscriber.count
    await environment.home.in_thread(environment.home.bridge.kill)
    await notified(environment, "the bridge is away", since)
    begun = time.monotonic()
    since = await flood(environment)
    assert (await notified(environment, "House Water", since)).endswith(
        "me: the bridge is away 桥接程序未运行"
    )
    assert time.monotonic() - begun < allowed(20)
    assert [one for one in environment.home.subscriber.received[since:] if one.topic == "wx/out/me"] == []
