"""A strict simulator, clients of its three protocols, and a browser."""

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
    """Yields a running simulator that records what WeChat tolerates as a violation."""
    async with Simulator(seed=7) as simulator:
        simulator.wechat.settings.strict = True
        yield simulator


@pytest.fixture
async def web_client(sim: Simulator) -> AsyncIterator[WebClient]:
    """Yields a client of web WeChat that is not logged in."""
    async with WebClient(sim.url) as client:
        yield client


@pytest.fixture
async def online_client(web_client: WebClient) -> WebClient:
    """Returns a client of web WeChat that is logged in and has read the lists of recent chats."""
    await web_client.log_in()
    assert await web_client.all_new() == []
    return web_client


@pytest.fixture
async def ilink_client(sim: Simulator) -> AsyncIterator[ILinkClient]:
    """Yields an iLink client that is bound to nobody; its polls are held for a short time only."""
    sim.wechat.ilink.settings.hold_updates = 0.05
    sim.wechat.ilink.settings.hold_status = 0.05
    async with ILinkClient(sim.url) as client:
        yield client


@pytest.fixture
async def bound_client(ilink_client: ILinkClient) -> ILinkClient:
    """Returns an iLink client that is bound to the owner, who has not written yet."""
    await ilink_client.log_in()
    return ilink_client


@pytest.fixture
async def greeted_client(bound_client: ILinkClient) -> ILinkClient:
    """Returns an iLink client to which the owner has written."""
    await bound_client.control("say", text="hi")
    assert [message["item_list"][0]["text_item"]["text"] for message in await bound_client.new()] == ["hi"]
    return bound_client


@pytest.fixture
async def wecom_client(sim: Simulator) -> AsyncIterator[WeComClient]:
    """Yields a WeCom client that has not connected yet."""
    async with WeComClient(sim.url) as client:
        yield client


@pytest.fixture
async def subscribed_client(wecom_client: WeComClient) -> WeComClient:
    """Returns a WeCom client that has subscribed with the bot that exists from the start."""
    assert (await wecom_client.log_in())["errcode"] == 0
    return wecom_client


@pytest.fixture(params=[(360, "zh"), (1000, "en")], ids=["phone-zh", "desk-en"])
def chromium(request: pytest.FixtureRequest) -> Iterator[Chromium]:
    """Yields a browser of one size and language; checks that no page was too wide or logged an error."""
    width, language = request.param
    with Chromium(width, 740, language) as browser:
        yield browser
        assert browser.run("return document.documentElement.scrollWidth") <= width
        assert browser.console() == []
