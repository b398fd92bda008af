"""What is done at WeChat besides sending: recalls, marks, remarks, friends, groups (webwx 2.15-2.19).

Once each; nothing is tried again in here. Web WeChat may have creating and filling groups switched off.
"""

from __future__ import annotations

from wx2mqtt.errors import Rejected
from wx2mqtt.model import (
    AcceptFriend,
    Action,
    AddMembers,
    ChatKind,
    Contact,
    CreateGroup,
    Done,
    Handle,
    MarkRead,
    Recall,
    RemoveMembers,
    RenameGroup,
    SendKey,
    SetRemark,
)
from wx2mqtt.wechat.fields import Entry, text
from wx2mqtt.wechat.webwx import action_requests, responses
from wx2mqtt.wechat.webwx.addressbook import AddressBook
from wx2mqtt.wechat.webwx.channel import Channel, Refused
from wx2mqtt.wechat.webwx.codes import INVITED_FROM, Ret
from wx2mqtt.wechat.webwx.requests import Request
from wx2mqtt.wechat.webwx.roster import Roster

GroupAction = CreateGroup | AddMembers | RemoveMembers | RenameGroup


class Deeds:
    """What one login does."""

    def __init__(self, channel: Channel, roster: Roster, people: AddressBook) -> None:
        self._channel = channel
        self._login_id = channel.session.login_id
        self._roster = roster
        self._people = people

    async def act(self, action: Action, key: SendKey) -> Done:
        """As `Gateway.act`."""
        try:
            request = self._request(action, key)
        except UnicodeEncodeError:
            raise Rejected(self._channel.words("bad_characters"), code="bad_command") from None
        answer = await self._done(action, request)
        match action:
            case CreateGroup():
                group = await self._new_group(answer, action.name)
                return Done(group=group, refused=responses.refused_members(answer))
            case AddMembers():
                return Done(refused=responses.refused_members(answer))
            case _:
                return Done()

    async def _done(self, action: Action, request: Request) -> Entry:
        try:
            return await self._channel.deliver(request, "not_done")
        except Refused as why:
            if isinstance(action, AcceptFriend) and why.ret == Ret.TICKET_ERROR:
                raise self._old_request() from None
            raise

    def _request(self, action: Action, key: SendKey) -> Request:
        channel = self._channel
        site, session = channel.site, channel.of_login(self._login_id)
        match action:
            case Recall():
                return action_requests.recall(site, session, action, key)
            case MarkRead():
                return action_requests.mark_read(site, session, action, key)
            case SetRemark():
                return action_requests.set_remark(site, session, action)
            case AcceptFriend():
                self._must_be_answerable(action)
                return action_requests.accept_friend(site, session, action, channel.timing.now)
            case _:
                return self._request_of_group(action)

    def _request_of_group(self, action: GroupAction) -> Request:
        channel = self._channel
        site, session = channel.site, channel.of_login(self._login_id)
        match action:
            case CreateGroup():
                self._must_be_a_group(action)
                return action_requests.create_group(site, session, action, channel.timing.now)
            case AddMembers():
                invite = self._roster.size(action.group) >= INVITED_FROM
                return action_requests.add_members(site, session, action, invite=invite)
            case RemoveMembers():
                return action_requests.remove_members(site, session, action)
            case RenameGroup():
                return action_requests.rename_group(site, session, action)

    def _must_be_answerable(self, action: AcceptFriend) -> None:
        if not action.request.get("username") or not action.request.get("ticket"):
            raise self._old_request()

    def _old_request(self) -> Rejected:
        return Rejected(self._channel.words("old_request"), code="unknown_id")

    def _must_be_a_group(self, action: CreateGroup) -> None:
        if len(action.members) < 2:
            raise Rejected(self._channel.words("few_members"), code="bad_command")

    async def _new_group(self, answer: Entry, name: str) -> Contact:
        """The group with its members, as far as WeChat tells them at once."""
        handle = text(answer, "ChatRoomName")
        if not handle:
            raise Rejected(self._channel.words("no_group"))
        found = await self._people.look_up([handle])
        bare = Contact(handle=Handle(handle), kind=ChatKind.GROUP, nickname=text(answer, "Topic") or name)
        return next((one for one in found if one.handle == handle), bare)
