"""`bridge/request/<name>`: a table of what can be asked of the bridge, and the answers (DESIGN 4, 4.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from wx2mqtt.bridge.attempt import Attempt, mark_of
from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.judge import COMMANDS, Rules
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.model import Json
from wx2mqtt.mqtt.commands import read_request
from wx2mqtt.mqtt.link import Delivery
from wx2mqtt.mqtt.payloads import answer_error, answer_ok
from wx2mqtt.mqtt.topics import JSON, Topics, response_topic_allowed
from wx2mqtt.store.journal import Journal, NewPublication
from wx2mqtt.words import explain, say

log = structlog.get_logger(__name__)

Handler = Callable[[dict[str, Json]], Awaitable[Json]]
"""Carries one request out: fields in, the answer's data out. Raises `BadCommand` for what cannot be done."""


@dataclass(frozen=True, slots=True)
class Filling:
    """Carries out a request whose data fill the room that the broker leaves: `work` is told it, in bytes."""

    work: Callable[[dict[str, Json], int | None], Awaitable[Json]]


@dataclass(frozen=True, slots=True)
class Changing:
    """Carries out a request that changes something at WeChat; `work` begins the attempt right before."""

    work: Callable[[dict[str, Json], Attempt], Awaitable[Json]]


Work = Handler | Filling | Changing


class Requests:
    """Answers what is asked of one account, but for `send` and `recall`: those are commands (`Judge`)."""

    def __init__(
        self,
        topics: Topics,
        journal: Journal,
        handlers: Mapping[str, Work],
        *,
        rules: Callable[[], Rules],
        payload_limit: Callable[[str], int | None],
        clear: Callable[[str], None],
    ) -> None:
        self._topics = topics
        self._journal = journal
        self._handlers = handlers
        self._rules = rules
        self._payload_limit = payload_limit
        self._clear = clear
        self._under_way: dict[tuple[int, int, str, bytes], asyncio.Event] = {}

    async def answer(self, name: str, delivery: Delivery, session: int) -> None:
        """Carry out one request and commit its answer; raises only `StoreError`.

        `session` is the broker's, as the bridge counts it.
        """
        attempt = Attempt(self._journal, mark_of(delivery, session))
        async with self._alone(delivery, session):
            answered = await attempt.answered() if isinstance(self._handlers.get(name), Changing) else ()
            if answered:  # the broker never got our acknowledgement of it
                await self._journal.publish(answered)
                return
            payload = await self._payload(name, delivery, attempt)
            publications = self._publications(name, delivery, payload)
            await insist(lambda: attempt.end(publications))

    @asynccontextmanager
    async def _alone(self, delivery: Delivery, session: int) -> AsyncIterator[None]:
        """Wait for the end of the same delivery: a lost connection brings it again while it is under way."""
        key = session, delivery.mid, delivery.topic, delivery.payload
        while earlier := self._under_way.get(key):
            await earlier.wait()
        self._under_way[key] = ended = asyncio.Event()
        try:
            yield
        finally:
            del self._under_way[key]
            ended.set()

    async def _payload(self, name: str, delivery: Delivery, attempt: Attempt) -> bytes:
        transaction: Json = None
        try:
            if delivery.retain:
                self._clear(delivery.topic)
                raise BadCommand("retained", "request_retained")
            fields = read_request(delivery.payload)
            transaction = fields.pop("transaction", None)
            self._check_response_topic(delivery)
            room = self._room(name, delivery, transaction)
            payload = answer_ok(await self._data(name, fields, room, attempt), transaction)
        except BadCommand as bad:
            words, later = explain(self._rules().language, bad), bad.facts.get("retry_after")
            payload = answer_error(bad.code, words, transaction, later if isinstance(later, float) else None)
        except StoreError:
            raise
        except Exception:  # a fault of ours must not leave the caller without an answer
            log.exception("request failed", name=name)
            sentence = say(self._rules().language, "request_failed")
            payload = answer_error("internal", sentence, transaction)
        return self._that_fits(name, delivery, payload, transaction)

    async def _data(self, name: str, fields: dict[str, Json], room: int | None, attempt: Attempt) -> Json:
        match self._handler(name):
            case Filling(work):
                return await work(fields, room)
            case Changing(work):
                return await work(fields, attempt)
            case handler:
                return await handler(fields)

    def _room(self, name: str, delivery: Delivery, transaction: Json) -> int | None:
        """Bytes that the data of an answer may have; None without a limit."""
        limit = self._limit(name, delivery)
        return None if limit is None else limit - len(answer_ok("", transaction))

    def _limit(self, name: str, delivery: Delivery) -> int | None:
        limit = self._payload_limit(max(self._topics.response(name), delivery.response_topic, key=len))
        return None if limit is None else limit - len(delivery.correlation or b"")

    def _that_fits(self, name: str, delivery: Delivery, payload: bytes, transaction: Json) -> bytes:
        """An answer that the broker would not take is an error that it takes: never silence (DESIGN 4)."""
        room = self._limit(name, delivery)
        if room is None or len(payload) <= room:
            return payload
        sentence = say(self._rules().language, "answer_too_large", size=len(payload), limit=room)
        smaller = answer_error("too_large", sentence, transaction)
        return smaller if len(smaller) <= room else answer_error("too_large", sentence, None)

    def _handler(self, name: str) -> Work:
        handler = self._handlers.get(name)
        if handler is None:
            known = ", ".join(sorted({*self._handlers, *COMMANDS}))
            raise BadCommand("unknown_request", "unknown_request", name=name, known=known)
        return handler

    def _check_response_topic(self, delivery: Delivery) -> None:
        if delivery.response_topic and not self._may_answer_on(delivery.response_topic):
            raise BadCommand("bad_response_topic", "bad_response_topic")

    def _may_answer_on(self, topic: str) -> bool:
        return response_topic_allowed(topic, self._rules().bases, self._rules().discovery_prefix)

    def _publications(self, name: str, delivery: Delivery, payload: bytes) -> tuple[NewPublication, ...]:
        topics: list[tuple[str, bytes | None]] = [(self._topics.response(name), None)]
        if delivery.response_topic and self._may_answer_on(delivery.response_topic):
            topics.append((delivery.response_topic, delivery.correlation))
        return tuple(
            NewPublication(
                topic=topic, payload=payload, sort="response", content_type=JSON, correlation=correlation
            )
            for topic, correlation in topics
        )
