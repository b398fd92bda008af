"""Measures a burst of pictures with texts at the same time, and a large video."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.measures import Row, open_home, resident_mb, spread
from tests.support.home import Home
from tests.support.subscriber import Subscriber

PICTURES = 1000
SIZE = 100_000  # bytes of each
TEXTS_EVERY = 0.05  # seconds
VIDEO = 100_000_000  # bytes


async def pictures(folder: Path) -> list[Row]:
    """Measures texts from one chat while many pictures come from another."""
    async with open_home(folder, "wx/login/#", "wx/in/#", "wx/event/media") as (home, subscriber):
        await home.log_in()
        began = time.monotonic()
        await home.control.post(
            "say", **{"from": "mom", "kind": "image", "count": PICTURES, "bytes_of": SIZE}
        )
        fetched = asyncio.create_task(
            home.in_thread(subscriber.wait_count, "wx/event/media", PICTURES, timeout=300)
        )
        seconds_taken: list[float] = []
        while not fetched.done():
            seconds_taken.append(await _text(home, subscriber, len(seconds_taken)))
            await asyncio.sleep(TEXTS_EVERY)
        events = await fetched
        assert all(event.body["state"] == "ready" for event in events)
    rate = PICTURES / (events[-1].at - began)
    return [
        Row(f"{PICTURES:,} pictures of 100 kB at once, to the disk", f"{rate:,.0f}/s", ""),
        Row(
            f"  {len(seconds_taken)} texts meanwhile, phone to subscriber", spread(seconds_taken), "p99 50 ms"
        ),
    ]


async def _text(home: Home, subscriber: Subscriber, number: int) -> float:
    since, began = subscriber.count, time.monotonic()
    await home.control.post("say", **{"from": "wife", "text": f"{number}"})
    received = await home.in_thread(subscriber.wait, "wx/in/wife", since=since)
    return received.at - began


async def video(folder: Path) -> list[Row]:
    """Measures time and peak memory of one large file."""
    media: dict[str, Any] = {"max_size": "200MB"}
    async with open_home(folder, "wx/login/#", "wx/in/#", "wx/event/media", media=media) as (
        home,
        subscriber,
    ):
        await home.log_in()
        before, began = resident_mb(home.bridge.pid), time.monotonic()
        await home.control.post("say", **{"from": "mom", "kind": "video", "bytes_of": VIDEO})
        waiting = asyncio.create_task(home.in_thread(subscriber.wait, "wx/event/media", timeout=300))
        peak = before
        while not waiting.done():
            peak = max(peak, resident_mb(home.bridge.pid))
            await asyncio.sleep(0.02)
        event = await waiting
        assert (event.body["state"], event.body["size"]) == ("ready", VIDEO)
    return [
        Row("a video of 100 MB, to the disk", f"{VIDEO / 1e6 / (event.at - began):,.0f} MB/s", ""),
        Row("  resident at most (before it)", f"{peak:.0f} MB ({before:.0f} MB)", "120 MB"),
    ]
