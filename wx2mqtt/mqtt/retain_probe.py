"""Shows whether a broker honours Retain Handling 2, by two retained topics that this client has published.

With such a broker a message with the retain flag was published just now. A broker that ignores Retain
Handling redelivers what it keeps, and an old command would look like a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from wx2mqtt.mqtt.broker import Delivery, ProbeTopics
from wx2mqtt.mqtt.packets import RETAINED_COPIES, UNLESS_RETAINED, subscribe_packet, unsubscribe_packet

# All steps together take at most this time, for which a command with the retain flag waits.
PROBE_TIMEOUT_SECONDS = 3.0


class RetainProbe:
    """One probe on one connection of MQTT 5. `send` writes a packet, `next_packet_id` gives an unused id.

    1. SUBSCRIBE to the probed topic with Retain Handling 2: an honest broker delivers no copy of it.
    2. SUBSCRIBE to the control topic with Retain Handling 0: its copy comes after anything from step 1.
    3. SUBSCRIBE to the probed topic with Retain Handling 0: its copy comes, so that the broker has one.
    4. UNSUBSCRIBE from both.

    Without the copies of steps 2 and 3 nothing is shown: the client may have no right to read these topics.
    The subscriptions have QoS 0, so that the copies do not wait until earlier deliveries are acknowledged.
    """

    def __init__(
        self, topics: ProbeTopics, send: Callable[[bytes], None], next_packet_id: Callable[[], int]
    ) -> None:
        loop = asyncio.get_running_loop()
        #: True where the broker has shown that it honours Retain Handling 2.
        self.verdict: asyncio.Future[bool] = loop.create_future()
        self._topics = topics
        self._send = send
        self._next_packet_id = next_packet_id
        self._has_control_come = False
        self._timer = loop.call_later(PROBE_TIMEOUT_SECONDS, partial(self._conclude, verdict=False))
        self._subscribe(topics.probed, UNLESS_RETAINED)
        self._subscribe(topics.control, RETAINED_COPIES)

    def takes(self, delivery: Delivery) -> bool:
        """Returns whether a delivery belongs to the probe, and then goes on with the probe."""
        topics = self._topics
        is_probe = delivery.retain and delivery.topic in {topics.probed, topics.control}
        if self.verdict.done() or not is_probe:
            return False
        if delivery.topic == topics.probed:
            self._conclude(verdict=self._has_control_come)
        elif not self._has_control_come:
            self._has_control_come = True
            self._subscribe(topics.probed, RETAINED_COPIES)
        return True

    def close(self) -> None:
        """Ends a probe whose connection has ended: nothing is shown."""
        self._timer.cancel()
        if not self.verdict.done():
            self.verdict.set_result(False)

    def _conclude(self, *, verdict: bool) -> None:
        self._timer.cancel()
        self.verdict.set_result(verdict)
        filters = (self._topics.probed, self._topics.control)
        self._send(unsubscribe_packet(filters, self._next_packet_id()))

    def _subscribe(self, topic: str, options: int) -> None:
        self._send(subscribe_packet([topic], self._next_packet_id(), v5=True, options=options, qos=0))
