"""Tables of web WeChat: its calls, hosts and capabilities (webwx 1.1, 2.12, 2.14, 6.1, 7.1)."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from urllib.parse import urlsplit

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
from wx2mqtt.wechat.backend import Capabilities, MediaLimits
from wx2mqtt.wechat.webwx.protocol.contacts import CONTACT_KEYS

MEGABYTE = 1 << 20

# The official page refuses 20 MB and more.
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

# For logins only; the XML of a file has another id (webwx 2.1.2).
APP_ID = "wx782c26e4c19acffb"

PREFIX = "/cgi-bin/mmwebwx-bin"

# Phones know this address, whatever host serves the login (webwx 2.2.1).
QR_CONTENT_PREFIX = "https://login.weixin.qq.com/l/"

# By two reports (webwx 2.2.3).
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
class Endpoint:
    """One call: `timeout` bounds the whole exchange, in seconds, and `limit` its answer, in bytes.

    For a download (`WebWxHttp.stream`) `timeout` bounds the time without a byte, and there is no limit. After
    an `is_delivery` call a lost answer leaves the outcome unknown. The server delays the answer of an
    `is_long_poll` call. With `allows_redirect` the answer may have a redirect status, which is never
    followed. Of the objects in the answer only members in `kept_keys` are kept, unless it is None.
    """

    name: str
    role: Role
    path: str
    timeout: float
    limit: int = 4 * MEGABYTE
    is_delivery: bool = False
    is_long_poll: bool = False
    allows_redirect: bool = False
    kept_keys: frozenset[str] | None = None


JSLOGIN = Endpoint(name="jslogin", role=Role.LOGIN, path="/jslogin", timeout=10)
LOGIN = Endpoint(name="login", role=Role.LOGIN, path="/cgi-bin/mmwebwx-bin/login", timeout=35)

NEW_LOGIN = Endpoint(
    name="webwxnewloginpage",
    role=Role.BASE,
    path=f"{PREFIX}/webwxnewloginpage",
    timeout=10,
    allows_redirect=True,
)

PUSH_LOGIN = Endpoint(
    name="webwxpushloginurl", role=Role.BASE, path=f"{PREFIX}/webwxpushloginurl", timeout=10
)

INIT = Endpoint(
    name="webwxinit",
    role=Role.BASE,
    path=f"{PREFIX}/webwxinit",
    timeout=30,
    limit=32 * MEGABYTE,
)

STATUS_NOTIFY = Endpoint(
    name="webwxstatusnotify", role=Role.BASE, path=f"{PREFIX}/webwxstatusnotify", timeout=15
)

# What is read of an answer with contacts: of the answer itself, and of the entries in it.
CONTACT_ANSWER_KEYS = CONTACT_KEYS | {"BaseResponse", "Ret", "ErrMsg", "Str", "ContactList", "Seq"}

# Slow for large accounts (webwx 2.8.4).
GET_CONTACT = Endpoint(
    name="webwxgetcontact",
    role=Role.BASE,
    path=f"{PREFIX}/webwxgetcontact",
    timeout=180,
    limit=64 * MEGABYTE,
    kept_keys=CONTACT_ANSWER_KEYS,
)

BATCH_GET = Endpoint(
    name="webwxbatchgetcontact",
    role=Role.BASE,
    path=f"{PREFIX}/webwxbatchgetcontact",
    timeout=60,
    limit=64 * MEGABYTE,
    kept_keys=CONTACT_ANSWER_KEYS,
)

# The server answers after 25 s at the latest; the official client waits 35 s (webwx 2.10.3).
SYNC_CHECK = Endpoint(
    name="synccheck",
    role=Role.PUSH,
    path=f"{PREFIX}/synccheck",
    timeout=35,
    is_long_poll=True,
)

SYNC = Endpoint(
    name="webwxsync",
    role=Role.BASE,
    path=f"{PREFIX}/webwxsync",
    timeout=15,
    limit=64 * MEGABYTE,
)

SEND_TEXT = Endpoint(
    name="webwxsendmsg",
    role=Role.BASE,
    path=f"{PREFIX}/webwxsendmsg",
    timeout=15,
    is_delivery=True,
)

CHECK_UPLOAD = Endpoint(
    name="webwxcheckupload", role=Role.BASE, path=f"{PREFIX}/webwxcheckupload", timeout=30
)

# Each call uploads one part of half a megabyte; the whole file may take any time (webwx 2.14.5).
UPLOAD = Endpoint(name="webwxuploadmedia", role=Role.FILE, path=f"{PREFIX}/webwxuploadmedia", timeout=120)

SEND_IMAGE = Endpoint(
    name="webwxsendmsgimg", role=Role.BASE, path=f"{PREFIX}/webwxsendmsgimg", timeout=30, is_delivery=True
)

SEND_VIDEO = Endpoint(
    name="webwxsendvideomsg", role=Role.BASE, path=f"{PREFIX}/webwxsendvideomsg", timeout=30, is_delivery=True
)

SEND_FILE = Endpoint(
    name="webwxsendappmsg", role=Role.BASE, path=f"{PREFIX}/webwxsendappmsg", timeout=30, is_delivery=True
)

SEND_STICKER = Endpoint(
    name="webwxsendemoticon", role=Role.BASE, path=f"{PREFIX}/webwxsendemoticon", timeout=30, is_delivery=True
)

REVOKE = Endpoint(
    name="webwxrevokemsg", role=Role.BASE, path=f"{PREFIX}/webwxrevokemsg", timeout=15, is_delivery=True
)

# The same call as STATUS_NOTIFY, but made for a command, so a lost answer matters.
MARK_READ = Endpoint(
    name="webwxstatusnotify", role=Role.BASE, path=f"{PREFIX}/webwxstatusnotify", timeout=15, is_delivery=True
)

OP_LOG = Endpoint(
    name="webwxoplog", role=Role.BASE, path=f"{PREFIX}/webwxoplog", timeout=15, is_delivery=True
)

VERIFY_USER = Endpoint(
    name="webwxverifyuser", role=Role.BASE, path=f"{PREFIX}/webwxverifyuser", timeout=15, is_delivery=True
)

CREATE_GROUP = Endpoint(
    name="webwxcreatechatroom",
    role=Role.BASE,
    path=f"{PREFIX}/webwxcreatechatroom",
    timeout=30,
    is_delivery=True,
)

UPDATE_GROUP = Endpoint(
    name="webwxupdatechatroom",
    role=Role.BASE,
    path=f"{PREFIX}/webwxupdatechatroom",
    timeout=30,
    is_delivery=True,
)

GET_IMAGE = Endpoint(
    name="webwxgetmsgimg", role=Role.BASE, path=f"{PREFIX}/webwxgetmsgimg", timeout=TRANSFER_IDLE_SECONDS
)

GET_VOICE = Endpoint(
    name="webwxgetvoice", role=Role.BASE, path=f"{PREFIX}/webwxgetvoice", timeout=TRANSFER_IDLE_SECONDS
)

GET_VIDEO = Endpoint(
    name="webwxgetvideo", role=Role.BASE, path=f"{PREFIX}/webwxgetvideo", timeout=TRANSFER_IDLE_SECONDS
)

GET_FILE = Endpoint(
    name="webwxgetmedia", role=Role.FILE, path=f"{PREFIX}/webwxgetmedia", timeout=TRANSFER_IDLE_SECONDS
)

GET_MAP = Endpoint(
    name="webwxgetpubliclinkimg",
    role=Role.BASE,
    path=f"{PREFIX}/webwxgetpubliclinkimg",
    timeout=TRANSFER_IDLE_SECONDS,
)

GET_AVATAR = Endpoint(
    name="webwxgeticon", role=Role.BASE, path=f"{PREFIX}/webwxgeticon", timeout=TRANSFER_IDLE_SECONDS
)

GET_GROUP_AVATAR = Endpoint(
    name="webwxgetheadimg", role=Role.BASE, path=f"{PREFIX}/webwxgetheadimg", timeout=TRANSFER_IDLE_SECONDS
)

LOGOUT = Endpoint(
    name="webwxlogout", role=Role.BASE, path=f"{PREFIX}/webwxlogout", timeout=10, allows_redirect=True
)


@frozen
class ClusterHosts:
    """The origins that serve one account; those of a configured endpoint may end in a path prefix."""

    base: str
    login: str
    push: str
    file: str

    def url(self, endpoint: Endpoint) -> str:
        """Returns the URL of a call without query."""
        return f"{getattr(self, endpoint.role)}{endpoint.path}"


# Part of a base host, and its cluster. The order matters, since "wx2.qq.com" contains "qq.com" (webwx 1.1).
_CLUSTERS = (
    ("wx2.qq.com", "wx2.qq.com"),
    ("wx8.qq.com", "wx8.qq.com"),
    ("qq.com", "wx.qq.com"),
    ("web2.wechat.com", "web2.wechat.com"),
    ("wechat.com", "web.wechat.com"),
)

_WECHAT_DOMAINS = ("qq.com", "wechat.com")


def hosts_of(base: str) -> ClusterHosts:
    """Returns the hosts that belong to a base host such as `wx2.qq.com`."""
    for part, cluster in _CLUSTERS:
        if part in base:
            return ClusterHosts(
                base=f"https://{base}",
                login=f"https://login.{cluster}",
                push=f"https://webpush.{cluster}",
                file=f"https://file.{cluster}",
            )
    return ClusterHosts(
        base=f"https://{base}",
        login="https://login.weixin.qq.com",
        push="https://webpush.weixin.qq.com",
        file="https://file.wx.qq.com",
    )


# Where logins start; any cluster is possible (webwx 1.1.4).
FIRST_BASE = "wx.qq.com"
FIRST_HOSTS = hosts_of(FIRST_BASE)


def hosts_at_endpoint(endpoint: str) -> ClusterHosts:
    """Returns the hosts for one address that serves all of them: a simulator, a test server or a proxy."""
    origin = endpoint.rstrip("/")
    return ClusterHosts(base=origin, login=origin, push=origin, file=origin)


def is_wechat(url: str) -> bool:
    """Returns whether a URL belongs to WeChat; session keys must not be sent to any other."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        has_default_authority = parts.port in {None, 443} and parts.username is None
    except ValueError:
        return False
    is_wechat_host = any(host == domain or host.endswith(f".{domain}") for domain in _WECHAT_DOMAINS)
    return parts.scheme == "https" and has_default_authority and is_wechat_host


def host_of(url: str) -> str:
    """Returns the host name of a URL; empty when it has none."""
    return _host_of_base(url.partition("?")[0])


@lru_cache(
    maxsize=32
)  # each request asks for its host, and the requests of a call differ behind the `?` only
def _host_of_base(base: str) -> str:
    try:
        return urlsplit(base).hostname or ""
    except ValueError:
        return ""


def from_cgi_bin(url: str) -> str:
    """Returns path and query of a redirect from `/cgi-bin/` on, without a path prefix of the host."""
    path = "/" + url.partition("#")[0].partition("://")[2].partition("/")[2]
    return path[max(path.find("/cgi-bin/"), 0) :]
