"""One connection on which each thing that is done gets its answer: for whoever examines a broker.

No back-off, no queue, and every wait has an end. What `Conversation` does for months this does for seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from wx2mqtt.apart import apart
from wx2mqtt.errors import LinkError, NotConnected
from wx2mqtt.mqtt.attempts import Attempt, End, end_of
from wx2mqtt.mqtt.connection import Connection
from wx2mqtt.mqtt.link import Publication
from wx2mqtt.mqtt.options import Options
from wx2mqtt.mqtt.packets import PUBACK, PUBREC, Incoming, pack_properties, short_packet
from wx2mqtt.mqtt.probe import refuses_mqtt_5
from wx2mqtt.mqtt.reasons import FAILURE, VERSION, broken, not_mqtt, scrub, unanswered, unreachable, words
from wx2mqtt.mqtt.wire import Grant

T = TypeVar("T")

OPENING = 10.0
"""Seconds for name, TCP, TLS and WebSocket together."""
ANSWER = 5.0
"""Seconds for the answer to anything that we send."""
PROBING = 1.0
"""Seconds without a word on CONNECT after which it is asked apart whether MQTT 5 is known there."""
GOODBYE = 1.0
"""Seconds for the broker to take our DISCONNECT and close."""
TIMED_OUT = -2
"""The `code` of what got no answer."""


class Gone(LinkError):
    """There is no connection (any more). `code` is the broker's reason code, negative where it gave none."""

    def __init__(self, reason: str, end: End, code: int = -1) -> None:
        super().__init__(reason)
        self.end = end
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """What the broker said: its reason code, why in words where it says no, and after how many seconds."""

    code: int
    why: str
    seconds: float

    @property
    def yes(self) -> bool:
        return 0 <= self.code < FAILURE

    @property
    def silent(self) -> bool:
        """Nothing came in time."""
        return self.code == TIMED_OUT


class Enquiry:
    """`async with Enquiry(options, attempt) as enquiry`: connected, with what the broker allows in `grant`.

    Raises `Gone`. It says goodbye at the end; what the broker keeps of it then is a matter of `options`.
    """

    def __init__(self, options: Options, attempt: Attempt) -> None:
        self.grant = Grant(session_present=False)
        self.seconds = 0.0
        self.heard: list[Incoming] = []
        self._options = options
        self._attempt = attempt
        self._loop = asyncio.get_running_loop()
        self._greeting: asyncio.Future[Grant] = self._loop.create_future()
        self._over: asyncio.Future[Gone] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[tuple[int, str]]] = {}
        self._more = asyncio.Event()
        self._refusal: tuple[int, str] | None = None
        self._connection = Connection(options, attempt, self)

    async def __aenter__(self) -> Self:
        began = time.monotonic()
        try:
            await self._open()
        except BaseException:
            self._connection.close()
            raise
        self.seconds = time.monotonic() - began
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if not self._over.done():
            self._connection.say_goodbye()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._over), GOODBYE)
        self._connection.close()

    # what can be asked

    async def subscribe(self, topic_filter: str) -> Answer:
        """SUBACK's answer for one filter. What we publish comes back, and what is retained there comes."""
        return await self._asked(lambda: self._connection.subscribe([topic_filter], everything=True))

    async def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> Answer:
        """PUBACK's answer to a publish at QoS 1; on 3.1.1 it never says no."""
        properties = b""
        if self._attempt.protocol == "5":
            properties = pack_properties(Publication(topic=topic, payload=payload))
        return await self._asked(
            lambda: self._connection.publish(topic, payload, retain=retain, properties=properties)
        )

    async def hear(self, fits: Callable[[Incoming], bool], seconds: float, since: int = 0) -> Incoming | None:
        """The first message that fits, from number `since` on; None when none has come by then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    for incoming in self.heard[since:]:
                        if fits(incoming):
                            return incoming
                    if self._over.done():
                        return None
                    self._more.clear()
                    await self._more.wait()
        return None

    @property
    def alive(self) -> bool:
        """Whether the connection stands."""
        return not self._over.done()

    # the greeting

    async def _open(self) -> None:
        try:
            await asyncio.wait_for(self._connection.open(), OPENING)
        except OSError as error:  # TimeoutError is one
            reason = unreachable(error, self._attempt.address)
            raise Gone(reason, End.UNREACHABLE) from None
        self.grant = await self._either(self._greeting, ANSWER)

    async def _either(self, awaited: asyncio.Future[T], seconds: float) -> T:
        """What is awaited, unless the connection ends before, or the time. Raises `Gone`."""
        asking = asyncio.create_task(self._ask_for_version())
        try:
            await _first(seconds, awaited, self._over)
        finally:
            asking.cancel()
        if awaited.done():
            return awaited.result()
        if self._over.done():
            raise self._over.result()
        silence = f"{self._attempt.address.endpoint} took the connection and said nothing"
        raise Gone(self._hinted(silence), End.UNREACHABLE, TIMED_OUT)

    async def _ask_for_version(self) -> None:
        """amqtt says nothing to a CONNECT of MQTT 5 (see `probe`)."""
        if self._attempt.protocol != "5":
            return
        await asyncio.sleep(PROBING)
        if await apart(partial(refuses_mqtt_5, self._attempt.address, self._options.tls)):
            self._end(Gone(words(VERSION), End.VERSION, VERSION))

    async def _asked(self, send: Callable[[], int]) -> Answer:
        if self._over.done():
            raise self._over.result()
        began = time.monotonic()
        try:
            mid = send()
        except NotConnected:
            raise Gone(self._broken(), End.LOST) from None
        answer: asyncio.Future[tuple[int, str]] = self._loop.create_future()
        self._answers[mid] = answer
        await _first(ANSWER, answer, self._over)
        seconds = time.monotonic() - began
        if answer.done():
            code, said = answer.result()
            return Answer(code, self._words(code, said) if code >= FAILURE else "", seconds)
        del self._answers[mid]
        if self._over.done():
            raise self._over.result()
        return Answer(TIMED_OUT, f"{self._attempt.address.endpoint} does not answer", seconds)

    # what the broker says (`wire.Hears`)

    def accepted(self, grant: Grant) -> None:
        if not self._greeting.done():
            self._greeting.set_result(grant)

    def refused(self, code: int, said: str, _reference: str) -> None:
        self._refusal = (code, said)

    def subscribed(self, mid: int, codes: Sequence[int]) -> None:
        self.acknowledged(mid, codes[0] if codes else FAILURE, "")

    def acknowledged(self, mid: int, code: int, said: str) -> None:
        answer = self._answers.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result((code, said))

    def arrived(self, incoming: Incoming) -> None:
        if incoming.mid:
            self._connection.send(short_packet(PUBREC if incoming.qos == 2 else PUBACK, incoming.mid))
        self.heard.append(incoming)
        self._more.set()

    def unreadable(self, mid: int) -> None:
        self._connection.send(short_packet(PUBACK, mid))

    def closed(self, code: int, said: str, _reference: str) -> None:
        stood = self._greeting.done()
        if self._refusal is not None:
            code, said = self._refusal
        if code >= 0:
            self._end(Gone(self._words(code, said), end_of(code, stood=stood), code))
        else:
            self._end(Gone(self._broken(), End.LOST if stood else End.UNREACHABLE))

    def _end(self, gone: Gone) -> None:
        if not self._over.done():
            self._over.set_result(gone)
        self._more.set()

    # in words

    def _words(self, code: int, said: str) -> str:
        return scrub(words(code, said), self._options.password, self._attempt.address.password)

    def _broken(self) -> str:
        stream, address = self._connection.stream, self._attempt.address
        return self._hinted(broken(stream.error, address) if stream.over else not_mqtt(address))

    def _hinted(self, reason: str) -> str:
        if self._greeting.done():
            return reason
        return unanswered(reason, self._attempt.address, self._attempt.protocol)


async def _first(seconds: float, *awaited: asyncio.Future[Any]) -> None:
    await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
