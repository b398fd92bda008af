"""Where WeCom is, how much it takes, and what the backend can do (wecom 2, 5)."""

from __future__ import annotations

from urllib.parse import urlsplit

from wx2mqtt import __version__
from wx2mqtt.limits import KIB, MIB
from wx2mqtt.model import Kind
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import CallSpec, Capabilities, MediaLimits
from wx2mqtt.wechat.wecom.protocol.markdown import MAX_TEXT_BYTES, markdown_size_in_bytes, size_in_bytes

SOCKET_HOST = "openws.work.weixin.qq.com"
SOCKET_URL = f"wss://{SOCKET_HOST}"
QR_HOST = "https://work.weixin.qq.com"

WECOM_HEADERS = {"User-Agent": f"wx2mqtt/{__version__}", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}

# A message or a press must be answered so soon.
RESPOND_SECONDS = 5.0

# How many messages WeCom takes for a chat, receipts included, and how many of them are receipts at most.
MAX_PER_MINUTE = 30
MAX_PER_HOUR = 1000
MAX_RECEIPTS_PER_MINUTE = 10
MAX_RECEIPTS_PER_HOUR = 300

# How large an uploaded file is.
MIN_UPLOAD_BYTES = 5
MAX_UPLOAD_BYTES = 20 * MIB

# Pairs (uploads, seconds): WeCom takes no more uploads of a bot that begin in this time.
MAX_UPLOADS = ((30, 60.0), (1000, 3600.0))

# An upload must end so soon after it began.
UPLOAD_SECONDS = 1800.0

# A `media_id` is used for so long. It is good for three days; an hour is left for the message that sends it.
MEDIA_ID_SECONDS = 71 * 3600.0

CAPABILITIES = Capabilities(
    backend="wecom",
    product_name="Tencent WeCom bot",
    has_contacts=False,
    has_groups=True,
    can_start_chat=False,
    handles_change_at_login=False,
    owner_is_named=True,
    has_mentions=False,
    has_markdown=True,
    has_button_cards=True,
    text_limit=MAX_TEXT_BYTES,
    part_limit=MAX_TEXT_BYTES,
    part_size=size_in_bytes,
    markdown_size=markdown_size_in_bytes,
    media={
        Kind.IMAGE: MediaLimits(
            min_bytes=MIN_UPLOAD_BYTES,
            max_bytes=10 * MIB,
            mime_types=frozenset({"image/png", "image/jpeg", "image/gif"}),
            else_as_file=True,
        ),
        Kind.VIDEO: MediaLimits(
            min_bytes=MIN_UPLOAD_BYTES,
            max_bytes=10 * MIB,
            mime_types=frozenset({"video/mp4"}),
            else_as_file=True,
        ),
        Kind.FILE: MediaLimits(min_bytes=MIN_UPLOAD_BYTES, max_bytes=MAX_UPLOAD_BYTES),
    },
)


@frozen
class HttpCall(CallSpec):
    """One call over HTTP."""

    #: How many seconds the whole exchange may take, and for a file the pause between two chunks.
    timeout: float
    #: How many bytes the answer may have; it bounds no file.
    limit: int = 64 * KIB


GENERATE = HttpCall(name="qc_generate", timeout=15.0)
QUERY_RESULT = HttpCall(name="qc_query_result", timeout=15.0)
DOWNLOAD = HttpCall(name="download", timeout=30.0)


def socket_url(endpoint: str | None) -> str:
    """Returns the address of the long connection; that of an `endpoint` with http is ws, with https wss."""
    if endpoint is None:
        return SOCKET_URL
    parts = urlsplit(endpoint)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/"


def file_url(endpoint: str | None, url: str) -> str | None:
    """Returns the address of a file if it may be requested, else None.

    WeCom keeps files at an object storage whose hosts it does not name (wecom 4.4). So only what is certainly
    none is refused: an address without TLS, an IP address, another port, a name without a dot. With an
    `endpoint` the file must be there.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if not (url.isascii() and url.isprintable() and " " not in url) or parts.username is not None:
        return None
    if endpoint is not None:
        own = urlsplit(endpoint)
        return url if (parts.scheme, parts.netloc) == (own.scheme, own.netloc) else None
    is_https = parts.scheme == "https" and port in {None, 443}
    last_label = host.rstrip(".").rpartition(".")[2]
    is_name = "." in host.strip(".") and not last_label.isdigit() and ":" not in host
    return url if is_https and is_name else None


def host_origins(endpoint: str | None) -> tuple[str, ...]:
    """Returns the origins that are requested over HTTP: those of a scan and of the long connection."""
    if endpoint is not None:
        return (endpoint,)
    return (QR_HOST, SOCKET_URL.replace("wss:", "https:"))


def qr_base(endpoint: str | None) -> str:
    """Returns the address below which the calls of a scan are."""
    return QR_HOST if endpoint is None else endpoint.rstrip("/")
