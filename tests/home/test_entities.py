"""The entities of an account in Home Assistant, from the first announcement to its removal."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from tests.home.conftest import DISCOVERY, HomeAssistantEnvironment
from tests.support.discovery_rules import faults
from wx2mqtt.bridge.homeassistant_announcement import GATHER_SECONDS
from wx2mqtt.mqtt.homeassistant_entities import MAX_RECENT_RESULTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGE = "event.wechat_home_message"
PROBLEM = "binary_sensor.wechat_home_problem"
RESULT = "event.wechat_home_result"
MOM = "notify.wechat_home_ma_ma"

# Loggers of warnings of every bare installation: no fast zlib, no libturbojpeg.
FOREIGN_LOGGERS = ("aiohttp_fast_zlib", "libturbojpeg")


def own_warnings(environment: HomeAssistantEnvironment) -> list[str]:
    """Returns the warnings of Home Assistant, without those of every bare installation."""
    return [
        line
        for line in environment.home_assistant.log_lines()
        if not any(name in line for name in FOREIGN_LOGGERS)
    ]


async def entities(environment: HomeAssistantEnvironment) -> dict[str, dict[str, Any]]:
    """Returns our entities in the registry, by unique id."""
    found: dict[str, dict[str, Any]] = await environment.do("entities")
    return {key: entity for key, entity in found.items() if key.startswith("wx2mqtt_")}


async def test_every_entity_is_there_with_the_right_state(environment: HomeAssistantEnvironment) -> None:
    await environment.wait_for_entity(MOM)
    await environment.until("states('binary_sensor.wechat_home_problem') == 'off'")
    states = await environment.do("states")
    states_now = {entity: state["state"] for entity, state in states.items() if "wechat_home" in entity}
    picture = states_now.pop("image.wechat_home_login_qr")
    assert picture.startswith("20")
    assert states_now == {
        "sensor.wechat_home_login_state": "online",
        "sensor.wechat_home_login_needs": "nothing",
        "binary_sensor.wechat_home_connected": "on",
        "event.wechat_home_message": "unknown",
        "event.wechat_home_answer": "unknown",
        "sensor.wechat_home_last_message": "unknown",
        "event.wechat_home_result": "unknown",
        "binary_sensor.wechat_home_problem": "off",
        "sensor.wechat_home_queue_depth": "0",
        "sensor.wechat_home_failures_today": "0",
        "button.wechat_home_log_in": "unknown",
        "button.wechat_home_log_out": "unknown",
        "notify.wechat_home_filehelper": "unknown",
        "notify.wechat_home_wife": "unknown",
        MOM: "unknown",
    }
    assert states["sensor.wechat_home_login_state"]["attributes"]["needs"] == "nothing"
    assert states[MOM]["attributes"]["friendly_name"] == "WeChat home 妈妈"
    assert own_warnings(environment) == []


async def test_the_account_is_one_device_that_leads_to_the_page(
    environment: HomeAssistantEnvironment,
) -> None:
    devices = [device for device in await environment.do("devices") if device["manufacturer"] == "wx2mqtt"]
    assert len(devices) == 1
    (device,) = devices
    assert device["identifiers"] == [["mqtt", "wx2mqtt_home"]]
    assert (device["name"], device["model"]) == ("WeChat home", "WeChat")
    assert device["configuration_url"] == "http://wechat.example:8099"


async def test_each_announcement_is_one_message_and_keeps_the_rules_of_discovery(
    environment: HomeAssistantEnvironment,
) -> None:
    for message in environment.home.subscriber.on(DISCOVERY):
        assert faults(DISCOVERY, message.payload) == []


async def test_an_announcement_is_taken_while_home_assistant_loads_another_platform(
    environment: HomeAssistantEnvironment,
) -> None:
    announced = environment.home.subscriber.on(DISCOVERY)[-1].body
    qr = {**announced["components"]["qr"], "unique_id": "copy_qr", "default_entity_id": "image.copy_qr"}
    description = {**announced["device"], "identifiers": ["copy"], "name": "Copy"}
    topic = "homeassistant/device/copy/config"
    await environment.do("make_schemas_incomplete")
    await environment.publish(topic, {**announced, "device": description, "components": {"qr": qr}})
    await environment.wait_for_entity("image.copy_qr")
    await environment.publish(topic, "")
    await environment.until("expand('image.copy_qr') | list | count == 0")
    assert own_warnings(environment) == []


async def test_a_message_is_an_event_with_all_that_automations_need(
    environment: HomeAssistantEnvironment,
) -> None:
    await environment.home.control.say("wife", '开灯 ☀ "now" {{ 1 }}')
    await environment.until(f"state_attr('{MESSAGE}', 'user') == 'wife'")
    attributes = (await environment.state(MESSAGE))["attributes"]
    received = await environment.home.body("wx/in/wife")
    assert attributes["event_type"] == attributes["kind"] == "text"
    assert (attributes["user"], attributes["sender"], attributes["name"]) == (
        "wife",
        "wife",
        received["sender"]["name"],
    )
    assert attributes["text"] == '开灯 ☀ "now" {{ 1 }}'
    assert (attributes["trusted"], attributes["self"], attributes["chat"]) == (True, False, "friend")
    assert (attributes["id"], attributes["seq"], attributes["url"]) == (received["id"], received["seq"], None)
    assert attributes["time"] == received["time"]
    assert (attributes["transcript"], attributes["mentioned"], attributes["button"]) == (False, False, None)
    assert (attributes["account"], attributes["stream"]) == ("home", received["stream"])
    assert attributes["recent"] == [f"{received['stream']}-{received['seq']}"]
    last = await environment.state("sensor.wechat_home_last_message")
    assert (last["attributes"]["text"], last["attributes"]["seq"]) == (attributes["text"], attributes["seq"])


@pytest.mark.parametrize(
    ("kind", "who"),
    [
        ("image", "wife"),
        ("voice", "mom"),
        ("location", "wife"),
        ("link", "lilei"),
        ("text", "family"),
        ("quote", "wife"),
    ],
)
async def test_every_kind_of_message_is_taken_without_a_warning(
    environment: HomeAssistantEnvironment, kind: str, who: str
) -> None:
    seq = (await environment.state(MESSAGE))["attributes"].get("seq", 0)
    sender = "mom" if who == "family" else who
    await environment.home.control.say(
        sender, "" if kind == "image" else "看", to=who if who == "family" else "me", kind=kind
    )
    await environment.until(f"state_attr('{MESSAGE}', 'seq') > {seq}")
    attributes = (await environment.state(MESSAGE))["attributes"]
    assert attributes["kind"] == kind
    assert attributes["recent"][:2] == [f"{attributes['stream']}-{number}" for number in (seq + 1, seq)]
    assert attributes["chat"] == ("group" if who == "family" else "friend")
    if kind == "image":
        assert attributes["url"].startswith("http://wechat.example:8099/media/")
    assert own_warnings(environment) == []


@pytest.mark.parametrize(
    ("entity", "to", "text"),
    [
        ("notify.wechat_home_wife", "wife", "水烧开了 ☕"),
        (MOM, "mom", '{"text": 1}'),
        ("notify.wechat_home_filehelper", "filehelper", "0123"),
    ],
)
async def test_a_notification_reaches_the_phone(
    environment: HomeAssistantEnvironment, entity: str, to: str, text: str
) -> None:
    before = len(await environment.home.control.get("sent"))
    await environment.call("notify.send_message", {"message": text, "title": "left out"}, entity_id=entity)
    line = (await environment.home.control.sent(before + 1))[before]
    assert (line["to"], line["text"]) == (to, text)


async def test_a_result_is_an_event_with_its_texts(environment: HomeAssistantEnvironment) -> None:
    await environment.publish("wx/out/wife", {"text": "?", "kind": "smoke", "id": "smoke"}, retain=False)
    await environment.until(f"state_attr('{RESULT}', 'id') == 'smoke'")
    attributes = (await environment.state(RESULT))["attributes"]
    received = await environment.home.body("wx/result/wife", id="smoke")
    assert attributes["event_type"] == attributes["status"] == "rejected"
    assert (attributes["user"], attributes["code"], attributes["message"]) == (
        "wife",
        received["code"],
        received["message"],
    )
    assert attributes["fallback"] is None


async def test_an_answer_is_an_event_with_its_button(environment: HomeAssistantEnvironment) -> None:
    question = {"id": "lock", "text": "lock?", "buttons": [{"text": "Yes", "key": "yes"}, "No"]}
    await environment.publish("wx/out/wife", question, retain=False)
    await environment.home.body("wx/result/wife", id="lock")
    await environment.home.control.say("wife", "1")
    await environment.until("state_attr('event.wechat_home_answer', 'command_id') == 'lock'")
    attributes = (await environment.state("event.wechat_home_answer"))["attributes"]
    received = await environment.home.body("wx/event/button", command_id="lock")
    assert (attributes["event_type"], attributes["key"], attributes["button"]) == ("answered", "yes", "Yes")
    assert (attributes["user"], attributes["sender"], attributes["trusted"]) == ("wife", "wife", True)
    await environment.until(f"state_attr('{MESSAGE}', 'text') == '1'")
    assert (await environment.state(MESSAGE))["attributes"]["button"] == {"command_id": "lock", "key": "yes"}
    assert (attributes["id"], attributes["time"], attributes["pressed_on"]) == (
        received["id"],
        received["time"],
        None,
    )
    assert own_warnings(environment) == []


async def test_the_newest_results_are_remembered_each_once(environment: HomeAssistantEnvironment) -> None:
    """An automation that waits for several results sees only the state after the last of them."""
    body = {"schema": 1, "account": "home", "user": "wife", "code": "ok", "message": "m" * 1000}
    for number in range(MAX_RECENT_RESULTS + 4):
        await environment.publish(
            "wx/result/wife", {**body, "id": f"many-{number}", "status": "sent"}, retain=False
        )
    await environment.publish("wx/result/wife", {**body, "id": "many-9", "status": "uncertain"}, retain=False)
    await environment.until(f"state_attr('{RESULT}', 'status') == 'uncertain'")
    recent = (await environment.state(RESULT))["attributes"]["recent"]
    others = [number for number in reversed(range(4, MAX_RECENT_RESULTS + 4)) if number != 9]
    assert [result["id"] for result in recent] == [f"many-{number}" for number in (9, *others)]
    assert len(json.dumps(recent)) < 16_384  # the recorder drops more


async def test_a_problem_of_the_bridge_is_shown_with_its_name(environment: HomeAssistantEnvironment) -> None:
    await environment.publish("wx/out/wife", {"kind": "smoke", "text": "?"}, retain=False)
    await environment.until(f"state_attr('{PROBLEM}', 'problems') == ['commands_failed']")
    assert (await environment.state(PROBLEM))["attributes"]["failing"] == ["wife"]
    await environment.until("states('sensor.wechat_home_failures_today') | int > 0")
    await environment.publish("wx/out/wife", {"text": "better"}, retain=False)
    await environment.until(f"states('{PROBLEM}') == 'off'")
    await environment.call("button.press", entity_id="button.wechat_home_log_out")
    await environment.until(f"states('{PROBLEM}') == 'on'")
    assert (await environment.state(PROBLEM))["attributes"]["problems"] == ["login_logged_out"]
    await environment.home.send_request("login")
    await environment.home.control.wait("code")
    await environment.home.control.post("scan")
    await environment.home.control.post("confirm")
    await environment.until(f"states('{PROBLEM}') == 'off'")


async def test_the_buttons_log_out_and_in_and_the_code_is_a_picture(
    environment: HomeAssistantEnvironment,
) -> None:
    await environment.call("button.press", entity_id="button.wechat_home_log_out")
    await environment.until("states('sensor.wechat_home_login_state') == 'logged_out'")
    await environment.until("states('notify.wechat_home_wife') == 'unavailable'")
    await environment.until("states('button.wechat_home_log_out') == 'unavailable'")
    assert (await environment.state("binary_sensor.wechat_home_connected"))["state"] == "off"
    await environment.call("button.press", entity_id="button.wechat_home_log_in")
    await environment.until("states('sensor.wechat_home_login_state') == 'waiting_for_scan'")
    assert (await environment.state("sensor.wechat_home_login_state"))["attributes"]["needs"] == "scan"
    qr_picture = await environment.do("picture", entity="image.wechat_home_login_qr")
    assert qr_picture["type"] == "image/png"
    assert base64.b64decode(qr_picture["bytes"]) == environment.home.subscriber.on("wx/login/qr")[-1].payload
    await environment.home.control.post("scan")
    await environment.home.control.post("confirm")
    await environment.until("states('sensor.wechat_home_login_state') == 'online'")
    await environment.wait_for_entity("notify.wechat_home_wife")
    await environment.home.control.wait("polling")


async def test_another_name_changes_no_id(environment: HomeAssistantEnvironment) -> None:
    before = await entities(environment)
    await environment.home.control.post("people", remark={"id": "mom", "remark": "老妈"})
    await environment.until(f"state_attr('{MOM}', 'friendly_name') == 'WeChat home 老妈'")
    after = await entities(environment)
    assert {key: entity["entity"] for key, entity in after.items()} == {
        key: entity["entity"] for key, entity in before.items()
    }
    await environment.home.control.post("people", remark={"id": "mom", "remark": "妈妈"})
    await environment.until(f"state_attr('{MOM}', 'friendly_name') == 'WeChat home 妈妈'")


async def test_a_reload_adds_and_removes_the_entities_of_people(
    environment: HomeAssistantEnvironment,
) -> None:
    await environment.reload("wife", "李雷")
    await environment.wait_for_entity("notify.wechat_home_li_lei")
    await environment.until(
        f"states.notify | map(attribute='entity_id') | select('eq', '{MOM}') | list | count == 0"
    )
    assert {
        entity["entity"]
        for entity in (await entities(environment)).values()
        if entity["entity"].startswith("notify")
    } == {
        "notify.wechat_home_filehelper",
        "notify.wechat_home_wife",
        "notify.wechat_home_li_lei",
    }


async def test_a_person_removed_while_the_bridge_is_down_has_no_entity_any_more(
    environment: HomeAssistantEnvironment,
) -> None:
    await asyncio.to_thread(environment.home.bridge.stop)
    await environment.until("states('notify.wechat_home_wife') == 'unavailable'")
    await environment.until("states('sensor.wechat_home_login_state') == 'unavailable'")
    environment.home.bridge.configure(environment.settings("wife"))
    await environment.home.restart()
    await environment.wait_for_entity("notify.wechat_home_wife")
    await environment.until("states.notify | count == 2")
    assert "notify.wechat_home_li_lei" not in {
        entity["entity"] for entity in (await entities(environment)).values()
    }


async def test_a_person_who_is_added_again_has_the_same_entity_id(
    environment: HomeAssistantEnvironment,
) -> None:
    await environment.reload("wife", "妈妈")
    await environment.wait_for_entity(MOM)


async def test_an_unknown_name_is_reported_and_the_rest_works(
    environment: HomeAssistantEnvironment,
) -> None:
    since = len(environment.home.bridge.log)
    await environment.reload("wife", "妈妈", "nobody")
    line = await environment.home.in_thread(
        environment.home.bridge.wait_for_log, "who cannot be shown", since=since
    )
    assert "nobody" in line
    health = await environment.home.send_request("health")
    assert health["data"]["homeassistant"] == {"exposed": 3, "problems": {"nobody": "unknown"}, "left_out": 0}
    await environment.call(
        "notify.send_message", {"message": "still here"}, entity_id="notify.wechat_home_wife"
    )


async def test_an_entity_that_is_off_by_default_works_when_it_is_enabled(
    environment: HomeAssistantEnvironment,
) -> None:
    age = "sensor.wechat_home_last_answer_of_wechat"
    assert (await entities(environment))["wx2mqtt_home_age"]["disabled"] == "integration"
    await environment.do("enable", entity=age)
    await environment.do("reload", domain="mqtt")
    await environment.until(f"has_value('{age}')")
    assert float((await environment.state(age))["state"]) < 120


async def test_after_a_restart_of_home_assistant_all_is_as_before_and_its_birth_is_answered(
    environment: HomeAssistantEnvironment,
) -> None:
    await environment.do("rename", entity="notify.wechat_home_wife", to="notify.darling")
    await environment.home.control.say("wife", "before the restart")
    await environment.until(f"state_attr('{MESSAGE}', 'text') == 'before the restart'")
    before = await entities(environment)
    since, lines = environment.home.subscriber.count, len(environment.home.broker.log)
    await asyncio.to_thread(environment.home_assistant.restart)
    await environment.until("states('sensor.wechat_home_login_state') == 'online'")
    await environment.wait_for_entity("notify.darling")
    assert await entities(environment) == before
    born = await environment.home.in_thread(
        environment.home.subscriber.wait,
        "homeassistant/status",
        lambda message: message.payload == b"online",
        since=since,
    )
    again = await environment.home.in_thread(
        environment.home.subscriber.wait, DISCOVERY, lambda message: message.at > born.at, since=since
    )
    assert 0.9 < again.at - born.at < 11
    await environment.wait_for_subscription("wx/in/+", since=lines)
    await environment.home.control.say("wife", "after the restart")
    await environment.until(f"state_attr('{MESSAGE}', 'text') == 'after the restart'")
    assert own_warnings(environment) == []


async def test_in_chinese_the_names_are_chinese_and_the_ids_are_not(
    environment: HomeAssistantEnvironment,
) -> None:
    before = await entities(environment)
    environment.home.bridge.configure(environment.settings("wife", "妈妈", language="zh"))
    assert (await environment.home.send_request("reload"))["status"] == "ok"
    await environment.until(
        "state_attr('sensor.wechat_home_login_state', 'friendly_name') == '微信 home 登录状态'"
    )
    after = await entities(environment)
    assert {key: entity["entity"] for key, entity in after.items()} == {
        key: entity["entity"] for key, entity in before.items()
    }
    assert after["wx2mqtt_home_to_filehelper"]["name"] == "文件传输助手"


async def test_500_people_are_announced_in_one_message_that_home_assistant_accepts(
    environment: HomeAssistantEnvironment,
) -> None:
    await environment.home.control.post("people", friends=500)
    await environment.home.in_thread(
        environment.home.subscriber.wait, "wx/contacts", lambda message: len(message.body["contacts"]) > 500
    )
    names = [
        message["user"]
        for message in environment.home.subscriber.on("wx/contacts")[-1].body["contacts"]
        if message["kind"] == "friend"
    ]
    since = environment.home.subscriber.count
    await environment.reload("wife", *names)
    started_at = asyncio.get_running_loop().time()
    await environment.until(f"states.notify | count >= {len(names)}")
    assert len(names) > 500
    assert asyncio.get_running_loop().time() - started_at < GATHER_SECONDS + 15
    announced = [
        message for message in environment.home.subscriber.received[since:] if message.topic == DISCOVERY
    ]
    assert len(announced) == 1
    assert faults(DISCOVERY, announced[0].payload) == []
    await environment.reload("wife")
    await environment.until("states.notify | count == 2")
    assert own_warnings(environment) == []


async def test_the_device_is_removed_when_discovery_is_switched_off(
    environment: HomeAssistantEnvironment,
) -> None:
    await asyncio.to_thread(environment.home.bridge.stop)
    environment.home.bridge.configure(environment.settings("wife", enabled=False))
    await environment.home.restart()
    await environment.until("states.notify | count == 0 and states.sensor | count == 0")
    assert await entities(environment) == {}
    assert [device for device in await environment.do("devices") if device["manufacturer"] == "wx2mqtt"] == []
    assert own_warnings(environment) == []
    assert json.dumps(environment.home_assistant.log).count("components.mqtt") == 0
