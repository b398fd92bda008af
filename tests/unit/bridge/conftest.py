"""Fixtures of the tests of the bridge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.bridge.outgoing import House, running


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """The way out, running, connected and logged in."""
    async with running(tmp_path) as house:
        yield house
