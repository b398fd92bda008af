"""The web server of a bridge: runs it on the addresses of the settings, and makes its options.

    web.listen: 0.0.0.0:8099          the page, and the senders where they have no address of their own
    web.senders_listen: …:8100        senders only
    web.ntfy_listen: …:8101           the interface of ntfy at the path /, where its clients expect it

Where one address cannot be had, none is used: the error names all of them that cannot.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, cast

from wx2mqtt.app.configuration import secret_value
from wx2mqtt.bridge.media.stored_media import MediaLibrary
from wx2mqtt.errors import Problem, SettingsError
from wx2mqtt.mqtt.embedded import PortInUse, available_port
from wx2mqtt.settings.addresses import split_listen_address
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import Sender, Settings, Web
from wx2mqtt.web.options import CannotListen, SenderOptions, Serves, WebOptions, listen_problem
from wx2mqtt.web.senders.sender_rights import SenderRegistry

if TYPE_CHECKING:
    from wx2mqtt.web.bridge_state import BridgeState
    from wx2mqtt.web.server import WebServers


@asynccontextmanager
async def running_web_server(
    settings: Settings,
    media_sources: Sequence[MediaLibrary],
    bridge: BridgeState | None = None,
    senders: SenderRegistry | None = None,
) -> AsyncGenerator[WebServers | None, None]:
    """Runs the web server inside the block; yields None where it is disabled.

    Without `senders` it serves none. Raises `CannotListen` with all addresses that cannot be had.
    """
    if not settings.web.enabled:
        yield None
        return
    from wx2mqtt.web.server import WebServers  # noqa: PLC0415 - only where it is enabled

    async with WebServers(media_sources, bridge, senders) as servers:
        await servers.listen_on(_options_of_servers(settings, with_senders=senders is not None))
        yield servers


async def move_sender_servers(servers: WebServers, at_start: Settings, now: LoadedSettings) -> None:
    """Serves the senders on the addresses of the settings of now; everything else stays as at the start.

    Raises `SettingsError` where an address cannot be had; then nothing has changed.
    """
    addresses = now.settings.web.model_dump(include={"senders_listen", "ntfy_listen"})
    settings = at_start.model_copy(update={"web": at_start.web.model_copy(update=addresses)})
    try:
        await servers.listen_on(_options_of_servers(settings, with_senders=True))
    except CannotListen as error:
        file = str(now.path or "the settings")
        problems = tuple(Problem(file, 0, "web", problem) for problem in error.problems)
        raise SettingsError(problems) from None


def find_listen_problems(settings: Settings) -> list[str]:
    """Returns why the web server cannot listen, a text for each address; none where it is disabled."""
    if not settings.web.enabled:
        return []
    return _listen_problems(_options_of_servers(settings, with_senders=True))


def _listen_problems(all_options: Sequence[WebOptions]) -> list[str]:
    problems = []
    for options in all_options:
        try:
            available_port(options.host, options.port)
        except PortInUse as error:
            problems.append(listen_problem(options, cast("OSError", error.__cause__)))
    return problems


def _options_of_servers(settings: Settings, *, with_senders: bool) -> list[WebOptions]:
    """Returns the options of each server: the one of the page, then those that serve senders only."""
    main = web_options(settings)
    return [main, *_options_of_sender_servers(settings.web, main)] if with_senders else [main]


def _options_of_sender_servers(web: Web, main: WebOptions) -> Iterator[WebOptions]:
    served = {
        "senders_listen": (web.senders_listen, Serves.SENDERS),
        "ntfy_listen": (web.ntfy_listen, Serves.ROOT_SENDERS),
    }
    for key, (address, serves) in served.items():
        if address is not None:
            host, port = split_listen_address(address)
            without_page = replace(main, ingress="", password="", token="")
            yield replace(without_page, host=host, port=port, serves=serves, key=f"web.{key}")


def sender_options(settings: Settings) -> list[SenderOptions]:
    if not settings.web.enabled:
        return []
    return [_sender_options_of(sender) for sender in settings.web.senders]


def _sender_options_of(sender: Sender) -> SenderOptions:
    to = sender.to or ""
    return SenderOptions(
        name=sender.name,
        token=secret_value(sender.token) or "",
        to=to,
        users=sender.users or ((to,) if to else ()),
        rate=sender.rate,
    )


def web_options(settings: Settings) -> WebOptions:
    """Returns the options of the server at `web.listen`."""
    web = settings.web
    host, port = split_listen_address(web.listen)
    proxies = (*web.trusted_proxies, web.ingress) if web.ingress else web.trusted_proxies
    return WebOptions(
        host=host,
        port=port,
        url=web.url or "",
        hosts=web.hosts,
        prefix=web.base_path.rstrip("/"),
        password=secret_value(web.password) or "",
        token=secret_value(web.token) or "",
        proxies=tuple(ip_network(proxy) for proxy in proxies),
        ingress=web.ingress or "",
        language=settings.language,
        serves=Serves.EVERYTHING if web.listen_serves_senders else Serves.PAGE,
    )
