"""The hosts that serve an account, the client that calls them, and which URLs are WeChat's (webwx 1.1).

hosts_of("wx2.qq.com").file                      "https://file.wx2.qq.com"
is_wechat("https://wx2.qq.com.evil.example/")    False: no key of a login is sent there
"""

from __future__ import annotations

from dataclasses import field
from urllib.parse import urlsplit

from wx2mqtt.values import frozen


@frozen
class ClusterHosts:
    """The origin for each `Role` of a call; a configured endpoint may add a path prefix."""

    base: str
    login: str
    push: str
    file: str


# The cluster of a base host with this part. The order matters: "wx2.qq.com" contains "qq.com" (webwx 1.1).
_CLUSTERS = (
    ("wx2.qq.com", "wx2.qq.com"),
    ("wx8.qq.com", "wx8.qq.com"),
    ("qq.com", "wx.qq.com"),
    ("web2.wechat.com", "web2.wechat.com"),
    ("wechat.com", "web.wechat.com"),
)

_WECHAT_DOMAINS = ("qq.com", "wechat.com")


def hosts_of(base: str) -> ClusterHosts:
    """Returns the hosts that belong to a base host such as `wx2.qq.com`."""
    cluster = next((cluster for part, cluster in _CLUSTERS if part in base), None)
    if cluster is None:
        login, push, file = "login.weixin.qq.com", "webpush.weixin.qq.com", "file.wx.qq.com"
    else:
        login, push, file = f"login.{cluster}", f"webpush.{cluster}", f"file.{cluster}"
    return ClusterHosts(
        base=f"https://{base}", login=f"https://{login}", push=f"https://{push}", file=f"https://{file}"
    )


# Where logins start; any cluster is possible (webwx 1.1.4).
FIRST_BASE = "wx.qq.com"
FIRST_HOSTS = hosts_of(FIRST_BASE)


def hosts_at_endpoint(endpoint: str) -> ClusterHosts:
    """Returns the hosts for one address that serves all of them: a simulator, a test server or a proxy."""
    origin = endpoint.rstrip("/")
    return ClusterHosts(base=origin, login=origin, push=origin, file=origin)


@frozen
class DesktopClient:
    """Values for desktop mode (webwx 2.4.1.2). The user configures them; the program has none of its own."""

    client_version: str
    extspam: str = field(repr=False)


@frozen
class ClientProfile:
    """The hosts to call, the language to ask for, and the client to appear as."""

    hosts: ClusterHosts = FIRST_HOSTS
    lang: str = "zh_CN"
    desktop: DesktopClient | None = None


def is_wechat(url: str) -> bool:
    """Returns whether a URL belongs to WeChat; session keys must not be sent to any other."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        has_default_authority = parts.port in {None, 443} and parts.username is None
    except ValueError:
        return False
    is_wechat_host = any(host == domain or host.endswith(f".{domain}") for domain in _WECHAT_DOMAINS)
    return parts.scheme == "https" and has_default_authority and is_wechat_host


def host_of(url: str) -> str:
    """Returns the host name of a URL; empty when it has none."""
    try:
        return urlsplit(url.partition("?")[0]).hostname or ""  # urlsplit caches what is in front of the query
    except ValueError:
        return ""


def from_cgi_bin(url: str) -> str:
    """Returns path and query of a redirect from `/cgi-bin/` on, without a path prefix of the host."""
    path = "/" + url.partition("#")[0].partition("://")[2].partition("/")[2]
    return path[max(path.find("/cgi-bin/"), 0) :]
