"""Node-RED as `package-lock.json` beside this file pins it, installed once into `.cache/node-red`.

`python -m tests.node_red.installed` does it beforehand.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / ".cache" / "node-red"
PROGRAM = FOLDER / "node_modules" / "node-red" / "red.js"
FILES = ("package.json", "package-lock.json")


def install() -> str:
    """Installs Node-RED if it is missing; returns why that failed, else an empty text."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: apt-get install nodejs npm)"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _install()


def _install() -> str:
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in FILES)).hexdigest()
    marker = FOLDER / "complete"
    if marker.exists() and marker.read_text() == digest:
        return ""
    for name in FILES:
        shutil.copy(HERE / name, FOLDER / name)
    command = [
        "npm",
        "ci",
        "--omit=optional",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]
    run = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=240, check=False)
    if run.returncode:
        return f"Node-RED cannot be installed: {run.stderr.strip()[-500:]}"
    marker.write_text(digest)
    return ""


def main() -> int:
    """Installs Node-RED; returns 1 when that failed."""
    problem = install()
    sys.stderr.write(f"{problem}\n" if problem else "")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
