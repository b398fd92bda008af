"""The endpoints and limits of the iLink API, and the hosts that are trusted (ilink 1, 3-10).

A token may be sent only to Tencent's hosts, to hosts that the owner allows, or to the owner's own endpoint,
whatever an answer says.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import SplitResult, urlsplit

from wx2mqtt import __version__
from wx2mqtt.model import Kind
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import CallSpec, Capabilities, MediaLimits

# The largest file that is sent. WeChat publishes no limit; other clients use this one (ilink 8.4.5).
MAX_FILE_BYTES = 100 << 20

# A message of the person opens the window for so many replies (ilink 10.1.3).
MAX_REPLIES_PER_MESSAGE = 10

CAPABILITIES = Capabilities(
    backend="ilink",
    product_name="Tencent iLink",
    has_contacts=False,
    has_groups=False,
    can_start_chat=False,
    handles_change_at_login=False,
    text_limit=16384,  # WeChat refuses longer texts (ilink 6.4.1)
    media={
        Kind.IMAGE: MediaLimits(
            max_bytes=MAX_FILE_BYTES,
            mime_types=frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"}),
        ),
        Kind.VIDEO: MediaLimits(
            max_bytes=MAX_FILE_BYTES,
            mime_types=frozenset(
                {"video/mp4", "video/quicktime", "video/webm", "video/x-matroska", "video/x-msvideo"}
            ),
        ),
        Kind.FILE: MediaLimits(max_bytes=MAX_FILE_BYTES),
    },
    has_reply_window=True,
    reply_quota=MAX_REPLIES_PER_MESSAGE,
    login_seconds=30 * 86_400.0,  # not published; some report a month (ilink 10.4.1)
    sends_after_login_end=True,  # some report that sends outlive polls (ilink 10.4.3)
    part_limit=2000,  # longer texts were truncated in tests (ilink 6.4.2)
)

ILINK_HEADERS = {
    "User-Agent": f"wx2mqtt/{__version__}",
    "Accept": "application/json, */*",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
}

MEGABYTE = 1 << 20

# A download that sends no byte for so long is aborted.
TRANSFER_IDLE_SECONDS = 30.0

# How long the server holds a poll, unless it announces another number (ilink 4.3.1).
POLL_HOLD_SECONDS = 35.0
MAX_POLL_HOLD_SECONDS = 60.0

# The client waits longer than the server holds a poll, so that no answer on its way is lost (ilink 4.3.2).
POLL_GRACE_SECONDS = 8.0


@frozen
class Endpoint(CallSpec):
    """One call of the API."""

    path: str
    #: How many seconds the whole exchange may take, and for a file the pause between two chunks.
    timeout: float
    #: How many bytes the answer may have; it bounds no file.
    limit: int = MEGABYTE


def _call(name: str, path: str = "", timeout: float = 10.0, **properties: Any) -> Endpoint:
    return Endpoint(name=name, path=f"/ilink/bot/{path or name}", timeout=timeout, **properties)


_POLL_SECONDS = POLL_HOLD_SECONDS + POLL_GRACE_SECONDS

# Login. NOTIFY_STOP must not delay the shutdown.
GET_QR = _call("get_bot_qrcode", "get_bot_qrcode?bot_type=3", timeout=15)
GET_STATUS = _call("get_qrcode_status", timeout=_POLL_SECONDS, is_long_poll=True)
NOTIFY_START = _call("notifystart", "msg/notifystart")
NOTIFY_STOP = _call("notifystop", "msg/notifystop", timeout=1)

# Messages
GET_UPDATES = _call("getupdates", timeout=_POLL_SECONDS, limit=32 * MEGABYTE, is_long_poll=True)
SEND = _call("sendmessage", timeout=15, is_delivery=True)
GET_CONFIG = _call("getconfig", timeout=5)
SEND_TYPING = _call("sendtyping", timeout=5)

# Files
GET_UPLOAD_URL = _call("getuploadurl", timeout=15)
UPLOAD = Endpoint(name="upload", path="/upload", timeout=60, limit=64 << 10)
DOWNLOAD = Endpoint(name="download", path="/download", timeout=TRANSFER_IDLE_SECONDS)

LOGIN_ORIGIN = "https://ilinkai.weixin.qq.com"
CDN_ORIGIN = "https://novac2c.cdn.weixin.qq.com/c2c"
TENCENT_DOMAIN = "weixin.qq.com"

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
