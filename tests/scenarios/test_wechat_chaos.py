"""Every call to WeChat fails at random, in every way, while messages go both ways; at the end nothing is wrong."""

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


async def order_faults(home: CrashHome, random_source: random.Random) -> None:
    """Orders one fault after another, each as soon as the one before has taken effect."""
    for _ in range(FAULTS):
        endpoint = random_source.choice(ENDPOINTS[:3] if random_source.random() < 0.9 else ENDPOINTS)
        calls = (await home.control.get("state"))["calls"].get(endpoint, 0)
        await home.control.post("fault", endpoint=endpoint, **random_source.choice(KINDS))
        await home.control.get("wait", **{"for": f"calls:{endpoint}:{calls + 1}", "seconds": 1.0})
    await home.control.post("fault/clear")


@seeded
async def test_whatever_fails_at_wechat_nothing_is_lost_and_no_repeat_is_hidden(tmp_path: Path, seed: int):
    random_source = random.Random(seed)
    async with at_crash_home(tmp_path, seed) as home:
        await home.start_bridge()
        async with home.traffic.running():
            await order_faults(home, random_source)
        await home.stop_and_check()


@seeded
async def test_the_bridge_is_killed_while_everything_fails(tmp_path: Path, seed: int):
    random_source = random.Random(seed)
    async with at_crash_home(tmp_path, seed) as home:
        await home.start_bridge()
        async with home.traffic.running():
            failing = asyncio.create_task(order_faults(home, random_source))
            while not failing.done():
                await home.process.run_for(random_source.uniform(0.1, 1.0))
                home.process.kill()
                home.process.start()
            home.process.kill()
            await failing
        await home.run_to_end()
