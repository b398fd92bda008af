"""Runs commands of `wx2mqtt` as processes in a folder, as a person at a terminal does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.forks import program_with, run_program

REAL = (sys.executable, "-m", "wx2mqtt")


@dataclass(frozen=True, slots=True)
class Done:
    """The exit code and the output of a command that has ended."""

    code: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """The lines on stderr without the log."""
        return [line for line in self.err.splitlines() if not line.startswith("{")]


class Running:
    """A running command; `said` has the lines of its output so far, of both streams."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.said: list[str] = []
        self._process = process
        self._lines = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def until(self, text: str) -> str:
        """Waits for the first line with `text`; returns it."""
        with self._lines:
            found = self._lines.wait_for(lambda: self._find(text), MAX_WAIT_SECONDS)
        assert found, f"it never said {text!r}:\n" + "\n".join(self.said)
        return found

    def end(self, how: signal.Signals | None = None, seconds: float = MAX_WAIT_SECONDS) -> int:
        """Sends a signal, or lets the command end by itself; returns the exit code."""
        if how is not None and self._process.poll() is None:
            self._process.send_signal(how)
        try:
            return self._process.wait(seconds)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._reader.join(MAX_WAIT_SECONDS)
            assert self._process.stdout is not None
            self._process.stdout.close()

    def _find(self, text: str) -> str | None:
        found = next((line for line in self.said if text in line), None)
        if found is None and not self._reader.is_alive():
            raise AssertionError(f"it ended without saying {text!r}:\n" + "\n".join(self.said))
        return found

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._lines:
                self.said.append(line.rstrip())
                self._lines.notify_all()
        with self._lines:
            self._lines.notify_all()


class Terminal:
    """Runs commands in `folder`, which is also their home; their temporary files are in `folder/tmp`.

    They are forks (`tests.support.forks`), or started as the command `program`. `prepare` is code that runs
    before, in their process.
    """

    def __init__(
        self, folder: Path, program: Sequence[str | Path] | None = None, *, prepare: str = ""
    ) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self._forked = program is None
        self._prepare = prepare
        self.program = [str(part) for part in program or program_with(prepare)]
        kept = ("PATH", "LANG", "LC_ALL", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
        self.env = {name: os.environ[name] for name in kept if name in os.environ}
        self.env |= {"HOME": str(folder), "TMPDIR": str(self.temporary), "PYTHONWARNINGS": "error"}
        self.env |= {"WX2MQTT_WEB__LISTEN": "127.0.0.1:0"}  # port 8099 may be in use

    def file(self, text: str, name: str = "wx2mqtt.yaml") -> Path:
        """Writes a configuration."""
        path = self.folder / name
        path.write_text(text)
        return path

    def run(self, *arguments: str | Path, data: bytes = b"", seconds: float = MAX_WAIT_SECONDS) -> Done:
        """Runs a command to its end, with `data` as its input; as a fork unless a program was named."""
        if self._forked:
            words = [str(argument) for argument in arguments]
            done = run_program(
                words, env=self.env, folder=self.folder, data=data, prepare=self._prepare, timeout=seconds
            )
        else:
            done = subprocess.run(
                self._command(arguments),
                input=data,
                capture_output=True,
                check=False,
                timeout=seconds,
                cwd=self.folder,
                env=self.env,
            )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    @contextlib.contextmanager
    def running(self, *arguments: str | Path) -> Iterator[Running]:
        """Runs a command inside of the block; it is killed at the end."""
        process = subprocess.Popen(
            self._command(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self.env,
        )
        running = Running(process)
        try:
            yield running
        finally:
            running.end(signal.SIGKILL)

    def _command(self, arguments: Sequence[str | Path]) -> list[str]:
        return [*self.program, *(str(argument) for argument in arguments)]
