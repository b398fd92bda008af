"""Fixtures of the conversations with iLink."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.wechat.ilink.server import World
from wx2mqtt.model import Cursor


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A server that lets everybody in at once, and a gateway that has not called it yet."""
    made = World()
    yield made
    await made.gateway.close()


@pytest.fixture
async def cursor(world: World) -> Cursor:
    """The world is logged in; where receiving begins."""
    return (await world.log_in()).cursor
