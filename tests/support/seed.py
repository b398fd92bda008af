"""The dice of the chaos tests: another seed in each run here, the same one in CI, shown in the test's name."""

from __future__ import annotations

import os
import secrets

import pytest

from tests.conftest import CI

SEED = int(os.environ.get("CHAOS_SEED") or (0 if CI else secrets.randbelow(1_000_000)))
"""`CHAOS_SEED=n` repeats a run."""
SEEDED = pytest.mark.parametrize("seed", [SEED])
