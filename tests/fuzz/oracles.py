"""What holds for every input: cost, memory, JSON that can be written and read again, safe topic levels.

The cost is the CPU time of the thread, in multiples of a reference that is measured beside it: a busy or slow
machine makes both longer. `MAX_MS_PER_100_KB` is stated for a machine on which the reference takes
`REFERENCE_MS`.
"""

from __future__ import annotations

import ctypes
import gc
import json
import re
import resource
import signal
import sys
import tempfile
import time
import tracemalloc
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn
from xml.etree.ElementTree import fromstring

if TYPE_CHECKING:  # a coverage-guided run instruments the product, so nothing imports it before
    from wx2mqtt.model import Json

LARGE_BYTES = 100_000

MAX_MS_PER_100_KB = 50.0
# An input of any size may take this long: the first call of a parser imports, compiles and fills caches.
MAX_SMALL_INPUT_MS = 10.0

# A multiple of the input's size; a small input may take more, since every object of Python has a size of its own.
MAX_MEMORY_RATIO = 10.0
MEMORY_FLOOR_BYTES = 512 * 1024

# An empty list takes 56 bytes and two characters, and an answer with half a surrogate pair is copied once. How many
# there may be is bounded before they are parsed.
JSON_MEMORY_FACTOR = 6.0

# A topic level that the bridge chooses itself.
MAX_LEVEL_BYTES = 64

REFERENCE_MS = 5.0
_REFERENCE_ROUNDS = 10
_REFERENCE_JSON = json.dumps([{"key": number, "text": "x" * 20} for number in range(1000)])
_REFERENCE_XML = "<a>" + "<b>text</b>" * 2000 + "</a>"
_REFERENCE_TEXT = "one two, three &amp; four; " * 2000
_REFERENCE_PATTERN = re.compile(r"&(\w+);")
_REFERENCE_ATTEMPTS = 3
# A call of work with files is longer once in a hundred times: the kernel does work of other processes in it.
_CONFIRMING_ATTEMPTS = 10

# The same work for a target that writes files: it costs what the file system and the kernel make it cost.
FILE_REFERENCE_MS = 1.5
_REFERENCE_FILES = 16

# `mallopt` of glibc: blocks from this size on are mapped and unmapped one by one. Its own default, which it raises.
_M_MMAP_THRESHOLD = -3
_MMAP_THRESHOLD_BYTES = 128 * 1024

# A call that costs so many times what it may is ended: a quadratic one would take hours.
ENDLESS_RATIO = 20


def run_reference() -> None:
    """Does the work against which costs are measured: JSON, XML and a regular expression."""
    for _ in range(_REFERENCE_ROUNDS):
        json.loads(_REFERENCE_JSON)
        fromstring(_REFERENCE_XML)
        _REFERENCE_PATTERN.sub("&", _REFERENCE_TEXT)


def run_file_reference() -> None:
    """Does the work with files against which the cost of a target that `writes_files` is measured as well."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        for number in range(_REFERENCE_FILES):
            folder = Path(name) / str(number)
            folder.mkdir()
            (folder / "file").write_bytes(b"x")
            (folder / "file").read_bytes()


def cpu_ms(work: Callable[[], object]) -> float:
    """Returns the CPU milliseconds of this thread that a call takes."""
    collects = gc.isenabled()
    gc.disable()  # a collection costs as much as everything else that is in memory
    try:
        started_at = time.thread_time_ns()
        work()
        return (time.thread_time_ns() - started_at) / 1e6
    finally:
        if collects:
            gc.enable()


class EndlessCall(BaseException):
    """A call took so long that it was ended. No `except Exception` of a parser catches it."""


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """Ends a block of the main thread after so many seconds of CPU time with `EndlessCall`.

    Python looks for signals between its instructions and inside of regular expressions.
    """

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        raise EndlessCall

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def slowness(*, writes_files: bool = False) -> float:
    """Returns how many times longer than on the reference machine something takes here and now; at least 1."""
    ratios = [1.0, _quickest_ms(run_reference) / REFERENCE_MS]
    if writes_files:
        ratios.append(_quickest_ms(run_file_reference) / FILE_REFERENCE_MS)
    return max(ratios)


def _quickest_ms(work: Callable[[], object]) -> float:
    return min(cpu_ms(work) for _ in range(_REFERENCE_ATTEMPTS))


def max_cpu_ms(size: int, factor: float = 1.0) -> float:
    """Returns how long an input of this size may take on the reference machine."""
    return MAX_SMALL_INPUT_MS + factor * MAX_MS_PER_100_KB * size / LARGE_BYTES


def confirmed_cpu_ms(work: Callable[[], object], limit: float, *, writes_files: bool = False) -> float | None:
    """Returns the cost of a call, in milliseconds of the reference machine, if it is above `limit`, else None.

    Only the quickest of several calls counts, each beside a reference of its own.
    """
    costs: list[float] = []
    for _ in range(_CONFIRMING_ATTEMPTS):
        costs.append(cpu_ms(work) / slowness(writes_files=writes_files))
        if costs[-1] <= limit:
            return None
    return min(costs)


def peak_bytes(work: Callable[[], object]) -> int:
    """Returns the most memory that a call holds at once."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class MemoryWatch:
    """Sees that the process needs more memory than ever before, at the cost of one system call.

    An input that raises the mark is measured with `tracemalloc`, which is too slow for each input.
    """

    def __init__(self) -> None:
        _give_large_blocks_back()
        self._mark_bytes = _most_resident_bytes()

    def grew(self) -> bool:
        """Returns whether the most resident memory has grown by `MEMORY_FLOOR_BYTES` since the last growth."""
        now_bytes = _most_resident_bytes()
        if now_bytes - self._mark_bytes < MEMORY_FLOOR_BYTES:
            return False
        self._mark_bytes = now_bytes
        return True

    def reset(self) -> None:
        """Lets the mark begin at what is resident now: after a large input no small one would reach it."""
        with suppress(OSError):  # not Linux: the mark stays
            Path("/proc/self/clear_refs").write_text("5")
        self._mark_bytes = _most_resident_bytes()


def _give_large_blocks_back() -> None:
    """Lets glibc return each freed large block to the system; else it keeps up to 64 MB, where growth is not seen."""
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)


def _most_resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def held_bytes(data: bytes) -> int:
    """Returns the memory of an input as bytes or as text: one emoji makes each character take four bytes."""
    return max(len(data), sys.getsizeof(data.decode("utf-8", "replace")))


def max_bytes(size: int, factor: float = 1.0) -> float:
    """Returns how much memory an input of this size may take."""
    return MEMORY_FLOOR_BYTES + factor * MAX_MEMORY_RATIO * size


def require_json(value: Json) -> None:
    """Fails unless a value can be written as JSON in UTF-8, without NaN, and is the same after reading."""
    written = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    assert json.loads(written) == value


def require_safe_level(level: str) -> None:
    """Fails unless a name is one level of a topic that MQTT lets everybody publish to."""
    assert 0 < len(level.encode()) <= MAX_LEVEL_BYTES, level
    assert not set(level) & set("/+#\0"), level
    assert not {unicodedata.category(sign) for sign in level} & {"Cc", "Cs", "Zl", "Zp", "Zs"}, level
    assert not level.startswith("$"), level


def require_one_line(text: str, limit: int) -> None:
    """Fails unless a text is one printable line of at most `limit` characters."""
    assert len(text) <= limit
    assert len(text.splitlines()) <= 1
