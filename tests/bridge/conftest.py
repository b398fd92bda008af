"""The bridge of one account (`tests/support/account_rig.py`) for each test, on a loop without waits."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.account_rig import BridgedAccount, opened_bridge
from tests.support.memory_backend import WIFE, MemoryBackend
from tests.support.single_thread import SingleThreadLoop
from tests.support.sockets import refuse_sockets
from wx2mqtt.errors import LoggedOut

MEMORY = Path("/dev/shm")


# Opens a bridge with this backend and these sections of the settings; `start=False` leaves it to the test to start it.
OpenBridge = Callable[..., Awaitable[BridgedAccount]]


def pytest_asyncio_loop_factories() -> dict[str, Any]:
    return {"no-waits": SingleThreadLoop}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_sockets(monkeypatch)


@pytest.fixture
def store_folder() -> Iterator[Path]:
    """A folder in memory, where there is one: the store waits for the disk at each commit."""
    folder = Path(tempfile.mkdtemp(prefix="wx2mqtt-", dir=MEMORY if MEMORY.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def open_bridge(store_folder: Path) -> AsyncIterator[OpenBridge]:
    """Opens the bridge of one account: `await open_bridge(backend, send={"per_minute": 5})`."""
    async with AsyncExitStack() as stack:

        async def opened(
            backend: MemoryBackend | None = None, *, start: bool = True, **sections: Any
        ) -> BridgedAccount:
            bridge = await stack.enter_async_context(opened_bridge(store_folder, backend, **sections))
            if start:
                await bridge.start()
            return bridge

        yield opened


@pytest.fixture
async def bridge(open_bridge: OpenBridge) -> BridgedAccount:
    """A bridge with the usual settings that is online at both ends."""
    return await open_bridge()


async def rename_wife(bridge: BridgedAccount) -> None:
    """Gives her the remark 梅 at a new login: 梅 is her topic name then, and of 老婆 it is not certain who that is."""
    bridge.backend.contacts[0] = replace(WIFE, remark="梅")
    bridge.backend.fail(LoggedOut("elsewhere"))
    await bridge.wait_until(lambda: "梅" in str(bridge.last("wx/contacts")))
    await bridge.pass_time(5)
