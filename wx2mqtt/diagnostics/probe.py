"""One connection on which each thing that is done gets its answer: for whoever examines a broker.

No back-off, no queue, and every wait has an end. What `MqttConnection` does for months this does for seconds.

The doctor's connection to a broker: made again where the broker ends it, given up where that is no use.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from wx2mqtt.aio import run_in_daemon_thread
from wx2mqtt.errors import BrokerError, NotConnected
from wx2mqtt.mqtt.broker import Publication
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.packets import PUBACK, PUBREC, PublishPacket, pack_properties, short_packet
from wx2mqtt.mqtt.paho_codec import ConnackLimits, refuses_mqtt_5
from wx2mqtt.mqtt.reason_codes import (
    FAILURE,
    UNSUPPORTED_VERSION,
    broken_text,
    not_mqtt_text,
    reason_text,
    scrub_reason,
    unanswered_text,
    unreachable_text,
)
from wx2mqtt.mqtt.reconnect import ConnectTarget, EndReason, end_reason
from wx2mqtt.mqtt.transport import SocketTransport

T = TypeVar("T")


PROBE_CONNECT_TIMEOUT_SECONDS = 10.0
"""Seconds for name, TCP, TLS and WebSocket together."""


PROBE_ANSWER_TIMEOUT_SECONDS = 5.0
"""Seconds for the answer to anything that we send."""


VERSION_PROBE_DELAY_SECONDS = 1.0
"""Seconds without a word on CONNECT after which it is asked apart whether MQTT 5 is known there."""


DISCONNECT_TIMEOUT_SECONDS = 1.0
"""Seconds for the broker to take our DISCONNECT and close."""


TIMED_OUT_CODE = -2
"""The `code` of what got no answer."""


class ProbeClosed(BrokerError):
    """There is no connection (any more). `code` is the broker's reason code, negative where it gave none."""

    def __init__(self, reason: str, end: EndReason, code: int = -1) -> None:
        super().__init__(reason)
        self.end = end
        self.code = code


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """What the broker said: its reason code, why in words where it says no, and after how many seconds."""

    code: int
    reason: str
    seconds: float

    @property
    def is_success(self) -> bool:
        return 0 <= self.code < FAILURE

    @property
    def timed_out(self) -> bool:
        """Nothing came in time."""
        return self.code == TIMED_OUT_CODE


class ProbeConnection:
    """`async with Enquiry(options, attempt) as enquiry`: connected, with what the broker allows in `grant`.

    Raises `ProbeClosed`. It says goodbye at the end; what the broker keeps of it then is a matter of
    `options`.
    """

    def __init__(self, options: MqttOptions, target: ConnectTarget) -> None:
        self.limits = ConnackLimits(session_present=False)
        self.connect_seconds = 0.0
        self.received: list[PublishPacket] = []
        self._options = options
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._connack: asyncio.Future[ConnackLimits] = self._loop.create_future()
        self._closed: asyncio.Future[ProbeClosed] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[tuple[int, str]]] = {}
        self._received_event = asyncio.Event()
        self._connack_refusal: tuple[int, str] | None = None
        self._transport = SocketTransport(options, target, self)

    async def __aenter__(self) -> Self:
        began = time.monotonic()
        try:
            await self._open()
        except BaseException:
            self._transport.close()
            raise
        self.connect_seconds = time.monotonic() - began
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if not self._closed.done():
            self._transport.send_disconnect()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._closed), DISCONNECT_TIMEOUT_SECONDS)
        self._transport.close()

    # what can be asked

    async def subscribe(self, topic_filter: str) -> ProbeAnswer:
        """SUBACK's answer for one filter. What we publish comes back, and what is retained there comes."""
        return await self._request(lambda: self._transport.subscribe([topic_filter], own_and_retained=True))

    async def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> ProbeAnswer:
        """PUBACK's answer to a publish at QoS 1; on 3.1.1 it never says no."""
        properties = b""
        if self._target.protocol == "5":
            properties = pack_properties(Publication(topic=topic, payload=payload))
        return await self._request(
            lambda: self._transport.publish(topic, payload, retain=retain, properties=properties)
        )

    async def wait_for_message(
        self, matches: Callable[[PublishPacket], bool], timeout_seconds: float, since: int = 0
    ) -> PublishPacket | None:
        """The first message that fits, from number `since` on; None when none has come by then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while True:
                    for incoming in self.received[since:]:
                        if matches(incoming):
                            return incoming
                    if self._closed.done():
                        return None
                    self._received_event.clear()
                    await self._received_event.wait()
        return None

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands."""
        return not self._closed.done()

    # the greeting

    async def _open(self) -> None:
        try:
            await asyncio.wait_for(self._transport.open(), PROBE_CONNECT_TIMEOUT_SECONDS)
        except OSError as error:  # TimeoutError is one
            reason = unreachable_text(error, self._target.address)
            raise ProbeClosed(reason, EndReason.UNREACHABLE) from None
        self.limits = await self._wait_unless_closed(self._connack, PROBE_ANSWER_TIMEOUT_SECONDS)

    async def _wait_unless_closed(self, awaited: asyncio.Future[T], seconds: float) -> T:
        """What is awaited, unless the connection ends before, or the time. Raises `ProbeClosed`."""
        asking = asyncio.create_task(self._probe_version())
        try:
            await _first(seconds, awaited, self._closed)
        finally:
            asking.cancel()
        if awaited.done():
            return awaited.result()
        if self._closed.done():
            raise self._closed.result()
        silence = f"{self._target.address.endpoint} took the connection and said nothing"
        raise ProbeClosed(self._with_hint(silence), EndReason.UNREACHABLE, TIMED_OUT_CODE)

    async def _probe_version(self) -> None:
        """amqtt says nothing to a CONNECT of MQTT 5 (see `probe`)."""
        if self._target.protocol != "5":
            return
        await asyncio.sleep(VERSION_PROBE_DELAY_SECONDS)
        if await run_in_daemon_thread(partial(refuses_mqtt_5, self._target.address, self._options.tls)):
            self._close_with(
                ProbeClosed(reason_text(UNSUPPORTED_VERSION), EndReason.VERSION, UNSUPPORTED_VERSION)
            )

    async def _request(self, send: Callable[[], int]) -> ProbeAnswer:
        if self._closed.done():
            raise self._closed.result()
        began = time.monotonic()
        try:
            mid = send()
        except NotConnected:
            raise ProbeClosed(self._broken_reason(), EndReason.LOST) from None
        answer: asyncio.Future[tuple[int, str]] = self._loop.create_future()
        self._answers[mid] = answer
        await _first(PROBE_ANSWER_TIMEOUT_SECONDS, answer, self._closed)
        seconds = time.monotonic() - began
        if answer.done():
            code, said = answer.result()
            return ProbeAnswer(code, self._reason_text(code, said) if code >= FAILURE else "", seconds)
        del self._answers[mid]
        if self._closed.done():
            raise self._closed.result()
        return ProbeAnswer(TIMED_OUT_CODE, f"{self._target.address.endpoint} does not answer", seconds)

    # what the broker says (`wire.Hears`)

    def on_connack(self, limits: ConnackLimits) -> None:
        if not self._connack.done():
            self._connack.set_result(limits)

    def on_connack_refused(self, code: int, reason_string: str, _reference: str) -> None:
        self._connack_refusal = (code, reason_string)

    def on_suback(self, mid: int, codes: Sequence[int]) -> None:
        self.on_puback(mid, codes[0] if codes else FAILURE, "")

    def on_puback(self, mid: int, code: int, reason_string: str) -> None:
        answer = self._answers.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result((code, reason_string))

    def on_publish(self, packet: PublishPacket) -> None:
        if packet.mid:
            self._transport.send(short_packet(PUBREC if packet.qos == 2 else PUBACK, packet.mid))
        self.received.append(packet)
        self._received_event.set()

    def on_malformed_publish(self, mid: int) -> None:
        self._transport.send(short_packet(PUBACK, mid))

    def on_closed(self, code: int, reason_string: str, _reference: str) -> None:
        stood = self._connack.done()
        if self._connack_refusal is not None:
            code, reason_string = self._connack_refusal
        if code >= 0:
            self._close_with(
                ProbeClosed(
                    self._reason_text(code, reason_string), end_reason(code, was_connected=stood), code
                )
            )
        else:
            self._close_with(
                ProbeClosed(self._broken_reason(), EndReason.LOST if stood else EndReason.UNREACHABLE)
            )

    def _close_with(self, gone: ProbeClosed) -> None:
        if not self._closed.done():
            self._closed.set_result(gone)
        self._received_event.set()

    # in words

    def _reason_text(self, code: int, reason_string: str) -> str:
        return scrub_reason(
            reason_text(code, reason_string), self._options.password, self._target.address.password
        )

    def _broken_reason(self) -> str:
        stream, address = self._transport.socket, self._target.address
        return self._with_hint(broken_text(stream.error, address) if stream.ended else not_mqtt_text(address))

    def _with_hint(self, reason: str) -> str:
        if self._connack.done():
            return reason
        return unanswered_text(reason, self._target.address, self._target.protocol)


async def _first(seconds: float, *awaited: asyncio.Future[Any]) -> None:
    await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


MAX_UNANSWERED = 2
"""Questions without an answer after which no more are asked: each has cost its seconds."""


MAX_CONNECTION_LOSSES = 12
"""Times that the broker may end the connection; some do at whatever they do not allow."""


class ProbeClient:
    """`async with Line(options, attempt) as line`. It connects when something is asked first."""

    def __init__(
        self, options: MqttOptions, connect_target: ConnectTarget, *, given_up: bool = False
    ) -> None:
        self._options = options
        self._connect_target = connect_target
        self._stack = AsyncExitStack()
        self._connection: ProbeConnection | None = None
        self._unanswered_count, self._loss_count = MAX_UNANSWERED if given_up else 0, 0
        self._earlier_topics: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def is_mqtt_5(self) -> bool:
        return self._connect_target.protocol == "5"

    @property
    def given_up(self) -> bool:
        """Whether nothing more is asked."""
        return self._unanswered_count >= MAX_UNANSWERED or self._loss_count >= MAX_CONNECTION_LOSSES

    async def connection(self) -> ProbeConnection:
        """The connection, a new one where the last is gone. Raises `ProbeClosed`."""
        if self._connection is None or not self._connection.is_connected:
            self._earlier_topics = self.received_topics
            await self._stack.aclose()
            self._connection = await self._stack.enter_async_context(
                ProbeConnection(self._options, self._connect_target)
            )
        return self._connection

    async def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> ProbeAnswer:
        """As `Enquiry.publish`; the end of the connection is an answer too, with its code."""
        try:
            enquiry = await self.connection()
            answer = await enquiry.publish(topic, payload, retain=retain)
        except ProbeClosed as gone:
            return self._answer_for_loss(gone)
        self._unanswered_count = self._unanswered_count + 1 if answer.timed_out else 0
        return answer

    async def subscribe(self, topic_filter: str) -> ProbeAnswer:
        """As `Enquiry.subscribe`; the end of the connection is an answer too."""
        try:
            enquiry = await self.connection()
            answer = await enquiry.subscribe(topic_filter)
        except ProbeClosed as gone:
            return self._answer_for_loss(gone)
        self._unanswered_count += answer.timed_out
        return answer

    async def wait_for_topics(self, topics: Collection[str], timeout_seconds: float) -> set[str]:
        """Which of these topics were heard by then."""
        enquiry = self._connection
        if enquiry is not None and not self.received_topics.issuperset(topics):
            await enquiry.wait_for_message(lambda _: self.received_topics.issuperset(topics), timeout_seconds)
        return self.received_topics.intersection(topics)

    @property
    def received_topics(self) -> set[str]:
        """The topics of all that came, on every connection."""
        now = () if self._connection is None else self._connection.received
        return {*self._earlier_topics, *(one.topic for one in now if one.topic is not None)}

    def _answer_for_loss(self, closed: ProbeClosed) -> ProbeAnswer:
        self._loss_count += 1
        if closed.code == TIMED_OUT_CODE:  # not even a greeting
            self._unanswered_count = MAX_UNANSWERED
        return ProbeAnswer(closed.code if closed.code >= 0 else -1, str(closed), 0.0)
