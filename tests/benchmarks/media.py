"""What bytes cost: pictures in a burst beside texts, a large video, and how fast the bridge is with them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.measures import Row, home, rss, spread
from tests.support.home import Home
from tests.support.subscriber import Subscriber

PICTURES = 1000
SIZE = 100_000  # bytes of each
TEXTS_EVERY = 0.05  # seconds
VIDEO = 100_000_000  # bytes


async def pictures(folder: Path) -> list[Row]:
    """Texts from one chat while pictures from another come, all at once."""
    async with home(folder, "wx/login/#", "wx/in/#", "wx/event/media") as (here, subscriber):
        await here.log_in()
        began = time.monotonic()
        await here.control.post(
            "say", **{"from": "mom", "kind": "image", "count": PICTURES, "bytes_of": SIZE}
        )
        fetched = asyncio.create_task(
            here.in_thread(subscriber.wait_count, "wx/event/media", PICTURES, timeout=300)
        )
        took: list[float] = []
        while not fetched.done():
            took.append(await _text(here, subscriber, len(took)))
            await asyncio.sleep(TEXTS_EVERY)
        events = await fetched
        assert all(one.body["state"] == "ready" for one in events)
    rate = PICTURES / (events[-1].at - began)
    return [
        Row(f"{PICTURES:,} pictures of 100 kB at once, to the disk", f"{rate:,.0f}/s", ""),
        Row(f"  {len(took)} texts meanwhile, phone to subscriber", spread(took), "p99 50 ms"),
    ]


async def _text(here: Home, subscriber: Subscriber, number: int) -> float:
    since, began = subscriber.count, time.monotonic()
    await here.control.post("say", **{"from": "wife", "text": f"{number}"})
    received = await here.in_thread(subscriber.wait, "wx/in/wife", since=since)
    return received.at - began


async def video(folder: Path) -> list[Row]:
    """One large file: how fast, and how much memory it takes at most."""
    media: dict[str, Any] = {"max_size": "200MB"}
    async with home(folder, "wx/login/#", "wx/in/#", "wx/event/media", media=media) as (here, subscriber):
        await here.log_in()
        before, began = rss(here.bridge.pid), time.monotonic()
        await here.control.post("say", **{"from": "mom", "kind": "video", "bytes_of": VIDEO})
        told = asyncio.create_task(here.in_thread(subscriber.wait, "wx/event/media", timeout=300))
        most = before
        while not told.done():
            most = max(most, rss(here.bridge.pid))
            await asyncio.sleep(0.02)
        event = await told
        assert (event.body["state"], event.body["size"]) == ("ready", VIDEO)
    return [
        Row("a video of 100 MB, to the disk", f"{VIDEO / 1e6 / (event.at - began):,.0f} MB/s", ""),
        Row("  resident at most (before it)", f"{most:.0f} MB ({before:.0f} MB)", "120 MB"),
    ]
