"""Sizes and durations as people write them: `25MB`, `1GB`, `30s`, `7d`, or plain numbers."""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_WRITTEN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", re.ASCII)

SIZES = {
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
_SIZES = {unit.lower(): factor for unit, factor in SIZES.items()}
LARGEST_SIZE = 2**63 - 1

DURATIONS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
LONGEST = 100 * 365 * 86400.0


def size(value: object) -> int:
    """Bytes; ValueError with a sentence when this is no size."""
    number, unit = _split(value, "a size such as 25MB, 256kB or 1GiB (or a number of bytes)")
    factor = _SIZES.get(unit.lower())
    if factor is None:
        raise ValueError(f"{unit!r} is no unit of size; use {_names(SIZES)}")
    if number * factor > LARGEST_SIZE:
        raise ValueError("is larger than any disk")
    return round(number * factor)


def duration(value: object) -> float:
    """Seconds; ValueError with a sentence when this is no duration."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+(:[0-9]+)+", value):
        raise ValueError("can be read in two ways: write 10m for ten minutes, 10h for ten hours")
    number, unit = _split(value, "a duration such as 30s, 10m, 24h or 7d (or a number of seconds)")
    factor = DURATIONS.get(unit)
    if factor is None:
        raise ValueError(f"{unit!r} is no unit of time; use {_names(DURATIONS)}")
    if number * factor > LONGEST:
        raise ValueError("is longer than a hundred years")
    return number * factor


def write_size(amount: int) -> str:
    """The shortest way to write a size without loss, with decimal units."""
    for unit in ("TB", "GB", "MB", "kB"):
        if amount and amount % SIZES[unit] == 0:
            return f"{amount // SIZES[unit]}{unit}"
    return str(amount)


def write_duration(seconds: float) -> str:
    """The shortest way to write a duration, exact to the millisecond; hours up to a day are hours."""
    for unit in ("d", "h", "m"):
        if seconds > DURATIONS[unit] and seconds % DURATIONS[unit] == 0:
            return f"{seconds / DURATIONS[unit]:.0f}{unit}"
    written = f"{seconds:.3f}".rstrip("0").rstrip(".")
    return f"{written}s" if seconds else "0"


def _split(value: object, what: str) -> tuple[float, str]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value >= 0 and math.isfinite(value):
            return value, ""
    elif isinstance(value, str) and (found := _WRITTEN.fullmatch(value.strip())):
        digits, unit = found.groups()
        return (float(digits) if "." in digits else int(digits)), unit
    raise ValueError(f"is not {what}")


def _names(units: dict[str, int] | dict[str, float]) -> str:
    return ", ".join(unit for unit in units if unit)


Size = Annotated[
    int,
    BeforeValidator(size),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^[0-9.]+ ?[A-Za-z]*$"}]}
    ),
]
"""Bytes; a field of this type reads sizes as people write them."""

Duration = Annotated[
    float,
    BeforeValidator(duration),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^[0-9.]+ ?[a-z]*$"}]}
    ),
]
"""Seconds; a field of this type reads durations as people write them."""
