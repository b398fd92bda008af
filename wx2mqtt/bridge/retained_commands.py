"""Commands and requests that somebody has published with the retain flag.

    mosquitto_pub -r -t …/out/wife -m Hello  ->  sent once, and the copy that the broker keeps is removed

The broker delivers such a command at once, and its copy again at every start of the bridge. Only the first
delivery is live: `judge` tells it from a later one, and clears the topic.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import InflightWindow, RetainedPublisher
from wx2mqtt.mqtt.broker import Connected, Delivery, ProbeTopics, ProtocolVersion, Publication

# So long the broker may take to acknowledge the retained topics of the bridge, which the probe reads.
OWN_TOPICS_TIMEOUT_SECONDS = 2.0

# How many topics are remembered whose clear the broker delivers to the bridge, too (MQTT 3.1.1). A broker
# need not do it, so that without a limit they would stay for ever.
MAX_PENDING_CLEARS = 1000


class RetainedCommands:
    """Judges commands and requests with the retain flag, and clears the copies that the broker keeps of them.

    - MQTT 5: the bridge asks the broker to deliver no retained copies. If a probe on this connection shows
      that the broker obeys (`BrokerClient.honours_retain_handling`), the command is live.
    - In all other cases it may be a copy: it is refused. On MQTT 3.1.1 a live command has no flag.

    A topic is cleared by an empty retained payload. On MQTT 3.1.1 the broker delivers that to the bridge as
    well, since it subscribes to these topics: `is_own_clear` recognizes it. A failed clear is not repeated.
    """

    def __init__(self, ctx: AccountContext, inflight: InflightWindow, retained: RetainedPublisher) -> None:
        self._broker = ctx.broker
        self._probe_topics = ProbeTopics(probed=ctx.topics.state, control=ctx.topics.info)
        self._inflight = inflight
        self._retained = retained
        #: By topic, the oldest first: how many own clears the broker has not delivered yet.
        self._pending_clears: dict[str, int] = {}
        #: Whether this connection speaks MQTT 5, which lets the bridge ask for no retained copies, and for
        #: nothing that it publishes itself (No Local).
        self._is_mqtt_5 = True

    def on_session_start(self) -> None:
        """Expects no payloads from an earlier session: the broker does not deliver them any more."""
        self._pending_clears.clear()

    def on_connected(self, connection: Connected) -> None:
        self._is_mqtt_5 = connection.protocol == ProtocolVersion.MQTT_5

    async def judge(self, delivery: Delivery) -> Delivery:
        """Returns a live delivery without the retain flag, and marked as `cleared`; another one as it is.

        Clears the topic in any case. An empty payload clears it already, and is returned without the flag.
        """
        if not delivery.payload:
            return replace(delivery, retain=False)
        is_live = await self._is_live(delivery)
        self._clear(delivery.topic)
        return replace(delivery, retain=False, cleared=True) if is_live else delivery

    async def _is_live(self, delivery: Delivery) -> bool:
        """Returns whether the broker that has delivered it delivers no retained copies."""
        if not self._is_mqtt_5:
            return False
        # The probe reads two of these topics.
        await self._retained.wait_until_acknowledged(OWN_TOPICS_TIMEOUT_SECONDS)
        has_no_copies = await self._broker.honours_retain_handling(self._probe_topics)
        connection = self._broker.connection
        is_same_connection = (
            connection is not None and connection.connection_number == delivery.connection_number
        )
        return has_no_copies and is_same_connection

    def is_own_clear(self, delivery: Delivery) -> bool:
        """Returns whether a delivery is an own clear; each clear accounts for one delivery."""
        if delivery.payload or delivery.topic not in self._pending_clears:
            return False
        self._forget_clear(delivery.topic)
        return True

    def _clear(self, topic: str) -> None:
        is_expected = not self._is_mqtt_5
        if is_expected:
            self._pending_clears[topic] = self._pending_clears.pop(topic, 0) + 1
            if len(self._pending_clears) > MAX_PENDING_CLEARS:
                # When the clear of the oldest topic comes after all, it is taken for one of a user.
                del self._pending_clears[next(iter(self._pending_clears))]
        clear = Publication(topic=topic, payload=b"", retain=True)
        self._inflight.publish_first(clear, partial(self._on_cleared, topic, is_expected=is_expected))

    def _on_cleared(self, topic: str, error: Exception | None, *, is_expected: bool) -> None:
        if error is not None and is_expected:
            self._forget_clear(topic)

    def _forget_clear(self, topic: str) -> None:
        count = self._pending_clears.pop(topic, 0) - 1
        if count > 0:
            self._pending_clears[topic] = count
