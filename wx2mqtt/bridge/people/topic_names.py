"""Topic levels made from names that people chose. Pure: whose a level is, the registry knows.

A name may hold anything: nothing at all, `$SYS/#`, emoji, marks that reverse the writing, 200 characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from wx2mqtt.model import ChatKind

NameStyle = Literal["unicode", "pinyin"]

FILEHELPER = "filehelper"
MAX_LEVEL_BYTES = 64

_REPLACED = frozenset("/+#.*>$")  # some brokers and bridges give these a meaning of their own
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Cn"})  # controls, marks of direction, halves, unassigned
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters by category that show nothing
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
    """A level that is not `taken`, from the first of `names` that leaves anything to read.

    `hints` remembers where to go on counting, so that thousands of equal names cost no search each.
    """
    base = base_level(names, kind, style)
    number = hints.get(base, 1)
    while is_taken(level := numbered_level(base, number)):
        number += 1
    hints[base] = number
    return level


def base_level(names: Iterable[str], kind: ChatKind, style: NameStyle) -> str:
    """The level before it is compared with others; never empty."""
    make = _in_pinyin if style == "pinyin" else clean_level
    return cut_level(next(filter(None, map(make, names)), _FALLBACK[kind]), MAX_LEVEL_BYTES)


def numbered_level(base: str, number: int) -> str:
    """`base` itself, or `base-2` and so on within the limit. Only the file helper is called `filehelper`."""
    if base == FILEHELPER:
        number += 1
    suffix = "" if number == 1 else f"-{number}"
    return cut_level(base, MAX_LEVEL_BYTES - len(suffix)) + suffix


def clean_level(name: str) -> str:
    """`name` as one topic level in NFC, of any length; empty when nothing is left."""
    visible = "".join(_visible(unicodedata.normalize("NFC", name)))
    # Taking marks out may have brought an accent beside its letter, and NFC goes by neighbours.
    visible = unicodedata.normalize("NFC", visible).strip()
    return "".join("_" if mark in _REPLACED or mark == " " else mark for mark in visible)


def cut_level(level: str, limit: int) -> str:
    """The start of `level` in at most `limit` bytes of UTF-8, cut between what people see as characters."""
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
    """The characters that can be seen, and the marks that hold an emoji together."""
    for place, mark in enumerate(name):
        if mark in _BLANK or mark.isspace():
            yield " "
        elif mark == _JOINER or _is_variation(mark):
            if _shapes_picture(name, place):
                yield mark
        elif unicodedata.category(mark) not in _INVISIBLE:
            yield mark


def _shapes_picture(name: str, index: int) -> bool:
    """After a picture such a mark is part of it; elsewhere it is a way to look like another name."""
    before, after = name[index - 1 : index], name[index + 1 : index + 2]
    if not before or not (_is_picture(before) or _is_variation(before)):
        return False
    return name[index] != _JOINER or (bool(after) and _is_picture(after))


def _is_picture(mark: str) -> bool:
    return unicodedata.category(mark) in {"So", "Sk", "Sm"}


def _is_variation(mark: str) -> bool:
    return "\ufe00" <= mark <= "\ufe0f" or "\U000e0100" <= mark <= "\U000e01ef"


def _clusters(text: str) -> Iterator[str]:
    cluster = ""
    for mark in text:
        if cluster and not _belongs(cluster, mark):
            yield cluster
            cluster = ""
        cluster += mark
    yield cluster


def _belongs(cluster: str, mark: str) -> bool:
    """Whether `mark` is seen as part of `cluster`: accents, skin tones, joined emoji, the half of a flag."""
    if mark == _JOINER or cluster[-1] == _JOINER or unicodedata.category(mark) in {"Mn", "Me", "Mc"}:
        return True
    if "\U0001f3fb" <= mark <= "\U0001f3ff":
        return True
    return len(cluster) == 1 and _is_flag_half(cluster) and _is_flag_half(mark)


def _is_flag_half(mark: str) -> bool:
    return "\U0001f1e6" <= mark <= "\U0001f1ff"


def _in_pinyin(name: str) -> str:
    """`name` in the letters a-z, digits, `_` and `-`; empty when nothing of it can be spelled so."""
    # 55 MB stay resident once it is imported, so only accounts that ask for it (`topic_names`) pay.
    from pypinyin import lazy_pinyin  # noqa: PLC0415

    spelled = unicodedata.normalize("NFKD", "".join(lazy_pinyin(clean_level(name))))
    return "".join(mark for mark in spelled.lower() if mark.isascii() and (mark.isalnum() or mark in "_-"))
