"""Responses: from loose JSON to typed answers.

The error number may stand in `ret`, in `errcode`, in both, or nowhere (ilink 10.3.1). The token that a
reply needs stands in the cursor, since that is stored in one commit with the message: a crash between two
commits would lose the token. (ilink 3, 4, 6, 7, 8)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from wx2mqtt.model import Cursor, Handle
from wx2mqtt.wechat.ilink.protocol.endpoints import ERR_LOGGED_OUT, MAX_POLL_HOLD_SECONDS, ScanStatus
from wx2mqtt.wechat.ilink.protocol.reply_window import ChatWindow
from wx2mqtt.wechat.ilink.protocol.session import chat_from
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_objects, read_text


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncCursor:
    """`buf` is the server's own cursor, empty at the beginning. `chats` are as of this place."""

    buf: str = field(default="", repr=False)
    chats: Mapping[Handle, ChatWindow] = field(default_factory=dict, repr=False)

    def to_cursor(self) -> Cursor:
        """As the journal keeps it."""
        chats = {user: {"token": chat.token, "wrote": chat.last_wrote} for user, chat in self.chats.items()}
        return Cursor(json.dumps({"buf": self.buf, "chats": chats}, separators=(",", ":")))

    @classmethod
    def from_cursor(cls, cursor: Cursor) -> SyncCursor:
        """What `cursor` made; the beginning of everything where it is not ours."""
        try:
            found = json.loads(cursor)
        except (ValueError, RecursionError):
            return cls()
        if not isinstance(found, dict):
            return cls()
        chats = read_object(found, "chats")
        return cls(
            buf=read_text(found, "buf"),
            chats={Handle(user): chat_from(read_object(chats, user)) for user in chats},
        )


MAX_QR_CONTENT_CHARACTERS = 2000  # characters that a QR code can hold, and some


MAX_ERROR_CHARACTERS = 100  # characters of what the server says


MAX_ERROR_CHARACTERS_READ = 10_000  # characters of it that are looked at


_OPAQUE = re.compile(r"[!-~]{24,}")
"""No words are so long, and no secret is shorter."""


_SCANS = {str(scan): scan for scan in ScanStatus}


@dataclass(frozen=True, slots=True, kw_only=True)
class QrCode:
    """`handle` is asked for, `content` is drawn. Either is empty where this is no answer."""

    handle: str = field(repr=False)
    content: str = field(repr=False)
    ret: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanAnswer:
    """An answer of the login poll. `scan` is None for a status that we do not know, which `status` names."""

    scan: ScanStatus | None
    status: str = ""
    host: str = ""
    bot: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    user: str = field(default="", repr=False)
    base: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Updates:
    """What is new. An empty `buf`: the old one stays. `hold` in seconds, None where it is not told."""

    messages: list[JsonObject]
    buf: str = field(repr=False)
    hold_seconds: float | None
    unreadable_count: int


def error_code(answer: JsonObject) -> int:
    """How it went; 0 is well. That the login is over counts most, wherever it stands."""
    found = {read_number(answer, "ret"), read_number(answer, "errcode")}
    if ERR_LOGGED_OUT in found:
        return ERR_LOGGED_OUT
    return next((one for one in (read_number(answer, "ret"), read_number(answer, "errcode")) if one), 0)


def error_text(answer: JsonObject) -> str:
    """What the server says of it, as one short line."""
    return printable_error(read_text(answer, "errmsg"))


def printable_error(text: str) -> str:
    """What a server says, fit for a line of ours: short, and without what may be a token, key or address."""
    bare = _OPAQUE.sub("…", text[:MAX_ERROR_CHARACTERS_READ])
    return "".join(mark if mark.isprintable() else " " for mark in bare[:MAX_ERROR_CHARACTERS]).strip()


def read_qr_code(answer: JsonObject) -> QrCode:
    """The answer with a new QR code."""
    handle, content = read_text(answer, "qrcode").strip(), read_text(answer, "qrcode_img_content").strip()
    good = (
        bool(handle and content)
        and len(handle) <= MAX_QR_CONTENT_CHARACTERS
        and len(content) <= MAX_QR_CONTENT_CHARACTERS
    )
    good = good and content.isprintable() and not error_code(answer)
    return QrCode(handle=handle if good else "", content=content if good else "", ret=error_code(answer))


def read_scan_answer(answer: JsonObject) -> ScanAnswer:
    """The answer of the login poll."""
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
    """The answer of the receiving poll."""
    messages, unread = read_objects(answer, "msgs")
    hold = read_number(answer, "longpolling_timeout_ms") / 1000
    return Updates(
        messages=messages,
        buf=read_text(answer, "get_updates_buf"),
        hold_seconds=min(hold, MAX_POLL_HOLD_SECONDS) if hold > 0 else None,
        unreadable_count=unread,
    )


def read_message_id(answer: JsonObject) -> str:
    """The number of what was sent; empty where WeChat gave none."""
    found = read_text(answer, "message_id").strip()
    return found if found.strip("0") else ""


def read_upload_url(answer: JsonObject) -> tuple[str, str]:
    """The whole address for a file, or else the parameter that makes one."""
    return read_text(answer, "upload_full_url").strip(), read_text(answer, "upload_param").strip()


def read_typing_ticket(answer: JsonObject) -> str:
    """What shows that we are typing; only with 0 does it count (ilink 7.1)."""
    return read_text(answer, "typing_ticket") if not error_code(answer) else ""
