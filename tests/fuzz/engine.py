"""Runs many cases of one target from a seed, and keeps the figures: cases, cost and memory of the worst."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from tests.fuzz.oracles import (
    ENDLESS_RATIO,
    LARGE_BYTES,
    EndlessCall,
    confirmed_cpu_ms,
    cpu_ms,
    ended_after,
    held_bytes,
    max_bytes,
    max_cpu_ms,
    peak_bytes,
)
from tests.fuzz.target import Finding, Target

# One case in so many is large, and the memory of one in so many small ones is traced.
LARGE_EVERY = 400
TRACE_EVERY = 2000
COLLECT_EVERY = 200
# Of the limit; what is below it is not measured again.
SUSPICIOUS_COST = 0.5
# Figures of the table count inputs of at least this size: a small one measures the fixed costs.
MEASURED_BYTES = 20_000


@dataclass(slots=True)
class Figures:
    """What the cases of one target have shown."""

    cases: int = 0
    large_cases: int = 0
    slowest_ms: float = 0.0
    """CPU milliseconds per 100 kB of the slowest large case."""
    peak_ratio: float = 0.0
    """The most memory of a large case, as a multiple of its size."""
    findings: list[Finding] = field(default_factory=list)


def failure_of(target: Target, data: bytes) -> str:
    """Returns the kind of error that an input causes; empty when it causes none. Costs are not measured."""
    try:
        target.run(data)
    except Exception as error:  # noqa: BLE001 - any error is a kind of failure
        return type(error).__name__
    return ""


def check_case(target: Target, data: bytes, figures: Figures, *, trace: bool) -> None:
    """Runs one case. Raises `Finding` when the input breaks a rule."""
    figures.cases += 1
    limit = max_cpu_ms(len(data), target.cost_factor)
    try:
        with ended_after(ENDLESS_RATIO * limit / 1000):
            cost = cpu_ms(lambda: target.run(data))
    except EndlessCall:
        raise Finding(
            target.name, f"more than {ENDLESS_RATIO} times the {limit:.0f} ms for {len(data)} bytes", data
        ) from None
    except Exception as error:
        raise Finding(target.name, f"{type(error).__name__}: {error}", data) from error
    if cost > SUSPICIOUS_COST * limit:
        confirmed = confirmed_cpu_ms(lambda: target.run(data), limit)
        if confirmed is not None:
            raise Finding(target.name, f"{confirmed:.0f} ms for {len(data)} bytes, at most {limit:.0f}", data)
    is_large = len(data) >= MEASURED_BYTES
    if is_large:
        figures.slowest_ms = max(figures.slowest_ms, cost * LARGE_BYTES / len(data))
    if trace:
        _check_memory(target, data, figures)


def _check_memory(target: Target, data: bytes, figures: Figures) -> None:
    peak = peak_bytes(lambda: target.run(data))
    size = held_bytes(data)
    limit = max_bytes(size, target.memory_factor) + target.fixed_bytes
    if len(data) >= MEASURED_BYTES:
        figures.peak_ratio = max(figures.peak_ratio, peak / size)
    # What a first call imports and caches is not a cost of the input.
    if peak > limit and peak_bytes(lambda: target.run(data)) > limit:
        raise Finding(target.name, f"{peak} bytes of memory for {size}, at most {limit:.0f}", data)


def run_cases(
    target: Target,
    cases: int,
    seed: str,
    known: Iterable[bytes] = (),
    *,
    max_seconds: float | None = None,
    most_findings: int = 1,
) -> Figures:
    """Runs the known inputs, then `cases` new ones; stops at `most_findings` findings with different rules.

    With `max_seconds` it also stops after that many seconds of CPU time.
    """
    figures = Figures()
    deadline = None if max_seconds is None else time.thread_time() + max_seconds
    random = Random(f"{target.name} {seed}")
    rules: set[str] = set()
    for data in known:
        _note(target, data, figures, rules, trace=True)
    for number in range(cases):
        is_large = number % LARGE_EVERY == LARGE_EVERY - 1
        data = target.grow(random) if is_large else target.generate(random)
        figures.large_cases += is_large
        _note(target, data, figures, rules, trace=is_large or number % TRACE_EVERY == 0)
        if len(figures.findings) >= most_findings:
            break
        if number % COLLECT_EVERY == 0:
            gc.collect(0)
            if deadline is not None and time.thread_time() > deadline:
                break
    return figures


def _note(target: Target, data: bytes, figures: Figures, rules: set[str], *, trace: bool) -> None:
    try:
        check_case(target, data, figures, trace=trace)
    except Finding as finding:
        kind = "".join(letter for letter in finding.rule if not letter.isdigit())[:60]
        if kind not in rules:
            rules.add(kind)
            figures.findings.append(finding)
