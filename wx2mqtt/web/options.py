"""Options of the web server, in a module of their own: reading settings must not load its libraries."""

from __future__ import annotations

import errno
from dataclasses import field
from enum import Enum, auto
from ipaddress import IPv4Network, IPv6Network

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.values import frozen

IpNetwork = IPv4Network | IPv6Network


class CannotListen(Wx2MqttError):
    """The address of the web server cannot be had.

    `problems` has a sentence for each address.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Serves(Enum):
    """What an address of the web server serves."""

    #: The page, media, metrics, health, and the interfaces of senders.
    EVERYTHING = auto()
    #: Everything without the interfaces of senders.
    PAGE = auto()
    #: The interfaces of senders only.
    SENDERS = auto()
    #: Only those interfaces of senders that have paths at the root (ntfy).
    ROOT_SENDERS = auto()


@frozen
class WebOptions:
    """One address on which the web server listens. The settings have checked the values."""

    host: str
    port: int
    #: The URL of the server from outside; empty if unknown.
    url: str = ""
    #: Further names in the Host header that mean this server.
    hosts: tuple[str, ...] = ()
    #: The path below which a reverse proxy serves the page, such as `/wechat`; else empty.
    prefix: str = ""
    #: The password of the page. Where it is empty, every client may read.
    password: str = field(default="", repr=False)
    #: The bearer token of programs. Where it is empty, none is accepted.
    token: str = field(default="", repr=False)
    #: Proxies whose headers about the client are believed.
    proxies: tuple[IpNetwork, ...] = ()
    #: The address of Home Assistant's Supervisor, which lets only its users through. With it nobody else is
    #: served.
    ingress: str = ""
    #: The language for clients that ask for none that there is.
    language: Language = "en"
    serves: Serves = Serves.EVERYTHING
    #: The key of the configuration that names the address.
    key: str = "web.listen"


@frozen
class SenderOptions:
    """A program that may send over HTTP."""

    name: str
    token: str = field(repr=False)
    #: The recipient of a call that names nobody, as a topic name or `account/name`; empty without one.
    to: str
    #: The recipients that are allowed: names or globs, as `account/name` or for the first account.
    users: tuple[str, ...]
    #: How many commands it may send in a minute; 0 for any number.
    rate: int


def listen_problem(options: WebOptions, error: OSError) -> str:
    """Returns why the address cannot be used, and what to change."""
    address = f"port {options.port} on {options.host}"
    if isinstance(error, PermissionError):
        return f"{options.key}: {address} may be opened by root only: choose one from 1024 on"
    is_in_use = error.errno == errno.EADDRINUSE
    reason = "is in use" if is_in_use else f"cannot be had ({error.strerror or error})"
    return f"{options.key}: {address} {reason}: choose another, or set web.enabled to false"
