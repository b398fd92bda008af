"""Sizes and durations as people write them: `25MB` is 25,000,000 bytes, `7d` is 604,800 seconds. Pure.

`parse_...` reads the text of a configuration, and raises ValueError with a sentence that says what to write.
`format_...` writes a value so that it reads back as the same, a duration to the millisecond.
"""

from __future__ import annotations

import math
import re

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", re.ASCII)

# More digits are larger than any limit, and `int` refuses thousands of them. `float` makes infinity of them.
_MAX_INTEGER_DIGITS = 30

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

_SIZES_BY_LOWER_UNIT = {unit.lower(): factor for unit, factor in SIZE_UNITS.items()}

MAX_SIZE_BYTES = 2**63 - 1
DURATION_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
MAX_DURATION_SECONDS = 100 * 365 * 86400.0


def parse_size(value: object) -> int:
    """Returns bytes for a text such as `25MB`, or for a number; raises ValueError with a sentence."""
    number, unit = _split_quantity(value, "a size such as 25MB, 256kB or 1GiB (or a number of bytes)")
    factor = _SIZES_BY_LOWER_UNIT.get(unit.lower())
    if factor is None:
        raise ValueError(f"{unit!r} is no unit of size; use {', '.join(filter(None, SIZE_UNITS))}")
    if number * factor > MAX_SIZE_BYTES:
        raise ValueError("is larger than any disk")
    return round(number * factor)


def parse_duration(value: object) -> float:
    """Returns seconds for a text such as `7d`, or for a number; raises ValueError with a sentence."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+(:[0-9]+)+", value):
        raise ValueError("can be read in two ways: write 10m for ten minutes, 10h for ten hours")
    number, unit = _split_quantity(value, "a duration such as 30s, 10m, 24h or 7d (or a number of seconds)")
    factor = DURATION_UNITS.get(unit)
    if factor is None:
        raise ValueError(f"{unit!r} is no unit of time; use {', '.join(filter(None, DURATION_UNITS))}")
    if number > MAX_DURATION_SECONDS / factor:
        raise ValueError("is longer than a hundred years")
    return number * factor


def format_size(size_bytes: int) -> str:
    """Returns the shortest exact text for a size, with decimal units."""
    for unit in ("TB", "GB", "MB", "kB"):
        if size_bytes and size_bytes % SIZE_UNITS[unit] == 0:
            return f"{size_bytes // SIZE_UNITS[unit]}{unit}"
    return str(size_bytes)


def format_duration(seconds: float) -> str:
    """Returns the shortest text for a duration, exact to the millisecond; one day is `24h`."""
    for unit in ("d", "h", "m"):
        if seconds > DURATION_UNITS[unit] and seconds % DURATION_UNITS[unit] == 0:
            return f"{seconds / DURATION_UNITS[unit]:.0f}{unit}"
    digits = f"{seconds:.3f}".rstrip("0").rstrip(".")
    return f"{digits}s" if seconds else "0"


def _split_quantity(value: object, expected: str) -> tuple[float, str]:
    """Returns number and unit; the unit of a plain number is empty."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value >= 0 and (isinstance(value, int) or math.isfinite(value)):
            return value, ""
    elif isinstance(value, str) and (match := _QUANTITY.fullmatch(value.strip())):
        digits, unit = match.groups()
        is_exact = "." not in digits and len(digits) <= _MAX_INTEGER_DIGITS
        return (int(digits) if is_exact else float(digits)), unit
    raise ValueError(f"is not {expected}")
