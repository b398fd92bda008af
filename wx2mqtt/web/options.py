"""Options of the web server, in a module of their own: reading settings must not load its libraries."""

from __future__ import annotations

import errno
from dataclasses import field
from ipaddress import IPv4Network, IPv6Network

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.values import frozen

IpNetwork = IPv4Network | IPv6Network


class CannotListen(Wx2MqttError):
    """The address of the web server cannot be had."""


@frozen
class WebOptions:
    """Values that the settings have checked.

    `url` is the address from outside, empty if unknown. `hosts` are further names in the Host header that
    mean this server. `prefix` is the path below which a reverse proxy serves it: empty, or `/wechat`. Without
    a `password` every client may read; without a `token` no bearer token is accepted. Headers about the
    client count if `proxies` send them. `ingress` is the address of Home Assistant's Supervisor,
    or empty: it alone is served then, under any name, since it lets only users of Home Assistant through.
    `language` is for clients that ask for none that is available.
    """

    host: str
    port: int
    url: str = ""
    hosts: tuple[str, ...] = ()
    prefix: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    proxies: tuple[IpNetwork, ...] = ()
    ingress: str = ""
    language: Language = "en"


def listen_problem(options: WebOptions, error: OSError) -> str:
    """Returns why the address cannot be used, and what to change."""
    address = f"port {options.port} on {options.host}"
    if isinstance(error, PermissionError):
        return f"web.listen: {address} may be opened by root only: choose one from 1024 on"
    is_in_use = error.errno == errno.EADDRINUSE
    reason = "is in use" if is_in_use else f"cannot be had ({error.strerror or error})"
    return f"web.listen: {address} {reason}: choose another, or set web.enabled to false"
