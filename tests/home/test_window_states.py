"""The blueprints in every state of iLink's window: what reaches WeChat, and what another notifier says of the rest."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import pytest_asyncio

from tests.home.conftest import HomeAssistantEnvironment, automation
from tests.home.test_alarms import LOGIN, TELL, bot, enable, notes_since, notified, so_far, write
from tests.home.test_blueprints import HOUSE, MESSAGE, THINGS
from tests.home.test_entities import complaints
from tests.support.alarm_receiver import AlarmReceiver
from wx2mqtt.simulator.samples import sample

pytestmark = pytest.mark.asyncio(loop_scope="module")

# open: ten messages are left. kept: only the one that is kept for what is important. used: none.
# shut: WeChat takes nothing any more, and the bridge does not know it yet.
STATES = ("open", "kept", "used", "shut")
CODES = {"kept": "quota_used", "used": "quota_used", "shut": "window_closed"}
NUMBERS = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(ilink_environment: HomeAssistantEnvironment) -> HomeAssistantEnvironment:
    """A house with a doorbell, a camera, a water sensor and somebody at home; no automation is on."""
    environment = ilink_environment
    for place, thing in THINGS.items():
        unique = f"house_{place.replace('/', '_')}"
        await environment.publish(
            f"homeassistant/{place}/config", {**thing, **HOUSE, "unique_id": unique, "qos": 1}
        )
    for topic in ("house/bell", "house/camera", "house/water", "house/home"):
        await environment.listens(topic)
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
            undelivered=TELL,
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
            undelivered=TELL,
        ),
        automation(
            "water-alarm",
            sensors=["binary_sensor.house_water"],
            message=MESSAGE,
            text="Water!",
            undelivered=TELL,
        ),
        automation(
            "presence-question",
            presence="binary_sensor.house_somebody",
            state="off",
            lasting={"seconds": 0},
            message=MESSAGE,
            question="Off?",
            patience={"seconds": 20},
            on_yes=answers("yes"),
            on_silence=answers("silence"),
            undelivered=TELL,
        ),
        automation(
            "ask-with-buttons",
            when=[{"trigger": "mqtt", "topic": "house/question", "qos": 1}],
            question="Open?",
            patience={"seconds": 20},
            on_1=answers("yes"),
            on_silence=answers("silence"),
            undelivered=TELL,
        ),
        automation("login-qr", login=LOGIN, qr="image.wechat_home_login_qr", actions=TELL),
    ]
    await environment.do("automations", automations=automations)
    for one in automations:
        entity = f"automation.{one['alias'].replace('-', '_')}"
        await environment.until(f"states('{entity}') == 'on'")
        await environment.call("automation.turn_off", entity_id=entity)
    return environment


def answers(payload: str) -> list[dict[str, Any]]:
    """What is done on an answer: it is said on a topic."""
    return [{"action": "mqtt.publish", "data": {"topic": "house/answered", "payload": payload}}]


async def bring_window(house: HomeAssistantEnvironment, state: str) -> None:
    """The person writes, and the window becomes what `state` says."""
    await write(house, f"hello {next(NUMBERS)}")
    for _ in range(9 if state in {"kept", "used"} else 0):
        await house.home.send_command("me", {"text": "usual", "id": f"usual-{next(NUMBERS)}"})
    if state == "used":
        await house.home.send_command("me", {"text": "x", "id": f"last-{next(NUMBERS)}", "priority": "high"})
    if state == "shut":
        await bot(house).bot.post("ilink/window", ago=25 * 3600)


async def ended(house: HomeAssistantEnvironment, name: str) -> None:
    """The run of this automation is over; it is off again."""
    await house.until(f"state_attr('automation.{name}', 'current') == 0")
    await house.call("automation.turn_off", entity_id=f"automation.{name}")


async def new_texts(house: HomeAssistantEnvironment, before: int) -> list[str]:
    lines = (await bot(house).bot.get("ilink/sent"))[before:]
    return [one.get("text") or one["kind"] for one in lines]


@pytest.mark.parametrize("state", STATES)
async def test_a_ring_arrives_or_is_told_with_what_did_not(
    house: HomeAssistantEnvironment, state: str
) -> None:
    await bring_window(house, state)
    since, before = house.home.subscriber.count, await so_far(house)
    await enable(house, "doorbell")
    await house.publish("house/bell", {"event_type": "ring"}, retain=False)
    if state == "open":
        assert len(await bot(house).bot.bot_sent(before + 2)) == before + 2
    else:
        said = await notified(house, "not delivered", since)
        assert ("me, text 文字" in said) == (state != "kept")
        assert "me, picture 图片" in said
        assert said.endswith(f"({CODES[state]})")
    await ended(house, "doorbell")
    sent = await new_texts(house, before)
    assert sent == {"open": ["Ding", "image"], "kept": ["Ding"]}.get(state, [])
    assert (notes_since(house, since) == []) == (state == "open")


@pytest.mark.parametrize("state", STATES)
async def test_an_alarm_uses_what_is_kept_for_it_or_is_told(
    house: HomeAssistantEnvironment, state: str
) -> None:
    await bring_window(house, state)
    since, before = house.home.subscriber.count, await so_far(house)
    await enable(house, "water_alarm")
    await house.publish("house/water", "ON")
    if state in {"open", "kept"}:
        lines = await bot(house).bot.bot_sent(before + 1)
        assert lines[before]["text"].startswith("Water! House Water (")
    else:
        assert (await notified(house, "Water! House Water (", since)).endswith(f"({CODES[state]})")
    await bot(house).bot.write("好")
    await ended(house, "water_alarm")
    await house.publish("house/water", "OFF")
    await house.until("states('binary_sensor.house_water') == 'off'")
    assert (notes_since(house, since) == []) == (state in {"open", "kept"})


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("name", "word"), [("presence_question", "yes"), ("ask_with_buttons", "1")])
async def test_a_question_is_answered_or_is_told_and_ends_as_silence(
    house: HomeAssistantEnvironment, state: str, name: str, word: str
) -> None:
    await bring_window(house, state)
    await house.publish("house/home", "ON")
    await house.until("states('binary_sensor.house_somebody') == 'on'")
    since, before = house.home.subscriber.count, await so_far(house)
    lines = len(house.home.broker.log)
    await enable(house, name)
    if name == "ask_with_buttons":
        await house.listens("house/question", since=lines)
    topic = "house/home" if name == "presence_question" else "house/question"
    await house.publish(topic, "OFF", retain=False)
    if state == "open":
        await bot(house).bot.bot_sent(before + 1)
        await bot(house).bot.write(word)
    else:
        assert (await notified(house, "not delivered", since)).endswith(f"({CODES[state]})")
    heard = await house.home.in_thread(house.home.subscriber.wait, "house/answered", since=since)
    assert heard.payload.decode() == ("yes" if state == "open" else "silence")
    await ended(house, name)
    assert (notes_since(house, since) == []) == (state == "open")


async def test_a_ring_that_must_arrive_goes_by_the_other_way_where_the_window_is_shut(
    house: HomeAssistantEnvironment,
) -> None:
    with AlarmReceiver() as receiver:
        fallback = {"fallback": {"after": "1s", "urls": [receiver.url]}}
        house.home.bridge.configure(house.settings("me", account=fallback))
        assert (await house.home.send_request("reload"))["status"] == "ok"
        await bring_window(house, "used")
        since = house.home.subscriber.count
        await enable(house, "watch")
        await house.publish("house/bell", {"event_type": "ring"}, retain=False)
        alerts = await house.home.in_thread(receiver.wait, 2)
        assert {"Somebody!", "[image] door.jpg"} <= {one["message"] for one in alerts}
        await ended(house, "watch")
        assert notes_since(house, since) == []


async def test_the_code_of_the_next_login_comes_by_another_notifier(house: HomeAssistantEnvironment) -> None:
    await enable(house, "login_qr")
    since = house.home.subscriber.count
    await house.home.send_request("logout")
    await house.home.send_request("login")
    await notified(house, "WeChat: scan this code with your phone.", since)
    assert complaints(house) == []
