"""What the bridge needs of a broker. `client.py` is the one that speaks MQTT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A message for the broker; always QoS 1. `expiry` in seconds (MQTT 5)."""

    topic: str
    payload: bytes
    retain: bool = False
    content_type: str = ""
    expiry: int | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message from the broker, to be acknowledged once it is on disk.

    `session` names the broker's session (the same over reconnects as long as the broker kept it);
    together with `mid` it tells a redelivery. `expiry` is what is left in seconds. `connection` counts
    connections; an acknowledgement of an earlier one is dropped, since its packet id may mean another
    message by now (mqtt 0.5.2).
    """

    topic: str
    payload: bytes
    mid: int
    dup: bool
    retain: bool
    connection_number: int
    content_type: str = ""
    response_topic: str = ""
    correlation: bytes | None = None
    expiry: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A filter; on MQTT 5 with No Local, Retain Handling 2 and without Retain As Published."""

    filter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A connection stands. Sizes in bytes; None where the broker named no limit.

    `protocol` is "5" or "3.1.1". `refused` are the filters that the broker did not grant (tried again every
    5 minutes). `session_expiry` is how long in seconds the broker keeps the session while we are away; None
    where it does not say (3.1.1).
    """

    url: str
    protocol: str
    session_present: bool
    receive_maximum: int
    packet_limit: int | None
    retain_available: bool
    connection_number: int
    refused_filters: tuple[str, ...] = ()
    session_expiry: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """The connection is gone, or could not be made. `reason` is a sentence without secrets.

    `code` is the same in one word: unreachable lost version credentials unfit retain taken_over moved.
    `standby` is true when another client took this client id over twice within a minute.
    """

    reason: str
    retry_in: float
    standby: bool = False
    code: str = ""


PublishCallback = Callable[[Exception | None], None]
"""Called once on the loop: None for a PUBACK that says success, else `PublishRefused` or `NotConnected`."""


class BrokerListener(Protocol):
    """Who is told what happens on a link; all calls come on the event loop, in order, and must not block."""

    async def on_session_start(self) -> None:
        """The broker keeps nothing of us. It delivers nothing before this returns or has taken 5 s.

        So what it delivered before can be told from what it delivers from now on, also after a crash.
        """

    def on_connected(self, connection: Connected) -> None:
        """A connection stands and the subscriptions are granted."""

    def on_disconnected(self, gone: Disconnected) -> None:
        """It is gone. Every publish without PUBACK has been told `NotConnected` before."""

    def on_delivery(self, delivery: Delivery) -> None:
        """A message came in. It is not acknowledged until `Link.acknowledge`."""


class BrokerClient(Protocol):
    """One MQTT client, kept connected for as long as `run` runs."""

    async def run(self, listener: BrokerListener) -> None:
        """Connect, and connect again with back-off and jitter, until cancelled; then disconnect in order.

        Nothing that a broker does ends it.
        """

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        """Hand over one message; the caller keeps the window (`Connected.receive_maximum`).

        Calls back at once with `NotConnected` when there is no connection, and with `PublishRefused` when it
        can be known that the broker would not take it. Nothing is ever queued for a later connection.
        """

    def acknowledge(self, delivery: Delivery) -> None:
        """PUBACK. Dropped when its connection is gone. Must be called in the order of delivery."""

    def set_paused(self, *, paused: bool) -> None:
        """Take nothing more in, or go on: what the broker has for us stays with it, and the connection lives.

        For whoever has more deliveries in hand than there is memory for; it holds for later connections too.
        """

    @property
    def connection(self) -> Connected | None:
        """The connection that stands, or None."""

    @property
    def progress_deadline(self) -> float:
        """By when the next step is done if all is well; of the monotonic clock, for the watchdog."""
