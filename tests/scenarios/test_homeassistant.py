"""The announcement to Home Assistant at a real broker, whatever becomes of the bridge and of the file."""

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

TOPIC = "homeassistant/device/wx2mqtt_home/config"


def shown(home: Home, *expose: str, **more: Any) -> dict[str, Any]:
    return home.settings(homeassistant={"enabled": True, "expose": list(expose), **more})


async def announced(
    home: Home, wanted: dict[str, bool], since: int = 0, topic: str = TOPIC
) -> dict[str, Any]:
    """The components of the first announcement in which these are there, or taken back (False)."""

    def fits(components: dict[str, Any]) -> bool:
        sizes = ((len(components.get(key, {})), there) for key, there in wanted.items())
        return all(size > 1 if there else size == 1 for size, there in sizes)

    received = await home.in_thread(
        home.subscriber.wait,
        topic,
        lambda one: bool(one.payload) and fits(one.body["components"]),
        since=since,
    )
    assert faults(topic, received.payload) == []
    found: dict[str, Any] = received.body["components"]
    return found


async def test_what_is_shown_follows_the_file_and_what_is_not_any_more_is_taken_back(home: Home):
    home.bridge.configure(shown(home, "wife", "妈妈", "nobody"))
    await home.log_in()
    mom = f"to_{entity_id('妈妈')}"
    await announced(home, {"to_wife": True, mom: True})
    line = await home.in_thread(home.bridge.wait_for_log, "who cannot be shown")
    assert "nobody" in line
    said = home.subscriber.count
    home.bridge.configure(shown(home, "妈妈"))
    assert (await home.send_request("reload"))["data"]["applied"] == ["homeassistant.expose"]
    await announced(home, {"to_wife": False, mom: True}, said)
    said = home.subscriber.count
    await home.in_thread(home.bridge.stop)
    home.bridge.configure(shown(home, "wife"))  # while it is down
    await home.restart()
    await announced(home, {"to_wife": True, mom: False}, said)
    health = await home.body("wx/bridge/health", since=said, state="online")
    assert health["homeassistant"] == {"exposed": 2, "problems": {}, "left_out": 0}
    assert health["commands"]["failed_today"] == 0


@pytest.mark.parametrize("now", [{"enabled": False}, {"prefix": "ha"}])
async def test_what_stood_where_nothing_is_announced_any_more_is_cleared(home: Home, now: dict[str, Any]):
    home.bridge.configure(shown(home, "wife"))
    await home.log_in()
    await announced(home, {"to_wife": True})
    await home.in_thread(home.bridge.stop)
    said = home.subscriber.count
    home.bridge.configure(shown(home, "wife", **now))
    await home.restart()
    await home.in_thread(home.subscriber.wait, TOPIC, lambda one: not one.payload, since=said)
    if "prefix" in now:
        await announced(home, {"to_wife": True}, said, f"ha/{TOPIC.partition('/')[2]}")


async def test_the_birth_of_home_assistant_is_answered(home: Home):
    home.bridge.configure(shown(home, "wife"))
    await home.log_in()
    await announced(home, {"to_wife": True})
    said = home.subscriber.count
    await home.publish("homeassistant/status", "online", qos=0)
    await announced(home, {"to_wife": True}, said)


@pytest.mark.parametrize("how", ["", DURABLE])  # with the latter mosquitto hangs up after each refusal
async def test_a_broker_that_refuses_it_stops_the_announcing_and_not_the_bridge(tmp_path: Path, how: str):
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    rules = folder / "acl"
    rules.write_text("topic readwrite wx/#\n")
    rules.chmod(0o600)
    async with at_home(tmp_path, f"acl_file {rules}\n{how}") as home:
        home.bridge.configure(shown(home, "wife"))
        await home.log_in()
        await home.in_thread(home.bridge.wait_for_log, "broker refuses topic")
        assert (await home.send_command("wife", {"text": "all the same", "id": "1"}))["status"] == "sent"
        await home.control.say("wife", "ebenso")
        await home.body("wx/in/wife", text="ebenso")
        health = await home.body("wx/bridge/health", problems=["broker_refuses_topics"])
        assert TOPIC in health["broker"]["refused_topics"]


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Home]:
    async with at_home(tmp_path, "max_packet_size 12000") as home:
        yield home


async def test_at_a_broker_that_takes_little_as_many_are_shown_as_fit(small: Home):
    await small.control.post("people", friends=60)
    names = [f"{'备注' if number % 2 else '好友'}{number}" for number in range(1, 61)]
    small.bridge.configure(shown(small, "wife", *names))
    await small.log_in()
    components = await announced(small, {"to_wife": True})
    assert 12 < len(components) < 40
    health = await small.body("wx/bridge/health", problems=["discovery_too_large"])
    assert health["homeassistant"]["left_out"] > 0
    assert "wx/bridge/health" in {one.topic for one in small.subscriber.received}
    await small.in_thread(small.bridge.wait_for_log, "fewer people are shown")


async def test_two_accounts_are_two_devices_with_their_own_people(home: Home):
    accounts = home.settings()["accounts"]
    whole = {
        **shown(home, "home/wife", "work/妈妈"),
        "accounts": {**accounts, "work": {**accounts["home"], "base_topic": "job"}},
    }
    home.bridge.configure(whole)
    home.bridge.start()
    mine, other = await asyncio.gather(
        announced(home, {}), announced(home, {}, topic="homeassistant/device/wx2mqtt_work/config")
    )
    assert mine["login"]["state_topic"] == "wx/login/state"
    assert other["login"]["state_topic"] == "job/login/state"
    ids = json.dumps([mine, other])
    assert ids.count('"unique_id": "wx2mqtt_work_login"') == 1
