"""Connections that break at any byte: nothing acknowledged is lost, and nothing is sent that was not asked for."""

from __future__ import annotations

import asyncio
from functools import partial
from random import Random

import pytest

from tests.scenarios.conftest import StartMosquitto
from tests.support.cutting_proxy import cutting_proxy
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.mqtt_client import RecordingListener, message, running_client
from tests.support.repetitions import chaos, repetitions
from wx2mqtt.mqtt import reconnect
from wx2mqtt.mqtt.broker import Delivery

MESSAGES = 2000
WINDOW = 15


class NumberPublisher(RecordingListener):
    """Publishes numbers in order; what was not acknowledged is published again after the next connection."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = list(range(MESSAGES))
        self.unanswered_count = 0
        self.acknowledged: set[int] = set()
        self.all_acknowledged = asyncio.Event()

    def on_connected(self, connection):
        super().on_connected(connection)
        self.waiting.sort()
        self.send()

    def send(self) -> None:
        while self.waiting and self.unanswered_count < WINDOW and self.client.connection is not None:
            number = self.waiting.pop(0)
            self.unanswered_count += 1
            self.client.publish(message(payload=b"%d" % number), partial(self.on_outcome, number))

    def on_outcome(self, number: int, error: Exception | None) -> None:
        self.unanswered_count -= 1
        if error is None:
            assert number not in self.acknowledged, "told twice"
            self.acknowledged.add(number)
        else:
            self.waiting.append(number)
        self.send()
        if len(self.acknowledged) == MESSAGES:
            self.all_acknowledged.set()


class NumberReader(RecordingListener):
    """Keeps the numbers that arrive and acknowledges them."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []
        self.last_arrived = asyncio.Event()

    def on_delivery(self, delivery: Delivery) -> None:
        self.numbers.append(int(delivery.payload))
        self.client.acknowledge(delivery)
        if self.numbers[-1] == MESSAGES - 1:
            self.last_arrived.set()


@pytest.fixture(autouse=True)
def no_reconnect_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the delay before a reconnect, which has tests of its own."""
    monkeypatch.setattr(reconnect, "MAX_LOCAL_DELAY_SECONDS", 0.01)


def without_repeats(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


@chaos
@pytest.mark.parametrize("seed", range(repetitions(2, 4)))
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_acknowledged_messages_arrived_in_order_and_all_others_were_reported(
    start_mosquitto: StartMosquitto, protocol, seed
):
    random_source = Random(seed)
    broker = start_mosquitto("max_queued_messages 0\n")
    async with (
        cutting_proxy(broker.port, lambda: random_source.randint(500, 6_000)) as breaking_proxy,
        running_client(
            broker.url, client_id="reader", filters=("wx/in/#",), listener=NumberReader()
        ) as reader,
    ):
        assert isinstance(reader, NumberReader)
        await reader.connection()  # it has subscribed
        async with running_client(
            breaking_proxy.url, client_id="writer", protocol=protocol, listener=NumberPublisher()
        ) as publisher:
            assert isinstance(publisher, NumberPublisher)
            await asyncio.wait_for(publisher.all_acknowledged.wait(), MAX_WAIT_SECONDS)
        await asyncio.wait_for(reader.last_arrived.wait(), MAX_WAIT_SECONDS)
    assert breaking_proxy.cuts > 10
    assert without_repeats(reader.numbers) == list(range(MESSAGES))
    again = len(reader.numbers) - MESSAGES
    assert again <= WINDOW * breaking_proxy.cuts, "at most what was open at each cut"


@chaos
@pytest.mark.parametrize("seed", range(repetitions(2, 4)))
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_every_command_is_delivered_over_a_connection_that_breaks(
    start_mosquitto: StartMosquitto, protocol, seed
):
    random_source = Random(seed)
    broker = start_mosquitto("max_queued_messages 0\n")
    async with (
        cutting_proxy(broker.port, lambda: random_source.randint(500, 6_000)) as breaking_proxy,
        running_client(
            breaking_proxy.url,
            client_id="reader",
            filters=("wx/in/#",),
            protocol=protocol,
            listener=NumberReader(),
        ) as reader,
    ):
        assert isinstance(reader, NumberReader)
        await reader.connection()
        async with running_client(broker.url, client_id="writer", listener=NumberPublisher()) as publisher:
            assert isinstance(publisher, NumberPublisher)
            await asyncio.wait_for(publisher.all_acknowledged.wait(), MAX_WAIT_SECONDS)
            await asyncio.wait_for(reader.last_arrived.wait(), MAX_WAIT_SECONDS)
    assert breaking_proxy.cuts > 10
    assert without_repeats(reader.numbers) == list(range(MESSAGES))
