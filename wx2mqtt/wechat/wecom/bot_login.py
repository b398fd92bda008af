"""The login of one account: the bot in use, and what is saved of it.

    await login.load()
    login.use(bot)                                                configured, saved, or made by a scan
    await login.record_end(End.TAKEN_OVER, "another program …")   it is not used again until a person asks

The login (`SavedBot`) is a value: a change replaces it, and is saved at once. An instance that has lost its
lease, and with it the account, saves nothing: the saved login is then that of another instance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import structlog

from wx2mqtt.errors import LoggedOut, LoginEnded, LoginRefused, StoreError, Unreachable
from wx2mqtt.model import Handle
from wx2mqtt.wechat.backend_options import BackendOptions
from wx2mqtt.wechat.wecom.protocol.session import (
    BotCredentials,
    End,
    SavedBot,
    read_saved_bot,
)

log = structlog.get_logger(__name__)

# How often it is saved that the connection is alive.
ALIVE_INTERVAL_MS = 300_000


class BotLogin:
    """The login of one account. `text` returns a sentence for people in its language."""

    def __init__(
        self, options: BackendOptions, configured: BotCredentials | None, text: Callable[..., str]
    ) -> None:
        self._clock = options.clock
        self._endpoint = options.endpoint
        self._text = text
        self._credentials = options.credentials
        #: The credentials of the configuration; None: a scan makes the bot.
        self.configured = configured
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

    async def load(self) -> None:
        """Loads the saved login, at the first call only. Raises `StoreError`."""
        if self._loaded:
            return
        bot = read_saved_bot(await self._credentials.load() or {})
        if bot is not None and bot.endpoint == (self._endpoint or ""):
            self.saved = bot
        self._loaded = True

    @property
    def bot(self) -> SavedBot:
        """The bot in use. Raises `LoggedOut` when there is none."""
        if self._current is None:
            raise LoggedOut(self._text("no_login"))
        return self._current

    @property
    def is_in_use(self) -> bool:
        return self._current is not None

    def credentials(self) -> BotCredentials:
        """Returns what the bot in use subscribes with."""
        configured = self.configured
        if configured is not None and configured.bot_id == self.bot.bot_id:
            return configured
        return BotCredentials(bot_id=self.bot.bot_id, secret=self.bot.secret)

    def use_secret(self, bot_id: str, secret: str) -> bool:
        """Replaces the secret of the configured bot.

        Returns False, and changes nothing, for another bot and for the same secret.
        """
        before, now = self.configured, BotCredentials(bot_id=bot_id, secret=secret)
        if before is None or before.bot_id != bot_id or not secret or now == before:
            return False
        self.configured = now
        return True

    def use(self, bot: SavedBot) -> None:
        """Makes a bot the one in use; nothing is saved or sent yet."""
        self._current = bot
        self.last_alive = bot.alive

    async def log_out(self) -> None:
        """Ends the login, as somebody asked. Raises `StoreError`.

        - A bot of a scan is forgotten. Until the process ends `known_bot` still says when it was last alive.
        - A configured bot is not used until a person asks.
        - A bot that was never saved, as that of a stranger who scanned, leaves the saved login as it is.
        """
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
            await self.save(replace(self.saved, ended=End.LOGGED_OUT, reason=self._text("logged_out")))

    def known_bot(self, bot_id: str) -> SavedBot | None:
        """Returns what is known of a bot that was used before; None for any other."""
        for bot in (self.saved, self._logged_out):
            if bot is not None and bot.bot_id == bot_id:
                return bot
        return None

    async def record_end(self, ended: End, reason: str) -> None:
        """Saves why the bot is not used any more. Where that fails, it counts until the process ends.

        An instance without its lease saves nothing: "the other program" is the instance that has it now.
        """
        if self.bot.ended is not ended and self._clock.lease.is_valid:
            await self.save_if_possible(replace(self.bot, ended=ended, reason=reason))

    def require_usable(self, bot: SavedBot) -> None:
        """Raises the error that says why a bot is not used until a person asks."""
        match bot.ended:
            case End.NOT_ENDED:
                return
            case End.REFUSED:
                raise LoginRefused(bot.reason, is_correctable=True)
            case End.TAKEN_OVER | End.LOGGED_OUT:
                raise LoginEnded(bot.reason)

    async def remember_chats(self, chats: Iterable[Handle]) -> None:
        """Saves in which chats somebody has written. A failure is logged: the chats are only listed."""
        bot = self.bot.with_chats(chats)
        if bot != self.bot:
            await self.save_if_possible(bot)

    async def save_uploads(self, begun_at: Sequence[int]) -> None:
        """Saves when uploads of this bot began, before the newest does. Raises `Unreachable`.

        So a process that is killed meanwhile never has more uploads than WeCom takes.
        """
        if not self._clock.lease.is_valid:  # the account and its login are another instance's now
            raise Unreachable(self._text("no_connection"))
        try:
            await self.save(replace(self.bot, uploads=tuple(begun_at)))
        except StoreError as why:
            raise Unreachable(str(why)) from None

    async def save_if_possible(self, bot: SavedBot) -> None:
        """Saves a change. An instance that has lost the account saves none: the login is another one's."""
        self._current = bot
        if not self._clock.lease.is_valid:
            return
        try:
            await self.save(bot)
        except StoreError as why:
            log.error("login not saved", reason=str(why))

    async def save(self, bot: SavedBot) -> None:
        """Saves a change after those of earlier calls. Raises `StoreError`."""
        if self._current is not None:
            self._current = bot  # at once: a change that is made before this one is saved builds on it
        async with self._save_order:
            await self._credentials.save(bot.to_saved())
            self.saved = bot
