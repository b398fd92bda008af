"""The iLink `Backend`: passes each call to the object that implements it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress

import httpx

from wx2mqtt.clock import Clock
from wx2mqtt.errors import LoggedOut, Rejected
from wx2mqtt.i18n import Language
from wx2mqtt.model import (
    Action,
    ActionResult,
    Contact,
    Cursor,
    Draft,
    Handle,
    MediaRef,
    Member,
    Owner,
    QuotedMessage,
    Receipt,
    ReplyWindow,
    SendKey,
)
from wx2mqtt.wechat.backend import (
    Batch,
    CallObserver,
    CredentialStore,
    LoggedIn,
    LoginAge,
    LoginFilter,
    LoginStep,
    MessageMarks,
    NoMarks,
    OnProgress,
    QuoteLookup,
    any_login,
)
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.download import download
from wx2mqtt.wechat.ilink.login_flow import LoginFlow
from wx2mqtt.wechat.ilink.protocol.endpoints import CAPABILITIES, TrustedHosts
from wx2mqtt.wechat.ilink.qr_poll import VerificationCode
from wx2mqtt.wechat.ilink.receiver import Receiver, contact_of
from wx2mqtt.wechat.ilink.sender import Sender, TypingIndicator
from wx2mqtt.wechat.ilink.transport import ServerClock, Transport


def _unobserved(_call: str, _outcome: str, _seconds: float) -> None:
    """Ignores the exchange."""


async def _no_quotes(_message_id: str, _chat: Handle) -> QuotedMessage | None:
    return None


class ILinkBackend:
    """The bot of one person.

    `endpoint` is a base URL that replaces all of WeChat's hosts; `hosts` are trusted besides Tencent's.
    `show_typing` enables the typing indicator. `quote_lookup` returns messages that replies name by id.
    `observe` is called after every exchange. `marks` finds messages that end the process.

    For tests: `timeouts` (seconds by the name of the call) replace those of `endpoints`, `http_transport`
    replaces the network.
    """

    capabilities = CAPABILITIES

    def __init__(  # noqa: PLR0913 - settings of the account, and what tests replace
        self,
        credentials: CredentialStore,
        *,
        endpoint: str | None = None,
        hosts: tuple[str, ...] = (),
        show_typing: bool = False,
        quote_lookup: QuoteLookup = _no_quotes,
        language: Language = "en",
        clock: Clock | None = None,
        observe: CallObserver = _unobserved,
        marks: MessageMarks | None = None,
        timeouts: Mapping[str, float] | None = None,
        http_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        clock = clock or Clock()
        server_clock = ServerClock(clock)
        self._transport = Transport(
            endpoint=endpoint,
            language=language,
            clock=clock,
            server_clock=server_clock,
            observe=observe,
            timeouts=timeouts or {},
            transport=http_transport,
        )
        self._client = ApiClient(
            self._transport,
            credentials,
            hosts=TrustedHosts(endpoint=endpoint, extra=hosts),
            language=language,
            clock=clock,
            server_clock=server_clock,
        )
        self._quote_lookup = quote_lookup
        self._marks = marks or NoMarks()
        self._typing_indicator = TypingIndicator(self._client, enabled=show_typing)
        self._verification_code = VerificationCode()
        self._receiver: Receiver | None = None
        self._sender: Sender | None = None

    async def saved_owner(self) -> Owner | None:
        """As `Backend.saved_owner`."""
        await self._client.load()
        return next((bot.owner for bot in self._client.saved_bots()), None)

    async def login(
        self, *, resume: bool, usable: LoginFilter = any_login
    ) -> AsyncGenerator[LoginStep, None]:
        """As `Backend.login`."""
        login_flow = LoginFlow(self._client, self._verification_code, usable)
        async with aclosing(login_flow.steps(resume=resume)) as steps:
            async for step in steps:
                if isinstance(step, LoggedIn):
                    self._receiver = Receiver(self._client, self._quote_lookup, self._marks)
                    # Commands may be under way, and they are the owner's: whoever scans is not accepted yet.
                    is_usable = usable(step.owner)
                    self._sender = Sender(self._client, self._typing_indicator) if is_usable else None
                yield step

    async def renew(self, usable: LoginFilter, *, requested: bool) -> AsyncGenerator[LoginStep, None]:
        """As `Backend.renew`."""
        login_flow = LoginFlow(self._client, self._verification_code, usable)
        async with aclosing(login_flow.renewal_steps(requested=requested)) as steps:
            async for step in steps:
                yield step

    def login_age(self) -> LoginAge | None:
        """As `Backend.login_age`."""
        with suppress(LoggedOut):
            bot = self._client.bot
            return LoginAge(made=bot.made, offers=bot.offers)
        return None

    def set_language(self, language: Language) -> None:
        """As `Backend.set_language`."""
        self._client.language = language
        self._transport.language = language

    def enter_verification_code(self, code: str) -> None:
        """As `Backend.enter_verification_code`."""
        self._verification_code.enter(code)

    async def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        """As `Backend.list_contacts`: the person who scanned, and everybody who has written to this bot."""
        bot = self._client.bot
        contacts = tuple(contact_of(user) for user in dict.fromkeys((bot.user, *bot.chats)))
        on_progress(len(contacts))
        yield contacts

    async def receive(self, cursor: Cursor) -> Batch:
        """As `Backend.receive`."""
        if self._receiver is None:
            raise LoggedOut(self._client.text("no_login"))
        return await self._receiver.receive(cursor)

    async def prepare(self, draft: Draft) -> None:
        """As `Backend.prepare`."""
        if self._sender is None:
            raise LoggedOut(self._client.text("no_login"))
        await self._sender.prepare(draft)

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        """As `Backend.send`."""
        if self._sender is None:
            raise LoggedOut(self._client.text("no_login"))
        return await self._sender.send(draft, key)

    def reply_window(self, handle: Handle) -> ReplyWindow | None:
        """As `Backend.reply_window`."""
        return self._client.reply_window(handle)

    async def perform(self, action: Action, key: SendKey) -> ActionResult:  # noqa: ARG002 - the protocol's signature
        """As `Backend.perform`: iLink has no actions."""
        raise Rejected(self._client.text("no_action"), code="unsupported")

    async def list_members(self, group: Handle) -> tuple[Member, ...]:  # noqa: ARG002 - the protocol's signature
        """As `Backend.list_members`: iLink has no groups."""
        return ()

    def avatar(self, handle: Handle) -> MediaRef | None:  # noqa: ARG002 - the protocol's signature
        """As `Backend.avatar`: iLink has no pictures of people."""
        return None

    def download(self, media: MediaRef) -> AsyncGenerator[bytes, None]:
        """As `Backend.download`."""
        return download(self._client, media)

    async def logout(self) -> None:
        """As `Backend.logout`. WeChat has no such call; the token stays saved but is not used (ilink 3.5)."""
        await self._client.notify_stop()
        self._receiver = None
        self._sender = None
        await self._client.mark_logged_out()

    async def close(self) -> None:
        """As `Backend.close`."""
        try:
            await self._typing_indicator.close()
            if self._receiver is not None:
                await self._client.notify_stop()
            await self._client.save_if_possible()
        finally:
            await self._transport.close()
