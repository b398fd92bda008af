"""Commands over HTTP beside those over MQTT, in turns on one bridge: how many a second, and how long one takes."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.benchmarks.measures import CHATS, ONE_BY_ONE, Publisher, Row, furnished, topic_names
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
    """Both ways are measured to the result on MQTT, which is the same for both."""
    rates: dict[str, list[float]] = {"http": [], "mqtt": []}
    worst: dict[str, list[float]] = {"http": [], "mqtt": []}
    async with _home(folder) as (here, subscriber, http), _mqtt(here) as publish:
        names = await topic_names(here, [f"friend{number}" for number in range(1, CHATS + 1)])

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
    assert all(one.body["status"] == "sent" for one in results[done:])
    return COMMANDS / (results[-1].at - began)


async def _p99_ms(subscriber: Subscriber, names: list[str], send: SendOne) -> float:
    """Returns how long the slowest but one of a hundred takes, one by one, to its result."""
    took: list[float] = []
    for number in range(ONE_BY_ONE):
        name = names[number % len(names)]
        since, began = subscriber.count, time.monotonic()
        await send(name, number)
        result = await asyncio.to_thread(subscriber.wait, f"wx/result/{name}", since=since)
        took.append((result.at - began) * 1000)
    return sorted(took)[max(0, int(len(took) * 0.99) - 1)]


def _ratio(ours: list[float], theirs: list[float]) -> str:
    ratios = sorted(mine / other for mine, other in zip(ours, theirs, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"


@asynccontextmanager
async def _home(folder: Path) -> AsyncIterator[tuple[Home, Subscriber, httpx.AsyncClient]]:
    """A home with friends and a sender without a rate, and a client of its address."""
    async with furnished(Home, folder, ("wx/login/#", "wx/result/#"), {}) as (here, subscriber):
        sender = {"name": "posts", "token": TOKEN, "to": "wife", "users": ["*"], "rate": 0}
        settings = here.settings({}, log={"level": "info", "format": "json"}, web={"senders": [sender]})
        here.bridge.configure(settings)
        await here.control.post("people", friends=2 * CHATS)
        await here.log_in()
        line = await here.in_thread(here.bridge.wait_for_log, "web server runs")
        headers = {"authorization": f"Bearer {TOKEN}"}
        limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
        async with httpx.AsyncClient(
            base_url=str(json.loads(line)["url"]),
            headers=headers,
            limits=limits,
            trust_env=False,
            timeout=MAX_REQUEST_SECONDS,
        ) as http:
            yield here, subscriber, http


@asynccontextmanager
async def _mqtt(here: Home) -> AsyncIterator[SendOne]:
    with Publisher(here.broker) as publisher:

        async def publish(name: str, number: int) -> None:
            info = publisher.client.publish(f"wx/out/{name}", f"{number}", qos=1)
            await asyncio.to_thread(info.wait_for_publish, MAX_REQUEST_SECONDS)

        yield publish
