"""Other people's clients of web WeChat and of iLink, as they are published: installed once into `.cache/clients`.

`python -m tests.support.clients` installs all of them beforehand; else a test does it when it needs one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(os.environ.get("WX2MQTT_TEST_CLIENTS", Path(__file__).parents[2] / ".cache" / "clients"))

Installer = Callable[[Path, tuple[str, ...]], list[str]]


def _pip(folder: Path, packages: tuple[str, ...]) -> list[str]:
    return [
        *(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"),
        *("--root-user-action", "ignore", "--no-deps", "--target", str(folder), *packages),
    ]


def _npm(folder: Path, packages: tuple[str, ...]) -> list[str]:
    """Without the hosts that a plugin names as peers: they are large, and a test has its own."""
    return [
        *("npm", "install", "--silent", "--no-audit", "--no-fund", "--legacy-peer-deps"),
        *("--prefix", str(folder), *packages),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client. `packages` are pinned; those of Python with all that they need and this project does not."""

    name: str
    program: str
    command: Installer
    packages: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where it is, or will be."""
        return FOLDER / self.name

    def install(self) -> str:
        """See that it is there; returns why it is not, else nothing."""
        done = self.folder / "complete"
        if done.exists() and done.read_text() == repr(self.packages):
            return ""
        if shutil.which(self.program) is None:
            return f"{self.name} needs {self.program}, which is not installed"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        run = subprocess.run(
            self.command(self.folder, self.packages), capture_output=True, text=True, timeout=240, check=False
        )
        if run.returncode:
            return f"{self.name} cannot be installed: {run.stderr.strip()[-300:]}"
        done.write_text(repr(self.packages))
        return ""


_REQUESTS = (
    "requests==2.32.5",
    "urllib3==2.5.0",
    "idna==3.10",
    "certifi==2025.8.3",
    "charset-normalizer==3.4.3",
    "pyqrcode==1.2.1",
    "pypng==0.20220715.0",
)

CLIENTS = {
    client.name: client
    for client in (
        Client(name="itchat", program="python3", command=_pip, packages=("itchat==1.3.10", *_REQUESTS)),
        Client(
            name="itchat-uos", program="python3", command=_pip, packages=("itchat-uos==1.4.1", *_REQUESTS)
        ),
        Client(name="wechat4u", program="npm", command=_npm, packages=("wechat4u@0.7.14",)),
        Client(
            name="openclaw-weixin",
            program="npm",
            command=_npm,
            packages=("@tencent-weixin/openclaw-weixin@2.4.9", "silk-wasm@3.7.1"),
        ),
        Client(
            name="weixin-ilink-client",
            program="python3",
            command=_pip,
            packages=("weixin-ilink-client==0.1.3",),
        ),
        Client(
            name="weixin-ilink",
            program="python3",
            command=_pip,
            packages=("weixin-ilink==0.3.5", *_REQUESTS),
        ),
    )
}


def main() -> int:
    """Install all; 1 when one of them is not to be had."""
    problems = [problem for client in CLIENTS.values() if (problem := client.install())]
    sys.stderr.write("".join(f"{problem}\n" for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
