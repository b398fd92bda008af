"""Requests of the login, of receiving and of actions: one function for each call (webwx 2.2-2.11, 2.15-2.19).

`now` is in milliseconds. JSON goes out as raw UTF-8: an escaped character would arrive as its escape (webwx
1.2.3).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from wx2mqtt.model import (
    AcceptFriend,
    AddMembers,
    CreateGroup,
    Handle,
    MarkRead,
    Recall,
    RemoveMembers,
    RenameGroup,
    SendKey,
    SetRemark,
)
from wx2mqtt.wechat.webwx.protocol import endpoints
from wx2mqtt.wechat.webwx.protocol.codes import NotifyCode
from wx2mqtt.wechat.webwx.protocol.endpoints import ClusterHosts, Endpoint
from wx2mqtt.wechat.webwx.protocol.session import Session, SyncCursor

JSON_TYPE = "application/json; charset=UTF-8"
FORM_TYPE = "application/x-www-form-urlencoded"
MAX_NAMES_PER_CALL = 50  # names in one webwxbatchgetcontact (webwx 2.9.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesktopClient:
    """The owner's own values for desktop mode (webwx 2.4.1.2); nothing of the kind is shipped."""

    client_version: str
    extspam: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientProfile:
    """How we speak to WeChat: which hosts, in which language, as what."""

    hosts: ClusterHosts
    lang: str = "zh_CN"
    desktop: DesktopClient | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Request:
    """One HTTP exchange to be made; a POST when there is a body. `cookies` replace those of the login.

    Holds secrets in every field, so it has no repr of its own.
    """

    endpoint: Endpoint
    url: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)


def jslogin_request(site: ClientProfile, now: int) -> Request:
    """A new QR code (webwx 2.1.1)."""
    mode = "?mod=desktop" if site.desktop else ""
    target = f"{endpoints.FIRST_HOSTS.base}{endpoints.NEW_LOGIN.path}{mode}"
    query = {"appid": endpoints.APP_ID, "redirect_uri": target, "fun": "new", "lang": site.lang, "_": now}
    return _get(site, endpoints.JSLOGIN, urlencode(query))


def scan_poll_request(site: ClientProfile, uuid: str, *, first: bool, now: int) -> Request:
    """Wait for what the phone does with a QR code or a push login (webwx 2.3.1)."""
    query = {"loginicon": "true", "uuid": uuid, "tip": int(first), "r": inverted_time(now), "_": now}
    return _get(site, endpoints.LOGIN, urlencode(query))


def new_login_request(site: ClientProfile, redirect: str) -> Request:
    """Exchange the ticket in the redirect for a session (webwx 2.4); `version=v2` asks for 200, not 301."""
    address = endpoints.from_cgi_bin(redirect)
    mode = "&mod=desktop" if site.desktop else ""
    url = f"{site.hosts.base}{address}{'&' if '?' in address else '?'}fun=new&version=v2{mode}"
    headers = {}
    if site.desktop:
        headers = {
            "client-version": site.desktop.client_version,
            "extspam": site.desktop.extspam,
            "Referer": f"{endpoints.FIRST_HOSTS.base}/?&lang={site.lang}&target=t",
        }
    return Request(endpoint=endpoints.NEW_LOGIN, url=url, headers={**referer_header(site), **headers})


def push_login_request(site: ClientProfile, session: Session, cookies: Mapping[str, str]) -> Request:
    """Ask the phone whether to log in again (webwx 2.5), with the cookies that a browser would hold."""
    mode = "&mod=desktop" if site.desktop else ""
    held = {"last_wxuin": session.uin, "login_frequency": "2"}
    if "wxloadtime" in cookies:
        held["wxloadtime"] = f"{cookies['wxloadtime'].removesuffix('_expired')}_expired"
    query = f"uin={quote(session.uin, safe='')}{mode}"
    return Request(
        endpoint=endpoints.PUSH_LOGIN,
        url=f"{site.hosts.url(endpoints.PUSH_LOGIN)}?{query}",
        headers=referer_header(site),
        cookies=held,
    )


def init_request(site: ClientProfile, session: Session, now: int) -> Request:
    """The first call of a session (webwx 2.6.1)."""
    query = f"r={inverted_time(now)}&{_ticket(site, session)}"
    return _post(site, endpoints.INIT, query, f'{{"BaseRequest":{base_request(session)}}}')


def status_notify_request(site: ClientProfile, session: Session, now: int) -> Request:
    """Tell the phone that web WeChat is there (webwx 2.7.1)."""
    rest = {
        "Code": int(NotifyCode.INITED),
        "FromUserName": session.handle,
        "ToUserName": session.handle,
        "ClientMsgId": now,
    }
    return signed_request(site, session, endpoints.STATUS_NOTIFY, rest)


def get_contact_request(site: ClientProfile, session: Session, seq: int, now: int) -> Request:
    """One page of the address book (webwx 2.8.1)."""
    query = f"{_ticket(site, session)}&r={now}&seq={seq}&skey={quote(session.skey, safe='')}"
    return _get(site, endpoints.GET_CONTACT, query)


def batch_get_request(site: ClientProfile, session: Session, names: Sequence[str], now: int) -> Request:
    """Details of up to 50 people or groups, groups with their members (webwx 2.9.1)."""
    rest = {"Count": len(names), "List": [{"UserName": name, "ChatRoomId": ""} for name in names]}
    return signed_request(site, session, endpoints.BATCH_GET, rest, f"type=ex&r={now}")


def sync_check_request(site: ClientProfile, session: Session, position: SyncCursor, now: int) -> Request:
    """The long poll (webwx 2.10). The names are case-sensitive: a wrong one is answered at once for ever."""
    query = {
        "r": now,
        "skey": session.skey,
        "sid": session.sid,
        "uin": session.uin,
        "deviceid": session.device_id,
        "synckey": position.synckey_query,
        "_": now,
    }
    return _get(site, endpoints.SYNC_CHECK, urlencode(query))


def sync_request(site: ClientProfile, session: Session, position: SyncCursor, now: int) -> Request:
    """Fetch what is new (webwx 2.11.1): with SyncKey, never SyncCheckKey."""
    pairs = [{"Key": key, "Val": value} for key, value in position.sync]
    rest = {"SyncKey": {"Count": len(pairs), "List": pairs}, "rr": inverted_time(now)}
    sid, skey = quote(session.sid, safe=""), quote(session.skey, safe="")
    return signed_request(site, session, endpoints.SYNC, rest, f"sid={sid}&skey={skey}")


def logout_request(site: ClientProfile, session: Session) -> Request:
    """End the session (webwx 2.20.1)."""
    query = urlencode({"redirect": 1, "type": 0, "skey": session.skey})
    form = urlencode({"sid": session.sid, "uin": session.uin})
    return Request(
        endpoint=endpoints.LOGOUT,
        url=f"{site.hosts.url(endpoints.LOGOUT)}?{query}",
        body=form.encode(),
        headers={**referer_header(site), "Content-Type": FORM_TYPE},
    )


def inverted_time(now: int) -> int:
    """`~Date.now()` as JavaScript counts it: on the low 32 bits (webwx 1.2.7). The server ignores it."""
    low = now & 0xFFFF_FFFF
    return ~(low - (1 << 32) if low >= 1 << 31 else low)


def signed_request(
    site: ClientProfile, session: Session, endpoint: Endpoint, rest: Mapping[str, object], query: str = ""
) -> Request:
    """A JSON post with BaseRequest and what else it holds. Raises `UnicodeEncodeError` for no Unicode."""
    asked = f"{query}&{_ticket(site, session)}" if query else _ticket(site, session)
    body = f'{{"BaseRequest":{base_request(session)},{json_body(rest)[1:]}'
    return _post(site, endpoint, asked, body)


def base_request(session: Session) -> str:
    """The part that every JSON call begins with. A DeviceID may stay the same for a login (webwx 1.2)."""
    uin = int(session.uin) if session.uin.isdecimal() else session.uin
    return json_body({"Uin": uin, "Sid": session.sid, "Skey": session.skey, "DeviceID": session.device_id})


def json_body(value: object) -> str:
    """JSON in raw Unicode."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def referer_header(site: ClientProfile) -> dict[str, str]:
    """What a browser says where it comes from."""
    return {"Referer": f"{site.hosts.base}/"}


def _ticket(site: ClientProfile, session: Session) -> str:
    # The ticket is percent-encoded already; a character that is not must not end the query (webwx 1.2.6).
    return f"lang={site.lang}&pass_ticket={quote(session.pass_ticket, safe='%')}"


def _get(site: ClientProfile, endpoint: Endpoint, query: str) -> Request:
    return Request(endpoint=endpoint, url=f"{site.hosts.url(endpoint)}?{query}", headers=referer_header(site))


def _post(site: ClientProfile, endpoint: Endpoint, query: str, body: str) -> Request:
    return Request(
        endpoint=endpoint,
        url=f"{site.hosts.url(endpoint)}?{query}",
        body=body.encode(),
        headers={**referer_header(site), "Content-Type": JSON_TYPE},
    )


_REMARK = 2  # CmdId of webwxoplog
_ACCEPT = 3  # Opcode of webwxverifyuser
_SCENE = 33  # where a request is answered: on the web


def recall_request(site: ClientProfile, session: Session, action: Recall, key: SendKey) -> Request:
    """Withdraw an own message (webwx 2.15.1)."""
    rest = {"SvrMsgId": action.message_id, "ToUserName": action.chat, "ClientMsgId": key}
    return signed_request(site, session, endpoints.REVOKE, rest)


def mark_read_request(site: ClientProfile, session: Session, action: MarkRead, key: SendKey) -> Request:
    """Take the number of unread messages off a chat on the phone (webwx 2.7.1)."""
    rest = {
        "Code": int(NotifyCode.READ),
        "FromUserName": session.handle,
        "ToUserName": action.chat,
        "ClientMsgId": int(key),
    }
    return signed_request(site, session, endpoints.MARK_READ, rest)


def set_remark_request(site: ClientProfile, session: Session, action: SetRemark) -> Request:
    """Give a contact another remark (webwx 2.18.1)."""
    rest = {"CmdId": _REMARK, "UserName": action.person, "RemarkName": action.remark}
    return signed_request(site, session, endpoints.OP_LOG, rest)


def accept_friend_request(site: ClientProfile, session: Session, action: AcceptFriend, now: int) -> Request:
    """Say yes to a friend request (webwx 2.17.1); empty values where the event held none."""
    asked = {
        "Value": action.request.get("username", ""),
        "VerifyUserTicket": action.request.get("ticket", ""),
    }
    rest = {
        "Opcode": _ACCEPT,
        "VerifyUserListSize": 1,
        "VerifyUserList": [asked],
        "VerifyContent": "",
        "SceneListCount": 1,
        "SceneList": [_SCENE],
        "skey": session.skey,
    }
    return signed_request(site, session, endpoints.VERIFY_USER, rest, f"r={now}")


def create_group_request(site: ClientProfile, session: Session, action: CreateGroup, now: int) -> Request:
    """A new group (webwx 2.19.1)."""
    rest = {
        "MemberCount": len(action.members),
        "MemberList": [{"UserName": member} for member in action.members],
        "Topic": action.name,
    }
    return signed_request(site, session, endpoints.CREATE_GROUP, rest, f"r={now}")


def add_members_request(
    site: ClientProfile, session: Session, action: AddMembers, *, invite: bool
) -> Request:
    """Bring people into a group; into a large one they are invited and must agree (webwx 2.19.2, 2.19.3)."""
    fun, key = ("invitemember", "InviteMemberList") if invite else ("addmember", "AddMemberList")
    return _updated(site, session, action.group, fun, {key: _list(action.members)})


def remove_members_request(site: ClientProfile, session: Session, action: RemoveMembers) -> Request:
    """Take people out of an own group (webwx 2.19.2)."""
    return _updated(site, session, action.group, "delmember", {"DelMemberList": _list(action.members)})


def rename_group_request(site: ClientProfile, session: Session, action: RenameGroup) -> Request:
    """Give a group another name (webwx 2.19.2)."""
    return _updated(site, session, action.group, "modtopic", {"NewTopic": action.name})


def _updated(
    site: ClientProfile, session: Session, group: Handle, fun: str, change: dict[str, str]
) -> Request:
    rest = {**change, "ChatRoomName": group}
    return signed_request(site, session, endpoints.UPDATE_GROUP, rest, f"fun={fun}")


def _list(members: Sequence[Handle]) -> str:
    return ",".join(members)
