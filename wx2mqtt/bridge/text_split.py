"""Splits a text that is too long for one message, if possible where a reader would pause. Pure.

Only white space between two parts is lost, and no part is blank. The size of a part is that of its text as it
is sent, which the backend knows (`Capabilities.part_size`): one that escapes markdown sends more than was
written.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import takewhile
from string import ascii_letters, digits

from wx2mqtt.buttons import button_lines, text_with_buttons
from wx2mqtt.model import Button
from wx2mqtt.wechat.backend import Capabilities

_CLOSING = "\"'”’」』)》】)\\]"
_BLANKS = re.compile(r"\s+")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(rf"[。!?;…]+[{_CLOSING}]*\s*|[.!?;]+[{_CLOSING}]*(?P<blanks>\s*)")
_WORD = re.compile(r"\s+|[,、:][”’」』)》】]*")
_SCHEME_END = "://"
_ADDRESS_REST = re.compile(r"[!-~]+")
_SCHEME_CHARACTERS = frozenset(ascii_letters + digits + "+.-")

# A text is split several times until it is sent: when it is accepted, and for each of its parts.
_CACHED_TEXTS = 8

# A word, or a letter with its combining characters, that is longer than this is cut.
_MAX_UNIT_CHARACTERS = 64
_FIRST_IDEOGRAPH = "\u2e80"
_NEVER_FIRST = frozenset("。!?;…,、:”’」』)》】")
_ZERO_WIDTH_JOINER = "\u200d"


# Returns the size of a text as it is sent; each character counts 1 at least.
TextSize = Callable[[str], int]


def split_text(text: str, limit: int | None, size: TextSize = len) -> tuple[str, ...]:
    """Returns the parts of a text, each of at most `limit` in `size`; with None the text is not split."""
    if limit is None or (len(text) <= limit and size(text) <= limit):
        return (text,)
    return _split(text, limit, size)


def split_for(capabilities: Capabilities, text: str, *, markdown: bool = False) -> tuple[str, ...]:
    """Returns the parts in which a backend sends a text, or one in markdown."""
    size = capabilities.markdown_size if markdown else capabilities.part_size
    return split_text(text, capabilities.part_limit, size)


def split_question(
    capabilities: Capabilities, text: str, buttons: Sequence[Button], *, markdown: bool = False
) -> tuple[str, ...]:
    """Returns the parts of a text that ends in a line for each button: the last part has all of these."""
    *before, last = split_for(capabilities, text, markdown=markdown)
    if not buttons:
        return (*before, last)
    whole = text_with_buttons(last, buttons)
    if len(split_for(capabilities, whole, markdown=markdown)) == 1:
        return (*before, whole)
    return (*before, last, button_lines(buttons))


@lru_cache(maxsize=_CACHED_TEXTS)
def _split(text: str, limit: int, size: TextSize) -> tuple[str, ...]:
    parts = []
    addresses = list(_addresses(text))
    start = 0
    while (most := _fitting(text, start, limit, size)) < len(text):
        end = _end(text, start, most, addresses)
        while size(text[start:end].rstrip()) > limit:  # what stood behind a sign changed how it is sent
            end = _end(text, start, end - 1, addresses)
        if part := text[start:end].rstrip():
            parts.append(part)
        # The white space at the border may go on.
        blanks = _BLANKS.match(text, end) if end == most else None
        start = blanks.end() if blanks else end
    if text[start:].strip():
        parts.append(text[start:])
    return tuple(parts)


def _fitting(text: str, start: int, limit: int, size: TextSize) -> int:
    """Returns an index up to which the text from `start` fits, near the last one of these.

    It begins with as many characters as fit at most, and shortens them by how much they exceed the limit.
    """
    end = min(start + limit, len(text))
    while (needed := size(text[start:end])) > limit:
        end = start + max(1, (end - start) * limit // needed)
    return end


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    """Yields where each address with a scheme, such as `https://`, begins and ends."""
    end = 0
    while (colon := text.find(_SCHEME_END, end)) >= 0:
        begin = index = colon  # of the scheme, which begins with a letter
        while index > end and text[index - 1] in _SCHEME_CHARACTERS:
            index -= 1
            if text[index] in ascii_letters:
                begin = index
        end = colon + len(_SCHEME_END)
        if begin < colon and (rest := _ADDRESS_REST.match(text, end)):
            end = rest.end()
            yield begin, end


def _end(text: str, start: int, limit: int, addresses: list[tuple[int, int]]) -> int:
    """Returns where the part that begins at `start` ends, at `limit` at the latest."""
    # One more character is read: white space there ends a sentence, and would begin the next part.
    search_end = min(len(text), limit + 1)
    half = start + (limit - start) // 2
    for borders in _BORDERS:
        ends = [min(border[1], limit) for border in borders(text, start, search_end) if border[0] <= limit]
        for end in reversed(ends):
            if half < end and _address_around(end, start, addresses) is None:
                return end
    return _end_without_border(text, start, limit, addresses)


def _paragraphs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields the first and last line break of white space with several ones."""
    for blanks in _BLANKS.finditer(text, start, end):
        first, last = text.find("\n", *blanks.span()), text.rfind("\n", *blanks.span())
        if first < last:
            yield first, last + 1


def _spans(pattern: re.Pattern[str], text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    return (match.span() for match in pattern.finditer(text, start, end))


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields the ends of sentences; a dot or another sign of ASCII is one only before white space."""
    return (match.span() for match in _SENTENCE.finditer(text, start, end) if match["blanks"] != "")


# Where a text may be split, the best first. Borders in the first half of a part are not used: the parts would
# be many and small.
_BORDERS = (_paragraphs, partial(_spans, _LINE), _sentences, partial(_spans, _WORD))


def _address_around(index: int, start: int, addresses: list[tuple[int, int]]) -> int | None:
    """Returns where the address begins that an index is within, if it is not before `start`."""
    before = bisect_left(addresses, (index, 0)) - 1
    if before < 0:
        return None
    begin, end = addresses[before]
    return begin if start <= begin and index < end else None


def _end_without_border(text: str, start: int, limit: int, addresses: list[tuple[int, int]]) -> int:
    """Returns the begin of an address that does not fit, else an index between words or characters."""
    address_begin = _address_around(limit, start, addresses)
    if address_begin is not None and address_begin > start:
        return address_begin
    for is_within_unit in (_is_within_word, is_within_character):
        for index in range(limit, max(start, limit - _MAX_UNIT_CHARACTERS), -1):
            if not is_within_unit(text, start, index):
                return index
    return limit


def _is_within_word(text: str, start: int, index: int) -> bool:
    """Returns whether an index is within a word of letters, or before punctuation that begins no line."""
    if index >= len(text):
        return False
    if is_within_character(text, start, index):
        return True
    before, after = text[index - 1], text[index]
    are_letters = all(character.isalnum() and character < _FIRST_IDEOGRAPH for character in (before, after))
    return are_letters or after in _NEVER_FIRST


def is_within_character(text: str, start: int, index: int) -> bool:
    """Returns whether the characters of `text[start:]` before and after an index are shown as one."""
    if not start < index < len(text):
        return False
    before, after = text[index - 1], text[index]
    if _ZERO_WIDTH_JOINER in (before, after) or (before, after) == ("\r", "\n"):
        return True
    if unicodedata.category(after) in {"Mn", "Me", "Mc"} or "\U0001f3fb" <= after <= "\U0001f3ff":
        return True
    if _is_flag_half(before) and _is_flag_half(after):
        halves = takewhile(_is_flag_half, reversed(text[start:index]))
        return len(list(halves)) % 2 == 1
    return "\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff"


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
