"""A strict simulator and a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.web_client import WebClient
from wx2mqtt.simulator.server import Simulator


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """A running simulator that does not forgive what WeChat tolerates."""
    async with Simulator(seed=7) as simulator:
        simulator.wechat.settings.strict = True
        yield simulator


@pytest.fixture
async def browser(sim: Simulator) -> AsyncIterator[WebClient]:
    """A browser that is not logged in."""
    async with WebClient(sim.url) as client:
        yield client


@pytest.fixture
async def online(browser: WebClient) -> WebClient:
    """A browser that is logged in and has read the lists of recent chats."""
    await browser.log_in()
    assert await browser.all_new() == []
    return browser
