"""What `wx2mqtt simulate` was asked, and what it tells a person. Words only."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from wx2mqtt.simulator.hosts import ALL_HOSTS


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """What was asked. `tls` is a folder for the CA and the certificate; `friends` are added to the cast."""

    host: str = "127.0.0.1"
    port: int = 8070
    tls: Path | None = None
    friends: int = 0
    autoscan: bool = False


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
