"""Fixtures of the tests of the flows: Node-RED is installed, and an environment that runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.node_red.environment import (
    ILinkNodeRedEnvironment,
    NodeRedEnvironment,
    running_environment,
    running_ilink_environment,
)
from tests.node_red.installed import install
from tests.support.broker import PROGRAM
from tests.support.ilink_home import ILinkHome


@pytest.fixture(scope="session")
def node_red() -> None:
    """Skips the tests where Node-RED or mosquitto is not available."""
    if problem := install():
        pytest.skip(problem)
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment(
    node_red: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[NodeRedEnvironment]:
    """Yields one environment for all tests of a module, which need the loop of the module:
    `pytestmark = pytest.mark.asyncio(loop_scope="module")`.

    Each test loads its own flows and leaves the rest as it was. At the end Node-RED must have logged no error.
    """
    async with running_environment(tmp_path_factory.mktemp("house")) as environment:
        yield environment
        assert environment.red.complaints() == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ilink_environment(
    node_red: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ILinkNodeRedEnvironment]:
    async with running_ilink_environment(tmp_path_factory.mktemp("ilink")) as ilink_environment:
        yield ilink_environment
        assert ilink_environment.environment.red.complaints() == []


@pytest_asyncio.fixture(loop_scope="module")
async def bot_environment(ilink_environment: ILinkNodeRedEnvironment) -> AsyncIterator[NodeRedEnvironment]:
    """Yields the environment after the person has written; removes alarms and the fallback after the test."""
    for window in ({"waiting": 0}, {"left": 10}):  # what an earlier test left to wait goes out first
        since = ilink_environment.home.subscriber.count
        await ilink_environment.home.bot.write("hello")
        await ilink_environment.home.body("wx/window/me", since=since, **window)
    yield ilink_environment.environment
    await ilink_environment.home.publish("home/water/alarm", "OFF")
    await ilink_environment.environment.wait_until_idle()
    await ilink_environment.environment.load()


@pytest.fixture
def home(ilink_environment: ILinkNodeRedEnvironment) -> ILinkHome:
    return ilink_environment.home
