"""Signs of life: when to ask the broker for one, and when to take it for dead. Pure.

Paho's own keepalive needs up to twice the interval to see that a broker is dead, and takes one for dead that
is only busy with a large packet (mqtt 7.1.2).

What is subscribed on one connection: asked for at its beginning, and again where it was refused.

What is said over one connection: greeting, subscriptions, messages both ways, signs of life, the end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial

import structlog

from wx2mqtt.aio import run_in_daemon_thread
from wx2mqtt.errors import NotConnected, PublishRefused
from wx2mqtt.mqtt.broker import Connected, Delivery, Publication, PublishCallback
from wx2mqtt.mqtt.options import MqttOptions, parse_server_references
from wx2mqtt.mqtt.packets import (
    MAX_PACKET_BYTES,
    PUBACK,
    PUBREC,
    PublishPacket,
    pack_properties,
    short_packet,
    wire_size,
)
from wx2mqtt.mqtt.paho_codec import ConnackLimits, refuses_mqtt_5
from wx2mqtt.mqtt.reason_codes import (
    FAILURE,
    PACKET_TOO_LARGE,
    QOS_UNSUPPORTED,
    SERVER_LEAVING_CODES,
    SERVER_MOVED,
    TOPIC_NAME,
    UNSUPPORTED_VERSION,
    broken_text,
    not_mqtt_text,
    reason_text,
    scrub_reason,
    unanswered_text,
    unreachable_text,
)
from wx2mqtt.mqtt.reconnect import ConnectionEnd, ConnectTarget, EndReason, end_reason
from wx2mqtt.mqtt.transport import SocketTransport
from wx2mqtt.mqtt.unacked import UnackedPublishes, notify, raised_at

PING_AFTER_KEEPALIVES, DEAD_AFTER_KEEPALIVES = 0.5, 1.25
"""Parts of the keepalive; with the interval of the checks it stays below 1.5."""


class KeepAliveAction(Enum):
    """What to do now."""

    WAIT = auto()
    PING = auto()
    DEAD = auto()


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """`keepalive` in seconds; all times are of one steady clock."""

    keepalive: float

    @property
    def interval(self) -> float:
        """Seconds between two checks."""
        return min(1.0, self.keepalive / 8)

    @property
    def timeout(self) -> float:
        """Seconds without a sign of life after which the broker is dead."""
        return self.keepalive * DEAD_AFTER_KEEPALIVES

    def check(
        self, now: float, *, received: float, sent: float, drained: float, pinged: float
    ) -> KeepAliveAction:
        """Times of the last byte in and out, of the last progress with a backlog, and of the last PINGREQ."""
        if now - max(received, drained) >= self.timeout:
            return KeepAliveAction.DEAD
        waiting = pinged > received
        if not waiting and now - min(received, sent) >= self.keepalive * PING_AFTER_KEEPALIVES:
            return KeepAliveAction.PING
        return KeepAliveAction.WAIT


log = structlog.get_logger(__name__)


REFUSED_FILTER_RETRY_SECONDS = 300.0
"""Seconds after which a refused filter is tried again: rights change while we run."""


class Subscriptions:
    """`ask` sends SUBSCRIBE and gives its packet id."""

    def __init__(self, filters: tuple[str, ...], send_subscribe: Callable[[Sequence[str]], int]) -> None:
        self._filters = filters
        self._send_subscribe = send_subscribe
        self._pending: dict[int, tuple[str, ...]] = {}
        self._retry_at = 0.0
        self.refused_filters: tuple[str, ...] = ()

    def start(self) -> None:
        """At every connection: it is idempotent, and the session may be lost or another's."""
        self._send(self._filters)

    def on_suback(self, mid: int, codes: Sequence[int], now: float) -> bool:
        """SUBACK. True if it answers what was asked."""
        filters = self._pending.pop(mid, None)
        if filters is None:
            return False
        given = dict(zip(filters, codes, strict=False))
        refused = tuple(name for name in filters if given.get(name, FAILURE) >= FAILURE)
        for name in refused:
            if name not in self.refused_filters:
                log.warning("subscription refused", filter=name, reason=reason_text(given.get(name, FAILURE)))
        for name in set(self.refused_filters) - set(refused):
            log.info("subscription granted after all", filter=name)
        self.refused_filters = refused
        self._retry_at = now + REFUSED_FILTER_RETRY_SECONDS
        return True

    def retry_refused(self, now: float) -> None:
        """Ask again for what was refused, when it is time."""
        if self.refused_filters and not self._pending and now >= self._retry_at:
            self._send(self.refused_filters)

    def _send(self, filters: tuple[str, ...]) -> None:
        if filters:
            self._pending[self._send_subscribe(filters)] = filters


CONNECT_TIMEOUT_SECONDS = 30.0
"""Seconds for name, TCP, TLS and WebSocket together."""


HANDSHAKE_IDLE_SECONDS = 10.0
"""Seconds without a byte while CONNACK or SUBACK is due; some nodes of a cluster never answer."""


VERSION_PROBE_DELAY_SECONDS = 1.0
"""Seconds without a word on our CONNECT after which we ask apart whether MQTT 5 is known there."""


SESSION_START_TIMEOUT_SECONDS = 5.0
"""Seconds that the listener may take to note that a session begins."""


DISCONNECT_TIMEOUT_SECONDS = 1.0
"""Seconds for the broker to take our DISCONNECT and close."""


WATCHDOG_SLACK_SECONDS = 10.0


class MqttConnection:
    """One attempt at one broker; `hold` it until it ends.

    `stands` is told once that it is usable, `delivered` of every message. `number` marks its deliveries.
    """

    def __init__(
        self,
        options: MqttOptions,
        target: ConnectTarget,
        connection_number: int,
        *,
        on_session_start: Callable[[], Awaitable[None]],
        on_connected: Callable[[Connected], None],
        on_delivery: Callable[[Delivery], None],
    ) -> None:
        self.connection: Connected | None = None
        self.dropped_count = 0
        self._options = options
        self._target = target
        self._connection_number = connection_number
        self._on_session_start = on_session_start
        self._on_connected = on_connected
        self._on_delivery = on_delivery
        self._v5 = target.protocol == "5"
        self._ended: asyncio.Future[ConnectionEnd] = asyncio.get_running_loop().create_future()
        self._transport = SocketTransport(options, target, self)
        filters = tuple(subscription.filter for subscription in options.subscriptions)
        self._subscriptions = Subscriptions(filters, self._transport.subscribe)
        self._connack_limits: ConnackLimits | None = None
        self._connack_refusal: tuple[int, str, str] | None = None
        self._unacked = UnackedPublishes(0)
        self._packet_limit = MAX_PACKET_BYTES
        self._keepalive = KeepAlive(options.keepalive or HANDSHAKE_IDLE_SECONDS)
        self._timer: asyncio.TimerHandle | None = None
        self._version_probe: asyncio.Task[None] | None = None
        self._session_task: asyncio.Task[None] | None = None
        self._started_at = self._checked_at = time.monotonic()
        self._pinged_at = self._connected_at = 0.0
        self._early_deliveries: list[Delivery] = []
        self._at_qos_2: set[int] = set()
        self._leaving = self._paused = False

    async def run(self) -> ConnectionEnd:
        """Connect and stay; how it ended. To cancel it says goodbye to the broker first."""
        try:
            await asyncio.wait_for(self._transport.open(), CONNECT_TIMEOUT_SECONDS)
            self._check()
            return await asyncio.shield(self._ended)
        except OSError as error:
            reason = unreachable_text(error, self._target.address)
            return ConnectionEnd(end=EndReason.UNREACHABLE, reason=reason, is_local=self._transport.is_local)
        except asyncio.CancelledError:
            await self._disconnect()
            raise
        finally:
            self._stop()

    @property
    def progress_deadline(self) -> float:
        """By when this has gone on or ended, if all is well; of the monotonic clock."""
        if self.connection is None:
            return (
                self._started_at
                + CONNECT_TIMEOUT_SECONDS
                + 2 * HANDSHAKE_IDLE_SECONDS
                + WATCHDOG_SLACK_SECONDS
            )
        return (
            max(self._checked_at, self._transport.socket.received_at + self._keepalive.timeout)
            + WATCHDOG_SLACK_SECONDS
        )

    # what the bridge asks for

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        """As `Link.publish`."""
        current = self.connection
        if current is None:
            notify(on_acknowledged, NotConnected())
            return
        try:
            mid = self._send(publication, current)
        except (PublishRefused, NotConnected) as error:
            notify(on_acknowledged, error)
        else:
            self._unacked.add(mid, on_acknowledged, time.monotonic())

    def acknowledge(self, delivery: Delivery) -> None:
        """As `Link.acknowledge`; nothing is due at QoS 0, where `mid` is 0."""
        if delivery.connection_number == self._connection_number and delivery.mid and not self._ended.done():
            self._send_acknowledgement(delivery.mid)

    def set_paused(self, *, paused: bool) -> None:
        """As `Link.pause`; the greeting is heard all the same."""
        self._paused = paused
        if self.connection is not None:
            self._transport.set_reading(enabled=not paused)

    def _send(self, publication: Publication, current: Connected) -> int:
        """The packet id. Raises PublishRefused where it can be known, and NotConnected."""
        try:
            properties = pack_properties(publication) if self._v5 else b""
            size = wire_size(publication.topic.encode(), publication.payload, properties)
            if size > self._packet_limit:
                reason = f"the message needs {size} bytes, the broker takes {self._packet_limit}"
                raise PublishRefused(reason, code=PACKET_TOO_LARGE, too_large=True)
            if not publication.topic or "\0" in publication.topic:
                raise ValueError("paho lets these through")
            return self._transport.publish(
                publication.topic,
                publication.payload,
                retain=publication.retain and current.retain_available,
                properties=properties,
            )
        except ValueError:  # a wildcard, a surrogate, more than 65,535 bytes
            raise PublishRefused("the topic cannot be published to", code=TOPIC_NAME) from None

    def _send_acknowledgement(self, mid: int) -> None:
        at_qos_2 = mid in self._at_qos_2
        self._at_qos_2.discard(mid)
        self._transport.send(short_packet(PUBREC if at_qos_2 else PUBACK, mid))

    # what the broker says (`wire.Hears`)

    def on_connack(self, limits: ConnackLimits) -> None:
        if limits.maximum_qos < 1:
            self._finish(EndReason.UNFIT, reason_text(QOS_UNSUPPORTED))
            return
        self._connack_limits = limits
        self._unacked = UnackedPublishes(limits.receive_maximum)
        self._packet_limit = limits.packet_limit or MAX_PACKET_BYTES
        wanted = self._options.keepalive or HANDSHAKE_IDLE_SECONDS
        self._keepalive = KeepAlive(min(wanted, limits.keepalive) if limits.keepalive else wanted)
        self._schedule_check()
        if limits.session_present:
            self._subscribe(limits)
        else:
            self._session_task = asyncio.create_task(self._start_session(limits))

    async def _start_session(self, limits: ConnackLimits) -> None:
        """A session without subscriptions gets nothing: now is the time to note that it is another one."""
        try:
            await asyncio.wait_for(self._on_session_start(), SESSION_START_TIMEOUT_SECONDS)
        except Exception as error:  # noqa: BLE001 - as in `notify`: his own fault, and a full disk is no reason
            log.error("listener failed", error=type(error).__name__, at=raised_at(error))
        if not self._ended.done():
            self._subscribe(limits)

    def _subscribe(self, limits: ConnackLimits) -> None:
        if self._options.subscriptions:
            self._subscriptions.start()
        else:
            self._mark_connected(limits)

    def on_connack_refused(self, code: int, reason_string: str, reference: str) -> None:
        self._connack_refusal = (code, reason_string, reference)

    def on_suback(self, mid: int, codes: Sequence[int]) -> None:
        if not self._subscriptions.on_suback(mid, codes, time.monotonic()) or self._connack_limits is None:
            return
        if self.connection is None:
            self._mark_connected(self._connack_limits)
        else:
            self.connection = replace(self.connection, refused_filters=self._subscriptions.refused_filters)

    def on_puback(self, mid: int, code: int, reason_string: str) -> None:
        if code < FAILURE:
            self._unacked.settle(mid, None)
            return
        too_large = code == PACKET_TOO_LARGE
        self._unacked.settle(
            mid, PublishRefused(self._reason_text(code, reason_string), code=code, too_large=too_large)
        )

    def on_publish(self, packet: PublishPacket) -> None:
        if self._leaving or self._ended.done():
            return
        if packet.qos == 2:  # only of a session that another program left behind
            self._at_qos_2.add(packet.mid)
        if packet.topic is None:
            self._drop(packet.mid, "impossible topic")
            return
        delivery = self._delivery(packet, packet.topic)
        if self.connection is None:
            self._early_deliveries.append(delivery)
        else:
            notify(self._on_delivery, delivery)

    def on_malformed_publish(self, mid: int) -> None:
        self._drop(mid, "damaged properties")

    def on_closed(self, code: int, reason_string: str, reference: str) -> None:
        if self._connack_refusal is not None:
            code, reason_string, reference = self._connack_refusal
        stood = self.connection is not None
        if code < 0:
            self._finish(EndReason.LOST if stood else EndReason.UNREACHABLE, self._broken_reason())
        else:
            self._finish(
                end_reason(code, was_connected=stood), self._reason_text(code, reason_string), code, reference
            )

    def _drop(self, mid: int, why: str) -> None:
        """Acknowledged all the same: the broker would deliver it again for ever."""
        log.warning("message dropped", why=why)
        self.dropped_count += 1
        if mid:
            self._send_acknowledgement(mid)

    def _delivery(self, packet: PublishPacket, topic: str) -> Delivery:
        return Delivery(
            topic=topic,
            payload=packet.payload,
            mid=packet.mid,
            dup=packet.dup,
            retain=packet.retain,
            connection_number=self._connection_number,
            content_type=packet.content_type,
            response_topic=packet.response_topic,
            correlation=packet.correlation,
            expiry=packet.expiry,
        )

    def _mark_connected(self, limits: ConnackLimits) -> None:
        """The connection is usable."""
        self._connected_at = time.monotonic()
        session_expiry = (
            self._options.session_expiry if limits.session_expiry is None else limits.session_expiry
        )
        self.connection = Connected(
            url=str(self._target.address),
            protocol=self._target.protocol,
            session_present=limits.session_present,
            receive_maximum=self._unacked.size,
            packet_limit=limits.packet_limit,
            retain_available=limits.retain_available,
            connection_number=self._connection_number,
            refused_filters=self._subscriptions.refused_filters,
            session_expiry=session_expiry if self._v5 else None,
        )
        notify(self._on_connected, self.connection)
        self._transport.set_reading(enabled=not self._paused)
        early, self._early_deliveries = self._early_deliveries, []
        for delivery in early:
            notify(self._on_delivery, delivery)

    # time

    def _check(self) -> None:
        """Once in a while: is there life, is anything overdue."""
        if self._ended.done():
            return
        self._schedule_check()
        self._checked_at = now = time.monotonic()
        if self.connection is None:
            self._check_handshake(now - self._transport.socket.received_at)
            return
        self._check_keepalive(now)
        self._subscriptions.retry_refused(now)
        if self._paused:
            return  # its acknowledgements may be waiting unread
        if not self._transport.socket.has_backlog and not self._unacked.fail_overdue(now):
            self._finish(EndReason.LOST, f"{self._target.address.endpoint} acknowledges nothing")

    def _check_handshake(self, silence: float) -> None:
        if silence >= HANDSHAKE_IDLE_SECONDS:
            reason = f"{self._target.address.endpoint} took the connection and said nothing"
            self._finish(EndReason.UNREACHABLE, self._with_hint(reason))
        elif (
            silence >= VERSION_PROBE_DELAY_SECONDS
            and self._version_probe is None
            and self._options.protocol == "auto"
            and self._v5
        ):
            self._version_probe = asyncio.create_task(self._probe_version())

    async def _probe_version(self) -> None:
        if await run_in_daemon_thread(partial(refuses_mqtt_5, self._target.address, self._options.tls)):
            self._finish(EndReason.VERSION, reason_text(UNSUPPORTED_VERSION))

    def _schedule_check(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._keepalive.interval, self._check)

    def _check_keepalive(self, now: float) -> None:
        stream = self._transport.socket
        heard = (
            now if self._paused else stream.received_at
        )  # who does not listen cannot call the other one dead
        sign = self._keepalive.check(
            now, received=heard, sent=stream.sent_at, drained=stream.drained_at, pinged=self._pinged_at
        )
        if sign is KeepAliveAction.PING:
            self._pinged_at = now
            self._transport.ping()
        elif sign is KeepAliveAction.DEAD:
            self._finish(EndReason.LOST, broken_text(TimeoutError(), self._target.address))

    # the end

    def _reason_text(self, code: int, reason_string: str) -> str:
        secrets = (self._options.password, self._target.address.password)
        return scrub_reason(reason_text(code, reason_string), *secrets)

    def _broken_reason(self) -> str:
        stream, address = self._transport.socket, self._target.address
        return self._with_hint(broken_text(stream.error, address)) if stream.ended else not_mqtt_text(address)

    def _with_hint(self, reason: str) -> str:
        if self._connack_limits is not None:
            return reason
        return unanswered_text(reason, self._target.address, self._target.protocol)

    def _finish(self, end: EndReason, reason: str, code: int = -1, reference: str = "") -> None:
        if self._ended.done():
            return
        stood = time.monotonic() - self._connected_at if self.connection is not None else 0.0
        ended = ConnectionEnd(
            end=end,
            reason=reason,
            connected_seconds=stood,
            is_local=self._transport.is_local,
            server_leaving=code in SERVER_LEAVING_CODES,
            references=parse_server_references(reference, self._target.address),
            permanent=code == SERVER_MOVED,
        )
        self._ended.set_result(ended)
        self._stop()

    async def _disconnect(self) -> None:
        """The session stays with the broker, the will is not published."""
        self._leaving = True
        self.connection = None
        if self._connack_limits is not None and not self._ended.done():
            self._transport.send_disconnect()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._ended), DISCONNECT_TIMEOUT_SECONDS)

    def _stop(self) -> None:
        self.connection = None
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._version_probe, self._session_task):
            if task is not None:
                task.cancel()
        self._transport.close()
        self._unacked.close()
