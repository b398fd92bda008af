r"""Texts of people: names in composed form, names of files, and any text on one printable line.

The rules for names of files are the same for files that come in and for files that go out: every harmless
character stays. What goes are `/` and `\`, control characters, and marks that turn the writing direction and
so hide an extension.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping

from wx2mqtt.limits import MAX_FILENAME_BYTES, MAX_MARKS_IN_A_ROW

MAX_EXTENSION_CHARACTERS = 12  # a longer text after the last dot is no extension

_SEPARATORS = re.compile(r"[\\/]")
_EXTENSION = re.compile(rf"\.([0-9A-Za-z]{{1,{MAX_EXTENSION_CHARACTERS}}})$")  # .jpg
# Unicode categories: control characters, surrogates and line ends; formats and spaces.
_CONTROL_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_INVISIBLE_CATEGORIES = frozenset({"Cf", "Zs"})
_DIRECTION_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SHORT_NAME_CHARACTERS = 500  # NFC takes less than a millisecond for so few characters, whatever they are
_JOINERS = "\u200c\u200d"  # they hold letters and emoji together; a cut must not leave one at the end


def composed(name: str) -> str:
    """Returns a name in NFC; a long name loses the marks beyond `MAX_MARKS_IN_A_ROW` on one letter.

    NFC sorts the marks in a row, in a time that grows with the square of their number: 50,000 take a second.
    """
    if len(name) > _SHORT_NAME_CHARACTERS and not name.isascii():
        name = _with_few_marks(name)
    return unicodedata.normalize("NFC", name)


def _with_few_marks(name: str) -> str:
    kept = []
    mark_count = 0
    for character in name:
        # All characters that NFC sorts are marks: their categories begin with M.
        mark_count = mark_count + 1 if unicodedata.category(character)[0] == "M" else 0
        if mark_count <= MAX_MARKS_IN_A_ROW:
            kept.append(character)
    return "".join(kept)


def printable(text: str) -> str:
    """Returns the text on one line: with escapes for what could end a line or control a terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def unprintable(character: str) -> bool:
    """Returns whether the character is a control character, a line separator or a lone surrogate."""
    return unicodedata.category(character) in _CONTROL_CATEGORIES


def is_harmless(character: str) -> bool:
    """Returns whether a character may stand in the name of a file; path separators are not looked at."""
    return character not in _DIRECTION_MARKS and not unprintable(character)


def clean_filename(name: str) -> str:
    """Returns the name with `_` for path separators and no harmful character; empty if nothing is visible."""
    # It is composed twice: a character that is removed may have stood between a letter and its accent.
    cleaned = composed("".join(filter(is_harmless, composed(_SEPARATORS.sub("_", name))))).strip()
    is_visible = any(
        character != "." and unicodedata.category(character) not in _INVISIBLE_CATEGORIES
        for character in cleaned
    )
    return cleaned if is_visible else ""


def extension_of(name: str) -> str:
    """Returns the part behind the last dot, without the dot; empty where that is no extension."""
    match = _EXTENSION.search(name)
    return match[1] if match else ""


def utf8_size(name: str) -> int:
    """Returns how many bytes a name takes in UTF-8."""
    return len(name.encode("utf-8", "replace"))


def cut_filename(name: str, limit: int = MAX_FILENAME_BYTES, size: Callable[[str], int] = utf8_size) -> str:
    """Returns the name, cut before its extension and between characters to at most `limit` of `size`."""
    extension = extension_of(name)
    ending = f".{extension}" if extension else ""
    stem = name.removesuffix(ending)
    if size(stem + ending) <= limit:
        return name
    stem = stem[:limit]
    while stem and size(stem + ending) > limit:
        stem = stem[:-1]
    return stem.rstrip(f". {_JOINERS}") + ending


# The names that Home Assistant displays

MAX_DISPLAY_NAME_CHARACTERS = 100

# Unicode categories of characters that a name does not show.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def display_names(names: Mapping[str, str]) -> dict[str, str]:
    """Returns the displayed names by topic name: one line each, with the topic name where two are equal."""
    lines = {user: _one_line(name) or user for user, name in names.items()}
    counts = Counter(lines.values())
    return {user: line if counts[line] == 1 else f"{line} ({user})" for user, line in lines.items()}


def _one_line(name: str) -> str:
    with_spaces = (" " if sign.isspace() else sign for sign in name)
    visible = "".join(sign for sign in with_spaces if unicodedata.category(sign) not in _INVISIBLE)
    return " ".join(visible.split())[:MAX_DISPLAY_NAME_CHARACTERS]
