"""Splits a text that is too long for one message, if possible where a reader would pause. Pure.

Only white space between two parts is lost, and no part is blank. The size of a part is that of its text as it
is sent, which the backend knows (`Capabilities.part_size`): one that escapes markdown sends more than was
written.

A long text takes longer than the event loop may stand still. Who has one goes through `split_steps` before,
and lets others run between two steps; afterwards `split_text` only looks the parts up.
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

_CLOSING = "\"'”’」』)》】)\\]"
_BLANKS = re.compile(r"\s+")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(rf"[。!?;…]+[{_CLOSING}]*\s*|[.!?;]+[{_CLOSING}]*(?P<blanks>\s*)")
_WORD = re.compile(r"\s+|[,、:][”’」』)》】]*")
_SCHEME_END = "://"
_ADDRESS_REST = re.compile(r"[!-~]+")
_SCHEME_CHARACTERS = ascii_letters + digits + "+.-"
_SCHEME = re.compile(r"[A-Za-z0-9+.-]*")
_LETTER = re.compile(r"[A-Za-z]")

# No border that a part may end at begins behind one of these and ends behind the next other character.
_OF_BORDERS = re.compile(rf"[\s{_CLOSING}。!?;….,、:]")

# The largest number of messages for one long text: `CommandResolver.send_key` appends two digits.
MAX_TEXT_PARTS = 99

# Of so many texts it is remembered where their parts are. A text is split several times until it is sent:
# when it is accepted, and for each of its parts.
_REMEMBERED_TEXTS = 200

# A text of this share of the limit is split at once, whatever is in it.
_QUICK_SHARE = 4

# A word, or a letter with its combining characters, that is longer than this is cut.
_MAX_UNIT_CHARACTERS = 64
_FIRST_IDEOGRAPH = "\u2e80"
_NEVER_FIRST = frozenset("。!?;…,、:”’」』)》】")
_ZERO_WIDTH_JOINER = "\u200d"


# Returns the size of a text as it is sent; each character counts 1 at least.
TextSize = Callable[[str], int]


# Where the parts of a text begin and end.
PartSpans = tuple[tuple[int, int], ...]

# By a hash of the text, which it keeps itself, its length, the limit, and what counts.
_remembered: OrderedDict[tuple[int, int, int, TextSize], PartSpans] = OrderedDict()


def split_text(text: str, limit: int | None, size: TextSize = len) -> tuple[str, ...]:
    """Returns the parts of a text, each of at most `limit` in `size`; with None the text is not split."""
    if limit is None or (len(text) <= limit and size(text) <= limit):
        return (text,)
    key = hash(text), len(text), limit, size
    spans = _remembered.get(key)
    if spans is None:
        spans = tuple(span for span in _part_spans(text, limit, size) if span)
        _remember(key, spans)
    return tuple(text[start:end] for start, end in spans)


def split_steps(capabilities: Capabilities, text: str, *, markdown: bool = False) -> Iterator[None]:
    """Computes the parts that `split_for` returns, and yields after each step of this."""
    limit = capabilities.part_limit
    size = capabilities.markdown_size if markdown else capabilities.part_size
    if limit is None or len(text) <= limit // _QUICK_SHARE or len(text) > MAX_TEXT_PARTS * limit:
        return
    key = hash(text), len(text), limit, size
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


def _part_spans(text: str, limit: int, size: TextSize) -> Iterator[tuple[int, int] | None]:
    """Yields where each part begins and ends, and None between two steps towards the next one.

    A step takes as long for a long text as for a short one. First come as many characters as fit at most,
    and these are shortened by how much they exceed the limit.
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
        while size(text[start:end].rstrip()) > limit:  # what stood behind a sign changed how it is sent
            end = _end(text, start, end - 1, addresses)
        if part := text[start:end].rstrip():
            yield start, start + len(part)
        # The white space at the border may go on.
        blanks = _BLANKS.match(text, end) if end == most else None
        start = blanks.end() if blanks else end
    if text[start:].strip():
        yield start, len(text)


class Addresses:
    """The addresses of a text with a scheme, such as `https://`; it is read so far as somebody asks."""

    def __init__(self, text: str) -> None:
        self._text = text
        #: Where each begins and ends, of those that were found.
        self._found: list[tuple[int, int]] = []
        self._searched_to = 0
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
        text = self._text
        while self._colon >= 0 and (self._colon < index or _SCHEME.fullmatch(text, index, self._colon)):
            colon, rest_begin = self._colon, self._colon + len(_SCHEME_END)
            before_scheme = text[self._searched_to : colon].rstrip(_SCHEME_CHARACTERS)
            letter = _LETTER.search(text, self._searched_to + len(before_scheme), colon)
            self._searched_to = rest_begin
            if letter and (rest := _ADDRESS_REST.match(text, rest_begin)):
                self._searched_to = rest.end()
                self._found.append((letter.start(), rest.end()))
            self._colon = text.find(_SCHEME_END, self._searched_to)


def _end(text: str, start: int, limit: int, addresses: Addresses) -> int:
    """Returns where the part that begins at `start` ends, at `limit` at the latest."""
    # One more character is read: white space there ends a sentence, and would begin the next part.
    search_end = min(len(text), limit + 1)
    half = start + (limit - start) // 2
    search_start = half
    while search_start > start and _OF_BORDERS.match(text, search_start - 1):
        search_start -= 1  # a border that ends behind the half may begin before it
    for borders in _BORDERS:
        spans = borders(text, search_start, search_end)
        ends = [min(border[1], limit) for border in spans if border[0] <= limit]
        for end in reversed(ends):
            if half < end and addresses.begin_around(end, start) is None:
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


def _end_without_border(text: str, start: int, limit: int, addresses: Addresses) -> int:
    """Returns the begin of an address that does not fit, else an index between words or characters."""
    address_begin = addresses.begin_around(limit, start)
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
