"""How the client finds out, packet by packet, whether a broker honours Retain Handling 2, and when it cannot."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.mqtt_client import running_client
from tests.support.scripted_broker import (
    DISCONNECT,
    PUBACK,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Packet,
    Peer,
    length_prefixed,
    scripted_broker,
)
from wx2mqtt.mqtt import broker_features
from wx2mqtt.mqtt.broker import ProbeTopics

TOPICS = ProbeTopics(probed="wx/bridge/state", control="wx/bridge/info")
NO_RETAINED_OPTIONS, RETAINED_OPTIONS = (
    0x2C,
    0x0C,
)  # at QoS 0, with No Local and Retain As Published: Retain Handling 2 and 0


async def assert_subscribe(peer: Peer, topic: str, options: int) -> None:
    """Checks that the client subscribes to this topic with these options."""
    subscribe = await peer.grant(0)
    assert subscribe.body[2:] == b"\0" + length_prefixed(topic.encode()) + bytes((options,))


async def accept_probe(peer: Peer) -> None:
    await peer.welcome()
    await assert_subscribe(peer, TOPICS.probed, NO_RETAINED_OPTIONS)
    await assert_subscribe(peer, TOPICS.control, RETAINED_OPTIONS)


async def assert_unsubscribe(peer: Peer) -> None:
    packet = await peer.read(UNSUBSCRIBE)
    assert packet.body[2:] == b"\0" + length_prefixed(TOPICS.probed.encode()) + length_prefixed(
        TOPICS.control.encode()
    )


def deliver_retained(peer: Peer, topic: str, *, qos: int = 0) -> None:
    peer.deliver(topic, b"kept", 7, qos=qos, retain=True)


async def test_a_broker_that_honours_retain_handling_is_probed_once_and_its_messages_are_not_delivered():
    async def script(peer: Peer) -> None:
        await accept_probe(peer)
        deliver_retained(peer, TOPICS.control)
        await assert_subscribe(peer, TOPICS.probed, RETAINED_OPTIONS)
        deliver_retained(peer, TOPICS.probed)
        await assert_unsubscribe(peer)
        peer.deliver("wx/out/wife", b"a command", 8, retain=True)
        peer.deliver(TOPICS.probed, b"somebody's", 9, retain=True)
        assert await peer.until_closed() == [Packet(DISCONNECT, 0, b"")]

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        calls = [listener.client.honours_retain_handling(TOPICS) for _ in range(3)]
        assert await asyncio.gather(*calls) == [True] * 3
        assert await listener.client.honours_retain_handling(TOPICS)
        assert (await listener.delivery()).payload == b"a command"
        assert (await listener.delivery()).payload == b"somebody's"
        await broker.wait_until_done()


async def test_a_broker_that_ignores_retain_handling_is_recognized_by_the_retained_message():
    async def script(peer: Peer) -> None:
        await accept_probe(peer)
        deliver_retained(peer, TOPICS.probed, qos=1)
        await assert_unsubscribe(peer)
        assert (await peer.read(PUBACK)).mid == 7
        deliver_retained(peer, TOPICS.control)
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        assert not await listener.client.honours_retain_handling(TOPICS)
        await broker.wait_until_done()


@pytest.mark.parametrize("copies", [[], [TOPICS.control]])
async def test_without_the_expected_retained_messages_the_probe_has_no_result(monkeypatch, copies):
    """So it is where the client may not read its own topics: mosquitto grants the filter and delivers nothing."""
    monkeypatch.setattr(broker_features, "PROBE_TIMEOUT_SECONDS", 0.3)

    async def script(peer: Peer) -> None:
        await accept_probe(peer)
        for topic in copies:
            deliver_retained(peer, topic)
            await assert_subscribe(peer, TOPICS.probed, RETAINED_OPTIONS)
        await assert_unsubscribe(peer)
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        assert not await listener.client.honours_retain_handling(TOPICS)
        await broker.wait_until_done()


async def test_a_message_without_the_retain_flag_does_not_count(monkeypatch):
    monkeypatch.setattr(broker_features, "PROBE_TIMEOUT_SECONDS", 0.3)

    async def script(peer: Peer) -> None:
        await accept_probe(peer)
        peer.deliver(TOPICS.control, b"live", 0, qos=0)
        await assert_unsubscribe(peer)
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        assert not await listener.client.honours_retain_handling(TOPICS)
        assert (await listener.delivery()).payload == b"live"
        await broker.wait_until_done()


async def test_the_end_of_the_connection_ends_the_probe_and_the_next_one_asks_again():
    async def closes(peer: Peer) -> None:
        await accept_probe(peer)

    async def answers_probe(peer: Peer) -> None:
        await accept_probe(peer)
        deliver_retained(peer, TOPICS.control)
        await assert_subscribe(peer, TOPICS.probed, RETAINED_OPTIONS)
        deliver_retained(peer, TOPICS.probed)
        await peer.until_closed()

    async with scripted_broker(closes, answers_probe) as broker, running_client(broker.url) as listener:
        await listener.connection()
        assert not await listener.client.honours_retain_handling(TOPICS)
        await listener.connection()
        assert await listener.client.honours_retain_handling(TOPICS)
        await broker.wait_until_done()


@pytest.mark.parametrize(("protocol", "properties"), [("3.1.1", b""), ("5", b"\x25\0")])
async def test_a_broker_without_the_feature_is_not_probed(protocol: str, properties: bytes):
    """MQTT 3.1.1 has no Retain Handling; a broker without retained messages has no copy."""

    async def script(peer: Peer) -> None:
        await peer.welcome(properties)
        assert SUBSCRIBE not in {packet.kind for packet in await peer.until_closed()}

    async with scripted_broker(script) as broker, running_client(broker.url, protocol=protocol) as listener:
        assert not await listener.client.honours_retain_handling(TOPICS), "before there is a connection"
        await listener.connection()
        assert not await listener.client.honours_retain_handling(TOPICS)
        await broker.wait_until_done()
