"""The API client of one bot: the connection in use, and requests over it.

Login flow, receiver and sender use it:

    body = await client.request(FrameCommand.SEND, requests.text_message(chat, text))

`request` returns only when WeCom has done it; everything else is a `BackendError` (`error_for`). The receiver
makes the connection with `subscribe`, and after its end with `close_ended` and `subscribe` again.
`bot_login.py` keeps the login.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import structlog

from wx2mqtt.clock import Backoff
from wx2mqtt.errors import (
    BackendError,
    LoginPostponed,
    LoginRefused,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unreachable,
)
from wx2mqtt.i18n.wechat import wecom_text
from wx2mqtt.model import Handle, Json
from wx2mqtt.wechat.backend_options import BackendOptions
from wx2mqtt.wechat.json_reader import JsonObject
from wx2mqtt.wechat.wecom.bot_login import ALIVE_INTERVAL_MS, BotLogin
from wx2mqtt.wechat.wecom.chat_rates import COUNTED_SECONDS, ChatRates
from wx2mqtt.wechat.wecom.connection import ConnectionOptions, SocketEnd, WeComConnection
from wx2mqtt.wechat.wecom.protocol import requests
from wx2mqtt.wechat.wecom.protocol.codes import Reaction, reaction_to
from wx2mqtt.wechat.wecom.protocol.endpoints import RESPOND_SECONDS
from wx2mqtt.wechat.wecom.protocol.frames import Answer, FrameCommand
from wx2mqtt.wechat.wecom.protocol.session import BotCredentials, End, SentTimes
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

# WeCom may lose a subscription while the socket stays open. The bot subscribes again at most once in so many
# seconds.
RESUBSCRIBE_SECONDS = 30.0


class WeComClient:
    """Holds the connection of one account.

    `configured` are the credentials of the configuration; None: a scan makes the bot.
    """

    def __init__(self, options: BackendOptions, http: WeComHttp, configured: BotCredentials | None) -> None:
        self.http = http
        self.language = options.language
        self.clock = options.clock
        self.endpoint = options.endpoint
        self.login = BotLogin(options, configured, self.text)
        self.rates = ChatRates(options.clock, self.text)
        self._past_messages = options.past_messages
        self._connection_options = ConnectionOptions(
            clock=options.clock, text=self.text, observe=options.observe, endpoint=options.endpoint
        )
        #: The connection in use; None between two.
        self._connection: WeComConnection | None = None
        #: Counts the connections in a row that broke off or could not be made.
        self._reconnect = RECONNECT
        #: How many subscriptions in a row were refused for another reason than their credentials.
        self._refusals = 0
        #: When the connection in use was made, on the monotonic clock.
        self._connected_at = float("-inf")
        #: When WeCom last accepted a subscription, in milliseconds since 1970.
        self.subscribed_at = 0

    def text(self, message_key: str, /, **facts: object) -> str:
        return wecom_text(self.language, message_key, **facts)

    # The connection

    @property
    def connection(self) -> WeComConnection:
        """The connection in use. Raises `Unreachable` when there is none."""
        if self._connection is None:
            raise Unreachable(self.text("no_connection"))
        return self._connection

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection; it may have ended, and callbacks of it may wait to be taken."""
        return self._connection is not None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that has not ended."""
        return self._connection is not None and self._connection.end is None

    async def subscribe(self) -> None:
        """Connects the bot in use and subscribes, in this order:

        1. The older connection is closed, so that two of one process never compete.
        2. What went to each chat before this process is counted, at the first call only.
        3. The login is saved. With a shared store this commit proves that this instance has the account. The
           first one begins the time of which a process that is killed loses what is not stored.
        4. The connection is opened, and WeCom answers the subscription with 0.

        Raises `LoginRefused` for wrong credentials, which is saved; `LoginPostponed` for another refusal;
        `Unreachable` with the pause after it; `StoreError`.
        """
        await self.disconnect()
        login = self.login
        credentials = login.credentials()
        alive = login.bot.alive or self.clock.now
        try:
            if not self.clock.lease.is_valid:
                raise Unreachable(self.text("no_connection"))
            if not self.rates.is_restored:
                self.rates.restore(await self._sent_before())
            await login.save(replace(login.bot, ended=End.NOT_ENDED, reason="", alive=alive, sent=None))
            self._connection = await self._open_subscribed(credentials)
        except (Unreachable, OutcomeUnknown) as why:
            self._reconnect = self._reconnect.after_failure()
            raise Unreachable(str(why), retry_after=_whole_pause(self._reconnect)) from None
        except LoginRefused as why:
            await login.record_end(End.REFUSED, str(why))
            raise
        except LoginPostponed:
            self._refusals += 1
            raise
        self._refusals = 0
        self._connected_at = self.clock.monotonic()
        self.subscribed_at = self.clock.now

    async def _sent_before(self) -> Mapping[Handle, SentTimes]:
        """Returns what went to each chat before this process, after a kill as the journal shows it.

        That is more than what went out: each message may have got a receipt. Raises `StoreError`.
        """
        if self.login.bot.sent is not None:
            return self.login.bot.sent
        messages: defaultdict[Handle, list[int]] = defaultdict(list)
        receipts: defaultdict[Handle, list[int]] = defaultdict(list)
        for past in await self._past_messages(self.clock.now - int(COUNTED_SECONDS * 1000)):
            if past.is_received:
                receipts[past.chat].append(past.time + int(RESPOND_SECONDS * 1000))
            else:
                messages[past.chat].append(past.time)
        return {
            chat: SentTimes(messages=tuple(messages[chat]), receipts=tuple(receipts[chat]))
            for chat in messages.keys() | receipts.keys()
        }

    async def _open_subscribed(self, credentials: BotCredentials) -> WeComConnection:
        """Opens a connection and subscribes over it, before anybody else may use it."""
        connection = await WeComConnection.open(self._connection_options)
        try:
            answer = await connection.request(FrameCommand.SUBSCRIBE, requests.subscription(credentials))
            if answer.errcode:
                log.warning("subscription refused", ret=answer.errcode, errmsg=answer.errmsg)
                raise self._refusal(answer)
        except BaseException:
            await connection.close()
            raise
        return connection

    def _refusal(self, answer: Answer) -> BackendError:
        """Returns the error for a subscription that was refused."""
        facts = {"ret": answer.errcode, "message": answer.errmsg}
        if reaction_to(answer.errcode) is Reaction.REFUSED:
            return LoginRefused(self.text("refused", **facts), is_correctable=True)
        pause = REFUSED_PAUSES_SECONDS[min(self._refusals, len(REFUSED_PAUSES_SECONDS) - 1)]
        return LoginPostponed(self.text("not_now", **facts), retry_after=pause)

    async def close_ended(self) -> float:
        """Closes the connection, which has ended; returns the seconds until `subscribe` may be called."""
        connection = self.connection
        lasted_seconds = self.clock.monotonic() - self._connected_at
        await self.disconnect()
        if lasted_seconds >= STABLE_SECONDS:
            self._reconnect = self._reconnect.reset()
        self._reconnect = self._reconnect.after_failure()
        if connection.end is SocketEnd.NOT_SUBSCRIBED:
            return max(1.0, RESUBSCRIBE_SECONDS - lasted_seconds)
        return _whole_pause(self._reconnect)

    async def record_alive(self, *, at_once: bool = False) -> None:
        """Saves up to when all that came is stored, at most every `ALIVE_INTERVAL_MS` unless `at_once`.

        After a crash the next process reports the gap from that time on.
        """
        connection = self._connection
        if not self.login.is_in_use or connection is None or connection.end is not None:
            return
        bot = self.login.bot
        if at_once or self.clock.now - bot.alive >= ALIVE_INTERVAL_MS:
            await self.login.save_if_possible(replace(bot, alive=connection.stored_until))

    async def disconnect(self) -> None:
        """Closes the connection; without one it does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def log_out(self) -> None:
        """Ends the connection and the login. Raises `StoreError`."""
        await self.record_alive(at_once=True)
        await self.disconnect()
        await self.login.log_out()

    async def save_rates(self) -> None:
        """Saves what went to each chat, when nothing goes out any more."""
        if self.login.is_in_use and self.rates.is_restored:
            await self.login.save_if_possible(replace(self.login.bot, sent=self.rates.to_saved()))

    # Requests

    async def send(self, chat: Handle, body: Mapping[str, Json]) -> None:
        """Sends a message to a chat and counts it. Raises as `request`, and `Unreachable` for a full chat."""
        connection = self.connection
        with self.rates.sending(chat):
            answer = await connection.request(FrameCommand.SEND, body)
        await self._require_ok(connection, FrameCommand.SEND, answer)

    async def request(self, command: FrameCommand, body: Mapping[str, Json]) -> JsonObject:
        """Sends a request over the connection in use, and returns the body of WeCom's answer.

        Raises the error of `error_for` for any other code than 0; `Unreachable` without a connection;
        `OutcomeUnknown` where no answer came; `UnicodeEncodeError` for text that UTF-8 cannot represent.
        """
        connection = self.connection
        answer = await connection.request(command, body)
        await self._require_ok(connection, command, answer)
        return answer.body

    async def _require_ok(self, connection: WeComConnection, command: FrameCommand, answer: Answer) -> None:
        """Raises the error of `error_for` for any other code than 0."""
        if not answer.errcode:
            return
        log.info("refused", call=command, ret=answer.errcode, errmsg=answer.errmsg)
        if reaction_to(answer.errcode) is Reaction.SUBSCRIBE_AGAIN:  # only a new connection has one again
            await connection.close(SocketEnd.NOT_SUBSCRIBED)
        raise self.error_for(answer, command)

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
            case _:  # REJECTED; REFUSED answers only a subscription
                return Rejected(self.text("not_taken", **facts))


def _whole_pause(backoff: Backoff) -> float:
    return backoff.wait(1.0)  # 1.0: not shortened by chance
