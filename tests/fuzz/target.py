"""A fuzz target: a group of parsers that are called with the same input, and how inputs for them are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

Generate = Callable[[Random], bytes]
"""Returns an input; takes every choice from the `Random`, so that its seed, or Hypothesis, decides them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Parsers and one input for all of them.

    - `run`: calls the parsers with an input and checks their results. An error that a docstring documents is
      an answer as well, and does not leave `run`; anything that leaves it is a failure.
    - `parsers`: the product's functions that `run` calls, as `module:qualified name` below `wx2mqtt`.
    - `generate`: makes small inputs; `grow` makes large ones, of about `LARGE_BYTES`.
    - `seeds`: valid inputs. They are part of every replay, like the corpus.
    - `fixed_bytes`: memory that a call takes for any input, such as the buffer of a file.
    - `cost_factor`, `memory_factor`: more than 1 where `run` calls several parsers with the whole input.
    - `writes_files`: whether a call creates files, so that its cost depends on the file system.
    """

    name: str
    run: Callable[[bytes], None]
    parsers: tuple[str, ...]
    generate: Generate
    grow: Generate
    seeds: Sequence[bytes]
    cost_factor: float = 1.0
    memory_factor: float = 1.0
    fixed_bytes: int = 0
    writes_files: bool = False


class Finding(AssertionError):
    """An input that breaks a rule: `rule` names it, `data` is the input."""

    def __init__(self, target: str, rule: str, data: bytes) -> None:
        super().__init__(f"{target}: {rule}\ninput of {len(data)} bytes: {data[:300]!r}")
        self.target = target
        self.rule = rule
        self.data = data
