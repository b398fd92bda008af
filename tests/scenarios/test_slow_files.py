"""Servers that send a file slowly, on the whole bridge: the chat goes on, and what waits expires in its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.support.broker import DURABLE
from tests.support.file_server import server
from tests.support.ilink_home import ILinkHome, at_ilink_home
from wx2mqtt.bridge.commands.file_preparation import MAX_CONCURRENT_FETCHES
from wx2mqtt.simulator.samples import sample

PNG = sample("image.png") + bytes(200_000)


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[ILinkHome]:
    async with at_ilink_home(tmp_path, DURABLE) as home:
        home.bridge.configure(home.settings({"media": {"allow_hosts": ["127.0.0.1"]}}))
        await home.log_in()
        await home.bot.write("hello")
        await home.body("wx/window/me", open=True)
        yield home


class SlowServer:
    """Sends a picture at once for `/quick`; for other paths 1 kB a second, and the rest when `rest_allowed` is set."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.rest_allowed = asyncio.Event()

    async def __call__(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PNG))
        if head.startswith(b"GET /quick"):
            writer.write(PNG)
            return
        self.requested.set()
        waiting = asyncio.create_task(self.rest_allowed.wait())
        sent = 0
        try:
            while not waiting.done() and sent + 1000 < len(PNG):
                writer.write(PNG[sent : sent + 1000])
                sent += 1000
                await writer.drain()
                await asyncio.wait({waiting}, timeout=1.0)
            await waiting
            writer.write(PNG[sent:])
        finally:
            waiting.cancel()


async def send(home: ILinkHome, **command: Any) -> None:
    await home.publish("wx/out/me", command)


async def test_a_slow_server_delays_neither_its_chat_nor_the_files_of_others(home: ILinkHome):
    slow = SlowServer()
    async with server(slow) as file_server:
        for number in range(MAX_CONCURRENT_FETCHES):
            await send(home, kind="image", url=f"{file_server.url}/{number}", id=f"slow-{number}")
        await slow.requested.wait()
        await send(home, text="alarm", id="alarm", priority="high")
        await send(home, text="plain", id="plain")
        await send(home, kind="image", url=f"{file_server.url}/late", id="late", ttl=3)
        await send(home, kind="image", url=f"{file_server.url}/quick", id="door", urgent=True)
        for command_id, status in {
            "alarm": "sent",
            "door": "sent",
            "plain": "sent",
            "late": "expired",
        }.items():
            assert (await home.body("wx/result/me", id=command_id))["status"] == status
        results = [message.body["id"] for message in home.subscriber.on("wx/result/#")]
        assert not any(command_id.startswith("slow") for command_id in results)
        slow.rest_allowed.set()


async def test_a_kill_during_a_download_loses_no_command_and_sends_none_twice(home: ILinkHome):
    slow = SlowServer()
    async with server(slow) as file_server:
        await send(home, kind="image", url=f"{file_server.url}/slow", id="slow")
        await slow.requested.wait()
        await send(home, text="overtakes", id="text", priority="high")
        assert (await home.body("wx/result/me", id="text"))["status"] == "sent"
        await home.in_thread(home.bridge.kill)
        slow.rest_allowed.set()
        await home.restart()
        result = await home.body("wx/result/me", id="slow")
        assert (result["status"], result["duplicate_possible"]) == ("sent", False)
        assert len(await home.bot.bot_sent(2)) == 2
        await send(home, text="last", id="last")
        assert (await home.body("wx/result/me", id="last"))["status"] == "sent"
        assert len(await home.bot.bot_sent(3)) == 3
