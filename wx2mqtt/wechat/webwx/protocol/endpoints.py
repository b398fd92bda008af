"""Tables of web WeChat: its calls and capabilities (webwx 2.12, 2.14, 6.1, 7.1)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from wx2mqtt.model import (
    AcceptFriend,
    AddMembers,
    CreateGroup,
    Kind,
    MarkRead,
    Recall,
    RemoveMembers,
    RenameGroup,
    SetRemark,
)
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import CallSpec, Capabilities, MediaLimits
from wx2mqtt.wechat.webwx.protocol.contacts import CONTACT_KEYS

MEGABYTE = 1 << 20

# The largest picture or video that is sent; the official page refuses 20 MB and more.
MAX_WEB_UPLOAD_BYTES = 20 * MEGABYTE - 1

CAPABILITIES = Capabilities(
    backend="webwx",
    has_filehelper=True,
    has_contacts=True,
    has_groups=True,
    can_start_chat=True,
    handles_change_at_login=True,
    text_limit=16384,  # The phone's limit, as far as is known (webwx 6.1.1).
    media={
        Kind.IMAGE: MediaLimits(
            max_bytes=MAX_WEB_UPLOAD_BYTES, mime_types=frozenset({"image/jpeg", "image/png", "image/bmp"})
        ),
        Kind.VIDEO: MediaLimits(max_bytes=MAX_WEB_UPLOAD_BYTES, mime_types=frozenset({"video/mp4"})),
        Kind.FILE: MediaLimits(max_bytes=100 * MEGABYTE),
        Kind.STICKER: MediaLimits(max_bytes=5 * MEGABYTE, mime_types=frozenset({"image/gif"})),
    },
    actions=frozenset(
        {Recall, MarkRead, SetRemark, AcceptFriend, CreateGroup, AddMembers, RemoveMembers, RenameGroup}
    ),
    recall_seconds=120.0,
)

# The app id in the request for a QR code; the XML of a file has another one (webwx 2.1.2).
APP_ID = "wx782c26e4c19acffb"

PREFIX = "/cgi-bin/mmwebwx-bin"

# A QR code shows this address with its uuid; phones know it, whatever host serves the login (webwx 2.2.1).
QR_CONTENT_PREFIX = "https://login.weixin.qq.com/l/"

# A QR code is valid for so long, by two reports (webwx 2.2.3).
QR_LIFETIME_SECONDS = 300.0

USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)

WEBWX_HEADERS = {
    "User-Agent": USER_AGENT,
    "Accept": "application/json, text/plain, */*",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
}

# A download ends after so long without a byte.
TRANSFER_IDLE_SECONDS = 30.0


class Role(StrEnum):
    """The host of a cluster that answers a call."""

    LOGIN = "login"
    BASE = "base"
    PUSH = "push"
    FILE = "file"


@frozen
class Endpoint(CallSpec):
    """One call."""

    role: Role
    path: str
    #: How many seconds the whole exchange may take, and in a download the pause between two chunks.
    timeout: float
    #: How many bytes the answer may have; it bounds no download.
    limit: int = 4 * MEGABYTE
    #: The answer may have a redirect status, which is never followed.
    allows_redirect: bool = False
    #: The objects in the answer are read without all other members, for memory; None: with all of them.
    kept_keys: frozenset[str] | None = None


def _call(name: str, timeout: float, *, role: Role = Role.BASE, **properties: Any) -> Endpoint:
    return Endpoint(name=name, role=role, path=f"{PREFIX}/{name}", timeout=timeout, **properties)


# Login

JSLOGIN = Endpoint(name="jslogin", role=Role.LOGIN, path="/jslogin", timeout=10)
LOGIN = _call("login", 35, role=Role.LOGIN)
NEW_LOGIN = _call("webwxnewloginpage", 10, allows_redirect=True)
PUSH_LOGIN = _call("webwxpushloginurl", 10)
INIT = _call("webwxinit", 30, limit=32 * MEGABYTE)
STATUS_NOTIFY = _call("webwxstatusnotify", 15)
LOGOUT = _call("webwxlogout", 10, allows_redirect=True)

# Contacts: what is read of the answer itself, and of the entries in it.
CONTACT_ANSWER_KEYS = CONTACT_KEYS | {"BaseResponse", "Ret", "ErrMsg", "Str", "ContactList", "Seq"}
_CONTACTS_LIMIT = 64 * MEGABYTE

# GET_CONTACT is slow for large accounts (webwx 2.8.4).
GET_CONTACT = _call("webwxgetcontact", 180, limit=_CONTACTS_LIMIT, kept_keys=CONTACT_ANSWER_KEYS)
BATCH_GET = _call("webwxbatchgetcontact", 60, limit=_CONTACTS_LIMIT, kept_keys=CONTACT_ANSWER_KEYS)

# Receiving. The server answers a synccheck within 25 s; the official client waits 35 s (webwx 2.10.3).
SYNC_CHECK = _call("synccheck", 35, role=Role.PUSH, is_long_poll=True)
SYNC = _call("webwxsync", 15, limit=64 * MEGABYTE)

# Sending. Each UPLOAD sends half a megabyte; the whole file may take any time (webwx 2.14.5).
SEND_TEXT = _call("webwxsendmsg", 15, is_delivery=True)
SEND_IMAGE = _call("webwxsendmsgimg", 30, is_delivery=True)
SEND_VIDEO = _call("webwxsendvideomsg", 30, is_delivery=True)
SEND_FILE = _call("webwxsendappmsg", 30, is_delivery=True)
SEND_STICKER = _call("webwxsendemoticon", 30, is_delivery=True)
CHECK_UPLOAD = _call("webwxcheckupload", 30)
UPLOAD = _call("webwxuploadmedia", 120, role=Role.FILE)

# Actions. MARK_READ is the same call as STATUS_NOTIFY, but made for a command, so a lost answer matters.
REVOKE = _call("webwxrevokemsg", 15, is_delivery=True)
MARK_READ = _call("webwxstatusnotify", 15, is_delivery=True)
OP_LOG = _call("webwxoplog", 15, is_delivery=True)
VERIFY_USER = _call("webwxverifyuser", 15, is_delivery=True)
CREATE_GROUP = _call("webwxcreatechatroom", 30, is_delivery=True)
UPDATE_GROUP = _call("webwxupdatechatroom", 30, is_delivery=True)

# Downloads
GET_IMAGE = _call("webwxgetmsgimg", TRANSFER_IDLE_SECONDS)
GET_VOICE = _call("webwxgetvoice", TRANSFER_IDLE_SECONDS)
GET_VIDEO = _call("webwxgetvideo", TRANSFER_IDLE_SECONDS)
GET_FILE = _call("webwxgetmedia", TRANSFER_IDLE_SECONDS, role=Role.FILE)
GET_MAP = _call("webwxgetpubliclinkimg", TRANSFER_IDLE_SECONDS)
GET_AVATAR = _call("webwxgeticon", TRANSFER_IDLE_SECONDS)
GET_GROUP_AVATAR = _call("webwxgetheadimg", TRANSFER_IDLE_SECONDS)
