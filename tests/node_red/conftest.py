"""What the tests of the flows share: Node-RED is there, and a house that runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.node_red.environment import (
    ILinkNodeRedEnvironment,
    NodeRedEnvironment,
    at_ilink_house,
    running_environment,
)
from tests.node_red.installed import install
from tests.support.broker import PROGRAM
from tests.support.ilink_home import ILinkHome


@pytest.fixture(scope="session")
def node_red() -> None:
    """Skips where Node-RED or mosquitto cannot be had."""
    if problem := install():
        pytest.skip(problem)
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment(
    node_red: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[NodeRedEnvironment]:
    """One house for all tests of a module. They need the loop of the module:
    `pytestmark = pytest.mark.asyncio(loop_scope="module")`. Each loads its own flows and leaves the rest as it
    was. At the end Node-RED must have complained of nothing.
    """
    async with running_environment(tmp_path_factory.mktemp("house")) as environment:
        yield environment
        assert environment.red.complaints() == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ilink(
    node_red: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ILinkNodeRedEnvironment]:
    async with at_ilink_house(tmp_path_factory.mktemp("ilink")) as ilink:
        yield ilink
        assert ilink.environment.red.complaints() == []


@pytest_asyncio.fixture(loop_scope="module")
async def bot_environment(ilink: ILinkNodeRedEnvironment) -> AsyncIterator[NodeRedEnvironment]:
    """The house, where WeChat takes ten messages; afterwards no alarm is left, and no fallback."""
    for wanted in ({"waiting": 0}, {"left": 10}):  # what an earlier test left to wait goes out first
        since = ilink.home.subscriber.count
        await ilink.home.bot.write("hello")
        await ilink.home.body("wx/window/me", since=since, **wanted)
    yield ilink.environment
    await ilink.home.publish("home/water/alarm", "OFF")
    await ilink.environment.settled()
    await ilink.environment.load()


@pytest.fixture
def home(ilink: ILinkNodeRedEnvironment) -> ILinkHome:
    return ilink.home
