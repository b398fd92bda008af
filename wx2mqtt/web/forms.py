"""The fields of a form, read with a bound in size and time."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request

from wx2mqtt.web.gate import BODY

TIME = 10.0  # seconds in which the form must have come
FIELDS = 10


class TooSlowError(Exception):
    """The form did not come to its end."""


class TooLargeError(Exception):
    """The form is none of ours."""


async def form(request: Request) -> dict[str, str]:
    """The fields of a form, the first of each name; raises `TooLargeError`, `TooSlowError`."""
    try:
        async with asyncio.timeout(TIME):
            body = await _body(request)
    except (TimeoutError, ClientDisconnect):
        raise TooSlowError from None
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FIELDS)
    except ValueError:
        raise TooLargeError from None
    return {name: values[0] for name, values in fields.items()}


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > BODY:
            raise TooLargeError
    return body
