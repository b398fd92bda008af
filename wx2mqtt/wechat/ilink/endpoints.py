"""What each call of iLink is: its path, and its limits in time and size (ilink 3, 4, 6, 7, 8). One table."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 1 << 20
SILENCE = 30.0  # seconds without a byte, until bytes are given up
HOLD = 35.0  # seconds that the server holds a poll, unless it says another number (ilink 4.3)
LONGEST_HOLD = 60.0
AFTER_HOLD = 8.0  # seconds more than it holds: an answer that is under way is not thrown away (ilink 4.3)


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
    delivers: bool = False
    polls: bool = False


def _bot(name: str, path: str = "", timeout: float = 10.0, limit: int = MEGABYTE) -> Endpoint:
    return Endpoint(name=name, path=f"/ilink/bot/{path or name}", timeout=timeout, limit=limit)


GET_QR = _bot("get_bot_qrcode", "get_bot_qrcode?bot_type=3", timeout=15)
GET_STATUS = Endpoint(
    name="get_qrcode_status", path="/ilink/bot/get_qrcode_status", timeout=HOLD + AFTER_HOLD, polls=True
)
NOTIFY_START = _bot("notifystart", "msg/notifystart")
NOTIFY_STOP = _bot("notifystop", "msg/notifystop", timeout=1)  # a stop has no more time
GET_UPDATES = Endpoint(
    name="getupdates",
    path="/ilink/bot/getupdates",
    timeout=HOLD + AFTER_HOLD,
    limit=32 * MEGABYTE,
    polls=True,
)
SEND = Endpoint(name="sendmessage", path="/ilink/bot/sendmessage", timeout=15, delivers=True)
GET_CONFIG = _bot("getconfig", timeout=5)
SEND_TYPING = _bot("sendtyping", timeout=5)
GET_UPLOAD_URL = _bot("getuploadurl", timeout=15)
UPLOAD = Endpoint(name="upload", path="/upload", timeout=60, limit=64 << 10)
DOWNLOAD = Endpoint(name="download", path="/download", timeout=SILENCE)
