"""Retained commands: what comes from the broker's store is refused, told once and cleared; what is live is sent."""

from __future__ import annotations

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from tests.support.redelivering_broker import redelivering_broker
from tests.support.subscriber import Subscriber

OLD = MQTTProtocolVersion.MQTTv311
NEW = MQTTProtocolVersion.MQTTv5


def kept(home, *filters):
    """What the broker keeps on these topics."""
    with Subscriber(home.broker.port, *filters) as subscriber:
        subscriber.publish("a/mark", b"x", retain=False)
        subscriber.wait("a/mark") if "#" in filters else None
        return [(one.topic, one.payload) for one in subscriber.received if one.retain]


async def stored(home, topic):
    """Whether the broker keeps something on this topic; asked by a client of its own."""
    found = await home.in_thread(kept, home, "#")
    return [payload for name, payload in found if name == topic]


def retain(home, topic, payload, protocol):
    with Subscriber(home.broker.port, "nothing", protocol=protocol) as publisher:
        publisher.publish(topic, payload, retain=True)


def speak(home, protocol):
    home.bridge.configure(home.settings(mqtt={"url": home.broker.url, "protocol": protocol}))


async def texts(home):
    return [one["text"] for one in await home.control.get("sent")]


@pytest.mark.parametrize("publisher", [OLD, NEW])
async def test_before_the_start_on_3_1_1_it_is_refused_told_once_and_cleared(home, publisher):
    speak(home, "3.1.1")
    await home.in_thread(retain, home, "wx/out/wife", '{"text": "old", "id": "old"}', publisher)
    await home.in_thread(retain, home, "wx/out/family/image", b"\x89PNG", publisher)
    await home.in_thread(retain, home, "wx/bridge/request/logout", "{}", publisher)
    await home.log_in()
    refused = await home.body("wx/result/wife")
    assert (refused["status"], refused["code"]) == ("rejected", "retained")
    assert refused["id"] != "old"
    assert (await home.body("wx/result/family"))["code"] == "retained"
    assert (await home.body("wx/bridge/response/logout"))["code"] == "retained"
    for topic in ("wx/out/wife", "wx/out/family/image", "wx/bridge/request/logout"):
        await home.in_thread(home.subscriber.wait, topic, lambda one: not one.payload)
        assert await stored(home, topic) == []
    assert (await home.send_command("wife", {"text": "live", "id": "old"}))["status"] == "sent"
    assert await home.in_thread(home.bridge.stop) == 0
    await home.restart()
    await home.send_command("wife", {"text": "after the restart", "id": "z"})
    assert [one.body["code"] for one in home.subscriber.on("wx/result/wife")] == ["retained", "ok", "ok"]
    assert await texts(home) == ["live", "after the restart"]


async def test_on_3_1_1_our_own_clearing_is_ignored_and_an_empty_payload_of_a_user_is_empty(home):
    speak(home, "3.1.1")
    await home.in_thread(retain, home, "wx/out/wife", "old", OLD)
    await home.log_in()
    await home.in_thread(home.subscriber.wait, "wx/out/wife", lambda one: not one.payload)
    assert (await home.send_command("wife", ""))["code"] == "empty"
    assert (await home.send_command("wife", "", retain=True))["code"] == "empty"
    assert [one.body["code"] for one in home.subscriber.on("wx/result/wife")] == [
        "retained",
        "empty",
        "empty",
    ]


async def test_on_mqtt_5_what_was_retained_before_the_start_does_not_even_come(home):
    await home.in_thread(retain, home, "wx/out/wife", "old", NEW)
    await home.log_in()
    assert (await home.send_command("wife", "live"))["status"] == "sent"
    assert (await home.send_command("wife", ""))["code"] == "empty"
    assert await texts(home) == ["live"]


async def test_on_mqtt_5_a_live_one_is_sent_once_its_copy_is_cleared_and_the_result_says_so(home):
    await home.log_in()
    result = await home.send_command("wife", {"text": "live and retained", "id": "a"}, retain=True)
    assert (result["status"], result["code"]) == ("sent", "ok")
    assert result["message"].startswith("WeChat took the message; the copy that the broker kept was cleared")
    plain = await home.send_command("wife", "as it is", retain=True)
    assert "was cleared" in plain["message"]
    answer = await home.send_request("send", {"user": "wife", "text": "by request", "id": "b"}, retain=True)
    assert "was cleared" in answer["data"]["message"]
    assert (await home.send_request("health", "{}", retain=True))["status"] == "ok"
    for topic in ("wx/out/wife", "wx/bridge/request/send", "wx/bridge/request/health"):
        await home.in_thread(home.subscriber.wait, topic, lambda one: not one.payload)
        assert await stored(home, topic) == []
    assert await home.in_thread(home.bridge.stop) == 0
    await home.restart()
    assert "cleared" not in (await home.send_command("wife", {"text": "afterwards", "id": "z"}))["message"]
    assert await texts(home) == ["live and retained", "as it is", "by request", "afterwards"]
    assert {one.body["code"] for one in home.subscriber.on("wx/result/wife")} == {"ok"}


async def test_on_3_1_1_a_live_one_is_sent_and_its_copy_is_refused_and_cleared_at_the_next_start(home):
    speak(home, "3.1.1")
    await home.log_in()
    result = await home.send_command("wife", {"text": "live and retained", "id": "a"}, retain=True)
    assert (result["status"], result["message"]) == ("sent", "WeChat took the message")
    assert await stored(home, "wx/out/wife") != []
    assert await home.in_thread(home.bridge.stop) == 0
    await home.restart()
    await home.send_command("wife", {"text": "afterwards", "id": "z"})
    assert await texts(home) == ["live and retained", "afterwards"]
    assert [one.body["code"] for one in home.subscriber.on("wx/result/wife")] == ["ok", "retained", "ok"]
    assert await stored(home, "wx/out/wife") == []


async def test_a_broker_that_redelivers_in_spite_of_retain_handling_gets_nothing_retained_sent(home):
    async with redelivering_broker(home.broker.port) as broker:
        home.bridge.configure(home.settings(mqtt={"url": broker.url, "protocol": "5"}))
        await home.in_thread(retain, home, "wx/out/wife", "old", NEW)
        await home.log_in()
        assert (await home.body("wx/result/wife"))["code"] == "retained"
        assert (await home.send_command("wife", "live", retain=True))["code"] == "retained", "nobody can tell"
        await home.in_thread(home.subscriber.wait, "wx/out/wife", lambda one: not one.payload)
        assert await stored(home, "wx/out/wife") == []
        assert (await home.send_command("wife", "not retained"))["status"] == "sent"
        assert await texts(home) == ["not retained"]
        assert await home.in_thread(home.bridge.stop) == 0


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_what_is_published_retained_while_the_bridge_is_away_is_live_when_it_comes_back(home, protocol):
    """The broker queues it for our session; only on MQTT 5 it comes with its flag."""
    speak(home, protocol)
    await home.log_in()
    assert await home.in_thread(home.bridge.stop) == 0
    await home.publish("wx/out/wife", "while away", retain=True)
    await home.restart()
    result = await home.body("wx/result/wife", status="sent")
    assert ("was cleared" in result["message"]) is (protocol == "5")
    await home.send_command("wife", {"text": "afterwards", "id": "z"})
    assert await texts(home) == ["while away", "afterwards"]
    assert await stored(home, "wx/out/wife") == []
