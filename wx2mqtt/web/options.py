"""Options of the web server, in a module of their own: reading settings must not load its libraries."""

from __future__ import annotations

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
