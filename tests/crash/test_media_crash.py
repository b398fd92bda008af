"""The whole bridge killed, and its disk filled, while pictures come: each is told with its bytes, none by half."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.conftest import MakeCrashHome
from tests.crash.crash_home import CrashHome
from tests.crash.test_disk_full import no_room
from tests.support.deadlines import MAX_WAIT_SECONDS

JOBS = ("record", "media_ready", "media_postpone", "published")
PICTURES = 4  # in each life
SIZE = 400_000  # bytes: more than one write


async def pictures(home: CrashHome, count: int) -> dict[str, bytes]:
    """So many come from wife; what WeChat has of each."""
    ids = await home.control.say("wife", kind="image", bytes_of=SIZE, count=count)
    async with httpx.AsyncClient(
        base_url=home.simulator.url, trust_env=False, timeout=MAX_WAIT_SECONDS
    ) as phone:
        return {one: (await phone.get(f"/sim/media/{one}")).content for one in ids}


async def all_told(home: CrashHome, came: dict[str, bytes]) -> None:
    """Each picture is published and told to be ready, with a file that holds what WeChat has."""
    for message_id, content in came.items():
        message = await home.body("wx/in/wife", id=message_id)
        event = await home.body("wx/event/media", message_id=message_id)
        assert event["state"] == "ready"
        assert event["url"] == message["image"]["url"]
        file = Path(home.bridge.store) / event["path"]
        assert file.read_bytes() == content
        assert event["sha256"] == hashlib.sha256(content).hexdigest()
    assert told_of(home) <= set(came)


async def stop_and_check(home: CrashHome) -> None:
    """An orderly end leaves whole files only, each named by what is in it."""
    await home.process.stop()
    for file in files(home):
        assert file.name.partition(".")[0] == hashlib.sha256(file.read_bytes()).hexdigest()


def told_of(home: CrashHome) -> set[str]:
    """Messages whose bytes an event told of."""
    return {one.body["message_id"] for one in home.subscriber.received if one.topic == "wx/event/media"}


def files(home: CrashHome) -> list[Path]:
    """Everything below the folder of media."""
    found = os.walk(Path(home.bridge.store) / "media")
    return [Path(folder) / name for folder, _, names in found for name in names]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_at_every_commit_of_the_media_lane(make_crash_home: MakeCrashHome, when: str):
    async with make_crash_home(1) as home:
        await home.start_bridge()
        home.process.kill()
        came: dict[str, bytes] = {}
        reached = set()
        for job in JOBS:
            if job == "media_postpone":
                await home.control.post("fault", endpoint="webwxgetmsgimg", kind="status", value=502)
            home.process.start(f"{when}:{job}")
            came |= await pictures(home, PICTURES)
            if await home.process.reaches_point():
                reached.add(job)
            else:
                home.process.kill()
        assert reached == set(JOBS)
        await home.start_bridge()
        await all_told(home, came)
        await stop_and_check(home)


async def test_killed_in_the_middle_of_downloads(make_crash_home: MakeCrashHome):
    """Each life ends while bytes lie on the disk that are not all there; the next one takes them away."""
    async with make_crash_home(2) as home:
        await home.start_bridge()
        for _ in range(3):
            await home.control.post("fault", endpoint="webwxgetmsgimg", kind="stall", value=SIZE - 1000)
        came = await pictures(home, 3)
        for _ in range(3):
            half = await home.in_thread(half_a_file, home)
            home.process.kill()
            await home.start_bridge()
            assert not half.exists()
        await all_told(home, came)
        await stop_and_check(home)


def half_a_file(home: CrashHome) -> Path:
    """Wait for a file whose bytes are coming."""
    until = time.monotonic() + MAX_WAIT_SECONDS
    while time.monotonic() < until:
        for file in files(home):
            if file.name.startswith(".part-"):
                return file
        time.sleep(0.005)
    raise AssertionError("nothing was being fetched")


@pytest.mark.in_folder
async def test_a_disk_that_is_full_for_a_while_delays_pictures_and_loses_none(make_crash_home: MakeCrashHome):
    async with make_crash_home(3) as home:
        await home.start_bridge()
        came = await pictures(home, 2)
        await all_told(home, came)
        seen = home.subscriber.count
        with no_room(home):
            came |= await pictures(home, 3)
            await home.body("wx/login/state", state="interrupted", since=seen)
        await home.body("wx/login/state", state="online", since=seen)
        came |= await pictures(home, 1)
        await all_told(home, came)
        await stop_and_check(home)


async def test_a_disk_that_is_full_for_files_only_holds_no_text_up(make_crash_home: MakeCrashHome):
    """Bytes wait for room; texts, which are small, go on."""
    async with make_crash_home(4) as home:
        await home.start_bridge()
        media = Path(home.bridge.store) / "media"
        came: dict[str, Any] = {}
        media.rename(media.with_name("elsewhere"))
        media.touch()  # no folder, no files
        came |= await pictures(home, 2)
        (text_id,) = await home.control.say("wife", "still there?")
        await home.body("wx/in/wife", id=text_id)
        assert not told_of(home)
        home.process.kill()  # the next life does not wait for its turn, and this one makes no folder now
        media.unlink()
        media.with_name("elsewhere").rename(media)
        await home.start_bridge()
        await all_told(home, came)
        await stop_and_check(home)
