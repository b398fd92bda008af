"""What a release needs to be true: `python -m tests.release`.

- `address https://github.com/OWNER/NAME` writes where this repository is into every file that says it, and prints
  those files and the link that adds the repository to somebody's Home Assistant.
  `wx2mqtt.REPOSITORY` is the address; wherever else it stands, it is the same. The images are named after it.
- `check v1.2.3` says what is missing for a release with that tag; exit code 0: nothing, 1: something.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import yaml

from wx2mqtt import REPOSITORY, __version__

ROOT = Path(__file__).parents[1]

UNPUBLISHED = "https://repository.invalid/wx2mqtt"
_GITHUB = re.compile(r"https://github\.com/([A-Za-z0-9-]+/[A-Za-z0-9._-]+)")


def image_of(address: str) -> str:
    """Returns the name of the image that a release of this repository publishes."""
    found = _GITHUB.fullmatch(address)
    return f"ghcr.io/{found[1].lower()}" if found else "registry.invalid/wx2mqtt"


def store_link(address: str) -> str:
    """Returns the link that offers this repository to the store of whoever follows it, in their Home Assistant."""
    redirect = "https://my.home-assistant.io/redirect/supervisor_add_addon_repository/"
    return f"{redirect}?repository_url={quote(address, safe='')}"


def renamed(text: str, old: str, new: str) -> str:
    """Returns the text with the new address, also where it is a part of another one or the name of an image."""
    pairs = [(old, new), (quote(old, safe=""), quote(new, safe="")), (image_of(old), image_of(new))]
    for before, after in pairs:
        text = re.sub(rf"{re.escape(before)}(?![\w.-])", after, text)
    return text


def tracked_files() -> list[Path]:
    """Returns the text files of the repository, but for this one, which names the placeholder itself."""
    listing = subprocess.check_output(["git", "grep", "-lI", ""], cwd=ROOT, text=True)
    return [ROOT / name for name in listing.splitlines() if ROOT / name != Path(__file__)]


def write_address(address: str) -> None:
    for file in tracked_files():
        text = file.read_text(encoding="utf-8")
        if (changed := renamed(text, REPOSITORY, address)) != text:
            file.write_text(changed, encoding="utf-8")
            sys.stdout.write(f"{file.relative_to(ROOT)}\n")
    sys.stdout.write(f"{store_link(address)}\n")


def release_problems(
    tag: str, *, version: str, changelog: str, addon_version: str, address: str
) -> list[str]:
    """Returns what is missing for a release with this tag."""
    problems = []
    if tag != f"v{version}":
        problems.append(f"the tag is {tag}, and wx2mqtt.__version__ is {version}")
    if addon_version != version:
        problems.append(f"the version of the add-on is {addon_version}, and wx2mqtt.__version__ is {version}")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        problems.append(
            f"CHANGELOG.md has no section [{version}] with a date: write it instead of Unreleased"
        )
    if address == UNPUBLISHED:
        problems.append("no address is stated: make address URL=https://github.com/OWNER/NAME")
    return problems


def check(tag: str) -> int:
    addon = yaml.safe_load((ROOT / "deploy/home-assistant-addon/config.yaml").read_text(encoding="utf-8"))
    problems = release_problems(
        tag,
        version=__version__,
        changelog=(ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        addon_version=addon["version"],
        address=REPOSITORY,
    )
    sys.stderr.write("".join(f"{problem}\n" for problem in problems))
    return 1 if problems else 0


def main(arguments: list[str]) -> int:
    match arguments:
        case ["address", url] if _GITHUB.fullmatch(url):
            write_address(url)
            return 0
        case ["address", *_]:
            sys.stderr.write("make address URL=https://github.com/OWNER/NAME\n")
            return 2
        case ["check", tag]:
            return check(tag)
        case _:
            sys.stderr.write(str(__doc__))
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
