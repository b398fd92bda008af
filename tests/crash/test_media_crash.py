"""The bridge is killed, and its disk filled, while pictures come: each is reported ready with its whole file."""

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
from tests.crash.test_disk_full import full_disk
from tests.support.deadlines import MAX_WAIT_SECONDS

JOBS = ("record", "media_ready", "media_postpone", "published")
PICTURES_PER_START = 4
SIZE = 400_000  # bytes: more than one write


async def pictures(home: CrashHome, count: int) -> dict[str, bytes]:
    """Lets the wife send pictures; returns the bytes of each by message id."""
    ids = await home.control.say("wife", kind="image", bytes_of=SIZE, count=count)
    async with httpx.AsyncClient(
        base_url=home.simulator.url, trust_env=False, timeout=MAX_WAIT_SECONDS
    ) as phone:
        return {message_id: (await phone.get(f"/sim/media/{message_id}")).content for message_id in ids}


async def assert_all_ready(home: CrashHome, pictures_sent: dict[str, bytes]) -> None:
    """Asserts that each picture is published and reported ready, with a file that has its bytes."""
    for message_id, content in pictures_sent.items():
        message = await home.body("wx/in/wife", id=message_id)
        event = await home.body("wx/event/media", message_id=message_id)
        assert event["state"] == "ready"
        assert event["url"] == message["image"]["url"]
        file = Path(home.bridge.store) / event["path"]
        assert file.read_bytes() == content
        assert event["sha256"] == hashlib.sha256(content).hexdigest()
    assert reported_ids(home) <= set(pictures_sent)


async def stop_and_check_files(home: CrashHome) -> None:
    """Stops the bridge; asserts that all files are whole, each named by its hash."""
    await home.process.stop()
    for file in files(home):
        assert file.name.partition(".")[0] == hashlib.sha256(file.read_bytes()).hexdigest()


def reported_ids(home: CrashHome) -> set[str]:
    """Returns the ids of the messages that an event reported."""
    return {
        message.body["message_id"]
        for message in home.subscriber.received
        if message.topic == "wx/event/media"
    }


def files(home: CrashHome) -> list[Path]:
    """Returns all files below the folder of media."""
    found = os.walk(Path(home.bridge.store) / "media")
    return [Path(folder) / name for folder, _, names in found for name in names]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_at_every_commit_of_downloads(make_crash_home: MakeCrashHome, when: str):
    async with make_crash_home(1) as home:
        await home.start_bridge()
        home.process.kill()
        pictures_sent: dict[str, bytes] = {}
        reached = set()
        for job in JOBS:
            if job == "media_postpone":
                await home.control.post("fault", endpoint="webwxgetmsgimg", kind="status", value=502)
            home.process.start(f"{when}:{job}")
            pictures_sent |= await pictures(home, PICTURES_PER_START)
            if await home.process.reaches_point():
                reached.add(job)
            else:
                home.process.kill()
        assert reached == set(JOBS)
        await home.start_bridge()
        await assert_all_ready(home, pictures_sent)
        await stop_and_check_files(home)


async def test_killed_in_the_middle_of_downloads(make_crash_home: MakeCrashHome):
    """Each kill leaves an incomplete file, which the next start deletes."""
    async with make_crash_home(2) as home:
        await home.start_bridge()
        for _ in range(3):
            await home.control.post("fault", endpoint="webwxgetmsgimg", kind="stall", value=SIZE - 1000)
        pictures_sent = await pictures(home, 3)
        for _ in range(3):
            incomplete = await home.in_thread(incomplete_file, home)
            home.process.kill()
            await home.start_bridge()
            assert not incomplete.exists()
        await assert_all_ready(home, pictures_sent)
        await stop_and_check_files(home)


def incomplete_file(home: CrashHome) -> Path:
    """Waits for a file that is being downloaded."""
    until = time.monotonic() + MAX_WAIT_SECONDS
    while time.monotonic() < until:
        for file in files(home):
            if file.name.startswith(".part-"):
                return file
        time.sleep(0.005)
    raise AssertionError("nothing was downloaded")


@pytest.mark.in_folder
async def test_a_disk_that_is_full_for_a_while_delays_pictures_and_loses_none(make_crash_home: MakeCrashHome):
    async with make_crash_home(3) as home:
        await home.start_bridge()
        pictures_sent = await pictures(home, 2)
        await assert_all_ready(home, pictures_sent)
        since = home.subscriber.count
        with full_disk(home):
            pictures_sent |= await pictures(home, 3)
            await home.body("wx/login/state", state="interrupted", since=since)
        await home.body("wx/login/state", state="online", since=since)
        pictures_sent |= await pictures(home, 1)
        await assert_all_ready(home, pictures_sent)
        await stop_and_check_files(home)


async def test_a_disk_that_can_store_no_file_does_not_delay_texts(make_crash_home: MakeCrashHome):
    """Files wait until they can be stored; texts are published."""
    async with make_crash_home(4) as home:
        await home.start_bridge()
        media = Path(home.bridge.store) / "media"
        pictures_sent: dict[str, Any] = {}
        media.rename(media.with_name("elsewhere"))
        media.touch()  # a file in place of the folder: no file can be stored
        pictures_sent |= await pictures(home, 2)
        (text_id,) = await home.control.say("wife", "still there?")
        await home.body("wx/in/wife", id=text_id)
        assert not reported_ids(home)
        home.process.kill()  # the next process tries at once, and this one makes no folder now
        media.unlink()
        media.with_name("elsewhere").rename(media)
        await home.start_bridge()
        await assert_all_ready(home, pictures_sent)
        await stop_and_check_files(home)
