"""Finds out by trying what a broker supports, where it does not say so itself.

`refuses_mqtt_5` asks a broker that leaves CONNECT unanswered whether it speaks MQTT 5. `RetainProbe` shows
whether it honours Retain Handling 2, so that a retained command which is delivered was published just now.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

from wx2mqtt.mqtt.broker import Delivery, ProbeTopics
from wx2mqtt.mqtt.options import BrokerAddress, TlsFiles
from wx2mqtt.mqtt.packets import RETAINED_COPIES, UNLESS_RETAINED, subscribe_packet, unsubscribe_packet
from wx2mqtt.mqtt.sockets import open_stream, receive_some, shake_hands

# A broker that has not answered CONNECT for this time is asked by `refuses_mqtt_5`.
VERSION_PROBE_DELAY_SECONDS = 1.0
VERSION_PROBE_TIMEOUT_SECONDS = 3.0

# All steps of `RetainProbe` take at most this time, for which a command with the retain flag waits.
PROBE_TIMEOUT_SECONDS = 3.0

# A CONNECT of MQTT 5: clean start, keepalive 10 s, no properties, no client id.
MINIMAL_CONNECT = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x00"

# The CONNACK of 3.1.1 and that of MQTT 5 which refuse the version.
VERSION_REFUSALS = (b"\x20\x02\x00\x01", b"\x20\x03\x00\x84")


async def refuses_mqtt_5(address: BrokerAddress, tls: TlsFiles | None) -> bool:
    """Returns True only if a CONNECT on another connection is refused for its version.

    amqtt reads a CONNECT of MQTT 5 as one of 3.1.1, takes the properties for lengths, and waits for ever for
    bytes that do not come. A CONNECT with neither properties nor will it reads far enough to refuse the
    version. Silence and errors say nothing.
    """
    with contextlib.suppress(OSError, ValueError):  # TimeoutError is an OSError
        stream = await open_stream(address, tls, VERSION_PROBE_TIMEOUT_SECONDS)
        try:
            async with asyncio.timeout(VERSION_PROBE_TIMEOUT_SECONDS):
                await shake_hands(stream)
                stream.send(MINIMAL_CONNECT)
                return (await receive_some(stream)).startswith(VERSION_REFUSALS)
        finally:
            stream.close()
    return False


class RetainProbe:
    """One probe on one connection of MQTT 5. `send` writes a packet, `next_packet_id` gives an unused id.

    A broker that honours Retain Handling 2 delivers a message with the retain flag only when it was published
    just now. Another one redelivers what it keeps, and an old command would look like a new one. Two retained
    topics that this client has published show which it is:

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
