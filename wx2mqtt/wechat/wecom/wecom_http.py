"""`WeComHttp`: what goes over HTTP: the two calls of a scan, and the files of messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wx2mqtt.i18n.wechat import wecom_text
from wx2mqtt.wechat.aiohttp_transport import HttpTransport
from wx2mqtt.wechat.backend_options import BackendOptions
from wx2mqtt.wechat.http_client import BadAnswer, HttpClient, StreamedResponse, TimeLimits, read_json
from wx2mqtt.wechat.json_reader import JsonObject, UnreadableJson
from wx2mqtt.wechat.wecom.protocol.endpoints import DOWNLOAD, WECOM_HEADERS, HttpCall


class WeComHttp:
    """The HTTP calls of one account. For tests `transport` replaces the network."""

    def __init__(self, options: BackendOptions, transport: HttpTransport | None = None) -> None:
        self.language = options.language
        self._http = HttpClient(
            options,
            WECOM_HEADERS,
            lambda failure, call: wecom_text(self.language, failure, call=call),
            transport,
        )

    async def call_json(self, call: HttpCall, url: str) -> JsonObject:
        """Returns the JSON object of an answer with status 200. Raises `Unreachable`."""
        limits = TimeLimits(idle=call.timeout, head=call.timeout, whole=call.timeout)
        async with self._http.exchange(call, url, headers={}, body=None, limits=limits) as response:
            body = await response.read(call.limit)
        if response.status != 200:
            raise BadAnswer(wecom_text(self.language, "status", status=response.status, call=call.name))
        try:
            return await read_json(body)
        except UnreadableJson:
            raise BadAnswer(wecom_text(self.language, "unreadable", call=call.name)) from None

    @asynccontextmanager
    async def download(self, url: str) -> AsyncIterator[StreamedResponse]:
        """Yields an answer of any status, whose body is read in chunks. Raises `Unreachable`."""
        limits = TimeLimits(idle=DOWNLOAD.timeout, head=DOWNLOAD.timeout)
        headers = {"Accept-Encoding": "identity"}  # encrypted bytes cannot be compressed
        async with self._http.exchange(DOWNLOAD, url, headers=headers, body=None, limits=limits) as response:
            yield response

    async def close(self) -> None:
        await self._http.close()
