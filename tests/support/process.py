"""The bridge as a process: start, stop, kill, and its log."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.forks import MEASURED, ForkedProgram
from tests.support.postgresql import storage_settings


class BridgeProcess:
    """`wx2mqtt run -c FILE` on a store in `folder`; `settings` is the configuration as a mapping.

    `log` holds every line of its output since the first start. Use as a context manager: it starts, and stops.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        *,
        env: dict[str, str] | None = None,
        program: list[str] | None = None,
    ) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.config = folder / "wx2mqtt.yaml"
        self.log: list[str] = []
        self.storage = storage_settings(self.store)
        self._env = env or {}
        self.program = program or ([sys.executable, "-m", "wx2mqtt", "run"] if MEASURED else None)
        self._lines = threading.Condition()
        self._process: subprocess.Popen[str] | ForkedProgram | None = None
        self._reader: threading.Thread | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(settings)

    def configure(self, settings: dict[str, Any]) -> None:
        """Writes another configuration."""
        whole = {
            "storage": self.storage,
            "log": {"level": "debug", "format": "json"},
            **settings,
            "web": {"listen": "127.0.0.1:0", **settings.get("web", {})},  # anybody may have 8099
        }
        self.config.write_text(yaml.safe_dump(whole, allow_unicode=True, sort_keys=False))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()
        if error is not None:
            print("\n".join(self.log[-60:]))  # noqa: T201 - pytest shows it with the failure

    def start(self, **env: str) -> Self:
        """Starts the process, and does not wait until the bridge is ready."""
        assert self._process is None, "it runs already"
        keep = {
            name: value for name, value in os.environ.items() if not name.startswith(("WX2MQTT_", "NOTIFY_"))
        }
        environment, arguments = {**keep, **self._env, **env}, ["-c", str(self.config)]
        self._process = (
            ForkedProgram(["run", *arguments], environment)
            if self.program is None
            else subprocess.Popen(
                [*self.program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
            )
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        return self

    @property
    def pid(self) -> int:
        """The id of the running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> int:
        """Sends SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM)

    def close(self) -> None:
        """Stops the process if it was started, also when it has ended by itself."""
        if self._process is not None:
            self.stop()

    def kill(self) -> int:
        """Sends SIGKILL; returns the exit code."""
        return self._end(signal.SIGKILL)

    def hangup(self) -> None:
        """Sends SIGHUP, which reloads the configuration."""
        os.kill(self.pid, signal.SIGHUP)

    def wait(self, timeout: float = MAX_WAIT_SECONDS) -> int:
        """Waits until the process ends by itself; returns the exit code."""
        return self._end(None, timeout)

    def wait_for_log(self, text: str, *, since: int = 0, timeout: float = MAX_WAIT_SECONDS) -> str:
        """Waits for the first line of the log with `text`, at or after line number `since`; returns it."""
        with self._lines:
            found = self._lines.wait_for(
                lambda: next((line for line in self.log[since:] if text in line), None), timeout
            )
        assert found is not None, f"no {text!r} in the log:\n" + "\n".join(self.log[-30:])
        return found

    def _read(self, process: subprocess.Popen[str] | ForkedProgram) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._lines:
                self.log.append(line.rstrip())
                self._lines.notify_all()

    def _end(self, how: signal.Signals | None, timeout: float = MAX_WAIT_SECONDS) -> int:
        process, reader = self._process, self._reader
        assert process is not None
        assert reader is not None
        if how is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(how)
        try:
            code = process.wait(timeout)
        finally:
            if process.poll() is None:
                process.kill()
            reader.join(MAX_WAIT_SECONDS)
            assert process.stdout is not None
            process.stdout.close()
            self._process = None
        return code
