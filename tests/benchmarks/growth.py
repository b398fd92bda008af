"""Measures how the cost grows: each quantity is increased by a factor of ten twice.

A row has the cost at each size. `ratio` compares a cost per item at one size with that at the size before: 1.0 is
linear growth, and up to 1.3 counts as that on a machine that does other things too. CPU is that of the bridge's
process alone, by its own clock, so that a busy machine changes it little.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

from tests.benchmarks.measures import (
    MessageCounter,
    Publisher,
    Row,
    open_home,
    open_home_of,
    process_seconds,
    resident_mb,
)
from tests.support.home import Home
from tests.support.subscriber import ReceivedMessage, Subscriber
from wx2mqtt.clock import now_ms
from wx2mqtt.model import Json, Kind
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import NewMessage
from wx2mqtt.store.sqlite_database import SqliteDatabase

LARGE = False
"""Whether the largest sizes are measured, too; they take half an hour (`make bench ARGS="--large growth"`)."""

FIRST_MESSAGES = 20
TIMEOUT_SECONDS = 600.0
IDLE_SECONDS = 20.0
GROUP_BURST = 2_000
ACCOUNT_MESSAGES = 100
DAY_MS = 86_400_000
PAHO_QUEUE = 10_000  # it takes 65,535 at a time
CALM_SECONDS, CALM_CPU_SECONDS = 1.5, 0.01


def sizes(*numbers: int) -> Sequence[int]:
    """Returns the sizes to measure: all of them, or without the largest one."""
    return numbers if LARGE else numbers[:-1]


async def _contacts(folder: Path) -> list[Row]:
    """Start, memory, and the first message of somebody, by the number of contacts."""
    start: dict[int, float] = {}
    memory: dict[int, float] = {}
    first: dict[int, float] = {}
    again: dict[int, float] = {}
    for count in sizes(500, 5_000, 50_000):
        async with open_home(folder / str(count), "wx/login/#", "wx/in/#") as (home, subscriber):
            await home.control.post("people", friends=count)
            await home.log_in()
            await _settle(home)
            start[count] = process_seconds(home.bridge.pid)
            memory[count] = resident_mb(home.bridge.pid)
            first[count] = await _messages(
                home, subscriber, [f"friend{n}" for n in range(1, FIRST_MESSAGES + 1)]
            )
            again[count] = await _messages(home, subscriber, ["friend1"] * FIRST_MESSAGES)
    return [
        _per_item("cold start and login, CPU by contacts", start, "s"),
        _per_item("resident right after the login, by contacts", memory, "MB"),
        _flat("the first message of somebody, CPU, by contacts", first, "ms"),
        _flat("a message, CPU, by contacts", again, "ms"),
    ]


async def _journal(folder: Path) -> list[Row]:
    """A start, a message, a search and the size on the disk, by the number of messages in the store."""
    start: dict[int, float] = {}
    message: dict[int, float] = {}
    page: dict[int, float] = {}
    search: dict[int, float] = {}
    disk: dict[int, float] = {}
    pruned: dict[int, float] = {}
    for count in sizes(10_000, 100_000, 1_000_000):
        async with open_home(folder / str(count), "wx/login/#", "wx/in/#", "wx/bridge/response/#") as (
            home,
            subscriber,
        ):
            await home.log_in()
            await home.in_thread(home.bridge.stop)
            await _fill(home.bridge.store / "wx2mqtt.db", count)
            disk[count] = (home.bridge.store / "wx2mqtt.db").stat().st_size / count
            await home.restart()
            start[count] = process_seconds(home.bridge.pid)
            await _settle(home)
            message[count] = await _messages(home, subscriber, ["wife"] * FIRST_MESSAGES)
            page[count] = await _requests(home, {"limit": 20})
            search[count] = await _requests(home, {"text": "没有人写过这个"})
            await home.in_thread(home.bridge.stop)
            pruned[count] = await _prune(home.bridge.store / "wx2mqtt.db", count)
    return [
        _flat("restart to online, CPU, by stored messages", start, "s"),
        _flat("a message, CPU, by stored messages", message, "ms"),
        _flat("history, the newest 20, CPU, by stored messages", page, "ms"),
        _flat("history, a text that nobody wrote, CPU, by stored messages", search, "ms"),
        _flat("on the disk for a message, by stored messages", disk, "bytes"),
        _flat("a message is pruned, CPU, by stored messages", pruned, "us"),
    ]


async def _waiting_commands(folder: Path) -> list[Row]:
    """The cost of accepting commands without a login, of memory, and of sending them, by how many wait."""
    taken: dict[int, float] = {}
    memory: dict[int, float] = {}
    sent: dict[int, float] = {}
    for count in sizes(100, 1_000, 10_000, 100_000):
        async with open_home(folder / str(count), "wx/login/#", "wx/result/#") as (home, subscriber):
            await home.log_in()
            await home.in_thread(home.bridge.stop)
            since = subscriber.count
            await home.control.post("logout")
            home.bridge.start()
            await home.in_thread(subscriber.wait, "wx/login/state", _is_waiting, since=since)
            before = process_seconds(home.bridge.pid)
            await asyncio.to_thread(_publish_commands, home, count)
            taken[count] = (process_seconds(home.bridge.pid) - before) / count * 1e6
            memory[count] = resident_mb(home.bridge.pid)
            before = process_seconds(home.bridge.pid)
            await home.control.post("confirm")  # the phone knows the bridge, and asks without a code
            await home.in_thread(subscriber.wait_count, "wx/result/wife", count, timeout=TIMEOUT_SECONDS)
            sent[count] = (process_seconds(home.bridge.pid) - before) / count * 1e3
    return [
        _flat("a command is taken in, CPU, by waiting commands", taken, "us"),
        _flat("resident, by waiting commands", memory, "MB"),
        _flat("each is sent after the login, CPU, by waiting commands", sent, "ms"),
    ]


async def _burst(folder: Path) -> list[Row]:
    """The CPU for a message, by how many come at once."""
    cost: dict[int, float] = {}
    for count in sizes(1_000, 10_000, 100_000):
        async with open_home(folder / str(count)) as (home, _):
            await home.log_in()
            cost[count] = await _cost_of_burst(home, {"from": "wife"}, count)
    return [_flat("a message of a burst, CPU, by messages at once", cost, "us")]


async def _accounts(folder: Path) -> list[Row]:
    """Memory, CPU of a minute and a message's time, by the number of accounts on iLink beside one that is online.

    Each of the others polls for a code that nobody scans.
    """
    memory: dict[int, float] = {}
    idle: dict[int, float] = {}
    seconds_taken: dict[int, float] = {}
    for count in sizes(1, 20, 200):
        async with _many_accounts(folder / str(count), count) as (home, subscriber):
            await _settle(home)
            memory[count] = resident_mb(home.bridge.pid)
            before, began = process_seconds(home.bridge.pid), time.monotonic()
            await asyncio.sleep(IDLE_SECONDS)
            used = process_seconds(home.bridge.pid) - before
            idle[count] = used * 60 / (time.monotonic() - began)
            seconds_taken[count] = await _slowest_message(home, subscriber)
    return [
        _per_item("resident, by accounts on iLink", memory, "MB"),
        _per_item("CPU of an idle minute, by accounts on iLink", idle, "s"),
        _flat("one message, p99, by accounts on iLink beside", seconds_taken, "ms"),
    ]


async def _group(folder: Path) -> list[Row]:
    """The CPU for a message of a group, by its members."""
    cost: dict[int, float] = {}
    for count in (50, 500):
        async with open_home(folder / str(count)) as (home, _):
            await home.control.post("people", groups=1, members=count)
            await home.log_in()
            cost[count] = await _cost_of_burst(home, {"from": "wife", "to": "group1"}, GROUP_BURST)
    return [_flat("a message in a group, CPU, by members", cost, "us")]


async def _media(folder: Path) -> list[Row]:
    """How much the process grows while a file of this size comes in."""
    extra: dict[int, float] = {}
    media = {"max_size": "200MB"}
    async with open_home(folder, "wx/login/#", "wx/event/media", media=media) as (home, subscriber):
        await home.log_in()
        for size in (1_000, 100_000, 10_000_000, 100_000_000):
            before, since = resident_mb(home.bridge.pid), subscriber.count
            await home.control.post("say", **{"from": "mom", "kind": "video", "bytes_of": size})
            coming = asyncio.create_task(
                home.in_thread(subscriber.wait, "wx/event/media", since=since, timeout=TIMEOUT_SECONDS)
            )
            peak = before
            while not coming.done():
                peak = max(peak, resident_mb(home.bridge.pid))
                await asyncio.sleep(0.02)
            assert (await coming).body["state"] == "ready"
            extra[size] = peak - before
    costs = "  ".join(f"{size:,}: {megabytes:.1f}" for size, megabytes in extra.items())
    return [Row("resident more while a file comes in, by bytes", f"{costs} MB", "flat")]


async def _settle(home: Home) -> None:
    """Waits until the bridge uses next to no CPU: the work that follows a login is done."""
    while True:
        before = process_seconds(home.bridge.pid)
        await asyncio.sleep(CALM_SECONDS)
        if process_seconds(home.bridge.pid) - before < CALM_CPU_SECONDS:
            return


async def _messages(home: Home, subscriber: Subscriber, senders: Sequence[str]) -> float:
    """Returns the milliseconds of CPU for a message of each of these people, one after the other."""
    await home.control.wait("polling")
    before = process_seconds(home.bridge.pid)
    for number, sender in enumerate(senders):
        since = subscriber.count
        await home.control.post("say", **{"from": sender, "text": f"{number}"})
        await home.in_thread(subscriber.wait, "wx/in/#", since=since)
        await home.control.wait("polling")
    await _settle(home)
    return (process_seconds(home.bridge.pid) - before) / len(senders) * 1e3


async def _slowest_message(home: Home, subscriber: Subscriber) -> float:
    """Returns the milliseconds from the phone to a subscriber that one in a hundred messages exceeds."""
    seconds_taken: list[float] = []
    for number in range(ACCOUNT_MESSAGES):
        await home.control.wait("polling")
        since, began = subscriber.count, time.monotonic()
        await home.control.post("say", **{"from": "wife", "text": f"{number}"})
        arrived = await home.in_thread(subscriber.wait, "wx/in/wife", since=since)
        seconds_taken.append(arrived.at - began)
    return sorted(seconds_taken)[ACCOUNT_MESSAGES * 99 // 100 - 1] * 1e3


async def _requests(home: Home, fields: dict[str, object], count: int = 5) -> float:
    """Returns the milliseconds of CPU for one request for the history."""
    before = process_seconds(home.bridge.pid)
    for _ in range(count):
        answer = await home.send_request("history", fields)
        assert answer["status"] == "ok", answer
    return (process_seconds(home.bridge.pid) - before) / count * 1e3


async def _cost_of_burst(home: Home, message: dict[str, str], count: int) -> float:
    """Returns the microseconds of CPU for each of so many messages that wait at WeChat."""
    await _settle(home)
    before = process_seconds(home.bridge.pid)
    with MessageCounter(home.broker, count) as counter:
        await home.control.post("say", **message, text="{n} 消息", count=count)
        await asyncio.to_thread(counter.wait)
    return (process_seconds(home.bridge.pid) - before) / count * 1e6


def _is_waiting(arrived: ReceivedMessage) -> bool:
    return bool(arrived.body["state"] == "waiting_for_confirm")


def _publish_commands(home: Home, count: int) -> None:
    with Publisher(home.broker) as publisher:
        for start in range(0, count, PAHO_QUEUE):
            numbers = range(start, min(count, start + PAHO_QUEUE))
            infos = [publisher.client.publish("wx/out/wife", f"{number}", qos=1) for number in numbers]
            for info in infos:
                info.wait_for_publish(TIMEOUT_SECONDS)


async def _fill(path: Path, count: int) -> None:
    """Stores so many published messages, as a bridge would have."""
    database = await SqliteDatabase.open(path)
    try:
        journal = Journal(database, "home")
        await journal.open()
        for start in range(0, count, 1_000):
            outcome = await journal.received.record(
                [_stored_message(number) for number in range(start, min(count, start + 1_000))],
                NO_CHANGES,
                None,
                "",
            )
            await journal.outbox.mark_published([row.id for row in outcome.outbox.rows])
    finally:
        await database.close()


async def _prune(path: Path, count: int) -> float:
    """Removes all these messages as too old; returns the microseconds of CPU for each."""
    database = await SqliteDatabase.open(path)
    try:
        journal = Journal(database, "home")
        await journal.open()
        later = now_ms() + 400 * DAY_MS
        before = time.process_time()
        outcome = await journal.retention.prune(later, DAY_MS, DAY_MS)
        used = time.process_time() - before
        assert outcome.messages >= count - 1  # the newest one stays
    finally:
        await database.close()
    return used / count * 1e6


def _stored_message(number: int) -> NewMessage:
    text = f"第{number}条消息,今天晚上回家吃饭吗"
    sender: Json = {"user": "wife"}
    body: dict[str, Json] = {
        "id": f"id-{number}",
        "user": "wife",
        "kind": "text",
        "text": text,
        "sender": sender,
    }
    return NewMessage(
        key=f"key-{number}",
        id=f"id-{number}",
        topic="wx/in/wife",
        user="wife",
        kind=Kind.TEXT,
        time=now_ms(),
        text=text,
        body=body,
    )


@asynccontextmanager
async def _many_accounts(folder: Path, count: int) -> AsyncIterator[tuple[Home, Subscriber]]:
    """A bridge with an account that is online, and so many on iLink, of which each shows its code."""
    names = [f"a{number}" for number in range(count)]
    async with open_home_of(Home, folder, ("wx/login/state", "+/+/login/state", "wx/in/#"), {}) as (
        home,
        subscriber,
    ):
        account = {"backend": "ilink", "endpoint": home.simulator.url}
        others = {name: {**account, "base_topic": f"wx/{name}"} for name in names}
        settings = home.settings(log={"level": "warning", "format": "json"})
        home.bridge.configure({**settings, "accounts": {**settings["accounts"], **others}})
        await home.log_in()
        for name in names:
            topic = f"wx/{name}/login/state"
            await home.in_thread(
                subscriber.wait_body, topic, state="waiting_for_scan", timeout=TIMEOUT_SECONDS
            )
        yield home, subscriber


def _flat(what: str, costs: dict[int, float], unit: str) -> Row:
    """A cost that should not depend on the size: each ratio is that of the costs themselves."""
    ratios = [later / earlier if earlier else 1.0 for earlier, later in pairwise(costs.values())]
    return _row(what, costs, unit, ratios)


def _per_item(what: str, costs: dict[int, float], unit: str) -> Row:
    """A cost that grows with the size, beside a fixed one: each ratio is that of what one more item costs."""
    points = list(costs.items())
    slopes = [
        (later_cost - cost) / (later_size - size)
        for (size, cost), (later_size, later_cost) in pairwise(points)
    ]
    ratios = [later / earlier if earlier > 0 else 1.0 for earlier, later in pairwise(slopes)]
    return _row(what, costs, unit, ratios)


def _row(what: str, costs: dict[int, float], unit: str, ratios: Sequence[float]) -> Row:
    measured = "  ".join(f"{size:,}: {cost:.3g}" for size, cost in costs.items())
    compared = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return Row(what, f"{measured} {unit}", f"ratio {compared}" if compared else "")


GROWTH: dict[str, Callable[[Path], Awaitable[list[Row]]]] = {
    "growth-contacts": _contacts,
    "growth-journal": _journal,
    "growth-commands": _waiting_commands,
    "growth-burst": _burst,
    "growth-accounts": _accounts,
    "growth-group": _group,
    "growth-media": _media,
}
"""The measures of this module by name; `growth` means all of them."""
