"""Dispatches `bridge/request/<name>` to its handler, and stores the answer for `bridge/response/<name>`.

Handlers are in `handlers.py`, `actions.py`, `bridge/media/request.py` and, for the whole program,
`app/application.py`. `send` and `recall` are commands and do not come here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.context import AccountContext, PlainHandler
from wx2mqtt.bridge.inflight import InflightWindow
from wx2mqtt.bridge.journaled import RequestAttempt, delivery_mark
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.i18n.bridge import bridge_text, rejection_text
from wx2mqtt.limits import MAX_OPEN_REQUESTS, REQUEST_JSON
from wx2mqtt.model import Json
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.commands import pop_transaction, read_request, transaction_echo
from wx2mqtt.mqtt.payloads import answer_error, answer_ok
from wx2mqtt.mqtt.topics import JSON_TYPE
from wx2mqtt.store.records import NewPublication
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

COMMAND_REQUESTS = frozenset({"send", "recall"})
"""Requests that are commands (`bridge/commands`): they are queued, and have a result."""

REFUSED_RETRY_SECONDS = 5.0
"""When to ask again where too many requests are open."""


@frozen(kw_only=False)
class SizedHandler:
    """A request whose answer may be large: `work` gets the limit of its data in bytes, or None."""

    work: Callable[[dict[str, Json], int | None], Awaitable[Json]]


@frozen(kw_only=False)
class ActionHandler:
    """A request that changes something at WeChat: `work` marks the attempt as started right before that."""

    work: Callable[[dict[str, Json], RequestAttempt], Awaitable[Json]]


Handler = PlainHandler | SizedHandler | ActionHandler


class RequestDispatcher:
    """Answers the requests of one account.

    A redelivered request that was answered before gets its stored answer and is not carried out again.
    """

    def __init__(self, ctx: AccountContext, inflight: InflightWindow) -> None:
        self._ctx = ctx
        self._topics = ctx.topics
        self._inflight = inflight
        self._handlers: dict[str, Handler] = {}
        self._open_count = 0
        self._in_progress: dict[tuple[int, int, str, bytes], asyncio.Event] = {}

    def register(self, handlers: Mapping[str, Handler]) -> None:
        """Adds handlers by the name of their request."""
        self._handlers.update(handlers)

    async def dispatch(self, name: str, delivery: Delivery, session: int) -> None:
        """Carries out one request and stores its answer. Raises only `StoreError`.

        `session` is the bridge's number of the broker session that delivered it.
        """
        if len(delivery.payload) <= REQUEST_JSON.max_bytes:
            mark = delivery_mark(delivery, session)
        else:  # it is refused, but its hash takes longer than the loop may be kept from other work
            mark = await asyncio.to_thread(delivery_mark, delivery, session)
        attempt = RequestAttempt(self._ctx, mark)
        self._open_count += 1
        try:
            await self._carry_out(name, delivery, session, attempt)
        finally:
            self._open_count -= 1

    async def _carry_out(self, name: str, delivery: Delivery, session: int, attempt: RequestAttempt) -> None:
        is_refused = self._open_count > MAX_OPEN_REQUESTS
        async with self._exclusive(delivery, session):
            answered = (
                await attempt.stored_answer() if isinstance(self._handlers.get(name), ActionHandler) else ()
            )
            if answered:  # the broker did not get the PUBACK of the first delivery
                await self._ctx.publish(answered)
                return
            payload = await self._answer_payload(name, delivery, attempt, is_refused=is_refused)
            publications = self._publications(name, delivery, payload)
            await retry_until_stored(lambda: attempt.finish(publications))

    @asynccontextmanager
    async def _exclusive(self, delivery: Delivery, session: int) -> AsyncIterator[None]:
        """Waits until an earlier run of the same delivery ends: a reconnect may deliver it again.

        At QoS 0 nothing is delivered again: equal deliveries are several requests.
        """
        if not delivery.mid:
            yield
            return
        key = session, delivery.mid, delivery.topic, delivery.payload
        while earlier := self._in_progress.get(key):
            await earlier.wait()
        self._in_progress[key] = ended = asyncio.Event()
        try:
            yield
        finally:
            del self._in_progress[key]
            ended.set()

    async def _answer_payload(
        self, name: str, delivery: Delivery, attempt: RequestAttempt, *, is_refused: bool
    ) -> bytes:
        transaction: Json = None
        try:
            if delivery.retain:
                raise BadCommand("retained", "request_retained")
            fields = read_request(delivery.payload)
            transaction = transaction_echo(fields)
            pop_transaction(fields)
            self._check_response_topic(delivery)
            if is_refused:
                raise BadCommand(
                    "rate_limited",
                    "too_many_requests",
                    most=MAX_OPEN_REQUESTS,
                    retry_after=REFUSED_RETRY_SECONDS,
                )
            max_bytes = self._max_data_bytes(name, delivery, transaction)
            payload = answer_ok(await self._answer_data(name, fields, max_bytes, attempt), transaction)
        except BadCommand as bad:
            words, later = rejection_text(self._ctx.language, bad), bad.facts.get("retry_after")
            payload = answer_error(bad.code, words, transaction, later if isinstance(later, float) else None)
        except StoreError:
            raise
        except Exception:  # a bug in the bridge must not leave the caller without an answer
            log.exception("request failed", name=name)
            sentence = bridge_text(self._ctx.language, "request_failed")
            payload = answer_error("internal", sentence, transaction)
        return self._fit_payload(name, delivery, payload, transaction)

    async def _answer_data(
        self, name: str, fields: dict[str, Json], max_bytes: int | None, attempt: RequestAttempt
    ) -> Json:
        match self._find_handler(name):
            case SizedHandler(work):
                return await work(fields, max_bytes)
            case ActionHandler(work):
                return await work(fields, attempt)
            case handler:
                return await handler(fields)

    def _max_data_bytes(self, name: str, delivery: Delivery, transaction: Json) -> int | None:
        """Returns how many bytes the data of an answer may have; None without a limit."""
        limit = self._payload_limit_of(name, delivery)
        return None if limit is None else limit - len(answer_ok("", transaction))

    def _payload_limit_of(self, name: str, delivery: Delivery) -> int | None:
        limit = self._inflight.payload_limit(
            max(self._topics.response(name), delivery.response_topic, key=len)
        )
        return None if limit is None else limit - len(delivery.correlation or b"")

    def _fit_payload(self, name: str, delivery: Delivery, payload: bytes, transaction: Json) -> bytes:
        """Returns the payload, or the error `too_large` where the broker would refuse the payload."""
        limit = self._payload_limit_of(name, delivery)
        if limit is None or len(payload) <= limit:
            return payload
        sentence = bridge_text(self._ctx.language, "answer_too_large", size=len(payload), limit=limit)
        smaller = answer_error("too_large", sentence, transaction)
        return smaller if len(smaller) <= limit else answer_error("too_large", sentence, None)

    def _find_handler(self, name: str) -> Handler:
        handler = self._handlers.get(name)
        if handler is None:
            known = ", ".join(sorted({*self._handlers, *COMMAND_REQUESTS}))
            raise BadCommand("unknown_request", "unknown_request", name=name, known=known)
        return handler

    def _check_response_topic(self, delivery: Delivery) -> None:
        if delivery.response_topic and not self._ctx.settings.allows_response_topic(delivery.response_topic):
            raise BadCommand("bad_response_topic", "bad_response_topic")

    def _publications(self, name: str, delivery: Delivery, payload: bytes) -> tuple[NewPublication, ...]:
        topics: list[tuple[str, bytes | None]] = [(self._topics.response(name), None)]
        if delivery.response_topic and self._ctx.settings.allows_response_topic(delivery.response_topic):
            topics.append((delivery.response_topic, delivery.correlation))
        return tuple(
            NewPublication(
                topic=topic,
                payload=payload,
                category="response",
                content_type=JSON_TYPE,
                correlation=correlation,
            )
            for topic, correlation in topics
        )
