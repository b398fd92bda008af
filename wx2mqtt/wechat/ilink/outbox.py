"""Sending: a draft becomes one message, or an error that says whether it may be there (ilink 6, 10)."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from wx2mqtt.errors import GatewayError, Rejected, Throttled, WindowClosed
from wx2mqtt.model import Attachment, Draft, Handle, Kind, Receipt, SendKey
from wx2mqtt.wechat.http import BadAnswer
from wx2mqtt.wechat.ilink import requests, responses
from wx2mqtt.wechat.ilink.capabilities import CAPABILITIES
from wx2mqtt.wechat.ilink.channel import Channel
from wx2mqtt.wechat.ilink.endpoints import SEND
from wx2mqtt.wechat.ilink.indicator import Indicator
from wx2mqtt.wechat.ilink.refusals import Meaning, meaning
from wx2mqtt.wechat.ilink.requests import Body
from wx2mqtt.wechat.ilink.uploading import Uploader
from wx2mqtt.wechat.ilink.window import QUOTA_USED, TOO_LONG_AGO, Chat

log = structlog.get_logger(__name__)


class Outbox:
    """What one login sends."""

    def __init__(self, channel: Channel, indicator: Indicator) -> None:
        self._channel = channel
        self._indicator = indicator
        self._uploader = Uploader(channel)

    async def prepare(self, draft: Draft) -> None:
        """As `Gateway.prepare`."""
        if draft.attachment is not None:
            self._must_be_possible(draft)
            await self._uploader.uploaded(draft)

    def _must_be_possible(self, draft: Draft) -> None:
        if draft.kind not in CAPABILITIES.media or draft.attachment is None:
            raise self._rejected("unsupported", "kind_unsupported", kind=draft.kind)
        self._must_be_taken(draft.kind, draft.attachment)

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        """As `Gateway.send`."""
        if draft.kind is Kind.TEXT:
            item = self._text(draft)
            async with self._indicator.shown(draft.chat):
                return await self._sent(draft.chat, item, key)
        self._must_be_possible(draft)
        async with self._indicator.shown(draft.chat):
            item = await self._uploader.uploaded(draft)
            try:
                return await self._sent(draft.chat, item, key, has_file=True)
            except Rejected:
                self._uploader.forget(draft)  # perhaps it is the upload that is not known any more
                raise

    def _text(self, draft: Draft) -> Body:
        size = len(draft.text.encode("utf-8", "replace"))
        if not draft.text:
            raise self._rejected("empty", "empty_text")
        if size > CAPABILITIES.text_limit:
            raise self._rejected("too_long", "text_too_long", size=size, limit=CAPABILITIES.text_limit)
        return requests.text_item(draft.text)

    def _must_be_taken(self, kind: Kind, attachment: Attachment) -> None:
        """What is known to be refused is not uploaded."""
        takes, blob = CAPABILITIES.media[kind], attachment.blob
        if not blob.size:
            raise self._rejected("empty", "empty_file")
        if blob.size > takes.largest:
            facts = {"size": blob.size, "limit": takes.largest, "kind": kind}
            raise self._rejected("too_large", "file_too_large", **facts)
        if takes.mimes and blob.mime not in takes.mimes:
            raise self._rejected("unsupported", "file_unsupported", mime=blob.mime, kind=kind)

    async def _sent(self, user: Handle, item: Body, key: SendKey, *, has_file: bool = False) -> Receipt:
        """With the newest token; and once more without it, where it may be the token that is refused."""
        channel, chat = self._channel, self._channel.chat(user)
        tokens = [chat.token, ""] if chat.token else [""]
        for token in tokens:
            answer = await self._asked(requests.message(user, item, key, token))
            ret, words = responses.code_of(answer), responses.words_of(answer)
            if not ret:
                self._took(user, stale=token != chat.token)
                return Receipt(message_id=responses.message_id(answer))
            now = channel.clock.now()
            means = meaning(ret, words, chat, now, with_token=bool(token), has_file=has_file)
            log.info("message refused", ret=ret, errmsg=words, means=str(means))
            if means is not Meaning.AGAIN:
                break
        raise self._error(user, chat, means, ret, words)

    async def _asked(self, message: Body) -> dict[str, object]:
        try:
            return dict(await self._channel.ask_anyway(SEND, message))
        except UnicodeEncodeError:
            raise self._rejected("bad_command", "bad_characters") from None

    def _took(self, user: Handle, *, stale: bool) -> None:
        now = self._channel.clock.now()
        self._channel.change(user, lambda chat: (chat.without_token() if stale else chat).took(now))

    def _error(self, user: Handle, asked: Chat, means: Meaning, ret: int, words: str) -> GatewayError:
        """The error that a refusal asks for, once it is noted. `asked` is the chat as we knew it then."""
        channel = self._channel
        match means:
            case Meaning.LOGGED_OUT:
                return channel.refusal(ret, SEND)
            case Meaning.WINDOW:
                self._note(user, asked, lambda chat: chat.refused(TOO_LONG_AGO))
                return WindowClosed(channel.words("window_closed"), code="window_closed")
            case Meaning.QUOTA:
                self._note(user, asked, lambda chat: chat.refused(QUOTA_USED))
                return WindowClosed(channel.words("quota_used"), code="quota_used")
            case Meaning.OFTEN:
                now = channel.clock.now()
                channel.change(user, lambda chat: chat.slowed(now))
                pause = (channel.chat(user).pause - now) / 1000
                return Throttled(channel.words("rate_limited"), retry_after=pause)
            case Meaning.LATER:
                return BadAnswer(channel.words("failed", ret=ret, call=SEND.name))
        sentence = channel.words("not_taken", ret=ret)
        return Rejected(f"{sentence}: {words}" if words else sentence)

    def _note(self, user: Handle, asked: Chat, change: Callable[[Chat], Chat]) -> None:
        """What the server said of a chat holds unless they have written since we asked."""
        if self._channel.chat(user).wrote == asked.wrote:
            self._channel.change(user, change)

    def _rejected(self, code: str, word: str, /, **facts: object) -> Rejected:
        return Rejected(self._channel.words(word, **facts), code=code)
