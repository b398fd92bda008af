"""iLink behind the seam: which conversation does what."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress

import httpx

from wx2mqtt.errors import LoggedOut, Rejected
from wx2mqtt.model import (
    Action,
    Contact,
    Cursor,
    Done,
    Draft,
    Handle,
    MediaRef,
    Member,
    Receipt,
    Said,
    SendKey,
    Window,
)
from wx2mqtt.wechat.gateway import Batch, LoggedIn, LoginStep, Lookup, Progress, Vault
from wx2mqtt.wechat.http import Observe
from wx2mqtt.wechat.ilink.capabilities import CAPABILITIES
from wx2mqtt.wechat.ilink.channel import Channel
from wx2mqtt.wechat.ilink.downloading import download
from wx2mqtt.wechat.ilink.hosts import Hosts
from wx2mqtt.wechat.ilink.inbox import Inbox, contact
from wx2mqtt.wechat.ilink.indicator import Indicator
from wx2mqtt.wechat.ilink.outbox import Outbox
from wx2mqtt.wechat.ilink.scanning import Typed
from wx2mqtt.wechat.ilink.servertime import ServerTime
from wx2mqtt.wechat.ilink.signin import SignIn
from wx2mqtt.wechat.ilink.transport import Transport
from wx2mqtt.wechat.timing import Timing
from wx2mqtt.words import Language


def _unobserved(_call: str, _outcome: str, _seconds: float) -> None:
    """Nobody counts."""


async def _nothing_said(_message_id: str) -> Said | None:
    """Nobody remembers."""
    return None


class ILink:
    """One person's bot. `endpoint` is one address that stands for all of WeChat's hosts, `hosts` are believed
    besides Tencent's, `typing` shows the person that something is coming, `said` tells what was said.

    `observe` is told of every exchange; `timeouts` replace those of `endpoints`, in seconds by name of the
    call; `door` replaces the network.
    """

    capabilities = CAPABILITIES

    def __init__(
        self,
        vault: Vault,
        *,
        endpoint: str | None = None,
        hosts: tuple[str, ...] = (),
        typing: bool = False,
        said: Lookup = _nothing_said,
        language: Language = "en",
        timing: Timing | None = None,
        observe: Observe = _unobserved,
        timeouts: Mapping[str, float] | None = None,
        door: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        timing = timing or Timing()
        clock = ServerTime(timing)
        self._transport = Transport(
            endpoint=endpoint,
            language=language,
            timing=timing,
            clock=clock,
            observe=observe,
            timeouts=timeouts or {},
            door=door,
        )
        self._channel = Channel(
            self._transport,
            vault,
            hosts=Hosts(endpoint=endpoint, more=hosts),
            language=language,
            timing=timing,
            clock=clock,
        )
        self._said = said
        self._indicator = Indicator(self._channel, wanted=typing)
        self._typed = Typed()
        self._inbox: Inbox | None = None
        self._outbox: Outbox | None = None

    async def login(self, *, resume: bool) -> AsyncGenerator[LoginStep, None]:
        """As `Gateway.login`."""
        async with aclosing(SignIn(self._channel, self._typed).steps(resume=resume)) as steps:
            async for step in steps:
                if isinstance(step, LoggedIn):
                    self._inbox = Inbox(self._channel, self._said)
                    self._outbox = Outbox(self._channel, self._indicator)
                yield step

    def give_code(self, code: str) -> None:
        """As `Gateway.give_code`."""
        self._typed.give(code)

    async def people(self, progress: Progress) -> AsyncGenerator[tuple[Contact, ...], None]:
        """As `Gateway.people`: the person who scanned, and whoever else has written to this bot."""
        bot = self._channel.bot
        known = tuple(contact(user) for user in dict.fromkeys((bot.user, *bot.chats)))
        progress(len(known))
        yield known

    async def receive(self, cursor: Cursor) -> Batch:
        """As `Gateway.receive`."""
        if self._inbox is None:
            raise LoggedOut(self._channel.words("no_login"))
        return await self._inbox.receive(cursor)

    async def prepare(self, draft: Draft) -> None:
        """As `Gateway.prepare`."""
        if self._outbox is None:
            raise LoggedOut(self._channel.words("no_login"))
        await self._outbox.prepare(draft)

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        """As `Gateway.send`."""
        if self._outbox is None:
            raise LoggedOut(self._channel.words("no_login"))
        return await self._outbox.send(draft, key)

    def window(self, handle: Handle) -> Window | None:
        """As `Gateway.window`."""
        return self._channel.window(handle)

    async def act(self, action: Action, key: SendKey) -> Done:  # noqa: ARG002 - the seam's
        """As `Gateway.act`: nothing of the kind can be done."""
        raise Rejected(self._channel.words("no_action"), code="unsupported")

    async def members(self, group: Handle) -> tuple[Member, ...]:  # noqa: ARG002 - the seam's
        """As `Gateway.members`: there are no groups."""
        return ()

    def avatar(self, handle: Handle) -> MediaRef | None:  # noqa: ARG002 - the seam's
        """As `Gateway.avatar`: there are none."""
        return None

    def download(self, media: MediaRef) -> AsyncGenerator[bytes, None]:
        """As `Gateway.download`."""
        return download(self._channel, media)

    async def logout(self) -> None:
        """As `Gateway.logout`. WeChat has no call for it; the token is kept, and used no more (ilink 3.5)."""
        with suppress(LoggedOut):
            await self._channel.say_goodbye()
        self._inbox = self._outbox = None
        await self._channel.leave()

    async def close(self) -> None:
        """As `Gateway.close`."""
        try:
            await self._indicator.close()
            if self._inbox is not None:
                await self._channel.say_goodbye()
            await self._channel.save_if_possible()
        finally:
            await self._transport.close()
