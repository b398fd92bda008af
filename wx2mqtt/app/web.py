"""The web server of a run: told what the settings say, and loaded only where it is wanted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import TYPE_CHECKING

from wx2mqtt.app.wiring import plain
from wx2mqtt.settings.addresses import listen_parts
from wx2mqtt.settings.schema import Settings
from wx2mqtt.web.options import Options

if TYPE_CHECKING:
    from wx2mqtt.web.media import Shelf
    from wx2mqtt.web.server import Server
    from wx2mqtt.web.views import Bridge


@asynccontextmanager
async def serving(
    settings: Settings, shelves: Sequence[Shelf], bridge: Bridge | None = None
) -> AsyncGenerator[Server | None, None]:
    """The server, which answers from here on; None where none is wanted. Raises `CannotListen`."""
    if not settings.web.enabled:
        yield None
        return
    from wx2mqtt.web.server import Server  # noqa: PLC0415 - starlette and uvicorn: 2 MB

    async with Server(web_options_of(settings), shelves, bridge) as server:
        yield server


def web_options_of(settings: Settings) -> Options:
    """What the server is told."""
    web = settings.web
    host, port = listen_parts(web.listen)
    return Options(
        host=host,
        port=port,
        url=web.url or "",
        hosts=web.hosts,
        prefix=web.base_path.rstrip("/"),
        password=plain(web.password) or "",
        token=plain(web.token) or "",
        proxies=tuple(ip_network(proxy) for proxy in web.trusted_proxies),
        language=settings.language,
    )
