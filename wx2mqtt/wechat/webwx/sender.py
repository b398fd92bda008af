"""Sends drafts, and performs actions: recalls, remarks, friends, groups (webwx 2.12, 2.15-2.19).

Each is tried once, and never repeated here: an error says whether it may have been done.
"""

from __future__ import annotations

from dataclasses import replace

from wx2mqtt.errors import Rejected
from wx2mqtt.model import (
    AcceptFriend,
    Action,
    ActionResult,
    AddMembers,
    ChatKind,
    Contact,
    CreateGroup,
    Draft,
    Handle,
    Kind,
    MarkRead,
    Recall,
    Receipt,
    RemoveMembers,
    RenameGroup,
    SendKey,
    SetRemark,
)
from wx2mqtt.wechat.attachments import require_attachment
from wx2mqtt.wechat.http_client import BadAnswer
from wx2mqtt.wechat.json_reader import JsonObject, read_text
from wx2mqtt.wechat.webwx.client import ApiClient, RetError
from wx2mqtt.wechat.webwx.contact_list import ContactList
from wx2mqtt.wechat.webwx.protocol import media_requests, requests, responses
from wx2mqtt.wechat.webwx.protocol.codes import INVITE_REQUIRED_MEMBERS, Ret
from wx2mqtt.wechat.webwx.protocol.contacts import is_group
from wx2mqtt.wechat.webwx.protocol.endpoints import CAPABILITIES
from wx2mqtt.wechat.webwx.protocol.group_members import GroupMembers
from wx2mqtt.wechat.webwx.protocol.requests import Request
from wx2mqtt.wechat.webwx.upload import Uploader

# A new group has at least so many members besides the owner.
MIN_OTHER_MEMBERS = 2


class Sender:
    """Sends for one login."""

    def __init__(self, client: ApiClient, group_members: GroupMembers, contact_list: ContactList) -> None:
        self._client = client
        self._login_id = client.session.login_id
        self._group_members = group_members
        self._contact_list = contact_list
        self._uploader = Uploader(client)

    async def prepare(self, draft: Draft) -> None:
        """Uploads the attachment of a draft."""
        if draft.attachment is not None:
            require_attachment(draft, CAPABILITIES, self._client.text)
            await self._uploader.prepare(draft)

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        if draft.kind is Kind.TEXT:
            return await self._send_text(draft, key)
        require_attachment(draft, CAPABILITIES, self._client.text)
        return await self._send_media(draft, key)

    async def _send_text(self, draft: Draft, key: SendKey) -> Receipt:
        if draft.mention:
            draft = await self._with_mentions(draft)
        client = self._client
        try:
            request = media_requests.send_text_request(client.require_login(self._login_id), draft, key)
        except UnicodeEncodeError:
            raise self._rejected("bad_command", "bad_characters") from None
        answer = await client.call_or_reject(request, "not_taken")
        return Receipt(message_id=read_text(answer, "MsgID"))  # which WeChat may leave out

    async def _with_mentions(self, draft: Draft) -> Draft:
        """Returns the draft with the names of the mentioned members in front of its text."""
        if not is_group(draft.chat):
            raise self._rejected("bad_command", "no_mention")
        members = tuple(dict.fromkeys(draft.mention))
        names = [self._group_members.member_name(draft.chat, member) or "" for member in members]
        if not all(names):  # the stored list may be old (webwx 3.5.4)
            current_members = await self._contact_list.list_members(draft.chat)
            current_names = {member.handle: member.shown_name for member in current_members}
            names = [current_names.get(member, "") for member in members]
        if not all(names):
            raise self._rejected("bad_command", "no_member")
        mentions = "".join([f"@{name}{media_requests.MENTION_END}" for name in names])
        text = mentions + draft.text
        if len(text.encode("utf-8", "replace")) > CAPABILITIES.text_limit:
            raise self._rejected("too_long", "text_too_long", limit=CAPABILITIES.text_limit)
        return replace(draft, text=text, mention=members)

    async def _send_media(self, draft: Draft, key: SendKey) -> Receipt:
        uploaded = await self._uploader.ensure_uploaded(draft)
        client = self._client
        session = client.require_login(self._login_id)
        request = media_requests.send_media_request(session, draft, key, uploaded)
        try:
            answer = await client.call_or_reject(request, "not_taken")
        except RetError as error:
            if error.ret == Ret.NOT_A_FRIEND:
                raise  # The upload is not at fault.
            self._uploader.invalidate(draft)
            if not uploaded.reused:
                raise
            # Nothing was delivered, and the old upload may be invalid. The next attempt uploads the file
            # again.
            raise BadAnswer(client.text("media_forgotten", why=error)) from None
        return Receipt(message_id=read_text(answer, "MsgID"))

    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        self._check_action(action)
        try:
            request = self._build_request(action, key)
        except UnicodeEncodeError:
            raise self._rejected("bad_command", "bad_characters") from None
        try:
            answer = await self._client.call_or_reject(request, "not_done")
        except RetError as error:
            if isinstance(action, AcceptFriend) and error.ret == Ret.TICKET_ERROR:
                raise self._rejected("unknown_id", "old_request") from None
            raise
        match action:
            case CreateGroup():
                group = await self._new_group(answer, action.name)
                return ActionResult(group=group, refused_members=responses.read_refused_members(answer))
            case AddMembers():
                return ActionResult(refused_members=responses.read_refused_members(answer))
            case _:
                return ActionResult()

    def _check_action(self, action: Action) -> None:
        """Raises `Rejected` for what WeChat is known to refuse."""
        if isinstance(action, AcceptFriend):
            if not action.request.get("username") or not action.request.get("ticket"):
                raise self._rejected("unknown_id", "old_request")
        elif isinstance(action, CreateGroup) and len(action.members) < MIN_OTHER_MEMBERS:
            raise self._rejected("bad_command", "few_members")

    def _build_request(self, action: Action, key: SendKey) -> Request:
        client = self._client
        session = client.require_login(self._login_id)
        match action:
            case Recall() | MarkRead() | SetRemark():
                return requests.chat_request(session, action, key)
            case AcceptFriend():
                return requests.accept_friend_request(session, action, client.clock.now)
            case CreateGroup():
                return requests.create_group_request(session, action, client.clock.now)
            case AddMembers() | RemoveMembers() | RenameGroup():
                invite = self._group_members.member_count(action.group) >= INVITE_REQUIRED_MEMBERS
                return requests.change_group_request(session, action, invite=invite)

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

    def _rejected(self, code: str, message_key: str, /, **facts: object) -> Rejected:
        return Rejected(self._client.text(message_key, **facts), code=code)
