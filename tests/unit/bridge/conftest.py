"""Fixtures of the tests of the bridge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.unit.bridge.commands_harness import CommandsHarness, running
from wx2mqtt.bridge import wechat_calls
from wx2mqtt.bridge.commands import (
    chat_queue,
    file_preparation,
    next_step,
    send_limits,
    sender,
)
from wx2mqtt.clock import boot_time, loop_time

PassTime = Callable[[float], None]


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[CommandsHarness]:
    """The components of the way to WeChat, running, connected and logged in."""
    async with running(tmp_path) as harness:
        yield harness


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> PassTime:
    """Puts the clocks of the sender forward by so many seconds; `recheck` makes the sender look at them."""
    ahead = 0.0

    def pass_time(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    for module in (chat_queue, file_preparation, next_step, send_limits, sender, wechat_calls):
        for clock in (loop_time, boot_time):
            if hasattr(module, clock.__name__):
                monkeypatch.setattr(module, clock.__name__, lambda clock=clock: clock() + ahead)
    return pass_time
