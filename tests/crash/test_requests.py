"""A request that changes something at WeChat, cut off by a kill at each of its steps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crash.conftest import MakeCrashHome
from tests.crash.crash_home import CrashHome
from tests.support.seed import SEED

POINTS = ("before:request_begin", "after:request_begin", "before:request_end", "after:request_end")
NEVER, ONCE, TWICE = 0, 1, 2

HARMLESS = {
    "before:request_begin": ("ok", ONCE),
    "after:request_begin": ("ok", ONCE),
    "before:request_end": ("ok", TWICE),
    "after:request_end": ("ok", ONCE),
}
"""What is told in the end, and how often WeChat was asked, where twice is as once."""

MAKES = {
    "before:request_begin": ("ok", ONCE),
    "after:request_begin": ("no_answer", NEVER),
    "before:request_end": ("no_answer", ONCE),
    "after:request_end": ("ok", ONCE),
}
"""The same where it must not be done twice."""


async def cut_off(home: CrashHome, point: str, name: str, fields: dict[str, Any]) -> set[str]:
    """Ask in a life that ends at `point`; what is told of it then and in the next life."""
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
    answers = [one.body for one in home.subscriber.on(f"wx/bridge/response/{name}")]
    return {str(one.get("code", one["status"])) for one in answers}


async def calls(home: CrashHome, endpoint: str) -> int:
    return int((await home.control.get("state"))["calls"].get(endpoint, 0))


@pytest.mark.parametrize("point", POINTS)
async def test_a_remark_is_set_whenever_the_bridge_dies(make_crash_home: MakeCrashHome, point: str):
    async with make_crash_home(SEED) as home:
        told = await cut_off(home, point, "set_remark", {"user": "lilei", "remark": "李先生"})
        answer, count = HARMLESS[point]
        assert (told, await calls(home, "webwxoplog")) == ({answer}, count)
        people = {one["id"]: one for one in await home.control.get("people")}
        assert people["lilei"]["remark"] == "李先生"
        assert await home.control.get("violations") == []


@pytest.mark.parametrize("point", POINTS)
async def test_a_group_is_made_once_at_most_and_what_is_told_is_true(
    make_crash_home: MakeCrashHome, point: str
):
    async with make_crash_home(SEED) as home:
        fields = {"action": "create", "members": ["wife", "mom"], "name": "周末"}
        told = await cut_off(home, point, "group", fields)
        answer, count = MAKES[point]
        assert (told, await calls(home, "webwxcreatechatroom")) == ({answer}, count)
        people = [one["nickname"] for one in await home.control.get("people")]
        assert people.count("周末") == count
        assert await home.control.get("violations") == []
