"""The host names of WeChat and what each is for (webwx 1.1, ilink 1). A table and look-ups, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a host is for."""

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
        """The host of this cluster for a role."""
        names = {Role.BASE: self.base, Role.LOGIN: self.login, Role.FILE: self.file, Role.PUSH: self.push}
        return names[role]


def _cluster(base: str) -> Cluster:
    return Cluster(base=base, login=f"login.{base}", file=f"file.{base}", push=f"webpush.{base}")


CLUSTERS = {
    base: _cluster(base)
    for base in ("wx.qq.com", "wx2.qq.com", "wx8.qq.com", "web.wechat.com", "web2.wechat.com")
}

LOGIN_HOSTS = frozenset({"login.weixin.qq.com", *(cluster.login for cluster in CLUSTERS.values())})
"""Before a login any of these works (webwx 1.1.4)."""

_DEFAULT_PUSH_HOST = "webpush.weixin.qq.com"  # the default of the official table, looked up before a login

ILINK_API, ILINK_CDN = "ilinkai.weixin.qq.com", "novac2c.cdn.weixin.qq.com"
ILINK_LANDING = "liteapp.weixin.qq.com"
"""What iLink's QR codes say (ilink 1.2)."""
ILINK_OTHER = "ilinkai2.weixin.qq.com"
"""Another data centre of iLink. The name is made up: no real one is public (ilink 1.7, 16.8)."""

ALL_HOSTS = (
    *sorted({_DEFAULT_PUSH_HOST, *LOGIN_HOSTS, *(c.host(role) for c in CLUSTERS.values() for role in Role)}),
    *(ILINK_API, ILINK_CDN, ILINK_LANDING, ILINK_OTHER),
)
"""Every name that a client may look up: for certificates and for host mapping."""


def host_name(host_header: str) -> str:
    """The name in a Host header, without the port, in lower case."""
    name = host_header.strip().lower()
    return name if name.startswith("[") else name.partition(":")[0]


def is_wechat(name: str) -> bool:
    """Whether a name is one of WeChat's, so that roles and cookie domains apply."""
    return name.endswith((".qq.com", ".wechat.com"))


def cookie_domain(name: str) -> str:
    """The domain that the shared cookies get on this host; empty: leave the attribute out (webwx 2.4.2.4)."""
    for domain in (".qq.com", ".wechat.com"):
        if name.endswith(domain):
            return domain
    return ""


def serves_role(name: str, role: Role, base: str) -> bool:
    """Whether a request for `role` may come to the host `name` when the account lives on `base`.

    A name that is not WeChat's fits everything: a client that is given one base URL for all roles.
    """
    if not is_wechat(name):
        return True
    if role is Role.LOGIN:
        return name in LOGIN_HOSTS
    cluster = CLUSTERS.get(base)
    return cluster is None or name == cluster.host(role)
