"""The calls of the iLink API and their hosts, and what the backend can do (ilink 1, 3-10).

`trusted_hosts.py` says which other hosts an answer may name.
"""

from __future__ import annotations

from typing import Any

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

LOGIN_ORIGIN = "https://ilinkai.weixin.qq.com"
CDN_ORIGIN = "https://novac2c.cdn.weixin.qq.com/c2c"
TENCENT_DOMAIN = "weixin.qq.com"

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
