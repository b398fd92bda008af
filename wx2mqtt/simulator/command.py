"""`wx2mqtt simulate`: the simulator alone, for other people's clients, until it is told to stop."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from wx2mqtt.simulator.hosts import ALL_HOSTS
from wx2mqtt.simulator.server import Simulator


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """What was asked. `tls` is a folder for the CA and the certificate; `friends` are added to the cast."""

    host: str = "127.0.0.1"
    port: int = 8070
    tls: Path | None = None
    friends: int = 0
    autoscan: bool = False


def run_simulator(options: SimulatorOptions) -> None:
    """Run until SIGINT or SIGTERM. Raises `OSError` when the address or the folder cannot be had."""
    asyncio.run(_run(options))


async def _run(options: SimulatorOptions) -> None:
    async with Simulator(options.host, options.port, tls=options.tls) as simulator:
        simulator.wechat.settings.autoscan = options.autoscan
        simulator.wechat.world.populate(friends=options.friends)
        sys.stdout.write(announcement(simulator.url, options))
        sys.stdout.flush()
        await _told_to_stop()


async def _told_to_stop() -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        await stop.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def announcement(url: str, options: SimulatorOptions) -> str:
    """What to do now, for a person: the page, the endpoint, how to lead a client with fixed names here."""
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
