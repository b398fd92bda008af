"""What is done at WeChat besides sending: from values to a `Request` (webwx 2.15-2.19).

One function per deed. Pure, as `requests` is. `now` is in milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

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
from wx2mqtt.wechat.webwx import endpoints
from wx2mqtt.wechat.webwx.codes import Notify
from wx2mqtt.wechat.webwx.requests import Request, Site, signed
from wx2mqtt.wechat.webwx.session import Session

_REMARK = 2  # CmdId of webwxoplog
_ACCEPT = 3  # Opcode of webwxverifyuser
_SCENE = 33  # where a request is answered: on the web


def recall(site: Site, session: Session, action: Recall, key: SendKey) -> Request:
    """Withdraw an own message (webwx 2.15)."""
    rest = {"SvrMsgId": action.message_id, "ToUserName": action.chat, "ClientMsgId": key}
    return signed(site, session, endpoints.REVOKE, rest)


def mark_read(site: Site, session: Session, action: MarkRead, key: SendKey) -> Request:
    """Take the number of unread messages off a chat on the phone (webwx 2.7)."""
    rest = {
        "Code": int(Notify.READ),
        "FromUserName": session.handle,
        "ToUserName": action.chat,
        "ClientMsgId": int(key),
    }
    return signed(site, session, endpoints.MARK_READ, rest)


def set_remark(site: Site, session: Session, action: SetRemark) -> Request:
    """Give a contact another remark (webwx 2.18)."""
    rest = {"CmdId": _REMARK, "UserName": action.person, "RemarkName": action.remark}
    return signed(site, session, endpoints.OP_LOG, rest)


def accept_friend(site: Site, session: Session, action: AcceptFriend, now: int) -> Request:
    """Say yes to a friend request (webwx 2.17); empty values where the event held none."""
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
    return signed(site, session, endpoints.VERIFY_USER, rest, f"r={now}")


def create_group(site: Site, session: Session, action: CreateGroup, now: int) -> Request:
    """A new group (webwx 2.19)."""
    rest = {
        "MemberCount": len(action.members),
        "MemberList": [{"UserName": member} for member in action.members],
        "Topic": action.name,
    }
    return signed(site, session, endpoints.CREATE_GROUP, rest, f"r={now}")


def add_members(site: Site, session: Session, action: AddMembers, *, invite: bool) -> Request:
    """Bring people into a group; into a large one they are invited and must agree (webwx 2.19)."""
    fun, key = ("invitemember", "InviteMemberList") if invite else ("addmember", "AddMemberList")
    return _updated(site, session, action.group, fun, {key: _list(action.members)})


def remove_members(site: Site, session: Session, action: RemoveMembers) -> Request:
    """Take people out of an own group (webwx 2.19)."""
    return _updated(site, session, action.group, "delmember", {"DelMemberList": _list(action.members)})


def rename_group(site: Site, session: Session, action: RenameGroup) -> Request:
    """Give a group another name (webwx 2.19)."""
    return _updated(site, session, action.group, "modtopic", {"NewTopic": action.name})


def _updated(site: Site, session: Session, group: Handle, fun: str, change: dict[str, str]) -> Request:
    rest = {**change, "ChatRoomName": group}
    return signed(site, session, endpoints.UPDATE_GROUP, rest, f"fun={fun}")


def _list(members: Sequence[Handle]) -> str:
    return ",".join(members)
