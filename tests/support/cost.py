"""Checks that the cost of work grows no faster than its size, by CPU time, which a busy machine does not change."""

from __future__ import annotations

import time
from collections.abc import Callable

# Work that takes less counts as fast: its time is too short to be compared.
NOTICEABLE_SECONDS = 0.02

# Twice the size takes twice the time, or four times where the cost grows with the square.
MAX_FACTOR = 3

ROUNDS = 3

# The machine may be slower while the larger size is measured, so a single comparison proves nothing.
COMPARISONS = 3


def cpu_seconds(work: Callable[[], object], rounds: int = 1) -> float:
    """Returns the CPU time of some work, the least of several rounds."""
    seconds = []
    for _ in range(rounds):
        started_at = time.process_time()
        work()
        seconds.append(time.process_time() - started_at)
    return min(seconds)


def is_in_proportion(work: Callable[[int], object], size: int) -> bool:
    """Returns whether `work` on `size` costs about twice as much as on half of it."""
    if cpu_seconds(lambda: work(size)) < NOTICEABLE_SECONDS:
        return True
    return any(_grows_little(work, size) for _ in range(COMPARISONS))


def _grows_little(work: Callable[[int], object], size: int) -> bool:
    whole = cpu_seconds(lambda: work(size), ROUNDS)
    return whole < MAX_FACTOR * cpu_seconds(lambda: work(size // 2), ROUNDS)


def repeated(part: str, size: int) -> str:
    """Returns a text of `size` characters that is made of a part again and again."""
    return (part * (size // len(part) + 1))[:size]
