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

from wx2mqtt.names import utf8_size

MAX_TEXT_BYTES = 20_480

_HARD_BREAK = "  \n"
_FIXED_BLANK = "\u00a0"
_TAB_BLANKS = 4
_BLANKS = " \t"

_LINE_BREAK = re.compile(r"\r\n?")
_SINGLE_BREAK = re.compile(r"(?<!\n)\n(?!\n)")
_SEVERAL_EMPTY_LINES = re.compile(r"\n{3,}")

# Signs that mean something wherever they are; the backslash must be escaped first.
_SIGNS = r"\`*_[]<|~"
_ENTITY_START = re.compile(r"&(?=#?[0-9A-Za-z]{1,32};)")

# A word with an address stays a link: between letters and digits `_` means nothing, and has no backslash.
_SCHEME_END = "://"
_WORD = re.compile(r"[^ \t\n]+")
_ESCAPED_UNDERLINE = "\\_"
_ESCAPED_UNDERLINE_WITHIN = re.compile(r"(?<=[0-9A-Za-z])\\_(?=[0-9A-Za-z])")

# Signs that mean something at the begin of a line: heading, quote, list, rule; and a number before a list.
_LINE_SIGNS = "#>+=-"
_LINE_START = re.compile(rf"^(?:[0-9]{{1,9}}(?=[.)](?:[ \t]|$))|(?=[{_LINE_SIGNS}]))", re.MULTILINE)
_INDENTED_START = re.compile(r"^([ \t]+)([0-9]{0,9})", re.MULTILINE)
_AFTER_NUMBER = re.compile(r"[.)](?:[ \t]|$)", re.MULTILINE)


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
    lines = _LINE_START.sub(lambda start: f"{start[0]}\\", lines)
    lines = _INDENTED_START.sub(_escaped_indented_start, lines)
    if "\n\n" not in lines:
        return lines.replace("\n", _HARD_BREAK)
    lines = _SINGLE_BREAK.sub(_HARD_BREAK, lines)
    return _SEVERAL_EMPTY_LINES.sub(_separator, lines)


def size_in_bytes(text: str) -> int:
    """Returns the size of a text as WeCom counts it, after `escaped`; a character counts 1 at least."""
    return max(len(text), utf8_size(escaped(text)))


def markdown_size_in_bytes(text: str) -> int:
    """Returns the same of a text that is markdown already."""
    return utf8_size(text)


def _trimmed_lines(text: str) -> str:
    """Returns a text without what is not seen: blanks at the end of a line, empty lines around the text."""
    if "\r" in text:
        text = _LINE_BREAK.sub("\n", text)
    if " \n" in text or "\t\n" in text:
        text = "\n".join([line.rstrip(_BLANKS) for line in text.split("\n")])
    return text.rstrip(_BLANKS + "\n").lstrip("\n")


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


def _escaped_indented_start(start: re.Match[str]) -> str:
    """Returns blanks that do not break, and the number of the line; a backslash where the sign behind it
    would mean something.
    """
    indent, number = start.groups()
    blanks = _FIXED_BLANK * len(indent.replace("\t", " " * _TAB_BLANKS))
    text, end = start.string, start.end()
    is_list = bool(_AFTER_NUMBER.match(text, end)) if number else text[end] in _LINE_SIGNS
    return f"{blanks}{number}\\" if is_list else f"{blanks}{number}"


def _separator(breaks: re.Match[str]) -> str:
    """Returns what stands between two lines with text and several empty ones between them."""
    return _HARD_BREAK + (_FIXED_BLANK + _HARD_BREAK) * (len(breaks[0]) - 1)
