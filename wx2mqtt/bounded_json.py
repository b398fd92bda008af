"""Reads JSON from outside within bounds that are checked before anything is parsed.

    load_json(b'{"text": "hello"}', COMMAND_JSON)      {"text": "hello"}
    load_json(b"[[[[…", COMMAND_JSON)                  raises `JsonOutOfBounds`: too many levels

A parser turns four bytes of text into hundreds of bytes of objects: 8 MB of `1e1,` became 900 MB. So the size
is compared first, then the values and levels are counted on the bytes, and only what is within the bounds is
parsed. The count stops at the first value too many, so its cost is bounded too.

Commas and brackets within strings do not count: a text may have any number of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Self

from wx2mqtt.values import frozen

MAX_NUMBER_CHARACTERS = 400  # to read a number of a million digits takes seconds

# The levels of a text with more commas and brackets are not counted: that would take longer than to parse
# it. The parser itself refuses some hundreds of levels.
MAX_SIGNS_FOR_LEVELS = 20_000

MAX_COPIED_BYTES = 1_000_000  # a longer text is not copied to compare its levels


class JsonOutOfBounds(ValueError):
    """The text is larger or deeper than allowed, or has a number that JSON cannot write; says which."""


@frozen
class JsonBounds:
    """The bounds of one kind of JSON text."""

    max_bytes: int
    #: Lists and objects within each other.
    max_depth: int
    #: Elements of all lists and objects together.
    max_values: int

    def check(self, payload: bytes, *, exact: bool = False) -> None:
        """Raises `JsonOutOfBounds` if the text exceeds a bound; it need not be valid JSON.

        Without `exact` the levels of a text with more than `MAX_SIGNS_FOR_LEVELS` are left to the parser.
        """
        if len(payload) > self.max_bytes:
            raise JsonOutOfBounds(f"it has more than {self.max_bytes} bytes")
        bracket_count = payload.count(b"[") + payload.count(b"{")
        sign_count = bracket_count + payload.count(b",")
        if sign_count <= self.max_values:
            if bracket_count <= self.max_depth:
                return
            is_left_to_parser = sign_count > MAX_SIGNS_FOR_LEVELS and not exact
            if is_left_to_parser or self._is_flat(payload):
                return
        self._count_values(payload)  # it may be too large, or too much stands within strings

    def _is_flat(self, payload: bytes) -> bool:
        """Returns whether a text certainly has no more than `max_depth` levels.

        Each round removes the pairs of brackets with nothing between them, which are the innermost level.
        This takes less than a tenth of the time of `_count_values`.
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
        """Counts outside of strings: each comma and each opening bracket stands for one value."""
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


# The next part of a string, up to its end: at most 64 KiB, so that a thread that counts lets the others run.
# No part can match in two ways, so that the search takes one pass whatever the text is.
_STRING_PART = rb'(?P<part>(?:[^"\\]{1,256}+|\\.?){0,256}+)(?P<end>"?)'
_REST_OF_STRING = re.compile(_STRING_PART, re.DOTALL)

# The first part of a string, such as "hello", or a bracket or a comma outside of strings.
_STRING_OR_SIGN = re.compile(rb'"' + _STRING_PART + rb"|[\[{,\]}]", re.DOTALL)


def _end_of_string(payload: bytes, match: re.Match[bytes]) -> int:
    """Returns the position behind the string of which `match` is the first part."""
    while match["part"] and not match["end"]:
        next_match = _REST_OF_STRING.match(payload, match.end())
        assert next_match is not None  # it matches nothing at least
        match = next_match
    return match.end()


# Arguments of `bytes.translate`: all brackets become square, and only they, `"`, backslashes and NUL stay.
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_SIGNS = bytes(byte for byte in range(256) if byte not in b'[]{}"\\\0')


def _brackets(payload: bytes) -> bytes:
    """Returns the brackets outside of strings, all of them square: `[{"a": "]"}]` becomes `[[]]`.

    Where it is not certain what is within strings, a backslash or NUL is left between the brackets.
    """
    if b"\\" in payload:  # escaped backslashes and quotes neither end a string nor are left
        payload = payload.replace(rb"\\", b"\0").replace(rb"\"", b"\0")
    signs = payload.translate(_TO_SQUARE, _NO_SIGNS).replace(b'""', b"")
    return b"".join(signs.split(b'"')[::2])  # each second part is within a string


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


# Half of a character beyond 16 bits, which only an escape in JSON can bring without the other half.
_SURROGATE = re.compile("[\ud800-\udfff]")


def is_encodable(text: str) -> bool:
    """Returns whether UTF-8 can hold the text: it has no lone surrogate, which JSON can escape."""
    return text.isascii() or _SURROGATE.search(text) is None
