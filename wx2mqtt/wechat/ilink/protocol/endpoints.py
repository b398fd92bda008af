"""The calls of iLink, its numbers and words, its hosts, and what it can do (ilink 1, 3-10). Tables.

A token goes to Tencent's hosts, to hosts that the owner allows, or to the owner's own endpoint, and nowhere
else, whatever an answer says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from urllib.parse import SplitResult, urlsplit

from wx2mqtt import __version__
from wx2mqtt.model import Kind
from wx2mqtt.wechat.backend import Capabilities, MediaLimits

MAX_FILE_BYTES = 100 << 20  # bytes; no limit is published, and this is what other clients take (ilink 8.4.5)


CAPABILITIES = Capabilities(
    backend="ilink",
    product_name="Tencent iLink",
    has_contacts=False,
    has_groups=False,
    can_start_chat=False,
    handles_change_at_login=False,
    text_limit=16384,  # more is refused (ilink 6.4.1)
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
    part_limit=2000,  # beyond that texts were seen cut (ilink 6.4.2)
)


ILINK_HEADERS = {
    "User-Agent": f"wx2mqtt/{__version__}",
    "Accept": "application/json, */*",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
}


ERR_LOGGED_OUT = -14


ERR_REFUSED = -2


ERR_BUSY = -1


ERR_TOO_OFTEN = -12


TYPING_STARTED, TYPING_STOPPED = 1, 2
"""`status` of `sendtyping`."""


class ScanStatus(StrEnum):
    """`status` of a login poll, spelled as the server does."""

    WAIT = "wait"
    SCANNED = "scaned"
    REDIRECT = "scaned_but_redirect"
    NEED_CODE = "need_verifycode"
    BLOCKED = "verify_code_blocked"
    EXPIRED = "expired"
    BOUND = "binded_redirect"
    CONFIRMED = "confirmed"


class SenderType(IntEnum):
    """`message_type`."""

    NONE = 0
    USER = 1
    BOT = 2


class ItemType(IntEnum):
    """`type` of an item."""

    TEXT = 1
    IMAGE = 2
    VOICE = 3
    FILE = 4
    VIDEO = 5


STATE_FINISHED = 2
"""`message_state` of all that we send."""


ITEM_OF_KIND: dict[Kind, ItemType] = {
    Kind.IMAGE: ItemType.IMAGE,
    Kind.VIDEO: ItemType.VIDEO,
    Kind.FILE: ItemType.FILE,
}


UPLOAD_TYPES: dict[Kind, int] = {Kind.IMAGE: 1, Kind.VIDEO: 2, Kind.FILE: 3}
"""`media_type` of an upload: not the numbers of items, and who mixes them up shows nothing (ilink 5.2.3)."""


MEGABYTE = 1 << 20


TRANSFER_IDLE_SECONDS = 30.0  # seconds without a byte, until bytes are given up


POLL_HOLD_SECONDS = 35.0  # seconds that the server holds a poll, unless it says another number (ilink 4.3.1)


MAX_POLL_HOLD_SECONDS = 60.0


POLL_GRACE_SECONDS = (
    8.0  # seconds more than it holds: an answer that is under way is not thrown away (ilink 4.3.2)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One call: `timeout` in seconds for the whole exchange, `limit` in bytes for its answer.

    Of a call that brings or takes bytes the timeout is the longest silence. `delivers` marks a call after
    which a lost answer leaves the outcome unknown; `polls` one that the server holds.
    """

    name: str
    path: str
    timeout: float
    limit: int = MEGABYTE
    is_delivery: bool = False
    is_long_poll: bool = False


def _bot(name: str, path: str = "", timeout: float = 10.0, limit: int = MEGABYTE) -> Endpoint:
    return Endpoint(name=name, path=f"/ilink/bot/{path or name}", timeout=timeout, limit=limit)


GET_QR = _bot("get_bot_qrcode", "get_bot_qrcode?bot_type=3", timeout=15)


GET_STATUS = Endpoint(
    name="get_qrcode_status",
    path="/ilink/bot/get_qrcode_status",
    timeout=POLL_HOLD_SECONDS + POLL_GRACE_SECONDS,
    is_long_poll=True,
)


NOTIFY_START = _bot("notifystart", "msg/notifystart")


NOTIFY_STOP = _bot("notifystop", "msg/notifystop", timeout=1)  # a stop has no more time


GET_UPDATES = Endpoint(
    name="getupdates",
    path="/ilink/bot/getupdates",
    timeout=POLL_HOLD_SECONDS + POLL_GRACE_SECONDS,
    limit=32 * MEGABYTE,
    is_long_poll=True,
)


SEND = Endpoint(name="sendmessage", path="/ilink/bot/sendmessage", timeout=15, is_delivery=True)


GET_CONFIG = _bot("getconfig", timeout=5)


SEND_TYPING = _bot("sendtyping", timeout=5)


GET_UPLOAD_URL = _bot("getuploadurl", timeout=15)


UPLOAD = Endpoint(name="upload", path="/upload", timeout=60, limit=64 << 10)


DOWNLOAD = Endpoint(name="download", path="/download", timeout=TRANSFER_IDLE_SECONDS)


LOGIN_ORIGIN = "https://ilinkai.weixin.qq.com"


CDN_ORIGIN = "https://novac2c.cdn.weixin.qq.com/c2c"


TENCENT_DOMAIN = "weixin.qq.com"


_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,62}\.)*[a-z0-9-]{1,63}", re.ASCII | re.IGNORECASE)


_PATH = re.compile(r"[\w/.~-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedHosts:
    """`endpoint` stands in the place of every host; else `more` are believed besides Tencent's, and what is
    below them.
    """

    endpoint: str | None = None
    extra: tuple[str, ...] = ()

    @property
    def login(self) -> str:
        """Where QR codes come from, always (ilink 3.1.1)."""
        return LOGIN_ORIGIN if self.endpoint is None else self.endpoint.rstrip("/")

    @property
    def cdn(self) -> str:
        """What addresses of bytes begin with that we make ourselves."""
        return CDN_ORIGIN if self.endpoint is None else f"{self.endpoint.rstrip('/')}/c2c"

    def base_url(self, advertised: str) -> str | None:
        """The base of an account's calls, of the `baseurl` of its login; None where that is not believed."""
        if self.endpoint is not None or not advertised.strip():
            return self.login
        parts = _split(advertised.strip())
        if parts is None or not self._is_trusted(parts) or parts.query or not _PATH.fullmatch(parts.path):
            return None
        return f"https://{parts.hostname}{parts.path.rstrip('/')}"

    def polling_url(self, advertised: str) -> str | None:
        """Where a login goes on that was sent to another host by its bare name (ilink 3.2.4)."""
        if self.endpoint is not None:
            return self.login
        return self.base_url(f"https://{advertised}") if _HOST.fullmatch(advertised) else None

    def media_url(self, url: str) -> str | None:
        """An address of bytes as it is to be asked for; None where it is not believed.

        At an endpoint of one's own are the paths and questions of all hosts, but no host.
        """
        parts = _split(url.strip())
        if parts is None:
            return None
        if self.endpoint is None:
            return url.strip() if self._is_trusted(parts) else None
        own = self.endpoint.rstrip("/")
        if url.strip().startswith(f"{own}/"):
            return url.strip()
        question = f"?{parts.query}" if parts.query else ""
        return f"{own}{parts.path}{question}"

    def _is_trusted(self, parts: SplitResult) -> bool:
        host = (parts.hostname or "").lower()
        ours = any(
            host == one or host.endswith(f".{one}") for one in (TENCENT_DOMAIN, *map(str.lower, self.extra))
        )
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
