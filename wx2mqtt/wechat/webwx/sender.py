"""Sending: a draft becomes one message, or an error that says whether it may be there (webwx 2.12).

One attempt; nothing is tried again in here.
"""

from __future__ import annotations

from dataclasses import replace

from wx2mqtt.errors import Rejected
from wx2mqtt.model import Draft, Handle, Kind, Receipt, SendKey
from wx2mqtt.wechat.attachments import require_attachment
from wx2mqtt.wechat.http import BadAnswer
from wx2mqtt.wechat.json_reader import JsonObject, read_text
from wx2mqtt.wechat.webwx.client import ApiClient, RetError
from wx2mqtt.wechat.webwx.contact_list import ContactList
from wx2mqtt.wechat.webwx.groups import GroupMembers
from wx2mqtt.wechat.webwx.protocol import media_requests
from wx2mqtt.wechat.webwx.protocol.codes import Ret
from wx2mqtt.wechat.webwx.protocol.contacts import is_group
from wx2mqtt.wechat.webwx.protocol.endpoints import CAPABILITIES
from wx2mqtt.wechat.webwx.upload import Uploader


class Sender:
    """What one login sends."""

    def __init__(self, client: ApiClient, group_members: GroupMembers, contact_list: ContactList) -> None:
        self._client = client
        self._login_id = client.session.login_id
        self._group_members = group_members
        self._contact_list = contact_list
        self._uploader = Uploader(client)

    async def prepare(self, draft: Draft) -> None:
        """As `Backend.prepare`."""
        if draft.attachment is not None:
            require_attachment(draft, CAPABILITIES, self._client)
            await self._uploader.prepare(draft)

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        """As `Backend.send`."""
        if draft.kind is Kind.TEXT:
            return await self._send_text(draft, key)
        require_attachment(draft, CAPABILITIES, self._client)
        return await self._send_media(draft, key)

    async def _send_text(self, draft: Draft, key: SendKey) -> Receipt:
        if draft.mention:
            draft = await self._with_mentions(draft)
        client = self._client
        try:
            request = media_requests.send_text_request(
                client.site, client.require_login(self._login_id), draft, key
            )
        except UnicodeEncodeError:
            raise self._rejected("bad_command", "bad_characters") from None
        return _receipt(await client.call_or_reject(request, "not_taken"))

    async def _with_mentions(self, draft: Draft) -> Draft:
        """The text with the names of those whom it mentions, as their group shows them."""
        if not is_group(draft.chat):
            raise self._rejected("bad_command", "no_mention")
        members = tuple(dict.fromkeys(draft.mention))
        names = await self._member_names(draft.chat, members)
        if not all(names):
            raise self._rejected("bad_command", "no_member")
        spoken = media_requests.mentioned_text(names, draft.text)
        if len(spoken.encode("utf-8", "replace")) > CAPABILITIES.text_limit:
            raise self._rejected("too_long", "text_too_long", limit=CAPABILITIES.text_limit)
        return replace(draft, text=spoken, mention=members)

    async def _member_names(self, group: Handle, members: tuple[Handle, ...]) -> list[str]:
        """What the group calls them; empty for somebody who is not in it."""
        names = [self._group_members.member_name(group, member) or "" for member in members]
        if all(names):
            return names
        # Our list may be old (webwx 3.5.4).
        now = {one.handle: one.shown_name for one in await self._contact_list.list_members(group)}
        return [now.get(member, "") for member in members]

    async def _send_media(self, draft: Draft, key: SendKey) -> Receipt:
        uploaded = await self._uploader.ensure_uploaded(draft)
        client = self._client
        session = client.require_login(self._login_id)
        request = media_requests.send_media_request(client.site, session, draft, key, uploaded)
        try:
            return _receipt(await client.call_or_reject(request, "not_taken"))
        except RetError as why:
            if why.ret == Ret.NOT_A_FRIEND:
                raise  # which says nothing of the file
            self._uploader.invalidate(draft)
            if not uploaded.reused:
                raise
            # Nothing was delivered, and the fault may be the old upload's: the next attempt makes a new one.
            raise BadAnswer(client.text("media_forgotten", why=why)) from None

    def _rejected(self, code: str, message_key: str, /, **facts: object) -> Rejected:
        return Rejected(self._client.text(message_key, **facts), code=code)


def _receipt(answer: JsonObject) -> Receipt:
    """A message id, which WeChat may leave out."""
    return Receipt(message_id=read_text(answer, "MsgID"))
