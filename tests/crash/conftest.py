"""Fixtures of the crash tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.crash_home import CrashHome, at_crash_home
from tests.support.broker import PROGRAM

MakeCrashHome = Callable[..., contextlib.AbstractAsyncContextManager[CrashHome]]


@pytest.fixture
def make_crash_home(tmp_path: Path) -> MakeCrashHome:
    """Returns a function that opens a crash home: `async with make_crash_home(seed) as home`."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    return lambda seed, *args, **settings: at_crash_home(tmp_path, seed, *args, **settings)


@pytest.fixture
def with_mosquitto() -> None:
    """Skips a test where mosquitto is not installed."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
