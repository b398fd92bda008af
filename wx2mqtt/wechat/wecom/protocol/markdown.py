r"""Texts as WeCom takes them: markdown is the only form of a text (wecom 5.3, 5.4).

    *sale* 2 < 3      →   \*sale\* 2 \< 3

`escaped` returns markdown that is shown as the text was written. Every line stands for itself:

| in the text | in the markdown |
|---|---|
| blanks at the end of a line, empty lines around the text | nothing: they are not seen |
| a sign that means something | the same behind a backslash |
| blanks at the start of a line | blanks that do not break: four others start a block of code |
| a line break | two blanks before it, so that it is no mere blank |
| one empty line | the same: it separates paragraphs |
| several empty lines | lines with one blank that does not break |
"""

from __future__ import annotations

import re
from collections.abc import Callable

from wx2mqtt.names import utf8_size

# The largest text that WeCom takes, in bytes of its markdown.
MAX_TEXT_BYTES = 20_480

# A blank that markdown keeps at the start of a line, and on a line of its own.
_FIXED_BLANK = "\u00a0"


def size_in_bytes(text: str) -> int:
    """Returns the size of a text as WeCom counts it, after `escaped`; a character counts 1 at least."""
    return max(len(text), utf8_size(escaped(text)))


def markdown_size_in_bytes(text: str) -> int:
    """Returns the same of a text that is markdown already."""
    return utf8_size(text)


def escaped(text: str) -> str:
    """Returns markdown that is shown as `text` is.

    The steps stand below in this order. Each is fast: a long text is escaped several times while it is split.
    """
    text = _without_unseen(text)
    text = _with_signs_escaped(text)
    text = _with_addresses_kept(text)
    text = _with_entities_escaped(text)
    text = _with_line_marks_escaped(text)
    text = _with_indents_kept(text)
    return _with_breaks_kept(text)


_LINE_BREAK = re.compile(r"\r\n?")
_BLANKS = " \t"


def _without_unseen(text: str) -> str:
    r"""`\nhello \r\nyou` → `hello\nyou`: no blanks at the end of a line, no empty lines around the text."""
    if "\r" in text:
        text = _LINE_BREAK.sub("\n", text)
    if " \n" in text or "\t\n" in text:
        text = "\n".join([line.rstrip(_BLANKS) for line in text.split("\n")])
    return text.rstrip(_BLANKS + "\n").lstrip("\n")


# They mean something wherever they are. The backslash is first: it must not escape those that are added.
_SIGNS = r"\`*_[]<|~"


def _with_signs_escaped(text: str) -> str:
    r"""`*sale*` → `\*sale\*`."""
    for sign in _SIGNS:
        text = text.replace(sign, f"\\{sign}")
    return text


# `see`, and the address of `see https://a.b/x\_y`
_WORD = re.compile(r"[^ \t\n]+")
_SCHEME_END = "://"

# Between letters and digits `_` means nothing: `x\_y`
_UNDERLINE_WITHIN = re.compile(r"(?<=[0-9A-Za-z])\\_(?=[0-9A-Za-z])")


def _with_addresses_kept(text: str) -> str:
    r"""`https://a.b/x\_y` → `https://a.b/x_y`: with a backslash in it the link would lead elsewhere."""
    if _SCHEME_END not in text:
        return text
    parts: list[str] = []
    done = 0
    for word in _WORD.finditer(text):  # `sub` would hold every word
        if _SCHEME_END in word[0]:
            parts += (text[done : word.start()], _UNDERLINE_WITHIN.sub("_", word[0]))
            done = word.end()
    return "".join((*parts, text[done:]))


# The `&` of `&amp;` or `&#39;`
_ENTITY_START = re.compile(r"&(?=#?[0-9A-Za-z]{1,32};)")


def _with_entities_escaped(text: str) -> str:
    r"""`&amp;` → `\&amp;`, which would be shown as `&`."""
    return _ENTITY_START.sub(r"\\&", text) if "&" in text else text


# What makes a line a heading, quote, list or rule, as far as the backslash: the `1` of `1. first`, nothing of
# `# title`
_LINE_MARK = re.compile(
    r"""^(?:
        [0-9]{1,9} (?= [.)] (?: [ \t] | $ ) )
        | (?= [#>+=-] )
    )""",
    re.MULTILINE | re.VERBOSE,
)
_WITH_BACKSLASH = r"\g<0>\\"


def _with_line_marks_escaped(text: str) -> str:
    r"""`# title` → `\# title`; `1. first` → `1\. first`."""
    return _sub_in_pieces(_LINE_MARK, _WITH_BACKSLASH, text)


# The two blanks and the rest of `  1. first`
_INDENTED_LINE = re.compile(r"^([ \t]+)(.*)", re.MULTILINE)

# How many blanks a tab is shown as.
_TAB_BLANKS = 4


def _with_indents_kept(text: str) -> str:
    """Makes the blanks at the start of a line unbreakable, and escapes the mark behind them."""
    return _sub_in_pieces(_INDENTED_LINE, _with_indent_kept, text)


def _with_indent_kept(line: re.Match[str]) -> str:
    blanks, rest = line.groups()
    fixed = _FIXED_BLANK * len(blanks.replace("\t", " " * _TAB_BLANKS))
    return fixed + _LINE_MARK.sub(_WITH_BACKSLASH, rest)


# Markdown for a line break within a paragraph.
_HARD_BREAK = "  \n"

# Between `a` and `b` of `a\n\n\nb`
_SEVERAL_EMPTY_LINES = re.compile(r"\n{3,}")


def _with_breaks_kept(text: str) -> str:
    """Makes each line break a hard one, except the two around a single empty line."""
    if "\n\n\n" in text:
        text = _SEVERAL_EMPTY_LINES.sub(_with_empty_lines_filled, text)
    return text.replace("\n", _HARD_BREAK).replace(_HARD_BREAK * 2, "\n\n")


def _with_empty_lines_filled(breaks: re.Match[str]) -> str:
    r"""`\n\n\n` → `\n·\n·\n`, where `·` is a blank that does not break."""
    return f"\n{_FIXED_BLANK}" * (len(breaks[0]) - 1) + "\n"


# About the characters of a piece of `_sub_in_pieces`.
_PIECE_CHARACTERS = 16_384


def _sub_in_pieces(
    line_pattern: re.Pattern[str], replacement: str | Callable[[re.Match[str]], str], text: str
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
