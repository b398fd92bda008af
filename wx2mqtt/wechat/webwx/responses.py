"""What came back: from bytes to typed answers. JavaScript, XML and JSON are parsed here and nowhere else.

Always UTF-8, whatever the header says: the server sends JSON as text/plain without a charset (webwx 1.2).
Taken leniently; an answer that cannot be read at all is an `Unreadable`.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field

from wx2mqtt.model import Handle
from wx2mqtt.wechat import answers
from wx2mqtt.wechat.answers import Unreadable
from wx2mqtt.wechat.fields import Entry, inner, integer, number, objects, text
from wx2mqtt.wechat.webwx.codes import SCAN_CODES, MemberStatus, Scan
from wx2mqtt.wechat.webwx.position import Keys, keys_in
from wx2mqtt.wechat.webwx.text import entities_undone, said_by_server

AVATAR_LIMIT = 1 << 20  # characters of base64


@dataclass(frozen=True, slots=True, kw_only=True)
class QrCode:
    """`code` 200 is good; `uuid` is case-sensitive."""

    code: int | None
    uuid: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanAnswer:
    """An answer of the login poll. `scan` is None when no script came."""

    scan: Scan | None
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
class Check:
    """An answer of the long poll."""

    retcode: int
    selector: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Init:
    """The beginning of a session: who we are, where receiving begins, whom the phone talked to lately."""

    user: Entry
    skey: str = field(repr=False)
    keys: Keys
    chats: tuple[str, ...]
    contacts: list[Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPage:
    """One page of the address book; `next_seq` is 0 on the last one. `unread` counts what is no object."""

    contacts: list[Entry]
    next_seq: int
    unread: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What is new. Empty keys mean that the old ones stay."""

    messages: list[Entry]
    changed: list[Entry]
    deleted: list[Entry]
    profile: Entry
    sync: Keys
    check: Keys
    skey: str = field(repr=False)
    more: bool
    unread: int

    @property
    def empty(self) -> bool:
        """Whether it brought nothing at all."""
        return not (self.messages or self.changed or self.deleted or self.unread)


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


def qr_code(body: bytes) -> QrCode:
    """The answer of jslogin."""
    script = _text(body)
    uuid = _QR_UUID.search(script)
    return QrCode(code=_number(_QR_CODE, script), uuid=uuid[1] if uuid else "")


def scan_answer(body: bytes) -> ScanAnswer:
    """The answer of the login poll; a code that is unknown means that this QR code is over (webwx 2.3)."""
    script = _text(body)
    code = _number(_SCAN_CODE, script)
    if code is None:
        return ScanAnswer(scan=None)
    redirect, avatar = _REDIRECT.search(script), _AVATAR.search(script)
    return ScanAnswer(
        scan=SCAN_CODES.get(code, Scan.OVER),
        redirect=entities_undone(redirect[1]) if redirect else "",
        avatar=_picture(avatar[1]) if avatar else b"",
    )


def new_login(body: bytes) -> NewLogin:
    """The XML of webwxnewloginpage, or the page that comes in its place (webwx 2.4)."""
    source = _text(body)
    values = {name: _element(pattern, source) for name, pattern in _ELEMENTS.items()}
    return NewLogin(
        ret=integer(values["ret"]),
        message=said_by_server(values["message"]),
        skey=values["skey"],
        sid=values["wxsid"],
        uin=values["wxuin"],
        pass_ticket=values["pass_ticket"],
        redirect=values["redirecturl"],
        page="<html" in source.lower(),
    )


def push_login(body: bytes) -> str:
    """The uuid of a push login; empty when WeChat does not offer one (webwx 2.5)."""
    answer = answers.parsed(body)
    return text(answer, "uuid") if "ret" in answer and number(answer, "ret") == 0 else ""


def check(body: bytes) -> Check:
    """`window.synccheck={retcode:"0",selector:"2"}`: JavaScript, not JSON (webwx 2.10)."""
    script = _SYNC_CHECK.search(_text(body))
    retcode = _number(_RETCODE, script[1]) if script else None
    if script is None or retcode is None:
        raise Unreadable
    return Check(retcode=retcode, selector=_number(_SELECTOR, script[1]) or 0)


def ret_of(answer: Entry) -> int:
    """`BaseResponse.Ret`; without it this is no answer of WeChat."""
    ret = text(inner(answer, "BaseResponse"), "Ret")
    if not _RET.fullmatch(ret):
        raise Unreadable
    return int(ret)


def message_of(answer: Entry) -> str:
    """`BaseResponse.ErrMsg`, for people. An object in some answers (webwx 1.2), mostly empty."""
    base = inner(answer, "BaseResponse")
    return said_by_server(text(base, "ErrMsg") or text(inner(base, "ErrMsg"), "Str"))


def init(answer: Entry) -> Init:
    """The answer of webwxinit."""
    return Init(
        user=inner(answer, "User"),
        skey=text(answer, "SKey"),
        keys=keys_in(answer, "SyncKey"),
        chats=tuple(filter(None, text(answer, "ChatSet").split(","))),
        contacts=objects(answer, "ContactList")[0],
    )


def contact_page(answer: Entry) -> ContactPage:
    """The answer of webwxgetcontact."""
    contacts, unread = objects(answer, "MemberList")
    return ContactPage(contacts=contacts, next_seq=number(answer, "Seq"), unread=unread)


def contact_list(answer: Entry) -> tuple[list[Entry], int]:
    """The answer of webwxbatchgetcontact, and how many of its elements are no objects."""
    return objects(answer, "ContactList")


def refused_members(answer: Entry) -> tuple[Handle, ...]:
    """Those whom a group did not take in (webwx 2.19): they deleted the owner, or keep him out."""
    members, _ = objects(answer, "MemberList")
    without = [one for one in members if number(one, "MemberStatus") == MemberStatus.DELETED_YOU]
    names = dict.fromkeys(
        [*(text(one, "UserName") for one in without), *text(answer, "BlackList").split(",")]
    )
    return tuple(Handle(name) for name in names if name)


def synced(answer: Entry) -> Synced:
    """The answer of webwxsync."""
    messages, bad_messages = objects(answer, "AddMsgList")
    changed, bad_changed = objects(answer, "ModContactList")
    deleted, bad_deleted = objects(answer, "DelContactList")
    sync = keys_in(answer, "SyncKey")
    return Synced(
        messages=messages,
        changed=changed,
        deleted=deleted,
        profile=inner(answer, "Profile"),
        sync=sync,
        check=keys_in(answer, "SyncCheckKey") or sync,
        skey=text(answer, "SKey"),
        more=number(answer, "ContinueFlag") != 0,
        unread=bad_messages + bad_changed + bad_deleted,
    )


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _number(pattern: re.Pattern[str], script: str) -> int | None:
    found = pattern.search(script)
    return integer(found[1]) if found else None


def _element(pattern: re.Pattern[str], source: str) -> str:
    found = pattern.search(source)
    if not found:
        return ""
    bare = _CDATA.sub(r"\1", found[1])
    return entities_undone(bare).strip()


def _picture(encoded: str) -> bytes:
    if len(encoded) > AVATAR_LIMIT:
        return b""
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    except ValueError:
        return b""
