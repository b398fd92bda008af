"""Dispatches `bridge/request/<name>` to its handler, and stores the answer for `bridge/response/<name>`.

    bridge/request/health  {}   ->   bridge/response/health  {"status": "ok", "data": {…}}

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
from wx2mqtt.bridge.requests.request import BridgeRequest, delivery_mark
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.i18n.bridge import bridge_text, rejection_text
from wx2mqtt.limits import MAX_OPEN_REQUESTS, REQUEST_JSON
from wx2mqtt.model import Json
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

# Requests that are commands (`bridge/commands`): they are queued, and have a result.
COMMAND_REQUESTS = frozenset({"send", "recall"})

# When to ask again where too many requests are open.
REFUSED_RETRY_SECONDS = 5.0


@frozen(kw_only=False)
class SizedHandler:
    """A request whose answer may be large: `work` gets the limit of its data in bytes, or None."""

    work: Callable[[dict[str, Json], int | None], Awaitable[Json]]


@frozen(kw_only=False)
class ActionHandler:
    """A request that changes something at WeChat: `work` stores the begin of the attempt before that."""

    work: Callable[[BridgeRequest], Awaitable[Json]]
    #: Whether the backend can do it; else it is refused before its fields are checked.
    is_offered: bool = True


Handler = PlainHandler | SizedHandler | ActionHandler


class RequestDispatcher:
    """Answers the requests of one account."""

    def __init__(self, ctx: AccountContext, inflight: InflightWindow) -> None:
        self._ctx = ctx
        self._inflight = inflight
        self._handlers: dict[str, Handler] = {}
        self._open_count = 0
        self._in_progress: dict[tuple[int, int, str, bytes], asyncio.Event] = {}

    def register(self, handlers: Mapping[str, Handler]) -> None:
        """Adds handlers by the name of their request."""
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
        else:  # it is refused, but its hash takes longer than the loop may be kept from other work
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
            return request.ok(await self._data(request))
        except BadCommand as bad:
            words, later = rejection_text(self._ctx.language, bad), bad.facts.get("retry_after")
            return request.error(bad.code, words, later if isinstance(later, float) else None)
        except StoreError:
            raise
        except Exception:  # a bug in the bridge must not leave the caller without an answer
            log.exception("request failed", name=request.name)
            return request.error("internal", bridge_text(self._ctx.language, "request_failed"))

    async def _data(self, request: BridgeRequest) -> Json:
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
