"""Every call to WeChat fails at random, in every way, while both ends go on; at the end nothing is wrong."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from tests.crash.crash_home import CrashHome, at_crash_home
from tests.support.broker import PROGRAM
from tests.support.repetitions import repetitions
from tests.support.seed import seeded

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="mosquitto is not installed (apt-get install mosquitto)"
)

ENDPOINTS = ("synccheck", "webwxsync", "webwxsendmsg", "webwxbatchgetcontact", "webwxstatusnotify")
KINDS: tuple[dict[str, Any], ...] = (
    {"kind": "reset"},
    {"kind": "truncate"},
    {"kind": "garbage"},
    {"kind": "html"},
    {"kind": "empty"},
    {"kind": "bad_status_line"},
    {"kind": "status", "value": 502},
    {"kind": "hang", "value": 0.3},
    {"kind": "delay", "value": 0.3},
    {"kind": "drop_answer"},
)
FAULTS = repetitions(12, 35)


async def fail(home: CrashHome, dice: random.Random) -> None:
    """One fault after another, each as soon as the one before has been met."""
    for _ in range(FAULTS):
        endpoint = dice.choice(ENDPOINTS[:3] if dice.random() < 0.9 else ENDPOINTS)
        calls = (await home.control.get("state"))["calls"].get(endpoint, 0)
        await home.control.post("fault", endpoint=endpoint, **dice.choice(KINDS))
        await home.control.get("wait", **{"for": f"calls:{endpoint}:{calls + 1}", "seconds": 1.0})
    await home.control.post("fault/clear")


@seeded
async def test_whatever_fails_at_wechat_nothing_is_lost_and_no_repeat_is_hidden(tmp_path: Path, seed: int):
    dice = random.Random(seed)
    async with at_crash_home(tmp_path, seed) as home:
        await home.start_bridge()
        async with home.traffic.running():
            await fail(home, dice)
        await home.stop_and_check()


@seeded
async def test_the_bridge_is_killed_while_everything_fails(tmp_path: Path, seed: int):
    dice = random.Random(seed)
    async with at_crash_home(tmp_path, seed) as home:
        await home.start_bridge()
        async with home.traffic.running():
            failing = asyncio.create_task(fail(home, dice))
            while not failing.done():
                await home.process.run_for(dice.uniform(0.1, 1.0))
                home.process.kill()
                home.process.start()
            home.process.kill()
            await failing
        await home.run_to_end()
