"""Web WeChat behind the seam: which conversation does what."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import httpx
import structlog

from wx2mqtt.errors import GatewayError, LoggedOut
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
    SendKey,
    Window,
)
from wx2mqtt.wechat.fields import Entry
from wx2mqtt.wechat.gateway import Batch, LoggedIn, LoginStep, Progress, Vault
from wx2mqtt.wechat.http import Observe
from wx2mqtt.wechat.timing import Timing
from wx2mqtt.wechat.webwx import requests
from wx2mqtt.wechat.webwx.addressbook import AddressBook
from wx2mqtt.wechat.webwx.capabilities import CAPABILITIES
from wx2mqtt.wechat.webwx.channel import Channel
from wx2mqtt.wechat.webwx.deeds import Deeds
from wx2mqtt.wechat.webwx.downloading import download
from wx2mqtt.wechat.webwx.entrance import Entrance
from wx2mqtt.wechat.webwx.inbox import Inbox
from wx2mqtt.wechat.webwx.locators import of_person
from wx2mqtt.wechat.webwx.outbox import Outbox
from wx2mqtt.wechat.webwx.requests import Desktop
from wx2mqtt.wechat.webwx.roster import Roster
from wx2mqtt.wechat.webwx.signin import SignIn
from wx2mqtt.wechat.webwx.transport import Transport
from wx2mqtt.words import Language

log = structlog.get_logger(__name__)


def _unobserved(_call: str, _outcome: str, _seconds: float) -> None:
    """Nobody counts."""


class WebWx:
    """One account on web WeChat. `endpoint` is one address that stands for all of WeChat's hosts.

    `observe` is told of every exchange; `timeouts` replace those of `endpoints`, in seconds by name of the
    call; `door` replaces the network.
    """

    capabilities = CAPABILITIES

    def __init__(
        self,
        vault: Vault,
        *,
        endpoint: str | None = None,
        desktop: Desktop | None = None,
        language: Language = "en",
        timing: Timing | None = None,
        observe: Observe = _unobserved,
        timeouts: Mapping[str, float] | None = None,
        door: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        timing = timing or Timing()
        transport = Transport(
            endpoint=endpoint,
            language=language,
            timing=timing,
            observe=observe,
            timeouts=timeouts or {},
            door=door,
        )
        self._transport = transport
        self._channel = Channel(
            transport, vault, endpoint=endpoint, desktop=desktop, language=language, timing=timing
        )
        self._roster: Roster | None = None
        self._people: AddressBook | None = None
        self._inbox: Inbox | None = None
        self._outbox: Outbox | None = None
        self._deeds: Deeds | None = None

    async def login(self, *, resume: bool) -> AsyncGenerator[LoginStep, None]:
        """As `Gateway.login`. Raises `LoggedOut` too, where WeChat ends a new login at once (webwx 5.1)."""
        entrance = Entrance(self._channel)
        async with aclosing(SignIn(self._channel, entrance).steps(resume=resume)) as steps:
            async for step in steps:
                if isinstance(step, LoggedIn):
                    self._begin(step, entrance.known)
                yield step

    async def people(self, progress: Progress) -> AsyncGenerator[tuple[Contact, ...], None]:
        """As `Gateway.people`."""
        people = self._people
        if people is None:
            raise LoggedOut(self._channel.words("no_login"))
        async with aclosing(people.pages(progress)) as pages:
            async for page in pages:
                yield page

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

    async def act(self, action: Action, key: SendKey) -> Done:
        """As `Gateway.act`."""
        if self._deeds is None:
            raise LoggedOut(self._channel.words("no_login"))
        return await self._deeds.act(action, key)

    async def members(self, group: Handle) -> tuple[Member, ...]:
        """As `Gateway.members`."""
        if self._people is None:
            raise LoggedOut(self._channel.words("no_login"))
        return await self._people.members(group)

    def give_code(self, code: str) -> None:
        """As `Gateway.give_code`: no login here asks for a number."""

    def window(self, handle: Handle) -> Window | None:  # noqa: ARG002 - the seam's
        """As `Gateway.window`: web WeChat has none."""
        return None

    def avatar(self, handle: Handle) -> MediaRef | None:
        """As `Gateway.avatar`."""
        seq = None if self._roster is None else self._roster.avatar(handle)
        return None if seq is None else of_person(handle, seq)

    def download(self, media: MediaRef) -> AsyncGenerator[bytes, None]:
        """As `Gateway.download`."""
        return download(self._channel, media)

    async def logout(self) -> None:
        """As `Gateway.logout`."""
        channel = self._channel
        try:
            await channel.transport.call(requests.logout(channel.site, channel.session))
        except GatewayError as why:
            log.info("logout not confirmed", reason=str(why))
        self._roster = self._people = self._inbox = self._outbox = self._deeds = None
        await channel.forget()

    async def close(self) -> None:
        """As `Gateway.close`."""
        try:
            await self._channel.save_if_possible()
        finally:
            await self._transport.close()

    def _begin(self, login: LoggedIn, known: list[Entry]) -> None:
        self._roster = roster = Roster(login.owner)
        self._people = AddressBook(self._channel, roster, known)
        self._inbox = Inbox(self._channel, roster, self._people)
        self._outbox = Outbox(self._channel, roster, self._people)
        self._deeds = Deeds(self._channel, roster, self._people)
