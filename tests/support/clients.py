"""Other people's clients of web WeChat, iLink, WeCom, ntfy and Gotify, and ESPHome, as published: installed once into
`.cache/clients`.

The folder of each in `tests/scenarios/clients` has a lock with hashes, of the client and of all that it needs and this
project does not. `python -m tests.support.clients` installs all of them beforehand; else a test does it when it needs one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(os.environ.get("WX2MQTT_TEST_CLIENTS", Path(__file__).parents[2] / ".cache" / "clients"))
LOCKS = Path(__file__).parents[1] / "scenarios" / "clients"

Installer = Callable[[Path], list[str]]


def pip(folder: Path) -> list[str]:
    """Returns the command that installs the lock in the folder; three packages come as sources only.

    aiontfy asks for Python 3.12, and runs on 3.11 as well.
    """
    return [
        *(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"),
        *("--root-user-action", "ignore", "--no-deps", "--require-hashes", "--ignore-requires-python"),
        *("--only-binary=:all:", "--no-binary=pyqrcode,esptool,paho-mqtt", "--no-build-isolation"),
        *("--target", str(folder), "-r", str(folder / "requirements.lock")),
    ]


def npm(folder: Path) -> list[str]:
    """Returns the command that installs the lock in the folder.

    It leaves out peer dependencies of plugins, which are large; a test has its own.
    """
    return [
        *("npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--legacy-peer-deps"),
        *("--prefix", str(folder)),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client. `program` must be on this machine; `command` installs the lock."""

    name: str
    program: str
    command: Installer

    @property
    def folder(self) -> Path:
        """The folder into which the client is installed."""
        return FOLDER / self.name

    @property
    def locks(self) -> list[Path]:
        """The lock files of the client."""
        return sorted((LOCKS / self.name).iterdir())

    def install(self) -> str:
        """Installs the client if necessary; returns why that failed, else an empty text."""
        wanted = hashlib.sha256(b"".join(file.read_bytes() for file in self.locks)).hexdigest()
        done = self.folder / "complete"
        if done.exists() and done.read_text() == wanted:
            return ""
        if shutil.which(self.program) is None:
            return f"{self.name} needs {self.program}, which is not installed"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for file in self.locks:
            shutil.copy(file, self.folder)
        run = subprocess.run(
            self.command(self.folder), capture_output=True, text=True, timeout=240, check=False
        )
        if run.returncode:
            return f"{self.name} cannot be installed: {run.stderr.strip()[-300:]}"
        done.write_text(wanted)
        return ""


CLIENTS = {
    client.name: client
    for client in (
        Client(name="itchat", program="python3", command=pip),
        Client(name="itchat-uos", program="python3", command=pip),
        Client(name="wechat4u", program="npm", command=npm),
        Client(name="openclaw-weixin", program="npm", command=npm),
        Client(name="weixin-ilink-client", program="python3", command=pip),
        Client(name="weixin-ilink", program="python3", command=pip),
        Client(name="aibot-node-sdk", program="npm", command=npm),
        Client(name="wecom-aibot-sdk", program="python3", command=pip),
        Client(name="wecom-aibot-python-sdk", program="python3", command=pip),
        Client(name="senders-python", program="python3", command=pip),
        Client(name="senders-node", program="npm", command=npm),
    )
}


# The program that checks the ESPHome configuration of a documentation page.
ESPHOME = Client(name="esphome", program="python3", command=pip)


def main() -> int:
    """Installs all clients; returns 1 when one of them cannot be installed."""
    problems = [problem for client in (*CLIENTS.values(), ESPHOME) if (problem := client.install())]
    sys.stderr.write("".join(f"{problem}\n" for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
