"""The broker that comes along: mosquitto where there is one, else amqtt. On loopback, for anybody there."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import shutil
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import structlog

from wx2mqtt.errors import LinkError
from wx2mqtt.mqtt.mosquitto import Mosquitto, NotStarted

log = structlog.get_logger(__name__)


class PortInUse(LinkError):
    """The port cannot be had."""

    def __init__(self, host: str, port: int, *, forbidden: bool = False) -> None:
        super().__init__(
            f"port {port} on {host} may be opened by root only: choose one from 1024 on"
            if forbidden
            else f"port {port} on {host} is in use, perhaps by a broker: stop that, or use it "
            f"(mqtt.url: mqtt://localhost:{port})"
        )
        self.port = port


class Embedded:
    """`async with Embedded(folder) as broker` runs it; `port` 0 takes a free one. Raises PortInUse.

    `kind` is "mosquitto" or "amqtt". The latter speaks only MQTT 3.1.1, keeps nothing over a restart and
    shows retained messages to everybody (mqtt-bridges 7.3): good enough for a demonstration.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 1883) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError("the embedded broker asks nobody for a password and stays on loopback")
        self.kind = ""
        self.host = host
        self.port = port
        self._folder = folder
        self._stop: Callable[[], Awaitable[None]] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self.port}"

    @property
    def protocol(self) -> Literal["5", "3.1.1"]:
        """The newest MQTT that it speaks. Asking amqtt for more costs a second."""
        return "3.1.1" if self.kind == "amqtt" else "5"

    async def __aenter__(self) -> Self:
        self.port = take_port(self.host, self.port)
        if not await self._start_mosquitto():
            await self._start_amqtt()
        log.info("embedded broker runs", kind=self.kind, url=self.url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._stop is not None:
            await self._stop()

    async def _start_mosquitto(self) -> bool:
        program = find_mosquitto()
        if program is None:
            return False
        broker = Mosquitto(program, self._folder, self.host, self.port)
        try:
            await broker.start()
        except (NotStarted, OSError) as error:
            if "in use" in str(error):
                raise PortInUse(self.host, self.port) from error
            log.warning("mosquitto does not start; amqtt takes its place", reason=str(error))
            return False
        self.kind, self._stop = "mosquitto", broker.stop
        return True

    async def _start_amqtt(self) -> None:
        # 20 MB that most never need; it has no annotations
        from amqtt.broker import Broker  # type: ignore[import-untyped]  # noqa: PLC0415

        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # it logs whole messages
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{self.host}:{self.port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await broker.start()
        self.kind, self._stop = "amqtt", broker.shutdown


def find_mosquitto() -> str | None:
    """The program, also where Debian puts it, which is on no ordinary user's PATH."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin")


def take_port(host: str, port: int) -> int:
    """The port if nobody listens there, or a free one for 0. Raises PortInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUse(host, port, forbidden=isinstance(error, PermissionError)) from error
        taken: int = probe.getsockname()[1]
        return taken
