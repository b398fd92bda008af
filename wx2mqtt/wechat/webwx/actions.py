"""Performs actions other than sending: recalls, read marks, remarks, friends, groups (webwx 2.15-2.19).

Each action is tried once. WeChat may refuse to let web clients create groups and add members.
"""

from __future__ import annotations

from wx2mqtt.errors import Rejected
from wx2mqtt.model import (
    AcceptFriend,
    Action,
    ActionResult,
    AddMembers,
    ChatKind,
    Contact,
    CreateGroup,
    Handle,
    MarkRead,
    Recall,
    RemoveMembers,
    RenameGroup,
    SendKey,
    SetRemark,
)
from wx2mqtt.wechat.json_reader import JsonObject, read_text
from wx2mqtt.wechat.webwx.client import ApiClient, RetError
from wx2mqtt.wechat.webwx.contact_list import ContactList
from wx2mqtt.wechat.webwx.protocol import requests, responses
from wx2mqtt.wechat.webwx.protocol.codes import INVITE_REQUIRED_MEMBERS, Ret
from wx2mqtt.wechat.webwx.protocol.group_members import GroupMembers
from wx2mqtt.wechat.webwx.protocol.requests import Request

# A new group has at least so many members besides the owner.
MIN_OTHER_MEMBERS = 2


class Actions:
    """Performs the actions of one login."""

    def __init__(self, client: ApiClient, group_members: GroupMembers, contact_list: ContactList) -> None:
        self._client = client
        self._login_id = client.session.login_id
        self._group_members = group_members
        self._contact_list = contact_list

    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        """Performs an action once."""
        self._check(action)
        try:
            request = self._build_request(action, key)
        except UnicodeEncodeError:
            raise Rejected(self._client.text("bad_characters"), code="bad_command") from None
        try:
            answer = await self._client.call_or_reject(request, "not_done")
        except RetError as error:
            if isinstance(action, AcceptFriend) and error.ret == Ret.TICKET_ERROR:
                raise self._expired_request_error() from None
            raise
        match action:
            case CreateGroup():
                group = await self._new_group(answer, action.name)
                return ActionResult(group=group, refused_members=responses.read_refused_members(answer))
            case AddMembers():
                return ActionResult(refused_members=responses.read_refused_members(answer))
            case _:
                return ActionResult()

    def _check(self, action: Action) -> None:
        """Raises `Rejected` for what WeChat is known to refuse."""
        if isinstance(action, AcceptFriend):
            if not action.request.get("username") or not action.request.get("ticket"):
                raise self._expired_request_error()
        elif isinstance(action, CreateGroup) and len(action.members) < MIN_OTHER_MEMBERS:
            raise Rejected(self._client.text("few_members"), code="bad_command")

    def _build_request(self, action: Action, key: SendKey) -> Request:
        client = self._client
        profile, session = client.profile, client.require_login(self._login_id)
        match action:
            case Recall():
                return requests.recall_request(profile, session, action, key)
            case MarkRead():
                return requests.mark_read_request(profile, session, action, key)
            case SetRemark():
                return requests.set_remark_request(profile, session, action)
            case AcceptFriend():
                return requests.accept_friend_request(profile, session, action, client.clock.now)
            case CreateGroup():
                return requests.create_group_request(profile, session, action, client.clock.now)
            case AddMembers() | RemoveMembers() | RenameGroup():
                invite = self._group_members.member_count(action.group) >= INVITE_REQUIRED_MEMBERS
                return requests.change_group_request(profile, session, action, invite=invite)

    def _expired_request_error(self) -> Rejected:
        return Rejected(self._client.text("old_request"), code="unknown_id")

    async def _new_group(self, answer: JsonObject, name: str) -> Contact:
        """Returns the new group, with its members if a look-up finds them."""
        handle = read_text(answer, "ChatRoomName")
        if not handle:
            raise Rejected(self._client.text("no_group"))
        contacts = await self._contact_list.look_up([handle])
        without_members = Contact(
            handle=Handle(handle), kind=ChatKind.GROUP, nickname=read_text(answer, "Topic") or name
        )
        return next((contact for contact in contacts if contact.handle == handle), without_members)
