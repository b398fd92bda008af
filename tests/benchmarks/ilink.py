"""iLink: one message both ways, a burst, the start, and a large video both ways."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.measures import (
    ONE_BY_ONE,
    Counter,
    Publisher,
    Row,
    bare_rate,
    cpu_of,
    furnished,
    rss,
    spread,
)
from tests.support.ilink_home import ILinkHome
from tests.support.subscriber import ReceivedMessage, Subscriber

BURST = 5000
VIDEO = 50_000_000  # bytes
PATIENCE = 120.0
ALL_SENT = 1_000_000  # the simulator's quota: far away


async def ilink(folder: Path) -> list[Row]:
    """See the module."""
    return [
        *await _one_by_one(folder / "one"),
        *await _burst(folder / "burst"),
        *await _start(folder / "start"),
        *await _video_in(folder / "in"),
        *await _video_out(folder / "out"),
    ]


@asynccontextmanager
async def _home(folder: Path, *filters: str, **account: Any) -> AsyncIterator[tuple[ILinkHome, Subscriber]]:
    """A home that is online."""
    async with furnished(ILinkHome, folder, filters, account) as (here, subscriber):
        await here.bot.post("ilink/settings", quota=ALL_SENT)
        await here.log_in()
        yield here, subscriber


async def _one_by_one(folder: Path) -> list[Row]:
    """In turn: each message of the person opens the window for the command that follows it."""
    came: list[float] = []
    went: list[float] = []
    async with _home(folder, "wx/login/#", "wx/in/#", "wx/result/#") as (here, subscriber):
        with Publisher(here.broker) as publisher:
            for number in range(ONE_BY_ONE):
                await here.bot.wait("polling")
                since, began = subscriber.count, time.monotonic()
                await here.bot.write(f"{number}")
                came.append((await here.in_thread(subscriber.wait, "wx/in/me", since=since)).at - began)
                since, began = subscriber.count, time.monotonic()
                publisher.client.publish("wx/out/me", f"{number}", qos=1)
                told = await here.in_thread(subscriber.wait, "wx/result/me", _is_over, since=since)
                assert told.body["status"] == "sent"
                went.append(told.at - began)
    return [
        Row("iLink: one message, phone to MQTT subscriber", spread(came), "p50 6 ms, p99 20 ms"),
        Row("iLink: a command, calm, publish to its result", spread(went), "p50 6 ms, p99 20 ms"),
    ]


def _is_over(told: ReceivedMessage) -> bool:
    return bool(told.body["status"] != "held")


async def _burst(folder: Path) -> list[Row]:
    """Texts that wait in answers of 50, to the last one at a subscriber; and a bare publisher beside it."""
    async with _home(folder) as (here, _):
        bare = await asyncio.to_thread(bare_rate, here.broker, BURST)
        before = cpu_of(here.bridge.pid)
        with Counter(here.broker, BURST) as counter:
            await here.bot.write("{n} 消息", count=BURST)
            await asyncio.to_thread(counter.wait)
        rate = (BURST - 1) / counter.seconds
        cpu = (cpu_of(here.bridge.pid) - before) / BURST * 1e6
    return [
        Row("iLink: a bare paho QoS 1 publisher, the same broker", f"{bare:,.0f}/s", ""),
        Row(
            f"iLink: {BURST:,} texts waiting in answers of 50, to MQTT",
            f"{rate:,.0f}/s",
            f"{bare / 5:,.0f}/s",
        ),
        Row("  CPU of the bridge for one text", f"{cpu:.0f} us", ""),
    ]


async def _start(folder: Path) -> list[Row]:
    """From the start of the process with a saved session to online."""
    async with _home(folder) as (here, subscriber):
        await here.in_thread(here.bridge.stop)
        since, began = subscriber.count, time.monotonic()
        here.bridge.start()
        online = await here.in_thread(
            subscriber.wait, "wx/login/state", lambda one: one.body["state"] == "online", since=since
        )
    return [Row("iLink: start with a saved session, to online", f"{online.at - began:.2f} s", "1 s")]


async def _video_in(folder: Path) -> list[Row]:
    """Decrypted on its way to the disk, never whole in memory."""
    async with _home(folder, "wx/login/#", "wx/event/media", media={"max_size": "200MB"}) as (
        here,
        subscriber,
    ):
        began = time.monotonic()

        async def came() -> ReceivedMessage:
            await here.bot.write(kind="video", bytes_of=VIDEO)
            return await here.in_thread(subscriber.wait, "wx/event/media", timeout=PATIENCE)

        event, extra = await _most(here, came())
    assert (event.body["state"], event.body["size"]) == ("ready", VIDEO)
    return _rows("to", event.at - began, extra)


async def _video_out(folder: Path) -> list[Row]:
    """Encrypted on its way from the disk. A bridge of its own: what the other way took is not there already."""
    (shown := folder / "shown").mkdir(parents=True)
    _film(video := shown / "video.mp4")
    media = {"max_size": "200MB", "send_from": [str(shown)]}
    async with _home(folder, "wx/login/#", "wx/in/#", "wx/result/#", media=media) as (here, subscriber):
        await here.bot.write("hello")
        await here.in_thread(subscriber.wait, "wx/in/me")
        began = time.monotonic()

        async def went() -> ReceivedMessage:
            await here.publish("wx/out/me", {"kind": "video", "path": str(video)})
            return await here.in_thread(subscriber.wait, "wx/result/me", _is_over, timeout=PATIENCE)

        told, extra = await _most(here, went())
        (sent,) = await here.bot.bot_sent(1)
    assert (told.body["status"], sent["media"]["size"]) == ("sent", VIDEO)
    return _rows("from", told.at - began, extra)


def _rows(way: str, seconds: float, extra: float) -> list[Row]:
    return [
        Row(f"iLink: a video of 50 MB, {way} the disk", f"{VIDEO / 1e6 / seconds:,.0f} MB/s", ""),
        Row("  extra resident memory at most", f"{extra:.0f} MB", "40 MB"),
    ]


def _film(path: Path) -> None:
    """The head of a real one, and noise."""
    with path.open("wb") as file:
        file.write(bytes.fromhex("0000001866747970") + b"mp42\0\0\0\0mp42isom")
        for _ in range(VIDEO // 1_000_000):
            file.write(random.randbytes(1_000_000))
        file.truncate(VIDEO)


async def _most(here: ILinkHome, work: Awaitable[ReceivedMessage]) -> tuple[ReceivedMessage, float]:
    """What the work returns, and by how many megabytes the bridge grew meanwhile at most."""
    before = most = rss(here.bridge.pid)
    working = asyncio.ensure_future(work)
    while not working.done():
        most = max(most, rss(here.bridge.pid))
        await asyncio.sleep(0.02)
    return await working, most - before
