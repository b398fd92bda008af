"""Parts that several responses share: headers, short texts, and waiting only while the client is there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive

from wx2mqtt.i18n.web import server_text
from wx2mqtt.web.request_context import RequestContext

NO_STORE = {"cache-control": "no-store"}

# For content that is not cached and that pages of other sites must not embed.
PRIVATE_HEADERS = {**NO_STORE, "cross-origin-resource-policy": "same-origin"}

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)

# For pages: they load and run our own files and nothing else.
PAGE_HEADERS = {**PRIVATE_HEADERS, "content-security-policy": CONTENT_SECURITY_POLICY}

# For 503 while the database is away.
OUTAGE_HEADERS = {"retry-after": "15"}

# For 401.
AUTHENTICATE_HEADERS = {"www-authenticate": 'Bearer realm="wx2mqtt"'}


def text_response(
    context: RequestContext,
    status: int,
    message_key: str,
    headers: Mapping[str, str] | None = None,
    /,
    **facts: object,
) -> Response:
    """Returns one sentence of `SERVER_MESSAGES` as plain text, in the language of the client."""
    sentence = server_text(context.language, message_key, **facts)
    return PlainTextResponse(f"{sentence}\n", status, {**NO_STORE, **(headers or {})})


def set_cookie(
    response: Response, context: RequestContext, name: str, value: str, max_age_seconds: int
) -> None:
    """Adds a cookie for our own pages, which their scripts cannot read."""
    response.set_cookie(
        name,
        value,
        max_age=max_age_seconds,
        path=context.client.prefix or "/",
        secure=context.client.is_https,
        httponly=True,
        samesite="lax",
    )


T = TypeVar("T")


class WaitInterrupted(Exception):
    """Another event came before the result, and the work was cancelled."""


async def run_unless(work: Coroutine[Any, Any, T], *interrupts: Coroutine[Any, Any, object]) -> T:
    """Returns the result of `work`, or raises `WaitInterrupted` if one of `interrupts` ends before it.

    No task is left running.
    """
    work_task = asyncio.ensure_future(work)
    interrupt_tasks = [asyncio.ensure_future(interrupt) for interrupt in interrupts]
    try:
        await asyncio.wait({work_task, *interrupt_tasks}, return_when=asyncio.FIRST_COMPLETED)
        if not work_task.done():
            raise WaitInterrupted
        return work_task.result()
    finally:
        for task in (work_task, *interrupt_tasks):
            task.cancel()
        await asyncio.wait({work_task, *interrupt_tasks})


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
