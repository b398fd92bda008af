"""Options of the web server. Values only; the settings have checked them."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.i18n.bridge import Language

IpNetwork = IPv4Network | IPv6Network


class CannotListen(Wx2MqttError):
    """The address of the web server cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOptions:
    """`prefix` is the path below which a reverse proxy shows the server: empty, or `/wechat`.

    `url` is its address from outside, empty when unknown. Without a `password` everybody who reaches the
    server may read: only on loopback. `token` lets machines read; empty: none does. `proxies` are believed
    what they say of the client. `language` is for those who ask for none that we speak.
    """

    host: str
    port: int
    url: str = ""
    hosts: tuple[str, ...] = ()
    prefix: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    proxies: tuple[IpNetwork, ...] = ()
    language: Language = "en"
