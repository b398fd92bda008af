"""Removes what a broker has stored for a client that is no longer used: retained topics and the session."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from wx2mqtt.errors import NotConnected
from wx2mqtt.mqtt.broker import Connected, Delivery, Disconnected, Publication
from wx2mqtt.mqtt.client import MqttClient
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.reconnect import EndReason

# Seconds for the connection, and again for each PUBACK.
CLEANUP_TIMEOUT_SECONDS = 15.0

# mosquitto with `max_queued_messages 0` closes the connection instead of refusing a publish.
MAX_ATTEMPTS_PER_TOPIC = 2

FATAL_REASONS = frozenset({EndReason.CREDENTIALS, EndReason.UNFIT, EndReason.VERSION})


class _ConnectionWaiter:
    """A `BrokerListener` that waits for a connection and expects no messages."""

    def __init__(self) -> None:
        self._decided = asyncio.Event()  # there is a connection, or there can be none
        self._reason = ""
        self._refused = False

    async def on_session_start(self) -> None:
        """Does nothing."""

    def on_connected(self, _connection: Connected) -> None:
        self._reason = ""
        self._decided.set()

    def on_disconnected(self, gone: Disconnected) -> None:
        self._reason = gone.reason
        self._refused = gone.code in FATAL_REASONS
        if self._refused:
            self._decided.set()
        else:
            self._decided.clear()

    def on_delivery(self, _delivery: Delivery) -> None:
        """Never called: nothing is subscribed."""

    def reset(self) -> None:
        """Waits for the next connection, not for the last one."""
        self._decided.clear()

    async def wait_connected(self) -> None:
        """Waits for a connection. Raises NotConnected with the reason."""
        try:
            async with asyncio.timeout(CLEANUP_TIMEOUT_SECONDS):
                await self._decided.wait()
        except TimeoutError:
            raise NotConnected(self._reason or "the broker does not answer") from None
        if self._refused:
            raise NotConnected(self._reason)


async def clear_client(options: MqttOptions, topics: Sequence[str]) -> list[str]:
    """Connects as this client with a clean session, which deletes the stored one, and clears `topics`.

    Returns the topics that the broker does not allow to clear. Raises NotConnected with the reason.
    """
    clean = replace(options, clean=True, session_expiry=0, will=None, subscriptions=())
    client = MqttClient(clean)
    waiter = _ConnectionWaiter()
    client_task = asyncio.create_task(client.run(waiter))
    try:
        await waiter.wait_connected()
        return [topic for topic in topics if not await _clear(client, waiter, topic)]
    finally:
        client_task.cancel()
        with suppress(asyncio.CancelledError):
            await client_task


async def _clear(client: MqttClient, waiter: _ConnectionWaiter, topic: str) -> bool:
    """Removes a retained message with an empty one. Returns False where the broker refuses it."""
    for _ in range(MAX_ATTEMPTS_PER_TOPIC):
        error = await _publish_empty(client, topic)
        if not isinstance(error, NotConnected):
            return error is None
        waiter.reset()
        await waiter.wait_connected()
    return False


async def _publish_empty(client: MqttClient, topic: str) -> Exception | None:
    done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    client.publish(Publication(topic=topic, payload=b"", retain=True), done.set_result)
    try:
        async with asyncio.timeout(CLEANUP_TIMEOUT_SECONDS):
            return await done
    except TimeoutError:
        raise NotConnected("the broker does not acknowledge") from None
