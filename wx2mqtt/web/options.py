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
    """The address of the web server cannot be had."""


class Serves(Enum):
    """What an address of the web server serves."""

    #: The page, media, metrics, health; and senders.
    EVERYTHING = auto()
    #: All that, without senders.
    PAGE = auto()
    #: The interfaces of senders, and nothing else.
    SENDERS = auto()
    #: Those of them that stand at the root.
    ROOT_SENDERS = auto()


@frozen
class WebOptions:
    """Values that the settings have checked."""

    host: str
    port: int
    #: The address from outside; empty if unknown.
    url: str = ""
    #: Further names in the Host header that mean this server.
    hosts: tuple[str, ...] = ()
    #: The path below which a reverse proxy serves it: empty, or `/wechat`.
    prefix: str = ""
    #: Without one every client may read.
    password: str = field(default="", repr=False)
    #: Without one no bearer token is accepted.
    token: str = field(default="", repr=False)
    #: Headers about the client count if one of these sends them.
    proxies: tuple[IpNetwork, ...] = ()
    #: The address of Home Assistant's Supervisor, which lets only its users through; it alone is served then.
    ingress: str = ""
    #: For clients that ask for none that is available.
    language: Language = "en"
    serves: Serves = Serves.EVERYTHING
    #: The key of the configuration that names the address.
    key: str = "web.listen"


@frozen
class SenderOptions:
    """A program that may send over HTTP."""

    name: str
    token: str = field(repr=False)
    #: To whom it sends where it names nobody: a topic name, or `account/name`; empty without one.
    to: str
    #: To whom it may send: names or globs, with an account before them or for the first account.
    users: tuple[str, ...]
    #: Commands a minute; 0: no limit.
    rate: int


def listen_problem(options: WebOptions, error: OSError) -> str:
    """Returns why the address cannot be used, and what to change."""
    address = f"port {options.port} on {options.host}"
    if isinstance(error, PermissionError):
        return f"{options.key}: {address} may be opened by root only: choose one from 1024 on"
    is_in_use = error.errno == errno.EADDRINUSE
    reason = "is in use" if is_in_use else f"cannot be had ({error.strerror or error})"
    return f"{options.key}: {address} {reason}: choose another, or set web.enabled to false"
