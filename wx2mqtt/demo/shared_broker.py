"""The demo at a broker that others use: one bridge at a time, and nothing left behind.

A module of its own: the environment starts the parts, and this speaks to a broker that is not the demo's.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from wx2mqtt.aio import wait_at_most
from wx2mqtt.errors import NotConnected, Wx2MqttError
from wx2mqtt.mqtt.broker import Connected, Delivery, Disconnected
from wx2mqtt.mqtt.cleanup import FATAL_REASONS, clear_client
from wx2mqtt.mqtt.client import MqttClient
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.settings.addresses import EMBEDDED, validate_broker_url
from wx2mqtt.values import frozen

CONNECT_SECONDS = 10.0
STATE_SECONDS = 1.0
"""Time in which the broker sends a retained message after the subscription."""


@frozen
class BrokerLogin:
    """A broker that runs already, with user name and password if it asks for them."""

    url: str
    username: str | None = None
    password: str | None = None


def broker_login(url: str) -> BrokerLogin:
    """Splits `mqtt://name:password@host:1883`. Raises ValueError with a sentence."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return BrokerLogin(url=validate_broker_url(url))
    address = validate_broker_url(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
    if address == EMBEDDED:
        raise ValueError("without --broker the demo has an embedded broker")
    name, password = parts.username, parts.password
    return BrokerLogin(
        url=address,
        username=None if name is None else unquote(name),
        password=None if password is None else unquote(password),
    )


class BridgeStateReader:
    """A `BrokerListener` that waits for the retained state of a bridge."""

    def __init__(self, client: MqttClient) -> None:
        self._client = client
        self.settled = asyncio.Event()
        self.received = asyncio.Event()
        self.fault = "it does not answer"
        self.state = ""

    async def on_session_start(self) -> None:
        """Does nothing: no session is kept."""

    def on_connected(self, _connection: Connected) -> None:
        self.fault = ""
        self.settled.set()

    def on_disconnected(self, gone: Disconnected) -> None:
        self.fault = gone.reason
        if gone.code in FATAL_REASONS:
            self.settled.set()

    def on_delivery(self, delivery: Delivery) -> None:
        self._client.acknowledge(delivery)
        self.state = delivery.payload.decode("utf-8", "replace")
        self.received.set()


async def refuse_second_bridge(options: MqttOptions, base: str) -> None:
    """Raises `Wx2MqttError` if the broker cannot be used, or a bridge with these topics is online there."""
    state = f"{base}/bridge/state"
    # Of MQTT 5 the client asks for no retained messages.
    reading = replace(options, protocol="3.1.1", clean=True, session_expiry=0, will=None)
    client = MqttClient(replace(reading, subscriptions=(state,)))
    reader = BridgeStateReader(client)
    client_task = asyncio.create_task(client.run(reader))
    try:
        await wait_at_most(reader.settled, CONNECT_SECONDS)
        if reader.fault:
            raise Wx2MqttError(f"The broker of --broker cannot be used: {reader.fault}")
        await wait_at_most(reader.received, STATE_SECONDS)
        if reader.state == "online":
            raise Wx2MqttError(
                f"A bridge uses the topics {base}/# of this broker: stop it, or give the demo another broker."
            )
    finally:
        client_task.cancel()
        await asyncio.wait({client_task})


async def clear_demo(options: MqttOptions, topics: Sequence[str]) -> None:
    """Removes what the broker keeps of the demo; says so where that is not possible."""
    try:
        left = await clear_client(options, topics)
    except NotConnected:
        left = [*topics]
    if left:
        print(f"The broker keeps these topics of the demo: {', '.join(left)}", file=sys.stderr)
