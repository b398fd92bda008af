"""The interface between the bridge and its MQTT client, `BrokerClient`; `client.py` implements it.

Everything here runs on the event loop. Nothing here knows paho, sockets or the format of a packet.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from wx2mqtt.limits import DELIVERY_OVERHEAD_BYTES
from wx2mqtt.values import frozen


class ProtocolVersion(StrEnum):
    """A version of MQTT, as the configuration and the payloads write it."""

    MQTT_5 = "5"
    MQTT_3_1_1 = "3.1.1"


@frozen
class Publication:
    """A message for the broker, published with QoS 1.

    MQTT 3.1.1 has no properties: there `content_type`, `expiry` (seconds) and `correlation` are not sent.
    """

    topic: str
    payload: bytes
    retain: bool = False
    content_type: str = ""
    expiry: int | None = None
    correlation: bytes | None = None


@frozen
class Delivery:
    """A message from the broker. The receiver acknowledges it once it is on disk."""

    topic: str
    payload: bytes
    #: The packet id, 0 at QoS 0.
    mid: int
    qos: int = 1
    #: The broker may have delivered the message before.
    dup: bool
    #: The message comes from the broker's store, or it was published with the retain flag just now
    #: (`honours_retain_handling`).
    retain: bool
    #: Which connection of this client brought it. After its end an acknowledgement is dropped, since the
    #: packet id may belong to another message by then (mqtt 0.5.2).
    connection_number: int = 0
    content_type: str = ""
    response_topic: str = ""
    correlation: bytes | None = None
    #: Seconds for which the message is still valid; None without a limit.
    expiry: int | None = None
    #: The message was published with the retain flag just now, and the bridge clears the copy in the broker's
    #: store.
    cleared: bool = False

    @property
    def held_bytes(self) -> int:
        """About how many bytes of memory it takes until it is stored."""
        texts = len(self.topic) + len(self.content_type) + len(self.response_topic)
        return len(self.payload) + texts + len(self.correlation or b"") + DELIVERY_OVERHEAD_BYTES


@frozen
class ProbeTopics:
    """Two retained topics that this client has published on its connection; `RetainProbe` uses them."""

    probed: str
    control: str


@frozen
class Connected:
    #: The address of the broker, without user name and password.
    url: str
    protocol: ProtocolVersion
    #: Whether the broker has kept the session with its undelivered messages.
    session_present: bool
    #: How many publishes may be unacknowledged at a time.
    receive_maximum: int
    #: Bytes of the largest packet that the broker accepts; None without a limit.
    packet_limit: int | None
    #: Whether the broker keeps retained messages.
    retain_available: bool
    #: 1 for the first connection of this client, 2 for the second, …
    connection_number: int
    #: Topic filters that the broker did not grant. The client tries them again every 5 minutes.
    refused_filters: tuple[str, ...] = ()
    #: Seconds for which the broker keeps the session after a disconnect; None with MQTT 3.1.1, which says
    #: none.
    session_expiry: int | None = None


@frozen
class Disconnected:
    """A connection ended or could not be opened.

    `code` is a value of `reconnect.EndReason`: unreachable, lost, version, credentials, unfit, retain,
    taken_over or moved.
    """

    #: A sentence for the owner, without secrets.
    reason: str
    #: Seconds until the next attempt.
    retry_in: float
    #: Another client took this client id over twice within a minute: it has the id for a while.
    standby: bool = False
    code: str = ""


# Called once for each publish, on the event loop: with None when the broker has acknowledged it, else with
# `PublishRefused` or `NotConnected`. Where the connection ends, the oldest publish gets `ConnectionDropped`,
# before the others get `NotConnected`.
PublishCallback = Callable[[Exception | None], None]


class BrokerListener(Protocol):
    """Receives the events of one client, on the event loop and in order. The methods must not block.

    An exception from one of them is logged and ignored.
    """

    async def on_session_start(self) -> None:
        """Called before `on_connected` when the broker has kept no session.

        The broker delivers nothing before this returns or has taken 5 seconds. A listener that stores the
        beginning of the session can then tell later deliveries from those of the old session, also after a
        crash.
        """

    def on_connected(self, connection: Connected) -> None:
        """Called when the connection is established and the broker has answered the subscriptions."""

    def on_disconnected(self, gone: Disconnected) -> None:
        """Called when the connection has ended; each publish without PUBACK has got `NotConnected` before."""

    def on_delivery(self, delivery: Delivery) -> None:
        """Called for a message. It is acknowledged only by `BrokerClient.acknowledge`."""


class BrokerClient(Protocol):
    """One MQTT client that stays connected while `run` runs."""

    async def run(self, listener: BrokerListener) -> None:
        """Connects, and reconnects with back-off and jitter; runs until it is cancelled, whatever happens.

        On cancellation it sends DISCONNECT; every publish without PUBACK fails with `NotConnected`, and the
        listener is not called.
        """

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        """Publishes one message. The caller has at most `Connected.receive_maximum` unacknowledged ones.

        Calls back before it returns with `NotConnected` when there is no connection, and with
        `PublishRefused` for a message that the broker cannot accept. It queues nothing for a later one.
        """

    def flush(self) -> None:
        """Writes at once what was published in this turn of the event loop, instead of in the next one."""

    def acknowledge(self, delivery: Delivery) -> None:
        """Sends PUBACK, unless the connection of the delivery has ended. Call it in order of delivery."""

    async def honours_retain_handling(self, topics: ProbeTopics) -> bool:
        """Returns whether the broker has shown on this connection that it redelivers nothing retained.

        Where it is True, a message with the retain flag was published just now. The first call on a
        connection finds it out within 3 s, by two retained topics that this client has published
        (`broker_features.py`). It is False on MQTT 3.1.1, and where the broker shows nothing.
        """

    def set_paused(self, *, paused: bool) -> None:
        """Stops or resumes reading from the broker, also for later connections; the connection stays alive.

        A listener pauses when its deliveries take more memory than it has. The broker keeps the rest.
        """

    def set_password(self, password: str | None) -> None:
        """Takes another password for the next connection, which is tried at once where there is none now."""

    @property
    def uses_old_password(self) -> bool:
        """Whether the established connection was made with another password than that of `set_password`."""

    def abort(self) -> None:
        """Ends the connection at once without DISCONNECT, and makes no further one; then cancel `run`.

        Nothing that is waiting is written; the broker publishes the will. The listener is not called.
        """

    @property
    def connection(self) -> Connected | None:
        """The established connection, or None."""

    @property
    def progress_deadline(self) -> float:
        """The time, on the event loop's clock, by which the next step must be done; a watchdog checks it.

        It lies in the future also while the broker is away: then the next step is the next attempt.
        """
