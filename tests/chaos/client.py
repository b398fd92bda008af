"""The MQTT clients of a run, which publish and subscribe as automations do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.chaos.evidence import Publication
from tests.support.deadlines import allowed

SESSION_SECONDS = 3600
RECONNECT_SECONDS = 0.05
KEEPALIVE_SECONDS = 10
CONNECT_SECONDS = 15.0


class Client:
    """A client whose session the broker keeps; it reconnects at once. All callbacks run on the event loop.

    With several ports, which are those of one cluster, it tries the next one after each connection that ends or
    fails. `connections` counts CONNACKs. `on_message` is called with each publication, in order.
    """

    def __init__(
        self,
        port: int | Sequence[int],
        client_id: str,
        *filters: str,
        on_message: Callable[[Publication], None] = lambda _: None,
    ) -> None:
        self.connections = 0
        self._ports = cycle((port,) if isinstance(port, int) else port)
        self._filters = filters
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._publishing = asyncio.Lock()
        self._acknowledged = asyncio.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(RECONNECT_SECONDS, RECONNECT_SECONDS)  # type: ignore[arg-type]
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._message_received
        self._client.on_publish = self._puback
        if not isinstance(port, int):
            self._client.on_disconnect = self._set_next_address
            self._client.on_connect_fail = self._set_next_address

    async def open(self) -> None:
        """Connects; returns when the subscriptions are granted."""
        self._set_next_address()
        self._client.loop_start()
        async with asyncio.timeout(allowed(CONNECT_SECONDS)):
            await self._ready.wait()

    async def close(self) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def publish(
        self, topic: str, payload: bytes | str, on_begin: Callable[[], None] = lambda: None, **properties: Any
    ) -> None:
        """Publishes with QoS 1, again after each reconnect; returns at the PUBACK.

        One message at a time: after a reconnect paho would send new ones before old ones. `on_turn` is called
        when all messages before this one are acknowledged.
        """
        wanted = Properties(PacketTypes.PUBLISH)
        for name, value in properties.items():
            setattr(wanted, name, value)
        async with self._publishing:
            on_begin()
            self._acknowledged.clear()
            self._client.publish(topic, payload, qos=1, properties=wanted)
            await self._acknowledged.wait()

    # called in paho's thread

    def _set_next_address(self, *_: object) -> None:
        """Sets the address of the next connection."""
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = SESSION_SECONDS
        self._client.connect_async(
            "127.0.0.1", next(self._ports), KEEPALIVE_SECONDS, clean_start=False, properties=session
        )

    def _connected(self, client: paho.Client, *_: object) -> None:
        if self._filters:
            client.subscribe([(name, 1) for name in self._filters])
        self._loop.call_soon_threadsafe(self._on_connected)

    def _subscribed(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ready.set)

    def _message_received(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        properties = message.properties
        publication = Publication(
            topic=message.topic,
            payload=bytes(message.payload),
            retain=message.retain,
            dup=message.dup,
            at=time.monotonic(),
            correlation=bytes(getattr(properties, "CorrelationData", b"")),
        )
        self._loop.call_soon_threadsafe(self._on_message, publication)

    def _puback(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._acknowledged.set)

    # called on the loop

    def _on_connected(self) -> None:
        self.connections += 1
        if not self._filters:
            self._ready.set()
