"""A strict simulator and a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.chromium import Chromium
from tests.support.ilink_client import ILinkClient
from tests.support.web_client import WebClient
from tests.support.wecom_client import WeComClient
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


@pytest.fixture
async def program(sim: Simulator) -> AsyncIterator[ILinkClient]:
    """A program that is bound to nobody; waiting is short."""
    sim.wechat.ilink.settings.hold_updates = 0.05
    sim.wechat.ilink.settings.hold_status = 0.05
    async with ILinkClient(sim.url) as client:
        yield client


@pytest.fixture
async def bound(program: ILinkClient) -> ILinkClient:
    """A program that is bound to the owner, who has not written yet."""
    await program.log_in()
    return program


@pytest.fixture
async def talking(bound: ILinkClient) -> ILinkClient:
    """A program to which the owner has written."""
    await bound.control("say", text="hi")
    assert [message["item_list"][0]["text_item"]["text"] for message in await bound.new()] == ["hi"]
    return bound


@pytest.fixture
async def stranger(sim: Simulator) -> AsyncIterator[WeComClient]:
    """A program of WeCom that has not connected yet."""
    async with WeComClient(sim.url) as client:
        yield client


@pytest.fixture
async def bot(stranger: WeComClient) -> WeComClient:
    """A program that has subscribed with the bot that is there from the start."""
    assert (await stranger.log_in())["errcode"] == 0
    return stranger


@pytest.fixture(params=[(360, "zh"), (1000, "en")], ids=["phone-zh", "desk-en"])
def chromium(request: pytest.FixtureRequest) -> Iterator[Chromium]:
    """A browser of either size and language; at its end nothing stuck out and nothing was complained of."""
    width, language = request.param
    with Chromium(width, 740, language) as browser:
        yield browser
        assert browser.run("return document.documentElement.scrollWidth") <= width
        assert browser.console() == []
