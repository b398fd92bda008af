"""Takes away what a broker keeps of a client that is no more: retained topics, and the session."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from wx2mqtt.errors import NotConnected
from wx2mqtt.mqtt.broker import Connected, Delivery, Disconnected, Publication
from wx2mqtt.mqtt.client import MqttClient
from wx2mqtt.mqtt.options import MqttOptions

CLEANUP_TIMEOUT_SECONDS = 15.0
"""Seconds for a connection, and again for each answer."""
FATAL_REASONS = frozenset({"credentials", "unfit", "version"})


class _NullListener:
    """A `BrokerListener` that wants nothing but a connection."""

    def __init__(self) -> None:
        self.settled = asyncio.Event()
        self.reason = ""
        self.refused = False

    async def on_session_start(self) -> None:
        """See `BrokerListener`."""

    def on_connected(self, _connection: Connected) -> None:
        """See `BrokerListener`."""
        self.reason = ""
        self.settled.set()

    def on_disconnected(self, gone: Disconnected) -> None:
        """See `BrokerListener`."""
        self.reason = gone.reason
        self.refused = gone.code in FATAL_REASONS
        if self.refused:
            self.settled.set()
        else:
            self.settled.clear()

    def on_delivery(self, _delivery: Delivery) -> None:
        """See `BrokerListener`; nothing is subscribed."""

    async def wait_connected(self) -> None:
        """Wait for a connection. Raises `NotConnected`."""
        try:
            async with asyncio.timeout(CLEANUP_TIMEOUT_SECONDS):
                await self.settled.wait()
        except TimeoutError:
            raise NotConnected(self.reason or "the broker does not answer") from None
        if self.refused:
            raise NotConnected(self.reason)


async def clear_client(options: MqttOptions, topics: Sequence[str]) -> list[str]:
    """Connect as this client with nothing kept, clear `topics`, go; its session is gone with that.

    Returns the topics that the broker does not let us clear. Raises `NotConnected` with the reason.
    """
    clean = replace(options, clean=True, session_expiry=0, will=None, subscriptions=())
    link, visitor = MqttClient(clean), _NullListener()
    running = asyncio.create_task(link.run(visitor))
    try:
        await visitor.wait_connected()
        return [topic for topic in topics if not await _cleared(link, visitor, topic)]
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def _cleared(link: MqttClient, listener: _NullListener, topic: str) -> bool:
    """Nothing is retained there any more; an empty message takes away what was.

    Mosquitto with `max_queued_messages 0` hangs up instead of refusing: twice in a row is no.
    """
    for _ in range(2):
        error = await _answer(link, topic)
        if not isinstance(error, NotConnected):
            return error is None
        listener.settled.clear()
        await listener.wait_connected()
    return False


async def _answer(link: MqttClient, topic: str) -> Exception | None:
    done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    link.publish(Publication(topic=topic, payload=b"", retain=True), done.set_result)
    try:
        async with asyncio.timeout(CLEANUP_TIMEOUT_SECONDS):
            return await done
    except TimeoutError:
        raise NotConnected("the broker does not acknowledge") from None
