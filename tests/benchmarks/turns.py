"""Programs that do the same work in turns on one machine, and the table of their ratios."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.support.broker import Mosquitto
from tests.support.home import Phone

PRODUCT = "wx2mqtt"
PATIENCE = 120.0
SUBSCRIPTIONS_LOG = "information\nlog_type notice\nlog_type subscribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A program that is logged in. `incoming` and `outgoing` are its topics; the person stands below the second."""

    pid: int
    phone: Phone
    broker: Mosquitto
    incoming: str
    outgoing: str
    start_seconds: float = 0.0


Measure = Callable[[Runner], Awaitable[float]]

# Runs a program by its name, on the files of a folder.
Running = Callable[[str, Path], AbstractAsyncContextManager[Runner]]


async def compare(
    peers: Sequence[str], turns: int, running: Running, measures: Mapping[str, Measure]
) -> None:
    """Prints what each turn's programs reach, and the ratios of product and peer: medians and ranges."""
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
