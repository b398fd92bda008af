"""WeChat that fails in every way while the bridge runs: said in time, mended by itself, nothing lost or twice."""

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


async def falls_silent(folder: Path, name: str, **fault: Any) -> None:
    """A fault that stays until it is mended."""
    async with home_with_message(folder, name) as home:
        since, began = home.subscriber.count, time.monotonic()
        await home.control.post("fault", **{"times": 0, **fault})
        await home.control.say("wife", "said meanwhile")
        state = await home.in_thread(
            home.subscriber.wait_body,
            STATE,
            since=since,
            state="interrupted",
            timeout=allowed(MAX_SECONDS_UNTIL_REPORTED + 5),
        )
        assert time.monotonic() - began < allowed(MAX_SECONDS_UNTIL_REPORTED + 5)
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


async def test_whatever_goes_wrong_is_said_mended_and_loses_nothing(with_mosquitto: None, tmp_path: Path):
    """All at the same time, each in a home of its own: the hung poll alone takes its 35 s."""
    async with asyncio.TaskGroup() as homes:
        for name, fault in FAULTS.items():
            homes.create_task(falls_silent(tmp_path, name.replace(" ", "_"), **fault))
