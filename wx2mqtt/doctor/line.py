"""The doctor's connection to a broker: made again where the broker ends it, given up where that is no use."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from wx2mqtt.mqtt.attempts import Attempt
from wx2mqtt.mqtt.enquiry import TIMED_OUT, Answer, Enquiry, Gone
from wx2mqtt.mqtt.options import Options

SILENCES = 2
"""Questions without an answer after which no more are asked: each has cost its seconds."""
LOSSES = 12
"""Times that the broker may end the connection; some do at whatever they do not allow."""


class Line:
    """`async with Line(options, attempt) as line`. It connects when something is asked first."""

    def __init__(self, options: Options, attempt: Attempt, *, given_up: bool = False) -> None:
        self._options = options
        self._attempt = attempt
        self._stack = AsyncExitStack()
        self._enquiry: Enquiry | None = None
        self._silences, self._losses = SILENCES if given_up else 0, 0
        self._heard: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def speaks_5(self) -> bool:
        return self._attempt.protocol == "5"

    @property
    def given_up(self) -> bool:
        """Whether nothing more is asked."""
        return self._silences >= SILENCES or self._losses >= LOSSES

    async def enquiry(self) -> Enquiry:
        """The connection, a new one where the last is gone. Raises `Gone`."""
        if self._enquiry is None or not self._enquiry.alive:
            self._heard = self.heard
            await self._stack.aclose()
            self._enquiry = await self._stack.enter_async_context(Enquiry(self._options, self._attempt))
        return self._enquiry

    async def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> Answer:
        """As `Enquiry.publish`; the end of the connection is an answer too, with its code."""
        try:
            enquiry = await self.enquiry()
            answer = await enquiry.publish(topic, payload, retain=retain)
        except Gone as gone:
            return self._lost(gone)
        self._silences = self._silences + 1 if answer.silent else 0
        return answer

    async def subscribe(self, topic_filter: str) -> Answer:
        """As `Enquiry.subscribe`; the end of the connection is an answer too."""
        try:
            enquiry = await self.enquiry()
            answer = await enquiry.subscribe(topic_filter)
        except Gone as gone:
            return self._lost(gone)
        self._silences += answer.silent
        return answer

    async def hear(self, topics: Collection[str], seconds: float) -> set[str]:
        """Which of these topics were heard by then."""
        enquiry = self._enquiry
        if enquiry is not None and not self.heard.issuperset(topics):
            await enquiry.hear(lambda _: self.heard.issuperset(topics), seconds)
        return self.heard.intersection(topics)

    @property
    def heard(self) -> set[str]:
        """The topics of all that came, on every connection."""
        now = () if self._enquiry is None else self._enquiry.heard
        return {*self._heard, *(one.topic for one in now if one.topic is not None)}

    def _lost(self, gone: Gone) -> Answer:
        self._losses += 1
        if gone.code == TIMED_OUT:  # not even a greeting
            self._silences = SILENCES
        return Answer(gone.code if gone.code >= 0 else -1, str(gone), 0.0)
