"""The link to the broker: one conversation after another, for as long as `run` runs."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial

import structlog

from wx2mqtt.errors import NotConnected
from wx2mqtt.mqtt.broker import (
    BrokerListener,
    Connected,
    Delivery,
    Disconnected,
    Publication,
    PublishCallback,
)
from wx2mqtt.mqtt.connection import WATCHDOG_SLACK_SECONDS, MqttConnection
from wx2mqtt.mqtt.options import MqttOptions, parse_broker_url
from wx2mqtt.mqtt.reconnect import ConnectionEnd, ConnectTarget, Delay, EndReason, ReconnectPolicy
from wx2mqtt.mqtt.unacked import notify, raised_at

log = structlog.get_logger(__name__)


class MqttClient:
    """`BrokerClient` over MQTT. Raises ValueError for a URL that is none.

    `connects` and `disconnects` count connections that stood, `dropped` messages that no client can read.
    """

    def __init__(self, options: MqttOptions, chance: Callable[[], float] = random.random) -> None:
        self.connect_count = 0
        self.disconnect_count = 0
        self.dropped_count = 0
        self._options = options
        self._chance = chance
        self._policy = ReconnectPolicy(
            addresses=tuple(map(parse_broker_url, options.urls)), protocol=options.protocol
        )
        self._connection: MqttConnection | None = None
        self._paused = False
        self._retry_at = time.monotonic()
        self._last_reported = ""

    @property
    def connection(self) -> Connected | None:
        """As `Link.current`."""
        return self._connection.connection if self._connection is not None else None

    @property
    def progress_deadline(self) -> float:
        """By when the link has done its next step, if all is well, of the monotonic clock (for the watchdog).

        It is later than now also while a broker is away, since then the next step is to try again.
        """
        return (
            self._connection.progress_deadline
            if self._connection is not None
            else self._retry_at + WATCHDOG_SLACK_SECONDS
        )

    async def run(self, listener: BrokerListener) -> None:
        """As `Link.run`. Cancelled, it tells all open publishes `NotConnected` and the listener nothing."""
        while True:
            ended = await self._connect_once(self._policy.target, listener)
            self._policy, pause = self._policy.after(ended, time.monotonic(), self._chance())
            self._retry_at = time.monotonic() + pause.seconds
            self._report_end(ended, pause, listener)
            await asyncio.sleep(pause.seconds)

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        """As `Link.publish`."""
        if self._connection is None:
            notify(on_acknowledged, NotConnected())
        else:
            self._connection.publish(publication, on_acknowledged)

    def acknowledge(self, delivery: Delivery) -> None:
        """As `Link.acknowledge`."""
        if self._connection is not None:
            self._connection.acknowledge(delivery)

    def set_paused(self, *, paused: bool) -> None:
        """As `Link.pause`."""
        self._paused = paused
        if self._connection is not None:
            self._connection.set_paused(paused=paused)

    async def _connect_once(self, target: ConnectTarget, listener: BrokerListener) -> ConnectionEnd:
        conversation = MqttConnection(
            self._options,
            target,
            self.connect_count + 1,
            on_session_start=listener.on_session_start,
            on_connected=partial(self._on_connected, listener),
            on_delivery=listener.on_delivery,
        )
        conversation.set_paused(paused=self._paused)
        before, self._connection = self.connect_count, conversation
        try:
            return await conversation.run()
        except Exception as error:  # noqa: BLE001 - the supervisor: no fault of ours may end the link
            log.error("link failed", error=type(error).__name__, at=raised_at(error))
            return ConnectionEnd(end=EndReason.UNREACHABLE, reason=f"internal error: {type(error).__name__}")
        finally:
            self.disconnect_count += self.connect_count - before
            self.dropped_count += conversation.dropped_count
            self._connection = None

    def _on_connected(self, listener: BrokerListener, connected: Connected) -> None:
        self.connect_count += 1
        self._last_reported = ""
        log.info(
            "connected to the broker",
            url=connected.url,
            protocol=connected.protocol,
            session_present=connected.session_present,
            receive_maximum=connected.receive_maximum,
            packet_limit=connected.packet_limit,
            session_expiry=connected.session_expiry,
        )
        listener.on_connected(connected)

    def _report_end(self, ended: ConnectionEnd, pause: Delay, listener: BrokerListener) -> None:
        if pause.silent:
            log.info("trying the broker another way", reason=ended.reason)
            return
        reason = f"{ended.reason}; standing by" if pause.standby else ended.reason
        say = (
            log.debug if reason == self._last_reported else log.warning
        )  # an hour without a broker is one line
        say("no connection to the broker", reason=reason, retry_in=round(pause.seconds, 1))
        self._last_reported = reason
        gone = Disconnected(
            reason=reason, retry_in=pause.seconds, standby=pause.standby, code=ended.end.value
        )
        notify(listener.on_disconnected, gone)
