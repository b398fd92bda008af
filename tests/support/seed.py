"""The random seed of the chaos tests: another in each run here, the same in CI, shown in the test's name."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import TypeVar

import pytest

from tests.conftest import CI
from tests.support.repetitions import chaos

SEED = int(os.environ.get("CHAOS_SEED") or (0 if CI else secrets.randbelow(1_000_000)))
"""`CHAOS_SEED=n` repeats a run."""

Test = TypeVar("Test", bound=Callable[..., object])


def seeded(test: Test) -> Test:
    """Marks a chaos test that takes the seed."""
    marked: Test = chaos(pytest.mark.parametrize("seed", [SEED])(test))
    return marked
