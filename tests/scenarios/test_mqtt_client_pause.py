"""A client that pauses reading: the broker keeps the messages, and each side knows that the other is alive."""

from __future__ import annotations

import asyncio

import pytest

from tests.scenarios.conftest import StartMosquitto
from tests.support.broker import Mosquitto
from tests.support.mqtt_client import message, running_client
from tests.support.subscriber import Subscriber

MEGABYTE = 1 << 20


async def wait_for_pings(broker: Mosquitto, pings: int) -> None:
    """Waits until the broker has received so many further pings."""
    for _ in range(pings):
        await broker.logged("Received PINGREQ from wx2mqtt-test", since=len(broker.log))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_nothing_is_delivered_during_a_pause_and_everything_after_it_in_order(
    start_mosquitto: StartMosquitto, protocol
):
    broker = start_mosquitto("log_type all\nmax_queued_messages 0\n")
    async with running_client(broker.url, keepalive=2, protocol=protocol) as listener:
        await listener.connection()
        with Subscriber(broker.port, "none") as publisher:
            listener.client.set_paused(paused=True)
            for number in range(20):
                await asyncio.to_thread(publisher.publish, "wx/out/wife", b"%d" % number + bytes(MEGABYTE))
            await wait_for_pings(broker, 3)
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
        with Subscriber(broker.port, "none") as publisher:
            large = asyncio.create_task(
                asyncio.to_thread(publisher.publish, "wx/out/wife", b"x" * (30 * MEGABYTE))
            )
            for _ in range(50):
                listener.client.set_paused(paused=True)
                await asyncio.sleep(0)
                listener.client.set_paused(paused=False)
                await asyncio.sleep(0.002)
            assert (await listener.delivery()).payload == b"x" * (30 * MEGABYTE)
            await large


async def test_a_paused_client_also_pauses_after_a_reconnect_and_still_reads_connack(
    start_mosquitto: StartMosquitto,
):
    broker = start_mosquitto("max_queued_messages 0\n")
    async with running_client(broker.url) as listener:
        await listener.connection()
        broker.kill()
        await listener.end()
        listener.client.set_paused(paused=True)
        broker.start()
        await listener.connection()
        with Subscriber(broker.port, "none") as publisher:
            await asyncio.to_thread(publisher.publish, "wx/out/wife", b"later")
        assert listener._delivered.empty()
        listener.client.set_paused(paused=False)
        assert (await listener.delivery()).payload == b"later"


async def test_a_hundred_megabytes_arrive_across_pauses(start_mosquitto: StartMosquitto):
    broker = start_mosquitto()
    async with running_client(broker.url, filters=("wx/out/#",)) as listener:
        await listener.connection()
        with Subscriber(broker.port, "none") as publisher:
            data = b"x" * (100 * MEGABYTE)
            await asyncio.to_thread(publisher.publish, "wx/out/wife/file/" + "n" * 240, data)
            delivery = await listener.delivery()
            assert len(delivery.payload) == len(data)
            listener.client.acknowledge(delivery)
