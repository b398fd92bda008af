"""Runs programs that do the same work in turns on one machine, and prints the table of their ratios."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measures import MessageCounter, process_seconds
from tests.support.broker import Mosquitto
from tests.support.home import SimulatorControl
from tests.support.subscriber import Subscriber

PRODUCT = "wx2mqtt"
TIMEOUT_SECONDS = 120.0
ONE_BY_ONE = 100
SUBSCRIPTIONS_LOG = "information\nlog_type notice\nlog_type subscribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A program that is logged in. `incoming` and `outgoing` are its topics; the person stands below the second."""

    pid: int
    control: SimulatorControl
    broker: Mosquitto
    incoming: str
    outgoing: str
    #: The call of the simulator by which a person writes, and who that is.
    write_call: str
    writer: str
    #: What the simulator waits for until the program can be written to.
    ready: str
    start_seconds: float = 0.0

    async def say(self, text: str, count: int = 1) -> None:
        await self.control.post(self.write_call, **{"from": self.writer, "text": text, "count": count})


Measure = Callable[[Runner], Awaitable[float]]

# Runs a program by its name, on the files of a folder.
Running = Callable[[str, Path], AbstractAsyncContextManager[Runner]]


async def burst(runner: Runner, count: int) -> float:
    """Returns texts a second, from the first to the last one at a subscriber."""
    with MessageCounter(runner.broker, count, runner.incoming) as counter:
        await runner.say("{n}", count=count)
        await asyncio.wait_for(asyncio.to_thread(counter.wait), TIMEOUT_SECONDS)
    return (count - 1) / counter.seconds


async def burst_cpu(runner: Runner, count: int) -> float:
    """Returns texts a second of the program's own CPU."""
    before = process_seconds(runner.pid)
    await burst(runner, count)
    return count / (process_seconds(runner.pid) - before)


async def one_message(runner: Runner) -> float:
    """Returns how often a second a text could go from the phone to a subscriber, one by one (median)."""
    seconds_taken: list[float] = []
    with Subscriber(runner.broker.port, runner.incoming) as subscriber:
        for number in range(ONE_BY_ONE):
            await runner.control.wait(runner.ready)
            since, began = subscriber.count, time.monotonic()
            await runner.say(f"{number}")
            received = await asyncio.to_thread(subscriber.wait, runner.incoming, since=since)
            seconds_taken.append(received.at - began)
    return 1 / statistics.median(seconds_taken)


@contextmanager
def peer_process(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> Iterator[int]:
    """Runs a Python program until the block ends; yields its process id."""
    command = [sys.executable, *arguments]
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, cwd=folder, stdout=subprocess.DEVNULL
    )
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait(10)


async def compare(
    peers: Sequence[str], turns: int, running: Running, measures: Mapping[str, Measure]
) -> None:
    """Runs all programs in each turn; prints medians, and the ratios of product and peer with their ranges."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for turn in range(turns):
        for name in (PRODUCT, *peers):
            with tempfile.TemporaryDirectory(prefix="wx2mqtt-peers-") as folder:
                async with running(name, Path(folder)) as runner:
                    for what, measure in measures.items():
                        values[what, name].append(await measure(runner))
            print(f"turn {turn + 1} of {turns}: {name} done", file=sys.stderr)
    print(f"{'':<52} {PRODUCT:>10}" + "".join(f" {name:>15} {'ratio':>18}" for name in peers))
    for what in measures:
        _print_row(what, values[what, PRODUCT], [values[what, name] for name in peers])


def _print_row(what: str, product: Sequence[float], peers: Sequence[Sequence[float]]) -> None:
    cells = f"{what:<52} {statistics.median(product):>10,.1f}"
    for peer in peers:
        ratios = sorted(ours / theirs for ours, theirs in zip(product, peer, strict=True))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        cells += f" {statistics.median(peer):>15,.1f} {spread:>18}"
    print(cells, flush=True)
