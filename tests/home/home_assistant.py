"""A real Home Assistant as a process that a test controls."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.support.deadlines import MAX_WAIT_SECONDS

DRIVER = Path(__file__).with_name("driver.py")

CONFIGURATION: dict[str, Any] = {
    "homeassistant": {"name": "Home", "time_zone": "UTC", "country": "CN", "language": "en"},
    "api": None,
}


class HomeAssistantProcess:
    """Home Assistant with the folder `folder`, started with `python`. A context manager: it starts and stops it.

    `log` has every line at warning or above since the first start, as `level`, `name`, `text`, `trace`.
    """

    def __init__(
        self, python: str, folder: Path, *, port: int, configuration: dict[str, Any] | None = None
    ) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.log: list[dict[str, str]] = []
        self._python = python
        self._numbers = itertools.count()
        self._lines = threading.Condition()
        self._answers: dict[int, dict[str, Any]] = {}
        self._ready = False
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._stderr = folder / "stderr.log"
        http = {"http": {"server_host": "127.0.0.1", "server_port": port}}
        text = yaml.safe_dump({**CONFIGURATION, **http, **(configuration or {})}, allow_unicode=True)
        (folder / "configuration.yaml").write_text(f"{text}automation: !include automations.yaml\n")
        (folder / "automations.yaml").write_text("[]\n")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    def start(self) -> Self:
        """Starts it and waits until it has started completely."""
        assert self._process is None, "it runs already"
        self._ready = False
        with self._stderr.open("a") as stderr:
            self._process = subprocess.Popen(
                [self._python, str(DRIVER), str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        with self._lines:
            self._lines.wait_for(lambda: self._ready or not self._reader_lives(), 3 * MAX_WAIT_SECONDS)
        assert self._ready, self._stderr.read_text()[-3000:]
        return self

    def stop(self) -> None:
        """Stops it as `ha core stop` does."""
        process, reader = self._process, self._reader
        assert process is not None
        assert reader is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(MAX_WAIT_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
            reader.join(MAX_WAIT_SECONDS)
            process.stdout.close()
            self._process = None

    def restart(self) -> Self:
        self.stop()
        return self.start()

    def do(self, order: str, seconds: float = MAX_WAIT_SECONDS, /, **fields: Any) -> Any:
        """Gives the driver an order; returns its answer."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        number = next(self._numbers)
        process.stdin.write(json.dumps({"do": order, "id": number, **fields}) + "\n")
        process.stdin.flush()
        with self._lines:
            self._lines.wait_for(lambda: number in self._answers or not self._reader_lives(), seconds)
            answer = self._answers.pop(number, {"error": "no answer"})
        assert "error" not in answer, f"{order} {fields}: {answer['error']}"
        return answer["answer"]

    def until(self, template: str, seconds: float = MAX_WAIT_SECONDS) -> None:
        """Waits until a template is true."""
        is_true = self.do("wait", seconds + 5, template="{{ " + template + " }}", seconds=seconds)
        assert is_true, (
            f"never {template}; the states are {json.dumps(self.do('states'), ensure_ascii=False)[:6000]}"
        )

    def call(self, action: str, data: dict[str, Any] | None = None, **target: Any) -> None:
        """Calls an action, `domain.name`."""
        domain, _, name = action.partition(".")
        self.do("call", domain=domain, action=name, data=data or {}, target=target or None)

    def log_lines(self, *names: str) -> list[str]:
        """Returns the log lines of these loggers and those below them; without names, of all."""
        return [
            f"{line['level']} {line['name']}: {line['text']} {line['trace']}".strip()
            for line in self.log
            if not names or any(line["name"].startswith(name) for name in names)
        ]

    def _reader_lives(self) -> bool:
        return self._reader is not None and self._reader.is_alive()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            output_line = json.loads(line)
            with self._lines:
                if "log" in output_line:
                    self.log.append(output_line["log"])
                elif "ready" in output_line:
                    self._ready = True
                else:
                    self._answers[output_line["id"]] = output_line
                self._lines.notify_all()
        with self._lines:
            self._lines.notify_all()
