"""The MQTT client of one account: one connection after another, for as long as `run` runs.

`ReconnectPolicy` says where to connect and how long to wait before it, `MqttConnection` is one attempt and
the connection that it gives. The client stores nothing: without a connection each publish fails at once.
`clear_client` removes what a broker has stored for a client that is no longer used.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
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
            await asyncio.sleep(delay.seconds)
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

    def abort(self) -> None:
        self._is_aborted = True
        if self._connection is not None:
            self._connection.on_closed(None)  # as if the broker had closed it: without DISCONNECT

    async def _connect_once(self, target: ConnectTarget, listener: BrokerListener) -> ConnectionEnd:
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


@asynccontextmanager
async def running(client: MqttClient, listener: BrokerListener) -> AsyncIterator[None]:
    """Runs the client for as long as the block runs."""
    task = asyncio.create_task(client.run(listener))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


# Ends after which a person must act: there is no connection before.
FATAL_REASONS = frozenset({EndReason.CREDENTIALS, EndReason.UNFIT, EndReason.VERSION})


class ConnectionWaiter:
    """A `BrokerListener` that waits for a connection and ignores messages; for clients without a bridge."""

    def __init__(self) -> None:
        #: Why there is no connection; empty while there is one, and before the first attempt has ended.
        self.reason = ""
        self._decided = asyncio.Event()  # there is a connection, or there can be none
        self._refused = False  # the last attempt has ended with one of `FATAL_REASONS`

    async def on_session_start(self) -> None:
        """Does nothing: this client keeps no state of a session."""

    def on_delivery(self, delivery: Delivery) -> None:
        """Does nothing; a subclass may."""

    def on_connected(self, _connection: Connected) -> None:
        self.reason = ""
        self._decided.set()

    def on_disconnected(self, gone: Disconnected) -> None:
        self.reason = gone.reason
        self._refused = gone.code in FATAL_REASONS
        if self._refused:
            self._decided.set()
        else:
            self._decided.clear()

    def reset(self) -> None:
        """Waits for the next connection, not for the last one."""
        self._decided.clear()

    async def wait_connected(self, seconds: float | None) -> None:
        """Raises NotConnected with the reason where there is no connection in time; None waits for ever."""
        await wait_at_most(self._decided, seconds)
        if self._refused or not self._decided.is_set():
            raise NotConnected(self.reason or "the broker does not answer")


# How long Home Assistant may need to remove a device whose announcement was cleared.
WITHDRAWAL_SECONDS = 2.0

# Seconds for the connection of `clear_client`, and again for each PUBACK.
CLEANUP_TIMEOUT_SECONDS = 15.0

# mosquitto with `max_queued_messages 0` closes the connection instead of refusing a publish.
MAX_ATTEMPTS_PER_TOPIC = 2


async def clear_client(
    options: MqttOptions, topics: Sequence[str], *, announcements: Sequence[str] = ()
) -> list[str]:
    """Connects as this client with a clean session, which deletes the stored one, and clears topics.

    1. `announcements`: Home Assistant removes the devices, which takes it a moment.
    2. `topics`: nobody reads them any more. An empty state of a device that is there is an error in its log.

    Returns the topics that the broker does not allow to clear. Raises NotConnected with the reason.
    """
    clean = replace(options, clean=True, session_expiry=0, will=None, subscriptions=())
    client, waiter = MqttClient(clean), ConnectionWaiter()
    async with running(client, waiter):
        await waiter.wait_connected(CLEANUP_TIMEOUT_SECONDS)
        refused = [topic for topic in announcements if not await _clear(client, waiter, topic)]
        if announcements:
            await asyncio.sleep(WITHDRAWAL_SECONDS)
        return refused + [topic for topic in topics if not await _clear(client, waiter, topic)]


async def _clear(client: MqttClient, waiter: ConnectionWaiter, topic: str) -> bool:
    """Removes a retained message with an empty one. Returns False where the broker refuses it."""
    for _ in range(MAX_ATTEMPTS_PER_TOPIC):
        done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        client.publish(Publication(topic=topic, payload=b"", retain=True), done.set_result)
        try:
            async with asyncio.timeout(CLEANUP_TIMEOUT_SECONDS):
                error = await done
        except TimeoutError:
            raise NotConnected("the broker does not acknowledge") from None
        if not isinstance(error, NotConnected):
            return error is None
        waiter.reset()
        await waiter.wait_connected(CLEANUP_TIMEOUT_SECONDS)
    return False
