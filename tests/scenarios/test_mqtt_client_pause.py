"""A client that takes nothing in for a while: the broker keeps what it has, and each side knows that the other lives."""

from __future__ import annotations

import asyncio

import pytest

from tests.scenarios.conftest import StartMosquitto
from tests.support.broker import Mosquitto
from tests.support.mqtt_client import message, running_client
from tests.support.subscriber import Subscriber

MEGABYTE = 1 << 20


async def quiet_for(broker: Mosquitto, pings: int) -> None:
    """Until the broker has had so many signs of life more."""
    for _ in range(pings):
        await broker.logged("Received PINGREQ from wx2mqtt-test", since=len(broker.log))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_nothing_comes_while_it_pauses_and_all_of_it_afterwards_in_order(
    start_mosquitto: StartMosquitto, protocol
):
    broker = start_mosquitto("log_type all\nmax_queued_messages 0\n")
    async with running_client(broker.url, keepalive=2, protocol=protocol) as listener:
        await listener.connection()
        with Subscriber(broker.port, "none") as way:
            listener.client.set_paused(paused=True)
            for number in range(20):
                await asyncio.to_thread(way.publish, "wx/out/wife", b"%d" % number + bytes(MEGABYTE))
            await quiet_for(broker, 3)
            assert listener._delivered.empty()
            assert listener.client.connection is not None
            listener.client.set_paused(paused=False)
            for number in range(20):
                delivery = await listener.delivery()
                assert delivery.payload == b"%d" % number + bytes(MEGABYTE)
                listener.client.acknowledge(delivery)
        assert await listener.published(message()) is None
        assert listener.client.disconnect_count == 0


async def test_a_pause_in_the_middle_of_a_packet_loses_nothing(start_mosquitto: StartMosquitto):
    broker = start_mosquitto("max_queued_messages 0\n")
    async with running_client(broker.url) as listener:
        await listener.connection()
        with Subscriber(broker.port, "none") as way:
            large = asyncio.create_task(asyncio.to_thread(way.publish, "wx/out/wife", b"x" * (30 * MEGABYTE)))
            for _ in range(50):
                listener.client.set_paused(paused=True)
                await asyncio.sleep(0)
                listener.client.set_paused(paused=False)
                await asyncio.sleep(0.002)
            assert (await listener.delivery()).payload == b"x" * (30 * MEGABYTE)
            await large


async def test_it_pauses_on_the_next_connection_too_and_hears_its_greeting(start_mosquitto: StartMosquitto):
    broker = start_mosquitto("max_queued_messages 0\n")
    async with running_client(broker.url) as listener:
        await listener.connection()
        broker.kill()
        await listener.end()
        listener.client.set_paused(paused=True)
        broker.start()
        await listener.connection()
        with Subscriber(broker.port, "none") as way:
            await asyncio.to_thread(way.publish, "wx/out/wife", b"later")
        assert listener._delivered.empty()
        listener.client.set_paused(paused=False)
        assert (await listener.delivery()).payload == b"later"


async def test_a_hundred_megabytes_come_through(start_mosquitto: StartMosquitto):
    broker = start_mosquitto()
    async with running_client(broker.url, filters=("wx/out/#",)) as listener:
        await listener.connection()
        with Subscriber(broker.port, "none") as way:
            data = b"x" * (100 * MEGABYTE)
            await asyncio.to_thread(way.publish, "wx/out/wife/file/" + "n" * 240, data)
            delivery = await listener.delivery()
            assert len(delivery.payload) == len(data)
            listener.client.acknowledge(delivery)
