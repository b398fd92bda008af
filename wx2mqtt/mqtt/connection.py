"""One connection to a broker, from CONNECT to its end: session, subscriptions, messages and keepalive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from wx2mqtt.aio import notify, raised_at, run_in_daemon_thread
from wx2mqtt.clock import loop_time
from wx2mqtt.errors import NotConnected, PublishRefused
from wx2mqtt.mqtt.broker import BrokerListener, Connected, Delivery, Publication, PublishCallback
from wx2mqtt.mqtt.connection_errors import (
    VERSION_PROBE_DELAY_SECONDS,
    broken_text,
    not_mqtt_text,
    refuses_mqtt_5,
    unanswered_text,
    unreachable_text,
)
from wx2mqtt.mqtt.keepalive import KeepAlive, KeepAliveAction
from wx2mqtt.mqtt.options import MqttOptions, parse_server_references
from wx2mqtt.mqtt.packets import (
    MAX_PACKET_BYTES,
    PUBACK,
    PUBREC,
    PublishPacket,
    pack_properties,
    packet_ids,
    publish_size,
    short_packet,
)
from wx2mqtt.mqtt.paho_codec import NO_REASON_CODE, ConnackLimits
from wx2mqtt.mqtt.reason_codes import (
    FIRST_FAILURE_CODE,
    PACKET_TOO_LARGE,
    QOS_UNSUPPORTED,
    SERVER_LEAVING_CODES,
    SERVER_MOVED,
    TOPIC_NAME_INVALID,
    UNSUPPORTED_VERSION,
    reason_text,
    scrub_reason,
)
from wx2mqtt.mqtt.reconnect import ConnectionEnd, ConnectTarget, EndReason, end_reason
from wx2mqtt.mqtt.transport import SocketTransport
from wx2mqtt.mqtt.unacked import Subscriptions, UnackedPublishes

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_SECONDS = 30.0
"""Seconds for name resolution, TCP, TLS and WebSocket together."""
HANDSHAKE_IDLE_SECONDS = 10.0
"""Seconds without a byte while CONNACK or SUBACK is due; some nodes of a cluster never answer."""
SESSION_START_TIMEOUT_SECONDS = 5.0
"""Seconds that the listener may take to store that a session begins."""
DISCONNECT_TIMEOUT_SECONDS = 1.0
"""Seconds for the broker to read DISCONNECT and to close the connection."""
WATCHDOG_SLACK_SECONDS = 10.0
"""Seconds by which `progress_deadline` lies later than the last moment at which all is still well."""


class MqttConnection:
    """One attempt, and the connection if it succeeds; `run` it once. A `PacketHandler` of its transport.

    `connection` is what the broker granted while the connection is established. `was_connected` stays true
    after its end. `dropped_count` counts deliveries that could not be read; they were acknowledged.
    """

    def __init__(
        self, options: MqttOptions, target: ConnectTarget, connection_number: int, listener: BrokerListener
    ) -> None:
        self.connection: Connected | None = None
        self.was_connected = False
        self.dropped_count = 0
        self._options = options
        self._target = target
        self._connection_number = connection_number
        self._listener = listener
        self._v5 = target.protocol == "5"
        self._ended: asyncio.Future[ConnectionEnd] = asyncio.get_running_loop().create_future()
        self._transport = SocketTransport(options, target, self)
        self._connack_limits: ConnackLimits | None = None
        self._connack_refusal: tuple[int, str, str] | None = None
        self._packet_limit = MAX_PACKET_BYTES
        self._packet_ids: Iterator[int] = packet_ids()
        self._unacked = UnackedPublishes(0)
        self._subscriptions = Subscriptions()
        self._early_deliveries: list[Delivery] = []
        self._qos_2_mids: set[int] = set()
        self._keepalive = KeepAlive(options.keepalive or HANDSHAKE_IDLE_SECONDS)
        self._started_at = loop_time()
        self._checked_at = self._started_at
        self._connected_at = 0.0
        self._pinged_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._version_probe: asyncio.Task[None] | None = None
        self._session_task: asyncio.Task[None] | None = None
        self._disconnecting = False
        self._paused = False

    async def run(self) -> ConnectionEnd:
        """Connects and returns how the attempt or the connection ended. Cancelled, it sends DISCONNECT."""
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
        """The time, on the event loop's clock, by which the next step must be done or the connection ends."""
        if self.connection is None:
            handshake = CONNECT_TIMEOUT_SECONDS + 2 * HANDSHAKE_IDLE_SECONDS
            return self._started_at + handshake + WATCHDOG_SLACK_SECONDS
        dead_at = self._transport.socket.received_at + self._keepalive.timeout
        return max(self._checked_at, dead_at) + WATCHDOG_SLACK_SECONDS

    # called by the client

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        if self.connection is None:
            notify(on_acknowledged, NotConnected())
            return
        mid = self._next_packet_id()
        try:
            self._send_publish(publication, mid, retain_available=self.connection.retain_available)
        except (PublishRefused, NotConnected) as error:
            notify(on_acknowledged, error)
            return
        if self._options.qos(publication.topic):
            self._unacked.add(mid, on_acknowledged, loop_time())
        else:
            notify(on_acknowledged, None)

    def acknowledge(self, delivery: Delivery) -> None:
        """As `BrokerClient.acknowledge`; at QoS 0 there is nothing to acknowledge."""
        if delivery.connection_number == self._connection_number and delivery.mid and not self._ended.done():
            self._send_acknowledgement(delivery.mid)

    def set_paused(self, *, paused: bool) -> None:
        """As `BrokerClient.set_paused`; CONNACK and SUBACK are read all the same."""
        self._paused = paused
        if self.connection is not None:
            self._transport.set_reading(enabled=not paused)

    def _next_packet_id(self) -> int:
        return next(
            mid for mid in self._packet_ids if mid not in self._unacked and mid not in self._subscriptions
        )

    def _send_publish(self, publication: Publication, mid: int, *, retain_available: bool) -> None:
        """Raises PublishRefused where it is certain that the broker cannot accept it, and NotConnected."""
        try:
            properties = pack_properties(publication) if self._v5 else b""
            size = publish_size(publication.topic.encode(), publication.payload, properties)
            if size > self._packet_limit:
                reason = f"the message needs {size} bytes, the broker takes {self._packet_limit}"
                raise PublishRefused(reason, code=PACKET_TOO_LARGE, too_large=True)
            retain = publication.retain and retain_available
            self._transport.publish(
                publication.topic, publication.payload, mid, retain=retain, properties=properties
            )
        except ValueError:
            raise PublishRefused("the topic cannot be published to", code=TOPIC_NAME_INVALID) from None

    def _send_acknowledgement(self, mid: int) -> None:
        is_qos_2 = mid in self._qos_2_mids
        self._qos_2_mids.discard(mid)
        self._transport.send(short_packet(PUBREC if is_qos_2 else PUBACK, mid))

    # called by the transport (`PacketHandler`)

    def on_connack(self, limits: ConnackLimits) -> None:
        if limits.maximum_qos < 1:
            self._finish(EndReason.UNFIT, reason_text(QOS_UNSUPPORTED))
            return
        self._connack_limits = limits
        self._unacked = UnackedPublishes(limits.receive_maximum)
        self._packet_limit = limits.packet_limit or MAX_PACKET_BYTES
        keepalive = self._options.keepalive or HANDSHAKE_IDLE_SECONDS
        self._keepalive = KeepAlive(min(keepalive, limits.keepalive) if limits.keepalive else keepalive)
        self._schedule_check()
        if limits.session_present:
            self._start_subscriptions(limits)
        else:
            self._session_task = asyncio.create_task(self._start_session(limits))

    def on_connack_refused(self, code: int, reason_string: str, reference: str) -> None:
        self._connack_refusal = (code, reason_string, reference)

    def on_suback(self, mid: int, codes: Sequence[int]) -> None:
        if not self._subscriptions.on_suback(mid, codes, loop_time()) or self._connack_limits is None:
            return
        if self.connection is None:
            self._mark_connected(self._connack_limits)
        else:
            self.connection = replace(self.connection, refused_filters=self._subscriptions.refused_filters)

    def on_puback(self, mid: int, code: int, reason_string: str) -> None:
        if code < FIRST_FAILURE_CODE:
            self._unacked.settle(mid, None)
            return
        reason = self._reason_text(code, reason_string)
        too_large = code == PACKET_TOO_LARGE
        self._unacked.settle(mid, PublishRefused(reason, code=code, too_large=too_large))

    def on_publish(self, packet: PublishPacket) -> None:
        if self._disconnecting or self._ended.done():
            return
        if packet.qos == 2:  # only in a session that another program has left behind
            self._qos_2_mids.add(packet.mid)
        if packet.topic is None:
            self._drop(packet.mid, "impossible topic")
            return
        delivery = self._delivery(packet, packet.topic)
        if self.connection is None:
            self._early_deliveries.append(delivery)
        else:
            notify(self._listener.on_delivery, delivery)

    def on_malformed_publish(self, mid: int) -> None:
        self._drop(mid, "damaged properties")

    def on_closed(self, code: int, reason_string: str, reference: str) -> None:
        if self._connack_refusal is not None:
            code, reason_string, reference = self._connack_refusal
        was_connected = self.connection is not None
        if code == NO_REASON_CODE:
            self._finish(EndReason.LOST if was_connected else EndReason.UNREACHABLE, self._broken_reason())
        else:
            end = end_reason(code, was_connected=was_connected)
            self._finish(end, self._reason_text(code, reason_string), code, reference)

    # session and subscriptions

    async def _start_session(self, limits: ConnackLimits) -> None:
        """Notifies the listener before it subscribes: a session without subscriptions delivers nothing."""
        try:
            await asyncio.wait_for(self._listener.on_session_start(), SESSION_START_TIMEOUT_SECONDS)
        except Exception as error:  # noqa: BLE001 - as in `notify`; a full disk must not end the connection
            log.error("listener failed", error=type(error).__name__, at=raised_at(error))
        if not self._ended.done():
            self._start_subscriptions(limits)

    def _start_subscriptions(self, limits: ConnackLimits) -> None:
        if self._options.subscriptions:
            self._subscribe(tuple(subscription.filter for subscription in self._options.subscriptions))
        else:
            self._mark_connected(limits)

    def _subscribe(self, filters: tuple[str, ...]) -> None:
        if filters:
            mid = self._next_packet_id()
            self._transport.subscribe(filters, mid)
            self._subscriptions.add(mid, filters)

    def _mark_connected(self, limits: ConnackLimits) -> None:
        self._connected_at = loop_time()
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
        self.was_connected = True
        log.info(
            "connected to the broker",
            url=self.connection.url,
            protocol=self.connection.protocol,
            session_present=self.connection.session_present,
            receive_maximum=self.connection.receive_maximum,
            packet_limit=self.connection.packet_limit,
            session_expiry=self.connection.session_expiry,
        )
        notify(self._listener.on_connected, self.connection)
        self._transport.set_reading(enabled=not self._paused)
        early, self._early_deliveries = self._early_deliveries, []
        for delivery in early:
            notify(self._listener.on_delivery, delivery)

    # deliveries

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

    def _drop(self, mid: int, why: str) -> None:
        """Acknowledges a message that cannot be read: else the broker would deliver it again for ever."""
        log.warning("message dropped", why=why)
        self.dropped_count += 1
        if mid:
            self._send_acknowledgement(mid)

    # timers

    def _check(self) -> None:
        """Checks timeouts and sends PINGREQ; runs once per `KeepAlive.interval`."""
        if self._ended.done():
            return
        self._schedule_check()
        now = loop_time()
        self._checked_at = now
        if self.connection is None:
            self._check_handshake(now - self._transport.socket.received_at)
            return
        self._check_keepalive(now)
        self._subscribe(self._subscriptions.filters_to_retry(now))
        if self._paused:
            return  # PUBACKs may wait in the kernel
        if not self._transport.socket.has_backlog and not self._unacked.fail_overdue(now):
            self._finish(EndReason.LOST, f"{self._target.address.endpoint} acknowledges nothing")

    def _schedule_check(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._keepalive.interval, self._check)

    def _check_handshake(self, idle_seconds: float) -> None:
        if idle_seconds >= HANDSHAKE_IDLE_SECONDS:
            reason = f"{self._target.address.endpoint} took the connection and said nothing"
            self._finish(EndReason.UNREACHABLE, self._with_hint(reason))
            return
        may_fall_back = self._options.protocol == "auto" and self._v5
        if may_fall_back and self._version_probe is None and idle_seconds >= VERSION_PROBE_DELAY_SECONDS:
            self._version_probe = asyncio.create_task(self._probe_version())

    async def _probe_version(self) -> None:
        if await run_in_daemon_thread(partial(refuses_mqtt_5, self._target.address, self._options.tls)):
            self._finish(EndReason.VERSION, reason_text(UNSUPPORTED_VERSION))

    def _check_keepalive(self, now: float) -> None:
        stream = self._transport.socket
        received = now if self._paused else stream.received_at  # while nothing is read no broker is dead
        action = self._keepalive.check(
            now,
            received=received,
            sent=stream.sent_at,
            drained=stream.drained_at,
            pinged=self._pinged_at,
        )
        if action is KeepAliveAction.PING:
            self._pinged_at = now
            self._transport.ping()
        elif action is KeepAliveAction.DEAD:
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

    def _finish(self, end: EndReason, reason: str, code: int = NO_REASON_CODE, reference: str = "") -> None:
        if self._ended.done():
            return
        connected_seconds = loop_time() - self._connected_at if self.connection is not None else 0.0
        connection_end = ConnectionEnd(
            end=end,
            reason=reason,
            connected_seconds=connected_seconds,
            is_local=self._transport.is_local,
            server_leaving=code in SERVER_LEAVING_CODES,
            references=parse_server_references(reference, self._target.address),
            permanent=code == SERVER_MOVED,
        )
        self._ended.set_result(connection_end)
        self._stop()

    async def _disconnect(self) -> None:
        """Sends DISCONNECT: the session stays with the broker, the will is not published."""
        self._disconnecting = True
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
