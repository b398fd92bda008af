"""A bridge on iLink is killed at every commit of waiting commands, long texts and fallbacks; nothing is lost."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.killable_bridge import KillableBridge
from tests.support.alarm_receiver import AlarmReceiver
from tests.support.broker import DURABLE
from tests.support.ilink_home import ILinkHome, at_ilink_home

# In base64.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

LONG = ("A sentence of the text. " * 100 + "\n\n") * 2


@contextlib.asynccontextmanager
async def killable_home(folder: Path, **account: Any) -> AsyncIterator[tuple[ILinkHome, KillableBridge]]:
    """Opens a home whose bridge is killed at the points that a test names."""
    async with at_ilink_home(folder, DURABLE) as home:
        home.bridge.configure(home.settings(account))
        await home.control.post("ilink/settings", autoscan="me")
        with contextlib.closing(KillableBridge(home.bridge.config, folder / "log")) as process:
            yield home, process


async def start_online(home: ILinkHome, process: KillableBridge) -> None:
    """Starts the bridge; returns when it is online and polls."""
    since = home.subscriber.count
    process.start()
    await home.body("wx/login/state", state="online", since=since)
    await home.bot.wait("polling")


async def kill_during_command(
    home: ILinkHome, process: KillableBridge, point: str, command: dict[str, Any]
) -> None:
    """Starts the bridge, publishes a command, and waits until the bridge kills itself at this point."""
    since = home.subscriber.count
    process.start(point)
    await home.body("wx/login/state", state="online", since=since)
    await home.bot.wait("polling")
    await home.publish("wx/out/me", command)
    assert await process.reaches_point()


@pytest.mark.parametrize("point", ["before:hold", "after:hold"])
async def test_killed_when_a_command_is_held(tmp_path: Path, with_mosquitto: None, point: str):
    async with killable_home(tmp_path) as (home, process):
        await start_online(home, process)
        process.kill()
        await kill_during_command(home, process, point, {"text": "waits", "id": "a"})
        await start_online(home, process)
        await home.body("wx/event/held", command_id="a")
        await home.bot.write("hello")
        assert (await home.body("wx/result/me", id="a"))["status"] == "sent"
        assert [message["text"] for message in await home.bot.bot_sent(1)] == ["waits"]
        ids = {message.body["id"] for message in home.subscriber.on("wx/event/held")}
        assert len(ids) == 1


@pytest.mark.parametrize(
    "point", ["before:part_sent", "after:part_sent", "before:finish", "after:accept", "after:begin"]
)
async def test_killed_between_the_parts_of_a_text(tmp_path: Path, with_mosquitto: None, point: str):
    async with killable_home(tmp_path) as (home, process):
        await start_online(home, process)
        await home.bot.write("hello")
        await home.body("wx/window/me", open=True)
        process.kill()
        await kill_during_command(home, process, point, {"text": LONG, "id": "a"})
        await start_online(home, process)
        result = await home.body("wx/result/me", id="a")
        assert (result["status"], result["parts_sent"]) == ("sent", result["parts"])
        sent = [message for message in await home.bot.bot_sent(result["parts"]) if message["delivered"]]
        assert "".join("".join(message["text"].split()) for message in sent) == "".join(LONG.split())


@pytest.mark.parametrize(
    "point",
    ["after:accept", "before:begin", "after:begin", "before:part_sent", "after:part_sent", "before:finish"],
)
async def test_killed_between_a_caption_and_its_file(tmp_path: Path, with_mosquitto: None, point: str):
    async with killable_home(tmp_path) as (home, process):
        await start_online(home, process)
        await home.bot.write("hello")
        await home.body("wx/window/me", open=True)
        process.kill()
        await kill_during_command(
            home, process, point, {"kind": "image", "data": PNG, "text": "who is it", "id": "a"}
        )
        await start_online(home, process)
        result = await home.body("wx/result/me", id="a")
        assert (result["status"], result["parts"], result["parts_sent"]) == ("sent", 2, 2)
        sent = [message for message in await home.bot.bot_sent(2) if message["delivered"]]
        assert [(message["kind"], message["text"]) for message in sent] == [
            ("text", "who is it"),
            ("image", ""),
        ]


@pytest.mark.parametrize(
    ("point", "results", "times"),
    [("before:fallback", {"sent"}, {1}), ("after:fallback", {"uncertain"}, {1})],
)
async def test_killed_at_the_commit_before_the_fallback(
    tmp_path: Path, with_mosquitto: None, point: str, results: set[str], times: set[int]
):
    with AlarmReceiver() as service:
        wanted = {"fallback": {"after": "100ms", "urls": [service.url]}}
        async with killable_home(tmp_path, **wanted) as (home, process):
            await start_online(home, process)
            process.kill()
            await kill_during_command(home, process, point, {"text": "smoke", "id": "a", "urgent": True})
            await start_online(home, process)
            result = await home.body("wx/result/me", id="a")
            assert result["fallback"] in results
            assert len(service.bodies) in times
