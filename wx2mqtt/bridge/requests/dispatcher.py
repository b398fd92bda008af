"""Requests: answers `bridge/request/<name>` on `bridge/response/<name>`.

    bridge/request/health  {}   ->   bridge/response/health  {"status": "ok", "data": {…}}

`RequestDispatcher` finds the handler of a request, `BridgeRequest` is one request with its answer. Where the
handlers are is said in `__init__.py`. `send` and `recall` are commands and do not come here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.context import AccountContext, PlainHandler
from wx2mqtt.bridge.inflight import InflightWindow
from wx2mqtt.bridge.repeats import delivery_mark
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.i18n.bridge import bridge_text, rejection_text
from wx2mqtt.limits import MAX_OPEN_REQUESTS, REQUEST_JSON
from wx2mqtt.model import JSON_TYPE, Json
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.commands import pop_transaction, read_request, transaction_echo
from wx2mqtt.mqtt.payloads import answer_error, answer_ok
from wx2mqtt.store.command_records import DeliveryMark
from wx2mqtt.store.records import NewPublication
from wx2mqtt.store.requests import JournaledRequest, RequestState
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

# Requests that are commands (`bridge/commands`): they are queued, and have a result.
COMMAND_REQUESTS = frozenset({"send", "recall"})

# How long a caller should wait who was refused because too many requests are open.
REFUSED_RETRY_SECONDS = 5.0

# A request that changes something at WeChat is answered within this time: the broker waits for its PUBACK.
ACTION_TIMEOUT_SECONDS = 20.0


@frozen(kw_only=False)
class SizedHandler:
    """A request whose answer may be large: `work` gets the limit of its data in bytes, or None."""

    work: Callable[[dict[str, Json], int | None], Awaitable[Json]]


@frozen(kw_only=False)
class ActionHandler:
    """A request that changes something at WeChat: `work` stores the begin of the attempt before that."""

    work: Callable[[BridgeRequest], Awaitable[Json]]
    #: Whether the backend can do it. If not, the request is refused before its fields are checked.
    is_offered: bool = True


Handler = PlainHandler | SizedHandler | ActionHandler


class RequestDispatcher:
    """Answers the requests of one account (`dispatch`)."""

    def __init__(self, ctx: AccountContext, inflight: InflightWindow) -> None:
        self._ctx = ctx
        self._inflight = inflight
        #: By the name of the request.
        self._handlers: dict[str, Handler] = {}
        #: How many requests have no answer yet.
        self._open_count = 0
        #: By what two deliveries of one request have in common: set when the first one is answered.
        self._in_progress: dict[tuple[int, int, str, bytes], asyncio.Event] = {}

    def register(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers.update(handlers)

    async def dispatch(self, name: str, delivery: Delivery, session: int) -> None:
        """Carries out one request and stores its answer. Raises only `StoreError`.

        1. It waits until an earlier run of the same delivery ends.
        2. A redelivered action that was answered before gets its stored answer, and is not carried out again.
        3. Its handler makes the answer, which is stored.

        `session` is the bridge's number of the broker session that delivered it.
        """
        if len(delivery.payload) <= REQUEST_JSON.max_bytes:
            mark = delivery_mark(delivery, session)
        else:  # it is refused for its size, and hashing that much would hold up the event loop
            mark = await asyncio.to_thread(delivery_mark, delivery, session)
        self._open_count += 1
        is_refused = self._open_count > MAX_OPEN_REQUESTS
        try:
            async with self._exclusive(delivery, session):
                request = BridgeRequest(self._ctx, self._inflight, name, delivery, mark)
                if isinstance(self._handlers.get(name), ActionHandler):
                    answered = await request.stored_answer()
                    if answered:  # the broker did not get the PUBACK of the first delivery
                        await self._ctx.publish(answered)
                        return
                payload = await self._answer(request, is_refused=is_refused)
                await retry_until_stored(lambda: request.finish(payload))
        finally:
            self._open_count -= 1

    @asynccontextmanager
    async def _exclusive(self, delivery: Delivery, session: int) -> AsyncIterator[None]:
        """Waits until an earlier run of the same delivery ends.

        At QoS 0 nothing is delivered twice: equal deliveries are several requests.
        """
        if not delivery.mid:
            yield
            return
        key = (session, delivery.mid, delivery.topic, delivery.payload)
        while key in self._in_progress:
            await self._in_progress[key].wait()
        ended = asyncio.Event()
        self._in_progress[key] = ended
        try:
            yield
        finally:
            del self._in_progress[key]
            ended.set()

    async def _answer(self, request: BridgeRequest, *, is_refused: bool) -> bytes:
        try:
            request.read()
            if is_refused:
                raise BadCommand(
                    "rate_limited",
                    "too_many_requests",
                    most=MAX_OPEN_REQUESTS,
                    retry_after=REFUSED_RETRY_SECONDS,
                )
            data = await self._call_handler(request)
            self._ctx.signals.request_handled.emit()
            return request.ok(data)
        except BadCommand as bad:
            sentence = rejection_text(self._ctx.language, bad)
            retry_after = bad.facts.get("retry_after")
            return request.error(bad.code, sentence, retry_after if isinstance(retry_after, float) else None)
        except StoreError:
            raise
        except Exception:  # a bug in the bridge must not leave the caller without an answer
            log.exception("request failed", name=request.name)
            return request.error("internal", bridge_text(self._ctx.language, "request_failed"))

    async def _call_handler(self, request: BridgeRequest) -> Json:
        match self._handlers.get(request.name):
            case None:
                known = ", ".join(sorted({*self._handlers, *COMMAND_REQUESTS}))
                raise BadCommand("unknown_request", "unknown_request", name=request.name, known=known)
            case SizedHandler(work):
                return await work(request.fields, request.max_data_bytes)
            case ActionHandler(work, is_offered):
                if not is_offered:
                    raise BadCommand("unsupported", "unsupported_action", name=request.name)
                return await work(request)
            case handler:
                return await handler(request.fields)


class BridgeRequest:
    """One request and its answer.

    A request that changes something at WeChat is carried out at most once. The journal holds the begin of its
    attempt and then its answer. A delivery that the broker repeats gets that answer. An attempt whose answer
    is missing, since the process ended, is *in doubt*: WeChat may have done it.
    """

    def __init__(
        self, ctx: AccountContext, inflight: InflightWindow, name: str, delivery: Delivery, mark: DeliveryMark
    ) -> None:
        self._ctx = ctx
        self._inflight = inflight
        self._delivery = delivery
        self._mark = mark
        #: What the journal has of the attempt; None before `begin`.
        self._journaled: JournaledRequest | None = None
        #: The value `transaction` of the request, which the answer repeats.
        self._transaction: Json = None
        self.name = name
        #: The fields of the request, without the transaction; empty before `read`.
        self.fields: dict[str, Json] = {}
        #: When it must be answered, by the clock of the event loop.
        self.deadline = asyncio.get_running_loop().time() + ACTION_TIMEOUT_SECONDS
        is_allowed = ctx.settings.allows_response_topic(delivery.response_topic)
        self._response_topic = delivery.response_topic if is_allowed else ""

    def read(self) -> None:
        """Reads the fields. Raises `BadCommand`."""
        if self._delivery.retain:
            raise BadCommand("retained", "request_retained")
        self.fields = read_request(self._delivery.payload)
        self._transaction = transaction_echo(self.fields)
        pop_transaction(self.fields)
        if self._delivery.response_topic != self._response_topic:
            raise BadCommand("bad_response_topic", "bad_response_topic")

    # The attempt. These methods raise `StoreError`.

    @property
    def in_doubt(self) -> bool:
        """Whether an earlier process began the attempt and did not store its outcome."""
        return self._journaled is not None and self._journaled.state is RequestState.IN_DOUBT

    async def begin(self) -> None:
        """Stores that the attempt begins; when the process ends from now on, it is in doubt."""
        if self._journaled is None:
            self._journaled = await self._ctx.journal.requests.start(self._mark)

    async def stored_answer(self) -> tuple[NewPublication, ...]:
        """Returns the stored answer if the broker marks the delivery as repeated and it was answered."""
        if not self._mark.dup:
            return ()
        await self.begin()
        assert self._journaled is not None
        return self._journaled.answer if self._journaled.state is RequestState.ANSWERED else ()

    async def finish(self, payload: bytes) -> None:
        """Publishes the answer; if `begin` was called, the journal keeps it for a repeated delivery."""
        topics: list[tuple[str, bytes | None]] = [(self._ctx.topics.response(self.name), None)]
        if self._response_topic:
            topics.append((self._response_topic, self._delivery.correlation))
        answers = tuple(
            NewPublication(
                topic=topic,
                payload=payload,
                category="response",
                content_type=JSON_TYPE,
                correlation=correlation,
            )
            for topic, correlation in topics
        )
        if self._journaled is None:
            await self._ctx.publish(answers)
        else:
            stored = await self._ctx.journal.requests.finish(self._mark, answers)
            self._ctx.signals.outbox_changed.emit(stored)

    # The answer

    @property
    def max_data_bytes(self) -> int | None:
        """How many bytes the data of the answer may have; None without a limit."""
        limit = self._payload_limit
        return None if limit is None else limit - len(answer_ok("", self._transaction))

    @property
    def _payload_limit(self) -> int | None:
        """How many bytes an answer may have; None without a limit. The longer topic leaves less room."""
        longer_topic = max(self._ctx.topics.response(self.name), self._delivery.response_topic, key=len)
        limit = self._inflight.payload_limit(longer_topic)
        return None if limit is None else limit - len(self._delivery.correlation or b"")

    def ok(self, data: Json) -> bytes:
        return self._fitting(answer_ok(data, self._transaction))

    def error(self, code: str, sentence: str, retry_after: float | None = None) -> bytes:
        return self._fitting(answer_error(code, sentence, self._transaction, retry_after))

    def _fitting(self, payload: bytes) -> bytes:
        """Returns the payload, or the error `too_large` if the broker would refuse the payload."""
        limit = self._payload_limit
        if limit is None or len(payload) <= limit:
            return payload
        sentence = bridge_text(self._ctx.language, "answer_too_large", size=len(payload), limit=limit)
        error = answer_error("too_large", sentence, self._transaction)
        if len(error) <= limit:
            return error
        return answer_error("too_large", sentence, None)  # it is the transaction that is too large
