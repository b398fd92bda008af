"""Fixtures for tests of the iLink backend."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.wechat.ilink.server import ILinkRig


@pytest.fixture
async def rig() -> AsyncIterator[ILinkRig]:
    """Yields a backend that is not logged in, with servers that accept each login at once."""
    rig = ILinkRig()
    yield rig
    await rig.backend.close()


@pytest.fixture
async def online(rig: ILinkRig) -> ILinkRig:
    """A backend that is logged in."""
    await rig.log_in()
    return rig
