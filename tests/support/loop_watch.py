"""Sees when an event loop stands still, which everybody who uses the bridge would notice.

A thread asks each running loop of this process for a sign of life. A loop stands still when its own thread has
used more than `MAX_SILENT_SECONDS` of CPU time without giving one. The CPU time counts and not the clock: on a busy
machine a loop waits for the processor, and that is no fault of the bridge. A slower machine has as much longer as it
takes for some usual work at that moment: programs that share its caches make it slower, too.

`start` watches this process and appends what it sees to the file that the environment names, so that one fixture
sees bridges in processes of their own as well: their launchers call `start_from_environment`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType

import wx2mqtt

REPORT = "LOOP_WATCH_REPORT"
"""Environment: the file to which freezes are appended."""

MAX_SILENT_SECONDS = 0.25
USUAL_WORK_SECONDS = 0.01
"""CPU time of `_do_usual_work` on the machine for which `MAX_SILENT_SECONDS` is meant."""
SAMPLE_SECONDS = 0.05
PRODUCT = str(Path(wx2mqtt.__file__).parent) + os.sep
SIMULATOR = PRODUCT + "simulator" + os.sep


@dataclass
class Watched:
    """A running loop. `asked_at` is the CPU time of its thread at the question that it has not answered yet."""

    loop: asyncio.AbstractEventLoop
    thread: int
    clock: int
    asked_at: float | None = None
    stack: str = ""
    is_reported: bool = False


def is_task_of_bridge(frames: list[traceback.FrameSummary]) -> bool:
    """Returns whether the product, and not a test or the simulator, started the running callback.

    An import is not counted: it happens once.
    """
    if any("importlib" in frame.filename for frame in frames):
        return False
    outside = [frame.filename for frame in frames if os.sep + "asyncio" + os.sep not in frame.filename]
    begun = [name for name in outside if name.startswith(PRODUCT)]
    return bool(begun) and not any(name.startswith(SIMULATOR) for name in begun) and _root(frames) in begun


def _root(frames: list[traceback.FrameSummary]) -> str:
    """The file of the first frame below the loop: that of the task's own coroutine, or of the callback."""
    for number, frame in enumerate(frames):
        if frame.name == "_run" and frame.filename.endswith("events.py"):
            return frames[number + 1].filename if number + 1 < len(frames) else ""
    return ""


class LoopWatch:
    """Calls `report` with CPU seconds and stack when a loop stands still in what `counts`, once for each time."""

    def __init__(
        self,
        report: Callable[[float, str], None],
        counts: Callable[[list[traceback.FrameSummary]], bool] = is_task_of_bridge,
    ) -> None:
        self._report = report
        self._counts = counts
        self._lock = threading.Lock()
        self._watched: dict[int, Watched] = {}
        threading.Thread(target=self._run, name="loop watch", daemon=True).start()

    @contextmanager
    def watching(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Watches a loop that runs in this thread inside of the block."""
        thread = threading.get_ident()
        watched = Watched(loop, thread, time.pthread_getcpuclockid(thread))
        with self._lock:
            self._watched[thread] = watched
        try:
            yield
        finally:
            with self._lock:  # the clock of a thread that has ended must not be read
                del self._watched[thread]

    def _run(self) -> None:
        while True:
            time.sleep(SAMPLE_SECONDS)
            with self._lock:
                for watched in self._watched.values():
                    self._sample(watched)

    def _sample(self, watched: Watched) -> None:
        used = time.clock_gettime(watched.clock)
        if watched.asked_at is None:
            watched.asked_at, watched.stack, watched.is_reported = used, "", False
            try:
                watched.loop.call_soon_threadsafe(self._answer, watched)
            except RuntimeError:  # the loop is closed
                watched.asked_at = None
        elif used - watched.asked_at > SAMPLE_SECONDS:
            frame = sys._current_frames().get(watched.thread)
            if frame is not None:
                self._keep_stack(watched, frame)
            self._judge(watched, used)

    def _keep_stack(self, watched: Watched, frame: FrameType) -> None:
        frames = traceback.StackSummary.extract(traceback.walk_stack(frame), lookup_lines=False)
        frames.reverse()
        if self._counts(frames):
            watched.stack = "".join(traceback.format_list(frames[-12:]))

    def _answer(self, watched: Watched) -> None:
        with self._lock:
            self._judge(watched, time.thread_time())
            watched.asked_at = None

    def _judge(self, watched: Watched, used: float) -> None:
        assert watched.asked_at is not None
        silent = used - watched.asked_at
        if watched.is_reported or not watched.stack or silent <= MAX_SILENT_SECONDS:
            return
        if silent > MAX_SILENT_SECONDS * slowness():
            watched.is_reported = True
            self._report(silent, watched.stack)


def slowness() -> float:
    """Returns how many times longer work takes now than on the machine for which the limit is meant; at least 1."""
    started_at = time.thread_time()
    _do_usual_work()
    return max(1.0, (time.thread_time() - started_at) / USUAL_WORK_SECONDS)


def _do_usual_work() -> None:
    for _ in range(20):
        json.loads(json.dumps({str(number): [number] * 10 for number in range(200)}))


@cache
def start(file: str) -> LoopWatch:
    """Watches every loop that runs in this process from now on."""

    def report(seconds: float, stack: str) -> None:
        with Path(file).open("a") as out:
            out.write(
                f"process {os.getpid()}: {seconds:.2f} s of CPU without a turn of the event loop\n{stack}\n"
            )

    watch = LoopWatch(report)
    original = asyncio.BaseEventLoop.run_forever

    def run_forever(self: asyncio.BaseEventLoop) -> None:
        with watch.watching(self):
            original(self)

    asyncio.BaseEventLoop.run_forever = run_forever  # type: ignore[method-assign]
    return watch


def start_from_environment() -> None:
    """What a launcher of a bridge calls; does nothing where no test watches."""
    if file := os.environ.get(REPORT):
        start(file)
