"""Performs actions: recalls, remarks, friends, groups (webwx 2.15-2.19).

Each is tried once, and never repeated here: an error says whether it may have been done.
"""

from __future__ import annotations

from collections.abc import Callable

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
from wx2mqtt.wechat.webwx.protocol.requests import GroupChange, Request
from wx2mqtt.wechat.webwx.protocol.session import Session

# A new group has at least so many members besides the owner.
MIN_OTHER_MEMBERS = 2


class ActionPerformer:
    """Performs the actions of one login."""

    def __init__(self, client: ApiClient, group_members: GroupMembers, contact_list: ContactList) -> None:
        self._client = client
        self._login_id = client.session.login_id
        self._group_members = group_members
        self._contact_list = contact_list

    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        """Makes the call of an action. Raises `Rejected` without a call where WeChat would refuse it."""
        match action:
            case Recall() | MarkRead() | SetRemark():
                await self._call(lambda session: requests.chat_request(session, action, key))
                return ActionResult()
            case AcceptFriend():
                return await self._accept_friend(action)
            case CreateGroup():
                return await self._create_group(action)
            case AddMembers():
                answer = await self._change_group(action)
                return ActionResult(refused_members=responses.read_refused_members(answer))
            case RemoveMembers() | RenameGroup():
                await self._change_group(action)
                return ActionResult()

    async def _accept_friend(self, action: AcceptFriend) -> ActionResult:
        if not action.request.get("username") or not action.request.get("ticket"):
            raise self._rejected("unknown_id", "old_request")
        now = self._client.clock.now
        try:
            await self._call(lambda session: requests.accept_friend_request(session, action, now))
        except RetError as error:
            if error.ret == Ret.TICKET_ERROR:
                raise self._rejected("unknown_id", "old_request") from None
            raise
        return ActionResult()

    async def _create_group(self, action: CreateGroup) -> ActionResult:
        if len(action.members) < MIN_OTHER_MEMBERS:
            raise self._rejected("bad_command", "few_members")
        now = self._client.clock.now
        answer = await self._call(lambda session: requests.create_group_request(session, action, now))
        group = await self._new_group(answer, action.name)
        return ActionResult(group=group, refused_members=responses.read_refused_members(answer))

    async def _new_group(self, answer: JsonObject, name: str) -> Contact:
        """Returns the new group, with its members if a look-up finds them."""
        handle = read_text(answer, "ChatRoomName")
        if not handle:
            raise Rejected(self._client.text("no_group"))
        for contact in await self._contact_list.look_up([handle]):
            if contact.handle == handle:
                return contact
        nickname = read_text(answer, "Topic") or name
        return Contact(handle=Handle(handle), kind=ChatKind.GROUP, nickname=nickname)

    async def _change_group(self, action: GroupChange) -> JsonObject:
        invite = self._group_members.member_count(action.group) >= INVITE_REQUIRED_MEMBERS
        return await self._call(lambda session: requests.change_group_request(session, action, invite=invite))

    async def _call(self, build: Callable[[Session], Request]) -> JsonObject:
        """Builds a request with the current keys of the login, and returns the answer to it."""
        try:
            request = build(self._client.require_login(self._login_id))
        except UnicodeEncodeError:
            raise self._rejected("bad_command", "bad_characters") from None
        return await self._client.call_or_reject(request, "not_done")

    def _rejected(self, code: str, message_key: str) -> Rejected:
        return Rejected(self._client.text(message_key), code=code)
