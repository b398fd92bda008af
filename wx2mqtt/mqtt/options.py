"""The options of an MQTT client, and the addresses of brokers: from the configuration or from a broker. Pure.

    parse_broker_url("mqtts://me:secret@broker")      BrokerAddress, which is shown as mqtts://broker:8883

No text of an address shows the user name or password of its URL.
"""

from __future__ import annotations

from dataclasses import field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from wx2mqtt.clock import ENDLESS_LEASE, Lease
from wx2mqtt.i18n import Language
from wx2mqtt.limits import MAX_INCOMING_PACKET_BYTES
from wx2mqtt.mqtt.broker import Publication
from wx2mqtt.values import frozen

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
SCHEMES = (*DEFAULT_PORTS, "unix")

# The only path of EMQX and HiveMQ; mosquitto accepts any path.
DEFAULT_WEBSOCKET_PATH = "/mqtt"


@frozen(repr=False)
class BrokerAddress:
    #: One of `SCHEMES`.
    scheme: str
    #: Empty for a unix socket.
    host: str = ""
    port: int = 0
    #: The path of a WebSocket with its query, or the file of a unix socket; else empty.
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
    """Parses an `mqtt`, `mqtts`, `ws`, `wss` or `unix` URL.

    Raises ValueError, whose text does not quote the URL.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ValueError("this is no URL; an example is mqtt://localhost:1883") from None
    if parts.scheme not in SCHEMES:
        schemes = ", ".join(SCHEMES)
        raise ValueError(f"a broker's URL begins with one of {schemes} and ://, as mqtt://localhost:1883")
    if parts.scheme != "unix":
        return _network_address(parts, port)
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/"):
        raise ValueError("a unix socket is given with its whole path, as unix:///run/mosquitto.sock")
    return BrokerAddress(scheme="unix", path=path)


def _network_address(parts: SplitResult, port: int | None) -> BrokerAddress:
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


MAX_SERVER_REFERENCES = 16


def parse_server_references(reference: str, at: BrokerAddress) -> tuple[BrokerAddress, ...]:
    """Parses the Server Reference of the broker `at` (MQTT 5, 4.13.1): "one:1883 two".

    The addresses are separated by white space. Scheme, path and credentials stay those of `at`. An address
    that cannot be parsed is left out, and so are all after the first `MAX_SERVER_REFERENCES`.
    """
    if at.unix:
        return ()
    texts = reference.split(maxsplit=MAX_SERVER_REFERENCES)[:MAX_SERVER_REFERENCES]
    addresses = (_parse_reference(text, at) for text in texts)
    return tuple(address for address in addresses if address is not None and address != at)


def _parse_reference(text: str, at: BrokerAddress) -> BrokerAddress | None:
    try:
        # Some brokers give a URL. Its scheme is ignored: nobody can lead the bridge away from TLS.
        parts = urlsplit(text if "://" in text else f"//{text}")
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or port == 0:
        return None
    return replace(at, host=parts.hostname, port=port or DEFAULT_PORTS[at.scheme])


ProtocolChoice = Literal["auto", "5", "3.1.1"]

SECONDS_PER_WEEK = 7 * 24 * 3600


@frozen
class TlsFiles:
    """Files in PEM format; without `ca_file` the certificates of the system are trusted."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@frozen
class MqttOptions:
    """One client of one broker or cluster. Times are in seconds."""

    #: The addresses, which are tried in turn. Each may hold `user:password@`; the options `username` and
    #: `password` have precedence.
    urls: tuple[str, ...] = field(repr=False)
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    protocol: ProtocolChoice = "auto"
    keepalive: int = 30
    tls: TlsFiles | None = None
    session_expiry: int = SECONDS_PER_WEEK
    will: Publication | None = None
    #: Topic filters. `packets.UNLESS_RETAINED` has the options with which MQTT 5 subscribes to them.
    subscriptions: tuple[str, ...] = ()
    #: Deliveries that the broker may leave unacknowledged (MQTT 5).
    receive_maximum: int = 200
    #: Bytes of the largest packet that the broker may send (MQTT 5).
    packet_limit: int = MAX_INCOMING_PACKET_BYTES
    #: Whether the broker discards the session that it has kept for this client.
    clean: bool = False
    #: The language of the sentences about the broker. A reload does not change it.
    language: Language = "en"
    #: The client is offline while the lease is not valid: another process may use its client id.
    lease: Lease = ENDLESS_LEASE
