"""Where brokers are: the URLs of the configuration and the references that a broker gives. Pure.

What is shown of an address never contains the user name or password of its URL.

What a link is told by the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from wx2mqtt.mqtt.broker import Publication, Subscription

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


SCHEMES = (*DEFAULT_PORTS, "unix")


DEFAULT_WEBSOCKET_PATH = "/mqtt"
"""The usual path, also where brokers serve no other (EMQX, HiveMQ); mosquitto takes any."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BrokerAddress:
    """One broker. `path` is the WebSocket's path with its query, or the socket's file for `unix`."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    username: str | None = None
    password: str | None = None

    @property
    def tls(self) -> bool:
        return self.scheme in {"mqtts", "wss"}

    @property
    def websocket(self) -> bool:
        return self.scheme in {"ws", "wss"}

    @property
    def unix(self) -> bool:
        return self.scheme == "unix"

    @property
    def endpoint(self) -> str:
        """`host:port`, or the file of a unix socket."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path if self.unix else f"{host}:{self.port}"

    def __str__(self) -> str:
        """The URL without user name, password and query."""
        path = self.path.partition("?")[0] if self.websocket else ""
        return f"{self.scheme}://{self.endpoint}{path}"

    def __repr__(self) -> str:
        return str(self)


def parse_broker_url(url: str) -> BrokerAddress:
    """The address of an `mqtt`, `mqtts`, `ws`, `wss` or `unix` URL.

    Anything else is a ValueError, whose words do not quote the URL.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ValueError("this is no URL; an example is mqtt://localhost:1883") from None
    if parts.scheme not in SCHEMES:
        schemes = ", ".join(SCHEMES)
        raise ValueError(f"a broker's URL begins with one of {schemes} and ://, as mqtt://localhost:1883")
    return _unix(parts) if parts.scheme == "unix" else _network(parts, port)


def _unix(parts: SplitResult) -> BrokerAddress:
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/"):
        raise ValueError("a unix socket is given with its whole path, as unix:///run/mosquitto.sock")
    return BrokerAddress(scheme="unix", path=path)


def _network(parts: SplitResult, port: int | None) -> BrokerAddress:
    if not parts.hostname:
        raise ValueError("the host is missing; an example is mqtt://localhost:1883")
    if port == 0:
        raise ValueError("port 0 is no port of a broker")
    websocket = parts.scheme in {"ws", "wss"}
    if not websocket and parts.path not in {"", "/"}:
        raise ValueError("only ws and wss URLs have a path")
    query = f"?{parts.query}" if parts.query else ""
    return BrokerAddress(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or DEFAULT_PORTS[parts.scheme],
        path=(parts.path or DEFAULT_WEBSOCKET_PATH) + query if websocket else "",
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def parse_server_references(reference: str, at: BrokerAddress) -> tuple[BrokerAddress, ...]:
    """Where the broker `at` sends us (MQTT 5 4.13.1): addresses with white space between them.

    Scheme, path and credentials stay those of `at`. What cannot be read is left out.
    """
    if at.unix:
        return ()
    found = (_reference(word, at) for word in reference.split())
    return tuple(address for address in found if address is not None and address != at)


def _reference(word: str, at: BrokerAddress) -> BrokerAddress | None:
    try:
        # some brokers give a URL; its scheme is not taken, so that nobody can lead us away from TLS
        parts = urlsplit(word if "://" in word else f"//{word}")
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or port == 0:
        return None
    return replace(at, host=parts.hostname, port=port or DEFAULT_PORTS[at.scheme])


ProtocolChoice = Literal["auto", "5", "3.1.1"]


SECONDS_PER_WEEK = 7 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Files in PEM format; without `ca_file` the system's certificates count."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttOptions:
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
    protocol: ProtocolChoice = "auto"
    keepalive: int = 30
    tls: TlsFiles | None = None
    session_expiry: int = SECONDS_PER_WEEK
    will: Publication | None = None
    subscriptions: tuple[Subscription, ...] = ()
    receive_maximum: int = 200
    packet_limit: int = 101 * 1024 * 1024
    clean: bool = False
