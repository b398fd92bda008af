"""Measures the cost of many accounts in one process, and the effect of one account's burst on another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.benchmarks.measures import (
    BURST,
    IDLE_SECONDS,
    PLAIN,
    MessageCounter,
    Publisher,
    RemoteSimulator,
    Row,
    cpu_seconds,
    resident_mb,
    spread,
)
from tests.support.broker import mosquitto
from tests.support.home import PEOPLE, Home, SimulatorControl
from tests.support.subscriber import Subscriber

MANY = 20
COMMANDS = 100


async def accounts(folder: Path) -> list[Row]:
    """Returns the rows of both measures."""
    return [*await _idle(folder / "idle"), *await _beside_a_burst(folder / "burst")]


async def _idle(folder: Path) -> list[Row]:
    names = [f"a{number}" for number in range(MANY)]
    async with _open_accounts_home(folder, names) as (home, _):
        await asyncio.sleep(20)  # the work of the logins is done by then; this is a measure, not a test
        before, began = cpu_seconds(home.bridge.pid), time.monotonic()
        await asyncio.sleep(IDLE_SECONDS)
        cpu = (cpu_seconds(home.bridge.pid) - before) * 60 / (time.monotonic() - began)
        size = resident_mb(home.bridge.pid)
    return [
        Row(f"idle with {MANY} accounts, resident", f"{size:.0f} MB", "150 MB"),
        Row(f"idle with {MANY} accounts, CPU a minute", f"{cpu:.2f} s", "1 s"),
    ]


async def _beside_a_burst(folder: Path) -> list[Row]:
    async with _open_accounts_home(folder, ["a", "b"]) as (home, controls):
        with Publisher(home.broker) as publisher:

            async def command() -> float:
                topic, since, began = f"{home.bases['b']}/{{}}/wife", home.subscriber.count, time.monotonic()
                publisher.client.publish(topic.format("out"), f"{began}", qos=1)
                received = await home.in_thread(home.subscriber.wait, topic.format("result"), since=since)
                return received.at - began

            calm = [await command() for _ in range(COMMANDS)]
            with MessageCounter(home.broker, BURST) as counter:
                await controls["a"].post("say", **{"from": "wife", "text": "{n}", "count": BURST})
                receiving = asyncio.create_task(asyncio.to_thread(counter.wait))
                busy: list[float] = []
                while not receiving.done():
                    busy.append(await command())
                await receiving
    return [
        Row("a command of one account, publish to its result", spread(calm), ""),
        Row(f"  {len(busy)} of them while another receives {BURST:,} texts", spread(busy), "p99 50 ms"),
    ]


class AccountsHome(Home):
    """A home with several accounts; `bases` has the base topic of each."""

    bases: dict[str, str]


@asynccontextmanager
async def _open_accounts_home(
    folder: Path, names: list[str]
) -> AsyncIterator[tuple[AccountsHome, dict[str, SimulatorControl]]]:
    """Opens a home whose accounts are online, each at a simulator of its own."""
    async with AsyncExitStack() as stack:
        simulators = [RemoteSimulator() for _ in names]
        for simulator in simulators:
            stack.callback(simulator.close)
        broker = stack.enter_context(
            mosquitto(folder / "broker", PLAIN, log="information\nlog_type notice\nlog_type subscribe")
        )
        filters = ("+/login/state", "+/+/login/state", "+/result/#", "+/+/result/#")
        subscriber = stack.enter_context(Subscriber(broker.port, *filters))
        home = AccountsHome(folder, simulators[0], broker, subscriber)  # type: ignore[arg-type]
        stack.push_async_callback(home.close)
        controls = {name: SimulatorControl(one.url) for name, one in zip(names, simulators, strict=True)}
        for control in controls.values():
            stack.push_async_callback(control.close)
            await control.post("settings", autoscan=True)
            await control.post("people", friends=100)
        accounts = {
            name: {"endpoint": one.url, "send": {"per_minute": 0}, "contacts": PEOPLE}
            for name, one in zip(names, simulators, strict=True)
        }
        home.bases = {name: "wx" if number == 0 else f"wx/{name}" for number, name in enumerate(names)}
        settings = {"mqtt": {"url": broker.url}, "accounts": accounts}
        home.bridge.configure({**settings, "log": {"level": "warning", "format": "json"}})
        home.bridge.start()
        for name in names:
            await home.in_thread(
                subscriber.wait_body, f"{home.bases[name]}/login/state", state="online", timeout=60
            )
            await controls[name].wait("polling")
        yield home, controls
