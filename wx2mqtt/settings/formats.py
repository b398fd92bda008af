"""Text formats of the configuration: names, topics, sizes, durations, quiet hours, keys. Pure.

A `..._fault` function returns a sentence that says what is wrong and what to write, or the empty text.
`validate_...` and `parse_...` return the value, or raise ValueError with such a sentence.
"""

from __future__ import annotations

import base64
import math
import re
import unicodedata
from datetime import time

from wx2mqtt.limits import MAX_CHOSEN_TOPIC_NAME_BYTES
from wx2mqtt.model import FILEHELPER

RESERVED_ACCOUNTS = frozenset(
    {"in", "out", "result", "event", "login", "contacts", "window", "last", "text", "bridge"}
)
"""First levels below a base topic: the default base `wx/<account>` would collide with them."""
HAS_CONTROL_CHARACTERS = "holds control characters; take them out"
MAX_TOPIC_BYTES = 200
MAX_FILTER_BYTES = 1000

_ACCOUNT = re.compile(r"[a-z0-9_]{1,32}", re.ASCII)
_FORBIDDEN_IN_TOPIC_NAME = "/+#.*>$"
_UNPRINTABLE_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def account_fault(name: str) -> str:
    if not _ACCOUNT.fullmatch(name):
        return "an account's name has 1 to 32 characters of a-z, 0-9 and _"
    if name in RESERVED_ACCOUNTS:
        return f"'{name}' is the name of a topic and cannot be an account; choose another"
    return ""


def topic_name_fault(name: str) -> str:
    """Checks a name that the owner gives to a contact; it becomes one topic level."""
    composed = unicodedata.normalize("NFC", name)
    forbidden = [character for character in _FORBIDDEN_IN_TOPIC_NAME if character in name]
    unusual = [character for character in composed if character.isspace() or unprintable(character)]
    repaired = "".join("_" if character in (*forbidden, *unusual) else character for character in composed)
    if not name:
        return "the name is empty"
    if name == FILEHELPER:
        return "filehelper belongs to WeChat's file helper; choose another name"
    if forbidden:
        return f"a topic level cannot hold {' '.join(forbidden)}; write '{repaired}'"
    if unusual:
        return f"a topic level cannot hold white space or control characters; write '{repaired}'"
    if composed != name:
        return "write it in composed form (Unicode NFC)"
    return _length_fault(name, MAX_CHOSEN_TOPIC_NAME_BYTES)


def validate_topic(topic: str) -> str:
    """Checks a topic below which the bridge publishes."""
    if not topic:
        raise ValueError("is empty; leave the key out for the default")
    if topic.startswith("$"):
        raise ValueError("topics that begin with $ belong to the broker; choose another")
    if "+" in topic or "#" in topic:
        raise ValueError("holds a wildcard (+ or #); a topic for publishing must be concrete")
    if "" in topic.split("/"):
        raise ValueError(
            "has an empty level; remove the / at the start or at the end, or one of two in a row"
        )
    return _bounded_line(topic, MAX_TOPIC_BYTES)


def validate_topic_filter(topic_filter: str) -> str:
    """Checks a filter that a topic for publishing must match."""
    *parents, last = topic_filter.split("/")
    if not topic_filter:
        raise ValueError("is empty; write # for every topic, or an empty list [] for none")
    if topic_filter.startswith("$"):
        raise ValueError("matches nothing: no response may go to a topic that begins with $")
    if "#" in "".join(parents) or ("#" in last and last != "#"):
        raise ValueError("has a # that is not its last level; it stands alone after the last /")
    if any("+" in level and level != "+" for level in (*parents, last)):
        raise ValueError("has a + beside other characters; it is a whole level")
    return _bounded_line(topic_filter, MAX_FILTER_BYTES)


def bases_overlap(base: str, other: str) -> bool:
    """Returns whether two base topics are equal, or one is a topic that an account with the other uses."""
    if base == other:
        return True
    shorter, longer = sorted((base, other), key=len)
    below = longer.removeprefix(f"{shorter}/")
    return below != longer and below.split("/")[0] in RESERVED_ACCOUNTS


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
    return unicodedata.category(character) in _UNPRINTABLE_CATEGORIES


def _bounded_line(text: str, max_bytes: int) -> str:
    if any(map(unprintable, text)):
        raise ValueError(HAS_CONTROL_CHARACTERS)
    if fault := _length_fault(text, max_bytes):
        raise ValueError(fault)
    return text


def _length_fault(text: str, max_bytes: int) -> str:
    is_too_long = len(text.encode("utf-8", "surrogatepass")) > max_bytes
    return f"is longer than {max_bytes} bytes of UTF-8" if is_too_long else ""


# sizes and durations

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


# times of the day, and keys

_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_QUIET_HOURS = re.compile(rf"({_CLOCK})-({_CLOCK})", re.ASCII)


def parse_quiet_hours(value: str) -> tuple[time, time]:
    """Returns begin and end of a text such as `22:00-07:00`; an end that is not later is on the next day.

    Raises `ValueError` with a sentence.
    """
    match = _QUIET_HOURS.fullmatch(value)
    if match is None or match[1] == match[2]:
        raise ValueError('is no span of the day; write "22:00-07:00"')
    return time.fromisoformat(match[1]), time.fromisoformat(match[2])


LOGIN_KEY_BYTES = 32
# The key in use, and the one before it while it is being replaced.
MAX_LOGIN_KEYS = 2


def parse_login_keys(text: str) -> tuple[bytes, ...]:
    """Returns the keys of saved logins in a text, one a line: the newest first, then the one before it.

    Raises `ValueError` with a sentence.
    """
    cure = "make one with: wx2mqtt cluster new-key"
    keys: list[bytes] = []
    for line in [line for line in text.split("\n") if line.strip()] or [text]:
        try:
            key = base64.b64decode(line.strip(), validate=True)
        except ValueError:
            raise ValueError(f"is no key, which is base64 on one line; {cure}") from None
        if len(key) != LOGIN_KEY_BYTES:
            raise ValueError(f"has {len(key)} bytes, and a key has {LOGIN_KEY_BYTES}; {cure}")
        keys.append(key)
    if len(keys) > MAX_LOGIN_KEYS:
        raise ValueError("has more than two lines: write the new key, and on the next line the one before it")
    if len(set(keys)) < len(keys):
        raise ValueError("has the same key twice; write the new key, and on the next line the one before it")
    return tuple(keys)
