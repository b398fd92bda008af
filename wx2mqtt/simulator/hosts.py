"""WeChat's host names and the role of each (webwx 1.1, ilink 1): tables and look-ups."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """The purpose of a host."""

    LOGIN = "login"
    BASE = "base"
    FILE = "file"
    PUSH = "push"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The hosts that serve one account."""

    base: str
    login: str
    file: str
    push: str

    def host(self, role: Role) -> str:
        names = {Role.BASE: self.base, Role.LOGIN: self.login, Role.FILE: self.file, Role.PUSH: self.push}
        return names[role]


def _cluster(base: str) -> Cluster:
    return Cluster(base=base, login=f"login.{base}", file=f"file.{base}", push=f"webpush.{base}")


CLUSTERS = {
    base: _cluster(base)
    for base in ("wx.qq.com", "wx2.qq.com", "wx8.qq.com", "web.wechat.com", "web2.wechat.com")
}

LOGIN_HOSTS = frozenset({"login.weixin.qq.com", *(cluster.login for cluster in CLUSTERS.values())})
"""Any of these serves the calls before a login (webwx 1.1.4)."""

_DEFAULT_PUSH_HOST = "webpush.weixin.qq.com"  # the default of the official page before a login

ILINK_API, ILINK_CDN = "ilinkai.weixin.qq.com", "novac2c.cdn.weixin.qq.com"
ILINK_LANDING = "liteapp.weixin.qq.com"
"""The host in the text of iLink's QR codes (ilink 1.2)."""
ILINK_OTHER = "ilinkai2.weixin.qq.com"
"""A second data centre of iLink. The name is invented: no real one is public (ilink 1.7, 16.8)."""

WECOM_GATEWAY, WECOM_SITE = "openws.work.weixin.qq.com", "work.weixin.qq.com"
"""The hosts of WeCom's long connection and of its login by scan (wecom 2.1, 3.1)."""

ALL_HOSTS = (
    *sorted({_DEFAULT_PUSH_HOST, *LOGIN_HOSTS, *(c.host(role) for c in CLUSTERS.values() for role in Role)}),
    *(ILINK_API, ILINK_CDN, ILINK_LANDING, ILINK_OTHER, WECOM_GATEWAY, WECOM_SITE),
)
"""Every name that a client may resolve: for certificates and for host mapping."""


def host_name(host_header: str) -> str:
    """Returns the name in a Host header: lower case, without the port."""
    name = host_header.strip().lower()
    return name if name.startswith("[") else name.partition(":")[0]


def is_wechat(name: str) -> bool:
    """Returns whether the name is one of WeChat's, so that roles and cookie domains apply."""
    return name.endswith((".qq.com", ".wechat.com"))


def cookie_domain(name: str) -> str:
    """Returns the Domain of the shared cookies on this host; empty: no Domain attribute (webwx 2.4.2.4)."""
    for domain in (".qq.com", ".wechat.com"):
        if name.endswith(domain):
            return domain
    return ""


def serves_role(name: str, role: Role, base: str) -> bool:
    """Returns whether the host `name` serves `role` for an account on the host `base`.

    A name that is not WeChat's serves every role: for a client that has one base URL for all of them.
    """
    if not is_wechat(name):
        return True
    if role is Role.LOGIN:
        return name in LOGIN_HOSTS
    cluster = CLUSTERS.get(base)
    return cluster is None or name == cluster.host(role)
