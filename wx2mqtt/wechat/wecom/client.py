"""The API client of one bot: the connection in use, requests over it, and the saved login.

Login flow, receiver and sender use it:

    body = await client.request(FrameCommand.SEND, requests.text_message(chat, text))

`request` returns only when WeCom has done it; everything else is a `BackendError` (`error_for`). The login
(`SavedBot`) is a value: a change replaces it, and is saved at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import structlog

from wx2mqtt.clock import Backoff
from wx2mqtt.errors import (
    BackendError,
    LoggedOut,
    LoginEnded,
    LoginRefused,
    OutcomeUnknown,
    Rejected,
    StoreError,
    Throttled,
    Unreachable,
)
from wx2mqtt.i18n.wechat import wecom_text
from wx2mqtt.model import Handle, Json
from wx2mqtt.wechat.backend import BackendOptions
from wx2mqtt.wechat.json_reader import JsonObject
from wx2mqtt.wechat.wecom.connection import ConnectionOptions, SocketEnd, WeComConnection
from wx2mqtt.wechat.wecom.protocol import requests
from wx2mqtt.wechat.wecom.protocol.codes import Reaction, reaction_to
from wx2mqtt.wechat.wecom.protocol.frames import Answer, FrameCommand
from wx2mqtt.wechat.wecom.protocol.session import (
    BotCredentials,
    End,
    SavedBot,
    read_saved_bot,
    with_newest,
)
from wx2mqtt.wechat.wecom.wecom_http import WeComHttp

log = structlog.get_logger(__name__)

# How long the bridge waits after "too often".
THROTTLED_RETRY_SECONDS = 60.0

# The pauses after a connection that broke off, or could not be made: 1, 2, 4 … 30 seconds.
RECONNECT = Backoff(first=1.0, cap=30.0)

# After a connection that lasted so long the pauses begin with the first one again.
STABLE_SECONDS = 30.0

# The pauses after the first, second … refusal of a subscription for another reason than its credentials.
REFUSED_PAUSES_SECONDS = (60.0, 300.0, 900.0, 3600.0)

# The bot subscribes again after a lost subscription at most once in so many seconds (wecom 2.8).
RESUBSCRIBE_SECONDS = 30.0

# How often it is saved that the connection is alive.
ALIVE_INTERVAL_MS = 300_000

# The rate of a chat counts the last minute, and the save waits for the next heartbeat, of up to another one.
LATELY_MS = 120_000


class WeComClient:
    """Holds the login and the connection of one account.

    `configured` are the credentials of the configuration; None: a scan makes the bot.
    """

    def __init__(self, options: BackendOptions, http: WeComHttp, configured: BotCredentials | None) -> None:
        self.http = http
        self.language = options.language
        self.clock = options.clock
        self.endpoint = options.endpoint
        self.configured = configured
        self._credentials = options.credentials
        self._connection_options = ConnectionOptions(
            clock=options.clock, text=self.text, observe=options.observe, endpoint=options.endpoint
        )
        #: The connection in use; None between two.
        self._connection: WeComConnection | None = None
        #: The saved login; None where there is none.
        self.saved: SavedBot | None = None
        #: `saved` has been read from the credential store.
        self._loaded = False
        #: Lets one save after the other, in the order of the calls.
        self._save_order = asyncio.Lock()
        #: The bot in use; None without a login.
        self._current: SavedBot | None = None
        #: When the bot in use was last known to be alive before this process used it; 0 where it never was.
        self.last_alive = 0
        #: The bot of a scan that a logout has forgotten, without its secret; None where none was.
        self._logged_out: SavedBot | None = None
        #: The pause after the next failure.
        self._reconnect = RECONNECT
        #: How many subscriptions in a row were refused for another reason than their credentials.
        self._refusals = 0
        #: When the connection in use was made, on the monotonic clock.
        self._connected_at = float("-inf")
        #: When WeCom last accepted a subscription, in milliseconds since 1970.
        self.subscribed_at = 0

    def text(self, message_key: str, /, **facts: object) -> str:
        return wecom_text(self.language, message_key, **facts)

    # The login

    async def load(self) -> None:
        """Loads the saved login, at the first call only. Raises `StoreError`."""
        if self._loaded:
            return
        bot = read_saved_bot(await self._credentials.load() or {})
        if bot is not None and bot.endpoint == (self.endpoint or ""):
            self.saved = bot
        self._loaded = True

    @property
    def bot(self) -> SavedBot:
        """The bot in use. Raises `LoggedOut` when there is none."""
        if self._current is None:
            raise LoggedOut(self.text("no_login"))
        return self._current

    def use(self, bot: SavedBot) -> None:
        """Makes a bot the one in use; nothing is saved or sent yet."""
        self._current = bot
        self.last_alive = bot.alive

    @property
    def was_used_lately(self) -> bool:
        """Whether another process may have used the bot within the last minute."""
        return self.clock.now - self.last_alive < ALIVE_INTERVAL_MS + LATELY_MS

    async def forget(self) -> None:
        """Ends the login. Raises `StoreError`.

        - A bot of a scan is forgotten. Until the process ends `known_bot` still says when it was last alive.
        - A configured bot is not used until a person asks.
        - A bot that was never saved, as that of a stranger who scanned, leaves the saved login as it is.
        """
        await self.record_alive(at_once=True)
        await self.disconnect()
        await self.load()
        ended = self._current or self.saved
        self._current = None
        if self.saved is None or ended is None or ended.bot_id != self.saved.bot_id:
            return
        if self.saved.is_scanned:
            self._logged_out = replace(self.saved, secret="")
            self.saved = None
            await self._credentials.clear()
        else:
            await self._save(replace(self.saved, ended=End.LOGGED_OUT, reason=self.text("logged_out")))

    def known_bot(self, bot_id: str) -> SavedBot | None:
        """Returns what is known of a bot that was used before; None for any other."""
        for bot in (self.saved, self._logged_out):
            if bot is not None and bot.bot_id == bot_id:
                return bot
        return None

    async def record_end(self, ended: End, reason: str) -> None:
        """Saves why the bot is not used any more. Where that fails, it counts until the process ends.

        An instance that has lost its lease saves nothing: "the other program" is then the instance that has
        taken the account over.
        """
        if self.bot.ended is not ended and self.clock.lease.is_valid:
            await self._save_if_possible(replace(self.bot, ended=ended, reason=reason))

    def require_usable(self, bot: SavedBot) -> None:
        """Raises the error that says why a bot is not used until a person asks."""
        match bot.ended:
            case End.REFUSED:
                raise LoginRefused(bot.reason, is_correctable=True)
            case End.TAKEN_OVER | End.LOGGED_OUT:
                raise LoginEnded(bot.reason)
            case End.NOT_ENDED:
                return

    async def remember_chats(self, chats: Iterable[Handle]) -> None:
        """Saves in which chats somebody has written. A failure is logged: the chats are only listed."""
        newest = with_newest(self.bot.chats, chats)
        if newest != self.bot.chats:
            await self._save_if_possible(replace(self.bot, chats=newest))

    async def save_uploads(self, begun_at: Sequence[int]) -> None:
        """Saves when uploads of this bot began, before the newest does. Raises `Unreachable`.

        So a process that is killed meanwhile never has more uploads than WeCom takes.
        """
        if not self.clock.lease.is_valid:  # the account and its login are another instance's now
            raise Unreachable(self.text("no_connection"))
        try:
            await self._save(replace(self.bot, uploads=tuple(begun_at)))
        except StoreError as why:
            raise Unreachable(str(why)) from None

    async def record_alive(self, *, at_once: bool = False) -> None:
        """Saves up to when all that came is stored, at most every `ALIVE_INTERVAL_MS` unless `at_once`.

        After a crash the next process reports the gap from that time on.
        """
        if self._current is None or self._connection is None or self._connection.end_reason is not None:
            return
        if at_once or self.clock.now - self.bot.alive >= ALIVE_INTERVAL_MS:
            await self._save_if_possible(replace(self.bot, alive=self._connection.stored_until))

    async def _save_if_possible(self, bot: SavedBot) -> None:
        """Saves a change. An instance that has lost the account saves none: the login is another one's."""
        self._current = bot
        if not self.clock.lease.is_valid:
            return
        try:
            await self._save(bot)
        except StoreError as why:
            log.error("login not saved", reason=str(why))

    async def _save(self, bot: SavedBot) -> None:
        """Saves a change after those of earlier calls. Raises `StoreError`."""
        if self._current is not None:
            self._current = bot  # at once: a change that is made before this one is saved builds on it
        async with self._save_order:
            await self._credentials.save(bot.to_saved())
            self.saved = bot

    # The connection

    @property
    def connection(self) -> WeComConnection:
        """The connection in use. Raises `Unreachable` when there is none."""
        if self._connection is None:
            raise Unreachable(self.text("no_connection"))
        return self._connection

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def subscribe(self) -> None:
        """Connects the bot in use and subscribes, in this order:

        1. The older connection is closed, so that two of one process never compete.
        2. The login is saved. With a shared store this commit proves that this instance has the account. The
           first one begins the time of which a process that is killed loses what is not stored.
        3. The connection is opened, and WeCom answers the subscription with 0.

        Raises `LoginRefused` for wrong credentials, which is saved; `Throttled` for another refusal;
        `Unreachable` with the pause after it; `StoreError`.
        """
        await self.disconnect()
        bot = self.bot
        credentials = self._credentials_of(bot)
        if not self.clock.lease.is_valid:
            raise self._connection_error(self.text("no_connection"))
        await self._save(replace(bot, ended=End.NOT_ENDED, reason="", alive=bot.alive or self.clock.now))
        try:
            connection = await WeComConnection.open(self._connection_options)
        except Unreachable as why:
            raise self._connection_error(str(why)) from None
        try:
            answer = await connection.request(FrameCommand.SUBSCRIBE, requests.subscription(credentials))
            if answer.errcode:
                raise await self._subscription_error(answer)
        except (Unreachable, OutcomeUnknown) as why:
            await connection.close()
            raise self._connection_error(str(why)) from None
        except BaseException:
            await connection.close()
            raise
        self._connection = connection  # before that nothing else may be sent over it
        self._refusals = 0
        self._connected_at = self.clock.monotonic()
        self.subscribed_at = self.clock.now

    def _credentials_of(self, bot: SavedBot) -> BotCredentials:
        configured = self.configured
        if configured is not None and configured.bot_id == bot.bot_id:
            return configured
        return BotCredentials(bot_id=bot.bot_id, secret=bot.secret)

    async def _subscription_error(self, answer: Answer) -> BackendError:
        """Returns the error for a subscription that was refused; wrong credentials are saved as such."""
        log.warning("subscription refused", ret=answer.errcode, errmsg=answer.errmsg)
        facts = {"ret": answer.errcode, "message": answer.errmsg}
        if reaction_to(answer.errcode) is Reaction.REFUSED:
            reason = self.text("refused", **facts)
            await self.record_end(End.REFUSED, reason)
            return LoginRefused(reason, is_correctable=True)
        pause = REFUSED_PAUSES_SECONDS[min(self._refusals, len(REFUSED_PAUSES_SECONDS) - 1)]
        self._refusals += 1
        return Throttled(self.text("not_now", **facts), retry_after=pause)

    async def close_ended(self) -> Unreachable:
        """Closes a connection that has ended; returns the error with the pause before the next one."""
        connection = self.connection
        lasted_seconds = self.clock.monotonic() - self._connected_at
        await self.disconnect()
        if lasted_seconds >= STABLE_SECONDS:
            self._reconnect = self._reconnect.reset()
        error = self._connection_error(connection.end_reason or self.text("closed"))
        if connection.end is SocketEnd.NOT_SUBSCRIBED:
            pause = max(1.0, RESUBSCRIBE_SECONDS - lasted_seconds)
            return Unreachable(str(error), retry_after=pause)
        return error

    def _connection_error(self, reason: str) -> Unreachable:
        """Counts one more failure, and returns its error with the pause after it."""
        self._reconnect = self._reconnect.after_failure()
        return Unreachable(reason, retry_after=self._reconnect.wait(1.0))

    async def disconnect(self) -> None:
        """Closes the connection; without one it does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    # Requests

    async def request(self, command: FrameCommand, body: Mapping[str, Json]) -> JsonObject:
        """Sends a request over the connection in use, and returns the body of WeCom's answer.

        Raises the error of `error_for` for any other code than 0; `Unreachable` without a connection;
        `OutcomeUnknown` where no answer came; `UnicodeEncodeError` for text that UTF-8 cannot represent.
        """
        connection = self.connection
        answer = await connection.request(command, body)
        if answer.errcode:
            raise await self._request_error(connection, answer, command)
        return answer.body

    async def _request_error(
        self, connection: WeComConnection, answer: Answer, command: FrameCommand
    ) -> BackendError:
        """Returns the error for an answer. A lost subscription ends the connection (wecom 2.8)."""
        log.info("refused", call=command, ret=answer.errcode, errmsg=answer.errmsg)
        if reaction_to(answer.errcode) is Reaction.SUBSCRIBE_AGAIN:
            await connection.close(SocketEnd.NOT_SUBSCRIBED)
        return self.error_for(answer, command)

    def error_for(self, answer: Answer, command: FrameCommand) -> BackendError:
        """Returns the exception for an error code (wecom 6); all of them say that nothing was delivered."""
        facts = {"ret": answer.errcode, "message": answer.errmsg, "call": str(command)}
        match reaction_to(answer.errcode):
            case Reaction.SUBSCRIBE_AGAIN:
                return Unreachable(self.text("not_subscribed"))
            case Reaction.SEND_UNASKED:
                return Unreachable(self.text("not_taken", **facts))
            case Reaction.NO_CHAT:
                return Rejected(self.text("no_chat", **facts), code="no_chat")
            case Reaction.SLOW_DOWN:
                return Throttled(self.text("too_often", **facts), retry_after=THROTTLED_RETRY_SECONDS)
            case _:
                return Rejected(self.text("not_taken", **facts))
