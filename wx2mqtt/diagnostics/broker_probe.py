"""MQTT clients for tests of a broker: each request returns the broker's answer.

`ProbeConnection` is one connection. `ProbeClient` reconnects when the broker closes it, and gives up if that
is useless. No back-off, no queue, and every wait has a time limit, unlike the bridge's `MqttConnection`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

from wx2mqtt.errors import BrokerError
from wx2mqtt.mqtt.broker import Delivery, Publication
from wx2mqtt.mqtt.broker_features import VERSION_PROBE_DELAY_SECONDS, refuses_mqtt_5
from wx2mqtt.mqtt.connection import DISCONNECT_TIMEOUT_SECONDS
from wx2mqtt.mqtt.connection_errors import ConnectionTexts
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.packets import (
    FIRST_FAILURE_CODE,
    OWN_AND_RETAINED,
    UNSUPPORTED_VERSION,
    BrokerReason,
    PubackPacket,
    acknowledgement,
    publish_head,
    subscribe_packet,
)
from wx2mqtt.mqtt.paho_codec import ConnackLimits
from wx2mqtt.mqtt.reconnect import ConnectTarget, EndReason, end_reason
from wx2mqtt.mqtt.transport import SocketTransport
from wx2mqtt.values import frozen

# Time for name resolution, TCP, TLS and WebSocket together.
PROBE_CONNECT_TIMEOUT_SECONDS = 10.0

# Time for the answer to each packet.
PROBE_ANSWER_TIMEOUT_SECONDS = 5.0

# Time for a message to come back to the client that published it.
MESSAGE_TIMEOUT_SECONDS = 2.0

# In place of a reason code: the connection ended without one, and nothing was answered in time.
NO_CODE = -1
TIMED_OUT_CODE = -2

# After so many requests without an answer none is sent any more: each costs its timeout.
MAX_UNANSWERED_REQUESTS = 2

# Number of times that the broker may close the connection; some brokers do so for each refused request.
MAX_CONNECTION_LOSSES = 12


class ProbeClosed(BrokerError):
    """The connection failed or was closed. `code` is the broker's reason code, or one of the above."""

    def __init__(self, reason: str, end: EndReason, code: int = NO_CODE) -> None:
        super().__init__(reason)
        self.end = end
        self.code = code


@frozen(kw_only=False)
class ProbeAnswer:
    #: A reason code, `NO_CODE` or `TIMED_OUT_CODE`.
    code: int
    #: A sentence; empty if the broker did what was requested.
    reason: str
    #: How long it took.
    seconds: float

    @property
    def is_success(self) -> bool:
        return 0 <= self.code < FIRST_FAILURE_CODE

    @property
    def timed_out(self) -> bool:
        return self.code == TIMED_OUT_CODE


class ProbeConnection:
    """One MQTT connection: `async with ProbeConnection(options, target) as connection`.

    Raises `ProbeClosed` if it cannot connect. `limits` are those of the CONNACK. Sends DISCONNECT at the end;
    `options` decide whether the broker keeps the session.
    """

    def __init__(self, options: MqttOptions, target: ConnectTarget) -> None:
        self.limits = ConnackLimits(session_present=False)
        self.connect_seconds = 0.0
        self.received: list[Delivery] = []
        self._options = options
        self._target = target
        self._texts = ConnectionTexts(options, target)
        self._loop = asyncio.get_running_loop()
        self._connack: asyncio.Future[ConnackLimits] = self._loop.create_future()
        self._closed: asyncio.Future[ProbeClosed] = self._loop.create_future()
        self._packet_ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[PubackPacket]] = {}
        self._received_event = asyncio.Event()
        self._transport = SocketTransport(options, target, self)

    async def __aenter__(self) -> Self:
        start = time.monotonic()
        try:
            await self._open()
        except BaseException:
            self._transport.close()
            raise
        self.connect_seconds = time.monotonic() - start
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._closed.done():
            self._transport.send_disconnect()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._closed), DISCONNECT_TIMEOUT_SECONDS)
        self._transport.close()

    # requests

    async def subscribe(self, topic_filter: str) -> ProbeAnswer:
        """Subscribes to one filter, including retained and own messages; returns the answer of the SUBACK."""
        mid, v5 = next(self._packet_ids), self._target.is_mqtt_5
        packet = subscribe_packet([topic_filter], mid, v5=v5, options=OWN_AND_RETAINED)
        return await self._request(mid, packet)

    async def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> ProbeAnswer:
        """Publishes with QoS 1; returns the answer of the PUBACK, which on MQTT 3.1.1 is never a refusal."""
        mid, v5 = next(self._packet_ids), self._target.is_mqtt_5
        head = publish_head(Publication(topic=topic, payload=payload), mid, retain=retain, v5=v5)
        return await self._request(mid, head + payload)

    async def wait_for_message(self, matches: Callable[[Delivery], bool], since: int = 0) -> Delivery | None:
        """Returns the first message that matches; None if the time is over or the connection is closed.

        `since` is the index in `received` from which on messages count.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MESSAGE_TIMEOUT_SECONDS):
                while True:
                    for packet in self.received[since:]:
                        if matches(packet):
                            return packet
                    if self._closed.done():
                        return None
                    self._received_event.clear()
                    await self._received_event.wait()
        return None

    @property
    def is_connected(self) -> bool:
        return not self._closed.done()

    # connecting

    async def _open(self) -> None:
        try:
            await asyncio.wait_for(self._transport.open(), PROBE_CONNECT_TIMEOUT_SECONDS)
        except OSError as error:  # TimeoutError is one
            raise ProbeClosed(self._texts.not_opened(error), EndReason.UNREACHABLE) from None
        version_probe = asyncio.create_task(self._probe_version())
        try:
            await self._wait_for(self._connack)
        finally:
            version_probe.cancel()
        if self._connack.done():
            self.limits = self._connack.result()
        elif self._closed.done():
            raise self._closed.result()
        else:
            raise ProbeClosed(self._texts.silent(answered=False), EndReason.UNREACHABLE, TIMED_OUT_CODE)

    async def _probe_version(self) -> None:
        """Closes the connection if the broker refuses MQTT 5; amqtt leaves such a CONNECT unanswered."""
        if not self._target.is_mqtt_5:
            return
        await asyncio.sleep(VERSION_PROBE_DELAY_SECONDS)
        if await refuses_mqtt_5(self._target.address, self._options.tls):
            reason = self._texts.refused(UNSUPPORTED_VERSION)
            self._close_with(ProbeClosed(reason, EndReason.VERSION, UNSUPPORTED_VERSION))

    async def _request(self, mid: int, packet: bytes) -> ProbeAnswer:
        if self._closed.done():
            raise self._closed.result()
        start = time.monotonic()
        self._transport.send(packet)
        answer: asyncio.Future[PubackPacket] = self._loop.create_future()
        self._answers[mid] = answer
        await self._wait_for(answer)
        seconds = time.monotonic() - start
        if answer.done():
            code, reason_string = answer.result().code, answer.result().reason_string
            reason = self._texts.refused(code, reason_string) if code >= FIRST_FAILURE_CODE else ""
            return ProbeAnswer(code, reason, seconds)
        del self._answers[mid]
        if self._closed.done():
            raise self._closed.result()
        return ProbeAnswer(TIMED_OUT_CODE, self._texts.text("does_not_answer"), seconds)

    async def _wait_for(self, answer: asyncio.Future[Any]) -> None:
        """Waits for an answer of the broker, for the end of the connection, or until the time is over."""
        either, timeout = {answer, self._closed}, PROBE_ANSWER_TIMEOUT_SECONDS
        await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    # packets from the broker (`packet_reader.PacketHandler`)

    def on_connack(self, limits: ConnackLimits) -> None:
        if not self._connack.done():
            self._connack.set_result(limits)

    def on_suback(self, mid: int, codes: Sequence[int]) -> None:
        self.on_puback(PubackPacket(mid=mid, code=codes[0] if codes else FIRST_FAILURE_CODE))

    def on_puback(self, packet: PubackPacket) -> None:
        answer = self._answers.pop(packet.mid, None)
        if answer is not None and not answer.done():
            answer.set_result(packet)

    def on_publish(self, delivery: Delivery) -> None:
        if delivery.mid:
            self._transport.send(acknowledgement(delivery.mid, delivery.qos))
        self.received.append(delivery)
        self._received_event.set()

    def on_malformed_publish(self, mid: int, qos: int, _why: str) -> None:
        if mid:
            self._transport.send(acknowledgement(mid, qos))

    def on_closed(self, reason: BrokerReason | None) -> None:
        was_connected = self._connack.done()
        if reason is not None:
            end = end_reason(reason.code, was_connected=was_connected)
            text = self._texts.refused(reason.code, reason.reason_string)
            self._close_with(ProbeClosed(text, end, reason.code))
        else:
            end = EndReason.LOST if was_connected else EndReason.UNREACHABLE
            text = self._texts.ended(self._transport.socket, answered=was_connected)
            self._close_with(ProbeClosed(text, end))

    def _close_with(self, closed: ProbeClosed) -> None:
        if not self._closed.done():
            self._closed.set_result(closed)
        self._received_event.set()


class ProbeClient:
    """A client that reconnects: `async with ProbeClient(options, target) as client`.

    It connects with the first request. With `given_up` it sends none.
    """

    def __init__(
        self, options: MqttOptions, connect_target: ConnectTarget, *, given_up: bool = False
    ) -> None:
        self._options = options
        self._connect_target = connect_target
        self._stack = AsyncExitStack()
        self._connection: ProbeConnection | None = None
        self._unanswered_count = MAX_UNANSWERED_REQUESTS if given_up else 0
        self._loss_count = 0
        self._earlier_topics: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def is_mqtt_5(self) -> bool:
        return self._connect_target.is_mqtt_5

    @property
    def given_up(self) -> bool:
        """Whether further requests are useless."""
        return self._unanswered_count >= MAX_UNANSWERED_REQUESTS or self._loss_count >= MAX_CONNECTION_LOSSES

    async def connection(self) -> ProbeConnection:
        """Returns the connection; opens a new one if the last was closed. Raises `ProbeClosed`."""
        if self._connection is None or not self._connection.is_connected:
            self._earlier_topics = self.received_topics
            await self._stack.aclose()
            self._connection = await self._stack.enter_async_context(
                ProbeConnection(self._options, self._connect_target)
            )
        return self._connection

    async def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> ProbeAnswer:
        """As `ProbeConnection.publish`, but answers with the broker's code if the connection is closed."""
        try:
            connection = await self.connection()
            answer = await connection.publish(topic, payload, retain=retain)
        except ProbeClosed as closed:
            return self._answer_for_loss(closed)
        if answer.timed_out:
            self._unanswered_count += 1
        else:
            self._unanswered_count = 0
        return answer

    async def subscribe(self, topic_filter: str) -> ProbeAnswer:
        """As `ProbeConnection.subscribe`, but answers with the broker's code if the connection is closed.

        RabbitMQ refuses a filter, and hangs up after the answer: without a code, the end of a connection that
        was used before says nothing about this filter, which is tried again on a new one.
        """
        is_used = self._connection is not None and self._connection.is_connected
        try:
            connection = await self.connection()
            answer = await connection.subscribe(topic_filter)
        except ProbeClosed as closed:
            answer = self._answer_for_loss(closed)
            if is_used and answer.code == NO_CODE and not self.given_up:
                return await self.subscribe(topic_filter)
            return answer
        if answer.timed_out:
            self._unanswered_count += 1
        return answer

    async def wait_for_topics(self, topics: Collection[str]) -> set[str]:
        """Waits for messages on all of these topics; returns the topics on which some came in time."""
        connection = self._connection
        if connection is not None and not self.received_topics.issuperset(topics):
            await connection.wait_for_message(lambda _: self.received_topics.issuperset(topics))
        return self.received_topics.intersection(topics)

    @property
    def received_topics(self) -> set[str]:
        """The topics of all messages that were received, on this and on earlier connections."""
        packets = () if self._connection is None else self._connection.received
        return {*self._earlier_topics, *(packet.topic for packet in packets)}

    def _answer_for_loss(self, closed: ProbeClosed) -> ProbeAnswer:
        self._loss_count += 1
        code = closed.code
        if code == TIMED_OUT_CODE:  # not even a CONNACK
            self._unanswered_count = MAX_UNANSWERED_REQUESTS
            code = NO_CODE
        return ProbeAnswer(code, str(closed), 0.0)
