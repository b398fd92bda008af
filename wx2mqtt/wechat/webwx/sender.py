"""Sends drafts: texts, with the names of mentioned members, and files (webwx 2.12).

Each is tried once, and never repeated here: an error says whether it may have been delivered. All other
changes at WeChat are in `actions.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wx2mqtt.errors import Rejected
from wx2mqtt.model import Draft, Handle, Kind, Receipt, SendKey
from wx2mqtt.wechat.http_client import BadAnswer
from wx2mqtt.wechat.json_reader import read_text
from wx2mqtt.wechat.outgoing_files import require_attachment
from wx2mqtt.wechat.webwx.client import ApiClient, RetError
from wx2mqtt.wechat.webwx.contact_list import ContactList
from wx2mqtt.wechat.webwx.protocol import media_requests
from wx2mqtt.wechat.webwx.protocol.codes import Ret
from wx2mqtt.wechat.webwx.protocol.contacts import is_group
from wx2mqtt.wechat.webwx.protocol.endpoints import CAPABILITIES
from wx2mqtt.wechat.webwx.protocol.group_members import GroupMembers
from wx2mqtt.wechat.webwx.upload import Uploader


class Sender:
    """Sends for one login."""

    def __init__(self, client: ApiClient, group_members: GroupMembers, contact_list: ContactList) -> None:
        self._client = client
        self._login_id = client.session.login_id
        self._group_members = group_members
        self._contact_list = contact_list
        self._uploader = Uploader(client)

    async def prepare(self, draft: Draft) -> None:
        if draft.attachment is not None:
            require_attachment(draft, CAPABILITIES, self._client.text)
            await self._uploader.prepare(draft)

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        """Sends a draft (`Backend.send`). WeChat may leave out the message id."""
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
        return Receipt(message_id=read_text(answer, "MsgID"))

    async def _with_mentions(self, draft: Draft) -> Draft:
        """Returns the draft with the names of the mentioned members in front of its text."""
        if not is_group(draft.chat):
            raise self._rejected("bad_command", "no_mention")
        members = tuple(dict.fromkeys(draft.mention))
        names = await self._member_names(draft.chat, members)
        mentions = "".join([f"@{name}{media_requests.MENTION_END}" for name in names])
        text = mentions + draft.text
        if len(text.encode("utf-8", "replace")) > CAPABILITIES.text_limit:
            raise self._rejected("too_long", "text_too_long", limit=CAPABILITIES.text_limit)
        return replace(draft, text=text, mention=members)

    async def _member_names(self, group: Handle, members: Sequence[Handle]) -> list[str]:
        """Returns the names that the group shows for its members.

        The stored list may be old (webwx 3.5.4): if it lacks one of them, all names come from a new list.
        """
        stored_names = [self._group_members.member_name(group, member) or "" for member in members]
        if all(stored_names):
            return stored_names
        current_members = await self._contact_list.list_members(group)
        shown_names = {member.handle: member.shown_name for member in current_members}
        current_names = [shown_names.get(member, "") for member in members]
        if not all(current_names):
            raise self._rejected("bad_command", "no_member")
        return current_names

    async def _send_media(self, draft: Draft, key: SendKey) -> Receipt:
        """Sends a file. When WeChat refuses it, nothing was delivered:

        - The recipient is no friend: the draft is rejected, and the upload stays valid.
        - An earlier draft has used the upload, which may be at fault: the next attempt uploads it again.
        - Else the file itself is at fault: the draft is rejected, and the next draft uploads it again.
        """
        client = self._client
        uploaded = await self._uploader.ensure_uploaded(draft)
        session = client.require_login(self._login_id)
        request = media_requests.send_media_request(session, draft, key, uploaded)
        try:
            answer = await client.call_or_reject(request, "not_taken")
        except RetError as error:
            if error.ret == Ret.NOT_A_FRIEND:
                raise
            self._uploader.invalidate(draft)
            if uploaded.reused:
                raise BadAnswer(client.text("media_forgotten", why=error)) from None
            raise
        return Receipt(message_id=read_text(answer, "MsgID"))

    def _rejected(self, code: str, message_key: str, /, **facts: object) -> Rejected:
        return Rejected(self._client.text(message_key, **facts), code=code)
