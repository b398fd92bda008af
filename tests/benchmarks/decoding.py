"""Measures the cost of reading messages as people send them, compared with texts. No network, no broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.measures import Row
from tests.support.reading_cost import ReadingCost, cost_of_all_kinds, cost_of_usual_mix

COUNT = 10_000
ROUNDS = 3  # the best counts: other work on the machine only makes it slower


async def decoding(_folder: Path) -> list[Row]:
    """Returns the rows for reading WeChat's answers."""
    mixed = await asyncio.to_thread(_best, cost_of_usual_mix)
    each = await asyncio.to_thread(_best, cost_of_all_kinds)
    return [
        Row(f"{COUNT:,} messages as people send them read, CPU for one", f"{mixed.mixed:.1f} us", ""),
        Row("  as many times as for a text", f"{mixed.ratio:.2f}", "2"),
        Row("  of all kinds equally", f"{each.ratio:.2f}", ""),
    ]


def _best(measure: Callable[[int], ReadingCost]) -> ReadingCost:
    return min((measure(COUNT) for _ in range(ROUNDS)), key=lambda cost: cost.ratio)
