"""The bridge without threads and without waits: a test of minutes runs in milliseconds, the same way each time.

    async def test_a_command_expires(...)   # on a `SingleThreadLoop`
        await asyncio.sleep(600)            # returns at once; `loop.time()` and `now_ms()` are 600 s later

`SingleThreadLoop` runs what is meant for a thread at once. `LoopWorker` stands in for the threads of a database: its
jobs run on the loop, grouped into transactions as they are in the thread. Nothing outside of the loop may be waited
for, no socket and no process.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Executor
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import patch

from tests.support.pauseless_loop import PauselessLoop
from wx2mqtt.errors import StoreError
from wx2mqtt.store.database import MAX_JOBS_PER_COMMIT, Job, QueuedJob, RunJobs, _resolve

T = TypeVar("T")

# 2026-11-25T08:00:00Z, the time of day at which every test begins.
FIRST_SECOND = 1_795_593_600


class SingleThreadLoop(PauselessLoop):
    """An event loop without waits and without threads; it also sets the time of day that the product sees."""

    def __init__(self) -> None:
        super().__init__()
        #: Seconds by which the time of day was set forward or back.
        self.wall_shift = 0.0
        #: What happens to the next jobs of the store, by their name; a read has the name `read`.
        #: An error is raised in place of the job; a future is awaited before it.
        self.store_steps: defaultdict[str, deque[Exception | asyncio.Future[None]]] = defaultdict(deque)
        #: How many jobs of each name the store has got.
        self.store_jobs: Counter[str] = Counter()

    def run_in_executor(  # type: ignore[override]  # the base class is typed for its own executor
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is raised where the result is awaited
            future.set_exception(error)
        return future

    def run_forever(self) -> None:
        clock = SimpleNamespace(
            time=self.wall, time_ns=lambda: int(self.wall() * 1e9), clock_gettime=lambda _: self.time(),
            monotonic=self.time, CLOCK_MONOTONIC=time.CLOCK_MONOTONIC,
        )  # fmt: skip
        with patch("wx2mqtt.clock.time", clock), patch("wx2mqtt.store.database._Worker", LoopWorker):
            super().run_forever()

    def wall(self) -> float:
        """Returns seconds since 1970."""
        return FIRST_SECOND + self.time() + self.wall_shift


class LoopWorker:
    """Runs the jobs of a database on the event loop; those that wait at the same time are one group."""

    def __init__(self, name: str, run_jobs: RunJobs, close: Callable[[], None]) -> None:
        self.name = name
        self.is_closed = False
        self._run_jobs = run_jobs
        self._close = close
        self._waiting: deque[QueuedJob] = deque()

    def submit(
        self, name: str, job: Job[T], *, outside_transaction: bool = False, urgent: bool = False
    ) -> asyncio.Future[T]:
        if self.is_closed:
            raise StoreError("The store is closed.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        queued = QueuedJob(name, job, future, outside_transaction)
        assert isinstance(loop, SingleThreadLoop)
        loop.store_jobs[name] += 1
        step = loop.store_steps[name].popleft() if loop.store_steps[name] else None
        if isinstance(step, Exception):
            future.set_exception(step)
        elif step is not None:
            step.add_done_callback(lambda _: self._queue(queued, urgent=urgent))
        else:
            self._queue(queued, urgent=urgent)
        return future

    def _queue(self, job: QueuedJob, *, urgent: bool) -> None:
        if urgent:
            self._waiting.appendleft(job)
        else:
            self._waiting.append(job)
        asyncio.get_running_loop().call_soon(self._run)

    async def end(self) -> None:
        while self._waiting:
            self._run()
        self._close()

    def _run(self) -> None:
        count = min(len(self._waiting), MAX_JOBS_PER_COMMIT)
        jobs = [self._waiting.popleft() for _ in range(count)]
        if jobs:
            _resolve(self._run_jobs(jobs))
