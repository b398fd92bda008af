"""`WeComBackend`, the `Backend` for WeCom's bot: people of one enterprise, and its internal groups.

The steps of a login come from `login_flow.py`. After the last one a `Receiver` and a `Sender` do the work
over the connection of `WeComClient`, which the receiver makes anew when it ends.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from typing import Any

from typing_extensions import override

from wx2mqtt.errors import LoggedOut, Rejected
from wx2mqtt.i18n import Language
from wx2mqtt.model import (
    Action,
    ActionResult,
    Button,
    ButtonPress,
    ChatKind,
    Contact,
    Cursor,
    Draft,
    Handle,
    MediaRef,
    Owner,
    Receipt,
    SendKey,
)
from wx2mqtt.wechat.backend import (
    Backend,
    Batch,
    LoggedIn,
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
from wx2mqtt.wechat.wecom.client import WeComClient
from wx2mqtt.wechat.wecom.download import download
from wx2mqtt.wechat.wecom.login_flow import LoginFlow
from wx2mqtt.wechat.wecom.protocol.endpoints import CAPABILITIES
from wx2mqtt.wechat.wecom.protocol.handles import contact_of, handle_of_id
from wx2mqtt.wechat.wecom.protocol.session import BotCredentials
from wx2mqtt.wechat.wecom.receipts import Receipts
from wx2mqtt.wechat.wecom.receiver import Receiver
from wx2mqtt.wechat.wecom.sender import Sender
from wx2mqtt.wechat.wecom.wecom_http import WeComHttp


class WeComBackend(Backend):
    """One bot: that of the configuration, or without `bot_id` and `secret` one that a scan makes.

    `source` names this program at a scan. `receipt` answers each published message; empty: none is answered.
    `bot_name` is the name by which groups address the bot, where it has blanks.
    """

    capabilities = CAPABILITIES

    def __init__(
        self,
        options: BackendOptions,
        http: WeComHttp,
        *,
        bot_id: str = "",
        secret: str = "",
        source: str,
        receipt: str = "",
        bot_name: str = "",
    ) -> None:
        configured = BotCredentials(bot_id=bot_id, secret=secret) if bot_id and secret else None
        self._http = http
        self._options = options
        self._source = source
        self._bot_name = bot_name
        self._client = WeComClient(options, http, configured)
        self._receipts = Receipts(self._client.rates, options.clock, receipt)
        self._receiver: Receiver | None = None
        #: None without a login, and after one of a bot that is not `usable`, of which nothing is sent.
        self._current_sender: Sender | None = None

    @property
    def _sender(self) -> Sender:
        """What sends for the bot in use. Raises `LoggedOut` when there is none."""
        if self._current_sender is None:
            raise LoggedOut(self._client.text("no_login"))
        return self._current_sender

    @override
    async def saved_owner(self) -> Owner | None:
        await self._client.login.load()
        saved = self._client.login.saved
        return None if saved is None else Owner(handle=Handle(saved.bot_id), nickname=self._bot_name)

    @override
    async def login(
        self, *, resume: bool, usable: LoginFilter = any_login
    ) -> AsyncGenerator[LoginStep, None]:
        # A connection that is in use ends in this login. The gap begins here.
        await self._client.record_alive(at_once=True)
        login_flow = LoginFlow(self._client, usable, source=self._source, bot_name=self._bot_name)
        async with aclosing(login_flow.steps(resume=resume)) as steps:
            async for step in steps:
                if isinstance(step, LoggedIn):
                    self._receiver = Receiver(
                        self._client, self._options.marks, self._receipts, bot_name=self._bot_name
                    )
                    self._use_sender(step.owner, usable)
                yield step

    def _use_sender(self, owner: Owner, usable: LoginFilter) -> None:
        """Makes what sends for a bot. The same bot keeps its own, which knows what is uploaded."""
        sender = self._current_sender
        if not usable(owner):
            self._current_sender = None  # commands that wait must not be sent by another bot
        elif sender is None or sender.bot_id != owner.handle:
            self._current_sender = Sender(self._client, owner.handle)

    @override
    async def renew(self, usable: LoginFilter, *, requested: bool) -> AsyncGenerator[LoginStep, None]:
        raise Rejected(self._client.text("no_renewal"), code="unsupported")
        yield  # makes it a generator

    @override
    async def logout(self) -> None:
        """WeCom has no such call: the connection is closed, and a scanned bot forgotten."""
        self._receiver = None
        self._current_sender = None
        await self._client.log_out()

    @override
    async def close(self) -> None:
        try:
            await self._receipts.close()
            await self._client.record_alive(at_once=True)
            await self._client.save_rates()
            await self._client.disconnect()
        finally:
            await self._http.close()

    @override
    def set_language(self, language: Language) -> None:
        self._client.language = language
        self._http.language = language

    @override
    def use_section(self, section: Mapping[str, Any]) -> bool:
        """Takes over another secret of the configured bot. Another bot needs a restart."""
        return self._client.login.use_secret(section["bot_id"] or "", section["secret"] or "")

    @override
    async def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        """Yields the people and groups in whose chats somebody has written to this bot."""
        contacts = tuple(map(contact_of, self._client.login.bot.chats))
        on_progress(len(contacts))
        yield contacts

    @override
    def contact_of_id(self, permanent_id: str, kind: ChatKind | None = None) -> Contact:
        return contact_of(handle_of_id(permanent_id, kind))

    @override
    async def receive(self, cursor: Cursor) -> Batch:
        if self._receiver is None:
            raise LoggedOut(self._client.text("no_login"))
        return await self._receiver.receive(cursor)

    @property
    @override
    def has_connection(self) -> bool:
        return self._client.is_open

    @override
    def on_published(self, keys: Collection[str]) -> None:
        if self._receiver is not None:
            self._receiver.on_published(keys)

    @override
    def download(self, media: MediaRef, on_name: OnFileName = ignore_name) -> AsyncGenerator[bytes, None]:
        return download(self._client, media, on_name)

    @override
    def seconds_until_sendable(self, chat: Handle) -> float:
        return self._client.rates.seconds_until_sendable(chat)

    @override
    async def prepare(self, draft: Draft) -> None:
        await self._sender.prepare(draft)

    @override
    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        return await self._sender.send(draft)

    @override
    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        raise Rejected(self._client.text("no_action"), code="unsupported")

    @override
    async def update_card(
        self, press: ButtonPress, text: str, buttons: tuple[Button, ...], chosen: str
    ) -> None:
        await self._sender.update_card(press, text, chosen)
