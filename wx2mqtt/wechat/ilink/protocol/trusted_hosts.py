"""The hosts to which requests may go (ilink 1).

    TrustedHosts().media_url("https://novac2c.cdn.weixin.qq.com/c2c/download?…")      the address itself
    TrustedHosts().media_url("https://weixin.qq.com.evil.example/c2c/download?…")     None

A token may be sent only to Tencent's hosts, to hosts that the owner allows, or to the owner's own endpoint,
whatever an answer says.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from wx2mqtt.values import frozen
from wx2mqtt.wechat.ilink.protocol.endpoints import CDN_ORIGIN, LOGIN_ORIGIN, TENCENT_DOMAIN

# A host name such as `ilinkai.weixin.qq.com`, and the path of a base URL such as `/c2c`
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,62}\.)*[a-z0-9-]{1,63}", re.ASCII | re.IGNORECASE)
_PATH = re.compile(r"[\w/.~-]*", re.ASCII)


@frozen
class TrustedHosts:
    """The hosts to which requests may go: Tencent's and the `extra` ones, with their subdomains.

    With an `endpoint` all requests go there instead.
    """

    endpoint: str | None = None
    extra: tuple[str, ...] = ()

    @property
    def login(self) -> str:
        """The base URL of the calls before a login; QR codes always come from there (ilink 3.1.1)."""
        return LOGIN_ORIGIN if self.endpoint is None else self.endpoint.rstrip("/")

    @property
    def cdn(self) -> str:
        """The base URL of uploads and downloads where WeChat sends no whole address."""
        return CDN_ORIGIN if self.endpoint is None else f"{self.endpoint.rstrip('/')}/c2c"

    def base_url(self, advertised: str) -> str | None:
        """Returns the base URL of a login from the `baseurl` in the answer; None where it is not trusted."""
        if self.endpoint is not None or not advertised.strip():
            return self.login
        parts = _split_url(advertised.strip())
        if parts is None or not self._is_trusted(parts) or parts.query or not _PATH.fullmatch(parts.path):
            return None
        return f"https://{parts.hostname}{parts.path.rstrip('/')}"

    def polling_url(self, advertised: str) -> str | None:
        """Returns the base URL of polls that WeChat redirects to `advertised`, a host name (ilink 3.2.4).

        None where it is not trusted.
        """
        if self.endpoint is not None:
            return self.login
        return self.base_url(f"https://{advertised}") if _HOST.fullmatch(advertised) else None

    def media_url(self, url: str) -> str | None:
        """Returns the address from which a file is requested, or None for a host that is not trusted.

        With an `endpoint` its host replaces the one of the address; path and query stay.
        """
        parts = _split_url(url.strip())
        if parts is None:
            return None
        if self.endpoint is None:
            return url.strip() if self._is_trusted(parts) else None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            return None  # without a host in front, `@evil.example/` would replace the host of the endpoint
        base = self.endpoint.rstrip("/")
        if url.strip().startswith(f"{base}/"):
            return url.strip()
        query = f"?{parts.query}" if parts.query else ""
        return f"{base}{parts.path}{query}"

    def _is_trusted(self, parts: SplitResult) -> bool:
        host = (parts.hostname or "").lower()
        domains = (TENCENT_DOMAIN, *map(str.lower, self.extra))
        is_known = any(host == domain or host.endswith(f".{domain}") for domain in domains)
        is_plain = parts.port in {None, 443} and parts.username is None and parts.password is None
        return parts.scheme == "https" and is_plain and is_known and bool(_HOST.fullmatch(host))


def host_of(url: str) -> str:
    """Returns the host of an address for a text that people read; empty where it cannot be shown."""
    parts = _split_url(url)
    host = "" if parts is None else parts.hostname or ""
    return host if _HOST.fullmatch(host) else ""


# Anything but the printable characters of ASCII without the blank
_UNSAFE_IN_URL = re.compile(r"[^!-~]")


def _split_url(url: str) -> SplitResult | None:
    """Returns the parts of an address; None for one that is not safe to request or to show."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises `ValueError` for a bad port
    except ValueError:
        return None
    return None if parts.fragment or _UNSAFE_IN_URL.search(url) else parts
