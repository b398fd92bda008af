"""One account's line to iLink: makes calls with its token, judges how they went, saves what it knows.

The conversations (signing in, the inbox, the outbox) stand above it and never see a token.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import structlog

from wx2mqtt.errors import GatewayError, LoggedOut, OutcomeUnknown, StoreError, Throttled
from wx2mqtt.model import Handle, Window
from wx2mqtt.wechat import answers
from wx2mqtt.wechat.answers import Unreadable
from wx2mqtt.wechat.fields import Entry
from wx2mqtt.wechat.gateway import Vault
from wx2mqtt.wechat.http import BadAnswer
from wx2mqtt.wechat.ilink import endpoints, requests, responses, session
from wx2mqtt.wechat.ilink.codes import LOGGED_OUT, OFTEN
from wx2mqtt.wechat.ilink.endpoints import Endpoint
from wx2mqtt.wechat.ilink.hosts import Hosts
from wx2mqtt.wechat.ilink.requests import Body, Request
from wx2mqtt.wechat.ilink.servertime import ServerTime
from wx2mqtt.wechat.ilink.session import Bot
from wx2mqtt.wechat.ilink.transport import Refusal, Transport
from wx2mqtt.wechat.ilink.window import Chat, anew
from wx2mqtt.wechat.ilink.words import say
from wx2mqtt.wechat.timing import Timing
from wx2mqtt.words import Language

log = structlog.get_logger(__name__)

SAVED_AT_MOST = 2.0  # seconds between two savings of what a crash may take: counts, and a copy of the cursor


class Channel:
    """`bot` is the login that stands; what is known of its chats is kept here.

    `probed` is when WeChat last said that a login is over, on the monotonic clock.
    """

    def __init__(
        self,
        transport: Transport,
        vault: Vault,
        *,
        hosts: Hosts,
        language: Language,
        timing: Timing,
        clock: ServerTime,
    ) -> None:
        self.transport = transport
        self.hosts = hosts
        self.language = language
        self.timing = timing
        self.clock = clock
        self._vault = vault
        self._bots: tuple[Bot, ...] = ()
        self._loaded = False
        self._id: str | None = None
        self.probed = float("-inf")
        self._unsaved = False
        self._saved_at = float("-inf")

    def words(self, key: str, /, **facts: object) -> str:
        """A sentence for people."""
        return say(self.language, key, **facts)

    def dice(self) -> int:
        """A new random number below 2^32."""
        return secrets.randbits(32)

    # the login

    @property
    def bot(self) -> Bot:
        """The login that stands. Raises `LoggedOut` when there is none."""
        found = next((bot for bot in self._bots if bot.id == self._id), None)
        if found is None:
            raise LoggedOut(self.words("no_login"))
        return found

    def held(self) -> tuple[Bot, ...]:
        """Every login through this endpoint that we still have, newest first."""
        return tuple(bot for bot in self._bots if bot.endpoint == self.hosts.endpoint)

    async def load(self) -> None:
        """Read what was saved, once. Raises `StoreError`."""
        if not self._loaded:
            saved = await self._vault.load()
            self._bots, self._loaded = session.from_saved(saved or {}), True

    def enter(self, bot: Bot) -> None:
        """This is the login now, be it new or one that we had."""
        self._bots = session.added(self._bots, bot)
        self._id, self._unsaved, self._saved_at = bot.id, True, float("-inf")

    async def leave(self) -> None:
        """Somebody logged out. The login itself is kept: WeChat may give no other one (ilink 3.5)."""
        await self.load()
        ours = self.held()
        self._bots = tuple(replace(bot, over=True) if bot in ours else bot for bot in self._bots)
        self._id, self._unsaved = None, True
        await self.save_if_possible()

    # chats

    def chat(self, user: Handle) -> Chat:
        """What is known of somebody."""
        return self.bot.chats.get(user, Chat())

    def window(self, user: Handle) -> Window:
        """Whether WeChat would take a message to somebody, in our own time."""
        bots = sorted(self._bots, key=lambda bot: bot.id != self._id)
        bot = next((bot for bot in bots if user in bot.chats), None)
        chat = Chat() if bot is None else bot.chats[user]
        if bot is not None and self._id not in {None, bot.id}:
            chat = anew(chat)  # what they wrote to another bot opens nothing here
        window = chat.window(self.clock.now())
        return window if window.until is None else replace(window, until=self.clock.ours(window.until))

    def change(self, user: Handle, change: Callable[[Chat], Chat]) -> None:
        """Something happened in a chat."""
        bot = self.bot
        before = bot.chats.get(user, Chat())
        after = change(before)
        if after != before:
            self._change(replace(bot, chats={**bot.chats, user: after}))

    def reached(self, cursor: str) -> None:
        """All before this cursor is stored."""
        if cursor != self.bot.cursor:
            self._change(replace(self.bot, cursor=cursor))

    def _change(self, bot: Bot) -> None:
        self._bots, self._unsaved = session.changed(self._bots, bot), True

    async def save_now_and_then(self) -> None:
        """Save what changed, unless that was done a moment ago."""
        if self._unsaved and self.timing.monotonic() - self._saved_at >= SAVED_AT_MOST:
            await self.save_if_possible()

    async def save_if_possible(self) -> None:
        """Save what changed. What fails is tried again by the next time."""
        if not self._unsaved:
            return
        self._saved_at, self._unsaved = self.timing.monotonic(), False
        try:
            await self._vault.save(session.to_saved(self._bots))
        except StoreError as why:
            self._unsaved = True
            log.error("login not saved", reason=str(why))

    # calls

    async def ask(self, endpoint: Endpoint, fields: Body, *, limit: float | None = None) -> Entry:
        """One call of the bot that went well. Raises what went wrong asks for."""
        answer = await self.ask_anyway(endpoint, fields, limit=limit)
        ret = responses.code_of(answer)
        if ret:
            raise self.refusal(ret, endpoint)
        return answer

    async def ask_anyway(self, endpoint: Endpoint, fields: Body, *, limit: float | None = None) -> Entry:
        """The answer, whatever it says. What cannot be read is `BadAnswer`, after a send `OutcomeUnknown`.

        Raises `UnicodeEncodeError` for what cannot be written.
        """
        return await self._asked_as(self.bot, endpoint, fields, limit)

    async def _asked_as(self, bot: Bot, endpoint: Endpoint, fields: Body, limit: float | None) -> Entry:
        request = requests.call(bot.base, endpoint, fields, bot.token, self.dice())
        return await self.answered(request, limit=limit)

    async def answered(self, request: Request, *, limit: float | None = None) -> Entry:
        """A JSON object, or `{}` where a call that delivers was answered with nothing (ilink 6.2)."""
        body = await self.transport.call(request, limit=limit)
        if request.endpoint.delivers and not body.strip():
            return {}
        try:
            return answers.parsed(body)
        except Unreadable:
            raise self.unreadable(request.endpoint) from None

    async def is_good(self, bot: Bot) -> bool:
        """Whether WeChat still takes a login: it is told that we are here, which is all that this does.

        Anything but "it is over" is no news of the login (ilink 4.7). Raises `Unreachable`.
        """
        try:
            ret = responses.code_of(await self._asked_as(bot, endpoints.NOTIFY_START, {}, None))
        except Refusal as why:
            if why.status >= 500:
                raise
            ret = why.status
        if ret:
            log.info("presence not taken", ret=ret)
        if ret == LOGGED_OUT:
            self.probed = self.timing.monotonic()
        return ret != LOGGED_OUT

    async def say_goodbye(self) -> None:
        """Tell WeChat that we are gone. Whatever it answers."""
        try:
            await self.ask(endpoints.NOTIFY_STOP, {})
        except GatewayError as why:
            log.info("goodbye not taken", reason=str(why))

    def refusal(self, ret: int, endpoint: Endpoint) -> GatewayError:
        """The error that a number asks for (ilink 10.3)."""
        if ret == LOGGED_OUT:
            self.probed = self.timing.monotonic()
            return LoggedOut(self.words("logged_out"))
        if ret == OFTEN:
            return Throttled(self.words("too_often", ret=ret, call=endpoint.name), retry_after=60.0)
        return BadAnswer(self.words("failed", ret=ret, call=endpoint.name))

    def unreadable(self, endpoint: Endpoint) -> GatewayError:
        """The error for an answer that cannot be read: a message may have been delivered all the same."""
        message = self.words("unreadable", call=endpoint.name)
        return OutcomeUnknown(message) if endpoint.delivers else BadAnswer(message)
