"""A backend of another package: its only friend answers every text with the same words.

`test_outside_backend.py` installs this file as the package `wx2mqtt-echo`; nothing else imports it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from typing_extensions import override

from wx2mqtt.model import (
    Action,
    ActionResult,
    ChatKind,
    Contact,
    Cursor,
    Draft,
    Handle,
    Kind,
    MediaRef,
    Message,
    Owner,
    Receipt,
    SendKey,
)
from wx2mqtt.wechat.backend import (
    Backend,
    Batch,
    Capabilities,
    LoggedIn,
    LoginStep,
    ShowQr,
)
from wx2mqtt.wechat.backend_options import (
    BackendOptions,
    LoginFilter,
    OnFileName,
    OnProgress,
    any_login,
    ignore_name,
)
from wx2mqtt.wechat.registry import BackendEntry

FRIEND = Handle("friend")
CODE_SECONDS = 60.0
SCANNED = Path(__file__).with_name("scanned")
"""Takes the place of the phone: the QR code is scanned once this file exists."""
POLL_SECONDS = 0.1

CAPABILITIES = Capabilities(
    backend="echo",
    has_contacts=True,
    has_groups=False,
    can_start_chat=True,
    handles_change_at_login=False,
    text_limit=1000,
)


class EchoBackend(Backend):
    """Answers as a friend; a cursor is the number of answers so far."""

    capabilities = CAPABILITIES

    def __init__(self, options: BackendOptions) -> None:
        self._prefix = options.section["prefix"]
        self._answers: list[Message] = []
        self._more = asyncio.Event()

    @override
    async def saved_owner(self) -> Owner | None:
        return None

    @override
    async def login(
        self,
        *,
        resume: bool,
        usable: LoginFilter = any_login,
    ) -> AsyncGenerator[LoginStep, None]:
        yield ShowQr(url="echo://scan", lifetime=CODE_SECONDS)
        while not await asyncio.to_thread(SCANNED.exists):  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(POLL_SECONDS)
        owner = Owner(handle=Handle("me"), nickname="Me")
        yield LoggedIn(owner=owner, login_id="first", resumed=False, cursor=Cursor("0"))

    @override
    async def logout(self) -> None: ...

    @override
    async def close(self) -> None: ...

    @override
    async def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        yield (Contact(handle=FRIEND, kind=ChatKind.FRIEND, remark="Echo", permanent_id="friend"),)

    @override
    async def receive(self, cursor: Cursor) -> Batch:
        while int(cursor) == len(self._answers):
            self._more.clear()
            await self._more.wait()
        return Batch(cursor=Cursor(str(len(self._answers))), items=tuple(self._answers[int(cursor) :]))

    @override
    async def download(
        self,
        media: MediaRef,
        on_name: OnFileName = ignore_name,
    ) -> AsyncGenerator[bytes, None]:
        raise AssertionError("no message has a file")
        yield b""

    @override
    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        answer = Message(
            key=f"answer-{key}",
            id=f"answer-{key}",
            chat=draft.chat,
            chat_kind=ChatKind.FRIEND,
            sender=draft.chat,
            kind=Kind.TEXT,
            text=f"{self._prefix}{draft.text}",
            time=round(time.time() * 1000),
        )
        self._answers.append(answer)
        self._more.set()
        return Receipt(message_id=key)

    @override
    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        raise AssertionError("no action is among the capabilities")


ENTRY = BackendEntry(
    name="echo",
    title="Echo",
    capabilities=CAPABILITIES,
    create=EchoBackend,
    host_origins=lambda _endpoint, _saved_login: (),
    http_headers={},
    pin_keys=frozenset({"remark", "nickname"}),
    foreign_pin="Echo tells no {kind}: nobody will match",
    expect_keys=frozenset({"nickname"}),
    is_saved_login=lambda _saved_login: False,
    option_names=frozenset({"prefix"}),
)
