"""The MQTT client of one account: one connection after another, for as long as `run` runs.

`ReconnectPolicy` says where to connect and how long to wait before it, `MqttConnection` is one attempt and
the connection that it gives. The client stores nothing: without a connection each publish fails at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

import structlog

from wx2mqtt.aio import notify, raised_at, wait_at_most
from wx2mqtt.clock import loop_time
from wx2mqtt.errors import NotConnected
from wx2mqtt.mqtt.broker import (
    BrokerListener,
    Connected,
    Delivery,
    Disconnected,
    ProbeTopics,
    Publication,
    PublishCallback,
)
from wx2mqtt.mqtt.connection import WATCHDOG_SLACK_SECONDS, MqttConnection
from wx2mqtt.mqtt.options import MqttOptions, parse_broker_url
from wx2mqtt.mqtt.reconnect import ConnectionEnd, ConnectTarget, Delay, EndReason, ReconnectPolicy

log = structlog.get_logger(__name__)


class MqttClient:
    """`BrokerClient` over MQTT: when a connection has ended, `run` waits and makes the next one.

    `chance` returns numbers in [0, 1) for the jitter.
    """

    def __init__(self, options: MqttOptions, chance: Callable[[], float] = random.random) -> None:
        """Raises ValueError for an URL that cannot be parsed."""
        #: Ends of established connections.
        self.disconnect_count = 0
        #: Messages that could not be read.
        self.dropped_count = 0
        self._options = options
        self._chance = chance
        addresses = tuple(map(parse_broker_url, options.urls))
        self._policy = ReconnectPolicy(addresses=addresses, protocol=options.protocol)
        self._connection: MqttConnection | None = None
        #: The password with which the last connection was made, or tried.
        self._tried_password = options.password
        #: Ends the delay before the next attempt.
        self._retry_requested = asyncio.Event()
        self._paused = False
        self._is_aborted = False
        self._retry_at = loop_time()
        self._last_reported = ""

    @property
    def connect_count(self) -> int:
        """Connections that were ever established."""
        if self._connection is not None and self._connection.was_connected:
            return self.disconnect_count + 1
        return self.disconnect_count

    @property
    def connection(self) -> Connected | None:
        return self._connection.connection if self._connection is not None else None

    @property
    def progress_deadline(self) -> float:
        if self._connection is not None:
            return self._connection.progress_deadline
        return self._retry_at + WATCHDOG_SLACK_SECONDS

    async def run(self, listener: BrokerListener) -> None:
        while not self._is_aborted:
            ended = await self._connect_once(self._policy.target, listener)
            if self._is_aborted:
                break
            self._policy, delay = self._policy.after(ended, loop_time(), self._chance())
            self._retry_at = loop_time() + delay.seconds
            self._report_end(ended, delay, listener)
            await wait_at_most(self._retry_requested, delay.seconds)
            self._retry_requested.clear()
        await asyncio.Event().wait()  # aborted: nothing more happens until it is cancelled

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        if self._connection is None:
            notify(on_acknowledged, NotConnected())
        else:
            self._connection.publish(publication, on_acknowledged)

    def flush(self) -> None:
        if self._connection is not None:
            self._connection.flush()

    def acknowledge(self, delivery: Delivery) -> None:
        if self._connection is not None:
            self._connection.acknowledge(delivery)

    async def honours_retain_handling(self, topics: ProbeTopics) -> bool:
        return self._connection is not None and await self._connection.honours_retain_handling(topics)

    def set_paused(self, *, paused: bool) -> None:
        self._paused = paused
        if self._connection is not None:
            self._connection.set_paused(paused=paused)

    def set_password(self, password: str | None) -> None:
        if password == self._options.password:
            return
        self._options = replace(self._options, password=password)
        if self.connection is None:
            self._retry_requested.set()

    @property
    def uses_old_password(self) -> bool:
        return self.connection is not None and self._tried_password != self._options.password

    def abort(self) -> None:
        self._is_aborted = True
        if self._connection is not None:
            self._connection.abort()

    async def _connect_once(self, target: ConnectTarget, listener: BrokerListener) -> ConnectionEnd:
        self._tried_password = self._options.password
        connection = MqttConnection(self._options, target, self.connect_count + 1, listener)
        connection.set_paused(paused=self._paused)
        self._connection = connection
        try:
            return await connection.run()
        except Exception as error:  # noqa: BLE001 - no fault inside a connection may end the client
            log.error("link failed", error=type(error).__name__, at=raised_at(error))
            return ConnectionEnd(end=EndReason.UNREACHABLE, reason=f"internal error: {type(error).__name__}")
        finally:
            self._connection = None
            self.dropped_count += connection.dropped_count
            if connection.was_connected:
                self.disconnect_count += 1
                self._last_reported = ""
                self._retry_requested.clear()  # set while this connection was being made

    def _report_end(self, ended: ConnectionEnd, delay: Delay, listener: BrokerListener) -> None:
        if delay.silent:
            log.info("trying the broker another way", reason=ended.reason)
            return
        reason = f"{ended.reason}; standing by" if delay.standby else ended.reason
        is_repeated = reason == self._last_reported  # an hour without a broker is one line in the log
        level = log.debug if is_repeated else log.warning
        level("no connection to the broker", reason=reason, retry_in=round(delay.seconds, 1))
        self._last_reported = reason
        disconnected = Disconnected(
            reason=reason, retry_in=delay.seconds, standby=delay.standby, code=ended.end.value
        )
        notify(listener.on_disconnected, disconnected)
