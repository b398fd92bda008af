"""Fixtures: a WeChat server in memory with a backend that is connected to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.wechat.webwx.server import BackendHarness
from wx2mqtt.model import Cursor
from wx2mqtt.wechat.backend import LoggedIn


@pytest.fixture
async def harness() -> AsyncIterator[BackendHarness]:
    """Yields a backend that has made no call yet, with a server that accepts each login at once."""
    made = BackendHarness()
    yield made
    await made.backend.close()


@pytest.fixture
async def cursor(harness: BackendHarness) -> Cursor:
    """Logs in, and returns the cursor at which receiving begins."""
    async for step in harness.backend.login(resume=False):
        if isinstance(step, LoggedIn):
            return step.cursor
    raise AssertionError
