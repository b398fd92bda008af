"""`ILinkBackend`, the `Backend` for Tencent's bot API: the bot of one person.

The steps of a login come from `login_flow.py`. After the last one a `Receiver` and a `Sender` do the work.
The saved logins, with the state of each chat, are in `ApiClient.logins`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from typing_extensions import override

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
    Owner,
    Receipt,
    ReplyWindow,
    SendKey,
)
from wx2mqtt.wechat.backend import (
    Backend,
    Batch,
    LoggedIn,
    LoginAge,
    LoginStep,
)
from wx2mqtt.wechat.backend_options import (
    BackendOptions,
    LoginFilter,
    OnFileName,
    OnProgress,
    any_login,
    ignore_name,
)
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.download import download
from wx2mqtt.wechat.ilink.ilink_http import ILinkHttp
from wx2mqtt.wechat.ilink.login_flow import LoginFlow
from wx2mqtt.wechat.ilink.protocol.endpoints import CAPABILITIES
from wx2mqtt.wechat.ilink.protocol.requests import UPSTREAM, ClientVersion
from wx2mqtt.wechat.ilink.protocol.trusted_hosts import TrustedHosts
from wx2mqtt.wechat.ilink.qr_poll import VerificationCode
from wx2mqtt.wechat.ilink.receiver import Receiver, contact_of
from wx2mqtt.wechat.ilink.sender import Sender
from wx2mqtt.wechat.ilink.typing_indicator import TypingIndicator


class ILinkBackend(Backend):
    """The bot of one person.

    `hosts` are trusted besides Tencent's. `show_typing` enables the typing indicator. Requests name the
    `client_version` in place of `UPSTREAM_VERSION`.
    """

    capabilities = CAPABILITIES

    def __init__(
        self,
        options: BackendOptions,
        http: ILinkHttp,
        *,
        hosts: tuple[str, ...] = (),
        show_typing: bool = False,
        client_version: str | None = None,
    ) -> None:
        trusted_hosts = TrustedHosts(endpoint=options.endpoint, extra=hosts)
        version = ClientVersion(client_version) if client_version else UPSTREAM
        self._http = http
        self._client = ApiClient(http, options, trusted_hosts, version)
        self._options = options
        self._typing_indicator = TypingIndicator(self._client, enabled=show_typing)
        self._verification_code = VerificationCode()
        self._receiver: Receiver | None = None
        #: None without a login, and after one of somebody who is not `usable`, for whom nothing is sent.
        self._current_sender: Sender | None = None

    @property
    def _sender(self) -> Sender:
        """What sends for the current login. Raises `LoggedOut` when there is none."""
        if self._current_sender is None:
            raise LoggedOut(self._client.text("no_login"))
        return self._current_sender

    @override
    async def saved_owner(self) -> Owner | None:
        await self._client.logins.load()
        return next((bot.owner for bot in self._client.logins.saved_bots()), None)

    @override
    async def login(
        self, *, resume: bool, usable: LoginFilter = any_login
    ) -> AsyncGenerator[LoginStep, None]:
        login_flow = LoginFlow(self._client, self._verification_code, usable)
        async with aclosing(login_flow.steps(resume=resume)) as steps:
            async for step in steps:
                if isinstance(step, LoggedIn):
                    self._receiver = Receiver(self._client, self._options.quote_lookup, self._options.marks)
                    self._current_sender = None
                    # Commands that wait are the owner's: the bot of anybody else must not send them.
                    if usable(step.owner):
                        self._current_sender = Sender(self._client, self._typing_indicator)
                yield step

    @override
    def renew(self, usable: LoginFilter, *, requested: bool) -> AsyncGenerator[LoginStep, None]:
        login_flow = LoginFlow(self._client, self._verification_code, usable)
        return login_flow.renewal_steps(requested=requested)

    @override
    def login_age(self) -> LoginAge | None:
        with suppress(LoggedOut):
            bot = self._client.logins.bot
            return LoginAge(made=bot.made, offers=bot.offers)
        return None

    @override
    def enter_verification_code(self, code: str) -> None:
        self._verification_code.enter(code)

    @override
    async def logout(self) -> None:
        """WeChat has no such call; the token stays saved but is not used (ilink 3.5)."""
        await self._client.notify_stop()
        self._receiver = None
        self._current_sender = None
        await self._client.logins.mark_logged_out()

    @override
    async def close(self) -> None:
        try:
            await self._typing_indicator.close()
            if self._receiver is not None:
                await self._client.notify_stop()
            await self._client.logins.save_if_possible()
        finally:
            await self._http.close()

    @override
    def set_language(self, language: Language) -> None:
        self._client.language = language
        self._http.language = language

    @override
    async def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        """Yields the person who scanned, and everybody who has written to this bot."""
        bot = self._client.logins.bot
        contacts = tuple(contact_of(user) for user in dict.fromkeys((bot.user, *bot.chats)))
        on_progress(len(contacts))
        yield contacts

    @override
    async def receive(self, cursor: Cursor) -> Batch:
        if self._receiver is None:
            raise LoggedOut(self._client.text("no_login"))
        return await self._receiver.receive(cursor)

    @override
    def download(self, media: MediaRef, on_name: OnFileName = ignore_name) -> AsyncGenerator[bytes, None]:
        return download(self._client, media)

    @override
    async def prepare(self, draft: Draft) -> None:
        await self._sender.prepare(draft)

    @override
    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        return await self._sender.send(draft, key)

    @override
    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        raise Rejected(self._client.text("no_action"), code="unsupported")

    @override
    def earliest_server_time(self) -> int:
        return self._client.server_clock.earliest_now()

    @override
    def reply_window(self, handle: Handle) -> ReplyWindow:
        return self._client.logins.reply_window(handle)
