"""`WebWxBackend`, the `Backend` for web WeChat: passes each call to the object that implements it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import httpx
import structlog

from wx2mqtt.clock import Clock
from wx2mqtt.errors import BackendError, LoggedOut, Rejected
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
    any_login,
)
from wx2mqtt.wechat.json_reader import JsonObject
from wx2mqtt.wechat.webwx.actions import Actions
from wx2mqtt.wechat.webwx.client import ApiClient
from wx2mqtt.wechat.webwx.contact_list import ContactList
from wx2mqtt.wechat.webwx.download import download
from wx2mqtt.wechat.webwx.groups import GroupMembers
from wx2mqtt.wechat.webwx.login_flow import LoginFlow
from wx2mqtt.wechat.webwx.protocol import requests
from wx2mqtt.wechat.webwx.protocol.content import avatar_locator
from wx2mqtt.wechat.webwx.protocol.endpoints import CAPABILITIES
from wx2mqtt.wechat.webwx.protocol.requests import DesktopClient
from wx2mqtt.wechat.webwx.receiver import Receiver
from wx2mqtt.wechat.webwx.sender import Sender
from wx2mqtt.wechat.webwx.session_setup import SessionSetup
from wx2mqtt.wechat.webwx.transport import Transport

log = structlog.get_logger(__name__)


def _unobserved(_call: str, _outcome: str, _seconds: float) -> None:
    """Ignores the call."""


class WebWxBackend:
    """One account on web WeChat.

    `endpoint` is a base URL that replaces all hosts of WeChat, as a simulator does. `observe` is called after
    every exchange. `marks` finds messages that end the process. `timeouts` replace those of
    `protocol/endpoints.py`, in seconds by the name of the call. `http_transport` replaces the network.
    """

    capabilities = CAPABILITIES

    def __init__(  # noqa: PLR0913 - settings of the account, and what tests replace
        self,
        credentials: CredentialStore,
        *,
        endpoint: str | None = None,
        desktop: DesktopClient | None = None,
        language: Language = "en",
        clock: Clock | None = None,
        observe: CallObserver = _unobserved,
        marks: MessageMarks | None = None,
        timeouts: Mapping[str, float] | None = None,
        http_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        clock = clock or Clock()
        transport = Transport(
            endpoint=endpoint,
            language=language,
            clock=clock,
            observe=observe,
            timeouts=timeouts or {},
            transport=http_transport,
        )
        self._marks = marks or NoMarks()
        self._transport = transport
        self._client = ApiClient(
            transport, credentials, endpoint=endpoint, desktop=desktop, language=language, clock=clock
        )
        self._group_members: GroupMembers | None = None
        self._contact_list: ContactList | None = None
        self._receiver: Receiver | None = None
        self._sender: Sender | None = None
        self._actions: Actions | None = None

    async def saved_owner(self) -> Owner | None:
        """As `Backend.saved_owner`."""
        return await self._client.saved_owner()

    async def login(
        self,
        *,
        resume: bool,
        usable: LoginFilter = any_login,  # noqa: ARG002 - only one login is saved
    ) -> AsyncGenerator[LoginStep, None]:
        """As `Backend.login`. Raises `LoggedOut` too, where WeChat ends a new login at once (webwx 5.1.1)."""
        session_setup = SessionSetup(self._client)
        async with aclosing(LoginFlow(self._client, session_setup).steps(resume=resume)) as steps:
            async for step in steps:
                if isinstance(step, LoggedIn):
                    self._start_session(step, session_setup.initial_contacts)
                yield step

    def set_language(self, language: Language) -> None:
        """As `Backend.set_language`."""
        self._client.language = language
        self._transport.language = language

    async def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        """As `Backend.list_contacts`."""
        if self._contact_list is None:
            raise LoggedOut(self._client.text("no_login"))
        async with aclosing(self._contact_list.pages(on_progress)) as pages:
            async for page in pages:
                yield page

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

    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        """As `Backend.perform`."""
        if self._actions is None:
            raise LoggedOut(self._client.text("no_login"))
        return await self._actions.perform(action, key)

    async def list_members(self, group: Handle) -> tuple[Member, ...]:
        """As `Backend.list_members`."""
        if self._contact_list is None:
            raise LoggedOut(self._client.text("no_login"))
        return await self._contact_list.list_members(group)

    def enter_verification_code(self, code: str) -> None:
        """As `Backend.enter_verification_code`: no login of web WeChat asks for one."""

    def renew(
        self,
        usable: LoginFilter,  # noqa: ARG002 - required by `Backend`
        *,
        requested: bool,  # noqa: ARG002 - required by `Backend`
    ) -> AsyncGenerator[LoginStep, None]:
        """As `Backend.renew`: a login of web WeChat lasts as long as it is used."""
        raise Rejected(self._client.text("no_renewal"), code="unsupported")

    def login_age(self) -> LoginAge | None:
        """As `Backend.login_age`: not known, since a saved login goes on with new cookies."""
        return None

    def reply_window(self, handle: Handle) -> ReplyWindow | None:  # noqa: ARG002 - required by `Backend`
        """As `Backend.reply_window`: web WeChat has none."""
        return None

    def avatar(self, handle: Handle) -> MediaRef | None:
        """As `Backend.avatar`."""
        seq = None if self._group_members is None else self._group_members.avatar_seq(handle)
        return None if seq is None else avatar_locator(handle, seq)

    def download(self, media: MediaRef) -> AsyncGenerator[bytes, None]:
        """As `Backend.download`."""
        return download(self._client, media)

    async def logout(self) -> None:
        """As `Backend.logout`."""
        client = self._client
        try:
            await client.transport.call(requests.logout_request(client.profile, client.session))
        except BackendError as error:
            log.info("logout not confirmed", reason=str(error))
        self._group_members = self._contact_list = self._receiver = self._sender = self._actions = None
        await client.clear_login()

    async def close(self) -> None:
        """As `Backend.close`."""
        try:
            await self._client.save_if_possible()
        finally:
            await self._transport.close()

    def _start_session(self, login: LoggedIn, initial_contacts: list[JsonObject]) -> None:
        group_members = GroupMembers(login.owner)
        contact_list = ContactList(self._client, group_members, initial_contacts)
        self._group_members = group_members
        self._contact_list = contact_list
        self._receiver = Receiver(self._client, group_members, contact_list, self._marks)
        self._sender = Sender(self._client, group_members, contact_list)
        self._actions = Actions(self._client, group_members, contact_list)
