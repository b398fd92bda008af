"""The API client of one iLink account: makes calls with its token, checks their answers, saves its logins.

Login flow, receiver and sender use it and never see a token. The logins of the account (`Bot`) hold the state
of each chat. They are values: a change replaces one, and is saved at once (`save_if_possible`) or within
seconds (`record_stored`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace

import structlog

from wx2mqtt.errors import BackendError, LoggedOut, OutcomeUnknown, StoreError, Throttled
from wx2mqtt.i18n.wechat import ilink_text
from wx2mqtt.model import Handle, ReplyWindow
from wx2mqtt.wechat.backend import BackendOptions
from wx2mqtt.wechat.http_client import BadAnswer, read_json
from wx2mqtt.wechat.ilink.ilink_http import HttpStatusError, ILinkHttp
from wx2mqtt.wechat.ilink.protocol import endpoints, requests, responses, session
from wx2mqtt.wechat.ilink.protocol.codes import ERR_LOGGED_OUT, ERR_TOO_OFTEN
from wx2mqtt.wechat.ilink.protocol.endpoints import Endpoint, TrustedHosts
from wx2mqtt.wechat.ilink.protocol.reply_window import ChatWindow, chat_after_rebinding
from wx2mqtt.wechat.ilink.protocol.requests import ClientVersion, JsonBody, Request
from wx2mqtt.wechat.ilink.protocol.session import Bot
from wx2mqtt.wechat.json_reader import JsonObject, UnreadableJson

log = structlog.get_logger(__name__)

# `record_stored` saves at most so often. What a crash loses are counts, and a copy of the cursor.
SAVE_INTERVAL_SECONDS = 2.0

# How long the bridge waits after "too often".
THROTTLED_RETRY_SECONDS = 60.0

# How many offers of a renewal are recorded with a login.
MAX_RECORDED_OFFERS = 10

HTTP_SERVER_ERROR = 500


class ApiClient:
    """Holds the logins of the account and the states of their chats."""

    def __init__(
        self, http: ILinkHttp, options: BackendOptions, hosts: TrustedHosts, version: ClientVersion
    ) -> None:
        self.http = http
        self.version = version
        self.hosts = hosts
        self.language = options.language
        self.clock = options.clock
        self.server_clock = http.server_clock
        self._credentials = options.credentials
        #: All saved logins, also those of other endpoints: the newest first.
        self._bots: tuple[Bot, ...] = ()
        #: `_bots` has been read from the credential store.
        self._loaded = False
        #: The id of the login in use, which is one of `_bots`; None without one.
        self._current_id: str | None = None
        #: When WeChat last said that a login has ended, or was last asked about it; on the monotonic clock.
        self.logged_out_at = float("-inf")
        #: A poll was answered that the login has ended. The next message is sent after one more announcement
        #: of this client, which resets this (`announce_after_end`).
        self.polls_refused = False
        #: `_bots` has changed since it was saved.
        self._unsaved = False
        #: When `_bots` was last saved, on the monotonic clock.
        self._saved_at = float("-inf")

    def text(self, message_key: str, /, **facts: object) -> str:
        return ilink_text(self.language, message_key, **facts)

    @property
    def bot(self) -> Bot:
        """The current login. Raises `LoggedOut` when there is none."""
        current = next((bot for bot in self._bots if bot.id == self._current_id), None)
        if current is None:
            raise LoggedOut(self.text("no_login"))
        return current

    def is_current(self, bot_id: str) -> bool:
        return self._current_id == bot_id

    def saved_bots(self) -> tuple[Bot, ...]:
        """Returns the logins that were made through the configured endpoint, newest first."""
        return tuple(bot for bot in self._bots if bot.endpoint == self.hosts.endpoint)

    async def load(self) -> None:
        """Loads the saved logins, at the first call only. Raises `StoreError`."""
        if not self._loaded:
            saved = await self._credentials.load()
            self._bots = session.bots_from_saved(saved or {})
            self._loaded = True

    def set_current(self, bot: Bot) -> None:
        """Makes a new or saved login the current one; the next save is not throttled."""
        made = bot.made or self.clock.now  # an earlier version did not record it
        self._bots = session.with_bot(self._bots, replace(bot, made=made))
        self._current_id = bot.id
        self._unsaved = True
        self._saved_at = float("-inf")  # so the next `record_stored` saves

    async def save_renewed(self, bot: Bot, *, usable: bool) -> None:
        """Saves a login beside the current one; a usable one is the first that the next login tries."""
        add = session.with_bot if usable else session.with_refused_bot
        self._bots = add(self._bots, bot)
        self._unsaved = True
        await self.save_if_possible()

    async def record_offer(self) -> None:
        """Records that a code for the renewal of the current login is offered now."""
        bot = self.bot
        self._update_bot(replace(bot, offers=(*bot.offers, self.clock.now)[-MAX_RECORDED_OFFERS:]))
        await self.save_if_possible()

    async def mark_logged_out(self) -> None:
        """Marks the current login as logged out, or all saved ones without a current one, and saves them.

        They are not removed: WeChat may issue no other login (ilink 3.5.1).
        """
        await self.load()
        ended = [bot for bot in self.saved_bots() if self._current_id is None or self.is_current(bot.id)]
        self._bots = tuple(replace(bot, logged_out=True) if bot in ended else bot for bot in self._bots)
        self._current_id = None
        self._unsaved = True
        await self.save_if_possible()

    def chat(self, user: Handle) -> ChatWindow:
        """Returns the state of the chat with a person. Raises `LoggedOut`."""
        return self.bot.chats.get(user, ChatWindow())

    def reply_window(self, user: Handle) -> ReplyWindow:
        """Returns the reply window of a person, with times by the local clock."""
        window = self._newest_chat(user).reply_window(self.server_clock.now())
        if window.until is None:
            return window
        return replace(window, until=self.server_clock.to_local(window.until))

    def _newest_chat(self, user: Handle) -> ChatWindow:
        """Returns the state of a chat in the current login, else in the newest one that has it."""
        bots = [bot for bot in self._bots if user in bot.chats]
        current = next((bot for bot in bots if bot.id == self._current_id), None)
        if current is not None:
            return current.chats[user]
        if not bots:
            return ChatWindow()
        chat = bots[0].chats[user]
        # Messages to another bot open no window in the current login.
        return chat if self._current_id is None else chat_after_rebinding(chat)

    def store_chats(self, chats: Mapping[Handle, ChatWindow]) -> None:
        """Stores the new states of some chats; too many new chats displace the oldest ones."""
        bot = self.bot
        changed = {user: chat for user, chat in chats.items() if chat != self.chat(user)}
        if changed:
            chats = session.newest_chats({**bot.chats, **changed}, bot.user)
            self._update_bot(replace(bot, chats=chats))

    async def record_stored(self, cursor: str, *, has_received: bool) -> None:
        """Records that all messages before this cursor are stored. Saves changes every few seconds.

        The login that was kept until the current one `has_received` is removed.
        """
        if cursor != self.bot.cursor:
            self._update_bot(replace(self.bot, cursor=cursor))
        if has_received and self.bot.keeps_earlier:
            self._bots = session.with_bot(self._bots, replace(self.bot, keeps_earlier=False))
            self._unsaved = True
        if self.clock.monotonic() - self._saved_at >= SAVE_INTERVAL_SECONDS:
            await self.save_if_possible()

    def _update_bot(self, bot: Bot) -> None:
        self._bots = session.with_changed_bot(self._bots, bot)
        self._unsaved = True

    async def save_if_possible(self) -> None:
        """Saves changes. A failure is logged, and the next call tries again."""
        if not self._unsaved:
            return
        self._saved_at = self.clock.monotonic()
        self._unsaved = False
        try:
            await self._credentials.save(session.bots_to_saved(self._bots))
        except StoreError as why:
            self._unsaved = True
            log.error("login not saved", reason=str(why))

    async def call(self, endpoint: Endpoint, fields: JsonBody, *, limit: float | None = None) -> JsonObject:
        """Makes a call and returns its answer. Raises the error of `error_for` for an error code."""
        answer = await self.call_unchecked(endpoint, fields, limit=limit)
        ret = responses.error_code(answer)
        if ret:
            raise self.error_for(ret, endpoint)
        return answer

    async def call_unchecked(
        self, endpoint: Endpoint, fields: JsonBody, *, limit: float | None = None, bot: Bot | None = None
    ) -> JsonObject:
        """Makes a call of `bot`, or of the current login; returns its answer, whatever its error code.

        Raises the errors of `Transport.call`; `BadAnswer` where the answer cannot be read, after a delivery
        `OutcomeUnknown`; `UnicodeEncodeError` for text that UTF-8 cannot represent.
        """
        bot = bot or self.bot
        uin = secrets.randbits(32)
        request = requests.call_request(bot.base, endpoint, fields, bot.token, uin, self.version)
        return await self.call_json(request, limit=limit)

    async def call_json(self, request: Request, *, limit: float | None = None) -> JsonObject:
        """Returns the JSON object of an answer, `{}` for the empty answer to a delivery (ilink 6.2.1)."""
        body = await self.http.call(request, limit=limit)
        if request.endpoint.is_delivery and not body.strip():
            return {}
        try:
            return await read_json(body)
        except UnreadableJson:
            error = OutcomeUnknown if request.endpoint.is_delivery else BadAnswer
            raise error(self.text("unreadable", call=request.endpoint.name)) from None

    async def is_login_valid(self, bot: Bot) -> bool:
        """Returns whether WeChat still accepts a login, by the call that announces a client.

        Only the code "logged out" means that it does not (ilink 4.7.3). Raises `Unreachable`.
        """
        try:
            ret = responses.error_code(await self.call_unchecked(endpoints.NOTIFY_START, {}, bot=bot))
        except HttpStatusError as why:
            if why.status >= HTTP_SERVER_ERROR:
                raise
            ret = why.status
        if ret:
            log.info("presence not taken", ret=ret)
        if ret == ERR_LOGGED_OUT:
            self.logged_out_at = self.clock.monotonic()
        return ret != ERR_LOGGED_OUT

    async def announce_after_end(self) -> None:
        """Announces this client once more after a poll was refused, since sends may still be accepted.

        What WeChat answers does not count: the send says it (ilink 4.7.2, 10.4.3).
        """
        if self.polls_refused:
            self.polls_refused = False
            await self.announce()

    async def announce(self) -> None:
        """Announces this client to WeChat. Errors are only logged."""
        try:
            await self.is_login_valid(self.bot)
        except BackendError as why:
            log.info("presence not told", reason=str(why))

    async def notify_stop(self) -> None:
        """Announces to WeChat that this client stops. Errors are only logged."""
        try:
            await self.call(endpoints.NOTIFY_STOP, {})
        except BackendError as why:
            log.info("goodbye not taken", reason=str(why))

    def error_for(self, ret: int, endpoint: Endpoint) -> BackendError:
        """Returns the exception for an error code (ilink 10.3)."""
        if ret == ERR_LOGGED_OUT:
            self.logged_out_at = self.clock.monotonic()
            self.polls_refused |= endpoint is endpoints.GET_UPDATES
            return LoggedOut(self.text("logged_out"))
        if ret == ERR_TOO_OFTEN:
            return Throttled(
                self.text("too_often", ret=ret, call=endpoint.name), retry_after=THROTTLED_RETRY_SECONDS
            )
        return BadAnswer(self.text("failed", ret=ret, call=endpoint.name))
