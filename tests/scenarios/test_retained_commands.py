"""Retained commands: those from the broker's store are refused, reported once and cleared; new ones are sent."""

from __future__ import annotations

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from tests.support.redelivering_broker import redelivering_broker
from tests.support.subscriber import Subscriber

MQTT_3 = MQTTProtocolVersion.MQTTv311
MQTT_5 = MQTTProtocolVersion.MQTTv5


def retained_messages(home, *filters):
    """Returns the retained messages of these topics."""
    with Subscriber(home.broker.port, *filters) as subscriber:
        subscriber.publish("a/mark", b"x", retain=False)
        subscriber.wait("a/mark") if "#" in filters else None
        return [(message.topic, message.payload) for message in subscriber.received if message.retain]


async def retained_payloads(home, topic):
    """Returns the retained payloads of this topic, read by another client."""
    found = await home.in_thread(retained_messages, home, "#")
    return [payload for name, payload in found if name == topic]


def retain(home, topic, payload, protocol):
    with Subscriber(home.broker.port, "nothing", protocol=protocol) as publisher:
        publisher.publish(topic, payload, retain=True)


def use_protocol(home, protocol):
    home.bridge.configure(home.settings(mqtt={"url": home.broker.url, "protocol": protocol}))


async def sent_texts(home):
    return [message["text"] for message in await home.control.get("sent")]


@pytest.mark.parametrize("publisher", [MQTT_3, MQTT_5])
async def test_on_3_1_1_a_command_retained_before_the_start_is_refused_reported_once_and_cleared(
    home, publisher
):
    use_protocol(home, "3.1.1")
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
        await home.in_thread(home.subscriber.wait, topic, lambda message: not message.payload)
        assert await retained_payloads(home, topic) == []
    assert (await home.send_command("wife", {"text": "live", "id": "old"}))["status"] == "sent"
    assert await home.in_thread(home.bridge.stop) == 0
    await home.restart()
    await home.send_command("wife", {"text": "after the restart", "id": "z"})
    assert [message.body["code"] for message in home.subscriber.on("wx/result/wife")] == [
        "retained",
        "ok",
        "ok",
    ]
    assert await sent_texts(home) == ["live", "after the restart"]


async def test_on_3_1_1_our_own_clearing_is_ignored_and_an_empty_payload_of_a_user_is_empty(home):
    use_protocol(home, "3.1.1")
    await home.in_thread(retain, home, "wx/out/wife", "old", MQTT_3)
    await home.log_in()
    await home.in_thread(home.subscriber.wait, "wx/out/wife", lambda message: not message.payload)
    assert (await home.send_command("wife", ""))["code"] == "empty"
    assert (await home.send_command("wife", "", retain=True))["code"] == "empty"
    assert [message.body["code"] for message in home.subscriber.on("wx/result/wife")] == [
        "retained",
        "empty",
        "empty",
    ]


async def test_on_mqtt_5_a_command_retained_before_the_start_is_not_delivered(home):
    await home.in_thread(retain, home, "wx/out/wife", "old", MQTT_5)
    await home.log_in()
    assert (await home.send_command("wife", "live"))["status"] == "sent"
    assert (await home.send_command("wife", ""))["code"] == "empty"
    assert await sent_texts(home) == ["live"]


async def test_on_mqtt_5_a_new_retained_command_is_sent_once_cleared_and_the_result_says_so(home):
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
        await home.in_thread(home.subscriber.wait, topic, lambda message: not message.payload)
        assert await retained_payloads(home, topic) == []
    assert await home.in_thread(home.bridge.stop) == 0
    await home.restart()
    assert "cleared" not in (await home.send_command("wife", {"text": "afterwards", "id": "z"}))["message"]
    assert await sent_texts(home) == ["live and retained", "as it is", "by request", "afterwards"]
    assert {message.body["code"] for message in home.subscriber.on("wx/result/wife")} == {"ok"}


async def test_on_3_1_1_a_new_retained_command_is_sent_and_its_copy_refused_at_the_next_start(home):
    use_protocol(home, "3.1.1")
    await home.log_in()
    result = await home.send_command("wife", {"text": "live and retained", "id": "a"}, retain=True)
    assert (result["status"], result["message"]) == ("sent", "WeChat took the message")
    assert await retained_payloads(home, "wx/out/wife") != []
    assert await home.in_thread(home.bridge.stop) == 0
    await home.restart()
    await home.send_command("wife", {"text": "afterwards", "id": "z"})
    assert await sent_texts(home) == ["live and retained", "afterwards"]
    assert [message.body["code"] for message in home.subscriber.on("wx/result/wife")] == [
        "ok",
        "retained",
        "ok",
    ]
    assert await retained_payloads(home, "wx/out/wife") == []


async def test_a_broker_that_redelivers_in_spite_of_retain_handling_gets_nothing_retained_sent(home):
    async with redelivering_broker(home.broker.port) as broker:
        home.bridge.configure(home.settings(mqtt={"url": broker.url, "protocol": "5"}))
        await home.in_thread(retain, home, "wx/out/wife", "old", MQTT_5)
        await home.log_in()
        assert (await home.body("wx/result/wife"))["code"] == "retained"
        assert (await home.send_command("wife", "live", retain=True))["code"] == "retained", "nobody can tell"
        await home.in_thread(home.subscriber.wait, "wx/out/wife", lambda message: not message.payload)
        assert await retained_payloads(home, "wx/out/wife") == []
        assert (await home.send_command("wife", "not retained"))["status"] == "sent"
        assert await sent_texts(home) == ["not retained"]
        assert await home.in_thread(home.bridge.stop) == 0


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_a_command_retained_while_the_bridge_is_away_counts_as_new_when_it_comes_back(home, protocol):
    """The broker queues it for the session of the bridge; only MQTT 5 shows the flag."""
    use_protocol(home, protocol)
    await home.log_in()
    assert await home.in_thread(home.bridge.stop) == 0
    await home.publish("wx/out/wife", "while away", retain=True)
    await home.restart()
    result = await home.body("wx/result/wife", status="sent")
    assert ("was cleared" in result["message"]) is (protocol == "5")
    await home.send_command("wife", {"text": "afterwards", "id": "z"})
    assert await sent_texts(home) == ["while away", "afterwards"]
    assert await retained_payloads(home, "wx/out/wife") == []
