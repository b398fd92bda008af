"""The blueprints in every state of iLink's window: what reaches WeChat, and what another notifier says of the rest."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import pytest_asyncio

from tests.home.conftest import HomeAssistantEnvironment, automation
from tests.home.test_alarms import (
    LOGIN_SENSOR,
    NOTIFY_ACTION,
    enable,
    ilink_home,
    notification_with,
    notifications_since,
    sent_count,
    write,
)
from tests.home.test_blueprints import DEVICES, HOUSE, MESSAGE
from tests.home.test_entities import own_warnings
from tests.support.alarm_receiver import AlarmReceiver
from wx2mqtt.simulator.samples import sample

pytestmark = pytest.mark.asyncio(loop_scope="module")

# open: ten messages are left. kept: only the one that is reserved for important messages. used: none.
# shut: WeChat refuses every message, and the bridge does not know it yet.
STATES = ("open", "kept", "used", "shut")
CODES = {"kept": "quota_used", "used": "quota_used", "shut": "window_closed"}
NUMBERS = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prepared_environment(ilink_environment: HomeAssistantEnvironment) -> HomeAssistantEnvironment:
    """Sets up a house with a doorbell, a camera, a water sensor and somebody at home; every automation is off."""
    environment = ilink_environment
    for discovery_path, device_config in DEVICES.items():
        unique = f"house_{discovery_path.replace('/', '_')}"
        await environment.publish(
            f"homeassistant/{discovery_path}/config",
            {**device_config, **HOUSE, "unique_id": unique, "qos": 1},
        )
    for topic in ("house/bell", "house/camera", "house/water", "house/home"):
        await environment.wait_for_subscription(topic)
    await environment.publish("house/water", "OFF")
    await environment.publish("house/home", "ON")
    await environment.publish("house/camera", sample("image.jpg"))
    await environment.until("state_attr('camera.house_door', 'entity_picture') is not none")
    automations = [
        automation(
            "doorbell",
            doorbell="event.house_bell",
            camera="camera.house_door",
            text="Ding",
            house=environment.home_assistant.url,
            quiet=0,
            undelivered=NOTIFY_ACTION,
        ),
        automation(
            "doorbell",
            "watch",
            doorbell="event.house_bell",
            camera="camera.house_door",
            text="Somebody!",
            house=environment.home_assistant.url,
            quiet=0,
            urgent=True,
            undelivered=NOTIFY_ACTION,
        ),
        automation(
            "water-alarm",
            sensors=["binary_sensor.house_water"],
            message=MESSAGE,
            text="Water!",
            undelivered=NOTIFY_ACTION,
        ),
        automation(
            "presence-question",
            presence="binary_sensor.house_somebody",
            state="off",
            lasting={"seconds": 0},
            message=MESSAGE,
            question="Off?",
            patience={"seconds": 20},
            on_yes=publish_answer("yes"),
            on_silence=publish_answer("silence"),
            undelivered=NOTIFY_ACTION,
        ),
        automation(
            "ask-with-buttons",
            when=[{"trigger": "mqtt", "topic": "house/question", "qos": 1}],
            question="Open?",
            patience={"seconds": 20},
            on_1=publish_answer("yes"),
            on_silence=publish_answer("silence"),
            undelivered=NOTIFY_ACTION,
        ),
        automation("login-qr", login=LOGIN_SENSOR, qr="image.wechat_home_login_qr", actions=NOTIFY_ACTION),
    ]
    await environment.do("automations", automations=automations)
    for config in automations:
        entity = f"automation.{config['alias'].replace('-', '_')}"
        await environment.until(f"states('{entity}') == 'on'")
        await environment.call("automation.turn_off", entity_id=entity)
    return environment


def publish_answer(payload: str) -> list[dict[str, Any]]:
    """Returns the action that publishes an answer to a topic."""
    return [{"action": "mqtt.publish", "data": {"topic": "house/answered", "payload": payload}}]


async def set_window(prepared_environment: HomeAssistantEnvironment, state: str) -> None:
    """Lets the person write, and brings the window into this state."""
    await write(prepared_environment, f"hello {next(NUMBERS)}")
    for _ in range(9 if state in {"kept", "used"} else 0):
        await prepared_environment.home.send_command("me", {"text": "usual", "id": f"usual-{next(NUMBERS)}"})
    if state == "used":
        await prepared_environment.home.send_command(
            "me", {"text": "x", "id": f"last-{next(NUMBERS)}", "priority": "high"}
        )
    if state == "shut":
        await ilink_home(prepared_environment).bot.post("ilink/window", ago=25 * 3600)


async def wait_for_end(prepared_environment: HomeAssistantEnvironment, name: str) -> None:
    """Waits until the run of this automation is over; turns the automation off."""
    await prepared_environment.until(f"state_attr('automation.{name}', 'current') == 0")
    await prepared_environment.call("automation.turn_off", entity_id=f"automation.{name}")


async def new_texts(prepared_environment: HomeAssistantEnvironment, before: int) -> list[str]:
    lines = (await ilink_home(prepared_environment).bot.get("ilink/sent"))[before:]
    return [message.get("text") or message["kind"] for message in lines]


@pytest.mark.parametrize("state", STATES)
async def test_a_ring_arrives_or_is_reported_with_what_did_not_arrive(
    prepared_environment: HomeAssistantEnvironment, state: str
) -> None:
    await set_window(prepared_environment, state)
    since, before = prepared_environment.home.subscriber.count, await sent_count(prepared_environment)
    await enable(prepared_environment, "doorbell")
    await prepared_environment.publish("house/bell", {"event_type": "ring"}, retain=False)
    if state == "open":
        assert len(await ilink_home(prepared_environment).bot.bot_sent(before + 2)) == before + 2
    else:
        notification = await notification_with(prepared_environment, "not delivered", since)
        assert ("me, text 文字" in notification) == (state != "kept")
        assert "me, picture 图片" in notification
        assert notification.endswith(f"({CODES[state]})")
    await wait_for_end(prepared_environment, "doorbell")
    sent = await new_texts(prepared_environment, before)
    assert sent == {"open": ["Ding", "image"], "kept": ["Ding"]}.get(state, [])
    assert (notifications_since(prepared_environment, since) == []) == (state == "open")


@pytest.mark.parametrize("state", STATES)
async def test_an_alarm_uses_the_reserved_message_or_is_reported(
    prepared_environment: HomeAssistantEnvironment, state: str
) -> None:
    await set_window(prepared_environment, state)
    since, before = prepared_environment.home.subscriber.count, await sent_count(prepared_environment)
    await enable(prepared_environment, "water_alarm")
    await prepared_environment.publish("house/water", "ON")
    if state in {"open", "kept"}:
        lines = await ilink_home(prepared_environment).bot.bot_sent(before + 1)
        assert lines[before]["text"].startswith("Water! House Water (")
    else:
        assert (await notification_with(prepared_environment, "Water! House Water (", since)).endswith(
            f"({CODES[state]})"
        )
    await ilink_home(prepared_environment).bot.write("好")
    await wait_for_end(prepared_environment, "water_alarm")
    await prepared_environment.publish("house/water", "OFF")
    await prepared_environment.until("states('binary_sensor.house_water') == 'off'")
    assert (notifications_since(prepared_environment, since) == []) == (state in {"open", "kept"})


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("name", "word"), [("presence_question", "yes"), ("ask_with_buttons", "1")])
async def test_a_question_is_answered_or_reported_and_ends_as_unanswered(
    prepared_environment: HomeAssistantEnvironment, state: str, name: str, word: str
) -> None:
    await set_window(prepared_environment, state)
    await prepared_environment.publish("house/home", "ON")
    await prepared_environment.until("states('binary_sensor.house_somebody') == 'on'")
    since, before = prepared_environment.home.subscriber.count, await sent_count(prepared_environment)
    lines = len(prepared_environment.home.broker.log)
    await enable(prepared_environment, name)
    if name == "ask_with_buttons":
        await prepared_environment.wait_for_subscription("house/question", since=lines)
    topic = "house/home" if name == "presence_question" else "house/question"
    await prepared_environment.publish(topic, "OFF", retain=False)
    if state == "open":
        await ilink_home(prepared_environment).bot.bot_sent(before + 1)
        await ilink_home(prepared_environment).bot.write(word)
    else:
        assert (await notification_with(prepared_environment, "not delivered", since)).endswith(
            f"({CODES[state]})"
        )
    heard = await prepared_environment.home.in_thread(
        prepared_environment.home.subscriber.wait, "house/answered", since=since
    )
    assert heard.payload.decode() == ("yes" if state == "open" else "silence")
    await wait_for_end(prepared_environment, name)
    assert (notifications_since(prepared_environment, since) == []) == (state == "open")


async def test_an_urgent_ring_goes_to_the_fallback_where_the_window_is_shut(
    prepared_environment: HomeAssistantEnvironment,
) -> None:
    with AlarmReceiver() as receiver:
        fallback = {"fallback": {"after": "1s", "urls": [receiver.url]}}
        prepared_environment.home.bridge.configure(prepared_environment.settings("me", account=fallback))
        assert (await prepared_environment.home.send_request("reload"))["status"] == "ok"
        await set_window(prepared_environment, "used")
        since = prepared_environment.home.subscriber.count
        await enable(prepared_environment, "watch")
        await prepared_environment.publish("house/bell", {"event_type": "ring"}, retain=False)
        alerts = await prepared_environment.home.in_thread(receiver.wait, 2)
        assert {"Somebody!", "[image] door.jpg"} <= {alert["message"] for alert in alerts}
        await wait_for_end(prepared_environment, "watch")
        assert notifications_since(prepared_environment, since) == []


async def test_the_code_of_the_next_login_comes_by_another_notifier(
    prepared_environment: HomeAssistantEnvironment,
) -> None:
    await enable(prepared_environment, "login_qr")
    since = prepared_environment.home.subscriber.count
    await prepared_environment.home.send_request("logout")
    await prepared_environment.home.send_request("login")
    await notification_with(prepared_environment, "WeChat: scan this code with your phone.", since)
    assert own_warnings(prepared_environment) == []
