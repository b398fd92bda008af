"""Compares commands over HTTP with those over MQTT, in turns on one bridge: rate and latency."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.benchmarks.measures import CHATS, ONE_BY_ONE, Publisher, Row, open_home_of, topic_names
from tests.support.deadlines import MAX_REQUEST_SECONDS
from tests.support.home import Home
from tests.support.subscriber import Subscriber

TURNS = 3
# Of so many clients at once, each with a connection of its own; an address may have 40.
CLIENTS = 10
COMMANDS = 500
TOKEN = "posts-" + "0123456789abcdef" * 3

# Sends the command with this number to a person.
SendOne = Callable[[str, int], Awaitable[None]]


async def posts(folder: Path) -> list[Row]:
    """Returns the rows of both, each measured until the result on MQTT."""
    rates: dict[str, list[float]] = {"http": [], "mqtt": []}
    worst: dict[str, list[float]] = {"http": [], "mqtt": []}
    async with _home(folder) as (home, subscriber, http), _mqtt(home) as publish:
        names = await topic_names(home, [f"friend{number}" for number in range(1, CHATS + 1)])

        async def post(name: str, number: int) -> None:
            answer = await http.post(
                f"/send/{name}", content=f"{number}", headers={"content-type": "text/plain"}
            )
            answer.raise_for_status()

        for _ in range(TURNS):
            for way, send in (("http", post), ("mqtt", publish)):
                rates[way].append(await _rate(subscriber, names, send))
                worst[way].append(await _p99_ms(subscriber, names, send))
    return [
        Row(
            f"{COMMANDS} commands by POST /send, to their results",
            f"{statistics.median(rates['http']):,.0f}/s",
            "",
        ),
        Row("  of the same over MQTT", _ratio(rates["http"], rates["mqtt"]), ""),
        Row("one command by POST /send, p99 to its result", f"{statistics.median(worst['http']):.1f} ms", ""),
        Row("  of the same over MQTT", _ratio(worst["http"], worst["mqtt"]), ""),
    ]


async def _rate(subscriber: Subscriber, names: list[str], send: SendOne) -> float:
    """Returns commands a second, of several clients at once, from the first one to the last result."""
    done = len(subscriber.on("wx/result/#"))
    numbers = iter(range(COMMANDS))

    async def client() -> None:
        for number in numbers:
            await send(names[number % len(names)], number)

    began = time.monotonic()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    results = await asyncio.to_thread(subscriber.wait_count, "wx/result/#", done + COMMANDS, timeout=60)
    assert all(result.body["status"] == "sent" for result in results[done:])
    return COMMANDS / (results[-1].at - began)


async def _p99_ms(subscriber: Subscriber, names: list[str], send: SendOne) -> float:
    """Returns how long the slowest but one of a hundred takes, one by one, to its result."""
    seconds_taken: list[float] = []
    for number in range(ONE_BY_ONE):
        name = names[number % len(names)]
        since, began = subscriber.count, time.monotonic()
        await send(name, number)
        result = await asyncio.to_thread(subscriber.wait, f"wx/result/{name}", since=since)
        seconds_taken.append((result.at - began) * 1000)
    return sorted(seconds_taken)[max(0, int(len(seconds_taken) * 0.99) - 1)]


def _ratio(ours: list[float], theirs: list[float]) -> str:
    ratios = sorted(mine / other for mine, other in zip(ours, theirs, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"


@asynccontextmanager
async def _home(folder: Path) -> AsyncIterator[tuple[Home, Subscriber, httpx.AsyncClient]]:
    """Opens a home with friends and a sender without a rate; yields it with an HTTP client."""
    async with open_home_of(Home, folder, ("wx/login/#", "wx/result/#"), {}) as (home, subscriber):
        sender = {"name": "posts", "token": TOKEN, "to": "wife", "users": ["*"], "rate": 0}
        settings = home.settings({}, log={"level": "info", "format": "json"}, web={"senders": [sender]})
        home.bridge.configure(settings)
        await home.control.post("people", friends=2 * CHATS)
        await home.log_in()
        line = await home.in_thread(home.bridge.wait_for_log, "web server runs")
        headers = {"authorization": f"Bearer {TOKEN}"}
        limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
        async with httpx.AsyncClient(
            base_url=str(json.loads(line)["url"]),
            headers=headers,
            limits=limits,
            trust_env=False,
            timeout=MAX_REQUEST_SECONDS,
        ) as http:
            yield home, subscriber, http


@asynccontextmanager
async def _mqtt(home: Home) -> AsyncIterator[SendOne]:
    with Publisher(home.broker) as publisher:

        async def publish(name: str, number: int) -> None:
            info = publisher.client.publish(f"wx/out/{name}", f"{number}", qos=1)
            await asyncio.to_thread(info.wait_for_publish, MAX_REQUEST_SECONDS)

        yield publish
