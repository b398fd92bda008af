"""Responses: from bytes to typed answers. JavaScript, XML and JSON are parsed here.

Always UTF-8, whatever the header says: the server sends JSON as text/plain without a charset (webwx 1.2.4).
An answer that cannot be read at all raises `UnreadableJson`.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field

from wx2mqtt.errors import LoginRefused
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import webwx_text
from wx2mqtt.model import Handle
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
from wx2mqtt.wechat.webwx.protocol.codes import SCAN_CODES, MemberStatus, Ret, ScanStatus
from wx2mqtt.wechat.webwx.protocol.markup import server_message, undo_entities
from wx2mqtt.wechat.webwx.protocol.session import Cookies, Session, SyncKeys, read_sync_keys

MAX_AVATAR_CHARACTERS = 1 << 20  # characters of base64


@dataclass(frozen=True, slots=True, kw_only=True)
class QrCode:
    """`code` 200 is good; `uuid` is case-sensitive."""

    code: int | None
    uuid: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanAnswer:
    """An answer of the login poll. `scan` is None when no script came."""

    scan: ScanStatus | None
    redirect: str = field(default="", repr=False)
    avatar: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLogin:
    """What the ticket was exchanged for; `page` is true when a web page came instead of XML."""

    ret: int
    message: str
    skey: str = field(repr=False)
    sid: str = field(repr=False)
    uin: str = field(repr=False)
    pass_ticket: str = field(repr=False)
    redirect: str = field(repr=False)
    page: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncCheckAnswer:
    """An answer of the long poll."""

    ret: int
    selector: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InitAnswer:
    """The beginning of a session: who we are, where receiving begins, whom the phone talked to lately."""

    user: JsonObject
    skey: str = field(repr=False)
    keys: SyncKeys
    chats: tuple[str, ...]
    contacts: list[JsonObject]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPage:
    """One page of the address book; `next_seq` is 0 on the last one. `unread` counts what is no object."""

    contacts: list[JsonObject]
    next_seq: int
    unreadable_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncAnswer:
    """What is new. Empty keys mean that the old ones stay."""

    messages: list[JsonObject]
    changed: list[JsonObject]
    deleted: list[JsonObject]
    profile: JsonObject
    sync: SyncKeys
    check: SyncKeys
    skey: str = field(repr=False)
    more: bool
    unreadable_count: int

    @property
    def is_empty(self) -> bool:
        """Whether it brought nothing at all."""
        return not (self.messages or self.changed or self.deleted or self.unreadable_count)


_QR_CODE = re.compile(r"window\.QRLogin\.code\s*=\s*[\"']?(\d{1,9})\b", re.ASCII)
_QR_UUID = re.compile(r"window\.QRLogin\.uuid\s*=\s*[\"']([\w+/=-]{1,64})[\"']", re.ASCII)
_SCAN_CODE = re.compile(r"window\.code\s*=\s*[\"']?(\d{1,9})\b", re.ASCII)
_REDIRECT = re.compile(r"window\.redirect_uri\s*=\s*[\"']([^\"'\s]+)[\"']")
_AVATAR = re.compile(r"window\.userAvatar\s*=\s*[\"']data:[^,\"']*base64,([^\"']*)")
_SYNC_CHECK = re.compile(r"window\.synccheck\s*=\s*\{([^}]*)\}")
_RETCODE = re.compile(r"retcode[\"']?\s*:\s*[\"']?(-?\d{1,9})\b", re.ASCII)
_SELECTOR = re.compile(r"selector[\"']?\s*:\s*[\"']?(-?\d{1,9})\b", re.ASCII)
_RET = re.compile(r"-?\d{1,9}", re.ASCII)

_ELEMENTS = {
    name: re.compile(rf"<{name}>(.*?)</{name}>", re.DOTALL)
    for name in ("ret", "message", "skey", "wxsid", "wxuin", "pass_ticket", "redirecturl")
}

_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)


def read_qr_code(body: bytes) -> QrCode:
    """The answer of jslogin."""
    script = _text(body)
    uuid = _QR_UUID.search(script)
    return QrCode(code=_number(_QR_CODE, script), uuid=uuid[1] if uuid else "")


def read_scan_answer(body: bytes) -> ScanAnswer:
    """The answer of the login poll; a code that is unknown means that this QR code is over (webwx 2.3.3)."""
    script = _text(body)
    code = _number(_SCAN_CODE, script)
    if code is None:
        return ScanAnswer(scan=None)
    redirect, avatar = _REDIRECT.search(script), _AVATAR.search(script)
    return ScanAnswer(
        scan=SCAN_CODES.get(code, ScanStatus.OVER),
        redirect=undo_entities(redirect[1]) if redirect else "",
        avatar=_picture(avatar[1]) if avatar else b"",
    )


def read_new_login(body: bytes) -> NewLogin:
    """The XML of webwxnewloginpage, or the page that comes in its place (webwx 2.4.3.5, 2.4.3.8)."""
    source = _text(body)
    values = {name: _element(pattern, source) for name, pattern in _ELEMENTS.items()}
    return NewLogin(
        ret=read_integer(values["ret"]),
        message=server_message(values["message"]),
        skey=values["skey"],
        sid=values["wxsid"],
        uin=values["wxuin"],
        pass_ticket=values["pass_ticket"],
        redirect=values["redirecturl"],
        page="<html" in source.lower(),
    )


def read_push_login(body: bytes) -> str:
    """The uuid of a push login; empty when WeChat does not offer one (webwx 2.5.3)."""
    answer = json_reader.parse_json(body)
    return read_text(answer, "uuid") if "ret" in answer and read_number(answer, "ret") == 0 else ""


def read_sync_check(body: bytes) -> SyncCheckAnswer:
    """`window.synccheck={retcode:"0",selector:"2"}`: JavaScript, not JSON (webwx 2.10.4)."""
    script = _SYNC_CHECK.search(_text(body))
    retcode = _number(_RETCODE, script[1]) if script else None
    if script is None or retcode is None:
        raise UnreadableJson
    return SyncCheckAnswer(ret=retcode, selector=_number(_SELECTOR, script[1]) or 0)


def read_ret(answer: JsonObject) -> int:
    """`BaseResponse.Ret`; without it this is no answer of WeChat."""
    ret = read_text(read_object(answer, "BaseResponse"), "Ret")
    if not _RET.fullmatch(ret):
        raise UnreadableJson
    return int(ret)


def read_error_message(answer: JsonObject) -> str:
    """`BaseResponse.ErrMsg`, for people. An object in some answers (webwx 1.2.10), mostly empty."""
    base = read_object(answer, "BaseResponse")
    return server_message(read_text(base, "ErrMsg") or read_text(read_object(base, "ErrMsg"), "Str"))


def read_init(answer: JsonObject) -> InitAnswer:
    """The answer of webwxinit."""
    return InitAnswer(
        user=read_object(answer, "User"),
        skey=read_text(answer, "SKey"),
        keys=read_sync_keys(answer, "SyncKey"),
        chats=tuple(filter(None, read_text(answer, "ChatSet").split(","))),
        contacts=read_objects(answer, "ContactList")[0],
    )


def read_contact_page(answer: JsonObject) -> ContactPage:
    """The answer of webwxgetcontact."""
    contacts, unread = read_objects(answer, "MemberList")
    return ContactPage(contacts=contacts, next_seq=read_number(answer, "Seq"), unreadable_count=unread)


def read_contact_list(answer: JsonObject) -> tuple[list[JsonObject], int]:
    """The answer of webwxbatchgetcontact, and how many of its elements are no objects."""
    return read_objects(answer, "ContactList")


def read_refused_members(answer: JsonObject) -> tuple[Handle, ...]:
    """Those whom a group did not take in (webwx 2.19.4): they deleted the owner, or keep him out."""
    members, _ = read_objects(answer, "MemberList")
    without = [one for one in members if read_number(one, "MemberStatus") == MemberStatus.DELETED_YOU]
    names = dict.fromkeys(
        [*(read_text(one, "UserName") for one in without), *read_text(answer, "BlackList").split(",")]
    )
    return tuple(Handle(name) for name in names if name)


def read_sync(answer: JsonObject) -> SyncAnswer:
    """The answer of webwxsync."""
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


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _number(pattern: re.Pattern[str], script: str) -> int | None:
    found = pattern.search(script)
    return read_integer(found[1]) if found else None


def _element(pattern: re.Pattern[str], source: str) -> str:
    found = pattern.search(source)
    if not found:
        return ""
    bare = _CDATA.sub(r"\1", found[1])
    return undo_entities(bare).strip()


def _picture(encoded: str) -> bytes:
    if len(encoded) > MAX_AVATAR_CHARACTERS:
        return b""
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    except ValueError:
        return b""


def session_from_answer(
    answer: NewLogin, cookies: Cookies, *, base: str, login_id: str, device_id: str, language: Language
) -> Session:
    """The session in the answer; in desktop mode sid and uin sometimes come as cookies only (webwx 2.4.3.6).

    Raises `LoginRefused`.
    """
    sid = answer.sid or cookies.value("wxsid")
    uin = answer.uin or cookies.value("wxuin")
    if answer.ret != Ret.OK or not (answer.skey and sid and uin):
        raise login_refusal(answer, language)
    return Session(
        login_id=login_id,
        base=base,
        uin=uin,
        sid=sid,
        skey=answer.skey,
        pass_ticket=answer.pass_ticket,
        device_id=device_id,
    )


def login_refusal(answer: NewLogin, language: Language) -> LoginRefused:
    """Why WeChat lets nobody in, in its own words where it has some."""
    if answer.ret != Ret.OK and answer.message:
        return LoginRefused(webwx_text(language, "refused", ret=answer.ret, message=answer.message))
    if answer.ret != Ret.OK:
        return LoginRefused(webwx_text(language, "refused_silently", ret=answer.ret))
    return LoginRefused(webwx_text(language, "refused_by_page" if answer.page else "refused_without_key"))
