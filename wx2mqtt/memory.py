"""Staying small: modules that others import only because they are there, and glibc's habit of keeping memory.

A bridge runs for months beside others on a small machine; each megabyte here is measured (`make bench`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import cast

_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # mallopt(3)
_LARGE = 1 << 20  # bytes


@contextmanager
def block_imports(*names: str) -> Iterator[None]:
    """Within this, an import of these fails, as if they were not installed; what is loaded already stays."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(cast("dict[str, ModuleType]", dict.fromkeys(hidden)))  # None: import raises
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def tune_malloc() -> None:
    """Let all threads share one arena; glibc would give each its own and fill none. Before any thread starts.

    It saves 7 MB with 5,000 contacts. And what is large goes back to the system as soon as it is free: left
    alone glibc keeps up to 32 MB of a file that went through. Where there is no mallopt (musl, macOS) nothing
    happens.
    """
    import ctypes  # noqa: PLC0415 - only where it is wanted

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
