"""A bridge that is started on the same store again and again, and killed each time.

A fork server imports the bridge once; each process is a fork of it, so that a hundred starts take seconds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.crash.runner import AT, POINT, run_bridge
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.forks import CONTEXT

KILLED, TERMINATED = -signal.SIGKILL, -signal.SIGTERM


@dataclass
class KillableBridge:
    """The bridge of one configuration file. `log` gets the output of all its processes."""

    config: Path
    log: Path
    kills: int = 0
    _process: ForkServerProcess | None = None

    def start(self, point: str = "", at: int = 1) -> None:
        """Starts a process that kills itself when it reaches `point` the `at`-th time."""
        assert self._process is None, "it runs already"
        env = {POINT: point, AT: str(at)}
        self._process = CONTEXT.Process(target=_run_bridge, args=(self.config, env, self.log), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    async def reaches_point(self, within: float = MAX_WAIT_SECONDS) -> bool:
        """Returns whether the process kills itself at its point within so many seconds."""
        process = self._process
        assert process is not None
        await asyncio.to_thread(process.join, within)
        if process.exitcode is None:
            return False
        self._end(KILLED)
        return True

    async def run_for(self, seconds: float) -> None:
        """Waits for so many seconds, or until the process ends by itself."""
        assert self._process is not None
        await asyncio.to_thread(self._process.join, seconds)

    def kill(self) -> None:
        """Sends SIGKILL; a process that was terminated before may have ended already."""
        assert self._process is not None
        self._process.kill()
        self._process.join(MAX_WAIT_SECONDS)
        self._end(KILLED, 0, TERMINATED)

    def terminate(self) -> None:
        """Sends SIGTERM and does not wait."""
        assert self._process is not None
        self._process.terminate()

    async def stop(self) -> None:
        """Sends SIGTERM and waits for the end."""
        process = self._process
        assert process is not None
        process.terminate()
        await asyncio.to_thread(process.join, MAX_WAIT_SECONDS)
        self._end(0)

    def wait_for_log(self, text: str, timeout: float = MAX_WAIT_SECONDS) -> None:
        """Waits until a process has logged this text."""
        until = time.monotonic() + timeout
        while text not in (self.log.read_text() if self.log.exists() else ""):
            assert time.monotonic() < until, f"no {text!r} in the log:\n{self.log.read_text()[-3000:]}"
            time.sleep(0.02)

    def close(self) -> None:
        """Kills the process if one still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.join(MAX_WAIT_SECONDS)
            self._process = None

    def _end(self, *wanted: int) -> None:
        process, self._process = self._process, None
        assert process is not None
        self.kills += process.exitcode == KILLED
        code = process.exitcode
        process.close()
        assert code in wanted, f"ended with {code}:\n{self.log.read_text()[-3000:]}"


def _run_bridge(config: Path, env: dict[str, str], log: Path) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    run_bridge(config, env)
