"""The announcement to Home Assistant at a real broker, after restarts, reloads and refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import DURABLE
from tests.support.discovery_rules import faults
from tests.support.home import Home, at_home
from wx2mqtt.mqtt.homeassistant_entities import entity_id

DISCOVERY_TOPIC = "homeassistant/device/wx2mqtt_home/config"


def settings_with_people(home: Home, *expose: str, **more: Any) -> dict[str, Any]:
    return home.settings(homeassistant={"enabled": True, "expose": list(expose), **more})


async def wait_for_announcement(
    home: Home, wanted: dict[str, bool], since: int = 0, topic: str = DISCOVERY_TOPIC
) -> dict[str, Any]:
    """Waits for an announcement with these components present (True) or removed (False); returns all."""

    def is_wanted(components: dict[str, Any]) -> bool:
        sizes = ((len(components.get(key, {})), is_present) for key, is_present in wanted.items())
        return all(size > 1 if is_present else size == 1 for size, is_present in sizes)

    received = await home.in_thread(
        home.subscriber.wait,
        topic,
        lambda message: bool(message.payload) and is_wanted(message.body["components"]),
        since=since,
    )
    assert faults(topic, received.payload) == []
    found: dict[str, Any] = received.body["components"]
    return found


async def test_entities_follow_the_configuration_and_those_that_are_not_configured_any_more_are_removed(
    home: Home,
):
    home.bridge.configure(settings_with_people(home, "wife", "妈妈", "nobody"))
    await home.log_in()
    mom = f"to_{entity_id('妈妈')}"
    await wait_for_announcement(home, {"to_wife": True, mom: True})
    line = await home.in_thread(home.bridge.wait_for_log, "who cannot be shown")
    assert "nobody" in line
    since = home.subscriber.count
    home.bridge.configure(settings_with_people(home, "妈妈"))
    assert (await home.send_request("reload"))["data"]["applied"] == ["homeassistant.expose"]
    await wait_for_announcement(home, {"to_wife": False, mom: True}, since)
    since = home.subscriber.count
    await home.in_thread(home.bridge.stop)
    home.bridge.configure(settings_with_people(home, "wife"))  # while it is down
    await home.restart()
    await wait_for_announcement(home, {"to_wife": True, mom: False}, since)
    health = await home.body("wx/bridge/health", since=since, state="online")
    assert health["homeassistant"] == {"exposed": 2, "problems": {}, "left_out": 0}
    assert health["commands"]["failed_today"] == 0


@pytest.mark.parametrize("changed", [{"enabled": False}, {"prefix": "ha"}])
async def test_a_topic_where_nothing_is_announced_any_more_is_cleared(home: Home, changed: dict[str, Any]):
    home.bridge.configure(settings_with_people(home, "wife"))
    await home.log_in()
    await wait_for_announcement(home, {"to_wife": True})
    await home.in_thread(home.bridge.stop)
    since = home.subscriber.count
    home.bridge.configure(settings_with_people(home, "wife", **changed))
    await home.restart()
    await home.in_thread(
        home.subscriber.wait, DISCOVERY_TOPIC, lambda message: not message.payload, since=since
    )
    if "prefix" in changed:
        await wait_for_announcement(home, {"to_wife": True}, since, f"ha/{DISCOVERY_TOPIC.partition('/')[2]}")


async def test_the_birth_message_of_home_assistant_is_answered_with_an_announcement(home: Home):
    home.bridge.configure(settings_with_people(home, "wife"))
    await home.log_in()
    await wait_for_announcement(home, {"to_wife": True})
    since = home.subscriber.count
    await home.publish("homeassistant/status", "online", qos=0)
    await wait_for_announcement(home, {"to_wife": True}, since)


# With the settings of DURABLE, mosquitto disconnects after each refusal.
@pytest.mark.parametrize("broker_config", ["", DURABLE])
async def test_a_broker_that_refuses_the_announcement_does_not_stop_the_bridge(
    tmp_path: Path, broker_config: str
):
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    rules = folder / "acl"
    rules.write_text("topic readwrite wx/#\n")
    rules.chmod(0o600)
    async with at_home(tmp_path, f"acl_file {rules}\n{broker_config}") as home:
        home.bridge.configure(settings_with_people(home, "wife"))
        await home.log_in()
        await home.in_thread(home.bridge.wait_for_log, "broker refuses topic")
        assert (await home.send_command("wife", {"text": "all the same", "id": "1"}))["status"] == "sent"
        await home.control.say("wife", "ebenso")
        await home.body("wx/in/wife", text="ebenso")
        health = await home.body("wx/bridge/health", problems=["broker_refuses_topics"])
        assert DISCOVERY_TOPIC in health["broker"]["refused_topics"]


@pytest.fixture
async def small_packet_home(tmp_path: Path) -> AsyncIterator[Home]:
    async with at_home(tmp_path, "max_packet_size 12000") as home:
        yield home


async def test_at_a_broker_with_small_packets_as_many_people_are_announced_as_fit(small_packet_home: Home):
    await small_packet_home.control.post("people", friends=60)
    names = [f"{'备注' if number % 2 else '好友'}{number}" for number in range(1, 61)]
    small_packet_home.bridge.configure(settings_with_people(small_packet_home, "wife", *names))
    await small_packet_home.log_in()
    components = await wait_for_announcement(small_packet_home, {"to_wife": True})
    assert 12 < len(components) < 40
    health = await small_packet_home.body("wx/bridge/health", problems=["discovery_too_large"])
    assert health["homeassistant"]["left_out"] > 0
    assert "wx/bridge/health" in {message.topic for message in small_packet_home.subscriber.received}
    await small_packet_home.in_thread(small_packet_home.bridge.wait_for_log, "fewer people are shown")


async def test_two_accounts_are_two_devices_with_their_own_people(home: Home):
    accounts = home.settings()["accounts"]
    settings = {
        **settings_with_people(home, "home/wife", "work/妈妈"),
        "accounts": {**accounts, "work": {**accounts["home"], "base_topic": "job"}},
    }
    home.bridge.configure(settings)
    home.bridge.start()
    home_components, work_components = await asyncio.gather(
        wait_for_announcement(home, {}),
        wait_for_announcement(home, {}, topic="homeassistant/device/wx2mqtt_work/config"),
    )
    assert home_components["login"]["state_topic"] == "wx/login/state"
    assert work_components["login"]["state_topic"] == "job/login/state"
    text = json.dumps([home_components, work_components])
    assert text.count('"unique_id": "wx2mqtt_work_login"') == 1
