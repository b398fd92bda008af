"""The address of the project in all files that name it: `python -m tests.address https://github.com/OWNER/NAME`.

`wx2mqtt.REPOSITORY` is the address; wherever else it stands, it is the same. The name of the images follows from it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from wx2mqtt import REPOSITORY

ROOT = Path(__file__).parents[1]

UNPUBLISHED = "https://repository.invalid/wx2mqtt"
_GITHUB = re.compile(r"https://github\.com/([A-Za-z0-9-]+/[A-Za-z0-9._-]+)")


def image_of(address: str) -> str:
    """Returns the name of the image that a release of this repository publishes."""
    found = _GITHUB.fullmatch(address)
    return f"ghcr.io/{found[1].lower()}" if found else "registry.invalid/wx2mqtt"


def renamed(text: str, old: str, new: str) -> str:
    """Returns the text with the new address, also where it is a part of another one or the name of an image."""
    pairs = [(old, new), (quote(old, safe=""), quote(new, safe="")), (image_of(old), image_of(new))]
    for before, after in pairs:
        text = re.sub(rf"{re.escape(before)}(?![\w.-])", after.replace("\\", r"\\"), text)
    return text


def tracked_files() -> list[Path]:
    """Returns the text files of the repository, but for this one, which names the placeholder itself."""
    listing = subprocess.check_output(["git", "grep", "-lI", ""], cwd=ROOT, text=True)
    return [ROOT / name for name in listing.splitlines() if ROOT / name != Path(__file__)]


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or _GITHUB.fullmatch(arguments[0]) is None:
        sys.stderr.write("make address URL=https://github.com/OWNER/NAME\n")
        return 2
    for file in tracked_files():
        text = file.read_text(encoding="utf-8")
        if (changed := renamed(text, REPOSITORY, arguments[0])) != text:
            file.write_text(changed, encoding="utf-8")
            sys.stdout.write(f"{file.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
