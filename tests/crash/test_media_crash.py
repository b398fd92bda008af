"""The whole bridge killed, and its disk filled, while pictures come: each is told with its bytes, none by half."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.arena import Arena
from tests.crash.conftest import MakeArena
from tests.crash.test_disk_full import no_room
from tests.support.deadlines import MAX_WAIT_SECONDS

JOBS = ("record", "media_ready", "media_postpone", "published")
PICTURES = 4  # in each life
SIZE = 400_000  # bytes: more than one write


async def pictures(arena: Arena, count: int) -> dict[str, bytes]:
    """So many come from wife; what WeChat has of each."""
    ids = await arena.control.say("wife", kind="image", bytes_of=SIZE, count=count)
    async with httpx.AsyncClient(
        base_url=arena.simulator.url, trust_env=False, timeout=MAX_WAIT_SECONDS
    ) as phone:
        return {one: (await phone.get(f"/sim/media/{one}")).content for one in ids}


async def all_told(arena: Arena, came: dict[str, bytes]) -> None:
    """Each picture is published and told to be ready, with a file that holds what WeChat has."""
    for message_id, content in came.items():
        message = await arena.body("wx/in/wife", id=message_id)
        event = await arena.body("wx/event/media", message_id=message_id)
        assert event["state"] == "ready"
        assert event["url"] == message["image"]["url"]
        file = Path(arena.bridge.store) / event["path"]
        assert file.read_bytes() == content
        assert event["sha256"] == hashlib.sha256(content).hexdigest()
    assert told_of(arena) <= set(came)


async def ends_well(arena: Arena) -> None:
    """An orderly end leaves whole files only, each named by what is in it."""
    await arena.lives.stop()
    for file in files(arena):
        assert file.name.partition(".")[0] == hashlib.sha256(file.read_bytes()).hexdigest()


def told_of(arena: Arena) -> set[str]:
    """Messages whose bytes an event told of."""
    return {one.body["message_id"] for one in arena.subscriber.received if one.topic == "wx/event/media"}


def files(arena: Arena) -> list[Path]:
    """Everything below the folder of media."""
    found = os.walk(Path(arena.bridge.store) / "media")
    return [Path(folder) / name for folder, _, names in found for name in names]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_at_every_commit_of_the_media_lane(make_arena: MakeArena, when: str):
    async with make_arena(1) as arena:
        await arena.begin()
        arena.lives.kill()
        came: dict[str, bytes] = {}
        reached = set()
        for job in JOBS:
            if job == "media_postpone":
                await arena.control.post("fault", endpoint="webwxgetmsgimg", kind="status", value=502)
            arena.lives.start(f"{when}:{job}")
            came |= await pictures(arena, PICTURES)
            if await arena.lives.dies():
                reached.add(job)
            else:
                arena.lives.kill()
        assert reached == set(JOBS)
        await arena.begin()
        await all_told(arena, came)
        await ends_well(arena)


async def test_killed_in_the_middle_of_downloads(make_arena: MakeArena):
    """Each life ends while bytes lie on the disk that are not all there; the next one takes them away."""
    async with make_arena(2) as arena:
        await arena.begin()
        for _ in range(3):
            await arena.control.post("fault", endpoint="webwxgetmsgimg", kind="stall", value=SIZE - 1000)
        came = await pictures(arena, 3)
        for _ in range(3):
            half = await arena.in_thread(half_a_file, arena)
            arena.lives.kill()
            await arena.begin()
            assert not half.exists()
        await all_told(arena, came)
        await ends_well(arena)


def half_a_file(arena: Arena) -> Path:
    """Wait for a file whose bytes are coming."""
    until = time.monotonic() + MAX_WAIT_SECONDS
    while time.monotonic() < until:
        for file in files(arena):
            if file.name.startswith(".part-"):
                return file
        time.sleep(0.005)
    raise AssertionError("nothing was being fetched")


@pytest.mark.in_folder
async def test_a_disk_that_is_full_for_a_while_delays_pictures_and_loses_none(make_arena: MakeArena):
    async with make_arena(3) as arena:
        await arena.begin()
        came = await pictures(arena, 2)
        await all_told(arena, came)
        seen = arena.subscriber.count
        with no_room(arena):
            came |= await pictures(arena, 3)
            await arena.body("wx/login/state", state="interrupted", since=seen)
        await arena.body("wx/login/state", state="online", since=seen)
        came |= await pictures(arena, 1)
        await all_told(arena, came)
        await ends_well(arena)


async def test_a_disk_that_is_full_for_files_only_holds_no_text_up(make_arena: MakeArena):
    """Bytes wait for room; texts, which are small, go on."""
    async with make_arena(4) as arena:
        await arena.begin()
        media = Path(arena.bridge.store) / "media"
        came: dict[str, Any] = {}
        media.rename(media.with_name("elsewhere"))
        media.touch()  # no folder, no files
        came |= await pictures(arena, 2)
        (text_id,) = await arena.control.say("wife", "still there?")
        await arena.body("wx/in/wife", id=text_id)
        assert not told_of(arena)
        arena.lives.kill()  # the next life does not wait for its turn, and this one makes no folder now
        media.unlink()
        media.with_name("elsewhere").rename(media)
        await arena.begin()
        await all_told(arena, came)
        await ends_well(arena)
