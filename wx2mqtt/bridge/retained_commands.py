"""Clears retained commands and requests at the broker, which would deliver them again at every start."""

from __future__ import annotations

from collections import Counter

from wx2mqtt.bridge.inflight import InflightWindow
from wx2mqtt.mqtt.broker import Connected, Delivery, Publication


class RetainedCommands:
    """Clears topics with an empty retained payload, and recognizes these payloads when they come back.

    A broker with MQTT 3.1.1 delivers them to the bridge as well, which subscribes to these topics. A failed
    clear is not repeated: the retained command comes again at the next start.
    """

    def __init__(self, inflight: InflightWindow) -> None:
        self._inflight = inflight
        self._pending_clears: Counter[str] = Counter()
        self._receives_own_publishes = False

    def on_session_start(self) -> None:
        """Expects no payloads from an earlier session: the broker does not deliver them any more."""
        self._pending_clears.clear()

    def on_connected(self, connection: Connected) -> None:
        """Records whether the broker delivers own publishes: MQTT 3.1.1 has no No Local."""
        self._receives_own_publishes = connection.protocol != "5"

    def clear(self, topic: str) -> None:
        """Clears a topic."""
        receives_own_publishes = self._receives_own_publishes

        def on_acknowledged(error: Exception | None) -> None:
            if error is not None and receives_own_publishes:
                self._pending_clears[topic] -= 1

        self._pending_clears[topic] += receives_own_publishes
        self._inflight.publish_first(Publication(topic=topic, payload=b"", retain=True), on_acknowledged)

    def is_own_clear(self, delivery: Delivery) -> bool:
        """Returns whether a delivery is an own clear; each clear accounts for one delivery."""
        if delivery.payload or not self._pending_clears[delivery.topic]:
            return False
        self._pending_clears[delivery.topic] -= 1
        return True
