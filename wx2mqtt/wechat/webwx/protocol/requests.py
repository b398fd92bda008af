"""Builds the requests of login, receiving and actions; one function per call (webwx 2.2-2.11, 2.15-2.19).

Most calls are JSON with the keys of the login, which `signed_request` adds to the fields of the call.

`now` is in milliseconds since 1970 everywhere. JSON is sent as raw UTF-8, since the server does not decode
escaped characters (webwx 1.2.3).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from urllib.parse import quote, urlencode

from wx2mqtt.model import (
    AcceptFriend,
    AddMembers,
    CreateGroup,
    MarkRead,
    Recall,
    RemoveMembers,
    RenameGroup,
    SendKey,
    SetRemark,
)
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import MAX_DIGITS
from wx2mqtt.wechat.webwx.protocol import endpoints
from wx2mqtt.wechat.webwx.protocol.codes import NotifyCode
from wx2mqtt.wechat.webwx.protocol.endpoints import Endpoint
from wx2mqtt.wechat.webwx.protocol.hosts import FIRST_HOSTS, ClientProfile, from_cgi_bin
from wx2mqtt.wechat.webwx.protocol.session import Session, SyncCursor

JSON_TYPE = "application/json; charset=UTF-8"
FORM_TYPE = "application/x-www-form-urlencoded"

_NONE: Mapping[str, str] = MappingProxyType({})


@frozen(repr=False)
class Request:
    """An HTTP request: a POST when it has a body, else a GET.

    Every field may hold secrets, so it has no repr.
    """

    endpoint: Endpoint
    url: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Cookies that replace those of the login with the same name.
    cookies: Mapping[str, str] = field(default_factory=dict)


def jslogin_request(profile: ClientProfile, now: int) -> Request:
    """Asks for a new QR code (webwx 2.1.1)."""
    mode = "?mod=desktop" if profile.desktop else ""
    redirect_uri = f"{FIRST_HOSTS.base}{endpoints.NEW_LOGIN.path}{mode}"
    query = {
        "appid": endpoints.APP_ID,
        "redirect_uri": redirect_uri,
        "fun": "new",
        "lang": profile.lang,
        "_": now,
    }
    return build_request(profile, endpoints.JSLOGIN, urlencode(query))


def scan_poll_request(profile: ClientProfile, uuid: str, *, first: bool, now: int) -> Request:
    """Waits until the phone reacts to a QR code or a push login (webwx 2.3.1).

    `first` is true until the first answer.
    """
    query = {"loginicon": "true", "uuid": uuid, "tip": int(first), "r": inverted_time(now), "_": now}
    return build_request(profile, endpoints.LOGIN, urlencode(query))


def new_login_request(profile: ClientProfile, redirect: str) -> Request:
    """Exchanges the ticket in a redirect for a session (webwx 2.4).

    With `version=v2` the server answers with status 200 in place of 301.
    """
    path = from_cgi_bin(redirect)
    mode = "&mod=desktop" if profile.desktop else ""
    url = f"{profile.hosts.base}{path}{'&' if '?' in path else '?'}fun=new&version=v2{mode}"
    headers = {"Referer": f"{profile.hosts.base}/"}
    if profile.desktop:
        headers = {
            "client-version": profile.desktop.client_version,
            "extspam": profile.desktop.extspam,
            "Referer": f"{FIRST_HOSTS.base}/?&lang={profile.lang}&target=t",
        }
    return Request(endpoint=endpoints.NEW_LOGIN, url=url, headers=headers)


def push_login_request(session: Session, cookies: Mapping[str, str]) -> Request:
    """Asks the phone to confirm a new login (webwx 2.5), with the cookies that a browser would still hold."""
    mode = "&mod=desktop" if session.profile.desktop else ""
    kept_cookies = {"last_wxuin": session.uin, "login_frequency": "2"}
    if "wxloadtime" in cookies:
        kept_cookies["wxloadtime"] = f"{cookies['wxloadtime'].removesuffix('_expired')}_expired"
    query = f"uin={quote(session.uin, safe='')}{mode}"
    return build_request(session.profile, endpoints.PUSH_LOGIN, query, cookies=kept_cookies)


def init_request(session: Session, now: int) -> Request:
    """Makes the first call of a session (webwx 2.6.1)."""
    return signed_request(session, endpoints.INIT, {}, f"r={inverted_time(now)}")


def status_notify_request(session: Session, now: int) -> Request:
    """Informs the phone that web WeChat has started (webwx 2.7.1)."""
    fields = {
        "Code": int(NotifyCode.INITED),
        "FromUserName": session.handle,
        "ToUserName": session.handle,
        "ClientMsgId": now,
    }
    return signed_request(session, endpoints.STATUS_NOTIFY, fields)


def get_contact_request(session: Session, seq: int, now: int) -> Request:
    """Fetches one page of the address book (webwx 2.8.1)."""
    query = f"{_ticket_query(session)}&r={now}&seq={seq}&skey={quote(session.skey, safe='')}"
    return build_request(session.profile, endpoints.GET_CONTACT, query)


# One webwxbatchgetcontact may name so many handles (webwx 2.9.2).
MAX_NAMES_PER_CALL = 50


def batch_get_request(session: Session, handles: Sequence[str], now: int) -> Request:
    """Fetches up to `MAX_NAMES_PER_CALL` people and groups, groups with their members (webwx 2.9.1)."""
    fields = {"Count": len(handles), "List": [{"UserName": handle, "ChatRoomId": ""} for handle in handles]}
    return signed_request(session, endpoints.BATCH_GET, fields, f"type=ex&r={now}")


def sync_check_request(session: Session, position: SyncCursor, now: int) -> Request:
    """Waits for news in a long poll (webwx 2.10).

    The names of the parameters are case-sensitive: with a wrong one the server answers every poll at once.
    """
    query = {
        "r": now,
        "skey": session.skey,
        "sid": session.sid,
        "uin": session.uin,
        "deviceid": session.device_id,
        "synckey": "|".join([f"{key}_{value}" for key, value in position.check]),
        "_": now,
    }
    return build_request(session.profile, endpoints.SYNC_CHECK, urlencode(query))


def sync_request(session: Session, position: SyncCursor, now: int) -> Request:
    """Fetches the news (webwx 2.11.1), with SyncKey and never with SyncCheckKey."""
    pairs = [{"Key": key, "Val": value} for key, value in position.sync]
    fields = {"SyncKey": {"Count": len(pairs), "List": pairs}, "rr": inverted_time(now)}
    sid, skey = quote(session.sid, safe=""), quote(session.skey, safe="")
    return signed_request(session, endpoints.SYNC, fields, f"sid={sid}&skey={skey}")


def logout_request(session: Session) -> Request:
    """Ends the session (webwx 2.20.1)."""
    query = urlencode({"redirect": 1, "type": 0, "skey": session.skey})
    form = urlencode({"sid": session.sid, "uin": session.uin})
    headers = {"Content-Type": FORM_TYPE}
    return build_request(session.profile, endpoints.LOGOUT, query, form.encode(), headers)


# CmdId of webwxoplog: set a remark.
_SET_REMARK_COMMAND = 2


def chat_request(session: Session, action: Recall | MarkRead | SetRemark, key: SendKey) -> Request:
    """Withdraws a message, marks a chat as read on the phone, or changes the remark of a contact."""
    match action:
        case Recall():  # (webwx 2.15.1)
            recall = {"SvrMsgId": action.message_id, "ToUserName": action.chat, "ClientMsgId": key}
            return signed_request(session, endpoints.REVOKE, recall)
        case MarkRead():  # (webwx 2.7.1)
            mark_read = {
                "Code": int(NotifyCode.READ),
                "FromUserName": session.handle,
                "ToUserName": action.chat,
                "ClientMsgId": int(key),
            }
            return signed_request(session, endpoints.MARK_READ, mark_read)
        case SetRemark():  # (webwx 2.18.1)
            set_remark = {
                "CmdId": _SET_REMARK_COMMAND,
                "UserName": action.person,
                "RemarkName": action.remark,
            }
            return signed_request(session, endpoints.OP_LOG, set_remark)


# Opcode of webwxverifyuser: accept a friend request.
_ACCEPT_FRIEND_CODE = 3

# Scene of webwxverifyuser: accepted in web WeChat.
_WEB_SCENE = 33


def accept_friend_request(session: Session, action: AcceptFriend, now: int) -> Request:
    """Accepts a friend request (webwx 2.17.1). Values that its event did not hold are empty."""
    accepted = {
        "Value": action.request.get("username", ""),
        "VerifyUserTicket": action.request.get("ticket", ""),
    }
    fields = {
        "Opcode": _ACCEPT_FRIEND_CODE,
        "VerifyUserListSize": 1,
        "VerifyUserList": [accepted],
        "VerifyContent": "",
        "SceneListCount": 1,
        "SceneList": [_WEB_SCENE],
        "skey": session.skey,
    }
    return signed_request(session, endpoints.VERIFY_USER, fields, f"r={now}")


def create_group_request(session: Session, action: CreateGroup, now: int) -> Request:
    """Creates a group (webwx 2.19.1)."""
    fields = {
        "MemberCount": len(action.members),
        "MemberList": [{"UserName": member} for member in action.members],
        "Topic": action.name,
    }
    return signed_request(session, endpoints.CREATE_GROUP, fields, f"r={now}")


GroupChange = AddMembers | RemoveMembers | RenameGroup


def change_group_request(session: Session, action: GroupChange, *, invite: bool = False) -> Request:
    """Changes a group (webwx 2.19.2). To a large group people are invited, and must agree (webwx 2.19.3)."""
    match action:
        case AddMembers(members=members) if invite:
            fun, change = "invitemember", {"InviteMemberList": ",".join(members)}
        case AddMembers(members=members):
            fun, change = "addmember", {"AddMemberList": ",".join(members)}
        case RemoveMembers(members=members):
            fun, change = "delmember", {"DelMemberList": ",".join(members)}
        case RenameGroup(name=name):
            fun, change = "modtopic", {"NewTopic": name}
    fields = {**change, "ChatRoomName": action.group}
    return signed_request(session, endpoints.UPDATE_GROUP, fields, f"fun={fun}")


# What they are made of


def signed_request(
    session: Session, endpoint: Endpoint, fields: Mapping[str, object], query: str = ""
) -> Request:
    """Returns a JSON request with BaseRequest and these fields, and the ticket in its query.

    Raises `UnicodeEncodeError` for a text with lone surrogates.
    """
    full_query = f"{query}&{_ticket_query(session)}" if query else _ticket_query(session)
    body = json_body({"BaseRequest": base_request(session), **fields})
    headers = {"Content-Type": JSON_TYPE}
    return build_request(session.profile, endpoint, full_query, body.encode(), headers)


def build_request(
    profile: ClientProfile,
    endpoint: Endpoint,
    query: str,
    body: bytes | None = None,
    headers: Mapping[str, str] = _NONE,
    cookies: Mapping[str, str] = _NONE,
) -> Request:
    """Returns a request with the Referer header that a browser sends, and with these headers."""
    origin = getattr(profile.hosts, endpoint.role)
    return Request(
        endpoint=endpoint,
        url=f"{origin}{endpoint.path}?{query}",
        body=body,
        headers={"Referer": f"{profile.hosts.base}/", **headers},
        cookies=cookies,
    )


def base_request(session: Session) -> dict[str, object]:
    """Returns BaseRequest. A DeviceID may stay the same during a login (webwx 1.2)."""
    is_number = session.uin.isdecimal() and len(session.uin) <= MAX_DIGITS
    uin = int(session.uin) if is_number else session.uin
    return {"Uin": uin, "Sid": session.sid, "Skey": session.skey, "DeviceID": session.device_id}


def json_body(value: object) -> str:
    """Returns compact JSON without escapes for characters outside of ASCII."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _ticket_query(session: Session) -> str:
    """Returns the part of a query that has the ticket of the login."""
    # It came percent-encoded. Other characters are encoded here, else they could end the query (webwx 1.2.6).
    return f"lang={session.profile.lang}&pass_ticket={quote(session.pass_ticket, safe='%')}"


def inverted_time(now: int) -> int:
    """Returns `~Date.now()` of JavaScript, limited to 32 bits (webwx 1.2.7). The server ignores it."""
    low = now & 0xFFFF_FFFF
    return ~(low - (1 << 32) if low >= 1 << 31 else low)
