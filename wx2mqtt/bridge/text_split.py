"""Splits a text that is too long for one message, if possible where a reader would pause. Pure.

Only white space between two parts is lost, and no part is blank.
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
"""Where a text may be split, the best first. Borders in the first half of a part are not used: the parts
would be many and small.
"""

# A word, or a letter with its combining characters, that is longer than this is cut.
_MAX_UNIT_CHARACTERS = 64
_FIRST_IDEOGRAPH = "\u2e80"
_NEVER_FIRST = frozenset("。!?;…,、:”’」』)》】")
_ZERO_WIDTH_JOINER = "\u200d"


def split_text(text: str, limit: int | None) -> tuple[str, ...]:
    """Returns the parts of a text, each of at most `limit` characters; with None the text is not split."""
    if limit is None or len(text) <= limit:
        return (text,)
    return tuple(_parts(text, limit))


def _parts(text: str, limit: int) -> Iterator[str]:
    start = 0
    while len(text) - start > limit:
        end = _end(text, start, start + limit)
        if part := text[start:end].rstrip():
            yield part
        is_full = end == start + limit
        start = end
        if is_full:  # the white space at the border may go on
            start = len(text) - len(text[end:].lstrip())
    if text[start:].strip():
        yield text[start:]


def _end(text: str, start: int, limit: int) -> int:
    """Returns where the part that begins at `start` ends, at `limit` at the latest."""
    # One more character is read: white space there ends a sentence, and would begin the next part.
    search_end = min(len(text), limit + 1)
    addresses = [match.span() for match in _ADDRESS.finditer(text, start, search_end)]
    half = start + (limit - start) // 2
    for border in _BORDERS:
        matches = border.finditer(text, start, search_end)
        ends = [min(match.end(), limit) for match in matches if match.start() <= limit]
        usable_ends = [end for end in ends if half < end and not _is_within_any(end, addresses)]
        if usable_ends:
            return usable_ends[-1]
    return _end_without_border(text, start, limit, addresses)


def _is_within_any(index: int, spans: list[tuple[int, int]]) -> bool:
    return any(begin < index < end for begin, end in spans)


def _end_without_border(text: str, start: int, limit: int, addresses: list[tuple[int, int]]) -> int:
    """Returns the begin of an address that does not fit, else an index between words or characters."""
    for begin, end in addresses:
        if start < begin < limit < end:
            return begin
    for is_within_unit in (_is_within_word, _is_within_grapheme):
        for index in range(limit, max(start, limit - _MAX_UNIT_CHARACTERS), -1):
            if not is_within_unit(text, index):
                return index
    return limit


def _is_within_word(text: str, index: int) -> bool:
    """Returns whether an index is within a word of letters, or before punctuation that begins no line."""
    if index >= len(text) or _is_within_grapheme(text, index):
        return index < len(text)
    before = text[index - 1]
    after = text[index]
    are_letters = all(character.isalnum() and character < _FIRST_IDEOGRAPH for character in (before, after))
    return are_letters or after in _NEVER_FIRST


def _is_within_grapheme(text: str, index: int) -> bool:
    """Returns whether the characters before and after an index are shown as one."""
    if index >= len(text):
        return False
    before = text[index - 1]
    after = text[index]
    if _ZERO_WIDTH_JOINER in (before, after) or (before, after) == ("\r", "\n"):
        return True
    if unicodedata.category(after) in {"Mn", "Me", "Mc"} or "\U0001f3fb" <= after <= "\U0001f3ff":
        return True
    if _is_regional_indicator(before) and _is_regional_indicator(after):
        return _count_regional_indicators(text, index) % 2 == 1
    return "\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff"


def _is_regional_indicator(character: str) -> bool:
    """Returns whether a character is one half of a flag."""
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _count_regional_indicators(text: str, index: int) -> int:
    """Returns how many halves of flags stand directly before an index."""
    count = 0
    while count < index and _is_regional_indicator(text[index - 1 - count]):
        count += 1
    return count
