"""A line that breaks at any byte: nothing that was acknowledged is lost, nothing is sent that was not asked for."""

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


class Pump(RecordingListener):
    """Publishes numbers in order; what was not acknowledged is published again after the next connection."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = list(range(MESSAGES))
        self.open = 0
        self.acknowledged: set[int] = set()
        self.all = asyncio.Event()

    def on_connected(self, connection):
        super().on_connected(connection)
        self.waiting.sort()
        self.send()

    def send(self) -> None:
        while self.waiting and self.open < WINDOW and self.client.connection is not None:
            number = self.waiting.pop(0)
            self.open += 1
            self.client.publish(message(payload=b"%d" % number), partial(self.listener, number))

    def listener(self, number: int, error: Exception | None) -> None:
        self.open -= 1
        if error is None:
            assert number not in self.acknowledged, "told twice"
            self.acknowledged.add(number)
        else:
            self.waiting.append(number)
        self.send()
        if len(self.acknowledged) == MESSAGES:
            self.all.set()


class Reader(RecordingListener):
    """Keeps the numbers that arrive and acknowledges them."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []
        self.last = asyncio.Event()

    def on_delivery(self, delivery: Delivery) -> None:
        self.numbers.append(int(delivery.payload))
        self.client.acknowledge(delivery)
        if self.numbers[-1] == MESSAGES - 1:
            self.last.set()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken line is tried again at once: the waits have tests of their own."""
    monkeypatch.setattr(reconnect, "MAX_LOCAL_DELAY_SECONDS", 0.01)


def first_seen(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


@chaos
@pytest.mark.parametrize("seed", range(repetitions(2, 4)))
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_what_was_acknowledged_arrived_in_order_and_what_was_not_was_told(
    start_mosquitto: StartMosquitto, protocol, seed
):
    dice = Random(seed)
    broker = start_mosquitto("max_queued_messages 0\n")
    async with (
        cutting_proxy(broker.port, lambda: dice.randint(500, 6_000)) as line,
        running_client(broker.url, client_id="reader", filters=("wx/in/#",), listener=Reader()) as reader,
    ):
        assert isinstance(reader, Reader)
        await reader.connection()  # it has subscribed
        async with running_client(line.url, client_id="writer", protocol=protocol, listener=Pump()) as pump:
            assert isinstance(pump, Pump)
            await asyncio.wait_for(pump.all.wait(), MAX_WAIT_SECONDS)
        await asyncio.wait_for(reader.last.wait(), MAX_WAIT_SECONDS)
    assert line.cuts > 10
    assert first_seen(reader.numbers) == list(range(MESSAGES))
    again = len(reader.numbers) - MESSAGES
    assert again <= WINDOW * line.cuts, "at most what was open at each cut"


@chaos
@pytest.mark.parametrize("seed", range(repetitions(2, 4)))
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_every_command_is_delivered_over_a_line_that_breaks(
    start_mosquitto: StartMosquitto, protocol, seed
):
    dice = Random(seed)
    broker = start_mosquitto("max_queued_messages 0\n")
    async with (
        cutting_proxy(broker.port, lambda: dice.randint(500, 6_000)) as line,
        running_client(
            line.url, client_id="reader", filters=("wx/in/#",), protocol=protocol, listener=Reader()
        ) as reader,
    ):
        assert isinstance(reader, Reader)
        await reader.connection()
        async with running_client(broker.url, client_id="writer", listener=Pump()) as pump:
            assert isinstance(pump, Pump)
            await asyncio.wait_for(pump.all.wait(), MAX_WAIT_SECONDS)
            await asyncio.wait_for(reader.last.wait(), MAX_WAIT_SECONDS)
    assert line.cuts > 10
    assert first_seen(reader.numbers) == list(range(MESSAGES))
