"""Sends drafts; an error says whether the message may have been delivered (ilink 6, 10).

1. An attachment is uploaded, by `prepare` or by `send`.
2. The message is sent with the person's newest context token.
3. When WeChat refuses it, `meaning_of_refusal` says whether to try once more without a token, or the error.
4. The state of the chat (`ChatWindow`) records that the message was accepted, or why it was not.

The person may write during a call. So a refusal is judged by the state of the chat `before` the first call,
and what is recorded changes its state after the call (`_change_chat`).

Meanwhile the phone shows "typing" (`typing_indicator.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from wx2mqtt.errors import BackendError, LoggedOut, Rejected, Throttled, WindowClosed
from wx2mqtt.model import Draft, Handle, Kind, Receipt, SendKey
from wx2mqtt.values import frozen
from wx2mqtt.wechat.http_client import BadAnswer
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.protocol import requests, responses
from wx2mqtt.wechat.ilink.protocol.endpoints import CAPABILITIES, SEND
from wx2mqtt.wechat.ilink.protocol.message_ids import read_id
from wx2mqtt.wechat.ilink.protocol.reply_window import (
    QUOTA_USED,
    TOO_LONG_AGO,
    ChatWindow,
    RefusalMeaning,
    meaning_of_refusal,
)
from wx2mqtt.wechat.ilink.protocol.requests import JsonBody
from wx2mqtt.wechat.ilink.typing_indicator import TypingIndicator
from wx2mqtt.wechat.ilink.upload import Uploader
from wx2mqtt.wechat.json_reader import JsonObject
from wx2mqtt.wechat.outgoing_files import require_attachment

log = structlog.get_logger(__name__)


class Sender:
    """Sends for one login, the current one at the time of its creation.

    After its end it goes on sending: WeChat may still accept that. As soon as another login is the current
    one, each method raises `LoggedOut`.
    """

    def __init__(self, client: ApiClient, typing_indicator: TypingIndicator) -> None:
        self._client = client
        self._logins = client.logins
        self._bot_id = client.logins.bot.id
        self._typing_indicator = typing_indicator
        self._uploader = Uploader(client)

    async def prepare(self, draft: Draft) -> None:
        self._require_own_login()
        await self._client.notify_start_after_refusal()
        if draft.attachment is not None:
            require_attachment(draft, CAPABILITIES, self._client.text)
            await self._uploader.ensure_uploaded(draft)

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        self._require_own_login()
        await self._client.notify_start_after_refusal()
        if draft.kind is Kind.TEXT:
            return await self._send_text(draft, key)
        return await self._send_file(draft, key)

    async def _send_text(self, draft: Draft, key: SendKey) -> Receipt:
        if not draft.text:
            raise Rejected(self._client.text("empty_text"), code="empty")
        size = len(draft.text.encode("utf-8", "replace"))
        if size > CAPABILITIES.text_limit:
            message = self._client.text("text_too_long", size=size, limit=CAPABILITIES.text_limit)
            raise Rejected(message, code="too_long")
        async with self._typing_indicator.typing(draft.chat):
            return await self._send_item(_Outgoing(draft.chat, requests.text_item(draft.text), key))

    async def _send_file(self, draft: Draft, key: SendKey) -> Receipt:
        require_attachment(draft, CAPABILITIES, self._client.text)
        async with self._typing_indicator.typing(draft.chat):
            item = await self._uploader.ensure_uploaded(draft)
            try:
                return await self._send_item(_Outgoing(draft.chat, item, key, has_file=True))
            except Rejected:
                self._uploader.invalidate(draft)  # the cause may be that WeChat has removed the upload
                raise

    async def _send_item(self, message: _Outgoing) -> Receipt:
        """Sends a message with the newest token, and again without it where WeChat may refuse the token."""
        before = self._logins.chat(message.user)
        outcome = await self._try(message, before, before.context_token)
        if isinstance(outcome, _Refusal) and outcome.meaning is RefusalMeaning.AGAIN:
            outcome = await self._try(message, before, "")
            if isinstance(outcome, Receipt):
                self._change_chat(message.user, lambda chat: replace(chat, context_token=""))
        if isinstance(outcome, Receipt):
            return outcome
        self._record_refusal(message.user, before, outcome)
        raise self._error_for(message.user, outcome)

    async def _try(self, message: _Outgoing, before: ChatWindow, context_token: str) -> Receipt | _Refusal:
        """Sends a message once, and records it where WeChat accepts it."""
        # At the earliest WeChat takes it now, and after the message of the person that is known. What the
        # person writes during the call is later: it opens a window that does not count this reply.
        sent_at = max(self._client.server_clock.earliest_now(), before.last_wrote + 1)
        answer = await self._post(message, context_token)
        ret = responses.error_code(answer)
        if not ret:
            self._change_chat(message.user, lambda chat: chat.with_sent(sent_at))
            return Receipt(message_id=read_id(answer, "message_id"))
        errmsg = responses.error_text(answer)
        now = self._client.server_clock.now()
        meaning = meaning_of_refusal(
            ret, errmsg, before, now, with_token=bool(context_token), has_file=message.has_file
        )
        log.info("message refused", ret=ret, errmsg=errmsg, means=str(meaning))
        return _Refusal(meaning, ret, errmsg)

    async def _post(self, message: _Outgoing, context_token: str) -> JsonObject:
        self._require_own_login()  # somebody may have scanned meanwhile
        body = requests.message_body(message.user, message.item, message.key, context_token)
        try:
            return await self._client.call_unchecked(SEND, body)
        except UnicodeEncodeError:
            raise Rejected(self._client.text("bad_characters"), code="bad_command") from None

    def _require_own_login(self) -> None:
        if not self._logins.is_current(self._bot_id):
            raise LoggedOut(self._client.text("no_login"))

    def _change_chat(self, user: Handle, change: Callable[[ChatWindow], ChatWindow]) -> None:
        """Changes the state of the chat as it is now, unless the login has ended before the answer."""
        if self._logins.is_current(self._bot_id):
            self._logins.store_chats({user: change(self._logins.chat(user))})

    def _record_refusal(self, user: Handle, before: ChatWindow, refusal: _Refusal) -> None:
        """Records what a refusal says of the login, or of the chat, which was `before` at the send."""
        match refusal.meaning:
            case RefusalMeaning.LOGGED_OUT:
                self._client.observe_ret(refusal.ret, SEND)
            case RefusalMeaning.WINDOW | RefusalMeaning.QUOTA:
                chat = self._logins.chat(user)
                if chat.last_wrote == before.last_wrote:  # else the person has opened a new window
                    reason = TOO_LONG_AGO if refusal.meaning is RefusalMeaning.WINDOW else QUOTA_USED
                    self._logins.store_chats({user: chat.with_refusal(reason)})
            case RefusalMeaning.OFTEN:
                chat = self._logins.chat(user).with_throttling(self._client.server_clock.now())
                self._logins.store_chats({user: chat})

    def _error_for(self, user: Handle, refusal: _Refusal) -> BackendError:
        """Returns the exception for a recorded refusal."""
        client = self._client
        meaning = refusal.meaning
        match meaning:
            case RefusalMeaning.LOGGED_OUT:
                return client.error_for(refusal.ret, SEND)
            case RefusalMeaning.WINDOW | RefusalMeaning.QUOTA:
                return WindowClosed(client.text(meaning), code=str(meaning))
            case RefusalMeaning.OFTEN:
                wait_ms = self._logins.chat(user).throttled_until - client.server_clock.now()
                pause = max(0.0, wait_ms / 1000)
                return Throttled(client.text("rate_limited"), retry_after=pause)
            case RefusalMeaning.LATER:
                return BadAnswer(client.text("failed", ret=refusal.ret, call=SEND.name))
            case RefusalMeaning.REJECTED | RefusalMeaning.AGAIN:  # the second try has no token to leave out
                message = client.text("not_taken", ret=refusal.ret)
                return Rejected(f"{message}: {refusal.errmsg}" if refusal.errmsg else message)


@frozen(kw_only=False)
class _Outgoing:
    """A message of one item to one person."""

    user: Handle
    item: JsonBody
    key: SendKey
    has_file: bool = False


@frozen(kw_only=False)
class _Refusal:
    """WeChat's answer to a message that it did not deliver."""

    meaning: RefusalMeaning
    ret: int
    #: WeChat's own words; may be empty.
    errmsg: str
