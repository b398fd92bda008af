"""The API client of one iLink account: makes calls with its token, judges their answers, saves the login.

Login flow, receiver and sender use it and never see a token.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import structlog

from wx2mqtt.errors import BackendError, LoggedOut, OutcomeUnknown, StoreError, Throttled
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import ilink_text
from wx2mqtt.model import Handle, ReplyWindow
from wx2mqtt.wechat import json_reader
from wx2mqtt.wechat.backend import CredentialStore
from wx2mqtt.wechat.http import BadAnswer, Clock
from wx2mqtt.wechat.ilink.protocol import endpoints, requests, responses, session
from wx2mqtt.wechat.ilink.protocol.endpoints import ERR_LOGGED_OUT, ERR_TOO_OFTEN, Endpoint, TrustedHosts
from wx2mqtt.wechat.ilink.protocol.reply_window import ChatWindow, chat_after_rebinding
from wx2mqtt.wechat.ilink.protocol.requests import JsonBody, Request
from wx2mqtt.wechat.ilink.protocol.session import Bot
from wx2mqtt.wechat.ilink.transport import HttpStatusError, ServerClock, Transport
from wx2mqtt.wechat.json_reader import JsonObject, UnreadableJson

log = structlog.get_logger(__name__)

SAVE_INTERVAL_SECONDS = (
    2.0  # seconds between two savings of what a crash may take: counts, and a copy of the cursor
)


class ApiClient:
    """`bot` is the login that stands; what is known of its chats is kept here.

    `probed` is when WeChat last said that a login is over, on the monotonic clock.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: CredentialStore,
        *,
        hosts: TrustedHosts,
        language: Language,
        clock: Clock,
        server_clock: ServerClock,
    ) -> None:
        self.transport = transport
        self.hosts = hosts
        self.language = language
        self.clock = clock
        self.server_clock = server_clock
        self._credentials = credentials
        self._bots: tuple[Bot, ...] = ()
        self._loaded = False
        self._current_id: str | None = None
        self.logged_out_at = float("-inf")
        self._unsaved = False
        self._saved_at = float("-inf")

    def text(self, message_key: str, /, **facts: object) -> str:
        """A sentence for people."""
        return ilink_text(self.language, message_key, **facts)

    def random_uint32(self) -> int:
        """A new random number below 2^32."""
        return secrets.randbits(32)

    # the login

    @property
    def bot(self) -> Bot:
        """The login that stands. Raises `LoggedOut` when there is none."""
        found = next((bot for bot in self._bots if bot.id == self._current_id), None)
        if found is None:
            raise LoggedOut(self.text("no_login"))
        return found

    def saved_bots(self) -> tuple[Bot, ...]:
        """Every login through this endpoint that we still have, newest first."""
        return tuple(bot for bot in self._bots if bot.endpoint == self.hosts.endpoint)

    async def load(self) -> None:
        """Read what was saved, once. Raises `StoreError`."""
        if not self._loaded:
            saved = await self._credentials.load()
            self._bots, self._loaded = session.bots_from_saved(saved or {}), True

    def set_current(self, bot: Bot) -> None:
        """This is the login now, be it new or one that we had."""
        self._bots = session.with_bot(self._bots, bot)
        self._current_id, self._unsaved, self._saved_at = bot.id, True, float("-inf")

    async def mark_logged_out(self) -> None:
        """Somebody logged out. The login itself is kept: WeChat may give no other one (ilink 3.5.1)."""
        await self.load()
        ours = self.saved_bots()
        self._bots = tuple(replace(bot, over=True) if bot in ours else bot for bot in self._bots)
        self._current_id, self._unsaved = None, True
        await self.save_if_possible()

    # chats

    def chat(self, user: Handle) -> ChatWindow:
        """What is known of somebody."""
        return self.bot.chats.get(user, ChatWindow())

    def reply_window(self, user: Handle) -> ReplyWindow:
        """Whether WeChat would take a message to somebody, in our own time."""
        bots = sorted(self._bots, key=lambda bot: bot.id != self._current_id)
        bot = next((bot for bot in bots if user in bot.chats), None)
        chat = ChatWindow() if bot is None else bot.chats[user]
        if bot is not None and self._current_id not in {None, bot.id}:
            chat = chat_after_rebinding(chat)  # what they wrote to another bot opens nothing here
        window = chat.reply_window(self.server_clock.now())
        return (
            window
            if window.until is None
            else replace(window, until=self.server_clock.to_local(window.until))
        )

    def update_chat(self, user: Handle, update: Callable[[ChatWindow], ChatWindow]) -> None:
        """Something happened in a chat."""
        bot = self.bot
        before = bot.chats.get(user, ChatWindow())
        after = update(before)
        if after != before:
            self._update_bot(replace(bot, chats={**bot.chats, user: after}))

    def store_cursor(self, cursor: str) -> None:
        """All before this cursor is stored."""
        if cursor != self.bot.cursor:
            self._update_bot(replace(self.bot, cursor=cursor))

    def _update_bot(self, bot: Bot) -> None:
        self._bots, self._unsaved = session.with_changed_bot(self._bots, bot), True

    async def save_throttled(self) -> None:
        """Save what changed, unless that was done a moment ago."""
        if self._unsaved and self.clock.monotonic() - self._saved_at >= SAVE_INTERVAL_SECONDS:
            await self.save_if_possible()

    async def save_if_possible(self) -> None:
        """Save what changed. What fails is tried again by the next time."""
        if not self._unsaved:
            return
        self._saved_at, self._unsaved = self.clock.monotonic(), False
        try:
            await self._credentials.save(session.bots_to_saved(self._bots))
        except StoreError as why:
            self._unsaved = True
            log.error("login not saved", reason=str(why))

    # calls

    async def call(self, endpoint: Endpoint, fields: JsonBody, *, limit: float | None = None) -> JsonObject:
        """One call of the bot that went well. Raises what went wrong asks for."""
        answer = await self.call_unchecked(endpoint, fields, limit=limit)
        ret = responses.error_code(answer)
        if ret:
            raise self.error_for(ret, endpoint)
        return answer

    async def call_unchecked(
        self, endpoint: Endpoint, fields: JsonBody, *, limit: float | None = None
    ) -> JsonObject:
        """The answer, whatever it says. What cannot be read is `BadAnswer`, after a send `OutcomeUnknown`.

        Raises `UnicodeEncodeError` for what cannot be written.
        """
        return await self._call_as(self.bot, endpoint, fields, limit)

    async def _call_as(
        self, bot: Bot, endpoint: Endpoint, fields: JsonBody, limit: float | None
    ) -> JsonObject:
        request = requests.call_request(bot.base, endpoint, fields, bot.token, self.random_uint32())
        return await self.call_json(request, limit=limit)

    async def call_json(self, request: Request, *, limit: float | None = None) -> JsonObject:
        """A JSON object, or `{}` where a call that delivers was answered with nothing (ilink 6.2.1)."""
        body = await self.transport.call(request, limit=limit)
        if request.endpoint.is_delivery and not body.strip():
            return {}
        try:
            return json_reader.parse_json(body)
        except UnreadableJson:
            raise self.unreadable_error(request.endpoint) from None

    async def is_login_valid(self, bot: Bot) -> bool:
        """Whether WeChat still takes a login: it is told that we are here, which is all that this does.

        Anything but "it is over" is no news of the login (ilink 4.7.3). Raises `Unreachable`.
        """
        try:
            ret = responses.error_code(await self._call_as(bot, endpoints.NOTIFY_START, {}, None))
        except HttpStatusError as why:
            if why.status >= 500:
                raise
            ret = why.status
        if ret:
            log.info("presence not taken", ret=ret)
        if ret == ERR_LOGGED_OUT:
            self.logged_out_at = self.clock.monotonic()
        return ret != ERR_LOGGED_OUT

    async def notify_stop(self) -> None:
        """Tell WeChat that we are gone. Whatever it answers."""
        try:
            await self.call(endpoints.NOTIFY_STOP, {})
        except BackendError as why:
            log.info("goodbye not taken", reason=str(why))

    def error_for(self, ret: int, endpoint: Endpoint) -> BackendError:
        """The error that a number asks for (ilink 10.3)."""
        if ret == ERR_LOGGED_OUT:
            self.logged_out_at = self.clock.monotonic()
            return LoggedOut(self.text("logged_out"))
        if ret == ERR_TOO_OFTEN:
            return Throttled(self.text("too_often", ret=ret, call=endpoint.name), retry_after=60.0)
        return BadAnswer(self.text("failed", ret=ret, call=endpoint.name))

    def unreadable_error(self, endpoint: Endpoint) -> BackendError:
        """The error for an answer that cannot be read: a message may have been delivered all the same."""
        message = self.text("unreadable", call=endpoint.name)
        return OutcomeUnknown(message) if endpoint.is_delivery else BadAnswer(message)
