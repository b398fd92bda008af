"""A request that changes something at WeChat, cut off by a kill at each of its steps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crash.arena import Arena
from tests.crash.conftest import MakeArena
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


async def cut_off(arena: Arena, point: str, name: str, fields: dict[str, Any]) -> set[str]:
    """Ask in a life that ends at `point`; what is told of it then and in the next life."""
    await arena.begin()
    arena.lives.kill()
    since = arena.subscriber.count
    arena.lives.start(point)
    await arena.body("wx/login/state", state="online", since=since)
    await arena.publish(f"wx/bridge/request/{name}", {**fields, "transaction": point})
    assert await arena.lives.dies()
    since = arena.subscriber.count
    await arena.begin()
    await arena.body(f"wx/bridge/response/{name}", since=since, transaction=point)
    await arena.lives.stop()
    answers = [one.body for one in arena.subscriber.on(f"wx/bridge/response/{name}")]
    return {str(one.get("code", one["status"])) for one in answers}


async def calls(arena: Arena, endpoint: str) -> int:
    return int((await arena.control.get("state"))["calls"].get(endpoint, 0))


@pytest.mark.parametrize("point", POINTS)
async def test_a_remark_is_set_whenever_the_bridge_dies(make_arena: MakeArena, point: str):
    async with make_arena(SEED) as arena:
        told = await cut_off(arena, point, "set_remark", {"user": "lilei", "remark": "李先生"})
        answer, count = HARMLESS[point]
        assert (told, await calls(arena, "webwxoplog")) == ({answer}, count)
        people = {one["id"]: one for one in await arena.control.get("people")}
        assert people["lilei"]["remark"] == "李先生"
        assert await arena.control.get("violations") == []


@pytest.mark.parametrize("point", POINTS)
async def test_a_group_is_made_once_at_most_and_what_is_told_is_true(make_arena: MakeArena, point: str):
    async with make_arena(SEED) as arena:
        fields = {"action": "create", "members": ["wife", "mom"], "name": "周末"}
        told = await cut_off(arena, point, "group", fields)
        answer, count = MAKES[point]
        assert (told, await calls(arena, "webwxcreatechatroom")) == ({answer}, count)
        people = [one["nickname"] for one in await arena.control.get("people")]
        assert people.count("周末") == count
        assert await arena.control.get("violations") == []
