"""Where brokers are: the URLs of the configuration and the references that a broker gives. Pure.

What is shown of an address never contains the user name or password of its URL.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import SplitResult, unquote, urlsplit

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
SCHEMES = (*PORTS, "unix")
WEBSOCKET_PATH = "/mqtt"
"""The usual path, also where brokers serve no other (EMQX, HiveMQ); mosquitto takes any."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Address:
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


def read_url(url: str) -> Address:
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


def _unix(parts: SplitResult) -> Address:
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/"):
        raise ValueError("a unix socket is given with its whole path, as unix:///run/mosquitto.sock")
    return Address(scheme="unix", path=path)


def _network(parts: SplitResult, port: int | None) -> Address:
    if not parts.hostname:
        raise ValueError("the host is missing; an example is mqtt://localhost:1883")
    if port == 0:
        raise ValueError("port 0 is no port of a broker")
    websocket = parts.scheme in {"ws", "wss"}
    if not websocket and parts.path not in {"", "/"}:
        raise ValueError("only ws and wss URLs have a path")
    query = f"?{parts.query}" if parts.query else ""
    return Address(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or PORTS[parts.scheme],
        path=(parts.path or WEBSOCKET_PATH) + query if websocket else "",
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def read_references(reference: str, at: Address) -> tuple[Address, ...]:
    """Where the broker `at` sends us (MQTT 5 4.13.1): addresses with white space between them.

    Scheme, path and credentials stay those of `at`. What cannot be read is left out.
    """
    if at.unix:
        return ()
    found = (_reference(word, at) for word in reference.split())
    return tuple(address for address in found if address is not None and address != at)


def _reference(word: str, at: Address) -> Address | None:
    try:
        # some brokers give a URL; its scheme is not taken, so that nobody can lead us away from TLS
        parts = urlsplit(word if "://" in word else f"//{word}")
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or port == 0:
        return None
    return replace(at, host=parts.hostname, port=port or PORTS[at.scheme])
