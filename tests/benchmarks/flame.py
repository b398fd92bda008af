"""`make profile`: a flame graph of the bridge at work, as an SVG that a browser shows.

py-spy samples the process from outside, all threads, 250 times a second: the bridge runs unchanged and at its own
speed, which a sampler inside would not allow for work that holds the interpreter. py-spy starts the bridge itself,
so that the kernel lets it look without further rights.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from tests.benchmarks.measures import BURST, STARTED_PROGRAM, MessageCounter, Publisher, open_home
from tests.support.home import Home
from tests.support.subscriber import Subscriber

PY_SPY = Path(".venv-profile/bin/py-spy")
SAMPLES_PER_SECOND = 250
MESSAGES = 300
COMMANDS = 2_000
CONTACTS = 5_000

Work = Callable[[Home, Subscriber], Awaitable[None]]


async def burst(home: Home, _: Subscriber) -> None:
    """Many texts at once, to the last one at a subscriber."""
    with MessageCounter(home.broker, BURST) as counter:
        await home.control.post("say", **{"from": "wife", "text": "{n} 消息", "count": BURST})
        await asyncio.to_thread(counter.wait)


async def messages(home: Home, subscriber: Subscriber) -> None:
    """One text after the other."""
    for number in range(MESSAGES):
        since = subscriber.count
        await home.control.wait("polling")
        await home.control.post("say", **{"from": "wife", "text": f"{number}"})
        await home.in_thread(subscriber.wait, "wx/in/wife", since=since)


async def commands(home: Home, subscriber: Subscriber) -> None:
    """Many commands at once to one chat, to the last result."""
    with Publisher(home.broker) as publisher:
        for number in range(COMMANDS):
            publisher.client.publish("wx/out/wife", f"{number}", qos=1)
        await home.in_thread(subscriber.wait_count, "wx/result/wife", COMMANDS, timeout=300)


async def start(_: Home, __: Subscriber) -> None:
    """Only what a start does, with many contacts."""


WORK: dict[str, Work] = {"burst": burst, "messages": messages, "commands": commands, "start": start}


async def record(name: str, output: Path) -> None:
    """Lets the bridge work under py-spy, and writes the flame graph."""
    with tempfile.TemporaryDirectory(prefix="wx2mqtt-profile-") as folder:
        async with open_home(Path(folder), "wx/login/#", "wx/in/#", "wx/result/#") as (home, subscriber):
            home.bridge.program = [
                *(str(PY_SPY), "record", "--output", str(output), "--rate", str(SAMPLES_PER_SECOND)),
                *("--format", "flamegraph", "--threads", "--", *STARTED_PROGRAM),
            ]
            await home.control.post("people", friends=CONTACTS if name == "start" else 500)
            await home.log_in()
            await WORK[name](home, subscriber)
            await home.in_thread(_end, home.bridge.pid)


def _end(sampler_pid: int) -> None:
    """Stops the bridge in order; py-spy then writes what it has seen and ends as well."""
    sampler = psutil.Process(sampler_pid)
    for program in sampler.children():
        program.terminate()
    sampler.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", nargs="?", default="burst", choices=WORK)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    output = (given.output or Path("dist") / f"profile-{given.work}.svg").resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    if not PY_SPY.exists():
        sys.exit("py-spy is missing: make profile installs it")
    asyncio.run(record(given.work, output))
    print(output)


if __name__ == "__main__":
    main()
