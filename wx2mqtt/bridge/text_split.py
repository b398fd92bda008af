"""A text that is longer than one message, in parts: where a reader would pause, as far as that goes. Pure.

Nothing is lost but the white space between two parts, and no part is blank.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_CLOSING = "\"'”’」』)》】)\\]"
_PARAGRAPH = re.compile(r"\n\s*\n")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(rf"(?:[。!?;…]+[{_CLOSING}]*|[.!?;]+[{_CLOSING}]*(?=\s))\s*")
_WORD = re.compile(r"\s+|[,、:][”’」』)》】]*")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[!-~]+", re.IGNORECASE)

_BORDERS = (_PARAGRAPH, _LINE, _SENTENCE, _WORD)
"""The best first. One in the first half of a part is none: parts would be many and small."""

_LONGEST = 64  # characters of a word, or of the signs on one letter; what is longer is cut
_FIRST_IDEOGRAPH = "\u2e80"
_NEVER_FIRST = frozenset("。!?;…,、:”’」』)》】")
_JOINER = "\u200d"


def split_text(text: str, limit: int | None) -> tuple[str, ...]:
    """The parts of a text, each of at most `limit` characters; None: it is never split."""
    if limit is None or len(text) <= limit:
        return (text,)
    return tuple(_parts(text, limit))


def _parts(text: str, limit: int) -> Iterator[str]:
    start = 0
    while len(text) - start > limit:
        end = _end(text, start, start + limit)
        if part := text[start:end].rstrip():
            yield part
        full, start = end == start + limit, end
        if full:  # it may have ended within white space
            start = len(text) - len(text[end:].lstrip())
    if text[start:].strip():
        yield text[start:]


def _end(text: str, start: int, limit: int) -> int:
    """Where the part that begins at `start` ends, at `limit` at the latest."""
    addresses = [found.span() for found in _ADDRESS.finditer(text, start, min(len(text), limit + 1))]
    half = start + (limit - start) // 2
    for border in _BORDERS:
        # One character more is looked at: what is white there ends a sentence, and would begin the next part.
        found = border.finditer(text, start, min(len(text), limit + 1))
        ends = [min(one.end(), limit) for one in found if one.start() <= limit]
        good = [end for end in ends if half < end and not _within(end, addresses)]
        if good:
            return good[-1]
    return _within_a_word(text, start, limit, addresses)


def _within(index: int, spans: list[tuple[int, int]]) -> bool:
    return any(begin < index < end for begin, end in spans)


def _within_a_word(text: str, start: int, limit: int, addresses: list[tuple[int, int]]) -> int:
    """Before an address that does not fit, else between two letters."""
    for begin, end in addresses:
        if start < begin < limit < end:
            return begin
    for keeps in (_is_within_word, _is_within_sign):
        for place in range(limit, max(start, limit - _LONGEST), -1):
            if not keeps(text, place):
                return place
    return limit


def _is_within_word(text: str, index: int) -> bool:
    """Whether a place is in a word that is written with letters, or before what begins no line."""
    if index >= len(text) or _is_within_sign(text, index):
        return index < len(text)
    before, behind = text[index - 1], text[index]
    letters = all(sign.isalnum() and sign < _FIRST_IDEOGRAPH for sign in (before, behind))
    return letters or behind in _NEVER_FIRST


def _is_within_sign(text: str, index: int) -> bool:
    """Whether what stands before and behind a place is shown as one sign."""
    if index >= len(text):
        return False
    before, behind = text[index - 1], text[index]
    if _JOINER in (before, behind) or (before, behind) == ("\r", "\n"):
        return True
    if unicodedata.category(behind) in {"Mn", "Me", "Mc"} or "\U0001f3fb" <= behind <= "\U0001f3ff":
        return True
    if _is_flag(before) and _is_flag(behind):
        return _flags_before(text, index) % 2 == 1
    return "\ud800" <= before <= "\udbff" and "\udc00" <= behind <= "\udfff"


def _is_flag(sign: str) -> bool:
    """Half a flag: two of them are one."""
    return "\U0001f1e6" <= sign <= "\U0001f1ff"


def _flags_before(text: str, index: int) -> int:
    count = 0
    while count < index and _is_flag(text[index - 1 - count]):
        count += 1
    return count
