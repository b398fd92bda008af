"""The blueprints of `deploy/home-assistant`: loaded by Home Assistant, and their automations run to the end."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from tests.home.conftest import BLUEPRINTS, HomeAssistantEnvironment, automation
from tests.home.test_entities import own_warnings
from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.bridge.status_topics import placeholder_picture

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGE = "event.wechat_home_message"
CARD = BLUEPRINTS.parent / "dashboard.yaml"
HOUSE = {"device": {"identifiers": ["house"], "name": "House"}}
DEVICES: dict[str, dict[str, Any]] = {
    "camera/door": {"topic": "house/camera", "name": "Door"},
    "event/bell": {
        "state_topic": "house/bell",
        "event_types": ["ring"],
        "device_class": "doorbell",
        "name": "Bell",
    },
    "binary_sensor/water": {"state_topic": "house/water", "device_class": "moisture", "name": "Water"},
    "switch/siren": {"command_topic": "house/siren", "state_topic": "house/siren", "name": "Siren"},
    "binary_sensor/home": {"state_topic": "house/home", "device_class": "presence", "name": "Somebody"},
    "switch/lamp": {"command_topic": "house/lamp", "state_topic": "house/lamp", "name": "Lamp"},
}


@pytest.fixture(scope="module")
def automations(environment: HomeAssistantEnvironment) -> list[dict[str, Any]]:
    """Returns automations of all blueprints, for a house with a doorbell, a camera, a water sensor, a siren and a
    lamp.
    """
    lamp = {"target": {"entity_id": "switch.house_lamp"}}
    question: dict[str, Any] = {
        "presence": "binary_sensor.house_somebody",
        "state": "off",
        "lasting": {"seconds": 0},
        "message": MESSAGE,
        "people": ["wife"],
        "question": "Off?",
        "on_yes": [{"action": "switch.turn_off", **lamp}],
        "on_no": [{"action": "switch.turn_on", **lamp}],
    }
    answered: dict[str, Any] = {
        name: [{"action": "mqtt.publish", "data": {"topic": "house/answered", "payload": name}}]
        for name in ("on_1", "on_2", "on_3", "on_silence", "undelivered")
    }
    return [
        automation(
            "doorbell",
            doorbell="event.house_bell",
            camera="camera.house_door",
            people=["wife", "filehelper"],
            text="Ding 叮",
            house=environment.home_assistant.url,
            quiet=0,
        ),
        automation(
            "water-alarm",
            sensors=["binary_sensor.house_water"],
            sirens=["switch.house_siren"],
            message=MESSAGE,
            people=["wife", "family"],
            text="Water!",
            every=1,
            times=3,
        ),
        automation("presence-question", **question),
        automation(
            "ask-with-buttons",
            when=[{"trigger": "mqtt", "topic": "house/door"}],
            person="wife",
            question="Open?",
            button_3="Later 稍后",
            patience={"seconds": 40},  # a busy machine takes its time from the question to the answer
            **answered,
        ),
        automation(
            "login-qr",
            login="sensor.wechat_home_login_state",
            qr="image.wechat_home_login_qr",
            file=str(environment.home_assistant.folder / "media/login.png"),
            actions=[
                {
                    "action": "mqtt.publish",
                    "data": {
                        "topic": "other/notifier",
                        "payload": "{{ {'text': text, 'picture': picture} | to_json }}",
                    },
                },
            ],
        ),
        automation(
            "login-qr", "by_default", login="sensor.wechat_home_login_state", qr="image.wechat_home_login_qr"
        ),
        automation(
            "trusted-command",
            message=MESSAGE,
            words=["开灯", "Light"],
            actions=[{"action": "switch.turn_on", **lamp}],
        ),
        automation(
            "trusted-command",
            "only_mom",
            message=MESSAGE,
            words=["open"],
            people=["妈妈"],
            groups=True,
            answer="",
            actions=[
                {
                    "action": "mqtt.publish",
                    "data": {"topic": "house/door", "payload": "{{ name }} {{ user }} {{ text }}"},
                }
            ],
        ),
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def prepare_house(environment: HomeAssistantEnvironment, automations: list[dict[str, Any]]) -> None:
    """Announces the devices, loads the automations, and waits until all is ready."""
    for discovery_path, device_config in DEVICES.items():
        unique = f"house_{discovery_path.replace('/', '_')}"
        await environment.publish(
            f"homeassistant/{discovery_path}/config",
            {**device_config, **HOUSE, "unique_id": unique, "qos": 1},
        )
    for topic in ("house/bell", "house/camera", "house/water", "house/siren", "house/lamp", "house/home"):
        await environment.wait_for_subscription(topic)
    for topic, state in (
        ("house/water", "OFF"),
        ("house/siren", "OFF"),
        ("house/lamp", "OFF"),
        ("house/home", "ON"),
    ):
        await environment.publish(topic, state)
    (environment.home_assistant.folder / "media").mkdir()
    await environment.do("automations", automations=automations)
    for config in automations:
        await environment.until(f"states('automation.{config['alias'].replace('-', '_')}') == 'on'")


ALARM = "Water! House Water 回复 好 / ok 即可解除。 Reply 好 / ok to silence."


async def sent_texts(environment: HomeAssistantEnvironment, count: int, before: int) -> list[tuple[str, str]]:
    """Waits for `count` further messages to WeChat; returns recipients and texts without the time of day."""
    lines = (await environment.home.control.sent(before + count))[before:]
    return [(message["to"], re.sub(r" \(\d\d:\d\d\)", "", message["text"])) for message in lines]


async def wait_for_text(environment: HomeAssistantEnvironment, to: str, text: str, before: int) -> None:
    """Waits until WeChat has this text, among others."""
    lines: list[dict[str, Any]] = []
    while (to, text) not in [(message["to"], message["text"]) for message in lines[before:]]:
        lines = await environment.home.control.sent(max(before, len(lines)) + 1)


async def sent_count(environment: HomeAssistantEnvironment) -> int:
    return len(await environment.home.control.get("sent"))


async def wait_for_runs(environment: HomeAssistantEnvironment, name: str, runs: int) -> list[dict[str, Any]]:
    """Waits until an automation has ended so many runs, none with an error; returns them."""
    entity = f"automation.{name.replace('-', '_')}"
    await environment.until(
        f"state_attr('{entity}', 'current') == 0 and state_attr('{entity}', 'last_triggered') is not none"
    )
    found: list[dict[str, Any]] = (await environment.do("traces")).get(entity, [])
    assert [run.get("error") for run in found if run.get("error")] == []
    finished = [run for run in found if run["script_execution"] == "finished"]
    assert len(finished) >= runs, found
    return finished


async def test_each_of_them_is_loaded(environment: HomeAssistantEnvironment) -> None:
    blueprints = await environment.do("blueprints")
    names = {
        f"wx2mqtt/{path.name}": yaml.load(path.read_text(), Loader=TagsAsTextLoader)["blueprint"]["name"]
        for path in BLUEPRINTS.glob("*.yaml")
    }
    assert blueprints == names
    assert len(names) == 10
    assert own_warnings(environment) == []


class TagsAsTextLoader(yaml.SafeLoader):
    """Loads the tags of Home Assistant as their values."""


TagsAsTextLoader.add_multi_constructor("!", lambda loader, _suffix, node: loader.construct_scalar(node))


async def test_a_ring_sends_the_picture_to_wechat(environment: HomeAssistantEnvironment) -> None:
    picture = placeholder_picture("en", needed=False)
    await environment.publish("house/camera", picture, retain=False)
    await environment.until("state_attr('camera.house_door', 'entity_picture') is not none")
    before = await sent_count(environment)
    await environment.publish("house/bell", {"event_type": "ring"}, retain=False)
    lines = (await environment.home.control.sent(before + 4))[before:]
    assert {(message["to"], message["kind"]) for message in lines} == {
        ("wife", "text"),
        ("wife", "image"),
        ("filehelper", "text"),
        ("filehelper", "image"),
    }
    assert {message["text"] for message in lines if message["kind"] == "text"} == {"Ding 叮"}
    image = next(message for message in lines if message["kind"] == "image")
    async with httpx.AsyncClient(trust_env=False, timeout=MAX_WAIT_SECONDS) as client:
        seen = await client.get(f"{environment.home.simulator.url}/sim/media/{image['msg_id']}")
    assert seen.content == picture
    await wait_for_runs(environment, "doorbell", 1)


async def test_an_old_ring_after_a_restart_sends_nothing(
    environment: HomeAssistantEnvironment,
) -> None:
    before = await sent_count(environment)
    await environment.do("reload", domain="mqtt")
    await environment.until("states('event.house_bell') not in ('unknown', 'unavailable')")
    await environment.until("states('sensor.wechat_home_login_state') == 'online'")
    await environment.until(f"states('{MESSAGE}') != 'unavailable'")
    await environment.wait_for_subscription("wx/in/+")
    assert await sent_count(environment) == before


async def test_water_is_reported_until_somebody_answers(environment: HomeAssistantEnvironment) -> None:
    before = await sent_count(environment)
    await environment.publish("house/water", "ON")
    await environment.until("states('switch.house_siren') == 'on'")
    assert await sent_texts(environment, 4, before) == [("wife", ALARM), ("family", ALARM)] * 2
    await environment.home.control.say("lilei", "好")  # he is trusted, but was not asked
    await environment.home.control.say("wife", "什么?")
    await environment.until(f"state_attr('{MESSAGE}', 'text') == '什么?'")
    assert (await environment.state("switch.house_siren"))["state"] == "on"
    await environment.home.control.say("wife", " 好 ")
    await environment.until("states('switch.house_siren') == 'off'")
    for person in ("wife", "family"):
        await wait_for_text(environment, person, "老婆已解除报警。 Silenced by 老婆.", before)
    await wait_for_runs(environment, "water-alarm", 1)


async def test_the_answer_to_the_last_alarm_does_not_silence_the_next(
    environment: HomeAssistantEnvironment,
) -> None:
    await environment.publish("house/water", "OFF")
    await environment.until("states('binary_sensor.house_water') == 'off'")
    before = await sent_count(environment)
    await environment.publish("house/water", "ON")
    await environment.until("states('switch.house_siren') == 'on'")
    lines = await sent_texts(
        environment, 8, before
    )  # three times to two people, and then nobody had answered
    assert [text for _, text in lines].count(ALARM) == 6
    assert "Nobody answered" in lines[-1][1]
    note = await environment.do("note", note="wechat_water_alarm", seconds=MAX_WAIT_SECONDS)
    assert note.endswith(" – nobody has answered 无人回复")
    assert (await environment.state("switch.house_siren"))["state"] == "on"
    await wait_for_runs(environment, "water-alarm", 2)


async def test_when_it_is_dry_again_the_alarm_ends(environment: HomeAssistantEnvironment) -> None:
    await environment.publish("house/water", "OFF")
    await environment.until("states('binary_sensor.house_water') == 'off'")
    before = await sent_count(environment)
    await environment.publish("house/water", "ON")
    await environment.until("state_attr('automation.water_alarm', 'current') == 1")
    await environment.publish("house/water", "OFF")
    await environment.until("states('switch.house_siren') == 'off'")
    for person in ("wife", "family"):
        await wait_for_text(environment, person, "水已经干了。 It is dry again.", before)
    await wait_for_runs(environment, "water-alarm", 3)


@pytest.mark.parametrize(("answer", "lamp"), [("否", "on"), ("YES", "off")])
async def test_a_question_is_asked_and_the_answer_is_done(
    environment: HomeAssistantEnvironment, answer: str, lamp: str
) -> None:
    await environment.publish("house/home", "ON")
    await environment.until("states('binary_sensor.house_somebody') == 'on'")
    before = await sent_count(environment)
    await environment.publish("house/home", "OFF")
    assert await sent_texts(environment, 1, before) == [("wife", "Off?")]
    await environment.until("state_attr('automation.presence_question', 'current') == 1")
    await environment.home.control.say("wife", answer)
    await environment.until(f"states('switch.house_lamp') == '{lamp}'")
    await wait_for_runs(environment, "presence-question", 1)


QUESTION_TEXT = "Open?\n1 是 Yes\n2 否 No\n3 Later 稍后"


@pytest.mark.parametrize(("answer", "done"), [("1", "on_1"), ("later 稍后", "on_3"), ("", "on_silence")])
async def test_a_question_with_buttons_does_what_belongs_to_its_answer(
    environment: HomeAssistantEnvironment, answer: str, done: str
) -> None:
    await environment.until("state_attr('automation.ask_with_buttons', 'current') == 0")
    before, since = await sent_count(environment), environment.home.subscriber.count
    await environment.publish("house/door", "open")
    assert await sent_texts(environment, 1, before) == [("wife", QUESTION_TEXT)]
    if answer:
        await environment.home.control.say("wife", answer)
    answered = await environment.home.in_thread(
        environment.home.subscriber.wait, "house/answered", since=since
    )
    assert answered.payload.decode() == done
    await wait_for_runs(environment, "ask-with-buttons", 1)


async def test_a_refused_question_is_reported_and_counts_as_unanswered(
    environment: HomeAssistantEnvironment,
) -> None:
    await environment.until("state_attr('automation.ask_with_buttons', 'current') == 0")
    since = environment.home.subscriber.count
    await environment.home.control.post("fault", endpoint="webwxsendmsg", kind="ret", value=1204)
    await environment.publish("house/door", "open")
    await environment.home.body("wx/result/wife", status="failed", since=since)
    await environment.home.in_thread(
        environment.home.subscriber.wait,
        "house/answered",
        lambda message: message.payload == b"on_silence",
        since=since,
    )
    heard = [
        message.payload.decode()
        for message in environment.home.subscriber.received[since:]
        if message.topic == "house/answered"
    ]
    assert heard == ["undelivered", "on_silence"]


async def test_only_a_trusted_person_switches_the_light(environment: HomeAssistantEnvironment) -> None:
    before = await sent_count(environment)
    await environment.home.control.say("hanmeimei", "开灯")  # nobody whom the owner named
    await environment.until(
        f"state_attr('{MESSAGE}', 'text') == '开灯' and state_attr('{MESSAGE}', 'trusted') == false"
    )
    await environment.home.control.say("mom", "开灯", to="family")  # trusted, but groups do not count
    await environment.until(f"state_attr('{MESSAGE}', 'chat') == 'group'")
    assert (await environment.state("switch.house_lamp"))["state"] == "off"
    assert await sent_count(environment) == before
    await environment.home.control.say("wife", "light ")
    await environment.until("states('switch.house_lamp') == 'on'")
    assert await sent_texts(environment, 1, before) == [("wife", "已完成。 Done.")]
    await wait_for_runs(environment, "trusted-command", 1)


async def test_a_message_of_the_owner_to_the_file_helper_is_a_command(
    environment: HomeAssistantEnvironment,
) -> None:
    await environment.publish("house/lamp", "OFF")
    await environment.until("states('switch.house_lamp') == 'off'")
    before = await sent_count(environment)
    await environment.home.control.say("me", "开灯", to="filehelper")
    await environment.until("states('switch.house_lamp') == 'on'")
    assert await sent_texts(environment, 1, before) == [("filehelper", "已完成。 Done.")]


async def test_a_message_that_is_published_again_is_one_command(
    environment: HomeAssistantEnvironment,
) -> None:
    """After a crash the broker may get a message twice, with the same id and seq, and others between them."""
    subscriber = environment.home.subscriber
    again, between = (subscriber.on(f"wx/in/{user}")[-1].payload for user in ("filehelper", "family"))
    since = subscriber.count
    for topic, payload in (
        ("wx/in/filehelper", again),
        ("wx/in/family", between),
        ("wx/in/filehelper", again),
    ):
        await environment.publish(topic, payload, retain=False)
    await environment.home.control.say("wife", "light")
    await environment.home.in_thread(subscriber.wait, "wx/out/wife", since=since)
    assert [
        message.topic for message in subscriber.received[since:] if message.topic.startswith("wx/out/")
    ] == ["wx/out/wife"]


async def test_the_qr_code_comes_by_another_notifier(environment: HomeAssistantEnvironment) -> None:
    received_before = environment.home.subscriber.count
    await environment.home.send_request("logout")
    await environment.home.in_thread(
        environment.home.subscriber.wait,
        "other/notifier",
        lambda message: "logged out" in message.body["text"],
        since=received_before,
    )
    await environment.home.send_request("login")
    received = await environment.home.in_thread(
        environment.home.subscriber.wait,
        "other/notifier",
        lambda message: "scan this code" in message.body["text"],
        since=received_before,
    )
    code = environment.home.subscriber.on("wx/login/qr")[-1].payload
    async with httpx.AsyncClient(
        trust_env=False, timeout=MAX_WAIT_SECONDS
    ) as client:  # the URL has a token, so no login is needed
        picture_answer = await client.get(f"{environment.home_assistant.url}{received.body['picture']}")
    assert picture_answer.content == code
    assert (environment.home_assistant.folder / "media/login.png").read_bytes() == code
    await wait_for_runs(environment, "login-qr", 2)
    await wait_for_runs(environment, "by_default", 2)
    note = (await environment.do("notes"))["wechat_login"]
    assert "![QR](/api/image_proxy/image.wechat_home_login_qr?token=" in note
    await environment.home.control.post("scan")
    await environment.home.control.post("confirm")
    await environment.until("states('sensor.wechat_home_login_state') == 'online'")


async def test_the_card_shows_only_what_there_is(environment: HomeAssistantEnvironment) -> None:
    states = await environment.do("states")
    *cards, window = yaml.safe_load(CARD.read_text())["cards"]
    assert entities_of_card(cards) <= states.keys()
    assert window["type"] == "conditional"  # and hidden: web WeChat has no window
    assert window["conditions"][0]["entity"] not in states
    for text in templates_of_card(yaml.safe_load(CARD.read_text())):
        assert await environment.do("render", template=text)
    assert own_warnings(environment) == []


def entities_of_card(card: Any) -> set[str]:
    """Returns every entity that a card names."""
    if isinstance(card, dict):
        found = {entity for entity in card.get("entities", []) if isinstance(entity, str)}
        return (
            found | {card["entity"]}
            if "entity" in card and not card.get("cards")
            else found.union(*map(entities_of_card, card.values()))
        )
    return set().union(*map(entities_of_card, card)) if isinstance(card, list) else set()


def templates_of_card(card: Any) -> list[str]:
    """Returns every template of a card."""
    if isinstance(card, dict):
        templates = [card["content"]] if card.get("type") == "markdown" else []
        return templates + [text for value in card.values() for text in templates_of_card(value)]
    return [text for value in card for text in templates_of_card(value)] if isinstance(card, list) else []
