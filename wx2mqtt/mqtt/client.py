"""The link to the broker: one conversation after another, for as long as `run` runs."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial

import structlog

from wx2mqtt.errors import NotConnected
from wx2mqtt.mqtt.addresses import read_url
from wx2mqtt.mqtt.attempts import Attempt, End, Ended, Pause, Plan
from wx2mqtt.mqtt.conversation import SLACK, Conversation
from wx2mqtt.mqtt.link import Acknowledged, Connected, Delivery, Disconnected, Listener, Publication
from wx2mqtt.mqtt.options import Options, TlsFiles
from wx2mqtt.mqtt.window import place, tell

__all__ = ["MqttLink", "Options", "TlsFiles"]

log = structlog.get_logger(__name__)


class MqttLink:
    """`Link` over MQTT. Raises ValueError for a URL that is none.

    `connects` and `disconnects` count connections that stood, `dropped` messages that no client can read.
    """

    def __init__(self, options: Options, chance: Callable[[], float] = random.random) -> None:
        self.connects = 0
        self.disconnects = 0
        self.dropped = 0
        self._options = options
        self._chance = chance
        self._plan = Plan(addresses=tuple(map(read_url, options.urls)), wanted=options.protocol)
        self._conversation: Conversation | None = None
        self._paused = False
        self._wakes_at = time.monotonic()
        self._told = ""

    @property
    def current(self) -> Connected | None:
        """As `Link.current`."""
        return self._conversation.current if self._conversation is not None else None

    @property
    def moves_by(self) -> float:
        """By when the link has done its next step, if all is well, of the monotonic clock (for the watchdog).

        It is later than now also while a broker is away, since then the next step is to try again.
        """
        return self._conversation.moves_by if self._conversation is not None else self._wakes_at + SLACK

    async def run(self, listener: Listener) -> None:
        """As `Link.run`. Cancelled, it tells all open publishes `NotConnected` and the listener nothing."""
        while True:
            ended = await self._converse(self._plan.attempt, listener)
            self._plan, pause = self._plan.after(ended, time.monotonic(), self._chance())
            self._wakes_at = time.monotonic() + pause.seconds
            self._report(ended, pause, listener)
            await asyncio.sleep(pause.seconds)

    def publish(self, publication: Publication, acknowledged: Acknowledged) -> None:
        """As `Link.publish`."""
        if self._conversation is None:
            tell(acknowledged, NotConnected())
        else:
            self._conversation.publish(publication, acknowledged)

    def acknowledge(self, delivery: Delivery) -> None:
        """As `Link.acknowledge`."""
        if self._conversation is not None:
            self._conversation.acknowledge(delivery)

    def pause(self, *, paused: bool) -> None:
        """As `Link.pause`."""
        self._paused = paused
        if self._conversation is not None:
            self._conversation.pause(paused=paused)

    async def _converse(self, attempt: Attempt, listener: Listener) -> Ended:
        conversation = Conversation(
            self._options,
            attempt,
            self.connects + 1,
            begins=listener.session_begins,
            stands=partial(self._stands, listener),
            delivered=listener.delivered,
        )
        conversation.pause(paused=self._paused)
        before, self._conversation = self.connects, conversation
        try:
            return await conversation.hold()
        except Exception as error:  # noqa: BLE001 - the supervisor: no fault of ours may end the link
            log.error("link failed", error=type(error).__name__, at=place(error))
            return Ended(end=End.UNREACHABLE, reason=f"internal error: {type(error).__name__}")
        finally:
            self.disconnects += self.connects - before
            self.dropped += conversation.dropped
            self._conversation = None

    def _stands(self, listener: Listener, connected: Connected) -> None:
        self.connects += 1
        self._told = ""
        log.info(
            "connected to the broker",
            url=connected.url,
            protocol=connected.protocol,
            session_present=connected.session_present,
            receive_maximum=connected.receive_maximum,
            packet_limit=connected.packet_limit,
            session_expiry=connected.session_expiry,
        )
        listener.connected(connected)

    def _report(self, ended: Ended, pause: Pause, listener: Listener) -> None:
        if pause.silent:
            log.info("trying the broker another way", reason=ended.reason)
            return
        reason = f"{ended.reason}; standing by" if pause.standby else ended.reason
        say = log.debug if reason == self._told else log.warning  # an hour without a broker is one line
        say("no connection to the broker", reason=reason, retry_in=round(pause.seconds, 1))
        self._told = reason
        gone = Disconnected(
            reason=reason, retry_in=pause.seconds, standby=pause.standby, code=ended.end.value
        )
        tell(listener.disconnected, gone)
