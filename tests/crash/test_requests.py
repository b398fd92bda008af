"""The bridge is killed at each step of a request that changes something at WeChat."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crash.conftest import MakeCrashHome
from tests.crash.crash_home import CrashHome
from tests.support.seed import SEED

POINTS = ("before:request_begin", "after:request_begin", "before:request_end", "after:request_end")
NEVER, ONCE, TWICE = 0, 1, 2

REPEATABLE = {
    "before:request_begin": ("ok", ONCE),
    "after:request_begin": ("ok", ONCE),
    "before:request_end": ("ok", TWICE),
    "after:request_end": ("ok", ONCE),
}
"""The answer, and how often WeChat was asked, for a request that may be repeated."""

NOT_REPEATABLE = {
    "before:request_begin": ("ok", ONCE),
    "after:request_begin": ("no_answer", NEVER),
    "before:request_end": ("no_answer", ONCE),
    "after:request_end": ("ok", ONCE),
}
"""The same for a request that must not be repeated."""


async def killed_request(home: CrashHome, point: str, name: str, fields: dict[str, Any]) -> set[str]:
    """Sends a request to a bridge that is killed at `point`; returns the answers before the kill and after it."""
    await home.start_bridge()
    home.process.kill()
    since = home.subscriber.count
    home.process.start(point)
    await home.body("wx/login/state", state="online", since=since)
    await home.publish(f"wx/bridge/request/{name}", {**fields, "transaction": point})
    assert await home.process.reaches_point()
    since = home.subscriber.count
    await home.start_bridge()
    await home.body(f"wx/bridge/response/{name}", since=since, transaction=point)
    await home.process.stop()
    answers = [message.body for message in home.subscriber.on(f"wx/bridge/response/{name}")]
    return {str(body.get("code", body["status"])) for body in answers}


async def calls(home: CrashHome, endpoint: str) -> int:
    return int((await home.control.get("state"))["calls"].get(endpoint, 0))


@pytest.mark.parametrize("point", POINTS)
async def test_a_remark_is_set_wherever_the_bridge_is_killed(make_crash_home: MakeCrashHome, point: str):
    async with make_crash_home(SEED) as home:
        answers_given = await killed_request(home, point, "set_remark", {"user": "lilei", "remark": "李先生"})
        answer, count = REPEATABLE[point]
        assert (answers_given, await calls(home, "webwxoplog")) == ({answer}, count)
        people = {person["id"]: person for person in await home.control.get("people")}
        assert people["lilei"]["remark"] == "李先生"
        assert await home.control.get("violations") == []


@pytest.mark.parametrize("point", POINTS)
async def test_a_group_is_created_once_at_most_and_the_answer_is_true(
    make_crash_home: MakeCrashHome, point: str
):
    async with make_crash_home(SEED) as home:
        fields = {"action": "create", "members": ["wife", "mom"], "name": "周末"}
        answers_given = await killed_request(home, point, "group", fields)
        answer, count = NOT_REPEATABLE[point]
        assert (answers_given, await calls(home, "webwxcreatechatroom")) == ({answer}, count)
        people = [person["nickname"] for person in await home.control.get("people")]
        assert people.count("周末") == count
        assert await home.control.get("violations") == []
