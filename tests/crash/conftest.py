"""What the crash tests share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.arena import Arena, arena
from tests.support.broker import PROGRAM

MakeArena = Callable[..., contextlib.AbstractAsyncContextManager[Arena]]


@pytest.fixture
def make_arena(tmp_path: Path) -> MakeArena:
    """`async with make_arena(seed) as arena`."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    return lambda seed, *args, **settings: arena(tmp_path, seed, *args, **settings)


@pytest.fixture
def with_mosquitto() -> None:
    """Skip where there is none."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
