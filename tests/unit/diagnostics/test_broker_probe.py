"""The MQTT clients of the doctor: every request is answered, and a broker that is of no use is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from wx2mqtt.diagnostics import broker_probe
from wx2mqtt.diagnostics.broker_probe import (
    MAX_CONNECTION_LOSSES,
    MAX_UNANSWERED_REQUESTS,
    TIMED_OUT_CODE,
    ProbeClient,
    ProbeClosed,
    ProbeConnection,
)
from wx2mqtt.mqtt.broker import Delivery, ProtocolVersion
from wx2mqtt.mqtt.options import MqttOptions, parse_broker_url
from wx2mqtt.mqtt.packets import BAD_CREDENTIALS, NOT_AUTHORIZED, BrokerReason, PubackPacket
from wx2mqtt.mqtt.paho_codec import ConnackLimits
from wx2mqtt.mqtt.reconnect import ConnectTarget, EndReason

OPTIONS = MqttOptions(urls=("mqtt://broker",), client_id="doctor")
TARGET = ConnectTarget(address=parse_broker_url("mqtt://broker"), protocol=ProtocolVersion.MQTT_5)

Answer = Callable[[Any], None]


def accept(handler: Any) -> None:
    handler.on_connack(ConnackLimits(session_present=False))


class ScriptedBroker:
    """A broker in place of the transport: it gives each CONNECT and each packet the next answer of a script.

    An answer is a function of the connection, which it calls as the reader of packets would. Without one
    CONNECT is accepted, and a packet is not answered.
    """

    def __init__(self) -> None:
        self.connects: list[Answer] = []
        self.answers: list[Answer] = []
        self.connection_count = 0

    def transport(self, _options: object, _target: object, handler: Any) -> ScriptedTransport:
        return ScriptedTransport(self, handler)


class ScriptedTransport:
    socket = SimpleNamespace(ended=False)

    def __init__(self, broker: ScriptedBroker, handler: Any) -> None:
        self._broker = broker
        self._handler = handler

    async def open(self) -> None:
        self._broker.connection_count += 1
        answer = self._broker.connects.pop(0) if self._broker.connects else accept
        answer(self._handler)

    def send(self, *_packet: bytes) -> None:
        if self._broker.answers:
            asyncio.get_running_loop().call_soon(self._broker.answers.pop(0), self._handler)

    def send_disconnect(self) -> None:
        self._handler.on_closed(None)

    def close(self) -> None:
        """Closes nothing."""


def puback(mid: int, code: int = 0) -> Answer:
    return lambda handler: handler.on_puback(PubackPacket(mid, code))


def closed(code: int | None = None) -> Answer:
    return lambda handler: handler.on_closed(None if code is None else BrokerReason(code))


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> ScriptedBroker:
    broker = ScriptedBroker()
    monkeypatch.setattr(broker_probe, "SocketTransport", broker.transport)
    monkeypatch.setattr(broker_probe, "PROBE_ANSWER_TIMEOUT_SECONDS", 0.02)
    monkeypatch.setattr(broker_probe, "MESSAGE_TIMEOUT_SECONDS", 0.02)
    return broker


async def test_a_refused_connect_raises_the_reason_of_the_broker(
    broker: ScriptedBroker,
) -> None:
    broker.connects.append(closed(BAD_CREDENTIALS))
    with pytest.raises(ProbeClosed) as raised:
        await ProbeConnection(OPTIONS, TARGET).__aenter__()
    assert (raised.value.code, raised.value.end) == (BAD_CREDENTIALS, EndReason.CREDENTIALS)


async def test_a_broker_that_does_not_answer_connect_is_unreachable(
    broker: ScriptedBroker,
) -> None:
    broker.connects.append(lambda _handler: None)
    with pytest.raises(ProbeClosed) as raised:
        await ProbeConnection(OPTIONS, TARGET).__aenter__()
    assert (raised.value.code, raised.value.end) == (TIMED_OUT_CODE, EndReason.UNREACHABLE)


async def test_each_request_has_the_answer_of_the_broker_or_timed_out(
    broker: ScriptedBroker,
) -> None:
    broker.answers += [puback(1), puback(2, NOT_AUTHORIZED)]
    async with ProbeConnection(OPTIONS, TARGET) as connection:
        accepted = await connection.publish("a")
        refused = await connection.publish("b")
        unanswered = await connection.publish("c")
    assert (accepted.is_success, accepted.reason) == (True, "")
    assert (refused.is_success, refused.code, refused.reason != "") == (False, NOT_AUTHORIZED, True)
    assert (unanswered.is_success, unanswered.timed_out) == (False, True)


async def test_a_message_is_waited_for_from_a_position_on(broker: ScriptedBroker) -> None:
    async with ProbeConnection(OPTIONS, TARGET) as connection:
        delivery = Delivery(topic="a", payload=b"", mid=0, qos=0, dup=False, retain=False)
        connection.on_publish(delivery)
        assert await connection.wait_for_message(lambda packet: packet.topic == "a") is delivery
        assert await connection.wait_for_message(lambda packet: packet.topic == "a", since=1) is None


async def test_a_client_gives_up_a_broker_that_answers_nothing(broker: ScriptedBroker) -> None:
    async with ProbeClient(OPTIONS, TARGET) as client:
        for _ in range(MAX_UNANSWERED_REQUESTS):
            assert not client.given_up
            await client.publish("a")
        assert client.given_up


async def test_an_answer_makes_a_client_go_on(broker: ScriptedBroker) -> None:
    async with ProbeClient(OPTIONS, TARGET) as client:
        await client.publish("a")
        broker.answers.append(puback(2))
        await client.publish("a")
        await client.publish("a")
        assert not client.given_up


async def test_a_client_connects_again_after_a_broker_that_closes_the_connection_for_each_refusal(
    broker: ScriptedBroker,
) -> None:
    broker.answers += [closed(NOT_AUTHORIZED), puback(1)]
    async with ProbeClient(OPTIONS, TARGET) as client:
        refused = await client.publish("a")
        assert (refused.code, refused.is_success) == (NOT_AUTHORIZED, False)
        assert (await client.publish("b")).is_success
    assert broker.connection_count == 2


async def test_a_broker_that_closes_every_connection_is_given_up(broker: ScriptedBroker) -> None:
    broker.answers += [closed() for _ in range(MAX_CONNECTION_LOSSES)]
    async with ProbeClient(OPTIONS, TARGET) as client:
        for _ in range(MAX_CONNECTION_LOSSES):
            assert not client.given_up
            await client.publish("a")
        assert client.given_up


async def test_a_filter_is_tried_again_where_the_end_of_a_used_connection_says_nothing_about_it(
    broker: ScriptedBroker,
) -> None:
    broker.answers += [puback(1), closed(), puback(1)]
    async with ProbeClient(OPTIONS, TARGET) as client:
        await client.publish("a")
        assert (await client.subscribe("b/#")).is_success
    assert broker.connection_count == 2


async def test_topics_of_earlier_connections_count_as_received(broker: ScriptedBroker) -> None:
    broker.answers += [puback(1), closed(), puback(1)]
    async with ProbeClient(OPTIONS, TARGET) as client:
        await client.publish("a")
        connection = await client.connection()
        connection.on_publish(Delivery(topic="a", payload=b"", mid=0, qos=0, dup=False, retain=False))
        await client.publish("b")
        await client.publish("c")
        assert await client.wait_for_topics({"a"}) == {"a"}
        assert await client.wait_for_topics({"b"}) == set()


async def test_a_client_that_was_given_up_before_says_so_at_once() -> None:
    async with ProbeClient(OPTIONS, TARGET, given_up=True) as client:
        assert client.given_up
