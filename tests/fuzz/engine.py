"""Runs many cases of one target from a seed, and keeps the figures: cases, cost and memory of the worst."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from random import Random

from tests.fuzz.mutators import mutated
from tests.fuzz.oracles import (
    ENDLESS_RATIO,
    LARGE_BYTES,
    EndlessCall,
    MemoryWatch,
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
# One small input in so many is a known one with changed bytes: the corpus reaches further than the seeds.
FROM_CORPUS_EVERY = 4
# A generator that only repeats itself has no more inputs.
MAX_REPEATS_IN_ROW = 10_000
# The share of the limit above which a cost is measured again.
SUSPICIOUS_COST = 0.5
# Figures of the table count inputs of at least this size: a small one measures the fixed costs.
MEASURED_BYTES = 20_000


@dataclass(slots=True)
class Figures:
    """The figures of the cases of one target: how many, how costly, and the findings."""

    cases: int = 0
    large_cases: int = 0
    slowest_ms: float = 0.0
    """CPU milliseconds per 100 kB of the slowest large case."""
    peak_ratio: float = 0.0
    """The most memory of a large case, as a multiple of its size."""
    memory_checks: int = 0
    """Inputs that made the process grow and whose memory was therefore measured."""
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
        confirmed = confirmed_cpu_ms(lambda: target.run(data), limit, writes_files=target.writes_files)
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


def new_inputs(
    target: Target, seed: str, known: Sequence[bytes] = (), large_every: int = LARGE_EVERY
) -> Iterator[tuple[bytes, bool]]:
    """Yields inputs that differ from each other and from the known ones, each with whether it is a large one."""
    random = Random(f"{target.name} {seed}")
    from_known = mutated(known) if known else target.generate
    seen = {hash(data) for data in known}
    repeats = number = 0
    while repeats < MAX_REPEATS_IN_ROW:
        is_large = number % large_every == large_every - 1
        if is_large:
            data = target.grow(random)
        else:
            data = (target.generate if random.randrange(FROM_CORPUS_EVERY) else from_known)(random)
        if hash(data) in seen:
            repeats += 1
            number += is_large  # some targets have a few large inputs only; a small one comes instead
            continue
        seen.add(hash(data))
        repeats = 0
        number += 1
        yield data, is_large


def run_cases(
    target: Target,
    cases: int,
    seed: str,
    known: Sequence[bytes] = (),
    *,
    max_seconds: float | None = None,
    most_findings: int = 1,
    large_every: int = LARGE_EVERY,
) -> Figures:
    """Runs the known inputs, then `cases` new ones; stops at `most_findings` findings with different rules.

    With `max_seconds` it also stops after that many seconds of CPU time.
    """
    figures = Figures()
    deadline = None if max_seconds is None else time.thread_time() + max_seconds
    rules: set[str] = set()
    gc.collect()
    gc.freeze()  # a collection looks at what the inputs have made, not at all modules
    try:
        for data in known:
            _note(target, data, figures, rules, trace=True)
        memory = MemoryWatch()
        inputs = islice(new_inputs(target, seed, known, large_every), cases)
        for number, (data, is_large) in enumerate(inputs):
            figures.large_cases += is_large
            trace = is_large or number % TRACE_EVERY == 0
            _note(target, data, figures, rules, trace=trace)
            if trace:
                memory.reset()
            elif memory.grew():
                _note_memory(target, data, figures, rules)
            if len(figures.findings) >= most_findings:
                break
            if number % COLLECT_EVERY == 0:
                gc.collect(0)
                if deadline is not None and time.thread_time() > deadline:
                    break
    finally:
        gc.unfreeze()
    return figures


def _note(target: Target, data: bytes, figures: Figures, rules: set[str], *, trace: bool) -> None:
    with _noted(figures, rules):
        check_case(target, data, figures, trace=trace)


def _note_memory(target: Target, data: bytes, figures: Figures, rules: set[str]) -> None:
    figures.memory_checks += 1
    with _noted(figures, rules):
        _check_memory(target, data, figures)


@contextmanager
def _noted(figures: Figures, rules: set[str]) -> Iterator[None]:
    """Keeps a finding of the block, unless one of the same rule is known."""
    try:
        yield
    except Finding as finding:
        kind = "".join(letter for letter in finding.rule if not letter.isdigit())[:60]
        if kind not in rules:
            rules.add(kind)
            figures.findings.append(finding)
