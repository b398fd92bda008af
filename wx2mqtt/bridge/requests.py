"""`bridge/request/<name>`: a table of what can be asked of the bridge, and the answers (DESIGN 4, 4.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import structlog

from wx2mqtt.bridge.judge import Rules
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


class Requests:
    """Answers what is asked of one account. `send` is not among the handlers: it is a command (`Judge`)."""

    def __init__(
        self,
        topics: Topics,
        journal: Journal,
        handlers: Mapping[str, Handler],
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

    async def answer(self, name: str, delivery: Delivery) -> None:
        """Carry out one request and commit its answer; raises only `StoreError`."""
        transaction: Json = None
        try:
            if delivery.retain:
                self._clear(delivery.topic)
                raise BadCommand("retained", "request_retained")
            fields = read_request(delivery.payload)
            transaction = fields.pop("transaction", None)
            self._check_response_topic(delivery)
            payload = answer_ok(await self._handler(name)(fields), transaction)
        except BadCommand as bad:
            payload = answer_error(bad.code, explain(self._rules().language, bad), transaction)
        except StoreError:
            raise
        except Exception:  # a fault of ours must not leave the caller without an answer
            log.exception("request failed", name=name)
            sentence = say(self._rules().language, "request_failed")
            payload = answer_error("internal", sentence, transaction)
        payload = self._that_fits(name, delivery, payload, transaction)
        await self._journal.publish(self._publications(name, delivery, payload))

    def _that_fits(self, name: str, delivery: Delivery, payload: bytes, transaction: Json) -> bytes:
        """An answer that the broker would not take is an error that it takes: never silence (DESIGN 4)."""
        room = self._payload_limit(max(self._topics.response(name), delivery.response_topic, key=len))
        if room is None or len(payload) <= room - len(delivery.correlation or b""):
            return payload
        sentence = say(self._rules().language, "answer_too_large", size=len(payload), limit=room)
        smaller = answer_error("too_large", sentence, transaction)
        return smaller if len(smaller) <= room else answer_error("too_large", sentence, None)

    def _handler(self, name: str) -> Handler:
        handler = self._handlers.get(name)
        if handler is None:
            known = ", ".join(sorted({*self._handlers, "send"}))
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
