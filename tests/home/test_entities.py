"""What Home Assistant makes of an account, from the first announcement to its end, in the order of a life."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from tests.home.conftest import DISCOVERY, Scene
from tests.support.discovery_rules import faults
from wx2mqtt.bridge.homeassistant import GATHER_SECONDS
from wx2mqtt.mqtt.discovery import MAX_RECENT_RESULTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGE = "event.wechat_home_message"
PROBLEM = "binary_sensor.wechat_home_problem"
RESULT = "event.wechat_home_result"
MOM = "notify.wechat_home_ma_ma"

# What a bare installation says of itself: no fast zlib, no libturbojpeg.
NOT_OURS = ("aiohttp_fast_zlib", "libturbojpeg")


def complaints(scene: Scene) -> list[str]:
    """What Home Assistant logged at warning or above, but for what every bare installation does."""
    return [line for line in scene.house.said() if not any(name in line for name in NOT_OURS)]


async def entities(scene: Scene) -> dict[str, dict[str, Any]]:
    """Our entities in the registry, by unique id."""
    found: dict[str, dict[str, Any]] = await scene.do("entities")
    return {key: one for key, one in found.items() if key.startswith("wx2mqtt_")}


async def test_every_entity_is_there_with_the_right_state(scene: Scene) -> None:
    await scene.lives(MOM)
    await scene.until("states('binary_sensor.wechat_home_problem') == 'off'")
    states = await scene.do("states")
    now = {entity: one["state"] for entity, one in states.items() if "wechat_home" in entity}
    picture = now.pop("image.wechat_home_login_qr")
    assert picture.startswith("20")
    assert now == {
        "sensor.wechat_home_login_state": "online",
        "binary_sensor.wechat_home_connected": "on",
        "event.wechat_home_message": "unknown",
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
    assert complaints(scene) == []


async def test_the_account_is_one_device_that_leads_to_the_page(scene: Scene) -> None:
    devices = [one for one in await scene.do("devices") if one["manufacturer"] == "wx2mqtt"]
    assert len(devices) == 1
    (device,) = devices
    assert device["identifiers"] == [["mqtt", "wx2mqtt_home"]]
    assert (device["name"], device["model"]) == ("WeChat home", "WeChat")
    assert device["configuration_url"] == "http://wechat.example:8099"


async def test_what_was_announced_keeps_the_rules_and_was_one_message_at_a_time(scene: Scene) -> None:
    for one in scene.home.ear.on(DISCOVERY):
        assert faults(DISCOVERY, one.payload) == []


async def test_a_message_is_an_event_with_all_that_automations_need(scene: Scene) -> None:
    await scene.home.phone.say("wife", '开灯 ☀ "now" {{ 1 }}')
    await scene.until(f"state_attr('{MESSAGE}', 'user') == 'wife'")
    said = (await scene.state(MESSAGE))["attributes"]
    heard = await scene.home.body("wx/in/wife")
    assert said["event_type"] == said["kind"] == "text"
    assert (said["user"], said["sender"], said["name"]) == ("wife", "wife", heard["sender"]["name"])
    assert said["text"] == '开灯 ☀ "now" {{ 1 }}'
    assert (said["trusted"], said["self"], said["chat"]) == (True, False, "friend")
    assert (said["id"], said["seq"], said["url"]) == (heard["id"], heard["seq"], None)
    assert said["time"] == heard["time"]
    last = await scene.state("sensor.wechat_home_last_message")
    assert (last["attributes"]["text"], last["attributes"]["seq"]) == (said["text"], said["seq"])


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
async def test_every_kind_is_taken_without_a_word(scene: Scene, kind: str, who: str) -> None:
    seq = (await scene.state(MESSAGE))["attributes"].get("seq", 0)
    sender = "mom" if who == "family" else who
    await scene.home.phone.say(
        sender, "" if kind == "image" else "看", to=who if who == "family" else "me", kind=kind
    )
    await scene.until(f"state_attr('{MESSAGE}', 'seq') > {seq}")
    said = (await scene.state(MESSAGE))["attributes"]
    assert said["kind"] == kind
    assert said["chat"] == ("group" if who == "family" else "friend")
    if kind == "image":
        assert said["url"].startswith("http://wechat.example:8099/media/")
    assert complaints(scene) == []


@pytest.mark.parametrize(
    ("entity", "to", "text"),
    [
        ("notify.wechat_home_wife", "wife", "水烧开了 ☕"),
        (MOM, "mom", '{"text": 1}'),
        ("notify.wechat_home_filehelper", "filehelper", "0123"),
    ],
)
async def test_a_notification_reaches_the_phone(scene: Scene, entity: str, to: str, text: str) -> None:
    before = len(await scene.home.phone.get("sent"))
    await scene.call("notify.send_message", {"message": text, "title": "left out"}, entity_id=entity)
    line = (await scene.home.phone.sent(before + 1))[before]
    assert (line["to"], line["text"]) == (to, text)


async def test_a_result_is_an_event_with_its_words(scene: Scene) -> None:
    await scene.publish("wx/out/wife", {"text": "?", "kind": "smoke", "id": "smoke"}, retain=False)
    await scene.until(f"state_attr('{RESULT}', 'id') == 'smoke'")
    said = (await scene.state(RESULT))["attributes"]
    heard = await scene.home.body("wx/result/wife", id="smoke")
    assert said["event_type"] == said["status"] == "rejected"
    assert (said["user"], said["code"], said["message"]) == ("wife", heard["code"], heard["message"])
    assert said["fallback"] is None


async def test_the_newest_results_are_remembered_each_once(scene: Scene) -> None:
    """An automation that waits for several results sees only the state after the last of them."""
    body = {"schema": 1, "account": "home", "user": "wife", "code": "ok", "message": "m" * 1000}
    for number in range(MAX_RECENT_RESULTS + 4):
        await scene.publish(
            "wx/result/wife", {**body, "id": f"many-{number}", "status": "sent"}, retain=False
        )
    await scene.publish("wx/result/wife", {**body, "id": "many-9", "status": "uncertain"}, retain=False)
    await scene.until(f"state_attr('{RESULT}', 'status') == 'uncertain'")
    recent = (await scene.state(RESULT))["attributes"]["recent"]
    others = [number for number in reversed(range(4, MAX_RECENT_RESULTS + 4)) if number != 9]
    assert [one["id"] for one in recent] == [f"many-{number}" for number in (9, *others)]
    assert len(json.dumps(recent)) < 16_384  # the recorder drops more


async def test_a_problem_of_the_bridge_is_shown_with_its_name(scene: Scene) -> None:
    await scene.publish("wx/out/wife", {"kind": "smoke", "text": "?"}, retain=False)
    await scene.until(f"state_attr('{PROBLEM}', 'problems') == ['commands_failed']")
    assert (await scene.state(PROBLEM))["attributes"]["failing"] == ["wife"]
    await scene.until("states('sensor.wechat_home_failures_today') | int > 0")
    await scene.publish("wx/out/wife", {"text": "better"}, retain=False)
    await scene.until(f"states('{PROBLEM}') == 'off'")
    await scene.call("button.press", entity_id="button.wechat_home_log_out")
    await scene.until(f"states('{PROBLEM}') == 'on'")
    assert (await scene.state(PROBLEM))["attributes"]["problems"] == ["login_logged_out"]
    await scene.home.ask("login")
    await scene.home.phone.wait("code")
    await scene.home.phone.post("scan")
    await scene.home.phone.post("confirm")
    await scene.until(f"states('{PROBLEM}') == 'off'")


async def test_the_buttons_log_out_and_in_and_the_code_is_a_picture(scene: Scene) -> None:
    await scene.call("button.press", entity_id="button.wechat_home_log_out")
    await scene.until("states('sensor.wechat_home_login_state') == 'logged_out'")
    await scene.until("states('notify.wechat_home_wife') == 'unavailable'")
    await scene.until("states('button.wechat_home_log_out') == 'unavailable'")
    assert (await scene.state("binary_sensor.wechat_home_connected"))["state"] == "off"
    await scene.call("button.press", entity_id="button.wechat_home_log_in")
    await scene.until("states('sensor.wechat_home_login_state') == 'waiting_for_scan'")
    assert (await scene.state("sensor.wechat_home_login_state"))["attributes"]["needs"] == "scan"
    shown = await scene.do("picture", entity="image.wechat_home_login_qr")
    assert shown["type"] == "image/png"
    assert base64.b64decode(shown["bytes"]) == scene.home.ear.on("wx/login/qr")[-1].payload
    await scene.home.phone.post("scan")
    await scene.home.phone.post("confirm")
    await scene.until("states('sensor.wechat_home_login_state') == 'online'")
    await scene.lives("notify.wechat_home_wife")
    await scene.home.phone.wait("polling")


async def test_another_name_changes_no_id(scene: Scene) -> None:
    before = await entities(scene)
    await scene.home.phone.post("people", remark={"id": "mom", "remark": "老妈"})
    await scene.until(f"state_attr('{MOM}', 'friendly_name') == 'WeChat home 老妈'")
    after = await entities(scene)
    assert {key: one["entity"] for key, one in after.items()} == {
        key: one["entity"] for key, one in before.items()
    }
    await scene.home.phone.post("people", remark={"id": "mom", "remark": "妈妈"})
    await scene.until(f"state_attr('{MOM}', 'friendly_name') == 'WeChat home 妈妈'")


async def test_who_is_no_longer_shown_goes_and_who_is_comes(scene: Scene) -> None:
    await scene.reload("wife", "李雷")
    await scene.lives("notify.wechat_home_li_lei")
    await scene.until(
        f"states.notify | map(attribute='entity_id') | select('eq', '{MOM}') | list | count == 0"
    )
    assert {
        one["entity"] for one in (await entities(scene)).values() if one["entity"].startswith("notify")
    } == {
        "notify.wechat_home_filehelper",
        "notify.wechat_home_wife",
        "notify.wechat_home_li_lei",
    }


async def test_who_is_dropped_while_the_bridge_is_down_goes_as_well(scene: Scene) -> None:
    await asyncio.to_thread(scene.home.bridge.stop)
    await scene.until("states('notify.wechat_home_wife') == 'unavailable'")
    await scene.until("states('sensor.wechat_home_login_state') == 'unavailable'")
    scene.home.bridge.configure(scene.settings("wife"))
    await scene.home.restart()
    await scene.lives("notify.wechat_home_wife")
    await scene.until("states.notify | count == 2")
    assert "notify.wechat_home_li_lei" not in {one["entity"] for one in (await entities(scene)).values()}


async def test_who_comes_back_has_the_id_of_before(scene: Scene) -> None:
    await scene.reload("wife", "妈妈")
    await scene.lives(MOM)


async def test_a_name_that_nobody_has_is_told_and_the_rest_works(scene: Scene) -> None:
    since = len(scene.home.bridge.log)
    await scene.reload("wife", "妈妈", "nobody")
    line = await scene.home.hear(scene.home.bridge.wait_for_log, "who cannot be shown", since=since)
    assert "nobody" in line
    health = await scene.home.ask("health")
    assert health["data"]["homeassistant"] == {"exposed": 3, "problems": {"nobody": "unknown"}, "left_out": 0}
    await scene.call("notify.send_message", {"message": "still here"}, entity_id="notify.wechat_home_wife")


async def test_what_is_off_by_default_works_when_it_is_wanted(scene: Scene) -> None:
    age = "sensor.wechat_home_last_answer_of_wechat"
    assert (await entities(scene))["wx2mqtt_home_age"]["disabled"] == "integration"
    await scene.do("enable", entity=age)
    await scene.do("reload", domain="mqtt")
    await scene.until(f"has_value('{age}')")
    assert float((await scene.state(age))["state"]) < 120


async def test_after_a_restart_of_home_assistant_all_is_as_before_and_its_birth_is_answered(
    scene: Scene,
) -> None:
    await scene.do("rename", entity="notify.wechat_home_wife", to="notify.darling")
    await scene.home.phone.say("wife", "before the restart")
    await scene.until(f"state_attr('{MESSAGE}', 'text') == 'before the restart'")
    before = await entities(scene)
    said, lines = scene.home.ear.count, len(scene.home.broker.log)
    await asyncio.to_thread(scene.house.restart)
    await scene.until("states('sensor.wechat_home_login_state') == 'online'")
    await scene.lives("notify.darling")
    assert await entities(scene) == before
    born = await scene.home.hear(
        scene.home.ear.wait, "homeassistant/status", lambda one: one.payload == b"online", since=said
    )
    again = await scene.home.hear(scene.home.ear.wait, DISCOVERY, lambda one: one.at > born.at, since=said)
    assert 0.9 < again.at - born.at < 11
    await scene.listens("wx/in/+", since=lines)
    await scene.home.phone.say("wife", "after the restart")
    await scene.until(f"state_attr('{MESSAGE}', 'text') == 'after the restart'")
    assert complaints(scene) == []


async def test_in_chinese_the_names_are_chinese_and_the_ids_are_not(scene: Scene) -> None:
    before = await entities(scene)
    scene.home.bridge.configure(scene.settings("wife", "妈妈", language="zh"))
    assert (await scene.home.ask("reload"))["status"] == "ok"
    await scene.until("state_attr('sensor.wechat_home_login_state', 'friendly_name') == '微信 home 登录状态'")
    after = await entities(scene)
    assert {key: one["entity"] for key, one in after.items()} == {
        key: one["entity"] for key, one in before.items()
    }
    assert after["wx2mqtt_home_to_filehelper"]["name"] == "文件传输助手"


async def test_with_500_people_it_is_one_message_and_home_assistant_takes_it(scene: Scene) -> None:
    await scene.home.phone.post("people", friends=500)
    await scene.home.hear(scene.home.ear.wait, "wx/contacts", lambda one: len(one.body["contacts"]) > 500)
    names = [
        one["user"]
        for one in scene.home.ear.on("wx/contacts")[-1].body["contacts"]
        if one["kind"] == "friend"
    ]
    said = scene.home.ear.count
    await scene.reload("wife", *names)
    begun = asyncio.get_running_loop().time()
    await scene.until(f"states.notify | count >= {len(names)}")
    assert len(names) > 500
    assert asyncio.get_running_loop().time() - begun < GATHER_SECONDS + 15
    announced = [one for one in scene.home.ear.heard[said:] if one.topic == DISCOVERY]
    assert len(announced) == 1
    assert faults(DISCOVERY, announced[0].payload) == []
    await scene.reload("wife")
    await scene.until("states.notify | count == 2")
    assert complaints(scene) == []


async def test_switched_off_the_device_is_gone(scene: Scene) -> None:
    await asyncio.to_thread(scene.home.bridge.stop)
    scene.home.bridge.configure(scene.settings("wife", enabled=False))
    await scene.home.restart()
    await scene.until("states.notify | count == 0 and states.sensor | count == 0")
    assert await entities(scene) == {}
    assert [one for one in await scene.do("devices") if one["manufacturer"] == "wx2mqtt"] == []
    assert complaints(scene) == []
    assert json.dumps(scene.house.log).count("components.mqtt") == 0
