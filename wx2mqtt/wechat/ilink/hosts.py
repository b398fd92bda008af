"""Where iLink's servers are, and which addresses of theirs are believed (ilink 1). Pure.

A token goes to Tencent's hosts, to hosts that the owner allows, or to the owner's own endpoint, and nowhere
else, whatever an answer says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

LOGIN = "https://ilinkai.weixin.qq.com"
CDN = "https://novac2c.cdn.weixin.qq.com/c2c"
TENCENT = "weixin.qq.com"

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,62}\.)*[a-z0-9-]{1,63}", re.ASCII | re.IGNORECASE)
_PATH = re.compile(r"[\w/.~-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """`endpoint` stands in the place of every host; else `more` are believed besides Tencent's, and what is
    below them.
    """

    endpoint: str | None = None
    more: tuple[str, ...] = ()

    @property
    def login(self) -> str:
        """Where QR codes come from, always (ilink 3.1)."""
        return LOGIN if self.endpoint is None else self.endpoint.rstrip("/")

    @property
    def cdn(self) -> str:
        """What addresses of bytes begin with that we make ourselves."""
        return CDN if self.endpoint is None else f"{self.endpoint.rstrip('/')}/c2c"

    def base(self, told: str) -> str | None:
        """The base of an account's calls, of the `baseurl` of its login; None where that is not believed."""
        if self.endpoint is not None or not told.strip():
            return self.login
        parts = _split(told.strip())
        if parts is None or not self._believes(parts) or parts.query or not _PATH.fullmatch(parts.path):
            return None
        return f"https://{parts.hostname}{parts.path.rstrip('/')}"

    def polling(self, told: str) -> str | None:
        """Where a login goes on that was sent to another host by its bare name (ilink 3.2)."""
        if self.endpoint is not None:
            return self.login
        return self.base(f"https://{told}") if _HOST.fullmatch(told) else None

    def media(self, url: str) -> str | None:
        """An address of bytes as it is to be asked for; None where it is not believed.

        At an endpoint of one's own are the paths and questions of all hosts, but no host.
        """
        parts = _split(url.strip())
        if parts is None:
            return None
        if self.endpoint is None:
            return url.strip() if self._believes(parts) else None
        own = self.endpoint.rstrip("/")
        if url.strip().startswith(f"{own}/"):
            return url.strip()
        question = f"?{parts.query}" if parts.query else ""
        return f"{own}{parts.path}{question}"

    def _believes(self, parts: SplitResult) -> bool:
        host = (parts.hostname or "").lower()
        ours = any(host == one or host.endswith(f".{one}") for one in (TENCENT, *map(str.lower, self.more)))
        plain = parts.port in {None, 443} and parts.username is None and parts.password is None
        return parts.scheme == "https" and plain and ours and bool(_HOST.fullmatch(host))


def host_of(url: str) -> str:
    """The host in an address, to be told to people; empty where it has none that can be shown."""
    host = urlsplit(url).hostname if _split(url) is not None else None
    return host if host and _HOST.fullmatch(host) else ""


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return None if parts.fragment or not url.isascii() or not url.isprintable() else parts
