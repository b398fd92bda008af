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

_LINE_BREAK = re.compile(r"\r\n?|\n")
_WORD = re.compile(r"[^ \t]+")

# Signs that mean something wherever they are.
_SIGNS = r"\`*_[]<|~"
_ESCAPES = str.maketrans({sign: f"\\{sign}" for sign in _SIGNS})
_ESCAPES_IN_ADDRESS = str.maketrans({sign: f"\\{sign}" for sign in _SIGNS if sign != "_"})
_ENTITY_START = re.compile(r"&(?=#?[0-9A-Za-z]{1,32};)")

# A word with an address stays a link: between letters and digits `_` means nothing, and has no backslash.
_SCHEME_END = "://"
_SIGNIFICANT_UNDERLINE = re.compile(r"(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")

# Signs that mean something at the begin of a line: heading, quote, list, rule; and a number before a list.
_LINE_START = re.compile(r"(?:[0-9]{1,9}(?=[.)](?:[ \t]|$))|(?=[#>+=-]))")


def escaped(text: str) -> str:
    """Returns markdown that is shown as `text` is."""
    lines = [line.rstrip(_BLANKS) for line in _LINE_BREAK.split(text)]
    while lines and not lines[-1]:
        lines.pop()
    result = ""
    empty_count = 0
    for line in lines:
        if not line:
            empty_count += 1
            continue
        if result:
            result += _separator(empty_count)
        empty_count = 0
        result += _escaped_line(line)
    return result


def size_in_bytes(text: str) -> int:
    """Returns the size of a text as WeCom counts it, after `escaped`; a character counts 1 at least."""
    return max(len(text), utf8_size(escaped(text)))


def markdown_size_in_bytes(text: str) -> int:
    """Returns the same of a text that is markdown already."""
    return utf8_size(text)


def _separator(empty_count: int) -> str:
    """Returns what stands between two lines with text and so many empty ones between them."""
    match empty_count:
        case 0:
            return _HARD_BREAK
        case 1:
            return "\n\n"
        case _:
            return _HARD_BREAK + (_FIXED_BLANK + _HARD_BREAK) * empty_count


def _escaped_line(line: str) -> str:
    """Returns one line, which is not empty and has no blanks at its end."""
    if line[0].isalpha() and _SCHEME_END not in line and "&" not in line:
        return line.translate(_ESCAPES)  # as most lines: there is nothing else to look at
    words = line.lstrip(_BLANKS)
    indent = line[: len(line) - len(words)].replace("\t", " " * _TAB_BLANKS)
    has_address = _SCHEME_END in words
    signs_escaped = _WORD.sub(_escaped_word, words) if has_address else words.translate(_ESCAPES)
    signs_escaped = _ENTITY_START.sub(r"\\&", signs_escaped)
    if start := _LINE_START.match(words):  # what it matches has no sign that was escaped
        signs_escaped = f"{start[0]}\\{signs_escaped[start.end() :]}"
    return _FIXED_BLANK * len(indent) + signs_escaped


def _escaped_word(word: re.Match[str]) -> str:
    if _SCHEME_END not in word[0]:
        return word[0].translate(_ESCAPES)
    return _SIGNIFICANT_UNDERLINE.sub(r"\\_", word[0].translate(_ESCAPES_IN_ADDRESS))
