"""`make bench`: measures speed and size of the bridge, all on one machine, with durable settings.

Prints a table with figures and aims, without a verdict.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.benchmarks import growth as growth_table
from tests.benchmarks.accounts import accounts
from tests.benchmarks.alarms import alarms
from tests.benchmarks.decoding import decoding
from tests.benchmarks.growth import GROWTH
from tests.benchmarks.ilink import ilink
from tests.benchmarks.measures import Row, burst, calm_command, command_burst, idle, killed, latency, start
from tests.benchmarks.media import pictures, video
from tests.benchmarks.page import page
from tests.benchmarks.posts import posts

MEASURES: dict[str, Callable[[Path], Awaitable[list[Row]]]] = {
    "decoding": decoding,
    "burst": burst,
    "latency": latency,
    "commands": command_burst,
    "calm": calm_command,
    "start": start,
    "idle": idle,
    "killed": killed,
    "pictures": pictures,
    "video": video,
    "page": page,
    "posts": posts,
    "accounts": accounts,
    "ilink": ilink,
    **GROWTH,
}

# Measured only by name: it counts messages and takes two minutes of CPU.
BY_NAME = {"alarms": alarms}


async def main(arguments: list[str]) -> None:
    growth_table.LARGE = "--large" in arguments
    names = [name for name in arguments if not name.startswith("--")]
    if "growth" in names:
        names = [*(name for name in names if name != "growth"), *GROWTH]
    print(f"{'what':<58} {'measured':>22}   aim")
    began = time.monotonic()
    for name in names or MEASURES:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="wx2mqtt-bench-") as folder:
            for row in await (MEASURES | BY_NAME)[name](Path(folder)):
                print(f"{row.what:<58} {row.measured:>22}   {row.aim}", flush=True)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    print(f"{'all of it':<58} {time.monotonic() - began:>20.0f} s   600 s")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
