"""Alarms, questions and commands on iLink in each of its states: each reaches a person, or its failure is reported."""

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
from tests.home.test_blueprints import DEVICES, HOUSE, MESSAGE, entities_of_card, templates_of_card
from tests.home.test_entities import own_warnings
from tests.support.alarm_receiver import AlarmReceiver
from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.ilink_home import ILinkHome

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("reset_house")]

CARD = BLUEPRINTS.parent / "dashboard.yaml"
SHORT_SECONDS = 5
NOTIFIER = "other/notifier"
NOTIFY_ACTION = [
    {"action": "mqtt.publish", "data": {"topic": NOTIFIER, "payload": "{{ failure | default(text, true) }}"}}
]
REFUSED_ACTIONS = [  # Home Assistant may not write to that path
    {**NOTIFY_ACTION[0]},
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
LEFT_SENSOR = WINDOW["left"]
LOGIN_SENSOR = "sensor.wechat_home_login_state"


def ilink_home(environment: HomeAssistantEnvironment) -> ILinkHome:
    assert isinstance(environment.home, ILinkHome)
    return environment.home


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment(ilink_environment: HomeAssistantEnvironment) -> HomeAssistantEnvironment:
    """Sets up a house with all devices and automations; every automation is off."""
    environment = ilink_environment
    for discovery_path, device_config in DEVICES.items():
        unique = f"house_{discovery_path.replace('/', '_')}"
        await environment.publish(
            f"homeassistant/{discovery_path}/config",
            {**device_config, **HOUSE, "unique_id": unique, "qos": 1},
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
        await environment.wait_for_subscription(topic)
        await environment.publish(topic, state)
    await environment.wait_for_subscription("house/bell")
    alarm: dict[str, Any] = {
        "sensors": ["binary_sensor.house_water", "binary_sensor.house_bath"],
        "sirens": ["switch.house_siren"],
        "message": MESSAGE,
        "text": "Water!",
        "undelivered": NOTIFY_ACTION,
    }
    lamp = {"target": {"entity_id": "switch.house_lamp"}}
    automations = [
        automation("water-alarm", "as_shipped", **alarm),
        automation("water-alarm", "alarm", deadline=SHORT_SECONDS, **alarm),
        automation(
            "water-alarm", "broken", deadline=SHORT_SECONDS, **{**alarm, "undelivered": REFUSED_ACTIONS}
        ),
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
            undelivered=NOTIFY_ACTION,
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
            login=LOGIN_SENSOR,
            left="sensor.wechat_home_login_days_left",
            patience=0,
            absence=0,
            actions=NOTIFY_ACTION,
        ),
        automation(
            "login-ended",
            "flaps",
            login=LOGIN_SENSOR,
            left="sensor.wechat_home_login_days_left",
            absence=SHORT_SECONDS / 60,
            actions=NOTIFY_ACTION,
        ),
        automation("window-closes", "window", **WINDOW, actions=NOTIFY_ACTION),
        automation("water-alarm", "unset", deadline=SHORT_SECONDS, result="event.of_nobody", **alarm),
        *(page_automation(language) for language in ("en", "zh")),
    ]
    await environment.do("automations", automations=automations)
    for config in automations:
        entity = f"automation.{config['alias'].replace('-', '_')}"
        await environment.until(f"states('{entity}') == 'on'")
        await environment.call("automation.turn_off", entity_id=entity)
    return environment


def page_automation(language: str) -> dict[str, Any]:
    """Returns the automation of `docs/<language>/start/home-assistant.md`, for the lamp of this house."""
    page = blocks(ROOT / f"docs/{language}/start/home-assistant.md")
    page_text = next(block.text for block in page if "triggers:" in block.text)
    adapted = page_text.replace("light.turn_on", "switch.turn_on").replace("light.hall", "switch.house_lamp")
    return {"id": f"page_{language}", "alias": f"page_{language}", **yaml.safe_load(adapted)}


@pytest_asyncio.fixture(loop_scope="module")
async def reset_house(environment: HomeAssistantEnvironment) -> Any:
    """Makes the house dry after the test, and turns all automations off."""
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


async def trigger_alarm(environment: HomeAssistantEnvironment, name: str = "alarm") -> int:
    """Turns an automation on and reports water; returns the count of the subscriber before."""
    await enable(environment, name)
    since = environment.home.subscriber.count
    await environment.publish("house/water", "ON")
    return since


async def notification_with(environment: HomeAssistantEnvironment, text: str, since: int) -> str:
    """Waits for a notification with this text by the other notifier; returns it."""
    received = await environment.home.in_thread(
        environment.home.subscriber.wait,
        NOTIFIER,
        lambda message: text in message.payload.decode(),
        since=since,
    )
    return str(received.payload.decode())


async def next_alarm_result(environment: HomeAssistantEnvironment, since: int) -> dict[str, Any]:
    """Waits for the result of the next alarm, also in Home Assistant; returns it."""
    received = await environment.home.in_thread(
        environment.home.subscriber.wait,
        "wx/result/me",
        lambda message: message.body["id"].startswith("water-"),
        since=since,
    )
    await environment.until(
        f"'{received.body['id']}' in state_attr('event.wechat_home_result', 'recent') | map(attribute='id')"
    )
    return dict(received.body)


def notifications_since(environment: HomeAssistantEnvironment, since: int) -> list[str]:
    return [
        message.payload.decode()
        for message in environment.home.subscriber.received[since:]
        if message.topic == NOTIFIER
    ]


async def sent_count(environment: HomeAssistantEnvironment) -> int:
    return len(await ilink_home(environment).bot.get("ilink/sent"))


async def write(environment: HomeAssistantEnvironment, text: str = "hello") -> None:
    """Lets the person write, so that WeChat takes ten messages again."""
    since = environment.home.subscriber.count
    await ilink_home(environment).bot.write(text)
    await environment.home.body("wx/window/me", since=since, left=10)
    await environment.until(f"state_attr('{MESSAGE}', 'text') == '{text}'")


async def publish_late_message(environment: HomeAssistantEnvironment, seconds: int = 120) -> None:
    """Publishes the newest message again as one of another stream, that was written `seconds` ago."""
    newest = environment.home.subscriber.on("wx/in/me")[-1].body
    written = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - seconds))
    number = len(environment.home.subscriber.on("wx/in/me"))
    changed_fields = {"id": f"{newest['id']}-late", "stream": "late", "seq": number, "time": written}
    await environment.publish("wx/in/me", {**newest, **changed_fields}, retain=False)
    await environment.until(f"state_attr('{MESSAGE}', 'time') == '{written}'")


# nobody has written to the bot yet


async def test_the_shipped_alarm_reports_within_a_minute_that_nobody_has_written_to_the_bot(
    environment: HomeAssistantEnvironment,
) -> None:
    started_at = time.monotonic()
    since = await trigger_alarm(environment, "as_shipped")
    notification = await notification_with(environment, "House Water", since)
    assert time.monotonic() - started_at < allowed(60)
    result = await next_alarm_result(environment, since)
    assert (result["status"], result["code"]) == ("failed", "window_closed")
    assert notification.startswith("Water! House Water (")
    assert notification.endswith(f" – not delivered 未送达：me: {result['message']} (window_closed)")
    await environment.until("states('switch.house_siren') == 'on'")


async def test_a_ring_that_does_not_reach_wechat_is_reported_with_the_reason(
    environment: HomeAssistantEnvironment,
) -> None:
    await enable(environment, "doorbell")
    await environment.publish("house/bell", {"event_type": "ring"}, retain=False)
    await environment.home.in_thread(
        environment.home.subscriber.wait,
        "wx/result/me",
        lambda message: message.body["id"].startswith("bell-"),
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
    notification = await notification_with(environment, "Off?", since)
    assert notification.endswith("(window_closed)")
    await environment.home.in_thread(environment.home.subscriber.wait, "house/silence", since=since)


# the window is open


async def test_an_alarm_that_arrives_uses_no_other_notifier_and_the_answer_ends_it(
    environment: HomeAssistantEnvironment,
) -> None:
    await write(environment)
    before = await sent_count(environment)
    since = await trigger_alarm(environment, "as_shipped")
    assert (await next_alarm_result(environment, since))["status"] == "sent"
    (command,) = [
        message.body
        for message in environment.home.subscriber.received[since:]
        if message.topic == "wx/out/me"
    ]
    assert (command["urgent"], command["priority"], command["ttl"]) == (True, "high", 40)
    await environment.until("states('switch.house_siren') == 'on'")
    await ilink_home(environment).bot.write("好")
    await environment.until("states('switch.house_siren') == 'off'")
    await environment.until("state_attr('automation.as_shipped', 'current') == 0")
    lines = [message["text"] for message in (await ilink_home(environment).bot.bot_sent(before + 2))[before:]]
    assert lines[0].startswith("Water! House Water (")
    assert " Silenced by " in lines[1]
    assert notifications_since(environment, since) == []


async def test_water_during_a_trial_starts_the_alarm_at_once(environment: HomeAssistantEnvironment) -> None:
    await write(environment)
    await enable(environment, "alarm")
    since = environment.home.subscriber.count
    # the action ends with the run
    running = asyncio.create_task(environment.call("automation.trigger", entity_id="automation.alarm"))
    trial = await next_alarm_result(environment, since)
    await environment.until("states('switch.house_siren') == 'off'")
    since = environment.home.subscriber.count
    await environment.publish("house/water", "ON")
    leak = await next_alarm_result(environment, since)
    assert leak["status"] == "sent"
    assert leak["id"] != trial["id"]
    await environment.until("states('switch.house_siren') == 'on'")
    await ilink_home(environment).bot.write("好")
    await running


async def test_an_old_answer_that_comes_late_silences_nothing(environment: HomeAssistantEnvironment) -> None:
    await write(environment, "ok")
    since = await trigger_alarm(environment, "as_shipped")
    await next_alarm_result(environment, since)
    await publish_late_message(environment)
    await write(environment, "what?")
    assert (await environment.state("switch.house_siren"))["state"] == "on"
    await ilink_home(environment).bot.write("ok")
    await environment.until("states('switch.house_siren') == 'off'")


async def test_the_answer_to_another_command_ends_nothing(environment: HomeAssistantEnvironment) -> None:
    await write(environment)
    os.kill(environment.home.bridge.pid, signal.SIGSTOP)
    since = await trigger_alarm(environment)
    body = {"schema": 1, "account": "home", "user": "me", "status": "sent", "code": "ok", "message": "m"}
    await environment.publish("wx/result/me", {**body, "id": "of-somebody-else"}, retain=False)
    notification = await notification_with(environment, "House Water", since)
    os.kill(environment.home.bridge.pid, signal.SIGCONT)
    assert notification.endswith("me: the bridge does not answer 桥接程序没有应答")


async def test_an_alarm_that_cannot_hear_its_results_says_what_to_choose(
    environment: HomeAssistantEnvironment,
) -> None:
    since = await trigger_alarm(environment, "unset")
    notification = await notification_with(environment, "House Water", since)
    assert "me: there is no event.of_nobody; choose the Result event" in notification


async def test_a_sensor_that_flutters_costs_one_message(environment: HomeAssistantEnvironment) -> None:
    await write(environment)
    since = await trigger_alarm(environment)
    await next_alarm_result(environment, since)
    for state in ("OFF", "ON") * 12:
        await environment.publish("house/water", state)
        await environment.until(f"states('binary_sensor.house_water') == '{state.lower()}'")
        await environment.until(f"states('switch.house_siren') == '{state.lower()}'")
    await environment.publish("house/bath", "ON")  # another one is worth a message
    await environment.home.in_thread(
        environment.home.subscriber.wait,
        "wx/out/me",
        lambda message: "House Bath" in message.body["text"],
        since=since,
    )
    sent = [
        message.body["text"]
        for message in environment.home.subscriber.received[since:]
        if message.topic == "wx/out/me"
    ]
    assert len(sent) == 2
    assert sent[1].startswith("Water! House Bath, House Water (")


async def test_a_wet_sensor_of_which_nothing_is_heard_is_not_dry(
    environment: HomeAssistantEnvironment,
) -> None:
    await write(environment)
    since = await trigger_alarm(environment)
    await next_alarm_result(environment, since)
    await environment.do("set", entity="binary_sensor.house_water", state="unavailable")
    await environment.publish("house/bath", "ON")  # looked at after that
    await environment.home.in_thread(
        environment.home.subscriber.wait,
        "wx/out/me",
        lambda message: "Bath" in message.body["text"],
        since=since,
    )
    await environment.publish("house/bath", "OFF")
    await environment.until("states('binary_sensor.house_bath') == 'off'")
    await write(environment, "any news?")
    assert (await environment.state("switch.house_siren"))["state"] == "on"
    await ilink_home(environment).bot.write("ok")
    await environment.until("states('switch.house_siren') == 'off'")


async def test_an_alarm_uses_the_reserved_messages_and_then_reports_that_none_is_left(
    environment: HomeAssistantEnvironment,
) -> None:
    await write(environment)
    for number in range(9):
        await environment.home.send_command(
            "me", {"text": f"{number}", "id": f"usual-{number}-{time.time_ns()}"}
        )
    since = await trigger_alarm(environment)
    assert (await next_alarm_result(environment, since))["status"] == "sent"
    await environment.until(f"states('{LEFT_SENSOR}') == '0'")
    await environment.call("automation.turn_off", {"stop_actions": True}, entity_id="automation.alarm")
    await environment.publish("house/water", "OFF")
    await environment.until("states('binary_sensor.house_water') == 'off'")
    since = await trigger_alarm(environment)
    assert (await notification_with(environment, "House Water", since)).endswith("(quota_used)")


async def test_a_picture_that_the_bridge_may_not_fetch_is_reported_and_the_text_arrives(
    environment: HomeAssistantEnvironment,
) -> None:
    await write(environment)
    environment.home.bridge.configure(environment.settings("me", account={"media": {"allow_hosts": []}}))
    assert (await environment.home.send_request("reload"))["status"] == "ok"
    await environment.publish("house/camera", b"picture", retain=False)
    await environment.until("state_attr('camera.house_door', 'entity_picture') is not none")
    await enable(environment, "doorbell")
    await environment.call("persistent_notification.dismiss_all")
    before = await sent_count(environment)
    await environment.publish("house/bell", {"event_type": "ring"}, retain=False)
    note = await environment.do("note", note="wechat_doorbell", seconds=MAX_WAIT_SECONDS)
    assert note.startswith("Ding – not delivered 未送达：me, picture 图片: 127.0.0.1 ")
    assert note.endswith("media.allow_hosts (not_allowed)")
    assert [
        message["text"] for message in (await ilink_home(environment).bot.bot_sent(before + 1))[before:]
    ] == ["Ding"]
    environment.home.bridge.configure(environment.settings("me"))
    assert (await environment.home.send_request("reload"))["status"] == "ok"


async def test_a_late_command_does_nothing_and_is_asked_for_again(
    environment: HomeAssistantEnvironment,
) -> None:
    await write(environment, "open")  # nothing listens yet
    await enable(environment, "command")
    before = await sent_count(environment)
    await publish_late_message(environment)
    (line,) = (await ilink_home(environment).bot.bot_sent(before + 1))[before:]
    assert line["text"].startswith("Too old, not done; write it again.")
    assert (await environment.state("switch.house_lamp"))["state"] == "off"
    await ilink_home(environment).bot.write("open")
    await environment.until("states('switch.house_lamp') == 'on'")
    await environment.publish("house/lamp", "OFF")


async def test_a_command_with_a_time_in_the_future_does_nothing(
    environment: HomeAssistantEnvironment,
) -> None:
    await write(environment, "open")
    await environment.publish("house/lamp", "OFF")
    await environment.until("states('switch.house_lamp') == 'off'")
    await enable(environment, "command")
    before = await sent_count(environment)
    await publish_late_message(environment, -120)
    (line,) = (await ilink_home(environment).bot.bot_sent(before + 1))[before:]
    assert line["text"].startswith("Not done: the clock of Home Assistant is wrong.")
    assert (await environment.state("switch.house_lamp"))["state"] == "off"


@pytest.mark.parametrize(("language", "word"), [("en", "light on"), ("zh", "开灯")])
async def test_the_automation_of_the_page_acts_on_a_new_message_only(
    environment: HomeAssistantEnvironment, language: str, word: str
) -> None:
    await write(environment, word)
    await environment.publish("house/lamp", "OFF")
    await environment.until("states('switch.house_lamp') == 'off'")
    await enable(environment, f"page_{language}")
    await publish_late_message(environment)
    await write(environment, "what?")
    assert (await environment.state("switch.house_lamp"))["state"] == "off"
    await ilink_home(environment).bot.write(word)
    await environment.until("states('switch.house_lamp') == 'on'")


async def test_an_old_answer_does_not_count_for_a_new_question(environment: HomeAssistantEnvironment) -> None:
    await write(environment, "yes")
    await environment.publish("house/lamp", "ON")
    await environment.publish("house/home", "ON")
    await environment.until(
        "states('switch.house_lamp') == 'on' and states('binary_sensor.house_somebody') == 'on'"
    )
    await enable(environment, "question")
    since, before = environment.home.subscriber.count, await sent_count(environment)
    await environment.publish("house/home", "OFF")
    await ilink_home(environment).bot.bot_sent(before + 1)
    await publish_late_message(environment)
    await environment.home.in_thread(environment.home.subscriber.wait, "house/silence", since=since)
    assert (await environment.state("switch.house_lamp"))["state"] == "on"
    assert notifications_since(environment, since) == []


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
    assert (await notification_with(environment, "2 more messages", since)).startswith(
        "WeChat takes 2 more messages; write"
    )
    for number in range(2):
        await environment.home.send_command(
            "me", {"text": "x", "id": f"last-{number}-{time.time_ns()}", "priority": "high"}
        )
    await notification_with(environment, "WeChat takes no more messages; write anything to the bot.", since)
    closes_soon = {
        "schema": 1,
        "account": "home",
        "user": "me",
        "open": True,
        "waiting": 0,
        "why": "",
        "left": 9,
    }
    until = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + 3600))
    await environment.publish("wx/window/me", {**closes_soon, "until": until}, retain=False)
    await notification_with(environment, f"WeChat takes messages until {until[11:16]} only;", since)


async def test_the_card_shows_only_what_there_is(environment: HomeAssistantEnvironment) -> None:
    card = yaml.safe_load(CARD.read_text())
    assert entities_of_card(card) <= (await environment.do("states")).keys()
    for text in templates_of_card(card):
        assert await environment.do("render", template=text)
    assert own_warnings(environment) == []


# the login and the bridge


async def test_a_bridge_that_repeatedly_goes_offline_is_reported_as_offline(
    environment: HomeAssistantEnvironment,
) -> None:
    await enable(environment, "flaps")
    since = environment.home.subscriber.count
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        for state in itertools.cycle(["unavailable", "starting"]):
            await environment.do("set", entity=LOGIN_SENSOR, state=state)
            if notifications_since(environment, since):
                break
    await environment.do("set", entity=LOGIN_SENSOR, state="online")
    (note,) = notifications_since(environment, since)
    assert "no message arrives" in note


async def test_an_alarm_without_a_login_reports_that(environment: HomeAssistantEnvironment) -> None:
    since = environment.home.subscriber.count
    await enable(environment, "login")
    await environment.home.send_request("logout")
    await notification_with(environment, "the login has ended", since)
    since = await trigger_alarm(environment)
    assert (await notification_with(environment, "House Water", since)).endswith("(logged_out)")
    await environment.home.send_request("login")
    await ilink_home(environment).scan()
    await environment.home.body("wx/login/state", state="online", since=since)


async def test_a_notifier_that_fails_ends_no_alarm(environment: HomeAssistantEnvironment) -> None:
    since = await trigger_alarm(environment, "broken")
    await notification_with(environment, "House Water", since)
    await environment.until(
        "states('switch.house_siren') == 'on' and state_attr('automation.broken', 'current') == 1"
    )
    await environment.publish("house/water", "OFF")
    await environment.until("states('switch.house_siren') == 'off'")
    assert any("/x" in line for line in environment.home_assistant.log_lines())


async def test_an_alarm_that_the_fallback_of_the_bridge_took_counts_as_arrived(
    environment: HomeAssistantEnvironment,
) -> None:
    with AlarmReceiver() as receiver:
        fallback = {"fallback": {"after": "1s", "urls": [receiver.url]}}
        environment.home.bridge.configure(environment.settings("me", account=fallback))
        await environment.home.in_thread(environment.home.bridge.stop)
        await environment.until("states('event.wechat_home_result') == 'unavailable'")
        await environment.home.restart()
        await environment.until(f"states('{LOGIN_SENSOR}') == 'online'")
        since = await trigger_alarm(environment, "as_shipped")
        result = await next_alarm_result(environment, since)
        assert (result["status"], result["fallback"]) == ("failed", "sent")
        assert result["code"] in {"window_closed", "quota_used"}  # by what the tests before have sent
        assert "House Water" in receiver.wait(1)[0]["message"]
        await environment.publish("house/bath", "ON")
        await environment.home.in_thread(receiver.wait, 2)
        assert notifications_since(environment, since) == []


async def test_an_alarm_with_the_bridge_offline_is_reported_at_once_and_not_sent_later(
    environment: HomeAssistantEnvironment,
) -> None:
    await enable(environment, "login")
    since = environment.home.subscriber.count
    await environment.home.in_thread(environment.home.bridge.kill)
    await notification_with(environment, "the bridge is away", since)
    started_at = time.monotonic()
    since = await trigger_alarm(environment)
    assert (await notification_with(environment, "House Water", since)).endswith(
        "me: the bridge is away 桥接程序未运行"
    )
    assert time.monotonic() - started_at < allowed(20)
    assert [
        message for message in environment.home.subscriber.received[since:] if message.topic == "wx/out/me"
    ] == []
