"""Signing in: go on with a saved login, else show QR codes (ilink 3). Only conversations."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from wx2mqtt.errors import GatewayError, LoginRefused, Unreachable
from wx2mqtt.model import Cursor, Handle
from wx2mqtt.retry import Backoff
from wx2mqtt.wechat.gateway import CodeOver, LoggedIn, LoginStep, ShowQr
from wx2mqtt.wechat.ilink import requests, responses
from wx2mqtt.wechat.ilink.channel import Channel
from wx2mqtt.wechat.ilink.hosts import host_of
from wx2mqtt.wechat.ilink.position import Position
from wx2mqtt.wechat.ilink.responses import QrCode, ScanAnswer
from wx2mqtt.wechat.ilink.scanning import LIFETIME, Bound, Confirmed, Scanning, Typed
from wx2mqtt.wechat.ilink.session import Bot

log = structlog.get_logger(__name__)

APART = 1.0  # seconds between codes that are over at once, at first
PROBE = 600.0  # seconds between two looks whether WeChat takes a login again that it had ended
TRIES = 3


class SignIn:
    """The ways in. `typed` is where a number comes from that the phone shows."""

    def __init__(self, channel: Channel, typed: Typed) -> None:
        self._channel = channel
        self._timing = channel.timing
        self._typed = typed
        self._denied: set[str] = set()

    async def steps(self, *, resume: bool) -> AsyncGenerator[LoginStep, None]:
        """As `Gateway.login`."""
        channel = self._channel
        await channel.load()
        saved = self._saved()
        if resume and saved is not None:
            if await channel.is_good(saved):
                yield await self._resumed(saved)
                return
            log.info("saved login refused")
        async with aclosing(self._by_qr_code()) as steps:
            async for step in steps:
                yield step

    def _saved(self) -> Bot | None:
        """The login that would go on: nobody has logged out of it."""
        return next((bot for bot in self._channel.held() if not bot.over), None)

    async def _by_qr_code(self) -> AsyncGenerator[LoginStep, None]:
        """QR codes without end, each as soon as the one before is over; slower when they are over at once."""
        backoff = Backoff(first=APART)
        while True:
            began = self._timing.monotonic()
            code = await self._new_code()
            yield ShowQr(url=code.content, lifetime=LIFETIME)
            async with aclosing(self._scanning(code)) as steps:
                async for step in steps:
                    yield step
                    if isinstance(step, LoggedIn):
                        return
            yield CodeOver()
            lasted = self._timing.monotonic() - began
            backoff = backoff.reset() if lasted > backoff.cap else backoff.failed()
            await self._timing.sleep(backoff.wait(self._timing.chance()))

    async def _new_code(self) -> QrCode:
        channel = self._channel
        tokens = tuple(bot.token for bot in channel.held() if bot.id not in self._denied)
        request = requests.qr_code(channel.hosts.login, tokens, channel.dice())
        code = responses.qr_code(await channel.answered(request))
        if not code.handle:
            raise Unreachable(channel.words("no_code", ret=code.ret))
        return code

    async def _scanning(self, code: QrCode) -> AsyncGenerator[LoginStep, None]:
        """One code. No `LoggedIn` when it is over; between two polls an old login may be good again."""
        async with aclosing(Scanning(self._channel, code.handle, self._typed).steps()) as steps:
            async for step in steps:
                match step:
                    case Confirmed(answer):
                        yield await self._entered(answer)
                        return
                    case Bound():
                        if (known := await self._known()) is not None:
                            yield known
                        return
                    case None:
                        if (again := await self._good_again()) is not None:
                            yield again
                            return
                    case _:
                        yield step

    async def _entered(self, answer: ScanAnswer) -> LoggedIn:
        """A new login; without id, token and person it is none (ilink 3.3)."""
        channel = self._channel
        if not (answer.bot and answer.token and answer.user):
            raise LoginRefused(channel.words("no_credentials"))
        base = channel.hosts.base(answer.base)
        if base is None:
            raise LoginRefused(channel.words("foreign_host", host=host_of(answer.base) or "?"))
        user, endpoint = Handle(answer.user), channel.hosts.endpoint
        channel.enter(Bot(id=answer.bot, token=answer.token, user=user, base=base, endpoint=endpoint))
        await channel.save_if_possible()
        try:
            await channel.is_good(channel.bot)
        except GatewayError as why:  # it is only told that we are here
            log.info("presence not told", reason=str(why))
        return self._logged_in(resumed=False)

    async def _known(self) -> LoggedIn | None:
        """The login to which the person is bound already; None where WeChat takes none all the same."""
        held = [bot for bot in self._channel.held() if bot.id not in self._denied]
        for bot in held:
            if await self._surely_good(bot):
                return await self._resumed(bot)
        log.warning("WeChat knows a login of ours and takes none", logins=len(held))
        self._denied.update(bot.id for bot in held)  # the next code asks for a new one
        return None

    async def _surely_good(self, bot: Bot) -> bool:
        """The person has scanned; one lost answer must not make them scan again."""
        for _ in range(TRIES - 1):
            try:
                return await self._channel.is_good(bot)
            except Unreachable as why:
                log.info("trying again", reason=str(why))
                await self._timing.sleep(APART)
        return await self._channel.is_good(bot)

    async def _good_again(self) -> LoggedIn | None:
        """Very seldom: whether WeChat takes a login again that it had ended (ilink 4.6)."""
        saved = self._saved()
        if saved is None or self._timing.monotonic() - self._channel.probed < PROBE:
            return None
        self._channel.probed = self._timing.monotonic()
        try:
            return await self._resumed(saved) if await self._channel.is_good(saved) else None
        except Unreachable:
            return None

    async def _resumed(self, bot: Bot) -> LoggedIn:
        self._channel.enter(bot)
        await self._channel.save_if_possible()
        return self._logged_in(resumed=True)

    def _logged_in(self, *, resumed: bool) -> LoggedIn:
        bot = self._channel.bot
        cursor = Cursor(bot.cursor) if bot.cursor else Position().cursor()
        return LoggedIn(owner=bot.owner, login_id=bot.login_id, resumed=resumed, cursor=cursor)
