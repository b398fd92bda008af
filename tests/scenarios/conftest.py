"""Fixtures that scenarios share: a real broker, and a home with everything in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.broker import DURABLE, PROGRAM, Mosquitto
from tests.support.home import Home, at_home
from tests.support.postgresql import TESTED_STORE
from tests.support.subscriber import SUBSCRIBERS

StartMosquitto = Callable[..., Mosquitto]


@pytest.fixture(autouse=True)
def _messages_fit_the_schemas() -> Iterator[None]:
    """Asserts that all messages that subscribers received in a scenario fit the output of `wx2mqtt schema messages`."""
    yield
    if SUBSCRIBERS:
        from tests.support.schema_conformance import (
            faults_since_last_time,  # many scenarios have no subscriber
        )

        assert faults_since_last_time() == []


@pytest.fixture(autouse=True)
def _no_frozen_bridge(_no_frozen_loop: None) -> None:
    """Asserts that a scenario does not freeze the event loop of a bridge."""


@pytest.fixture(autouse=True)
def _store_in_a_folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the store in a folder for tests that read its files."""
    if request.node.get_closest_marker("in_folder"):
        monkeypatch.setenv(TESTED_STORE, "sqlite")


@pytest.fixture
def start_mosquitto(tmp_path: Path) -> Iterator[StartMosquitto]:
    """`start_mosquitto(config="", port=0, listener=True)` gives a running broker; all are killed with the test."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    brokers: list[Mosquitto] = []

    def start(config: str = "", *, port: int = 0, listener: bool = True) -> Mosquitto:
        folder = tmp_path / f"mosquitto{len(brokers)}"
        brokers.append(Mosquitto(folder, config, port=port, listener=listener))
        return brokers[-1].start()

    yield start
    for broker in brokers:
        broker.kill()


@pytest.fixture
def mosquitto(start_mosquitto: StartMosquitto) -> Mosquitto:
    """Gives a running broker that stores nothing."""
    return start_mosquitto()


@pytest.fixture(scope="session")
def with_mosquitto() -> None:
    """Skips the test where mosquitto is not installed."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[Home]:
    """Gives a home of its own on a broker that survives kill -9; `home.log_in()` starts the bridge."""
    async with at_home(tmp_path, DURABLE) as home:
        yield home


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_home(with_mosquitto: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """Gives one home for all tests of a module, logged in. They need the loop of the module:
    `pytestmark = pytest.mark.asyncio(loop_scope="module")`. Each leaves it as it was, and uses
    people or texts of its own.
    """
    async with at_home(tmp_path_factory.mktemp("home"), DURABLE) as home:
        await home.log_in()
        yield home
