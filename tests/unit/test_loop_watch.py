"""The watcher of event loops reports the work that keeps a loop from its turns, and nothing else."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback

from tests.support import loop_watch
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.loop_watch import (
    MAX_SILENT_SECONDS,
    PRODUCT,
    SIMULATOR,
    LoopWatch,
    is_task_of_bridge,
    slowness,
)


def work(seconds: float) -> None:
    """Uses so much CPU time in this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class LoopWatchHarness:
    """Runs a coroutine on a watched loop in a thread of its own; `seen` are the reports of the watcher."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, str]] = []
        self.watch = LoopWatch(lambda seconds, stack: self.seen.append((seconds, stack)), counts=bool)

    def run(self, main) -> None:
        def watched() -> None:
            loop = asyncio.new_event_loop()
            with self.watch.watching(loop):
                loop.run_until_complete(main())
            loop.close()

        thread = threading.Thread(target=watched)
        thread.start()
        thread.join(MAX_WAIT_SECONDS)
        assert not thread.is_alive()


def test_work_that_keeps_the_loop_from_its_turns_is_reported_with_its_stack():
    harness = LoopWatchHarness()

    async def main() -> None:
        work(MAX_SILENT_SECONDS * 3 * slowness())

    harness.run(main)
    ((seconds, stack),) = harness.seen
    assert seconds > MAX_SILENT_SECONDS
    assert "in work" in stack


def test_a_slower_machine_has_longer(monkeypatch):
    harness = LoopWatchHarness()
    monkeypatch.setattr(loop_watch, "USUAL_WORK_SECONDS", loop_watch.USUAL_WORK_SECONDS / 1000)

    async def main() -> None:
        work(MAX_SILENT_SECONDS * 3)

    harness.run(main)
    assert harness.seen == []


def test_as_much_work_in_pieces_is_not_reported():
    harness = LoopWatchHarness()

    async def main() -> None:
        for _ in range(30):
            work(MAX_SILENT_SECONDS / 10)
            await asyncio.sleep(0)

    harness.run(main)
    assert harness.seen == []


def test_a_loop_that_waits_for_the_processor_is_not_reported():
    """What other threads use, and the time that passes, do not count."""
    harness = LoopWatchHarness()

    async def main() -> None:
        other = threading.Thread(target=work, args=(MAX_SILENT_SECONDS * 3,))
        other.start()
        other.join()  # the loop stands still, and uses no time of its own

    harness.run(main)
    assert harness.seen == []


def frames(*files: str) -> list[traceback.FrameSummary]:
    return [
        traceback.FrameSummary(file, 1, "_run" if file.endswith("events.py") else "f", lookup_line=False)
        for file in files
    ]


def test_only_tasks_of_the_bridge_count():
    loop = "/usr/lib/python3/asyncio/events.py"
    assert is_task_of_bridge(
        frames("t.py", loop, PRODUCT + "bridge/account.py", "/usr/lib/python3/json/decoder.py")
    )
    assert not is_task_of_bridge(frames("t.py", loop, "tests/a.py", PRODUCT + "bridge/account.py"))
    assert not is_task_of_bridge(frames("t.py", loop, SIMULATOR + "server.py"))
    assert not is_task_of_bridge(
        frames("t.py", loop, PRODUCT + "web/server.py", "<frozen importlib._bootstrap>")
    )
    assert not is_task_of_bridge(frames("t.py", loop))
