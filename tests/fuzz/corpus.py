"""The corpus: small inputs of each target in `corpus/<target>/`, which every replay runs.

Files named `found-…` are inputs of mended faults; they stay. The others grow by coverage: an input stays when it reaches lines, or steps from one line to another, that no other input of
its target reaches. Then it is made as short as it can be without losing them.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from types import CodeType, FrameType
from typing import Any

import wx2mqtt
from tests.fuzz.target import Target

FOLDER = Path(__file__).parent / "corpus"
FOUND_PREFIX = "found-"
MAX_FILES = 24
MAX_FILE_BYTES = 6000
MAX_TOTAL_BYTES = 1_000_000
# How many attempts are made to shorten one input.
SHORTER_ATTEMPTS = 120

_PACKAGE = str(Path(wx2mqtt.__file__).parent)
Arc = tuple[CodeType, int, int]
"""A step from one line to another inside of a function."""


def corpus_of(target: Target) -> list[bytes]:
    """Returns the stored inputs of a target, in the order of their names."""
    folder = FOLDER / target.name
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []


@contextmanager
def recorded_arcs() -> Iterator[set[Arc]]:
    """Records the steps inside of the product within the block."""
    arcs: set[Arc] = set()

    def trace(frame: FrameType, event: str, _argument: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        if not code.co_filename.startswith(_PACKAGE):
            return None
        previous = 0

        def trace_line(inner: FrameType, kind: str, _: Any) -> Callable[..., Any]:
            nonlocal previous
            if kind == "line":
                arcs.add((code, previous, inner.f_lineno))
                previous = inner.f_lineno
            return trace_line

        return trace_line

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield arcs
    finally:
        sys.settrace(before)


def arcs_of(target: Target, data: bytes) -> frozenset[Arc]:
    """Returns the steps that an input makes; none for one that fails, which is a finding and no corpus."""
    with recorded_arcs() as arcs:
        try:
            target.run(data)
        except Exception:  # noqa: BLE001 - `run_cases` reports it
            return frozenset()
    return frozenset(arcs)


def grow(target: Target, cases: int, seed: str) -> list[bytes]:
    """Returns a new corpus of a target, out of the old one and `cases` new inputs, the shortest first."""
    random = Random(f"corpus {target.name} {seed}")
    reached: set[Arc] = set()
    for data in target.seeds:  # they are replayed in any case
        reached |= arcs_of(target, data)
    selected: list[bytes] = []
    candidates = [*corpus_of(target), *(target.generate(random) for _ in range(cases))]
    for data in candidates:
        new = arcs_of(target, data) - reached
        if new and len(data) <= MAX_FILE_BYTES:
            shortest = shorter(data, partial(_reaches, target, new))
            selected.append(shortest)
            reached |= arcs_of(target, shortest)
        if len(selected) >= MAX_FILES:
            break
    return sorted(selected, key=len)


def _reaches(target: Target, arcs: frozenset[Arc], data: bytes) -> bool:
    return arcs <= arcs_of(target, data)


def write(target: Target, inputs: list[bytes]) -> None:
    """Replaces the stored inputs of a target that are not those of faults."""
    folder = FOLDER / target.name
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if not path.name.startswith(FOUND_PREFIX):
            path.unlink()
    for data in inputs:
        (folder / name_of(data)).write_bytes(data)


def name_of(data: bytes) -> str:
    """Returns the name of the file of an input: the beginning of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:12]


def shorter(data: bytes, still: Callable[[bytes], bool], attempts: int = SHORTER_ATTEMPTS) -> bytes:
    """Returns `data` without the pieces that `still` can do without; asks it `attempts` times at most."""
    size = len(data) // 2
    while size and attempts > 0:
        start = 0
        while start < len(data) and attempts > 0:
            part = data[:start] + data[start + size :]
            attempts -= 1
            if still(part):
                data = part
            else:
                start += size
        size //= 2
    return data
