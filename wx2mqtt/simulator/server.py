"""Runs the simulator: in the current event loop, or as the command `wx2mqtt simulate`."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from wx2mqtt.simulator.app import SimulatorApp
from wx2mqtt.simulator.hosts import ALL_HOSTS
from wx2mqtt.simulator.wechat import WeChat
from wx2mqtt.simulator.world import OWNER


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """Options of `wx2mqtt simulate`.

    `tls` is a folder for the CA and the certificate; `friends` are added to the default people.
    """

    host: str = "127.0.0.1"
    port: int = 8070
    tls: Path | None = None
    friends: int = 0
    autoscan: bool = False


def startup_text(url: str, options: SimulatorOptions) -> str:
    """Returns what the command prints: the page, the endpoint, how to redirect an unmodified client."""
    lines = [
        f"WeChat, simulated: {url}/sim is the phone (scan, confirm, read, write).",
        f"wx2mqtt: set accounts.<name>.endpoint to {url}",
    ]
    if not _is_loopback(options.host):
        lines.append("It has no password: everybody who reaches this address can use it.")
    if options.tls is not None:
        lines += [
            f"Another client, unmodified: let it trust {options.tls / 'ca.pem'}",
            "(REQUESTS_CA_BUNDLE for Python's requests, NODE_EXTRA_CA_CERTS for node, SSL_CERT_FILE for Go),",
            "start this with --port 443, and put this line into /etc/hosts of its machine or container:",
            f"{options.host} {' '.join(ALL_HOSTS)}",
        ]
    return "\n".join(lines) + "\n"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Protocol(H11Protocol):
    """uvicorn's HTTP protocol; puts the transport into the state of the request, for faults below HTTP."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {"transport": transport}


_MAX_FRAME_BYTES = 4 * 1024 * 1024
"""Above this a frame is not read to its end; the gateway refuses smaller ones, too, and says so."""


class Simulator:
    """WeChat's servers, the phone page and the control API on one port.

        async with Simulator() as sim:
            sim.url        # http://127.0.0.1:…
            sim.wechat     # the simulated state, for tests in the same process

    `port` 0 selects a free one. `tls` is a folder for a CA and certificates for WeChat's names. The phone
    page speaks `language` (en, zh); if that is empty, the language of the browser. A second `async with` on
    the same object listens on the same port with the same state, like a server restart.
    Raises `OSError` when it cannot listen.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: Path | None = None,
        seed: int | None = None,
        language: str = "",
    ) -> None:
        self.wechat = WeChat(seed=seed)
        self._host = host
        self._port = port
        self._tls = tls
        self._language = language
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that it listens on; kept after the end."""
        return self._port

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        config = Config(
            SimulatorApp(self.wechat, self._language),
            lifespan="off",
            log_config=None,
            access_log=False,
            http="h11",
            ws="websockets-sansio",
            ws_max_size=_MAX_FRAME_BYTES,
            ws_per_message_deflate=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
        )
        config.load()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Protocol(config, self._state, {}),
            self._host,
            self._port,
            ssl=self._ssl_context(),
            backlog=512,
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in [*self._state.connections]:
            connection.transport.abort()
        await asyncio.sleep(0)
        tasks = [*self._state.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _ssl_context(self) -> ssl.SSLContext | None:
        if self._tls is None:
            return None
        from wx2mqtt.simulator import certificates  # noqa: PLC0415 - cryptography is heavy

        return certificates.server_context(self._tls)


_EXIT_ADDRESS_IN_USE, _EXIT_BAD_FOLDER = 75, 78


def run_simulator(
    options: SimulatorOptions, show: Callable[[str], None], complain: Callable[[str], None]
) -> int:
    """Runs until SIGINT or SIGTERM and shows its addresses, by lines; complains in one line of a failure.

    Returns the exit code.
    """
    if options.tls is not None and (problem := _certificate_problem(options.tls)):
        complain(f"{options.tls}: {problem}; give --tls a folder that can be written")
        return _EXIT_BAD_FOLDER
    try:
        asyncio.run(_run(options, show))
    except OSError as error:
        address = f"{options.host}:{options.port}"
        complain(f"cannot listen on {address}: {error.strerror}; choose another --host or --port")
        return _EXIT_ADDRESS_IN_USE
    return 0


def _certificate_problem(folder: Path) -> str:
    from wx2mqtt.simulator import certificates  # noqa: PLC0415 - cryptography is heavy

    try:
        certificates.server_context(folder)
    except OSError as error:
        return error.strerror or str(error)
    return ""


async def _run(options: SimulatorOptions, show: Callable[[str], None]) -> None:
    async with Simulator(options.host, options.port, tls=options.tls) as simulator:
        simulator.wechat.settings.autoscan = options.autoscan
        simulator.wechat.ilink.settings.autoscan = OWNER if options.autoscan else ""
        simulator.wechat.wecom.settings.autoscan = OWNER if options.autoscan else ""
        simulator.wechat.world.populate(friends=options.friends)
        for line in startup_text(simulator.url, options).splitlines():
            show(line)
        await _wait_for_stop_signal()


async def _wait_for_stop_signal() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        await stop.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
