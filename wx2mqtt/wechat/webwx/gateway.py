"""Web WeChat behind the seam: which conversation does what, and what sending a text means."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import httpx
import structlog

from wx2mqtt.errors import GatewayError, LoggedOut, Rejected
from wx2mqtt.model import (
    Action,
    Contact,
    Cursor,
    Done,
    Draft,
    Handle,
    Kind,
    MediaRef,
    Member,
    Receipt,
    SendKey,
)
from wx2mqtt.wechat.gateway import Batch, Capabilities, LoggedIn, LoginStep, Progress, Vault
from wx2mqtt.wechat.webwx import endpoints, requests
from wx2mqtt.wechat.webwx.addressbook import AddressBook
from wx2mqtt.wechat.webwx.channel import Channel
from wx2mqtt.wechat.webwx.codes import LATER, SESSION_ENDED, Ret
from wx2mqtt.wechat.webwx.entrance import Entrance
from wx2mqtt.wechat.webwx.fields import Entry, text
from wx2mqtt.wechat.webwx.inbox import Inbox
from wx2mqtt.wechat.webwx.requests import Desktop
from wx2mqtt.wechat.webwx.responses import message_of
from wx2mqtt.wechat.webwx.roster import Roster
from wx2mqtt.wechat.webwx.signin import SignIn
from wx2mqtt.wechat.webwx.timing import Timing
from wx2mqtt.wechat.webwx.transport import Observe, Transport
from wx2mqtt.words import Language

log = structlog.get_logger(__name__)

CAPABILITIES = Capabilities(
    backend="webwx",
    contacts=True,
    groups=True,
    start_chat=True,
    new_handles=True,
    text_limit=16384,  # the phone's limit, as far as is known (webwx 6.1)
)


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
        self._people: AddressBook | None = None
        self._inbox: Inbox | None = None

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

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        """As `Gateway.send`."""
        channel = self._channel
        if draft.kind is not Kind.TEXT:
            raise Rejected(channel.words("kind_unsupported", kind=draft.kind), code="unsupported")
        try:
            request = requests.send_text(channel.site, channel.session, draft, key)
        except UnicodeEncodeError:
            raise Rejected(channel.words("bad_characters"), code="bad_command") from None
        answer, ret = await channel.ask_anyway(request)
        if ret != Ret.OK:
            raise self._not_taken(answer, ret)
        return Receipt(message_id=text(answer, "MsgID"))

    async def act(self, action: Action, key: SendKey) -> Done:  # noqa: ARG002 - the key is for what repeats
        """As `Gateway.act`."""
        kind = type(action).__name__
        raise Rejected(self._channel.words("kind_unsupported", kind=kind), code="unsupported")

    async def members(self, group: Handle) -> tuple[Member, ...]:
        """As `Gateway.members`."""
        if self._people is None:
            raise LoggedOut(self._channel.words("no_login"))
        return await self._people.members(group)

    def avatar(self, handle: Handle) -> MediaRef | None:  # noqa: ARG002
        """As `Gateway.avatar`."""
        return None

    async def download(self, media: MediaRef) -> AsyncGenerator[bytes, None]:
        """As `Gateway.download`."""
        raise Rejected(self._channel.words("kind_unsupported", kind=media.mime), code="unsupported")
        yield b""

    async def logout(self) -> None:
        """As `Gateway.logout`."""
        channel = self._channel
        try:
            await channel.transport.call(requests.logout(channel.site, channel.session))
        except GatewayError as why:
            log.info("logout not confirmed", reason=str(why))
        self._people = self._inbox = None
        await channel.forget()

    async def close(self) -> None:
        """As `Gateway.close`."""
        try:
            await self._channel.save_if_possible()
        finally:
            await self._transport.close()

    def _begin(self, login: LoggedIn, known: list[Entry]) -> None:
        roster = Roster(login.owner)
        self._people = AddressBook(self._channel, roster, known)
        self._inbox = Inbox(self._channel, roster, self._people)

    def _not_taken(self, answer: Entry, ret: int) -> GatewayError:
        """Why a message was not taken: certainly not delivered, whatever the number (webwx 1.3, 2.12)."""
        if ret in SESSION_ENDED or ret in LATER or ret == Ret.TOO_OFTEN:
            return self._channel.refusal(ret, endpoints.SEND_TEXT)
        if ret == Ret.NOT_A_FRIEND:
            return Rejected(self._channel.words("not_a_friend"))
        said = message_of(answer)
        word = "not_taken_because" if said else "not_taken"
        return Rejected(self._channel.words(word, ret=ret, message=said))
