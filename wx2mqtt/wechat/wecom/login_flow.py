"""Logs in to WeCom: with configured credentials, a saved bot, or one that a scan makes (wecom 2, 3).

1. Credentials of the configuration are used at once.
2. Without them the bot of an earlier scan is used.
3. Without one a person scans a QR code with the WeCom app, and WeCom makes a bot, which is saved.

A bot that was taken over or refused is used again only when a person asks (`resume` is false), or with other
credentials: two programs must never end each other's connections in a loop (wecom 2.6).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import structlog

from wx2mqtt.errors import Unreachable
from wx2mqtt.model import Cursor, Handle, Owner
from wx2mqtt.wechat.backend import (
    LoggedIn,
    LoginStep,
    PollFailing,
    PollRecovered,
    Scanned,
)
from wx2mqtt.wechat.backend_options import LoginFilter
from wx2mqtt.wechat.http_client import BadAnswer
from wx2mqtt.wechat.json_reader import JsonObject, read_number
from wx2mqtt.wechat.qr_login import CONFIRM_TIMEOUT_SECONDS, LoginCode, OutageDetector, qr_login_steps
from wx2mqtt.wechat.wecom.client import WeComClient
from wx2mqtt.wechat.wecom.protocol import qr_scan
from wx2mqtt.wechat.wecom.protocol.endpoints import GENERATE, QUERY_RESULT, qr_base
from wx2mqtt.wechat.wecom.protocol.session import BotCredentials, End, SavedBot

log = structlog.get_logger(__name__)

# Queries that fail for so long are reported.
OUTAGE_AFTER_SECONDS = 10.0


class LoginFlow:
    """Logs in once. `source` names this program to WeCom, `bot_name` is the name of the bot in its groups.

    A bot that is not `usable` gets no connection: the caller refuses its login.
    """

    def __init__(self, client: WeComClient, usable: LoginFilter, *, source: str, bot_name: str) -> None:
        self._client = client
        self._bot_login = client.login
        self._clock = client.clock
        self._usable = usable
        self._source = source
        self._bot_name = bot_name
        self._base = qr_base(client.endpoint)

    async def steps(self, *, resume: bool) -> AsyncGenerator[LoginStep, None]:
        """Yields the steps of `Backend.login`."""
        await self._bot_login.load()
        configured = self._bot_login.configured
        if configured is not None:
            yield await self._use_bot(self._configured_bot(configured), resume=resume)
            return
        saved = self._bot_login.saved
        if saved is not None and self._is_resumable(saved, resume=resume):
            yield await self._use_bot(saved, resume=resume)
            return
        async with aclosing(qr_login_steps(self, self._clock)) as steps:
            async for step in steps:
                yield step

    def _configured_bot(self, configured: BotCredentials) -> SavedBot:
        """Returns what is known of the configured bot; nothing where its credentials have changed."""
        saved = self._bot_login.saved
        if saved is not None and saved.digest == configured.digest:
            return saved
        bot = SavedBot(
            bot_id=configured.bot_id, digest=configured.digest, endpoint=self._client.endpoint or ""
        )
        if saved is not None and saved.bot_id == configured.bot_id:  # it has another secret now
            return replace(bot, chats=saved.chats, alive=saved.alive, uploads=saved.uploads, sent=saved.sent)
        return bot

    def _is_resumable(self, saved: SavedBot, *, resume: bool) -> bool:
        """Returns whether the bot of a scan is used; when a person asks, not one that was refused."""
        if not saved.is_scanned or not self._usable(self._owner_of(saved)):
            return False
        return resume or saved.ended is not End.REFUSED

    async def _use_bot(self, bot: SavedBot, *, resume: bool) -> LoggedIn:
        """Makes a bot the one in use, and subscribes. Raises also `LoginEnded` and `LoginRefused`."""
        if resume:
            self._bot_login.require_usable(bot)
        saved = self._bot_login.saved
        is_known = saved is not None and saved.bot_id == bot.bot_id
        self._bot_login.use(bot)
        if self._usable(self._owner_of(bot)):
            await self._client.subscribe()
        return LoggedIn(
            owner=self._owner_of(bot),
            login_id=f"wecom:{bot.bot_id}",
            resumed=is_known,
            cursor=Cursor(""),
            is_configured=not bot.is_scanned,
        )

    def _owner_of(self, bot: SavedBot) -> Owner:
        return Owner(handle=Handle(bot.bot_id), nickname=self._bot_name)

    # A scan

    async def fetch_code(self) -> LoginCode:
        """Asks WeCom for a new code. Raises `Unreachable`."""
        client = self._client
        answer = await client.http.call_json(GENERATE, qr_scan.generate_url(self._base, self._source))
        code = qr_scan.read_scan_code(answer)
        if code is None:
            raise BadAnswer(client.text("no_code", ret=read_number(answer, "errcode")))
        return LoginCode(code_id=code.scode, url=code.url, lifetime_seconds=qr_scan.CODE_SECONDS)

    async def poll_code(self, code_id: str) -> AsyncGenerator[LoginStep, None]:
        """Asks for the state of a code every `POLL_SECONDS`, until it is confirmed or has expired."""
        now = self._clock.monotonic
        outage = OutageDetector(now(), OUTAGE_AFTER_SECONDS)
        deadline = now() + qr_scan.CODE_SECONDS
        is_scanned = False
        while now() < deadline:
            await self._clock.sleep(qr_scan.POLL_SECONDS)
            try:
                answer = await self._query(code_id)
            except Unreachable as why:
                if outage.record_failure(now()):
                    yield PollFailing(reason=str(why))
                continue
            if outage.record_success(now()):
                yield PollRecovered()
            scan = qr_scan.read_scan(answer)
            if scan.credentials is not None:
                yield await self._use_bot(self._scanned_bot(scan.credentials), resume=False)
                return
            if scan.state is qr_scan.ScanState.FAILED:
                log.warning("WeCom made no bot from a scan", ret=read_number(answer, "errcode"))
            if scan.state in {qr_scan.ScanState.EXPIRED, qr_scan.ScanState.FAILED}:
                return
            if scan.state is qr_scan.ScanState.SCANNED and not is_scanned:
                is_scanned = True
                deadline = max(deadline, now() + CONFIRM_TIMEOUT_SECONDS)
                yield Scanned()

    async def _query(self, code_id: str) -> JsonObject:
        """Returns the state of a code. An error code says nothing about it: it is asked for again."""
        client = self._client
        answer = await client.http.call_json(QUERY_RESULT, qr_scan.query_url(self._base, code_id))
        errcode = read_number(answer, "errcode")
        if errcode:
            raise BadAnswer(client.text("failed", ret=errcode, call=QUERY_RESULT.name))
        return answer

    def _scanned_bot(self, credentials: BotCredentials) -> SavedBot:
        """Returns the bot of a scan, and what is known of it from before: a person has one bot."""
        known = self._bot_login.known_bot(credentials.bot_id)
        return SavedBot(
            bot_id=credentials.bot_id,
            secret=credentials.secret,
            endpoint=self._client.endpoint or "",
            alive=0 if known is None else known.alive,
            chats=() if known is None else known.chats,
        )
