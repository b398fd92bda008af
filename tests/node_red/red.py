"""A real Node-RED as a process of its own: start, stop, deploy flows, press their buttons, hear what they show."""

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

Told = dict[str, Any]
Nodes = list[dict[str, Any]]


class NodeRed:
    """Node-RED on `folder`, at `url`. Use as a context manager: it starts, and stops.

    `told` is what it told since the first start: `what` is `debug` (with `name`, `text`) or `log` (with `level`).
    `meant` are complaints that a test means to provoke.
    """

    def __init__(self, folder: Path, *, editor: bool = False) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.told: list[Told] = []
        self.meant: set[str] = set()
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
        """Start it and wait until its flows run."""
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
        since = len(self.told)
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self.wait(lambda one: one["text"] == "Started flows", since=since)
        return self

    def stop(self) -> None:
        """In order, as a service is stopped."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut would."""
        self._end(signal.SIGKILL)

    def deploy(self, nodes: Nodes) -> None:
        """Replace all flows, and wait until they run and the broker has let them in."""
        since = len(self.told)
        answer = self.http.post("/flows", json=nodes, headers={"Node-RED-Deployment-Type": "full"})
        assert answer.status_code == 204, answer.text
        self.wait(lambda one: one["text"] == "Started flows", since=since)
        if nodes:
            self.wait(lambda one: one["text"].startswith("Connected to broker"), since=since)

    def push(self, node: str) -> None:
        """Press the button of an inject node."""
        answer = self.http.post(f"/inject/{node}")
        assert answer.status_code == 200, answer.text

    def wait(
        self, fits: Callable[[Told], bool], *, since: int = 0, timeout: float = MAX_WAIT_SECONDS
    ) -> Told:
        """The first thing told that fits, at or after number `since`."""
        with self._more:
            found = self._more.wait_for(
                lambda: next((one for one in self.told[since:] if fits(one)), None), timeout
            )
        assert found is not None, "Node-RED did not tell it; the last was:\n" + "\n".join(
            map(str, self.told[-20:])
        )
        return found

    def shown(self, name: str, text: str = "", *, since: int = 0) -> str:
        """The first that the debug node of this name shows with `text` in it."""
        return str(
            self.wait(
                lambda one: one["what"] == "debug" and one.get("name") == name and text in one["text"],
                since=since,
            )["text"]
        )

    def all_shown(self, name: str, *, since: int = 0) -> list[str]:
        """Everything so far that the debug node of this name showed."""
        return [
            one["text"] for one in self.told[since:] if one["what"] == "debug" and one.get("name") == name
        ]

    def complaints(self) -> list[str]:
        """Errors, and warnings of nodes, so far."""
        logged = [one for one in self.told if one["what"] == "log"]
        bad = [one["text"] for one in logged if one["level"] <= (WARNING if one.get("node") else ERROR)]
        return [text for text in bad if not any(meant in text for meant in self.meant)]

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            told = re.match(r"@(\{.*\})$", line)
            one = json.loads(told[1]) if told else {"what": "log", "level": ERROR, "text": line.rstrip()}
            with self._more:
                self.told.append(one)
                self._more.notify_all()

    def _end(self, how: signal.Signals) -> None:
        process, reader = self._process, self._reader
        assert process is not None
        assert reader is not None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            process.wait(MAX_WAIT_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
            reader.join(MAX_WAIT_SECONDS)
            assert process.stdout is not None
            process.stdout.close()
            self._process = None
