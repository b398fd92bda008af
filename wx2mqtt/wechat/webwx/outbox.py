"""Sending: a draft becomes one message at WeChat, or an error that says whether it may be there (webwx 2.12).

One attempt; nothing is tried again in here.
"""

from __future__ import annotations

from dataclasses import replace

from wx2mqtt.errors import Rejected
from wx2mqtt.model import Attachment, Draft, Handle, Kind, Receipt, SendKey
from wx2mqtt.wechat.fields import Entry, text
from wx2mqtt.wechat.http import BadAnswer
from wx2mqtt.wechat.webwx import send_requests
from wx2mqtt.wechat.webwx.addressbook import AddressBook
from wx2mqtt.wechat.webwx.capabilities import CAPABILITIES
from wx2mqtt.wechat.webwx.channel import Channel, Refused
from wx2mqtt.wechat.webwx.codes import Ret
from wx2mqtt.wechat.webwx.contacts import is_group
from wx2mqtt.wechat.webwx.roster import Roster
from wx2mqtt.wechat.webwx.uploading import Uploader


class Outbox:
    """What one login sends."""

    def __init__(self, channel: Channel, roster: Roster, people: AddressBook) -> None:
        self._channel = channel
        self._login_id = channel.session.login_id
        self._roster = roster
        self._people = people
        self._uploader = Uploader(channel)

    async def prepare(self, draft: Draft) -> None:
        """As `Gateway.prepare`."""
        if draft.attachment is not None:
            self._must_be_possible(draft)
            await self._uploader.prepare(draft)

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        """As `Gateway.send`."""
        if draft.kind is Kind.TEXT:
            return await self._send_text(draft, key)
        self._must_be_possible(draft)
        return await self._send_media(draft, key)

    def _must_be_possible(self, draft: Draft) -> None:
        if draft.kind not in CAPABILITIES.media or draft.attachment is None:
            raise self._rejected("unsupported", "kind_unsupported", kind=draft.kind)
        self._must_be_taken(draft.kind, draft.attachment)

    async def _send_text(self, draft: Draft, key: SendKey) -> Receipt:
        if draft.mention:
            draft = await self._with_names(draft)
        channel = self._channel
        try:
            request = send_requests.send_text(channel.site, channel.of_login(self._login_id), draft, key)
        except UnicodeEncodeError:
            raise self._rejected("bad_command", "bad_characters") from None
        return _receipt(await channel.deliver(request, "not_taken"))

    async def _with_names(self, draft: Draft) -> Draft:
        """The text with the names of those whom it mentions, as their group shows them."""
        if not is_group(draft.chat):
            raise self._rejected("bad_command", "no_mention")
        members = tuple(dict.fromkeys(draft.mention))
        names = await self._names(draft.chat, members)
        if not all(names):
            raise self._rejected("bad_command", "no_member")
        spoken = send_requests.spoken_to(names, draft.text)
        if len(spoken.encode("utf-8", "replace")) > CAPABILITIES.text_limit:
            raise self._rejected("too_long", "text_too_long", limit=CAPABILITIES.text_limit)
        return replace(draft, text=spoken, mention=members)

    async def _names(self, group: Handle, members: tuple[Handle, ...]) -> list[str]:
        """What the group calls them; empty for somebody who is not in it."""
        names = [self._roster.name(group, member) or "" for member in members]
        if all(names):
            return names
        # Our list may be old (webwx 3.5).
        now = {one.handle: one.shown for one in await self._people.members(group)}
        return [now.get(member, "") for member in members]

    async def _send_media(self, draft: Draft, key: SendKey) -> Receipt:
        uploaded = await self._uploader.uploaded(draft)
        channel = self._channel
        session = channel.of_login(self._login_id)
        request = send_requests.send_media(channel.site, session, draft, key, uploaded)
        try:
            return _receipt(await channel.deliver(request, "not_taken"))
        except Refused as why:
            if why.ret == Ret.NOT_A_FRIEND:
                raise  # which says nothing of the file
            self._uploader.forget(draft)
            if not uploaded.reused:
                raise
            # Nothing was delivered, and the fault may be the old upload's: the next attempt makes a new one.
            raise BadAnswer(channel.words("media_forgotten", why=why)) from None

    def _must_be_taken(self, kind: Kind, attachment: Attachment) -> None:
        """What is known to be refused is not uploaded (webwx 6.1)."""
        takes, blob = CAPABILITIES.media[kind], attachment.blob
        if not blob.size:
            raise self._rejected("empty", "empty_file")
        if blob.size > takes.largest:
            facts = {"size": blob.size, "limit": takes.largest, "kind": kind}
            raise self._rejected("too_large", "file_too_large", **facts)
        if takes.mimes and blob.mime not in takes.mimes:
            raise self._rejected("unsupported", "file_unsupported", mime=blob.mime, kind=kind)

    def _rejected(self, code: str, word: str, /, **facts: object) -> Rejected:
        return Rejected(self._channel.words(word, **facts), code=code)


def _receipt(answer: Entry) -> Receipt:
    """A message id, which WeChat may leave out."""
    return Receipt(message_id=text(answer, "MsgID"))
