"""One bridge after another on the same store: each lives until it is killed, and is born in milliseconds.

A fork server imports the bridge once; each life is a fork of it, so that a hundred starts cost seconds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.crash.runner import AT, POINT, live
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.forks import CONTEXT

KILLED, TERMINATED = -signal.SIGKILL, -signal.SIGTERM


@dataclass
class Lives:
    """The bridge of one configuration file. `log` gets the output of all lives."""

    config: Path
    log: Path
    kills: int = 0
    _process: ForkServerProcess | None = None

    def start(self, point: str = "", at: int = 1) -> None:
        """Start a life that ends by itself when it reaches `point` the `at`-th time."""
        assert self._process is None, "it lives already"
        env = {POINT: point, AT: str(at)}
        self._process = CONTEXT.Process(target=_live, args=(self.config, env, self.log), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """Of the life that lives."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    async def dies(self, within: float = MAX_WAIT_SECONDS) -> bool:
        """Whether it reaches its point within so many seconds; then this life is over."""
        process = self._process
        assert process is not None
        await asyncio.to_thread(process.join, within)
        if process.exitcode is None:
            return False
        self._end(KILLED)
        return True

    async def lasts(self, seconds: float) -> None:
        """Let it live for so long, or until it ends by itself."""
        assert self._process is not None
        await asyncio.to_thread(self._process.join, seconds)

    def kill(self) -> None:
        """SIGKILL, as a power cut would; one that was terminated may have ended before."""
        assert self._process is not None
        self._process.kill()
        self._process.join(MAX_WAIT_SECONDS)
        self._end(KILLED, 0, TERMINATED)

    def terminate(self) -> None:
        """SIGTERM; does not wait."""
        assert self._process is not None
        self._process.terminate()

    async def stop(self) -> None:
        """End it in order."""
        process = self._process
        assert process is not None
        process.terminate()
        await asyncio.to_thread(process.join, MAX_WAIT_SECONDS)
        self._end(0)

    def wait_for_log(self, text: str, timeout: float = MAX_WAIT_SECONDS) -> None:
        """Wait until some life has said it."""
        until = time.monotonic() + timeout
        while text not in (self.log.read_text() if self.log.exists() else ""):
            assert time.monotonic() < until, f"no {text!r} in the log:\n{self.log.read_text()[-3000:]}"
            time.sleep(0.02)

    def close(self) -> None:
        """Leave nothing behind."""
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


def _live(config: Path, env: dict[str, str], log: Path) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    live(config, env)
