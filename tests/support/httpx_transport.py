"""Puts a transport of httpx, such as `httpx.MockTransport`, in the place of the network of `HttpClient`.

Its answers and errors become those that `AiohttpTransport` has for them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
from typing_extensions import override

from wx2mqtt.wechat.aiohttp_transport import (
    ExchangeFailed,
    ExchangeFailure,
    HttpRequest,
    HttpResponse,
    HttpTransport,
)

# Only after these errors it is certain that no byte of the request was sent.
_NOT_SENT_ERRORS = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,
)


class HttpxTransport(HttpTransport):
    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    @override
    async def send(self, request: HttpRequest) -> HttpResponse:
        method = "GET" if request.body is None else "POST"
        try:
            asked = httpx.Request(
                method,
                request.url,
                headers=request.headers,
                content=request.body,
                extensions={"timeout": {"read": request.idle_seconds}},
            )
            return _Response(await self._transport.handle_async_request(asked))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failed(error) from error

    @override
    async def close(self) -> None:
        await self._transport.aclose()


class _Response(HttpResponse):
    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self._response = response

    @override
    def header_values(self, name: str) -> list[str]:
        return self._response.headers.get_list(name)

    @override
    async def chunks(self) -> AsyncGenerator[bytes, None]:
        assert isinstance(self._response.stream, httpx.AsyncByteStream)
        try:
            async for piece in self._response.stream:
                if piece:
                    yield piece
        except httpx.HTTPError as error:
            raise _failed(error) from error
        finally:
            await self._response.aclose()

    @override
    def close(self) -> None:
        """Does nothing: httpx closes in a coroutine, at the end of `chunks`."""


def _failed(error: Exception) -> ExchangeFailed:
    if isinstance(error, _NOT_SENT_ERRORS):
        return ExchangeFailed(ExchangeFailure.NO_CONNECTION)
    if isinstance(error, httpx.TimeoutException):
        return ExchangeFailed(ExchangeFailure.NO_ANSWER)
    return ExchangeFailed(ExchangeFailure.BROKEN_ANSWER)
