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
    MessageCounter,
    Publisher,
    Row,
    bare_rate,
    cpu_seconds,
    open_home_of,
    resident_mb,
    spread,
)
from tests.support.ilink_home import ILinkHome
from tests.support.subscriber import ReceivedMessage, Subscriber
from wx2mqtt.simulator.world import OWNER

BURST = 5000
VIDEO = 50_000_000  # bytes
TIMEOUT_SECONDS = 120.0
ALL_SENT = 1_000_000  # the simulator's quota: far away


async def ilink(folder: Path) -> list[Row]:
    """Returns the rows of all measures."""
    return [
        *await _one_by_one(folder / "one"),
        *await _burst(folder / "burst"),
        *await _start(folder / "start"),
        *await _video_in(folder / "in"),
        *await _video_out(folder / "out"),
    ]


class RemoteILinkHome(ILinkHome):
    """An `ILinkHome` whose simulator is another process."""

    async def scan(self, person: str = OWNER) -> None:
        """Lets a person scan and confirm each code as soon as it is shown."""
        await self.bot.post("ilink/settings", autoscan=person)


@asynccontextmanager
async def _home(folder: Path, *filters: str, **account: Any) -> AsyncIterator[tuple[ILinkHome, Subscriber]]:
    """Opens a home that is online."""
    async with open_home_of(RemoteILinkHome, folder, filters, account) as (home, subscriber):
        await home.bot.post("ilink/settings", quota=ALL_SENT)
        await home.log_in()
        yield home, subscriber


async def _one_by_one(folder: Path) -> list[Row]:
    """Measures messages and commands in turn: each message opens the window for the command after it."""
    receive_seconds: list[float] = []
    send_seconds: list[float] = []
    async with _home(folder, "wx/login/#", "wx/in/#", "wx/result/#") as (home, subscriber):
        with Publisher(home.broker) as publisher:
            for number in range(ONE_BY_ONE):
                await home.bot.wait("polling")
                since, began = subscriber.count, time.monotonic()
                await home.bot.write(f"{number}")
                receive_seconds.append(
                    (await home.in_thread(subscriber.wait, "wx/in/me", since=since)).at - began
                )
                since, began = subscriber.count, time.monotonic()
                publisher.client.publish("wx/out/me", f"{number}", qos=1)
                result = await home.in_thread(subscriber.wait, "wx/result/me", _is_over, since=since)
                assert result.body["status"] == "sent"
                send_seconds.append(result.at - began)
    return [
        Row("iLink: one message, phone to MQTT subscriber", spread(receive_seconds), "p50 6 ms, p99 20 ms"),
        Row("iLink: a command, calm, publish to its result", spread(send_seconds), "p50 6 ms, p99 20 ms"),
    ]


def _is_over(result: ReceivedMessage) -> bool:
    return bool(result.body["status"] != "held")


async def _burst(folder: Path) -> list[Row]:
    """Measures a burst of texts in answers of 50 until the subscriber has the last one, and a plain publisher."""
    async with _home(folder) as (home, _):
        bare = await asyncio.to_thread(bare_rate, home.broker, BURST)
        before = cpu_seconds(home.bridge.pid)
        with MessageCounter(home.broker, BURST) as counter:
            await home.bot.write("{n} 消息", count=BURST)
            await asyncio.to_thread(counter.wait)
        rate = (BURST - 1) / counter.seconds
        cpu = (cpu_seconds(home.bridge.pid) - before) / BURST * 1e6
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
    """Measures the time from the start of the process with a saved session to online."""
    async with _home(folder) as (home, subscriber):
        await home.in_thread(home.bridge.stop)
        since, began = subscriber.count, time.monotonic()
        home.bridge.start()
        online = await home.in_thread(
            subscriber.wait, "wx/login/state", lambda message: message.body["state"] == "online", since=since
        )
    return [Row("iLink: start with a saved session, to online", f"{online.at - began:.2f} s", "1 s")]


async def _video_in(folder: Path) -> list[Row]:
    """Measures a video that comes in; it is decrypted in pieces."""
    async with _home(folder, "wx/login/#", "wx/event/media", media={"max_size": "200MB"}) as (
        home,
        subscriber,
    ):
        began = time.monotonic()

        async def receive_seconds() -> ReceivedMessage:
            await home.bot.write(kind="video", bytes_of=VIDEO)
            return await home.in_thread(subscriber.wait, "wx/event/media", timeout=TIMEOUT_SECONDS)

        event, extra = await _with_peak_memory(home, receive_seconds())
    assert (event.body["state"], event.body["size"]) == ("ready", VIDEO)
    return _rows("to", event.at - began, extra)


async def _video_out(folder: Path) -> list[Row]:
    """Measures a video that is sent; it is encrypted in pieces. Its bridge has not run the other measure."""
    (shown := folder / "shown").mkdir(parents=True)
    _write_video(video := shown / "video.mp4")
    media = {"max_size": "200MB", "send_from": [str(shown)]}
    async with _home(folder, "wx/login/#", "wx/in/#", "wx/result/#", media=media) as (home, subscriber):
        await home.bot.write("hello")
        await home.in_thread(subscriber.wait, "wx/in/me")
        began = time.monotonic()

        async def send_seconds() -> ReceivedMessage:
            await home.publish("wx/out/me", {"kind": "video", "path": str(video)})
            return await home.in_thread(subscriber.wait, "wx/result/me", _is_over, timeout=TIMEOUT_SECONDS)

        result, extra = await _with_peak_memory(home, send_seconds())
        (sent,) = await home.bot.bot_sent(1)
    assert (result.body["status"], sent["media"]["size"]) == ("sent", VIDEO)
    return _rows("from", result.at - began, extra)


def _rows(way: str, seconds: float, extra: float) -> list[Row]:
    return [
        Row(f"iLink: a video of 50 MB, {way} the disk", f"{VIDEO / 1e6 / seconds:,.0f} MB/s", ""),
        Row("  extra resident memory at most", f"{extra:.0f} MB", "40 MB"),
    ]


def _write_video(path: Path) -> None:
    """Writes a file with the head of a real video, and noise."""
    with path.open("wb") as file:
        file.write(bytes.fromhex("0000001866747970") + b"mp42\0\0\0\0mp42isom")
        for _ in range(VIDEO // 1_000_000):
            file.write(random.randbytes(1_000_000))
        file.truncate(VIDEO)


async def _with_peak_memory(
    home: ILinkHome, work: Awaitable[ReceivedMessage]
) -> tuple[ReceivedMessage, float]:
    """Awaits some work; returns its result, and by how many megabytes the bridge grew at most."""
    before = peak = resident_mb(home.bridge.pid)
    working = asyncio.ensure_future(work)
    while not working.done():
        peak = max(peak, resident_mb(home.bridge.pid))
        await asyncio.sleep(0.02)
    return await working, peak - before
