"""What the receiver of a file sees as its name: no path, nothing that hides or turns around what it is. Pure.

A name that the command gives must be good as it stands; one that a path or an address ends with is made good.
"""

from __future__ import annotations

import re
import unicodedata

from wx2mqtt.errors import BadCommand

LONGEST = 240  # bytes of UTF-8; file systems have names of up to 255
ANYTHING = ".bin"  # the ending of what nobody knows; to a name that was given it adds nothing

_EXTENSION = re.compile(r"\.[0-9A-Za-z]{1,12}$")
_JOINERS = "\u200c\u200d"  # they hold letters and emoji together; every other mark without a shape goes
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def check_name(name: str) -> None:
    """Raise `BadCommand` for a name that is none."""
    if len(name.encode("utf-8", "replace")) > LONGEST:
        raise BadCommand("bad_command", "name_too_long", limit=LONGEST)
    if name in {".", ".."} or "/" in name or "\\" in name or not all(map(_shows, name)):
        raise BadCommand("bad_command", "bad_name")


def clean(name: str) -> str:
    """The last part of a path as a good name; empty when nothing is left."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    shown = " ".join("".join(filter(_shows, last)).split())
    return _cut(shown) if shown.strip(". ") else ""


def named(given: str, found: str, kind: str, ending: str) -> str:
    """The name of a file: as given, else as found, else by its kind; with the ending if it has none."""
    name = given.strip() or clean(found)
    if name and (_EXTENSION.search(name) or ending == ANYTHING):
        return name
    return _cut(f"{name or kind}{ending}")


def _shows(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character) not in _INVISIBLE


def _cut(name: str) -> str:
    """Cut before the extension, between characters."""
    found = _EXTENSION.search(name)
    ending = found[0] if found else ""
    room = LONGEST - len(ending)
    stem = name.removesuffix(ending).encode("utf-8", "replace")
    if len(stem) <= room:
        return name
    return stem[:room].decode("utf-8", "ignore").rstrip(f". {_JOINERS}") + ending
