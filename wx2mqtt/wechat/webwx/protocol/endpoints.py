"""The calls of web WeChat, its hosts, and what it can do (webwx 1.1, 2.12, 2.14, 6.1, 7.1). Tables."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
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
from wx2mqtt.wechat.backend import Capabilities, MediaLimits

MEGABYTE = 1 << 20
MAX_WEB_UPLOAD_BYTES = 20 * MEGABYTE - 1  # the official page refuses 20 MB and more

CAPABILITIES = Capabilities(
    backend="webwx",
    has_filehelper=True,
    has_contacts=True,
    has_groups=True,
    can_start_chat=True,
    handles_change_at_login=True,
    text_limit=16384,  # the phone's limit, as far as is known (webwx 6.1.1)
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

APP_ID = "wx782c26e4c19acffb"  # the login's; the seed's other id belongs into file XML (webwx 2.1.2)
PREFIX = "/cgi-bin/mmwebwx-bin"

QR_CONTENT_PREFIX = (
    "https://login.weixin.qq.com/l/"  # a phone knows this address, whatever host we talk to (webwx 2.2.1)
)

QR_LIFETIME_SECONDS = 300.0  # seconds (webwx 2.2.3; by two reports)

USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)

WEBWX_HEADERS = {
    "User-Agent": USER_AGENT,
    "Accept": "application/json, text/plain, */*",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
}

TRANSFER_IDLE_SECONDS = 30.0  # seconds without a byte, until bytes are given up


class Role(StrEnum):
    """Which of the hosts of a cluster answers a call."""

    LOGIN = "login"
    BASE = "base"
    PUSH = "push"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One call: `timeout` in seconds for the whole exchange, `limit` in bytes for its answer.

    Of a call that brings bytes (`Transport.stream`) it is the longest silence, and there is no limit.
    `delivers` marks a call after which a lost answer leaves the outcome unknown; `polls` one that the
    server holds. `redirects` marks a call whose answer may come with a redirect status, which is never
    followed.
    """

    name: str
    role: Role
    path: str
    timeout: float
    limit: int = 4 * MEGABYTE
    is_delivery: bool = False
    is_long_poll: bool = False
    allows_redirect: bool = False


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

INIT = Endpoint(name="webwxinit", role=Role.BASE, path=f"{PREFIX}/webwxinit", timeout=30, limit=32 * MEGABYTE)

STATUS_NOTIFY = Endpoint(
    name="webwxstatusnotify", role=Role.BASE, path=f"{PREFIX}/webwxstatusnotify", timeout=15
)

GET_CONTACT = Endpoint(  # slow for big accounts (webwx 2.8.4)
    name="webwxgetcontact",
    role=Role.BASE,
    path=f"{PREFIX}/webwxgetcontact",
    timeout=180,
    limit=64 * MEGABYTE,
)

BATCH_GET = Endpoint(
    name="webwxbatchgetcontact",
    role=Role.BASE,
    path=f"{PREFIX}/webwxbatchgetcontact",
    timeout=60,
    limit=64 * MEGABYTE,
)

SYNC_CHECK = Endpoint(  # held for 25 s; official client waits 35 (webwx 2.10.3)
    name="synccheck", role=Role.PUSH, path=f"{PREFIX}/synccheck", timeout=35, is_long_poll=True
)

SYNC = Endpoint(name="webwxsync", role=Role.BASE, path=f"{PREFIX}/webwxsync", timeout=15, limit=64 * MEGABYTE)

SEND_TEXT = Endpoint(
    name="webwxsendmsg", role=Role.BASE, path=f"{PREFIX}/webwxsendmsg", timeout=15, is_delivery=True
)

CHECK_UPLOAD = Endpoint(
    name="webwxcheckupload", role=Role.BASE, path=f"{PREFIX}/webwxcheckupload", timeout=30
)

UPLOAD = Endpoint(  # one part of half a megabyte: the whole file has no limit in time (webwx 2.14.5)
    name="webwxuploadmedia", role=Role.FILE, path=f"{PREFIX}/webwxuploadmedia", timeout=120
)

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

MARK_READ = Endpoint(  # the call of STATUS_NOTIFY; the owner asked for this one
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterHosts:
    """The origins that serve one account; with an endpoint of one's own they may end in a path prefix."""

    base: str
    login: str
    push: str
    file: str

    def url(self, endpoint: Endpoint) -> str:
        """Where this call goes, without its query."""
        return f"{getattr(self, endpoint.role)}{endpoint.path}"


# What stands in the base host decides; the order matters, since "wx2.qq.com" also holds "qq.com" (webwx 1.1).
_CLUSTERS = (
    ("wx2.qq.com", "wx2.qq.com"),
    ("wx8.qq.com", "wx8.qq.com"),
    ("qq.com", "wx.qq.com"),
    ("web2.wechat.com", "web2.wechat.com"),
    ("wechat.com", "web.wechat.com"),
)

_OURS = ("qq.com", "wechat.com")


def hosts_of(base: str) -> ClusterHosts:
    """The hosts that belong to a base host such as `wx2.qq.com`."""
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


FIRST_BASE = "wx.qq.com"  # before a login any cluster will do (webwx 1.1.4)
FIRST_HOSTS = hosts_of(FIRST_BASE)


def hosts_at_endpoint(endpoint: str) -> ClusterHosts:
    """One address that serves every host: a simulator, a test server, a proxy."""
    origin = endpoint.rstrip("/")
    return ClusterHosts(base=origin, login=origin, push=origin, file=origin)


def is_wechat(url: str) -> bool:
    """Whether an address is one of WeChat's own; session keys go nowhere else."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        plain = parts.port in {None, 443} and parts.username is None
    except ValueError:
        return False
    ours = any(host == domain or host.endswith(f".{domain}") for domain in _OURS)
    return parts.scheme == "https" and plain and ours


def host_of(url: str) -> str:
    """The host name in an address; empty when it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def from_cgi_bin(url: str) -> str:
    """Path and query of a redirect, from `/cgi-bin/` on: what stands before is the host's own prefix."""
    bare = url.partition("#")[0].partition("://")[2].partition("/")[2]
    path = f"/{bare}"
    return path[max(path.find("/cgi-bin/"), 0) :]
