"""Reads the JSON answers of each call into typed values (ilink 3, 4, 6, 7, 8).

    {"ret": 0, "msgs": [{…}], "get_updates_buf": "CgkI…"}     `Updates` of one message

`error_code` says of each answer whether WeChat did what was asked.
"""

from __future__ import annotations

import re
from dataclasses import field

from wx2mqtt.values import frozen
from wx2mqtt.wechat.ilink.protocol.codes import ERR_LOGGED_OUT, ScanStatus
from wx2mqtt.wechat.ilink.protocol.endpoints import MAX_POLL_HOLD_SECONDS
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_objects, read_text

# A longer content fits into no QR code.
MAX_QR_CONTENT_CHARACTERS = 2000

_SCANS = {str(scan): scan for scan in ScanStatus}


@frozen
class QrCode:
    """A new QR code; both texts are empty after an error."""

    #: Names the code in polls.
    code_id: str = field(repr=False)
    #: What the image shows.
    content: str = field(repr=False)
    ret: int


@frozen
class ScanAnswer:
    """An answer of the login poll."""

    #: None for an unknown status, whose name is in `status`.
    scan: ScanStatus | None
    status: str = ""
    #: The host name to which further polls of this code go, after `ScanStatus.REDIRECT`.
    host: str = ""
    #: Id, token, person and base URL of the new login (`session.Bot`), after `ScanStatus.CONFIRMED`.
    bot: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    user: str = field(default="", repr=False)
    base: str = ""


@frozen
class Updates:
    """An answer of the receiving poll."""

    messages: list[JsonObject]
    #: The server's new position; where it is empty the previous one stays valid.
    buf: str = field(repr=False)
    #: How long the server will hold the next poll, None where the answer does not contain it.
    hold_seconds: float | None
    unreadable_count: int


def error_code(answer: JsonObject) -> int:
    """Returns the error code of an answer, 0 for success.

    It may be in `ret`, `errcode` or both (ilink 10.3.1). "Logged out" has precedence, then `ret`.
    """
    codes = (read_number(answer, "ret"), read_number(answer, "errcode"))
    if ERR_LOGGED_OUT in codes:
        return ERR_LOGGED_OUT
    return next((code for code in codes if code), 0)


def error_text(answer: JsonObject) -> str:
    return printable_error(read_text(answer, "errmsg"))


# How much of the server's error text is shown, and how much is searched for secrets.
MAX_ERROR_CHARACTERS = 100
MAX_ERROR_CHARACTERS_READ = 10_000

# Such a row of characters without a blank may be a secret: no word is so long, and no secret is shorter.
_SECRET_LIKE = re.compile(r"[!-~]{24,}")


def printable_error(text: str) -> str:
    """Shortens a server's text to one line without anything that may be a token, key or address."""
    safe = _SECRET_LIKE.sub("…", text[:MAX_ERROR_CHARACTERS_READ])
    return "".join(char if char.isprintable() else " " for char in safe[:MAX_ERROR_CHARACTERS]).strip()


def read_qr_code(answer: JsonObject) -> QrCode:
    code_id = read_text(answer, "qrcode").strip()
    content = read_text(answer, "qrcode_img_content").strip()
    ret = error_code(answer)
    is_usable = (
        0 < len(code_id) <= MAX_QR_CONTENT_CHARACTERS
        and 0 < len(content) <= MAX_QR_CONTENT_CHARACTERS
        and content.isprintable()
    )
    if ret or not is_usable:
        return QrCode(code_id="", content="", ret=ret)
    return QrCode(code_id=code_id, content=content, ret=ret)


def read_scan_answer(answer: JsonObject) -> ScanAnswer:
    status = read_text(answer, "status").strip()
    return ScanAnswer(
        scan=_SCANS.get(status),
        status=printable_error(status),
        host=read_text(answer, "redirect_host").strip(),
        bot=read_text(answer, "ilink_bot_id").strip(),
        token=read_text(answer, "bot_token").strip(),
        user=read_text(answer, "ilink_user_id").strip(),
        base=read_text(answer, "baseurl").strip(),
    )


def read_updates(answer: JsonObject) -> Updates:
    messages, unreadable_count = read_objects(answer, "msgs")
    hold_seconds = read_number(answer, "longpolling_timeout_ms") / 1000
    return Updates(
        messages=messages,
        buf=read_text(answer, "get_updates_buf"),
        hold_seconds=min(hold_seconds, MAX_POLL_HOLD_SECONDS) if hold_seconds > 0 else None,
        unreadable_count=unreadable_count,
    )


def read_upload_url(answer: JsonObject) -> tuple[str, str]:
    """Returns the whole address for an upload and the parameter for making one; either may be empty."""
    return read_text(answer, "upload_full_url").strip(), read_text(answer, "upload_param").strip()


def read_typing_ticket(answer: JsonObject) -> str:
    """Returns the ticket for the typing indicator; empty after an error (ilink 7.1)."""
    return read_text(answer, "typing_ticket") if not error_code(answer) else ""
