"""The bridge is killed while it sends files: each command has one result, and no incomplete file stays."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.crash.conftest import MakeCrashHome
from tests.crash.crash_home import CrashHome
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.file_server import ok, server
from tests.support.repetitions import chaos, repetitions
from wx2mqtt.simulator.samples import sample

PNG, MP4, PDF = sample("image.png"), sample("video.mp4"), sample("file.pdf")
USERS = ("wife", "mom", "filehelper")


class FileCommands:
    """Commands that the broker acknowledged; `files` has the SHA-256 of each one's file, by id. All files differ."""

    def __init__(self, home: CrashHome) -> None:
        self.home = home
        self.files: dict[str, str] = {}

    async def publish(self, user: str, source: str, data: bytes, url: str = "") -> None:
        """Publishes a command with a file from `data`, a `path` or a `url`."""
        number = len(self.files)
        data = data + b"%d" % number
        self.files[f"c{number}"] = hashlib.sha256(data).hexdigest()
        body: dict[str, Any] = {"kind": "file", "id": f"c{number}", "name": f"{number}.bin"}
        if source == "data":
            body["data"] = base64.b64encode(data).decode()
        elif source == "path":
            file = self.home.folder / "open" / f"{number}"
            await asyncio.to_thread(file.write_bytes, data)
            body["path"] = str(file)
        elif source == "url":
            body["url"] = f"{url}/{number}"
        await self.home.in_thread(self.home.subscriber.publish, f"wx/out/{user}", json.dumps(body))

    async def assert_each_has_one_result(self) -> None:
        """Asserts that each command has one true result, and that no incomplete file is left."""
        for command_id in self.files:
            await self.home.in_thread(self._result, command_id)
        results: dict[str, list[dict[str, Any]]] = {}
        for message in self.home.subscriber.on("wx/result/#"):
            results.setdefault(message.body["id"], []).append(message.body)
        delivered = Counter(
            message["sha256"] for message in await self.home.control.get("sent") if message["delivered"]
        )
        for command_id, sha256 in self.files.items():
            first, *others = results[command_id]
            assert all(other == first for other in others), "two results"
            times = delivered[sha256]
            assert first["status"] in ("sent", "uncertain"), first
            assert times or first["status"] == "uncertain", (first, times)  # two of its attempts were killed
            assert times <= 1 + first["duplicate_possible"], (first, times)
        assert set(delivered) <= set(self.files.values())
        assert has_only_whole_files(self.home)

    def _result(self, command_id: str) -> None:
        """Waits for the first result of a command."""
        subscriber = self.home.subscriber
        assert subscriber.wait_until(
            lambda received: any(
                message.topic.startswith("wx/result/") and message.body["id"] == command_id
                for message in received
            )
        ), command_id


def has_only_whole_files(home: CrashHome) -> bool:
    files = [file for file in (Path(home.bridge.store) / "media").rglob("*") if file.is_file()]
    return all(file.name.partition(".")[0] == hashlib.sha256(file.read_bytes()).hexdigest() for file in files)


def make_home_with_folder(make_crash_home: MakeCrashHome, seed: int):
    return make_crash_home(seed, media={"send_from": "/", "allow_hosts": ["127.0.0.1"], "download": False})


async def log_in_and_kill(home: CrashHome) -> FileCommands:
    (home.folder / "open").mkdir()
    await home.start_bridge()
    home.process.kill()
    return FileCommands(home)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_at_every_commit_of_a_file(make_crash_home: MakeCrashHome, when: str):
    async with make_home_with_folder(make_crash_home, 1) as home, server(numbered) as files:
        commands = await log_in_and_kill(home)
        reached = set()
        for job in ("accept", "attach", "begin", "finish", "published", "accept", "finish"):
            home.process.start(f"{when}:{job}")
            for user, source in zip((*USERS, "family"), ("data", "path", "url", "url"), strict=True):
                await commands.publish(user, source, PDF if source != "url" else b"", files.url)
            if await home.process.reaches_point():
                reached.add(job)
            else:
                home.process.kill()
        assert reached == {"accept", "attach", "begin", "finish", "published"}
        await home.start_bridge()
        await commands.assert_each_has_one_result()
        await home.process.stop()


async def numbered(head: bytes, writer: asyncio.StreamWriter) -> None:
    """Serves the number in the path as the file."""
    await ok(head.split(b" ")[1][1:])(head, writer)


@pytest.mark.parametrize("endpoint", ["webwxuploadmedia", "webwxsendappmsg"])
@pytest.mark.parametrize("kind", ["hang", "delay", "late"])
async def test_killed_in_the_middle_of_an_upload_and_between_upload_and_send(
    make_crash_home: MakeCrashHome, endpoint: str, kind: str
):
    async with make_home_with_folder(make_crash_home, 1) as home:
        commands = await log_in_and_kill(home)
        for _ in range(2):
            calls = (await home.control.get("state"))["calls"].get(endpoint, 0)
            await home.start_bridge()
            await home.control.post("fault", endpoint=endpoint, kind=kind, value=10.0, times=3)
            for user, source in zip(USERS, ("data", "path", "data"), strict=True):
                await commands.publish(user, source, PDF + os.urandom(1_200_000))
            await home.control.wait(f"calls:{endpoint}:{calls + 3}")
            home.process.kill()
            await home.control.post("fault/clear")
        await home.start_bridge()
        await commands.assert_each_has_one_result()
        await home.process.stop()
        ends = {message.body["status"] for message in home.subscriber.on("wx/result/#")}
        assert endpoint != "webwxuploadmedia" or ends == {"sent"}, "an upload delivers nothing"


@chaos
async def test_killed_while_bytes_come_in_and_go_to_the_disk(make_crash_home: MakeCrashHome):
    async with make_home_with_folder(make_crash_home, 1) as home:
        commands = await log_in_and_kill(home)
        for number in range(0, 12, repetitions(3, 1)):
            home.process.start()
            await home.process.run_for(0.02 * number)
            await commands.publish(USERS[number % 3], "data", os.urandom(5_000_000))
            await home.process.run_for(0.02 * number)
            home.process.kill()
        await home.start_bridge()
        await commands.assert_each_has_one_result()
        await home.process.stop()


async def test_killed_while_a_file_is_fetched(make_crash_home: MakeCrashHome):
    is_fetched = asyncio.Event()
    may_answer = asyncio.Event()

    async def slow(head: bytes, writer: asyncio.StreamWriter) -> None:
        is_fetched.set()
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()
        await may_answer.wait()
        writer.write(head.split(b" ")[1][1:])

    async with make_home_with_folder(make_crash_home, 1) as home, server(slow) as files:
        commands = await log_in_and_kill(home)
        await home.start_bridge()
        await commands.publish("wife", "url", b"", files.url)
        await asyncio.wait_for(is_fetched.wait(), MAX_WAIT_SECONDS)
        home.process.kill()
        may_answer.set()
        await home.start_bridge()
        await commands.assert_each_has_one_result()
        await home.process.stop()
