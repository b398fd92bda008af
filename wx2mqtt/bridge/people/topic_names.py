"""Makes topic levels from names that people chose. The registry decides whose a level is.

A name may be anything: empty, `$SYS/#`, emoji, characters that reverse the writing direction, 200 characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from wx2mqtt.model import ChatKind

NameStyle = Literal["unicode", "pinyin"]

FILEHELPER = "filehelper"
MAX_LEVEL_BYTES = 64

_REPLACED = frozenset("/+#.*>$")  # some brokers and bridges interpret these
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Cn"})  # controls, direction marks, surrogates, unassigned
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters by category, but invisible
_JOINER = "\u200d"
_FALLBACK = {
    ChatKind.FRIEND: "friend",
    ChatKind.GROUP: "group",
    ChatKind.OFFICIAL: "account",
    ChatKind.SYSTEM: "account",
    ChatKind.SELF: "self",
}


def level_for(
    names: Iterable[str],
    kind: ChatKind,
    style: NameStyle,
    is_taken: Callable[[str], bool],
    hints: dict[str, int],
) -> str:
    """Returns a level for which `is_taken` is false, from the first name that leaves a readable level.

    `hints` stores the last number for each base, so that thousands of equal names need no search each.
    """
    base = base_level(names, kind, style)
    number = hints.get(base, 1)
    while is_taken(level := numbered_level(base, number)):
        number += 1
    hints[base] = number
    return level


def base_level(names: Iterable[str], kind: ChatKind, style: NameStyle) -> str:
    """Returns the level before a number makes it unique; never empty."""
    make = _in_pinyin if style == "pinyin" else clean_level
    return cut_level(next(filter(None, map(make, names)), _FALLBACK[kind]), MAX_LEVEL_BYTES)


def numbered_level(base: str, number: int) -> str:
    """Returns `base`, or `base-2` and so on, within the limit.

    Only the file helper is called `filehelper`.
    """
    if base == FILEHELPER:
        number += 1
    suffix = "" if number == 1 else f"-{number}"
    return cut_level(base, MAX_LEVEL_BYTES - len(suffix)) + suffix


def clean_level(name: str) -> str:
    """Returns `name` as one topic level in NFC, without a limit of length; empty when nothing is left."""
    visible = "".join(_visible(unicodedata.normalize("NFC", name)))
    # Removing marks may put an accent next to its letter, so the text is normalised again.
    visible = unicodedata.normalize("NFC", visible).strip()
    return "".join("_" if mark in _REPLACED or mark == " " else mark for mark in visible)


def cut_level(level: str, limit: int) -> str:
    """Returns the start of `level` in at most `limit` bytes of UTF-8; never splits a visible character."""
    if len(level.encode()) <= limit:
        return level
    kept, size = "", 0
    for cluster in _clusters(level):
        size += len(cluster.encode())
        if size > limit:
            break
        kept += cluster
    return kept or level.encode()[:limit].decode(errors="ignore")


def _visible(name: str) -> Iterator[str]:
    """Yields the visible characters of a name, and the marks that join an emoji.

    Elsewhere such a mark would make two names look alike.
    """
    is_after_emoji = False
    for index, mark in enumerate(name):
        if mark in _BLANK or mark.isspace():
            is_after_emoji = False
            yield " "
        elif mark == _JOINER or _is_variation(mark):
            if is_after_emoji and (mark != _JOINER or _is_picture(name[index + 1 : index + 2])):
                yield mark
        elif unicodedata.category(mark) not in _INVISIBLE:
            is_after_emoji = _is_picture(mark)
            yield mark


def _is_picture(mark: str) -> bool:
    return bool(mark) and mark not in _REPLACED and unicodedata.category(mark) in {"So", "Sk", "Sm"}


def _is_variation(mark: str) -> bool:
    return "\ufe00" <= mark <= "\ufe0f" or "\U000e0100" <= mark <= "\U000e01ef"


def _clusters(text: str) -> Iterator[str]:
    cluster = ""
    for mark in text:
        if cluster and not _belongs_to_cluster(cluster, mark):
            yield cluster
            cluster = ""
        cluster += mark
    yield cluster


def _belongs_to_cluster(cluster: str, mark: str) -> bool:
    """Returns whether `mark` belongs to `cluster`: accents, skin tones, joined emoji, flag halves."""
    if mark == _JOINER or cluster[-1] == _JOINER or unicodedata.category(mark) in {"Mn", "Me", "Mc"}:
        return True
    if "\U0001f3fb" <= mark <= "\U0001f3ff":
        return True
    return len(cluster) == 1 and _is_flag_half(cluster) and _is_flag_half(mark)


def _is_flag_half(mark: str) -> bool:
    return "\U0001f1e6" <= mark <= "\U0001f1ff"


def _in_pinyin(name: str) -> str:
    """Returns `name` in the letters a-z, digits, `_` and `-`; empty when nothing can be transcribed."""
    # The import takes 55 MB of memory, so it happens only for accounts with `topic_names: pinyin`.
    from pypinyin import lazy_pinyin  # noqa: PLC0415

    spelled = unicodedata.normalize("NFKD", "".join(lazy_pinyin(clean_level(name))))
    return "".join(mark for mark in spelled.lower() if mark.isascii() and (mark.isalnum() or mark in "_-"))
