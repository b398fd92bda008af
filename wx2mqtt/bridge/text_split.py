"""Splits a text that is too long for one message, if possible where a reader would pause. Pure.

    "It rains. Take an umbrella." with a limit of 20  ->  "It rains." and "Take an umbrella."

Only white space between two parts is lost, and no part is blank. The size of a part is that of its text as it
is sent, which the backend knows (`Capabilities.part_size`): one that escapes markdown sends more than was
written.

Splitting a long text at once would hold up the event loop. So a caller with a long text first goes through
`prepare_split`, and lets others run between two steps; afterwards `split_for` only looks the parts up.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import takewhile
from string import ascii_letters, digits

from wx2mqtt.buttons import button_lines, text_with_buttons
from wx2mqtt.model import Button
from wx2mqtt.wechat.backend import Capabilities

# The largest number of messages for one long text: `CommandResolver.send_key` appends two digits.
MAX_TEXT_PARTS = 99

# Returns the size of a text as it is sent; each character counts 1 at least.
TextSize = Callable[[str], int]

# Where each part of a text begins and ends.
PartSpans = tuple[tuple[int, int], ...]

# A text is split several times until it is sent: when it is accepted, and for each of its parts. So the spans
# of the last texts are kept. The key has the text's hash and length in place of the text.
_remembered: OrderedDict[tuple[int, int, int, TextSize], PartSpans] = OrderedDict()
_REMEMBERED_TEXTS = 200

# A text of at most a quarter of the limit is split at once: that takes no time, whatever is in it.
_QUICK_SHARE = 4


def split_for(capabilities: Capabilities, text: str, *, markdown: bool = False) -> tuple[str, ...]:
    """Returns the parts in which a backend sends a text, or one in markdown."""
    size = capabilities.markdown_size if markdown else capabilities.part_size
    return split_text(text, capabilities.part_limit, size)


def split_question(
    capabilities: Capabilities, text: str, buttons: Sequence[Button], *, markdown: bool = False
) -> tuple[str, ...]:
    """Returns the parts of a text that ends in a line for each button: the last part has all these lines."""
    *before, last = split_for(capabilities, text, markdown=markdown)
    if not buttons:
        return (*before, last)
    last_with_buttons = text_with_buttons(last, buttons)
    if len(split_for(capabilities, last_with_buttons, markdown=markdown)) == 1:
        return (*before, last_with_buttons)
    return (*before, last, button_lines(buttons))


def split_text(text: str, limit: int | None, size: TextSize = len) -> tuple[str, ...]:
    """Returns the parts of a text, each of at most `limit` in `size`; with None the text is not split."""
    if limit is None or (len(text) <= limit and size(text) <= limit):
        return (text,)
    key = (hash(text), len(text), limit, size)
    spans = _remembered.get(key)
    if spans is None:
        spans = tuple(span for span in _part_spans(text, limit, size) if span)
        _remember(key, spans)
    return tuple(text[start:end] for start, end in spans)


def prepare_split(capabilities: Capabilities, text: str, *, markdown: bool = False) -> Iterator[None]:
    """Computes the parts that `split_for` returns, and yields after each step of this."""
    limit = capabilities.part_limit
    size = capabilities.markdown_size if markdown else capabilities.part_size
    if limit is None or len(text) <= limit // _QUICK_SHARE or len(text) > MAX_TEXT_PARTS * limit:
        return
    key = (hash(text), len(text), limit, size)
    if key in _remembered:
        return
    spans: list[tuple[int, int]] = []
    for span in _part_spans(text, limit, size):
        if span:
            spans.append(span)
        yield
    _remember(key, tuple(spans))


def _remember(key: tuple[int, int, int, TextSize], spans: PartSpans) -> None:
    _remembered[key] = spans
    if len(_remembered) > _REMEMBERED_TEXTS:
        _remembered.popitem(last=False)


_WHITE_SPACE = re.compile(r"\s+")


def _part_spans(text: str, limit: int, size: TextSize) -> Iterator[tuple[int, int] | None]:
    """Yields where each part begins and ends, and None between two steps towards the next one.

    A step takes as long for a long text as for a short one. For each part:

    1. As many characters are taken as may fit, and fewer until their size is within the limit.
    2. The part ends at the best border among them (`_end`).
    """
    addresses = Addresses(text)
    start = 0
    while True:
        most = min(start + limit, len(text))
        while (needed := size(text[start:most])) > limit:
            most = start + max(1, (most - start) * limit // needed)
            yield None
        if most == len(text):
            break
        end = _end(text, start, most, addresses)
        # The shorter text may need more: whether a sign is escaped depends on what follows it.
        while size(text[start:end].rstrip()) > limit:
            end = _end(text, start, end - 1, addresses)
        part = text[start:end].rstrip()
        if part:
            yield start, start + len(part)
        start = end
        if end == most:  # white space that begins here, or goes on, belongs to no part
            white_space = _WHITE_SPACE.match(text, end)
            start = white_space.end() if white_space else end
    if text[start:].strip():
        yield start, len(text)


def _end(text: str, start: int, limit: int, addresses: Addresses) -> int:
    """Returns where the part that begins at `start` ends, at `limit` at the latest.

    It is the last border of the best kind (`_BORDERS`) in the second half of the part. Borders in the first
    half would make the parts many and small. No part ends within an address.
    """
    half = start + (limit - start) // 2
    search_start = half
    while search_start > start and _BORDER_CHARACTER.match(text, search_start - 1):
        search_start -= 1  # a border that ends in the second half may begin before it
    # One more character is read: white space there ends a sentence, and would begin the next part.
    search_end = min(len(text), limit + 1)
    for find_borders in _BORDERS:
        borders = find_borders(text, search_start, search_end)
        ends = [min(border_end, limit) for border_start, border_end in borders if border_start <= limit]
        for end in reversed(ends):
            if half < end and addresses.begin_around(end, start) is None:
                return end
    return _end_without_border(text, start, limit, addresses)


# Borders: where a reader would pause. Each function yields begin and end of those between two indexes.

_CLOSING = "\"'”’」』)》】)\\]"

# Every character that a border may consist of.
_BORDER_CHARACTER = re.compile(rf"[\s{_CLOSING}。!?;….,、:]")


def _paragraphs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields the first and the last line break of white space that has several ones."""
    for white_space in _WHITE_SPACE.finditer(text, start, end):
        first, last = text.find("\n", *white_space.span()), text.rfind("\n", *white_space.span())
        if first < last:
            yield first, last + 1


# `。` ends a sentence, and `。”` as well. A dot or another sign of ASCII ends one only before white space.
_SENTENCE = re.compile(rf"[。!?;…]+[{_CLOSING}]*\s*|[.!?;]+[{_CLOSING}]*(?P<blanks>\s*)")


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _SENTENCE.finditer(text, start, end) if match["blanks"] != "")


def _spans(pattern: re.Pattern[str], text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    return (match.span() for match in pattern.finditer(text, start, end))


_LINE = re.compile(r"\n")

# White space, or a Chinese comma with the quotation mark behind it.
_WORD = re.compile(r"\s+|[,、:][”’」』)》】]*")

# The kinds of borders, the best first.
_BORDERS = (_paragraphs, partial(_spans, _LINE), _sentences, partial(_spans, _WORD))


# Where there is no border, a part ends before an address, between two words, or between two characters.

# A word, or a letter with its combining characters, that is longer than this is cut.
_MAX_UNIT_CHARACTERS = 64


def _end_without_border(text: str, start: int, limit: int, addresses: Addresses) -> int:
    address_begin = addresses.begin_around(limit, start)
    if address_begin is not None and address_begin > start:
        return address_begin
    for is_within_unit in (_is_within_word, is_within_character):
        for index in range(limit, max(start, limit - _MAX_UNIT_CHARACTERS), -1):
            if not is_within_unit(text, start, index):
                return index
    return limit


# From this character on, those of a word can be separated, as in Chinese.
_FIRST_IDEOGRAPH = "\u2e80"

# No line begins with one of these.
_NEVER_FIRST = frozenset("。!?;…,、:”’」』)》】")


def _is_within_word(text: str, start: int, index: int) -> bool:
    """Returns whether an index is within a word of letters, or before punctuation that begins no line."""
    if index >= len(text):
        return False
    if is_within_character(text, start, index):
        return True
    before, after = text[index - 1], text[index]
    are_letters = all(character.isalnum() and character < _FIRST_IDEOGRAPH for character in (before, after))
    return are_letters or after in _NEVER_FIRST


_ZERO_WIDTH_JOINER = "\u200d"


def is_within_character(text: str, start: int, index: int) -> bool:
    """Returns whether the characters of `text[start:]` before and after an index are shown as one."""
    if not start < index < len(text):
        return False
    before, after = text[index - 1], text[index]
    if _ZERO_WIDTH_JOINER in (before, after) or (before, after) == ("\r", "\n"):
        return True
    is_combining = unicodedata.category(after) in {"Mn", "Me", "Mc"}
    is_skin_tone = "\U0001f3fb" <= after <= "\U0001f3ff"
    if is_combining or is_skin_tone:
        return True
    if _is_flag_half(before) and _is_flag_half(after):
        halves_before = len(list(takewhile(_is_flag_half, reversed(text[start:index]))))
        return halves_before % 2 == 1  # one of them has no second half yet
    return "\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff"  # halves of a surrogate pair


def _is_flag_half(character: str) -> bool:
    """Returns whether two such characters are shown as a flag, as 🇨 and 🇳."""
    return "\U0001f1e6" <= character <= "\U0001f1ff"


# Addresses, as `https://example.org/a`: a scheme, `://`, and the printable ASCII characters behind it.
_SCHEME_END = "://"
_SCHEME_CHARACTERS = ascii_letters + digits + "+.-"
_SCHEME = re.compile(r"[A-Za-z0-9+.-]*")
_LETTER = re.compile(r"[A-Za-z]")
_ADDRESS_REST = re.compile(r"[!-~]+")


class Addresses:
    """The addresses of a text. It is searched only as far as somebody asks."""

    def __init__(self, text: str) -> None:
        self._text = text
        #: Begin and end of each address found so far, in their order.
        self._found: list[tuple[int, int]] = []
        #: Where the last `://` that was looked at, or its address, ends.
        self._searched_to = 0
        #: The next `://` to look at; -1 if there is none.
        self._colon = text.find(_SCHEME_END)

    def begin_around(self, index: int, start: int) -> int | None:
        """Returns where the address begins that an index is within, if it is not before `start`."""
        self._search(index)
        before = bisect_left(self._found, (index, 0)) - 1
        if before < 0:
            return None
        begin, end = self._found[before]
        return begin if start <= begin and index < end else None

    def _search(self, index: int) -> None:
        """Finds all addresses that begin before `index`."""
        # The `://` may stand behind the index while the scheme before it begins in front of it.
        while self._colon >= 0 and (self._colon < index or _SCHEME.fullmatch(self._text, index, self._colon)):
            self._add_address_around(self._colon)
            self._colon = self._text.find(_SCHEME_END, self._searched_to)

    def _add_address_around(self, colon: int) -> None:
        """Adds the address whose `://` is at `colon`, if a scheme stands before it and something behind."""
        rest_begin = colon + len(_SCHEME_END)
        before_scheme = self._text[self._searched_to : colon].rstrip(_SCHEME_CHARACTERS)
        first_letter = _LETTER.search(self._text, self._searched_to + len(before_scheme), colon)
        self._searched_to = rest_begin
        if first_letter is None:
            return  # the rest, which may be long, is not even looked at
        rest = _ADDRESS_REST.match(self._text, rest_begin)
        if rest is not None:
            self._searched_to = rest.end()
            self._found.append((first_letter.start(), rest.end()))
