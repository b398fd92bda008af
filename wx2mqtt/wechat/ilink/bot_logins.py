"""The logins of one iLink account: the saved ones, which of them is in use, and the states of its chats.

    logins.set_current(bot)                        after a scan, or a check that WeChat accepts a saved login
    logins.store_chats({user: chat})               somebody has written, or a reply was sent
    await logins.record_stored(cursor, has_received=True)

A login is a value (`Bot`): a change replaces it. `save_if_possible` saves it at once, `record_stored` soon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from wx2mqtt.errors import LoggedOut, StoreError
from wx2mqtt.model import Handle, ReplyWindow
from wx2mqtt.wechat.backend_options import BackendOptions
from wx2mqtt.wechat.ilink.ilink_http import ServerClock
from wx2mqtt.wechat.ilink.protocol import session
from wx2mqtt.wechat.ilink.protocol.reply_window import ChatWindow, chat_after_rebinding
from wx2mqtt.wechat.ilink.protocol.session import Bot

log = structlog.get_logger(__name__)

# `record_stored` saves at most so often. What a crash loses are counts, and a copy of the cursor.
SAVE_INTERVAL_SECONDS = 2.0

# How many offers of a renewal are recorded with a login.
MAX_RECORDED_OFFERS = 10


class BotLogins:
    """The logins of one account. `text` returns a sentence for people in its language."""

    def __init__(self, options: BackendOptions, server_clock: ServerClock, text: Callable[..., str]) -> None:
        self._clock = options.clock
        self._server_clock = server_clock
        self._text = text
        self._endpoint = options.endpoint
        self._credentials = options.credentials
        #: All saved logins, also those of other endpoints: the newest first.
        self._bots: tuple[Bot, ...] = ()
        #: `_bots` has been read from the credential store.
        self._loaded = False
        #: The id of the login in use, which is one of `_bots`; None without one.
        self._current_id: str | None = None
        #: `_bots` has changed since it was saved.
        self._unsaved = False
        #: When `_bots` was last saved, on the monotonic clock.
        self._saved_at = float("-inf")

    @property
    def bot(self) -> Bot:
        """The current login. Raises `LoggedOut` when there is none."""
        current = next((bot for bot in self._bots if bot.id == self._current_id), None)
        if current is None:
            raise LoggedOut(self._text("no_login"))
        return current

    def is_current(self, bot_id: str) -> bool:
        return self._current_id == bot_id

    def saved_bots(self) -> tuple[Bot, ...]:
        """Returns the logins that were made through the configured endpoint, newest first."""
        return tuple(bot for bot in self._bots if bot.endpoint == self._endpoint)

    async def load(self) -> None:
        """Loads the saved logins, at the first call only. Raises `StoreError`."""
        if not self._loaded:
            saved = await self._credentials.load()
            self._bots = session.bots_from_saved(saved or {})
            self._loaded = True

    def set_current(self, bot: Bot) -> None:
        """Makes a new or saved login the current one; the next save is not throttled."""
        made = bot.made or self._clock.now  # an earlier version did not record it
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
        self._update_bot(replace(bot, offers=(*bot.offers, self._clock.now)[-MAX_RECORDED_OFFERS:]))
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
        window = self._newest_chat(user).reply_window(self._server_clock.now())
        if window.until is None:
            return window
        return replace(window, until=self._server_clock.to_local(window.until))

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
            # `with_bot` also removes the earlier login, which is not kept any more.
            self._bots = session.with_bot(self._bots, replace(self.bot, keeps_earlier=False))
            self._unsaved = True
        if self._clock.monotonic() - self._saved_at >= SAVE_INTERVAL_SECONDS:
            await self.save_if_possible()

    def _update_bot(self, bot: Bot) -> None:
        self._bots = session.with_changed_bot(self._bots, bot)
        self._unsaved = True

    async def save_if_possible(self) -> None:
        """Saves changes. A failure is logged, and the next call tries again."""
        if not self._unsaved:
            return
        self._saved_at = self._clock.monotonic()
        self._unsaved = False
        try:
            await self._credentials.save(session.bots_to_saved(self._bots))
        except StoreError as why:
            self._unsaved = True
            log.error("login not saved", reason=str(why))
