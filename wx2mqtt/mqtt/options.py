"""What a link is told by the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from wx2mqtt.mqtt.link import Publication, Subscription

WantedProtocol = Literal["auto", "5", "3.1.1"]

WEEK = 7 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Files in PEM format; without `ca_file` the system's certificates count."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One client of one broker or cluster.

    `urls` are tried in turn and may carry `user:password@`; `username` and `password` win over that.
    `keepalive` and `session_expiry` in seconds. `receive_maximum` is how many deliveries may wait for their
    acknowledgement, `packet_limit` the largest packet in bytes that the broker may send (MQTT 5). What
    is larger it drops without a word: the largest file that WeChat takes must pass, with all around it.
    `clean` has the broker forget what it kept of this client.
    """

    urls: tuple[str, ...] = field(repr=False)
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    protocol: WantedProtocol = "auto"
    keepalive: int = 30
    tls: TlsFiles | None = None
    session_expiry: int = WEEK
    will: Publication | None = None
    subscriptions: tuple[Subscription, ...] = ()
    receive_maximum: int = 200
    packet_limit: int = 101 * 1024 * 1024
    clean: bool = False
