"""The MQTT client of the bridge with a listener that records what it is called with, each awaited with a bound."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.mqtt.broker import Connected, Delivery, Disconnected, Publication
from wx2mqtt.mqtt.client import MqttClient
from wx2mqtt.mqtt.options import MqttOptions

WILL = Publication(topic="wx/bridge/state", payload=b"offline", retain=True, content_type="text/plain")


class RecordingListener:
    """Keeps what it is called with; `events` has all of it in order."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.sessions = 0
        self.client: MqttClient
        self._connected: asyncio.Queue[Connected] = asyncio.Queue()
        self._disconnected: asyncio.Queue[Disconnected] = asyncio.Queue()
        self._delivered: asyncio.Queue[Delivery] = asyncio.Queue()

    async def on_session_start(self) -> None:
        self.sessions += 1

    def on_connected(self, connection: Connected) -> None:
        self.events.append(connection)
        self._connected.put_nowait(connection)

    def on_disconnected(self, gone: Disconnected) -> None:
        self.events.append(gone)
        self._disconnected.put_nowait(gone)

    def on_delivery(self, delivery: Delivery) -> None:
        self.events.append(delivery)
        self._delivered.put_nowait(delivery)

    async def connection(self) -> Connected:
        """Waits for the next connection; returns it."""
        return await asyncio.wait_for(self._connected.get(), MAX_WAIT_SECONDS)

    async def end(self) -> Disconnected:
        """Waits for the next end of a connection or failed attempt; returns it."""
        return await asyncio.wait_for(self._disconnected.get(), MAX_WAIT_SECONDS)

    async def delivery(self) -> Delivery:
        """Waits for the next message; returns it."""
        return await asyncio.wait_for(self._delivered.get(), MAX_WAIT_SECONDS)

    def publish(self, publication: Publication) -> asyncio.Future[Exception | None]:
        """Publishes; the future is the outcome that the client reports. A second report is an error."""
        answer: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.client.publish(publication, answer.set_result)
        return answer

    async def published(self, publication: Publication) -> Exception | None:
        """Publishes and waits for the outcome."""
        return await asyncio.wait_for(self.publish(publication), MAX_WAIT_SECONDS)


def options(*urls: str, filters: tuple[str, ...] = ("wx/out/#",), **more: Any) -> MqttOptions:
    """Returns options, with defaults for what most tests do not need."""
    wanted: dict[str, Any] = {
        "client_id": "wx2mqtt-test",
        "will": WILL,
        "subscriptions": filters,
    } | more
    return MqttOptions(urls=urls, **wanted)


@contextlib.asynccontextmanager
async def running_client(
    *urls: str, listener: RecordingListener | None = None, **more: Any
) -> AsyncIterator[RecordingListener]:
    """Runs a client of these URLs inside of the block; it is cancelled at the end, as the bridge does it."""
    listener = listener or RecordingListener()
    listener.client = MqttClient(options(*urls, **more), chance=lambda: 0.0)
    task = asyncio.create_task(listener.client.run(listener))
    try:
        yield listener
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, MAX_WAIT_SECONDS)


def message(topic: str = "wx/in/wife", payload: bytes = b"hi", **more: Any) -> Publication:
    """Returns a publication."""
    return Publication(topic=topic, payload=payload, **more)
