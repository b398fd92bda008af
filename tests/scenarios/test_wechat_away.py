"""WeChat that fails in every way while the bridge runs: said in time, mended by itself, nothing lost or twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import PROGRAM
from tests.support.home import Home, at_home

STATE = "wx/login/state"
SAID_WITHIN = 45.0  # seconds of failing answers (DESIGN 4.3)

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="mosquitto is not installed")


@asynccontextmanager
async def home_of(folder: Path, name: str) -> AsyncIterator[Home]:
    place = folder / name
    place.mkdir()
    async with at_home(place) as home:
        await home.phone.post("settings", hold_sync=2)  # else a poll that works tells so after 25 s only
        await home.log_in()
        await home.phone.say("wife", "before")
        await home.body("wx/in/wife", text="before")
        await home.phone.wait("polling")
        yield home


async def heard_once_and_in_order(home: Home, *texts: str) -> None:
    await home.body("wx/in/wife", text=texts[-1])
    messages = [one.body for one in home.ear.on("wx/in/wife")]
    assert [body["text"] for body in messages] == ["before", *texts]
    assert [body["seq"] for body in messages] == list(range(1, len(messages) + 1))
    assert len({body["id"] for body in messages}) == len(messages)


async def falls_silent(folder: Path, name: str, **fault: Any) -> None:
    """A fault that stays until it is mended."""
    async with home_of(folder, name) as home:
        since, began = home.ear.count, time.monotonic()
        await home.phone.post("fault", **{"times": 0, **fault})
        await home.phone.say("wife", "said meanwhile")
        state = await home.hear(
            home.ear.wait_body, STATE, since=since, state="interrupted", timeout=SAID_WITHIN + 5
        )
        assert time.monotonic() - began < SAID_WITHIN + 5
        assert state["needs"] == "nothing"
        assert state["reason"]
        assert "<" not in state["reason"]
        await home.phone.post("fault/clear")
        await home.hear(home.ear.wait_body, STATE, since=since, state="online", timeout=30)
        await home.phone.say("wife", "said after")
        await heard_once_and_in_order(home, "said meanwhile", "said after")
        assert (await home.phone.get("state"))["calls"]["jslogin"] == 1


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


async def test_whatever_goes_wrong_is_said_mended_and_loses_nothing(tmp_path: Path):
    """All at the same time, each in a home of its own: the hung poll alone takes its 35 s."""
    async with asyncio.TaskGroup() as homes:
        for name, fault in FAULTS.items():
            homes.create_task(falls_silent(tmp_path, name.replace(" ", "_"), **fault))


async def test_wechat_gone_and_back(tmp_path: Path):
    async with home_of(tmp_path, "gone") as home:
        since = home.ear.count
        await home.wechat_goes()
        await home.hear(home.ear.wait_body, STATE, since=since, state="interrupted", timeout=SAID_WITHIN)
        await home.wechat_returns()
        await home.phone.say("wife", "said after")
        await home.hear(home.ear.wait_body, STATE, since=since, state="online", timeout=60)
        await heard_once_and_in_order(home, "said after")


SHORT: list[dict[str, Any]] = [
    {"endpoint": "synccheck", "kind": "status", "value": 503},
    {"endpoint": "synccheck", "kind": "bad_status_line"},
    {"endpoint": "webwxsync", "kind": "drop_answer"},
    {"endpoint": "webwxsync", "kind": "truncate", "value": 100},
    {"endpoint": "webwxsync", "kind": "ret", "value": 3},
    {"endpoint": "webwxsync", "kind": "charset", "value": "gbk"},
]


async def test_one_lost_answer_is_no_news_and_brings_nothing_twice(tmp_path: Path):
    async with home_of(tmp_path, "short") as home:
        since = home.ear.count
        texts = []
        for number, fault in enumerate(SHORT):
            await home.phone.post("fault", **fault)
            texts.append(f"fault {number}")
            await home.phone.say("wife", texts[-1])
            await home.body("wx/in/wife", text=texts[-1])
            await home.phone.wait("polling")
        await heard_once_and_in_order(home, *texts)
        assert [one for one in home.ear.heard[since:] if one.topic == STATE] == []


@pytest.mark.parametrize("setting", [{"check_key": False}, {"continue_flag": True, "sync_batch": 7}])
async def test_the_keys_are_followed_as_they_come(tmp_path: Path, setting: dict[str, Any]):
    async with home_of(tmp_path, "keys") as home:
        await home.phone.post("settings", sync_skey=True, rotate_tickets=True, **setting)
        await home.phone.say("wife", "many {n}", count=100)
        await heard_once_and_in_order(home, *(f"many {n}" for n in range(1, 101)))
        await home.hear(home.bridge.stop)
        await home.phone.say("wife", "with the newest keys")
        await home.restart()
        await home.body("wx/in/wife", text="with the newest keys")


async def test_a_selector_that_sticks_is_no_busy_loop_and_no_reason_to_log_out(tmp_path: Path):
    async with home_of(tmp_path, "stuck") as home:
        await home.phone.post("fault", endpoint="synccheck", kind="selector", value=2, times=5)
        await home.phone.post("fault", endpoint="webwxsync", kind="stuck", times=5)
        state = await home.phone.get("state")
        await home.phone.wait(f"calls:webwxsync:{state['calls']['webwxsync'] + 5}", 20)
        await home.phone.post("fault/clear")
        await home.phone.say("wife", "unstuck")
        await heard_once_and_in_order(home, "unstuck")
        assert home.ear.on(STATE)[-1].body["state"] == "online"
