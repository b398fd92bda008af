"""Fixtures: a WeChat server in memory with a backend that is connected to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.wechat.webwx.server import WebWxRig


@pytest.fixture
async def rig() -> AsyncIterator[WebWxRig]:
    """Yields a backend that has made no call yet, with a server that accepts each login at once."""
    rig = WebWxRig()
    yield rig
    await rig.backend.close()


@pytest.fixture
async def online(rig: WebWxRig) -> WebWxRig:
    """A backend that is logged in."""
    await rig.log_in()
    return rig
