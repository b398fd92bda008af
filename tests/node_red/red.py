"""A real Node-RED as a process: it starts, stops, deploys flows, presses their buttons, and reads their output."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.node_red.installed import PROGRAM
from tests.support.broker import free_port
from tests.support.deadlines import MAX_WAIT_SECONDS

SETTINGS = Path(__file__).with_name("settings.js")
ERROR, WARNING = 20, 30  # Node-RED's levels: the smaller, the worse

OutputEntry = dict[str, Any]
Nodes = list[dict[str, Any]]


class NodeRed:
    """Node-RED with the user folder `folder`, at `url`. A context manager: it starts and stops it.

    `output` has all output since the first start: `what` is `debug` (with `name`, `text`) or `log` (with `level`).
    `expected_complaints` are those that a test causes on purpose.
    """

    def __init__(self, folder: Path, *, editor: bool = False) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output: list[OutputEntry] = []
        self.expected_complaints: set[str] = set()
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=MAX_WAIT_SECONDS)
        self._editor = editor
        self._more = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()
        self.http.close()

    def start(self) -> Self:
        """Starts it and waits until its flows run."""
        assert self._process is None, "it runs already"
        command = ["node", str(PROGRAM), "--settings", str(SETTINGS), "--userDir", str(self.folder)]
        self._process = subprocess.Popen(
            [*command, "--port", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "WITH_EDITOR": str(int(self._editor)), "NODE_OPTIONS": ""},
        )
        since = len(self.output)
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self.wait(lambda entry: entry["text"] == "Started flows", since=since)
        return self

    def stop(self) -> None:
        """Stops it with SIGTERM, as a service is stopped."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kills it, as a power cut does."""
        self._end(signal.SIGKILL)

    def deploy(self, nodes: Nodes) -> None:
        """Replaces all flows, and waits until they run and are connected to the broker."""
        since = len(self.output)
        answer = self.http.post("/flows", json=nodes, headers={"Node-RED-Deployment-Type": "full"})
        assert answer.status_code == 204, answer.text
        self.wait(lambda entry: entry["text"] == "Started flows", since=since)
        if nodes:
            self.wait(lambda entry: entry["text"].startswith("Connected to broker"), since=since)

    def press(self, node: str) -> None:
        """Presses the button of an inject node."""
        answer = self.http.post(f"/inject/{node}")
        assert answer.status_code == 200, answer.text

    def wait(
        self, fits: Callable[[OutputEntry], bool], *, since: int = 0, timeout: float = MAX_WAIT_SECONDS
    ) -> OutputEntry:
        """Waits for output that fits, at or after number `since`; returns it."""
        with self._more:
            found = self._more.wait_for(
                lambda: next((entry for entry in self.output[since:] if fits(entry)), None), timeout
            )
        assert found is not None, "Node-RED did not tell it; the last was:\n" + "\n".join(
            map(str, self.output[-20:])
        )
        return found

    def shown(self, name: str, text: str = "", *, since: int = 0) -> str:
        """Waits until the debug node of this name shows something with `text` in it; returns it."""
        return str(
            self.wait(
                lambda entry: (
                    entry["what"] == "debug" and entry.get("name") == name and text in entry["text"]
                ),
                since=since,
            )["text"]
        )

    def all_shown(self, name: str, *, since: int = 0) -> list[str]:
        """Returns all that the debug node of this name has shown so far."""
        return [
            entry["text"]
            for entry in self.output[since:]
            if entry["what"] == "debug" and entry.get("name") == name
        ]

    def complaints(self) -> list[str]:
        """Returns the errors, and the warnings of nodes, so far."""
        logged = [entry for entry in self.output if entry["what"] == "log"]
        texts = [
            entry["text"] for entry in logged if entry["level"] <= (WARNING if entry.get("node") else ERROR)
        ]
        return [text for text in texts if not any(expected in text for expected in self.expected_complaints)]

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            matched = re.match(r"@(\{.*\})$", line)
            entry = (
                json.loads(matched[1]) if matched else {"what": "log", "level": ERROR, "text": line.rstrip()}
            )
            with self._more:
                self.output.append(entry)
                self._more.notify_all()

    def _end(self, signal_number: signal.Signals) -> None:
        process, reader = self._process, self._reader
        assert process is not None
        assert reader is not None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal_number)
        try:
            process.wait(MAX_WAIT_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
            reader.join(MAX_WAIT_SECONDS)
            assert process.stdout is not None
            process.stdout.close()
            self._process = None
