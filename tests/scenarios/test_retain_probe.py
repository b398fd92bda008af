"""How a broker shows that it honours Retain Handling 2, packet by packet, and when it shows nothing."""

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
KEPT_NONE, KEPT = 0x2C, 0x0C  # at QoS 0, with No Local and Retain As Published: Retain Handling 2 and 0


async def asked(peer: Peer, topic: str, options: int) -> None:
    """The client subscribes to this topic with these options."""
    subscribe = await peer.grant(0)
    assert subscribe.body[2:] == b"\0" + length_prefixed(topic.encode()) + bytes((options,))


async def first_asked(peer: Peer) -> None:
    await peer.welcome()
    await asked(peer, TOPICS.probed, KEPT_NONE)
    await asked(peer, TOPICS.control, KEPT)


async def unsubscribed(peer: Peer) -> None:
    packet = await peer.read(UNSUBSCRIBE)
    assert packet.body[2:] == b"\0" + length_prefixed(TOPICS.probed.encode()) + length_prefixed(
        TOPICS.control.encode()
    )


def copy(peer: Peer, topic: str, *, qos: int = 0) -> None:
    peer.deliver(topic, b"kept", 7, qos=qos, retain=True)


async def test_an_honest_broker_is_asked_once_and_its_copies_are_handed_to_nobody():
    async def script(peer: Peer) -> None:
        await first_asked(peer)
        copy(peer, TOPICS.control)
        await asked(peer, TOPICS.probed, KEPT)
        copy(peer, TOPICS.probed)
        await unsubscribed(peer)
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


async def test_one_that_redelivers_is_known_by_the_copy_that_it_was_not_to_send():
    async def script(peer: Peer) -> None:
        await first_asked(peer)
        copy(peer, TOPICS.probed, qos=1)
        await unsubscribed(peer)
        assert (await peer.read(PUBACK)).mid == 7
        copy(peer, TOPICS.control)
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        assert not await listener.client.honours_retain_handling(TOPICS)
        await broker.wait_until_done()


@pytest.mark.parametrize("copies", [[], [TOPICS.control]])
async def test_without_the_copies_that_must_come_nothing_is_shown(monkeypatch, copies):
    """As where the client may not read its own topics: mosquitto grants the filter and delivers nothing."""
    monkeypatch.setattr(broker_features, "PROBE_TIMEOUT_SECONDS", 0.3)

    async def script(peer: Peer) -> None:
        await first_asked(peer)
        for topic in copies:
            copy(peer, topic)
            await asked(peer, TOPICS.probed, KEPT)
        await unsubscribed(peer)
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        assert not await listener.client.honours_retain_handling(TOPICS)
        await broker.wait_until_done()


async def test_a_message_without_the_flag_is_no_copy(monkeypatch):
    monkeypatch.setattr(broker_features, "PROBE_TIMEOUT_SECONDS", 0.3)

    async def script(peer: Peer) -> None:
        await first_asked(peer)
        peer.deliver(TOPICS.control, b"live", 0, qos=0)
        await unsubscribed(peer)
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        assert not await listener.client.honours_retain_handling(TOPICS)
        assert (await listener.delivery()).payload == b"live"
        await broker.wait_until_done()


async def test_the_end_of_the_connection_ends_the_probe_and_the_next_one_asks_again():
    async def dies(peer: Peer) -> None:
        await first_asked(peer)

    async def lives(peer: Peer) -> None:
        await first_asked(peer)
        copy(peer, TOPICS.control)
        await asked(peer, TOPICS.probed, KEPT)
        copy(peer, TOPICS.probed)
        await peer.until_closed()

    async with scripted_broker(dies, lives) as broker, running_client(broker.url) as listener:
        await listener.connection()
        assert not await listener.client.honours_retain_handling(TOPICS)
        await listener.connection()
        assert await listener.client.honours_retain_handling(TOPICS)
        await broker.wait_until_done()


@pytest.mark.parametrize(("protocol", "properties"), [("3.1.1", b""), ("5", b"\x25\0")])
async def test_nobody_is_asked_who_cannot_show_it(protocol: str, properties: bytes):
    """MQTT 3.1.1 has no Retain Handling; a broker without retained messages has no copy."""

    async def script(peer: Peer) -> None:
        await peer.welcome(properties)
        assert SUBSCRIBE not in {packet.kind for packet in await peer.until_closed()}

    async with scripted_broker(script) as broker, running_client(broker.url, protocol=protocol) as listener:
        assert not await listener.client.honours_retain_handling(TOPICS), "before there is a connection"
        await listener.connection()
        assert not await listener.client.honours_retain_handling(TOPICS)
        await broker.wait_until_done()
