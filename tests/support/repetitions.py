"""How often a test with random or repeated input repeats: seldom by default, often in `make test-chaos`."""

from __future__ import annotations

import os

import pytest

THOROUGH = bool(os.environ.get("THOROUGH"))

chaos = pytest.mark.chaos
"""Marks a test that `make test-chaos` runs with more rounds than the others do."""


def repetitions(bounded: int, thorough: int) -> int:
    """Returns the number of rounds or examples of this run."""
    return thorough if THOROUGH else bounded
