"""Fixtures for tests of the iLink backend."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.wechat.ilink.server import World
from wx2mqtt.model import Cursor


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A backend that is not logged in, and a server that accepts each login at once."""
    world = World()
    yield world
    await world.gateway.close()


@pytest.fixture
async def cursor(world: World) -> Cursor:
    """Logs in and returns the first cursor."""
    return (await world.log_in()).cursor
