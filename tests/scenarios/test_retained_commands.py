"""Retained commands: what comes from the broker's store is refused, told once and cleared; what is live is done."""

from __future__ import annotations

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from tests.support.ear import Ear

OLD = MQTTProtocolVersion.MQTTv311
NEW = MQTTProtocolVersion.MQTTv5


def kept(home, *filters):
    """What the broker keeps on these topics."""
    with Ear(home.broker.port, *filters) as ear:
        ear.publish("a/mark", b"x", retain=False)
        ear.wait("a/mark") if "#" in filters else None
        return [(one.topic, one.payload) for one in ear.heard if one.retain]


async def stored(home, topic):
    """Whether the broker keeps something on this topic; asked by a client of its own."""
    found = await home.hear(kept, home, "#")
    return [payload for name, payload in found if name == topic]


def retain(home, topic, payload, protocol):
    with Ear(home.broker.port, "nothing", protocol=protocol) as publisher:
        publisher.publish(topic, payload, retain=True)


def speak(home, protocol):
    home.bridge.configure(home.settings(mqtt={"url": home.broker.url, "protocol": protocol}))


async def texts(home):
    return [one["text"] for one in await home.phone.get("sent")]


@pytest.mark.parametrize("publisher", [OLD, NEW])
async def test_before_the_start_on_3_1_1_it_is_refused_told_once_and_cleared(home, publisher):
    speak(home, "3.1.1")
    await home.hear(retain, home, "wx/out/wife", '{"text": "old", "id": "old"}', publisher)
    await home.hear(retain, home, "wx/out/family/image", b"\x89PNG", publisher)
    await home.hear(retain, home, "wx/bridge/request/logout", "{}", publisher)
    await home.log_in()
    refused = await home.body("wx/result/wife")
    assert (refused["status"], refused["code"]) == ("rejected", "retained")
    assert refused["id"] != "old"
    assert (await home.body("wx/result/family"))["code"] == "retained"
    assert (await home.body("wx/bridge/response/logout"))["code"] == "retained"
    for topic in ("wx/out/wife", "wx/out/family/image", "wx/bridge/request/logout"):
        await home.hear(home.ear.wait, topic, lambda one: not one.payload)
        assert await stored(home, topic) == []
    assert (await home.tell("wife", {"text": "live", "id": "old"}))["status"] == "sent"
    assert await home.hear(home.bridge.stop) == 0
    await home.restart()
    await home.tell("wife", {"text": "after the restart", "id": "z"})
    assert [one.body["code"] for one in home.ear.on("wx/result/wife")] == ["retained", "ok", "ok"]
    assert await texts(home) == ["live", "after the restart"]


async def test_on_3_1_1_our_own_clearing_is_ignored_and_an_empty_payload_of_a_user_is_empty(home):
    speak(home, "3.1.1")
    await home.hear(retain, home, "wx/out/wife", "old", OLD)
    await home.log_in()
    await home.hear(home.ear.wait, "wx/out/wife", lambda one: not one.payload)
    assert (await home.tell("wife", ""))["code"] == "empty"
    assert (await home.tell("wife", "", retain=True))["code"] == "empty"
    assert [one.body["code"] for one in home.ear.on("wx/result/wife")] == ["retained", "empty", "empty"]


async def test_on_mqtt_5_what_was_retained_before_the_start_does_not_even_come(home):
    await home.hear(retain, home, "wx/out/wife", "old", NEW)
    await home.log_in()
    assert (await home.tell("wife", "live"))["status"] == "sent"
    assert (await home.tell("wife", ""))["code"] == "empty"
    assert await texts(home) == ["live"]


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_a_live_publish_is_done_whatever_its_retain_bit_and_never_a_second_time(home, protocol):
    speak(home, protocol)
    await home.log_in()
    assert (await home.tell("wife", {"text": "live and retained", "id": "a"}, retain=True))[
        "status"
    ] == "sent"
    assert await stored(home, "wx/out/wife") != []
    assert await home.hear(home.bridge.stop) == 0
    await home.restart()
    await home.tell("wife", {"text": "afterwards", "id": "z"})
    assert await texts(home) == ["live and retained", "afterwards"]
    told = [one.body["code"] for one in home.ear.on("wx/result/wife")]
    assert told == (["ok", "retained", "ok"] if protocol == "3.1.1" else ["ok", "ok"])
    if protocol == "3.1.1":
        assert await stored(home, "wx/out/wife") == []


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_what_is_published_retained_while_the_bridge_is_away_is_live_when_it_comes_back(home, protocol):
    """The broker queues it for our session, without the retain bit; a subscription of 3.1.1 brings it again."""
    speak(home, protocol)
    await home.log_in()
    assert await home.hear(home.bridge.stop) == 0
    await home.publish("wx/out/wife", "while away", retain=True)
    await home.restart()
    await home.body("wx/result/wife", status="sent")
    await home.tell("wife", {"text": "afterwards", "id": "z"})
    assert await texts(home) == ["while away", "afterwards"]
