"""One connection to a broker, from CONNECT to its end (`ConnectionState`).

`run` opens the socket, waits for the end and returns its reason. The client calls the public methods, the
transport the `on_…` methods, and a timer `_check`. Each of them can end the connection by `_finish`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from enum import Enum, auto

import structlog

from wx2mqtt.aio import notify, raised_at
from wx2mqtt.clock import loop_time
from wx2mqtt.errors import NotConnected, PublishRefused
from wx2mqtt.limits import MAX_PENDING_BYTES
from wx2mqtt.mqtt.broker import BrokerListener, Connected, Delivery, ProbeTopics, Publication, PublishCallback
from wx2mqtt.mqtt.broker_features import VERSION_PROBE_DELAY_SECONDS, RetainProbe, refuses_mqtt_5
from wx2mqtt.mqtt.connection_errors import ConnectionTexts
from wx2mqtt.mqtt.options import MqttOptions, parse_server_references
from wx2mqtt.mqtt.packets import (
    FIRST_FAILURE_CODE,
    MAX_PACKET_BYTES,
    MAX_PACKET_ID,
    PACKET_TOO_LARGE,
    QOS_UNSUPPORTED,
    SERVER_LEAVING_CODES,
    SERVER_MOVED,
    TOPIC_NAME_INVALID,
    UNSUPPORTED_VERSION,
    BrokerReason,
    PubackPacket,
    acknowledgement,
    publish_head,
    subscribe_packet,
)
from wx2mqtt.mqtt.paho_codec import ConnackLimits
from wx2mqtt.mqtt.reconnect import ConnectionEnd, ConnectTarget, EndReason, end_reason
from wx2mqtt.mqtt.transport import KeepAlive, SocketTransport
from wx2mqtt.mqtt.unacked import Subscriptions, UnackedPublishes

log = structlog.get_logger(__name__)

# Seconds for name resolution, TCP, TLS and WebSocket together.
CONNECT_TIMEOUT_SECONDS = 30.0

# Seconds without a byte while CONNACK or SUBACK is due; some nodes of a cluster never answer.
HANDSHAKE_IDLE_SECONDS = 10.0

# Seconds that the listener may take to store that a session begins.
SESSION_START_TIMEOUT_SECONDS = 5.0

# Seconds for the broker to read DISCONNECT and to close the connection.
DISCONNECT_TIMEOUT_SECONDS = 1.0

# Seconds by which `progress_deadline` lies later than the last moment at which all is still well.
WATCHDOG_SLACK_SECONDS = 10.0


class ConnectionState(Enum):
    """In this order; each state can also be followed by ENDED."""

    #: `run` opens the socket and sends CONNECT; a CONNACK that accepts ends this state.
    OPENING = auto()
    #: The listener stores that a new session begins, SUBSCRIBE is sent. Its SUBACK ends this state, or so
    #: many deliveries of a kept session that the listener must be able to pause them.
    SUBSCRIBING = auto()
    #: Messages go in both directions; PINGREQ is sent while there are none.
    CONNECTED = auto()
    #: `run` was cancelled: DISCONNECT is sent, and the broker closes the connection.
    CLOSING = auto()
    #: The socket is closed, and what waited for an acknowledgement has failed.
    ENDED = auto()


class MqttConnection:
    """One attempt, and the connection if it succeeds; `run` it once. A `PacketHandler` of its transport.

    Methods that are named like those of `BrokerClient` do the same on this connection.
    """

    def __init__(
        self, options: MqttOptions, target: ConnectTarget, connection_number: int, listener: BrokerListener
    ) -> None:
        handshake_seconds = CONNECT_TIMEOUT_SECONDS + 2 * HANDSHAKE_IDLE_SECONDS
        #: When the next step must be done, on the event loop's clock; else the connection ends.
        self.progress_deadline = loop_time() + handshake_seconds + WATCHDOG_SLACK_SECONDS
        #: Deliveries that could not be read; they were acknowledged.
        self.dropped_count = 0
        #: What the broker has granted, while the connection is established.
        self.connection: Connected | None = None
        self.was_connected = False
        self._options = options
        self._target = target
        self._v5 = target.is_mqtt_5
        self._texts = ConnectionTexts(options, target)
        self._connection_number = connection_number
        self._listener = listener
        self._state = ConnectionState.OPENING
        self._paused = False
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[ConnectionEnd] = self._loop.create_future()
        self._transport = SocketTransport(options, target, self, connection_number)
        #: Writes what was published in this turn of the event loop.
        self.flush = self._transport.flush
        self._limits = ConnackLimits(session_present=False)  # of the CONNACK, once there is one
        self._established_at = 0.0
        self._last_packet_id = 0
        self._unacked = UnackedPublishes(0)
        self._subscriptions = Subscriptions()
        self._early_deliveries: list[Delivery] = []  # they arrived before SUBACK
        self._early_bytes = 0
        self._retain_probe: RetainProbe | None = None  # once it is asked for
        self._keepalive = KeepAlive(options.keepalive or HANDSHAKE_IDLE_SECONDS)
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> ConnectionEnd:
        """Connects and returns how the attempt or the connection ended. Cancelled, it sends DISCONNECT."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):  # `wait_for` may forget a cancellation
                await self._transport.open()
            self._tasks.append(asyncio.create_task(self._probe_version()))
            self._check()
            return await asyncio.shield(self._ended)
        except OSError as error:
            reason = self._texts.not_opened(error)
            return ConnectionEnd(end=EndReason.UNREACHABLE, reason=reason, is_local=self._transport.is_local)
        except asyncio.CancelledError:
            await self._disconnect()
            raise
        finally:
            self._stop()

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        if self._state is not ConnectionState.CONNECTED:
            notify(on_acknowledged, NotConnected())
            return
        mid = self._next_packet_id()
        retain = publication.retain and self._limits.retain_available
        try:
            head = publish_head(publication, mid, retain=retain, v5=self._v5)
        except ValueError:
            refusal = PublishRefused("the topic cannot be published to", code=TOPIC_NAME_INVALID)
            notify(on_acknowledged, refusal)
            return
        size = len(head) + len(publication.payload)
        limit = self._limits.packet_limit or MAX_PACKET_BYTES
        if size > limit:
            reason = f"the message needs {size} bytes, the broker takes {limit}"
            notify(on_acknowledged, PublishRefused(reason, code=PACKET_TOO_LARGE, too_large=True))
            return
        self._transport.send(head, publication.payload)
        self._unacked.add(mid, on_acknowledged, self._loop.time())

    def acknowledge(self, delivery: Delivery) -> None:
        is_current = delivery.connection_number == self._connection_number
        if is_current and delivery.mid and self._state is not ConnectionState.ENDED:  # mid is 0 at QoS 0
            self._transport.send(acknowledgement(delivery.mid, delivery.qos))

    async def honours_retain_handling(self, topics: ProbeTopics) -> bool:
        may_ask = self._v5 and self._limits.retain_available
        if not may_ask or self._state is not ConnectionState.CONNECTED:
            return False
        if self._retain_probe is None:
            self._retain_probe = RetainProbe(topics, self._transport.send, self._next_packet_id)
        return await asyncio.shield(self._retain_probe.verdict)

    def set_paused(self, *, paused: bool) -> None:
        # CONNACK and SUBACK are read all the same.
        self._paused = paused
        if self._state is ConnectionState.CONNECTED:
            self._transport.set_reading(enabled=not paused)

    # opening: CONNACK, session, SUBSCRIBE, SUBACK

    async def _probe_version(self) -> None:
        """Asks a broker that does not answer CONNECT whether it refuses MQTT 5."""
        if self._options.protocol != "auto" or not self._v5:
            return
        await asyncio.sleep(VERSION_PROBE_DELAY_SECONDS)
        if self._state is not ConnectionState.OPENING:
            return
        if await refuses_mqtt_5(self._target.address, self._options.tls):
            self._finish(EndReason.VERSION, self._texts.refused(UNSUPPORTED_VERSION))

    def on_connack(self, limits: ConnackLimits) -> None:
        if limits.maximum_qos < 1:
            self._finish(EndReason.UNFIT, self._texts.refused(QOS_UNSUPPORTED))
            return
        self._state = ConnectionState.SUBSCRIBING
        self._limits = limits
        self._unacked = UnackedPublishes(limits.receive_maximum)
        keepalive = self._options.keepalive or HANDSHAKE_IDLE_SECONDS
        self._keepalive = KeepAlive(min(keepalive, limits.keepalive) if limits.keepalive else keepalive)
        self._schedule_check()
        if limits.session_present:
            self._subscribe_all()
        else:
            self._tasks.append(asyncio.create_task(self._start_session()))

    async def _start_session(self) -> None:
        """Notifies the listener before it subscribes: a session without subscriptions delivers nothing."""
        try:
            await asyncio.wait_for(self._listener.on_session_start(), SESSION_START_TIMEOUT_SECONDS)
        except Exception as error:  # noqa: BLE001 - as in `notify`; a full disk must not end the connection
            log.error("listener failed", error=type(error).__name__, at=raised_at(error))
        if self._state in {ConnectionState.SUBSCRIBING, ConnectionState.CONNECTED}:
            self._subscribe_all()

    def _subscribe_all(self) -> None:
        if self._options.subscriptions:
            self._subscribe(self._options.subscriptions)
        else:
            self._complete_handshake()

    def _subscribe(self, filters: tuple[str, ...]) -> None:
        mid = self._next_packet_id()
        self._transport.send(subscribe_packet(filters, mid, v5=self._v5))
        self._subscriptions.pending[mid] = filters

    def on_suback(self, mid: int, codes: Sequence[int]) -> None:
        if not self._subscriptions.on_suback(mid, codes, loop_time()):
            return
        if self._state is ConnectionState.SUBSCRIBING:
            self._complete_handshake()
        elif self.connection is not None:
            self.connection = replace(self.connection, refused_filters=self._subscriptions.refused_filters)

    def _complete_handshake(self) -> None:
        if self._state is not ConnectionState.SUBSCRIBING:
            return  # so many deliveries came that the SUBACK was not awaited
        self._state = ConnectionState.CONNECTED
        self._established_at = loop_time()
        self.connection = granted = self._read_grant()
        self.was_connected = True
        self.progress_deadline = self._established_at + self._keepalive.timeout + WATCHDOG_SLACK_SECONDS
        log.info(
            "connected to the broker",
            url=granted.url,
            protocol=str(granted.protocol),
            session_present=granted.session_present,
            receive_maximum=granted.receive_maximum,
            packet_limit=granted.packet_limit,
            session_expiry=granted.session_expiry,
        )
        notify(self._listener.on_connected, granted)
        self._transport.set_reading(enabled=not self._paused)
        early, self._early_deliveries = self._early_deliveries, []
        for delivery in early:
            notify(self._listener.on_delivery, delivery)

    def _read_grant(self) -> Connected:
        """Returns what the broker has granted in CONNACK and SUBACK."""
        limits = self._limits
        session_expiry = (
            self._options.session_expiry if limits.session_expiry is None else limits.session_expiry
        )
        return Connected(
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

    # acknowledgements and deliveries

    def _next_packet_id(self) -> int:
        while True:
            mid = self._last_packet_id = self._last_packet_id % MAX_PACKET_ID + 1
            if mid not in self._unacked.ids_in_use and mid not in self._subscriptions.pending:
                return mid

    def on_puback(self, packet: PubackPacket) -> None:
        if packet.code < FIRST_FAILURE_CODE:
            self._unacked.finish(packet.mid, None)
            return
        reason = self._texts.refused(packet.code, packet.reason_string)
        too_large = packet.code == PACKET_TOO_LARGE
        self._unacked.finish(packet.mid, PublishRefused(reason, code=packet.code, too_large=too_large))

    def on_publish(self, delivery: Delivery) -> None:
        if self._state in {ConnectionState.CLOSING, ConnectionState.ENDED}:
            return
        if self._retain_probe is not None and self._retain_probe.takes(delivery):
            self.acknowledge(delivery)  # for a broker that raises the QoS
            return
        if self._state is ConnectionState.CONNECTED:
            notify(self._listener.on_delivery, delivery)
        else:
            self._early_deliveries.append(delivery)
            self._early_bytes += delivery.held_bytes
            if self._early_bytes > MAX_PENDING_BYTES:
                self._complete_handshake()  # without the SUBACK: the listener may then pause the broker

    def on_malformed_publish(self, mid: int, qos: int, why: str) -> None:
        """Acknowledges a message that cannot be read: else the broker would deliver it again for ever."""
        log.warning("message dropped", why=why)
        self.dropped_count += 1
        if mid:
            self._transport.send(acknowledgement(mid, qos))

    # timeouts

    def _schedule_check(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._keepalive.interval, self._check)

    def _check(self) -> None:
        """Checks timeouts and sends PINGREQ; runs once per `KeepAlive.interval`."""
        if self._state is ConnectionState.ENDED:
            return
        self._schedule_check()
        now = loop_time()
        if self._state is not ConnectionState.CONNECTED:
            if now - self._transport.socket.received_at >= HANDSHAKE_IDLE_SECONDS:
                is_answered = self._state is not ConnectionState.OPENING
                self._finish(EndReason.UNREACHABLE, self._texts.silent(answered=is_answered))
            return
        dead_at = self._transport.socket.received_at + self._keepalive.timeout
        self.progress_deadline = max(now, dead_at) + WATCHDOG_SLACK_SECONDS
        if not self._transport.keep_alive(self._keepalive, now):
            self._finish(EndReason.LOST, self._texts.text("answers_no_more"))
            return
        if filters := self._subscriptions.filters_to_retry(now):
            self._subscribe(filters)
        if self._paused:
            return  # PUBACKs may wait in the kernel
        if not self._transport.socket.has_backlog and not self._unacked.fail_overdue(now):
            self._finish(EndReason.LOST, self._texts.text("acknowledges_nothing"))

    # the end

    def abort(self) -> None:
        self._finish(EndReason.LOST, "")  # nobody is told the reason

    def on_closed(self, reason: BrokerReason | None) -> None:
        if reason is not None:
            text = self._texts.refused(reason.code, reason.reason_string)
            self._finish(end_reason(reason.code, was_connected=self.was_connected), text, reason)
            return
        is_answered = self._state is not ConnectionState.OPENING
        text = self._texts.ended(self._transport.socket, answered=is_answered)
        self._finish(EndReason.LOST if self.was_connected else EndReason.UNREACHABLE, text)

    def _finish(self, end: EndReason, text: str, broker_reason: BrokerReason | None = None) -> None:
        """Ends the connection; only the first call has an effect."""
        if self._state is ConnectionState.ENDED:
            return
        is_connected = self._state is ConnectionState.CONNECTED
        connected_seconds = loop_time() - self._established_at if is_connected else 0.0
        ended = ConnectionEnd(
            end=end, reason=text, connected_seconds=connected_seconds, is_local=self._transport.is_local
        )
        if broker_reason is not None:
            ended = replace(
                ended,
                server_leaving=broker_reason.code in SERVER_LEAVING_CODES,
                references=parse_server_references(broker_reason.reference, self._target.address),
                permanent=broker_reason.code == SERVER_MOVED,
            )
        self._ended.set_result(ended)
        self._stop()

    async def _disconnect(self) -> None:
        """Sends DISCONNECT: the session stays with the broker, the will is not published."""
        if self._state not in {ConnectionState.SUBSCRIBING, ConnectionState.CONNECTED}:
            return
        self._state = ConnectionState.CLOSING
        self.connection = None
        self._transport.send_disconnect()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._ended), DISCONNECT_TIMEOUT_SECONDS)

    def _stop(self) -> None:
        self._state = ConnectionState.ENDED
        self.connection = None
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        if self._retain_probe is not None:
            self._retain_probe.close()
        self._transport.close()
        self._unacked.close()
