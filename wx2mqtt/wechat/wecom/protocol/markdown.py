r"""Texts as WeCom takes them: markdown is the only form of a text (wecom 5.3, 5.4).

    *sale* 2 < 3      →   \*sale\* 2 \< 3

`escaped` returns markdown that is shown as the text was written. Every line stands for itself:

| in the text | in the markdown |
|---|---|
| a sign that means something | the same behind a backslash |
| a line break | two blanks before it, so that it is no mere blank |
| blanks at the begin of a line | blanks that do not break: four others begin a block of code |
| several empty lines | lines with one such blank; a single one separates paragraphs |
| blanks at the end of a line, empty lines around the text | nothing: they are not seen |
"""

from __future__ import annotations

import re
from collections.abc import Callable

from wx2mqtt.names import utf8_size

# The largest text that WeCom takes, in bytes of its markdown.
MAX_TEXT_BYTES = 20_480

# Signs that mean something wherever they are; the backslash must be escaped first.
_SIGNS = r"\`*_[]<|~"

# Markdown for a line break within a paragraph.
_HARD_BREAK = "  \n"

# A blank that does not break: markdown keeps it at the begin of a line.
_FIXED_BLANK = "\u00a0"


def escaped(text: str) -> str:
    """Returns markdown that is shown as `text` is.

    Each step goes over the whole text, since a long text is escaped several times while it is split.
    """
    lines = _trimmed_lines(text)
    for sign in _SIGNS:
        lines = lines.replace(sign, f"\\{sign}")
    if _SCHEME_END in lines and _ESCAPED_UNDERLINE in lines:
        lines = _with_addresses_kept(lines)
    if "&" in lines:
        lines = _ENTITY_START.sub(r"\\&", lines)
    lines = _sub_in_pieces(_LINE_START, lambda start: f"{start[0]}\\", lines)
    lines = _sub_in_pieces(_INDENTED_START, _escaped_indented_start, lines)
    if "\n\n" not in lines:
        return lines.replace("\n", _HARD_BREAK)
    lines = _SINGLE_BREAK.sub(_HARD_BREAK, lines)
    return _SEVERAL_EMPTY_LINES.sub(_separator, lines)


# The `&` of `&amp;` or `&#39;`, which markdown would show as the character
_ENTITY_START = re.compile(r"&(?=#?[0-9A-Za-z]{1,32};)")

# The begin of a line that would be a heading, quote, list or rule: the place before `#`, or the `1` of `1. `
_LINE_SIGNS = "#>+=-"
_LINE_START = re.compile(rf"^(?:[0-9]{{1,9}}(?=[.)](?:[ \t]|$))|(?=[{_LINE_SIGNS}]))", re.MULTILINE)

# The blanks at the begin of a line, and the digits behind them: `   1` of `   1. first`
_INDENTED_START = re.compile(r"^([ \t]+)([0-9]{0,9})", re.MULTILINE)

# About the characters of a piece: see `_sub_in_pieces`.
_PIECE_CHARACTERS = 16_384


def _sub_in_pieces(
    line_pattern: re.Pattern[str], replacement: Callable[[re.Match[str]], str], text: str
) -> str:
    """Returns `line_pattern.sub(replacement, text)`, of a pattern whose matches are within one line.

    It takes whole lines at a time, since `sub` holds 100 bytes and more for each match until its end.
    """
    pieces: list[str] = []
    start = 0
    while start < len(text):
        line_end = text.find("\n", start + _PIECE_CHARACTERS)
        end = len(text) if line_end < 0 else line_end + 1
        pieces.append(line_pattern.sub(replacement, text[start:end]))
        start = end
    return "".join(pieces)


# One line break between two lines with text; and three or more, which are several empty lines
_SINGLE_BREAK = re.compile(r"(?<!\n)\n(?!\n)")
_SEVERAL_EMPTY_LINES = re.compile(r"\n{3,}")


def size_in_bytes(text: str) -> int:
    """Returns the size of a text as WeCom counts it, after `escaped`; a character counts 1 at least."""
    return max(len(text), utf8_size(escaped(text)))


def markdown_size_in_bytes(text: str) -> int:
    """Returns the same of a text that is markdown already."""
    return utf8_size(text)


_LINE_BREAK = re.compile(r"\r\n?")
_BLANKS = " \t"


def _trimmed_lines(text: str) -> str:
    """Returns a text without what is not seen: blanks at the end of a line, empty lines around the text."""
    if "\r" in text:
        text = _LINE_BREAK.sub("\n", text)
    if " \n" in text or "\t\n" in text:
        text = "\n".join([line.rstrip(_BLANKS) for line in text.split("\n")])
    return text.rstrip(_BLANKS + "\n").lstrip("\n")


# A word with an address, as `https://a.b/x\_y`, stays a link: between letters and digits `_` means nothing,
# and has no backslash.
_SCHEME_END = "://"
_WORD = re.compile(r"[^ \t\n]+")
_ESCAPED_UNDERLINE = "\\_"
_ESCAPED_UNDERLINE_WITHIN = re.compile(r"(?<=[0-9A-Za-z])\\_(?=[0-9A-Za-z])")


def _with_addresses_kept(text: str) -> str:
    """Returns a text whose signs are escaped, without the backslash before `_` within an address."""
    result: list[str] = []
    done = 0
    for match in _WORD.finditer(text):
        word = match[0]
        if _SCHEME_END in word and _ESCAPED_UNDERLINE in word:
            result += (text[done : match.start()], _ESCAPED_UNDERLINE_WITHIN.sub("_", word))
            done = match.end()
    return "".join((*result, text[done:]))


# Behind the number of a list: `. ` or `)` at the end of the line
_AFTER_NUMBER = re.compile(r"[.)](?:[ \t]|$)", re.MULTILINE)

# How many blanks a tab is shown as.
_TAB_BLANKS = 4


def _escaped_indented_start(start: re.Match[str]) -> str:
    """Returns blanks that do not break, and the number of the line; a backslash where the sign behind it
    would mean something.
    """
    indent, number = start.groups()
    blanks = _FIXED_BLANK * len(indent.replace("\t", " " * _TAB_BLANKS))
    backslash = "\\" if _has_meaning(start.string, start.end(), number) else ""
    return f"{blanks}{number}{backslash}"


def _has_meaning(text: str, end: int, number: str) -> bool:
    """Returns whether what stands at `end`, behind blanks and this number, makes a list or heading."""
    if number:
        return _AFTER_NUMBER.match(text, end) is not None
    return text[end] in _LINE_SIGNS


def _separator(breaks: re.Match[str]) -> str:
    """Returns what stands between two lines with text and several empty ones between them."""
    return _HARD_BREAK + (_FIXED_BLANK + _HARD_BREAK) * (len(breaks[0]) - 1)
