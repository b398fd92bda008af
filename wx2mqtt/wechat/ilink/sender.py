"""Sends drafts; an error says whether the message may have been delivered (ilink 6, 10).

1. An attachment is uploaded, by `prepare` or by `send`.
2. The message is sent with the person's newest context token.
3. When WeChat refuses it, `meaning_of_refusal` says whether to try once more without a token, and else which
   error it is.

Meanwhile the phone shows "typing" where this is enabled (ilink 7); its failures do not affect sending.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import structlog

from wx2mqtt.aio import cancel_and_wait
from wx2mqtt.errors import BackendError, LoggedOut, Rejected, Throttled, WindowClosed
from wx2mqtt.model import Draft, Handle, Kind, Receipt, SendKey
from wx2mqtt.values import frozen
from wx2mqtt.wechat.http_client import BadAnswer
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.protocol import requests, responses
from wx2mqtt.wechat.ilink.protocol.codes import TYPING_STARTED, TYPING_STOPPED
from wx2mqtt.wechat.ilink.protocol.endpoints import CAPABILITIES, GET_CONFIG, SEND, SEND_TYPING
from wx2mqtt.wechat.ilink.protocol.message_ids import read_id
from wx2mqtt.wechat.ilink.protocol.reply_window import (
    QUOTA_USED,
    TOO_LONG_AGO,
    ChatWindow,
    RefusalMeaning,
    meaning_of_refusal,
)
from wx2mqtt.wechat.ilink.protocol.requests import JsonBody
from wx2mqtt.wechat.ilink.upload import Uploader
from wx2mqtt.wechat.outgoing_files import require_attachment

log = structlog.get_logger(__name__)


class Sender:
    """Sends for one login, the current one at the time of its creation.

    After its end it goes on sending: WeChat may still accept that. As soon as another login is the current
    one, each method raises `LoggedOut`.
    """

    def __init__(self, client: ApiClient, typing_indicator: TypingIndicator) -> None:
        self._client = client
        self._bot_id = client.bot.id
        self._typing_indicator = typing_indicator
        self._uploader = Uploader(client)

    async def prepare(self, draft: Draft) -> None:
        self._require_own_login()
        await self._client.announce_after_end()
        if draft.attachment is not None:
            require_attachment(draft, CAPABILITIES, self._client.text)
            await self._uploader.ensure_uploaded(draft)

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        self._require_own_login()
        await self._client.announce_after_end()
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
        chat = self._client.chat(message.user)
        outcome = await self._try(message, chat, chat.context_token)
        if isinstance(outcome, _Refusal) and outcome.meaning is RefusalMeaning.AGAIN:
            outcome = await self._try(message, chat, "")
        if isinstance(outcome, Receipt):
            return outcome
        raise self._error_for(message.user, chat, outcome)

    async def _try(self, message: _Outgoing, chat: ChatWindow, context_token: str) -> Receipt | _Refusal:
        """Sends a message once, and records it where WeChat accepts it. `chat` is its state before."""
        client = self._client
        sent_at = max(client.server_clock.earliest_now(), chat.last_wrote + 1)
        self._require_own_login()  # somebody may have scanned meanwhile
        body = requests.message_body(message.user, message.item, message.key, context_token)
        try:
            answer = await client.call_unchecked(SEND, body)
        except UnicodeEncodeError:
            raise Rejected(client.text("bad_characters"), code="bad_command") from None
        ret = responses.error_code(answer)
        if not ret:
            self._record_sent(message.user, sent_at, token_is_stale=context_token != chat.context_token)
            return Receipt(message_id=read_id(answer, "message_id"))
        errmsg = responses.error_text(answer)
        now = client.server_clock.now()
        meaning = meaning_of_refusal(
            ret, errmsg, chat, now, with_token=bool(context_token), has_file=message.has_file
        )
        log.info("message refused", ret=ret, errmsg=errmsg, means=str(meaning))
        return _Refusal(meaning, ret, errmsg)

    def _require_own_login(self) -> None:
        if not self._client.is_current(self._bot_id):
            raise LoggedOut(self._client.text("no_login"))

    def _record_sent(self, user: Handle, sent_at: int, *, token_is_stale: bool) -> None:
        """Counts a reply to the reply window in which it was sent.

        `sent_at` is the earliest time at which WeChat can have taken it, behind the message of the person
        that was known then. So a later message, which opens a window with a whole quota, does not count it.
        """
        if not self._client.is_current(self._bot_id):
            return  # the login has ended before the answer; the message is sent nevertheless
        chat = self._client.chat(user).with_sent(sent_at)
        if token_is_stale:  # WeChat refuses replies with it that it accepts without it
            chat = replace(chat, context_token="")
        self._client.store_chats({user: chat})

    def _error_for(self, user: Handle, chat_at_send: ChatWindow, refusal: _Refusal) -> BackendError:
        """Records a refusal in the chat and returns its exception.

        `chat_at_send` is the state of the chat before the call.
        """
        client = self._client
        meaning = refusal.meaning
        match meaning:
            case RefusalMeaning.LOGGED_OUT:
                return client.error_for(refusal.ret, SEND)
            case RefusalMeaning.WINDOW | RefusalMeaning.QUOTA:
                chat = client.chat(user)
                if chat.last_wrote == chat_at_send.last_wrote:  # else the person has opened a new window
                    reason = TOO_LONG_AGO if meaning is RefusalMeaning.WINDOW else QUOTA_USED
                    client.store_chats({user: chat.with_refusal(reason)})
                return WindowClosed(client.text(meaning), code=str(meaning))
            case RefusalMeaning.OFTEN:
                now = client.server_clock.now()
                chat = client.chat(user).with_throttling(now)
                client.store_chats({user: chat})
                pause = (chat.throttled_until - now) / 1000
                return Throttled(client.text("rate_limited"), retry_after=pause)
            case RefusalMeaning.LATER:
                return BadAnswer(client.text("failed", ret=refusal.ret, call=SEND.name))
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


# The typing indicator

# The phone shows the typing indicator for a short time only, so it is sent again.
REPEAT_AFTER_SECONDS = 5.0

# How long a ticket for the typing indicator is used.
TICKET_SECONDS = 600.0

# After a failure the typing indicator is not shown for so long.
FAILURE_PAUSE_SECONDS = 300.0

# How long a message waits for the typing indicator.
MAX_SEND_DELAY_SECONDS = 2.0


@frozen
class TypingTicket:
    """Allows one bot to show the indicator to one person."""

    bot_id: str
    value: str
    #: By the monotonic clock.
    until: float


class TypingIndicator:
    """Shows a person that a message is coming, where the configuration enables it."""

    def __init__(self, client: ApiClient, *, enabled: bool) -> None:
        self._client = client
        self._enabled = enabled
        #: The ticket that last worked for each person.
        self._tickets: dict[Handle, TypingTicket] = {}
        #: No indicator is shown before this time of the monotonic clock.
        self._not_before = float("-inf")
        #: The calls under way that hide the indicator.
        self._stop_tasks: set[asyncio.Task[bool]] = set()

    @asynccontextmanager
    async def typing(self, user: Handle) -> AsyncIterator[None]:
        """Shows the indicator to `user` inside the block. Raises nothing."""
        ticket = await self._start(user) if self._enabled else None
        if ticket is None:
            yield
            return
        repeat_task = asyncio.create_task(self._repeat(user, ticket))
        try:
            yield
        finally:
            repeat_task.cancel()
            stop_task = asyncio.create_task(self._send_status(user, ticket, TYPING_STOPPED))
            self._stop_tasks.add(stop_task)
            stop_task.add_done_callback(self._stop_tasks.discard)

    async def close(self) -> None:
        """Cancels the calls that hide the indicator."""
        await cancel_and_wait(tuple(self._stop_tasks))

    async def _start(self, user: Handle) -> TypingTicket | None:
        """Shows the indicator; returns the ticket that was used, None where this failed."""
        now = self._client.clock.monotonic()
        if now < self._not_before:
            return None
        ticket = self._tickets.pop(user, None)
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_SEND_DELAY_SECONDS):
                if ticket is None or not self._is_valid(ticket, now):
                    ticket = await self._fetch_ticket(user, now + TICKET_SECONDS)
                if ticket is not None and await self._send_status(user, ticket, TYPING_STARTED):
                    self._tickets[user] = ticket
                    return ticket
        self._not_before = now + FAILURE_PAUSE_SECONDS
        return None

    def _is_valid(self, ticket: TypingTicket, now: float) -> bool:
        return now < ticket.until and self._client.is_current(ticket.bot_id)

    async def _fetch_ticket(self, user: Handle, until: float) -> TypingTicket | None:
        client = self._client
        try:
            bot_id = client.bot.id
            context_token = client.chat(user).context_token
            fields: dict[str, object] = {"ilink_user_id": user}
            if context_token:
                fields["context_token"] = context_token
            value = responses.read_typing_ticket(await client.call_unchecked(GET_CONFIG, fields))
        except BackendError as why:
            log.debug("typing cannot be shown", reason=str(why))
            return None
        return TypingTicket(bot_id=bot_id, value=value, until=until) if value else None

    async def _repeat(self, user: Handle, ticket: TypingTicket) -> None:
        while True:
            await self._client.clock.sleep(REPEAT_AFTER_SECONDS)
            await self._send_status(user, ticket, TYPING_STARTED)

    async def _send_status(self, user: Handle, ticket: TypingTicket, status: int) -> bool:
        if not self._client.is_current(ticket.bot_id):
            return False
        fields = {"ilink_user_id": user, "typing_ticket": ticket.value, "status": status}
        try:
            await self._client.call(SEND_TYPING, fields)
        except BackendError as why:
            log.debug("typing not shown", reason=str(why))
            return False
        return True
