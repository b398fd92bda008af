"""Sends drafts; an error says whether the message may have been delivered (wecom 5).

    text       markdown that is shown as it was written (`protocol/markdown.py`)
    markdown   as it is
    file       uploaded before, by `prepare` or by `send` (`upload.py`), then sent by its `media_id`
    question   a card with buttons; a text that is too long for a card goes before it

Every message is sent unasked (`aibot_send_msg`); WeCom answers without a message id, so a `Receipt` has none.
"""

from __future__ import annotations

from collections import OrderedDict

import structlog

from wx2mqtt.errors import Rejected, Unreachable
from wx2mqtt.model import ButtonPress, Draft, Kind, Receipt
from wx2mqtt.wechat.outgoing_files import require_attachment
from wx2mqtt.wechat.wecom.client import WeComClient
from wx2mqtt.wechat.wecom.protocol import cards, requests
from wx2mqtt.wechat.wecom.protocol.endpoints import CAPABILITIES
from wx2mqtt.wechat.wecom.protocol.frames import FrameCommand
from wx2mqtt.wechat.wecom.protocol.markdown import MAX_TEXT_BYTES, escaped
from wx2mqtt.wechat.wecom.protocol.requests import JsonBody
from wx2mqtt.wechat.wecom.upload import UploadedMedia, Uploader

log = structlog.get_logger(__name__)

# So many questions are remembered whose text was sent and whose card was not.
SENT_TEXT_CACHE_SIZE = 200


class Sender:
    """Sends for one bot, over whatever connection is in use."""

    def __init__(self, client: WeComClient, bot_id: str) -> None:
        self._client = client
        self.bot_id = bot_id
        self._uploader = Uploader(client)
        #: The ids of the cards that are not sent yet and whose text is, the oldest first.
        self._sent_texts: OrderedDict[str, None] = OrderedDict()

    async def prepare(self, draft: Draft) -> None:
        """Uploads the attachment of a draft. Raises as `Uploader.ensure_uploaded`."""
        if draft.attachment is not None:
            require_attachment(draft, CAPABILITIES, self._client.text)
            await self._uploader.ensure_uploaded(draft)

    async def send(self, draft: Draft) -> Receipt:
        """Sends a draft once. Raises any `BackendError`; only `OutcomeUnknown` may have delivered it."""
        if draft.kind is not Kind.TEXT:
            await self._send_file(draft)
        elif draft.buttons:
            await self._send_question(draft)
        else:
            await self._send_text(draft)
        return Receipt(message_id=None)

    async def _send_text(self, draft: Draft) -> None:
        markdown = draft.text if draft.markdown else escaped(draft.text)
        size = len(markdown.encode("utf-8", "replace"))
        if not markdown.strip():
            raise Rejected(self._client.text("empty_text"), code="empty")
        if size > MAX_TEXT_BYTES:
            message = self._client.text("text_too_long", size=size, limit=MAX_TEXT_BYTES)
            raise Rejected(message, code="too_long")
        await self._send_message(draft, requests.text_message(draft.chat, markdown))

    async def _send_question(self, draft: Draft) -> None:
        """Sends a card; before it the text where it is too long for a card.

        A text that was sent stays sent: when the card is tried again, it goes alone.
        """
        texts = None if draft.markdown else cards.card_texts(draft.text)
        if texts is None:
            if draft.card_id not in self._sent_texts:
                await self._send_text(draft)
                self._remember_text(draft.card_id)
            texts = cards.CardTexts(title=cards.short_title(draft.text))
        card = cards.card(texts, draft.buttons, draft.card_id)
        await self._send_message(draft, requests.card_message(draft.chat, card))
        self._sent_texts.pop(draft.card_id, None)

    def _remember_text(self, card_id: str) -> None:
        self._sent_texts[card_id] = None
        if len(self._sent_texts) > SENT_TEXT_CACHE_SIZE:
            self._sent_texts.popitem(last=False)

    async def _send_file(self, draft: Draft) -> None:
        """Sends a file; a picture or a video that WeCom refuses as such goes as a file."""
        require_attachment(draft, CAPABILITIES, self._client.text)
        uploaded = await self._uploader.ensure_uploaded(draft)
        try:
            await self._send_uploaded(draft, uploaded)
        except Rejected as why:
            self._uploader.invalidate(draft)  # the cause may be that WeCom has removed the upload
            is_about_file = why.code == "refused_by_wechat" and uploaded.kind is not Kind.FILE
            if not is_about_file:
                raise
            log.info("refused as this kind, sent as a file", kind=str(uploaded.kind), reason=str(why))
            uploaded = await self._uploader.upload_as_file(draft)
            await self._send_uploaded(draft, uploaded)

    async def _send_uploaded(self, draft: Draft, uploaded: UploadedMedia) -> None:
        assert draft.attachment is not None
        name = draft.attachment.name
        await self._send_message(
            draft, requests.file_message(draft.chat, uploaded.kind, uploaded.media_id, name)
        )

    async def _send_message(self, draft: Draft, body: JsonBody) -> None:
        try:
            await self._client.send(draft.chat, body)
        except UnicodeEncodeError:
            raise Rejected(self._client.text("bad_characters"), code="bad_command") from None

    async def update_card(self, press: ButtonPress, text: str, chosen: str) -> None:
        """Shows the answer on the card of a press, over the connection that brought the press (wecom 5.6).

        `text` is that of the question; `chosen` is empty where the press came too late. Raises any
        `BackendError`, `Unreachable` where that connection has ended.
        """
        connection = self._client.connection
        if press.private.get("connection") != connection.id:
            raise Unreachable(self._client.text("too_late"))
        texts = cards.card_texts(text) or cards.CardTexts(title=cards.short_title(text))
        choice = f"✓ {chosen}" if chosen else self._client.text("answered_too_late")
        card = cards.answered_card(texts, choice, press.card_id)
        answer = await connection.respond(
            press.private.get("request_id", ""), FrameCommand.UPDATE_CARD, requests.card_update(card)
        )
        if answer.errcode:
            raise self._client.error_for(answer, FrameCommand.UPDATE_CARD)
