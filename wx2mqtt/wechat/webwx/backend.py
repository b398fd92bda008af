"""`WebWxBackend`, the `Backend` for web WeChat.

The steps of a login come from `login_flow.py`. After the last one there is a `_Login`, whose objects receive,
send and know the contacts; every method that needs a login calls one of them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from typing_extensions import override

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
    MessageMarks,
    OnFileName,
    OnProgress,
    any_login,
    ignore_name,
)
from wx2mqtt.wechat.json_reader import JsonObject
from wx2mqtt.wechat.webwx.actions import ActionPerformer
from wx2mqtt.wechat.webwx.client import ApiClient, WebWxHttp
from wx2mqtt.wechat.webwx.contact_list import ContactList
from wx2mqtt.wechat.webwx.download import download
from wx2mqtt.wechat.webwx.login_flow import LoginFlow
from wx2mqtt.wechat.webwx.protocol import requests
from wx2mqtt.wechat.webwx.protocol.endpoints import CAPABILITIES
from wx2mqtt.wechat.webwx.protocol.group_members import GroupMembers
from wx2mqtt.wechat.webwx.protocol.hosts import DesktopClient
from wx2mqtt.wechat.webwx.protocol.locators import avatar_locator
from wx2mqtt.wechat.webwx.receiver import Receiver
from wx2mqtt.wechat.webwx.sender import Sender

log = structlog.get_logger(__name__)


class _Login:
    """What exists while there is a login. `initial_contacts` are the contact entries of webwxinit."""

    def __init__(
        self, client: ApiClient, owner: Owner, initial_contacts: list[JsonObject], marks: MessageMarks
    ) -> None:
        self.group_members = GroupMembers(owner)
        self.contact_list = ContactList(client, self.group_members, initial_contacts)
        self.receiver = Receiver(client, self.group_members, self.contact_list, marks)
        self.sender = Sender(client, self.group_members, self.contact_list)
        self.actions = ActionPerformer(client, self.group_members, self.contact_list)


class WebWxBackend(Backend):
    capabilities = CAPABILITIES

    def __init__(
        self, options: BackendOptions, http: WebWxHttp, *, desktop: DesktopClient | None = None
    ) -> None:
        self._http = http
        self._client = ApiClient(self._http, options, desktop)
        self._marks = options.marks
        self._current: _Login | None = None

    @property
    def _login(self) -> _Login:
        """The current login. Raises `LoggedOut` when there is none."""
        if self._current is None:
            raise LoggedOut(self._client.text("no_login"))
        return self._current

    @override
    async def saved_owner(self) -> Owner | None:
        return await self._client.saved_owner()

    @override
    async def login(
        self, *, resume: bool, usable: LoginFilter = any_login
    ) -> AsyncGenerator[LoginStep, None]:
        """Also raises `LoggedOut`, where WeChat ends a new login at once (webwx 5.1.1)."""
        login_flow = LoginFlow(self._client)
        async with aclosing(login_flow.steps(resume=resume)) as steps:
            async for step in steps:
                if isinstance(step, LoggedIn):
                    contacts = login_flow.initial_contacts
                    self._current = _Login(self._client, step.owner, contacts, self._marks)
                yield step

    @override
    def renew(self, usable: LoginFilter, *, requested: bool) -> AsyncGenerator[LoginStep, None]:
        raise Rejected(self._client.text("no_renewal"), code="unsupported")

    @override
    async def logout(self) -> None:
        client = self._client
        try:
            await client.http.call(requests.logout_request(client.session))
        except BackendError as error:
            log.info("logout not confirmed", reason=str(error))
        self._current = None
        await client.clear_login()

    @override
    async def close(self) -> None:
        try:
            await self._client.save_if_possible()
        finally:
            await self._http.close()

    @override
    def set_language(self, language: Language) -> None:
        self._client.language = language
        self._http.language = language

    @override
    async def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        async with aclosing(self._login.contact_list.pages(on_progress)) as pages:
            async for page in pages:
                yield page

    @override
    async def receive(self, cursor: Cursor) -> Batch:
        return await self._login.receiver.receive(cursor)

    @override
    def download(self, media: MediaRef, on_name: OnFileName = ignore_name) -> AsyncGenerator[bytes, None]:
        return download(self._client, media)

    @override
    def avatar(self, handle: Handle) -> MediaRef | None:
        if self._current is None:
            return None
        seq = self._current.group_members.avatar_seq(handle)
        return None if seq is None else avatar_locator(handle, seq)

    @override
    async def list_members(self, group: Handle) -> tuple[Member, ...]:
        return await self._login.contact_list.list_members(group)

    @override
    async def prepare(self, draft: Draft) -> None:
        await self._login.sender.prepare(draft)

    @override
    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        return await self._login.sender.send(draft, key)

    @override
    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        return await self._login.actions.perform(action, key)
