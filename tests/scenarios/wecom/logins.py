"""Helpers for tests of a `WeComBackend` at a gateway: its login, its saved login and its batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.support.backend_options import backend_options
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.wecom_gateway import Gateway
from wx2mqtt.clock import Clock
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Cursor, Message
from wx2mqtt.wechat.backend import LoggedIn, LoginStep
from wx2mqtt.wechat.registry import backend_entry

SECTION: dict[str, Any] = {
    "bot_id": "aibK1",
    "secret": "geheim",
    "source": "wx2mqtt",
    "receipt": "✓",
    "bot_name": None,
}
SCAN_SECTION = {**SECTION, "bot_id": None, "secret": None}
SINGLE: dict[str, Any] = {"msgid": "m1", "chattype": "single", "from": {"userid": "zhangsan"}}
GROUP = {**SINGLE, "chattype": "group", "chatid": "wrkABC"}


def text_of(content: str, msgid: str = "m1", **body: Any) -> dict[str, Any]:
    return {**SINGLE, "msgid": msgid, "msgtype": "text", "text": {"content": content}, **body}


START = Cursor("")


def texts(items: Iterable[Any]) -> list[str]:
    """Returns the texts of the messages among the items of a batch."""
    return [item.text for item in items if isinstance(item, Message)]


class FakeCredentialStore:
    """Keeps the saved login in memory; `saves` counts the commits."""

    def __init__(self, saved: Mapping[str, object] | None = None) -> None:
        self.saved: Any = saved
        self.saves = 0
        #: Where it is set, each save raises it.
        self.failure: StoreError | None = None

    async def load(self) -> Any:
        return self.saved

    async def save(self, session: Mapping[str, object]) -> None:
        if self.failure is not None:
            raise self.failure
        self.saved = dict(session)
        self.saves += 1

    async def clear(self) -> None:
        self.saved = None


@asynccontextmanager
async def backend_at(
    gateway: Gateway,
    credentials: FakeCredentialStore | None = None,
    section: Mapping[str, Any] = SECTION,
    clock: Clock | None = None,
    **options: Any,
) -> AsyncIterator[Any]:
    """Creates a backend at the gateway and closes it at the end."""
    all_options = backend_options(
        credentials=credentials or FakeCredentialStore(),
        section=section,
        endpoint=gateway.endpoint,
        clock=clock or Clock(),
        **options,
    )
    backend = backend_entry("wecom").create(all_options)
    try:
        yield backend
    finally:
        await backend.close()


async def log_in(backend: Any, *, resume: bool = True, **filters: Any) -> list[LoginStep]:
    """Returns the steps of a login, whose last one is `LoggedIn`."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        return [step async for step in backend.login(resume=resume, **filters)]


async def logged_in(backend: Any, *, resume: bool = True) -> LoggedIn:
    """Logs in; returns the last step."""
    (*_, last) = await log_in(backend, resume=resume)
    assert isinstance(last, LoggedIn)
    return last


async def receive(backend: Any, cursor: Cursor = START) -> Any:
    """Returns the next batch with items."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while True:
            batch = await backend.receive(cursor)
            if batch.items or batch.unreadable_count:
                return batch
