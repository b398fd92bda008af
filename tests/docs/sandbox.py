"""A sandbox for the commands of the documentation: the demo on iLink, logged in, and a folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.broker import free_port
from tests.support.deadlines import MAX_WAIT_SECONDS

DEFAULT_PORTS = {"phone": "8070", "broker": "1883", "page": "8099"}
WRITE_EVERY_SECONDS = 0.5
"""The person in the demo writes this often, so that somebody who listens hears something."""

CONFIGURATION = """\
mqtt: {{url: "mqtt://127.0.0.1:{broker}"}}
accounts:
  home: {{backend: ilink, endpoint: "http://127.0.0.1:{phone}", contacts: {{me: {{owner: true}}}}}}
web: {{enabled: false}}
storage: {{path: {store}}}
"""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running demo, and the programs with which the commands reach it instead of the usual ports."""

    folder: Path
    ports: dict[str, str]
    http: httpx.Client

    def run(self, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Runs a block of shell in an empty folder with a configuration; the first failure ends it."""
        for name, port in DEFAULT_PORTS.items():
            script = script.replace(port, self.ports[name])
        text = CONFIGURATION.format(**self.ports, store=folder / "store")
        (folder / "wx2mqtt.yaml").write_text(text)
        return subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", script],
            cwd=folder,
            env=self.environment(folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MAX_WAIT_SECONDS,
        )

    def environment(self, folder: Path) -> dict[str, str]:
        programs = (str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"])
        return {"PATH": ":".join(programs), "HOME": str(folder), "LANG": "C.UTF-8", "NO_PROXY": "*"}

    def write_to_bot(self, text: str) -> None:
        """Lets the person write to the bot."""
        answer = self.http.post("/sim/ilink/say", json={"from": "me", "text": text})
        assert answer.status_code == 200, answer.text

    def _link_programs(self) -> None:
        (programs := self.folder / "bin").mkdir()
        port = self.ports["broker"]
        one_message = ["-C", "1", "-W", str(int(MAX_WAIT_SECONDS))]
        for name, extra in {"mosquitto_pub": [], "mosquitto_rr": [], "mosquitto_sub": one_message}.items():
            (program := programs / name).write_text(
                f'#!/bin/sh\nexec {shutil.which(name)} -p {port} {" ".join(extra)} "$@"\n'
            )
            program.chmod(0o755)

    def _log_in(self) -> None:
        steps: tuple[tuple[str, str, dict[str, str]], ...] = (
            ("waiting_for_scan", "scan", {"person": "me"}),
            ("waiting_for_confirm", "confirm", {}),
        )
        for state, step, body in steps:
            self._wait_for_login(state)
            answer = self.http.post(f"/sim/ilink/{step}", json=body)
            assert answer.status_code == 200, answer.text
        self._wait_for_login("online")
        self.write_to_bot("hello")

    def _wait_for_login(self, state: str) -> None:
        command = ["mosquitto_sub", "-p", self.ports["broker"], "-t", "wx/login/state"]
        command += ["-W", str(int(MAX_WAIT_SECONDS))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
            assert listener.stdout is not None
            states = (json.loads(line)["state"] for line in listener.stdout)
            assert next((line for line in states if line == state), None), f"the demo never said {state}"
            listener.terminate()


@contextmanager
def sandbox(folder: Path) -> Iterator[Sandbox]:
    """Starts the demo and logs in; meanwhile the person writes to the bot again and again."""
    ports = {name: str(free_port()) for name in DEFAULT_PORTS}
    options = [
        "--simulator-port",
        ports["phone"],
        "--mqtt-port",
        ports["broker"],
        "--web-port",
        ports["page"],
    ]
    command = [sys.executable, "-m", "wx2mqtt", "demo", *options]
    stopped = threading.Event()
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as demo,
        httpx.Client(
            base_url=f"http://127.0.0.1:{ports['phone']}", trust_env=False, timeout=MAX_WAIT_SECONDS
        ) as http,
    ):
        try:
            assert demo.stdout is not None
            next(line for line in demo.stdout if "Stop with" in line)
            demo_sandbox = Sandbox(folder, ports, http)
            demo_sandbox._link_programs()
            demo_sandbox._log_in()

            def write_repeatedly() -> None:
                while not stopped.wait(WRITE_EVERY_SECONDS):
                    demo_sandbox.write_to_bot("hello")

            (writer := threading.Thread(target=write_repeatedly)).start()
            try:
                yield demo_sandbox
            finally:
                stopped.set()
                writer.join()
        finally:
            demo.terminate()
