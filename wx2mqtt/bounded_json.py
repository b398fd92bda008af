"""Reads JSON from outside within bounds that are checked before anything is parsed.

A parser turns four bytes of text into hundreds of bytes of objects: 8 MB of `1e1,` became 900 MB. So the
size is compared first, then the values and levels are counted on the bytes, and only what is within the
bounds is parsed. The count stops at the first value too many, so its cost is bounded too.

What stands in strings does not count: a text may have any number of commas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Self

from wx2mqtt.values import frozen

# A number is at most so long: reading one of a million digits takes seconds.
MAX_NUMBER_CHARACTERS = 400

# In a text with more commas and brackets the levels are left to the parser, which refuses some hundreds: to
# count them takes longer than to parse them.
MAX_SIGNS_FOR_LEVELS = 20_000

# The next part of a string: at most 64 KiB, so that a thread that counts lets the others run. No part can
# match in two ways, so that the search takes one pass whatever the text is.
_STRING_PART = rb'(?P<part>(?:[^"\\]{1,256}+|\\.?){0,256}+)(?P<end>"?)'
_REST_OF_STRING = re.compile(_STRING_PART, re.DOTALL)

# The beginning of a string, or a sign of the structure.
_STRING_OR_SIGN = re.compile(rb'"' + _STRING_PART + rb"|[\[{,\]}]", re.DOTALL)

# Longer texts are not copied to compare their levels.
MAX_COPIED_BYTES = 1_000_000

# For `bytes.translate`: makes all brackets square, and leaves nothing but them, quotes, backslashes and NUL.
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_SIGNS = bytes(byte for byte in range(256) if byte not in b'[]{}"\\\0')

# Text that cannot be encoded as UTF-8 comes from escapes in JSON only.
_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonOutOfBounds(ValueError):
    """The text is larger or deeper than allowed, or has a number that JSON cannot write; says which."""


@frozen
class JsonBounds:
    """The bounds of one kind of JSON text: its bytes, its levels of lists and objects, the values in them."""

    max_bytes: int
    max_depth: int
    max_values: int

    def check(self, payload: bytes, *, exact: bool = False) -> None:
        """Raises `JsonOutOfBounds` if the text exceeds a bound; it need not be valid JSON.

        `exact` counts the levels of a text with many values, too, whatever time it takes.
        """
        if len(payload) > self.max_bytes:
            raise JsonOutOfBounds(f"it has more than {self.max_bytes} bytes")
        opened = payload.count(b"[") + payload.count(b"{")
        signs = opened + payload.count(b",")
        if signs > self.max_values:
            self._count_values(payload)
        elif opened <= self.max_depth or (signs > MAX_SIGNS_FOR_LEVELS and not exact):
            return
        elif not self._is_flat(payload):
            self._count_values(payload)

    def _is_flat(self, payload: bytes) -> bool:
        """Returns whether a text certainly has no more than `max_depth` levels.

        Takes less than a tenth of the time of `_count_values`. Each round removes the pairs of brackets with
        nothing between them, so the innermost level.
        """
        if len(payload) > MAX_COPIED_BYTES:
            return False
        brackets = _brackets(payload)
        for _ in range(self.max_depth):
            if not brackets:
                break
            brackets = brackets.replace(b"[]", b"")
        return not brackets

    def _count_values(self, payload: bytes) -> None:
        """Counts outside of strings; each comma and each opening bracket stands for one value."""
        depth = values = 0
        position = 0
        while sign_match := _STRING_OR_SIGN.search(payload, position):
            position = sign_match.end()
            sign = payload[sign_match.start()]
            if sign in b'"':
                position = _end_of_string(payload, sign_match)
                continue
            if sign in b"]}":
                depth -= 1
                continue
            values += 1
            if sign in b"[{":
                depth += 1
            if depth > self.max_depth:
                raise JsonOutOfBounds(f"it has more than {self.max_depth} levels")
            if values > self.max_values:
                raise JsonOutOfBounds(f"it has more than {self.max_values} values")


def _end_of_string(payload: bytes, match: re.Match[bytes]) -> int:
    """Returns the position behind the string of which `match` is the first part."""
    while match["part"] and not match["end"]:
        next_match = _REST_OF_STRING.match(payload, match.end())
        assert next_match is not None  # it matches nothing at least
        match = next_match
    return match.end()


def _brackets(payload: bytes) -> bytes:
    """Returns the brackets outside of strings, all square; something else where a text is no JSON."""
    without_escapes = payload.replace(rb"\\", b"\0").replace(rb"\"", b"\0") if b"\\" in payload else payload
    signs = without_escapes.translate(_TO_SQUARE, _NO_SIGNS).replace(b'""', b"")
    return b"".join(signs.split(b'"')[::2])  # a backslash or NUL is left where the strings are not certain


def read_float(text: str) -> float:
    """Returns the number; raises `JsonOutOfBounds` for a very long one, and for one that becomes infinite."""
    if len(text) > MAX_NUMBER_CHARACTERS or (number := float(text)) in (float("inf"), float("-inf")):
        raise JsonOutOfBounds("a number in it is too large")
    return number


class JsonDecimal(float):
    """A JSON number with a fraction or an exponent; `text` is how it was written."""

    text: str

    def __new__(cls, text: str) -> Self:
        """Raises `JsonOutOfBounds` for a number that is too large: JSON cannot write infinity."""
        number = super().__new__(cls, read_float(text))
        number.text = text
        return number


def _reject_constant(name: str) -> None:
    raise JsonOutOfBounds(f"{name} is no number in JSON")


def load_json(payload: bytes, bounds: JsonBounds, parse_float: Callable[[str], Any] = read_float) -> Any:
    """Returns the value of a JSON text in UTF-8; of equal keys in an object the last counts.

    Raises `JsonOutOfBounds`, `UnicodeDecodeError` and `JSONDecodeError`, which are `ValueError`s.
    """
    bounds.check(payload)
    text = payload.decode("utf-8")
    try:
        return json.loads(text, parse_float=parse_float, parse_constant=_reject_constant)
    except (json.JSONDecodeError, JsonOutOfBounds):
        raise
    except ValueError:  # more digits than Python converts
        raise JsonOutOfBounds("a number in it is too large") from None
    except RecursionError:  # the caller's own calls count as well
        raise JsonOutOfBounds(f"it has more than {bounds.max_depth} levels") from None


def is_encodable(text: str) -> bool:
    """Returns whether UTF-8 can hold the text: it has no lone surrogate, which JSON can escape."""
    return text.isascii() or _SURROGATE.search(text) is None
