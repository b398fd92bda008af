"""Fixtures for tests of the iLink backend."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.wechat.ilink.server import BackendHarness
from wx2mqtt.model import Cursor


@pytest.fixture
async def harness() -> AsyncIterator[BackendHarness]:
    """Yields a backend that is not logged in, with a server that accepts each login at once."""
    harness = BackendHarness()
    yield harness
    await harness.gateway.close()


@pytest.fixture
async def cursor(harness: BackendHarness) -> Cursor:
    """Logs in and returns the first cursor."""
    return (await harness.log_in()).cursor
