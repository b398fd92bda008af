"""What a topic, a topic level and an account's name may look like. Pure.

Each check returns a sentence that says what is wrong, or the empty text.

Sizes and durations as people write them: `25MB`, `1GB`, `30s`, `7d`, or plain numbers.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

RESERVED_ACCOUNTS = frozenset(
    {"in", "out", "result", "event", "login", "contacts", "window", "last", "text", "bridge"}
)
"""First levels below a base topic; an account of that name would meet them."""


FILEHELPER = "filehelper"


MAX_LEVEL_BYTES = 64


MAX_TOPIC_BYTES = 200


_ACCOUNT = re.compile(r"[a-z0-9_]{1,32}", re.ASCII)


_BAD_IN_LEVEL = "/+#.*>$"


_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def account_fault(name: str) -> str:
    """What is wrong with the name of an account."""
    if not _ACCOUNT.fullmatch(name):
        return "an account's name has 1 to 32 characters of a-z, 0-9 and _"
    if name in RESERVED_ACCOUNTS:
        return f"'{name}' is the name of a topic and cannot be an account; choose another"
    return ""


def level_fault(name: str) -> str:
    """What is wrong with a name that the owner gives to a contact; it becomes one topic level."""
    marks = " ".join(mark for mark in _BAD_IN_LEVEL if mark in name)
    return _first(
        (not name, "the name is empty"),
        (name == FILEHELPER, "filehelper belongs to WeChat's file helper; choose another name"),
        (bool(marks), f"a topic level cannot hold {marks}; write '{_mended(name)}'"),
        (
            any(mark.isspace() or unprintable(mark) for mark in name),
            f"a topic level cannot hold white space or control characters; write '{_mended(name)}'",
        ),
        (unicodedata.normalize("NFC", name) != name, "write it in composed form (Unicode NFC)"),
        (len(_utf8(name)) > MAX_LEVEL_BYTES, f"is longer than {MAX_LEVEL_BYTES} bytes of UTF-8"),
    )


def topic_fault(topic: str) -> str:
    """What is wrong with a topic below which things are published."""
    return _first(
        (not topic, "is empty; leave the key out for the default"),
        (topic.startswith("$"), "topics that begin with $ belong to the broker; choose another"),
        ("+" in topic or "#" in topic, "holds a wildcard (+ or #); a topic for publishing must be concrete"),
        (
            any(not level for level in topic.split("/")),
            "has an empty level; take the / at the start, at the end or the doubled one away",
        ),
        (any(unprintable(mark) for mark in topic), "holds control characters; take them out"),
        (len(_utf8(topic)) > MAX_TOPIC_BYTES, f"is longer than {MAX_TOPIC_BYTES} bytes of UTF-8"),
    )


def is_within(topic: str, base: str) -> bool:
    """Whether `topic` equals `base` or is one of the topics that an account with this base uses."""
    if topic == base:
        return True
    below = topic.removeprefix(f"{base}/")
    return below != topic and below.split("/")[0] in RESERVED_ACCOUNTS


def printable(text: str) -> str:
    """The same text on one line: what cannot be seen is written as its escape."""
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)


def _first(*checks: tuple[bool, str]) -> str:
    return next((words for wrong, words in checks if wrong), "")


def unprintable(character: str) -> bool:
    """Whether one character controls something, breaks a line or is half of one."""
    return unicodedata.category(character) in _UNPRINTABLE


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _mended(name: str) -> str:
    return "".join(
        "_" if mark in _BAD_IN_LEVEL or mark.isspace() or unprintable(mark) else mark
        for mark in unicodedata.normalize("NFC", name)
    )


_WRITTEN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", re.ASCII)


SIZE_UNITS = {
    "": 1,
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "TiB": 1024**4,
}


_SIZES = {unit.lower(): factor for unit, factor in SIZE_UNITS.items()}


MAX_SIZE_BYTES = 2**63 - 1


DURATION_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


MAX_DURATION_SECONDS = 100 * 365 * 86400.0


def parse_size(value: object) -> int:
    """Bytes; ValueError with a sentence when this is no size."""
    number, unit = _split(value, "a size such as 25MB, 256kB or 1GiB (or a number of bytes)")
    factor = _SIZES.get(unit.lower())
    if factor is None:
        raise ValueError(f"{unit!r} is no unit of size; use {_names(SIZE_UNITS)}")
    if number * factor > MAX_SIZE_BYTES:
        raise ValueError("is larger than any disk")
    return round(number * factor)


def parse_duration(value: object) -> float:
    """Seconds; ValueError with a sentence when this is no duration."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+(:[0-9]+)+", value):
        raise ValueError("can be read in two ways: write 10m for ten minutes, 10h for ten hours")
    number, unit = _split(value, "a duration such as 30s, 10m, 24h or 7d (or a number of seconds)")
    factor = DURATION_UNITS.get(unit)
    if factor is None:
        raise ValueError(f"{unit!r} is no unit of time; use {_names(DURATION_UNITS)}")
    if number * factor > MAX_DURATION_SECONDS:
        raise ValueError("is longer than a hundred years")
    return number * factor


def format_size(amount: int) -> str:
    """The shortest way to write a size without loss, with decimal units."""
    for unit in ("TB", "GB", "MB", "kB"):
        if amount and amount % SIZE_UNITS[unit] == 0:
            return f"{amount // SIZE_UNITS[unit]}{unit}"
    return str(amount)


def format_duration(seconds: float) -> str:
    """The shortest way to write a duration, exact to the millisecond; hours up to a day are hours."""
    for unit in ("d", "h", "m"):
        if seconds > DURATION_UNITS[unit] and seconds % DURATION_UNITS[unit] == 0:
            return f"{seconds / DURATION_UNITS[unit]:.0f}{unit}"
    written = f"{seconds:.3f}".rstrip("0").rstrip(".")
    return f"{written}s" if seconds else "0"


def _split(value: object, quantity: str) -> tuple[float, str]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value >= 0 and math.isfinite(value):
            return value, ""
    elif isinstance(value, str) and (found := _WRITTEN.fullmatch(value.strip())):
        digits, unit = found.groups()
        return (float(digits) if "." in digits else int(digits)), unit
    raise ValueError(f"is not {quantity}")


def _names(units: dict[str, int] | dict[str, float]) -> str:
    return ", ".join(unit for unit in units if unit)


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^[0-9.]+ ?[A-Za-z]*$"}]}
    ),
]
"""Bytes; a field of this type reads sizes as people write them."""


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^[0-9.]+ ?[a-z]*$"}]}
    ),
]
"""Seconds; a field of this type reads durations as people write them."""
