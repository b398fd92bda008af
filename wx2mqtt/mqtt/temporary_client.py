"""A client of the broker for a moment, without a bridge: for `wx2mqtt purge` and the demo.

    client, waiter = MqttClient(options), ConnectionWaiter()
    async with running(client, waiter):
        await waiter.wait_connected(15.0)

`clear_client` removes what a broker has stored for a client that is no longer used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from wx2mqtt.aio import wait_at_most
from wx2mqtt.errors import NotConnected
from wx2mqtt.mqtt.broker import BrokerListener, Connected, Delivery, Disconnected, Publication
from wx2mqtt.mqtt.client import MqttClient
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.reconnect import EndReason


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
    """A `BrokerListener` that waits for a connection, and ignores messages."""

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
