"""A bridge is killed around each commit of a command that came over HTTP: it has one result, also when it is repeated.

WeChat accepts repeated messages, so that each attempt is seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.killable_bridge import KillableBridge
from tests.support.broker import DURABLE, free_port
from tests.support.deadlines import MAX_REQUEST_SECONDS
from tests.support.home import Home, at_home

TOKEN = "nas-" + "0123456789abcdef" * 3
KEY = {"idempotency-key": "k-1"}

POINTS = [
    # (point, requests to WeChat, whether the result says that a duplicate is possible)
    ("before:accept", 1, False),
    ("after:accept", 1, True),  # the attempt has begun with this commit
    ("before:finish", 2, True),
    ("after:finish", 1, False),
]


class SenderHarness:
    """A home with an HTTP sender, whose bridge is killed at the points that a test names."""

    def __init__(self, home: Home, process: KillableBridge, http: httpx.AsyncClient) -> None:
        self.home = home
        self.process = process
        self.http = http

    async def start_online(self, point: str = "") -> None:
        since = self.home.subscriber.count
        self.process.start(point)
        await self.home.body("wx/login/state", state="online", since=since)

    async def post(self, text: str, headers: dict[str, str], *, wait: int = 0) -> httpx.Response:
        own = {"authorization": f"Bearer {TOKEN}", "content-type": "text/plain", **headers}
        return await self.http.post(f"/send/wife?wait={wait}", content=text, headers=own)

    async def kill_during_post(self, text: str, headers: dict[str, str]) -> httpx.Response | None:
        """Posts to a bridge that kills itself at its point; returns its answer if it came before."""
        answer = None
        with contextlib.suppress(httpx.TransportError):
            answer = await self.post(text, headers)
        assert await self.process.reaches_point()
        return answer

    async def texts(self) -> list[str]:
        return [line["text"] for line in await self.home.control.get("sent")]

    async def results(self) -> list[dict[str, Any]]:
        """Returns the different results so far: all that were published before another command has its result."""
        assert (await self.home.send_command("family", {"text": "the end", "id": "end"}))["status"] == "sent"
        bodies: list[dict[str, Any]] = []
        for message in self.home.subscriber.on("wx/result/wife"):
            if message.body not in bodies:
                bodies.append(message.body)
        return bodies


@contextlib.asynccontextmanager
async def open_harness(folder: Path, **account: Any) -> AsyncIterator[SenderHarness]:
    address = f"127.0.0.1:{free_port()}"
    senders = [{"name": "nas", "token": TOKEN, "to": "wife", "rate": 0}]
    async with at_home(folder, DURABLE) as home:
        settings = home.settings(account, web={"listen": address, "senders": senders})
        home.bridge.configure(settings)
        await home.control.post("settings", autoscan=True, drop_repeats=False)
        client = httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=MAX_REQUEST_SECONDS)
        with contextlib.closing(KillableBridge(home.bridge.config, folder / "log")) as process:
            async with client as http:
                yield SenderHarness(home, process, http)


@pytest.mark.parametrize(("point", "times", "doubtful"), POINTS)
async def test_a_repeat_with_its_key_is_answered_with_the_one_result(
    tmp_path: Path, with_mosquitto: None, point: str, times: int, doubtful: bool
):
    async with open_harness(tmp_path) as harness:
        await harness.start_online(point)
        answer = await harness.kill_during_post("smoke", KEY)
        if answer is not None:
            assert (answer.status_code, answer.json()["id"]) == (202, "k-1")
        await harness.start_online()
        again = await harness.post("smoke", KEY, wait=30)
        assert (again.status_code, again.json()["id"], again.json()["status"]) == (200, "k-1", "sent")
        once_more = await harness.post("smoke", KEY)
        assert once_more.json()["id"] == "k-1"
        assert await harness.results() == [again.json()]
        assert again.json()["duplicate_possible"] is doubtful
        assert (await harness.texts()).count("smoke") == times


@pytest.mark.parametrize(("point", "times", "doubtful"), POINTS[1:])
async def test_without_a_key_a_command_that_was_stored_has_one_result(
    tmp_path: Path, with_mosquitto: None, point: str, times: int, doubtful: bool
):
    async with open_harness(tmp_path) as harness:
        await harness.start_online(point)
        answer = await harness.kill_during_post("smoke", {})
        await harness.start_online()
        result = await harness.home.body("wx/result/wife")
        assert (result["status"], result["sender"]) == ("sent", "nas")
        assert result["duplicate_possible"] is doubtful
        if answer is not None:
            assert result["id"] == answer.json()["id"]
        assert await harness.results() == [result]
        assert (await harness.texts()).count("smoke") == times


async def test_without_a_key_a_command_that_was_not_stored_leaves_nothing(
    tmp_path: Path, with_mosquitto: None
):
    async with open_harness(tmp_path) as harness:
        await harness.start_online("before:accept")
        assert await harness.kill_during_post("smoke", {}) is None
        await harness.start_online()
        assert await harness.results() == []
        again = await harness.post("smoke", {}, wait=30)
        assert again.json()["status"] == "sent"
        assert (await harness.texts()).count("smoke") == 1


@pytest.mark.parametrize("headers", [KEY, {}], ids=["key", "no key"])
async def test_a_command_that_was_accepted_and_waits_is_sent_once_after_the_kill(
    tmp_path: Path, with_mosquitto: None, headers: dict[str, str]
):
    """The second of two texts waits for the rate of the chat: the kill is between its answer and its attempt."""
    async with open_harness(tmp_path, send={"per_minute": 60, "burst": 1}) as harness:
        await harness.start_online("before:begin")
        await harness.post("first", {}, wait=30)
        answer = await harness.kill_during_post("smoke", headers)
        assert answer is not None
        assert answer.status_code == 202
        await harness.start_online()
        result = await harness.home.body("wx/result/wife", id=answer.json()["id"])
        assert (result["status"], result["duplicate_possible"]) == ("sent", False)
        if headers:
            again = await harness.post("smoke", headers, wait=30)
            assert again.json() == result
        first, second = await harness.results()
        assert (first["sender"], second) == ("nas", result)
        assert await harness.texts() == ["first", "smoke", "the end"]
