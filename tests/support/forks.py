"""Bridges as forks of a server that has imported everything: a start takes milliseconds instead of half a second.

A fork has its own process id, environment, signals and output like a started program. Under coverage programs are
started as usual, because coverage does not measure forks.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.crash.runner", "wx2mqtt.cli.main", "wx2mqtt.__main__"])
MEASURED = "COVERAGE_PROCESS_CONFIG" in os.environ


class ForkedProgram:
    """`wx2mqtt ARGUMENTS` in a fork; the part of `subprocess.Popen` that `BridgeProcess` uses."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        reader, writer = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(target=_run, args=(list(arguments), dict(env), writer), daemon=True)
        self._process.start()
        writer.close()
        self.stdout: io.TextIOBase = os.fdopen(os.dup(reader.fileno()))
        reader.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Returns the exit code, or minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Returns the exit code. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("wx2mqtt", timeout)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


def _run(arguments: list[str], env: dict[str, str], output: Connection) -> None:
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    output.close()
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - those of the server believe in its output
    sys.stderr = open(2, "w", closefd=False, buffering=1, errors="backslashreplace")  # noqa: SIM115
    sys.argv = ["wx2mqtt", *arguments]
    from wx2mqtt.__main__ import main

    main()
