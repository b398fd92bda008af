"""Parses the responses of web WeChat (JavaScript, XML and JSON) into typed answers.

    read_sync_check(b'window.synccheck={retcode:"0",selector:"2"}')     retcode 0, selector 2

Bodies are read as UTF-8 whatever their header declares: the server sends JSON as text/plain without a charset
(webwx 1.2.4). An answer that cannot be read at all raises `UnreadableJson`.
"""

from __future__ import annotations

import base64
import re
from dataclasses import field

from wx2mqtt.errors import LoginRefused
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import webwx_text
from wx2mqtt.model import Handle
from wx2mqtt.values import frozen
from wx2mqtt.wechat import json_reader
from wx2mqtt.wechat.json_reader import (
    JsonObject,
    UnreadableJson,
    read_integer,
    read_number,
    read_object,
    read_objects,
    read_text,
)
from wx2mqtt.wechat.webwx.protocol.codes import DELETED_OWNER_STATUS, SCAN_CODES, Ret, ScanStatus
from wx2mqtt.wechat.webwx.protocol.cookies import Cookies
from wx2mqtt.wechat.webwx.protocol.markup import server_message, undo_entities
from wx2mqtt.wechat.webwx.protocol.session import SyncCursor, SyncKeys, read_sync_keys

# When an answer has so many messages, more of them probably wait, and WeChat is asked for them at once.
LARGE_ANSWER_MESSAGES = 20

# A longer picture in base64 is ignored.
MAX_AVATAR_CHARACTERS = 1 << 20


@frozen
class QrCode:
    """The answer of jslogin."""

    #: 200 on success; None when the body has no code.
    code: int | None
    #: Names the QR code in polls; the case of its letters counts. Empty when the body has none.
    uuid: str = field(repr=False)


@frozen
class ScanAnswer:
    """The answer of a login poll."""

    #: None when the body has no code.
    scan: ScanStatus | None
    #: Where a confirmed login goes on; the ticket in it is exchanged for a session.
    redirect: str = field(default="", repr=False)
    #: The picture of the person who scanned; empty when the body has none.
    avatar: bytes = field(default=b"", repr=False)


@frozen
class NewLogin:
    """The answer of webwxnewloginpage. Each text is empty when the answer lacks it."""

    ret: int
    #: WeChat's own words about a refusal.
    message: str
    skey: str = field(repr=False)
    sid: str = field(repr=False)
    uin: str = field(repr=False)
    pass_ticket: str = field(repr=False)
    #: Another cluster, where the ticket must be exchanged instead.
    redirect: str = field(repr=False)
    #: The body was a web page in place of XML.
    is_page: bool = False


@frozen
class InitAnswer:
    """The answer of webwxinit."""

    #: The entry of the owner (`contacts.read_owner`).
    user: JsonObject
    #: Replaces the key of the login; empty when it stays the same.
    skey: str = field(repr=False)
    #: The position from which the first sync starts.
    keys: SyncKeys
    #: The handles of the phone's recent chats.
    chats: tuple[str, ...]
    #: Contact entries, some of which are in no other list.
    contacts: list[JsonObject]


@frozen
class SyncAnswer:
    """The answer of webwxsync."""

    messages: list[JsonObject]
    #: The entries of contacts that are new or have changed.
    changed: list[JsonObject]
    #: The entries of contacts that are gone.
    deleted: list[JsonObject]
    #: Changes of the owner's own profile (`contacts.new_nickname`).
    profile: JsonObject
    #: The new position for webwxsync; empty when the previous one stays valid.
    sync: SyncKeys
    #: The new position for synccheck; empty when the previous one stays valid.
    check: SyncKeys
    #: Replaces the key of the login; empty when it stays the same.
    skey: str = field(repr=False)
    #: WeChat says that more messages wait.
    more: bool
    #: How many entries were no JSON objects.
    unreadable_count: int

    @property
    def is_empty(self) -> bool:
        """Whether it has no message and no change of contacts."""
        return not (self.messages or self.changed or self.deleted or self.unreadable_count)

    def position_after(self, before: SyncCursor) -> SyncCursor:
        """Returns the position after this answer; empty keys leave the previous ones (webwx 2.11.4, 2.11.8).

        `more` says that the next call is a sync, without a poll that would answer at once. WeChat's own flag
        is obeyed only after an answer with news or new keys, since a faulty server may always set it.
        """
        sync = self.sync or before.sync
        check = self.check or before.check
        has_moved = (sync, check) != (before.sync, before.check)
        if self.more:
            more = has_moved or not self.is_empty
        else:
            more = has_moved and len(self.messages) >= LARGE_ANSWER_MESSAGES
        return SyncCursor(sync=sync, check=check, more=more)


# `window.QRLogin.code = 200; window.QRLogin.uuid = "4bXyz…==";`
_QR_CODE = re.compile(r"window\.QRLogin\.code\s*=\s*[\"']?(\d{1,9})\b", re.ASCII)
_QR_UUID = re.compile(r"window\.QRLogin\.uuid\s*=\s*[\"']([\w+/=-]{1,64})[\"']", re.ASCII)


def read_qr_code(body: bytes) -> QrCode:
    script = body.decode("utf-8", "replace")
    uuid = _QR_UUID.search(script)
    return QrCode(code=_number(_QR_CODE, script), uuid=uuid[1] if uuid else "")


# `window.code=201;window.userAvatar = 'data:img/jpg;base64,/9j/4AAQ…';` after the scan, and
# `window.code=200; window.redirect_uri="https://wx2.qq.com/cgi-bin/…?ticket=…";` when it is confirmed.
_SCAN_CODE = re.compile(r"window\.code\s*=\s*[\"']?(\d{1,9})\b", re.ASCII)
_REDIRECT = re.compile(r"window\.redirect_uri\s*=\s*[\"']([^\"'\s]+)[\"']")
_AVATAR = re.compile(r"window\.userAvatar\s*=\s*[\"']data:[^,\"']*base64,([^\"']*)")


def read_scan_answer(body: bytes) -> ScanAnswer:
    """Reads the answer of a login poll. An unknown code ends the QR code (webwx 2.3.3)."""
    script = body.decode("utf-8", "replace")
    code = _number(_SCAN_CODE, script)
    if code is None:
        return ScanAnswer(scan=None)
    redirect, avatar = _REDIRECT.search(script), _AVATAR.search(script)
    return ScanAnswer(
        scan=SCAN_CODES.get(code, ScanStatus.OVER),
        redirect=undo_entities(redirect[1]) if redirect else "",
        avatar=_decode_picture(avatar[1]) if avatar else b"",
    )


# The elements of `<error><ret>0</ret><skey>@crypt_…</skey>…</error>` that are read.
_ELEMENTS = ("ret", "message", "skey", "wxsid", "wxuin", "pass_ticket", "redirecturl")


def read_new_login(body: bytes) -> NewLogin:
    """Reads the XML of webwxnewloginpage, or the page that replaces it (webwx 2.4.3.5, 2.4.3.8)."""
    source = body.decode("utf-8", "replace")
    values = {name: _element(name, source) for name in _ELEMENTS}
    return NewLogin(
        ret=read_integer(values["ret"]),
        message=server_message(values["message"]),
        skey=values["skey"],
        sid=values["wxsid"],
        uin=values["wxuin"],
        pass_ticket=values["pass_ticket"],
        redirect=values["redirecturl"],
        is_page="<html" in source.lower(),
    )


def read_push_login(body: bytes) -> str:
    """Returns the uuid of a push login; empty when WeChat does not offer one (webwx 2.5.3)."""
    answer = json_reader.parse_json(body)
    return read_text(answer, "uuid") if "ret" in answer and read_number(answer, "ret") == 0 else ""


# `window.synccheck={retcode:"0",selector:"2"}`
_SYNC_CHECK = re.compile(r"window\.synccheck\s*=\s*\{([^{}]*)\}")
_RETCODE = re.compile(r"retcode[\"']?\s*:\s*[\"']?(-?\d{1,9})\b", re.ASCII)
_SELECTOR = re.compile(r"selector[\"']?\s*:\s*[\"']?(-?\d{1,9})\b", re.ASCII)


def read_sync_check(body: bytes) -> tuple[int, int]:
    """Returns retcode and selector (webwx 2.10.4); selector 0, also for a missing one, means no news.

    Raises `UnreadableJson` without a retcode.
    """
    match = _SYNC_CHECK.search(body.decode("utf-8", "replace"))
    if match is None:
        raise UnreadableJson
    retcode = _number(_RETCODE, match[1])
    if retcode is None:
        raise UnreadableJson
    return retcode, _number(_SELECTOR, match[1]) or 0


_RET = re.compile(r"-?\d{1,9}", re.ASCII)


def read_ret(answer: JsonObject) -> int:
    """Returns `BaseResponse.Ret`. Raises `UnreadableJson` without it: this is no answer of WeChat."""
    ret = read_text(read_object(answer, "BaseResponse"), "Ret")
    if not _RET.fullmatch(ret):
        raise UnreadableJson
    return int(ret)


def read_error_message(answer: JsonObject) -> str:
    """Returns `BaseResponse.ErrMsg`, mostly empty. It is an object in some answers (webwx 1.2.10)."""
    base = read_object(answer, "BaseResponse")
    return server_message(read_text(base, "ErrMsg") or read_text(read_object(base, "ErrMsg"), "Str"))


def read_init(answer: JsonObject) -> InitAnswer:
    return InitAnswer(
        user=read_object(answer, "User"),
        skey=read_text(answer, "SKey"),
        keys=read_sync_keys(answer, "SyncKey"),
        chats=tuple(filter(None, read_text(answer, "ChatSet").split(","))),
        contacts=read_objects(answer, "ContactList")[0],
    )


def read_refused_members(answer: JsonObject) -> tuple[Handle, ...]:
    """Returns whom a group did not add (webwx 2.19.4): people who deleted or blocked the owner."""
    members, _ = read_objects(answer, "MemberList")
    deleted_owner = [
        read_text(member, "UserName")
        for member in members
        if read_number(member, "MemberStatus") == DELETED_OWNER_STATUS
    ]
    blocked_owner = read_text(answer, "BlackList").split(",")
    return tuple(Handle(handle) for handle in dict.fromkeys([*deleted_owner, *blocked_owner]) if handle)


def read_sync(answer: JsonObject) -> SyncAnswer:
    messages, bad_messages = read_objects(answer, "AddMsgList")
    changed, bad_changed = read_objects(answer, "ModContactList")
    deleted, bad_deleted = read_objects(answer, "DelContactList")
    sync = read_sync_keys(answer, "SyncKey")
    return SyncAnswer(
        messages=messages,
        changed=changed,
        deleted=deleted,
        profile=read_object(answer, "Profile"),
        sync=sync,
        check=read_sync_keys(answer, "SyncCheckKey") or sync,
        skey=read_text(answer, "SKey"),
        more=read_number(answer, "ContinueFlag") != 0,
        unreadable_count=bad_messages + bad_changed + bad_deleted,
    )


def require_sid_and_uin(answer: NewLogin, cookies: Cookies, language: Language) -> tuple[str, str]:
    """Returns sid and uin of a new login. In desktop mode they may be in cookies only (webwx 2.4.3.6).

    Raises `LoginRefused`, with WeChat's own message if it sent one, when the answer grants no session or does
    not name the account: only the uin shows whose login it is.
    """
    sid = answer.sid or cookies.value("wxsid")
    # A uin of 0 names no account (webwx 2.4.3.8).
    uin = answer.uin if answer.uin.strip("0") else cookies.value("wxuin")
    if answer.ret == Ret.OK:
        if answer.skey and sid and uin.strip("0"):
            return sid, uin
        reason = webwx_text(language, "refused_by_page" if answer.is_page else "refused_without_key")
    elif answer.message:
        reason = webwx_text(language, "refused", ret=answer.ret, message=answer.message)
    else:
        reason = webwx_text(language, "refused_silently", ret=answer.ret)
    raise LoginRefused(reason)


def _number(pattern: re.Pattern[str], script: str) -> int | None:
    match = pattern.search(script)
    return int(match[1]) if match else None


def _element(name: str, source: str) -> str:
    """Returns the text of the first element with this name, or an empty text.

    The XML may be broken, so it is searched and not parsed.
    """
    _, _, behind = source.partition(f"<{name}>")
    text, end, _ = behind.partition(f"</{name}>")
    return undo_entities(_without_cdata(text)).strip() if end else ""


_CDATA_BEGIN = "<![CDATA["
_CDATA_END = "]]>"


def _without_cdata(text: str) -> str:
    """Returns a text with the content of its CDATA sections in place of the sections."""
    parts: list[str] = []
    end = 0
    while (begin := text.find(_CDATA_BEGIN, end)) >= 0:
        section_end = text.find(_CDATA_END, begin)
        if section_end < 0:
            break
        parts += [text[end:begin], text[begin + len(_CDATA_BEGIN) : section_end]]
        end = section_end + len(_CDATA_END)
    return "".join([*parts, text[end:]])


def _decode_picture(encoded: str) -> bytes:
    if len(encoded) > MAX_AVATAR_CHARACTERS:
        return b""
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    except ValueError:
        return b""
