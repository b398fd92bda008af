"""WeChat fails in every way while the bridge runs: it is reported in time, recovers by itself, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from tests.scenarios.login_helpers import STATE
from tests.scenarios.outage_helpers import (
    MAX_SECONDS_UNTIL_REPORTED,
    assert_received_once_in_order,
    home_with_message,
)
from tests.support.deadlines import allowed


async def check_fault(folder: Path, name: str, **fault: Any) -> None:
    """Checks a fault that lasts until it is cleared: it is reported, and no message is lost or comes twice."""
    async with home_with_message(folder, name) as home:
        since, started_at = home.subscriber.count, time.monotonic()
        await home.control.post("fault", **{"times": 0, **fault})
        await home.control.say("wife", "said meanwhile")
        state = await home.in_thread(
            home.subscriber.wait_body,
            STATE,
            since=since,
            state="interrupted",
            timeout=allowed(MAX_SECONDS_UNTIL_REPORTED + 5),
        )
        assert time.monotonic() - started_at < allowed(MAX_SECONDS_UNTIL_REPORTED + 5)
        assert state["needs"] == "nothing"
        assert state["reason"]
        assert "<" not in state["reason"]
        await home.control.post("fault/clear")
        await home.in_thread(home.subscriber.wait_body, STATE, since=since, state="online")
        await home.control.say("wife", "said after")
        await assert_received_once_in_order(home, "said meanwhile", "said after")
        assert (await home.control.get("state"))["calls"]["jslogin"] == 1


FAULTS: dict[str, dict[str, Any]] = {
    "503": {"endpoint": "synccheck", "kind": "status", "value": 503},
    "garbage": {"endpoint": "synccheck", "kind": "garbage"},
    "a web page": {"endpoint": "synccheck", "kind": "html"},
    "nothing at all": {"endpoint": "synccheck", "kind": "empty"},
    "a bad status line": {"endpoint": "synccheck", "kind": "bad_status_line"},
    "a reset": {"endpoint": "synccheck", "kind": "reset"},
    "a sync that fails": {"endpoint": "webwxsync", "kind": "status", "value": 502},
    "a sync cut short": {"endpoint": "webwxsync", "kind": "truncate"},
    "a sync in another charset": {"endpoint": "webwxsync", "kind": "garbage", "value": '{"BaseResponse": '},
    "a poll left unanswered": {"endpoint": "synccheck", "kind": "hang"},
    "a Ret that nobody knows": {"endpoint": "webwxsync", "kind": "ret", "value": -1},
}


async def test_each_fault_is_reported_recovers_and_loses_nothing(with_mosquitto: None, tmp_path: Path):
    """All faults are checked at the same time, each in its own home: the hung poll alone takes its 35 s."""
    async with asyncio.TaskGroup() as homes:
        for name, fault in FAULTS.items():
            homes.create_task(check_fault(tmp_path, name.replace(" ", "_"), **fault))
