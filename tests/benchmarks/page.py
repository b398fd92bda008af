"""Measures the page: to load it, to keep it open, and requests of programs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.benchmarks.measures import Row, open_home, process_seconds, resident_mb, spread
from tests.support.broker import free_port
from tests.support.chromium import MISSING, Chromium
from tests.support.home import Home

OFTEN = 100
VIEWERS = 5
MEASURED_SECONDS = 10.0  # of each of four states; the figures are those of a minute


async def page(folder: Path) -> list[Row]:
    """Returns the rows of a bridge that is online with 500 contacts."""
    port = free_port()
    async with open_home(folder) as (home, _):
        web = {"listen": f"127.0.0.1:{port}"}
        home.bridge.configure(home.settings(web=web, log={"level": "warning", "format": "json"}))
        await home.control.post("people", friends=500)
        await home.log_in()
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
            return [*await _asked(http, url), *await _followed(home, http), *_size(home)]


async def _asked(http: httpx.AsyncClient, url: str) -> list[Row]:
    rows = []
    for path, aim in (
        ("/", "200 ms"),
        ("/metrics", "20 ms"),
        ("/healthz", ""),
        ("/accounts/home/contacts?q=a", ""),
    ):
        seconds_taken = []
        for _ in range(OFTEN):
            began = time.monotonic()
            assert (await http.get(path)).status_code == 200
            seconds_taken.append(time.monotonic() - began)
            await asyncio.sleep(0.02)
        rows.append(Row(f"GET {path}", spread(seconds_taken), aim))
    if not MISSING:
        loaded = await asyncio.to_thread(_in_a_browser, url)
        rows.append(Row("the page in a browser, to its last file", f"{loaded:.0f} ms", "200 ms"))
    return rows


def _in_a_browser(url: str) -> float:
    """Returns the milliseconds until the page was loaded, the best of three."""
    with Chromium(1100, 800) as browser:
        seconds_taken = []
        for _ in range(3):
            browser.open(f"{url}/")
            browser.until("performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
            seconds_taken.append(browser.run("return performance.getEntriesByType('navigation')[0].duration"))
        return float(min(seconds_taken))


async def _followed(home: Home, http: httpx.AsyncClient) -> list[Row]:
    """Measures the CPU of viewers in a minute without messages, and with a message every 2 s."""
    alone = await _minute(home)
    async with _viewers(http):
        calm = await _minute(home)
    busy_alone = await _minute(home, every=2.0)
    async with _viewers(http):
        busy = await _minute(home, every=2.0)
    return [
        Row(f"{VIEWERS} viewers, nothing happens: CPU a minute more", f"{calm - alone:.2f} s", "0.1 s"),
        Row(f"{VIEWERS} viewers, a message every 2 s: CPU a minute more", f"{busy - busy_alone:.2f} s", ""),
    ]


async def _minute(home: Home, every: float = 0.0) -> float:
    before, ends = process_seconds(home.bridge.pid), time.monotonic() + MEASURED_SECONDS
    while (left := ends - time.monotonic()) > 0:
        if every:
            await home.control.post("say", **{"from": "wife", "text": "hi"})
        await asyncio.sleep(min(left, every or left))
    return (process_seconds(home.bridge.pid) - before) * 60 / MEASURED_SECONDS


@asynccontextmanager
async def _viewers(http: httpx.AsyncClient) -> AsyncIterator[None]:
    async def look() -> None:
        async with http.stream("GET", "/events") as answer:
            async for _ in answer.aiter_raw():
                pass

    looking = [asyncio.create_task(look()) for _ in range(VIEWERS)]
    await asyncio.sleep(2)  # what they get at first is not counted
    try:
        yield
    finally:
        for viewer in looking:
            viewer.cancel()
        await asyncio.gather(*looking, return_exceptions=True)


def _size(home: Home) -> list[Row]:
    return [
        Row("resident, 500 contacts, after all of this", f"{resident_mb(home.bridge.pid):.0f} MB", "75 MB")
    ]
