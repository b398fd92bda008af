"""What is said over one connection: greeting, subscriptions, messages both ways, signs of life, the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from wx2mqtt.apart import apart
from wx2mqtt.errors import NotConnected, PublishRefused
from wx2mqtt.mqtt.addresses import read_references
from wx2mqtt.mqtt.attempts import Attempt, End, Ended, end_of
from wx2mqtt.mqtt.connection import Connection
from wx2mqtt.mqtt.link import Acknowledged, Connected, Delivery, Publication
from wx2mqtt.mqtt.options import Options
from wx2mqtt.mqtt.packets import LARGEST, PUBACK, PUBREC, Incoming, pack_properties, short_packet, wire_size
from wx2mqtt.mqtt.probe import refuses_mqtt_5
from wx2mqtt.mqtt.pulse import Pulse, Sign
from wx2mqtt.mqtt.reasons import (
    FAILURE,
    LEAVING,
    MOVED,
    PACKET_TOO_LARGE,
    QOS_UNSUPPORTED,
    TOPIC_NAME,
    VERSION,
    broken,
    not_mqtt,
    scrub,
    unanswered,
    unreachable,
    words,
)
from wx2mqtt.mqtt.subscribing import Subscribing
from wx2mqtt.mqtt.window import Window, place, tell
from wx2mqtt.mqtt.wire import Grant

log = structlog.get_logger(__name__)

OPENING = 30.0
"""Seconds for name, TCP, TLS and WebSocket together."""
GREETING = 10.0
"""Seconds without a byte while CONNACK or SUBACK is due; some nodes of a cluster never answer."""
PROBING = 1.0
"""Seconds without a word on our CONNECT after which we ask apart whether MQTT 5 is known there."""
BEGINNING = 5.0
"""Seconds that the listener may take to note that a session begins."""
GOODBYE = 1.0
"""Seconds for the broker to take our DISCONNECT and close."""
SLACK = 10.0


class Conversation:
    """One attempt at one broker; `hold` it until it ends.

    `stands` is told once that it is usable, `delivered` of every message. `number` marks its deliveries.
    """

    def __init__(
        self,
        options: Options,
        attempt: Attempt,
        number: int,
        *,
        begins: Callable[[], Awaitable[None]],
        stands: Callable[[Connected], None],
        delivered: Callable[[Delivery], None],
    ) -> None:
        self.current: Connected | None = None
        self.dropped = 0
        self._options = options
        self._attempt = attempt
        self._number = number
        self._begins = begins
        self._stands = stands
        self._delivered = delivered
        self._v5 = attempt.protocol == "5"
        self._ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._connection = Connection(options, attempt, self)
        filters = tuple(subscription.filter for subscription in options.subscriptions)
        self._subscribing = Subscribing(filters, self._connection.subscribe)
        self._grant: Grant | None = None
        self._refusal: tuple[int, str, str] | None = None
        self._window = Window(0)
        self._limit = LARGEST
        self._pulse = Pulse(options.keepalive or GREETING)
        self._timer: asyncio.TimerHandle | None = None
        self._probe: asyncio.Task[None] | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._began = self._checked = time.monotonic()
        self._asked = self._up_at = 0.0
        self._early: list[Delivery] = []
        self._at_qos_2: set[int] = set()
        self._leaving = self._paused = False

    async def hold(self) -> Ended:
        """Connect and stay; how it ended. To cancel it says goodbye to the broker first."""
        try:
            await asyncio.wait_for(self._connection.open(), OPENING)
            self._check()
            return await asyncio.shield(self._ended)
        except OSError as error:
            reason = unreachable(error, self._attempt.address)
            return Ended(end=End.UNREACHABLE, reason=reason, near=self._connection.near)
        except asyncio.CancelledError:
            await self._leave()
            raise
        finally:
            self._stop()

    @property
    def moves_by(self) -> float:
        """By when this has gone on or ended, if all is well; of the monotonic clock."""
        if self.current is None:
            return self._began + OPENING + 2 * GREETING + SLACK
        return max(self._checked, self._connection.stream.heard_at + self._pulse.limit) + SLACK

    # what the bridge asks for

    def publish(self, publication: Publication, acknowledged: Acknowledged) -> None:
        """As `Link.publish`."""
        current = self.current
        if current is None:
            tell(acknowledged, NotConnected())
            return
        try:
            mid = self._send(publication, current)
        except (PublishRefused, NotConnected) as error:
            tell(acknowledged, error)
        else:
            self._window.add(mid, acknowledged, time.monotonic())

    def acknowledge(self, delivery: Delivery) -> None:
        """As `Link.acknowledge`; nothing is due at QoS 0, where `mid` is 0."""
        if delivery.connection == self._number and delivery.mid and not self._ended.done():
            self._settle(delivery.mid)

    def pause(self, *, paused: bool) -> None:
        """As `Link.pause`; the greeting is heard all the same."""
        self._paused = paused
        if self.current is not None:
            self._connection.listen(on=not paused)

    def _send(self, publication: Publication, current: Connected) -> int:
        """The packet id. Raises PublishRefused where it can be known, and NotConnected."""
        try:
            properties = pack_properties(publication) if self._v5 else b""
            size = wire_size(publication.topic.encode(), publication.payload, properties)
            if size > self._limit:
                reason = f"the message needs {size} bytes, the broker takes {self._limit}"
                raise PublishRefused(reason, code=PACKET_TOO_LARGE, too_large=True)
            if not publication.topic or "\0" in publication.topic:
                raise ValueError("paho lets these through")
            return self._connection.publish(
                publication.topic,
                publication.payload,
                retain=publication.retain and current.retain_available,
                properties=properties,
            )
        except ValueError:  # a wildcard, a surrogate, more than 65,535 bytes
            raise PublishRefused("the topic cannot be published to", code=TOPIC_NAME) from None

    def _settle(self, mid: int) -> None:
        at_qos_2 = mid in self._at_qos_2
        self._at_qos_2.discard(mid)
        self._connection.send(short_packet(PUBREC if at_qos_2 else PUBACK, mid))

    # what the broker says (`wire.Hears`)

    def accepted(self, grant: Grant) -> None:
        if grant.maximum_qos < 1:
            self._finish(End.UNFIT, words(QOS_UNSUPPORTED))
            return
        self._grant = grant
        self._window = Window(grant.receive_maximum)
        self._limit = grant.packet_limit or LARGEST
        wanted = self._options.keepalive or GREETING
        self._pulse = Pulse(min(wanted, grant.keepalive) if grant.keepalive else wanted)
        self._check_later()
        if grant.session_present:
            self._subscribe(grant)
        else:
            self._beginning = asyncio.create_task(self._begin(grant))

    async def _begin(self, grant: Grant) -> None:
        """A session without subscriptions gets nothing: now is the time to note that it is another one."""
        try:
            await asyncio.wait_for(self._begins(), BEGINNING)
        except Exception as error:  # noqa: BLE001 - as in `tell`: his own fault, and a full disk is no reason
            log.error("listener failed", error=type(error).__name__, at=place(error))
        if not self._ended.done():
            self._subscribe(grant)

    def _subscribe(self, grant: Grant) -> None:
        if self._options.subscriptions:
            self._subscribing.start()
        else:
            self._stand(grant)

    def refused(self, code: int, said: str, reference: str) -> None:
        self._refusal = (code, said, reference)

    def subscribed(self, mid: int, codes: Sequence[int]) -> None:
        if not self._subscribing.answered(mid, codes, time.monotonic()) or self._grant is None:
            return
        if self.current is None:
            self._stand(self._grant)
        else:
            self.current = replace(self.current, refused=self._subscribing.refused)

    def acknowledged(self, mid: int, code: int, said: str) -> None:
        if code < FAILURE:
            self._window.settle(mid, None)
            return
        too_large = code == PACKET_TOO_LARGE
        self._window.settle(mid, PublishRefused(self._words(code, said), code=code, too_large=too_large))

    def arrived(self, incoming: Incoming) -> None:
        if self._leaving or self._ended.done():
            return
        if incoming.qos == 2:  # only of a session that another program left behind
            self._at_qos_2.add(incoming.mid)
        if incoming.topic is None:
            self._drop(incoming.mid, "impossible topic")
            return
        delivery = self._delivery(incoming, incoming.topic)
        if self.current is None:
            self._early.append(delivery)
        else:
            tell(self._delivered, delivery)

    def unreadable(self, mid: int) -> None:
        self._drop(mid, "damaged properties")

    def closed(self, code: int, said: str, reference: str) -> None:
        if self._refusal is not None:
            code, said, reference = self._refusal
        stood = self.current is not None
        if code < 0:
            self._finish(End.LOST if stood else End.UNREACHABLE, self._broken())
        else:
            self._finish(end_of(code, stood=stood), self._words(code, said), code, reference)

    def _drop(self, mid: int, why: str) -> None:
        """Acknowledged all the same: the broker would deliver it again for ever."""
        log.warning("message dropped", why=why)
        self.dropped += 1
        if mid:
            self._settle(mid)

    def _delivery(self, incoming: Incoming, topic: str) -> Delivery:
        return Delivery(
            topic=topic,
            payload=incoming.payload,
            mid=incoming.mid,
            dup=incoming.dup,
            retain=incoming.retain,
            connection=self._number,
            content_type=incoming.content_type,
            response_topic=incoming.response_topic,
            correlation=incoming.correlation,
            expiry=incoming.expiry,
        )

    def _stand(self, grant: Grant) -> None:
        """The connection is usable."""
        self._up_at = time.monotonic()
        session_expiry = (
            self._options.session_expiry if grant.session_expiry is None else grant.session_expiry
        )
        self.current = Connected(
            url=str(self._attempt.address),
            protocol=self._attempt.protocol,
            session_present=grant.session_present,
            receive_maximum=self._window.size,
            packet_limit=grant.packet_limit,
            retain_available=grant.retain_available,
            connection=self._number,
            refused=self._subscribing.refused,
            session_expiry=session_expiry if self._v5 else None,
        )
        tell(self._stands, self.current)
        self._connection.listen(on=not self._paused)
        early, self._early = self._early, []
        for delivery in early:
            tell(self._delivered, delivery)

    # time

    def _check(self) -> None:
        """Once in a while: is there life, is anything overdue."""
        if self._ended.done():
            return
        self._check_later()
        self._checked = now = time.monotonic()
        if self.current is None:
            self._check_greeting(now - self._connection.stream.heard_at)
            return
        self._check_pulse(now)
        self._subscribing.retry(now)
        if self._paused:
            return  # its acknowledgements may be waiting unread
        if not self._connection.stream.behind and not self._window.give_back_overdue(now):
            self._finish(End.LOST, f"{self._attempt.address.endpoint} acknowledges nothing")

    def _check_greeting(self, silence: float) -> None:
        if silence >= GREETING:
            reason = f"{self._attempt.address.endpoint} took the connection and said nothing"
            self._finish(End.UNREACHABLE, self._hinted(reason))
        elif silence >= PROBING and self._probe is None and self._options.protocol == "auto" and self._v5:
            self._probe = asyncio.create_task(self._ask_for_version())

    async def _ask_for_version(self) -> None:
        if await apart(partial(refuses_mqtt_5, self._attempt.address, self._options.tls)):
            self._finish(End.VERSION, words(VERSION))

    def _check_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._pulse.interval, self._check)

    def _check_pulse(self, now: float) -> None:
        stream = self._connection.stream
        heard = now if self._paused else stream.heard_at  # who does not listen cannot call the other one dead
        sign = self._pulse.check(
            now, heard=heard, sent=stream.sent_at, drained=stream.drained_at, asked=self._asked
        )
        if sign is Sign.PING:
            self._asked = now
            self._connection.ping()
        elif sign is Sign.DEAD:
            self._finish(End.LOST, broken(TimeoutError(), self._attempt.address))

    # the end

    def _words(self, code: int, said: str) -> str:
        secrets = (self._options.password, self._attempt.address.password)
        return scrub(words(code, said), *secrets)

    def _broken(self) -> str:
        stream, address = self._connection.stream, self._attempt.address
        return self._hinted(broken(stream.error, address)) if stream.over else not_mqtt(address)

    def _hinted(self, reason: str) -> str:
        if self._grant is not None:
            return reason
        return unanswered(reason, self._attempt.address, self._attempt.protocol)

    def _finish(self, end: End, reason: str, code: int = -1, reference: str = "") -> None:
        if self._ended.done():
            return
        stood = time.monotonic() - self._up_at if self.current is not None else 0.0
        ended = Ended(
            end=end,
            reason=reason,
            stood=stood,
            near=self._connection.near,
            leaving=code in LEAVING,
            references=read_references(reference, self._attempt.address),
            for_good=code == MOVED,
        )
        self._ended.set_result(ended)
        self._stop()

    async def _leave(self) -> None:
        """The session stays with the broker, the will is not published."""
        self._leaving = True
        self.current = None
        if self._grant is not None and not self._ended.done():
            self._connection.say_goodbye()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._ended), GOODBYE)

    def _stop(self) -> None:
        self.current = None
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._probe, self._beginning):
            if task is not None:
                task.cancel()
        self._connection.close()
        self._window.close()
