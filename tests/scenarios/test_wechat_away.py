"""WeChat is away for a while, or repeats answers: nothing is lost, and nothing comes twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.login_helpers import STATE
from tests.scenarios.outage_helpers import (
    MAX_SECONDS_UNTIL_REPORTED,
    assert_received_once_in_order,
    home_with_message,
    seconds_between,
)
from tests.support.deadlines import allowed
from tests.support.home import Home, at_home
from tests.support.ilink_home import ILinkHome, at_ilink_home
from tests.support.wecom_home import at_wecom_home

pytestmark = pytest.mark.usefixtures("with_mosquitto")


async def test_no_message_is_lost_while_wechat_is_away(tmp_path: Path):
    async with home_with_message(tmp_path, "gone") as home:
        since = home.subscriber.count
        await home.stop_wechat()
        await home.in_thread(
            home.subscriber.wait_body,
            STATE,
            since=since,
            state="interrupted",
            timeout=allowed(MAX_SECONDS_UNTIL_REPORTED),
        )
        await home.start_wechat()
        await home.control.say("wife", "said after")
        await home.in_thread(home.subscriber.wait_body, STATE, since=since, state="online")
        await assert_received_once_in_order(home, "said after")


AT_HOME: dict[str, tuple[Callable[[Path], AbstractAsyncContextManager[Home]], tuple[str, ...]]] = {
    "webwx": (at_home, ("wife", "family")),
    "ilink": (at_ilink_home, ("me",)),
    "wecom": (at_wecom_home, ("me", "family")),
}


@pytest.mark.parametrize("backend", AT_HOME)
async def test_after_an_outage_what_waits_goes_at_once_and_in_order(tmp_path: Path, backend: str):
    at_home_of_backend, users = AT_HOME[backend]
    async with at_home_of_backend(tmp_path) as home:
        if backend == "webwx":
            await home.control.post("settings", hold_sync=2)
        await home.log_in()
        if isinstance(home, ILinkHome):
            await home.bot.write("hello")
            await home.body("wx/in/me", text="hello")
        since = home.subscriber.count
        await home.stop_wechat()
        commands = [
            {"text": "first"},
            {"kind": "file", "data": "eHh4eHh4eHg=", "name": "a.txt"},
            {"text": "last"},
        ]
        for user in users:
            for number, command in enumerate(commands):
                await home.publish(f"wx/out/{user}", {**command, "id": f"{user}-{number}"})
        await home.body(STATE, since=since, state="interrupted")
        await home.start_wechat()
        online = await home.body(STATE, since=since, state="online")
        for user in users:
            for number in range(len(commands)):
                result = await home.body(f"wx/result/{user}", id=f"{user}-{number}")
                assert (result["status"], result["duplicate_possible"]) == ("sent", False)
                assert seconds_between(online["since"], result["time"]) <= allowed(1)
            ids = [message.body["id"] for message in home.subscriber.on(f"wx/result/{user}")]
            assert ids == [f"{user}-{number}" for number in range(len(commands))]


BRIEF_FAULTS: list[dict[str, Any]] = [
    {"endpoint": "synccheck", "kind": "status", "value": 503},
    {"endpoint": "synccheck", "kind": "bad_status_line"},
    {"endpoint": "webwxsync", "kind": "drop_answer"},
    {"endpoint": "webwxsync", "kind": "truncate", "value": 100},
    {"endpoint": "webwxsync", "kind": "ret", "value": 3},
    {"endpoint": "webwxsync", "kind": "charset", "value": "gbk"},
]


async def test_one_lost_answer_changes_no_state_and_repeats_no_message(tmp_path: Path):
    async with home_with_message(tmp_path, "short") as home:
        since = home.subscriber.count
        texts = []
        for number, fault in enumerate(BRIEF_FAULTS):
            await home.control.post("fault", **fault)
            texts.append(f"fault {number}")
            await home.control.say("wife", texts[-1])
            await home.body("wx/in/wife", text=texts[-1])
            await home.control.wait("polling")
        await assert_received_once_in_order(home, *texts)
        assert [message for message in home.subscriber.received[since:] if message.topic == STATE] == []


@pytest.mark.parametrize("setting", [{"check_key": False}, {"continue_flag": True, "sync_batch": 7}])
async def test_renewed_keys_are_used(tmp_path: Path, setting: dict[str, Any]):
    async with home_with_message(tmp_path, "keys") as home:
        await home.control.post("settings", sync_skey=True, rotate_tickets=True, **setting)
        await home.control.say("wife", "many {n}", count=100)
        await assert_received_once_in_order(home, *(f"many {n}" for n in range(1, 101)))
        await home.in_thread(home.bridge.stop)
        await home.control.say("wife", "with the newest keys")
        await home.restart()
        await home.body("wx/in/wife", text="with the newest keys")


async def test_a_stuck_selector_causes_no_busy_loop_and_no_logout(tmp_path: Path):
    async with home_with_message(tmp_path, "stuck") as home:
        await home.control.post("fault", endpoint="synccheck", kind="selector", value=2, times=5)
        await home.control.post("fault", endpoint="webwxsync", kind="stuck", times=5)
        state = await home.control.get("state")
        await home.control.wait(f"calls:webwxsync:{state['calls']['webwxsync'] + 5}", 20)
        await home.control.post("fault/clear")
        await home.control.say("wife", "unstuck")
        await assert_received_once_in_order(home, "unstuck")
        assert home.subscriber.on(STATE)[-1].body["state"] == "online"
