"""An MQTT client that keeps all that it receives, as an automation would; independent of the bridge's client."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.deadlines import MAX_WAIT_SECONDS

SUBSCRIBERS: WeakSet[Subscriber] = WeakSet()
"""All subscribers: what they receive is compared with the schemas (`schema_conformance`)."""


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message that was received."""

    topic: str
    payload: bytes
    retain: bool
    at: float
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """The payload as JSON."""
        value: dict[str, Any] = json.loads(self.payload)
        return value


class Subscriber:
    """Subscribes to `filters` at QoS 1 and keeps the messages, in order. Use as a context manager.

    With `session_seconds` (MQTT 5, needs a `client_id`) the broker keeps its session for so long.
    """

    def __init__(
        self,
        port: int,
        *filters: str,
        client_id: str = "",
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
        session_seconds: int = 0,
    ) -> None:
        self.received: list[ReceivedMessage] = []
        self.checked_count = 0  # how many of them were compared with the schemas
        self._more = threading.Condition()
        self._filters = filters or ("#",)
        self._port = port
        self._session_seconds = session_seconds
        self._v5 = protocol == MQTTProtocolVersion.MQTTv5
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol)
        self._client.max_inflight_messages_set(1000)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._message_received
        self._ready = threading.Event()
        SUBSCRIBERS.add(self)

    def __enter__(self) -> Self:
        self._client.connect_async("127.0.0.1", self._port, keepalive=10, **self._session())
        self._client.loop_start()
        assert self._ready.wait(MAX_WAIT_SECONDS), "the broker did not accept the subscriber"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        with suppress(AttributeError):  # paho's thread may end by itself while paho joins it
            self._client.loop_stop()

    def _session(self) -> dict[str, Any]:
        if not self._session_seconds:
            return {}
        wanted = Properties(PacketTypes.CONNECT)
        wanted.SessionExpiryInterval = self._session_seconds
        return {"clean_start": False, "properties": wanted}

    def publish(
        self, topic: str, payload: bytes | str, *, retain: bool = False, qos: int = 1, **properties: Any
    ) -> None:
        """Publishes and waits for the PUBACK; `properties` are those of MQTT 5, as paho names them."""
        wanted = None
        if self._v5 and properties:
            wanted = Properties(PacketTypes.PUBLISH)
            for name, value in properties.items():
                setattr(wanted, name, value)
        info = self._client.publish(topic, payload, qos=qos, retain=retain, properties=wanted)
        info.wait_for_publish(MAX_WAIT_SECONDS)
        assert info.is_published(), f"no PUBACK for {topic}"

    def say(self, topic: str, body: dict[str, Any], **properties: Any) -> None:
        """Publishes a body as JSON."""
        self.publish(topic, json.dumps(body), **properties)

    def wait(
        self,
        topic: str,
        fits: Callable[[ReceivedMessage], bool] = lambda _: True,
        *,
        since: int = 0,
        timeout: float = MAX_WAIT_SECONDS,
    ) -> ReceivedMessage:
        """Waits for the first message on `topic` that fits, at or after number `since`; returns it.

        A topic with `#` at its end stands for all topics below it.
        """
        with self._more:
            found = self._more.wait_for(lambda: self._find(topic, fits, since), timeout)
        if found is None:
            tail = "\n".join(f"{message.topic} {message.payload[:200]!r}" for message in self.received[-30:])
            raise AssertionError(f"nothing fitting on {topic} within {timeout} s; the last were:\n{tail}")
        return found

    def wait_body(
        self, topic: str, *, since: int = 0, timeout: float = MAX_WAIT_SECONDS, **wanted: Any
    ) -> dict[str, Any]:
        """Waits for the first JSON object on `topic` with these values; returns it."""

        def fits(received: ReceivedMessage) -> bool:
            return bool(received.payload) and all(
                received.body.get(key) == value for key, value in wanted.items()
            )

        return self.wait(topic, fits, since=since, timeout=timeout).body

    def wait_count(
        self, topic: str, count: int, *, timeout: float = MAX_WAIT_SECONDS
    ) -> list[ReceivedMessage]:
        """Waits until `count` messages have come on `topic`; returns all of them."""
        with self._more:
            enough = self._more.wait_for(lambda: len(self.on(topic)) >= count, timeout)
        found = self.on(topic)
        assert enough, f"only {len(found)} of {count} on {topic}"
        return found

    def wait_until(
        self, enough: Callable[[list[ReceivedMessage]], bool], timeout: float = MAX_WAIT_SECONDS
    ) -> bool:
        """Waits until `enough` is true for the messages; returns False when it is not in time."""
        with self._more:
            return self._more.wait_for(lambda: enough(self.received), timeout)

    def on(self, topic: str) -> list[ReceivedMessage]:
        """Returns all messages so far on `topic`, or below it for a `#` at its end."""
        return [message for message in self.received if _matches(message.topic, topic)]

    @property
    def count(self) -> int:
        """How many messages were received; as `since` it stands for those that come from now on."""
        return len(self.received)

    def _find(
        self, topic: str, fits: Callable[[ReceivedMessage], bool], since: int
    ) -> ReceivedMessage | None:
        return next(
            (
                message
                for message in self.received[since:]
                if _matches(message.topic, topic) and fits(message)
            ),
            None,
        )

    def _connected(self, client: paho.Client, *_: object) -> None:
        client.subscribe([(topic_filter, 1) for topic_filter in self._filters])

    def _subscribed(self, *_: object) -> None:
        self._ready.set()

    def _message_received(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        given = getattr(message, "properties", None)
        known = {} if given is None else dict(given.json())
        with self._more:
            self.received.append(
                ReceivedMessage(
                    message.topic, bytes(message.payload), message.retain, time.monotonic(), known
                )
            )
            self._more.notify_all()


def _matches(topic: str, pattern: str) -> bool:
    return topic.startswith(pattern[:-1]) if pattern.endswith("#") else topic == pattern
