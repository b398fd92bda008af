"""Takes retained commands and requests out of the broker's store, so that they do not come at every start."""

from __future__ import annotations

from collections import Counter

from wx2mqtt.bridge.inflight import InflightWindow
from wx2mqtt.mqtt.broker import Connected, Delivery, Publication


class RetainedCommands:
    """Clears retained topics, and knows its own empty payloads that an MQTT 3.1.1 broker delivers back.

    What fails is tried again when the retained command comes again.
    """

    def __init__(self, inflight: InflightWindow) -> None:
        self._inflight = inflight
        self._pending_clears: Counter[str] = Counter()
        self._receives_own_publishes = False

    def on_session_start(self) -> None:
        """Forget what the broker was still to deliver: it keeps nothing of an earlier session."""
        self._pending_clears.clear()

    def on_connected(self, connection: Connected) -> None:
        """Remember whether this connection delivers back what it publishes: MQTT 3.1.1 has no No Local."""
        self._receives_own_publishes = connection.protocol != "5"

    def clear(self, topic: str) -> None:
        """Publish an empty retained payload."""
        receives_own_publishes = self._receives_own_publishes

        def on_acknowledged(error: Exception | None) -> None:
            if error is not None and receives_own_publishes:
                self._pending_clears[topic] -= 1

        self._pending_clears[topic] += receives_own_publishes
        self._inflight.publish_first(Publication(topic=topic, payload=b"", retain=True), on_acknowledged)

    def is_own_clear(self, delivery: Delivery) -> bool:
        """Returns whether a delivery is a clear of our own that comes back; each is counted once."""
        if delivery.payload or not self._pending_clears[delivery.topic]:
            return False
        self._pending_clears[delivery.topic] -= 1
        return True
