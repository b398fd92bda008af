"""Logs in to iLink: with a saved login, else by QR codes (ilink 3).

1. The newest saved login is used if WeChat still accepts it; after a renewal also the one before.
2. Else a person scans a QR code, and WeChat answers with new credentials (`Confirmed`), or that this person
   has a bot already (`AlreadyBound`): then the saved login of that bot is used.
3. Meanwhile WeChat is asked every ten minutes whether it accepts the saved login again.

`renewal_steps` offers one code while the current login goes on (ilink 10.4.2): the request names no saved
login, so that WeChat answers with a new one. The earlier login stays saved until the new one has received.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial

import structlog

from wx2mqtt.errors import LoginRefused, Unreachable
from wx2mqtt.model import Cursor, Handle
from wx2mqtt.wechat.backend import (
    LoggedIn,
    LoginStep,
    QrExpired,
    ShowQr,
)
from wx2mqtt.wechat.backend_options import LoginFilter, any_login
from wx2mqtt.wechat.http_client import with_retries
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.protocol import requests, responses
from wx2mqtt.wechat.ilink.protocol.responses import ScanAnswer
from wx2mqtt.wechat.ilink.protocol.session import Bot, SyncCursor
from wx2mqtt.wechat.ilink.protocol.trusted_hosts import host_of
from wx2mqtt.wechat.ilink.qr_poll import (
    QR_LIFETIME_SECONDS,
    AlreadyBound,
    Confirmed,
    NoNews,
    QrPoll,
    VerificationCode,
)
from wx2mqtt.wechat.qr_login import LoginCode, qr_login_steps

log = structlog.get_logger(__name__)

# The least time between two checks whether WeChat accepts a login again that it had ended (ilink 4.6.2).
LOGIN_PROBE_INTERVAL_SECONDS = 600.0


class LoginFlow:
    """Logs in once. `verification_code` passes on the number that the phone shows.

    Saved logins that are not `usable` stay saved, but WeChat does not get their tokens: it would answer that
    the person who scans is bound to one of them, and not to which (ilink 3.4.2).
    """

    def __init__(
        self, client: ApiClient, verification_code: VerificationCode, usable: LoginFilter = any_login
    ) -> None:
        self._client = client
        self._logins = client.logins
        self._usable = usable
        self._clock = client.clock
        self._verification_code = verification_code
        #: The ids of the saved logins that WeChat refused after a scan, although it named the person bound.
        self._refused_ids: set[str] = set()

    async def steps(self, *, resume: bool) -> AsyncGenerator[LoginStep, None]:
        """Yields the steps of `Backend.login`."""
        client = self._client
        await self._logins.load()
        resumable = self._resumable_bots() if resume else []
        for saved in resumable:
            if await client.is_login_valid(saved):
                yield await self._resume(saved)
                return
            log.info("saved login refused")
        async with aclosing(qr_login_steps(self, self._clock)) as steps:
            async for step in steps:
                yield step

    async def renewal_steps(self, *, requested: bool) -> AsyncGenerator[LoginStep, None]:
        """Yields the steps of `Backend.renew`."""
        client = self._client
        code = await self.fetch_code(with_tokens=False)
        if not requested:
            await self._logins.record_offer()
        yield ShowQr(url=code.url, lifetime=code.lifetime_seconds)
        async with aclosing(QrPoll(client, code.code_id, self._verification_code).steps()) as steps:
            async for step in steps:
                match step:
                    case Confirmed(answer):
                        bot = replace(self._new_bot(answer), keeps_earlier=True)
                        await self._logins.save_renewed(bot, usable=self._usable(bot.owner))
                        yield _logged_in(bot, resumed=False)
                        return
                    case AlreadyBound() | NoNews():
                        pass
                    case _:
                        yield step
        yield QrExpired()

    def _resumable_bots(self) -> list[Bot]:
        """Returns the newest saved login, and after a renewal the earlier one of the same person.

        Nobody has logged out from them.
        """
        saved = self._logins.saved_bots()
        bots = [bot for bot in saved if self._usable(bot.owner) and not bot.logged_out]
        return [bot for bot in bots if bot.user == bots[0].user]

    def _bots_for_codes(self) -> list[Bot]:
        """Returns the logins whose tokens go with the request for a code, newest first.

        Also one that somebody has logged out from: WeChat may issue no other (ilink 3.5.1).
        """
        saved = self._logins.saved_bots()
        return [bot for bot in saved if self._usable(bot.owner) and bot.id not in self._refused_ids]

    async def fetch_code(self, *, with_tokens: bool = True) -> LoginCode:
        """Asks WeChat for a new code.

        By the tokens of saved logins WeChat may find out that one of them is still valid (ilink 3.1.2).
        """
        client = self._client
        tokens = tuple(bot.token for bot in self._bots_for_codes()) if with_tokens else ()
        request = requests.qr_code_request(client.hosts.login, tokens, secrets.randbits(32), client.version)
        code = responses.read_qr_code(await client.call_json(request))
        if not code.code_id:
            raise Unreachable(client.text("no_code", ret=code.ret))
        return LoginCode(code_id=code.code_id, url=code.content, lifetime_seconds=QR_LIFETIME_SECONDS)

    async def poll_code(self, code_id: str) -> AsyncGenerator[LoginStep, None]:
        """Polls the state of a code; between two polls an old login may become valid again."""
        async with aclosing(QrPoll(self._client, code_id, self._verification_code).steps()) as steps:
            async for step in steps:
                match step:
                    case Confirmed(answer):
                        yield await self._complete_login(answer)
                        return
                    case AlreadyBound():
                        existing = await self._existing_login()
                        if existing is not None:
                            yield existing
                        return
                    case NoNews():
                        reactivated = await self._reactivated_login()
                        if reactivated is not None:
                            yield reactivated
                            return
                    case _:
                        yield step

    async def _complete_login(self, answer: ScanAnswer) -> LoggedIn:
        """Makes the new login the current one. Raises `LoginRefused`."""
        self._logins.set_current(self._new_bot(answer))
        await self._logins.save_if_possible()
        await self._client.notify_start()
        return _logged_in(self._logins.bot, resumed=False)

    def _new_bot(self, answer: ScanAnswer) -> Bot:
        """Returns the new login. Raises `LoginRefused` where id, token or user is missing (ilink 3.3.2)."""
        client = self._client
        if not (answer.bot and answer.token and answer.user):
            raise LoginRefused(client.text("no_credentials"))
        base = client.hosts.base_url(answer.base)
        if base is None:
            raise LoginRefused(client.text("foreign_host", host=host_of(answer.base) or "?"))
        return Bot(
            id=answer.bot,
            token=answer.token,
            user=Handle(answer.user),
            base=base,
            endpoint=client.hosts.endpoint,
            made=client.clock.now,
        )

    async def _existing_login(self) -> LoggedIn | None:
        """Returns the saved login to which the person is bound, or None where WeChat refuses all of them."""
        candidates = self._bots_for_codes()
        for bot in candidates:
            # One lost answer must not make the person scan again.
            if await with_retries(partial(self._client.is_login_valid, bot), self._clock):
                return await self._resume(bot)
        log.warning("WeChat knows a login of ours and takes none", logins=len(candidates))
        self._refused_ids.update(bot.id for bot in candidates)  # so the next QR code leads to a new login
        return None

    async def _reactivated_login(self) -> LoggedIn | None:
        """Returns the saved login if WeChat accepts it again after it had ended it (ilink 4.6.2).

        Asks WeChat at most every `LOGIN_PROBE_INTERVAL_SECONDS`.
        """
        bots = self._resumable_bots()
        now = self._clock.monotonic()
        if not bots or now - self._client.last_probe_at < LOGIN_PROBE_INTERVAL_SECONDS:
            return None
        self._client.last_probe_at = now
        try:
            is_valid = await self._client.is_login_valid(bots[0])
        except Unreachable:
            return None
        return await self._resume(bots[0]) if is_valid else None

    async def _resume(self, bot: Bot) -> LoggedIn:
        self._logins.set_current(bot)
        await self._logins.save_if_possible()
        return _logged_in(self._logins.bot, resumed=True)


def _logged_in(bot: Bot, *, resumed: bool) -> LoggedIn:
    cursor = Cursor(bot.cursor) if bot.cursor else SyncCursor().to_cursor()
    return LoggedIn(owner=bot.owner, login_id=bot.login_id, resumed=resumed, cursor=cursor)
