"""What came back: from loose JSON to typed answers (ilink 3, 4, 6, 7, 8). Pure.

The number that says how it went may stand in `ret`, in `errcode`, in both, or nowhere (ilink 10.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from wx2mqtt.wechat.fields import Entry, number, objects, text
from wx2mqtt.wechat.ilink.codes import LOGGED_OUT, Scan
from wx2mqtt.wechat.ilink.endpoints import LONGEST_HOLD

LONGEST_CODE = 2000  # characters that a QR code can hold, and some
LONGEST_WORDS = 100  # characters of what the server says
LONGEST_READ = 10_000  # characters of it that are looked at

_OPAQUE = re.compile(r"[!-~]{24,}")
"""No words are so long, and no secret is shorter."""

_SCANS = {str(scan): scan for scan in Scan}


@dataclass(frozen=True, slots=True, kw_only=True)
class QrCode:
    """`handle` is asked for, `content` is drawn. Either is empty where this is no answer."""

    handle: str = field(repr=False)
    content: str = field(repr=False)
    ret: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanAnswer:
    """An answer of the login poll. `scan` is None for a status that we do not know, which `status` names."""

    scan: Scan | None
    status: str = ""
    host: str = ""
    bot: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    user: str = field(default="", repr=False)
    base: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Updates:
    """What is new. An empty `buf`: the old one stays. `hold` in seconds, None where it is not told."""

    messages: list[Entry]
    buf: str = field(repr=False)
    hold: float | None
    unread: int


def code_of(answer: Entry) -> int:
    """How it went; 0 is well. That the login is over counts most, wherever it stands."""
    found = {number(answer, "ret"), number(answer, "errcode")}
    if LOGGED_OUT in found:
        return LOGGED_OUT
    return next((one for one in (number(answer, "ret"), number(answer, "errcode")) if one), 0)


def words_of(answer: Entry) -> str:
    """What the server says of it, as one short line."""
    return shown(text(answer, "errmsg"))


def shown(said: str) -> str:
    """What a server says, fit for a line of ours: short, and without what may be a token, key or address."""
    bare = _OPAQUE.sub("…", said[:LONGEST_READ])
    return "".join(mark if mark.isprintable() else " " for mark in bare[:LONGEST_WORDS]).strip()


def qr_code(answer: Entry) -> QrCode:
    """The answer with a new QR code."""
    handle, content = text(answer, "qrcode").strip(), text(answer, "qrcode_img_content").strip()
    good = bool(handle and content) and len(handle) <= LONGEST_CODE and len(content) <= LONGEST_CODE
    good = good and content.isprintable() and not code_of(answer)
    return QrCode(handle=handle if good else "", content=content if good else "", ret=code_of(answer))


def scan_answer(answer: Entry) -> ScanAnswer:
    """The answer of the login poll."""
    status = text(answer, "status").strip()
    return ScanAnswer(
        scan=_SCANS.get(status),
        status=shown(status),
        host=text(answer, "redirect_host").strip(),
        bot=text(answer, "ilink_bot_id").strip(),
        token=text(answer, "bot_token").strip(),
        user=text(answer, "ilink_user_id").strip(),
        base=text(answer, "baseurl").strip(),
    )


def updates(answer: Entry) -> Updates:
    """The answer of the receiving poll."""
    messages, unread = objects(answer, "msgs")
    hold = number(answer, "longpolling_timeout_ms") / 1000
    return Updates(
        messages=messages,
        buf=text(answer, "get_updates_buf"),
        hold=min(hold, LONGEST_HOLD) if hold > 0 else None,
        unread=unread,
    )


def message_id(answer: Entry) -> str:
    """The number of what was sent; empty where WeChat gave none."""
    found = text(answer, "message_id").strip()
    return found if found.strip("0") else ""


def upload_address(answer: Entry) -> tuple[str, str]:
    """The whole address for a file, or else the parameter that makes one."""
    return text(answer, "upload_full_url").strip(), text(answer, "upload_param").strip()


def typing_ticket(answer: Entry) -> str:
    """What shows that we are typing; only with 0 does it count (ilink 7)."""
    return text(answer, "typing_ticket") if not code_of(answer) else ""
