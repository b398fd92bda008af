r"""Texts as WeCom takes them: markdown is the only form of a text (wecom 5.3, 5.4).

    *sale* 2 < 3      →   \*sale\* 2 \< 3

`escaped` returns markdown that is shown as the text was written.
"""

from __future__ import annotations

import re

MAX_TEXT_BYTES = 20_480

# Signs that mean something wherever they are; `&` only where it begins an entity.
_INLINE = re.compile(r"[\\`*_\[\]<|~]|&(?=#?[0-9A-Za-z]{1,32};)")

# Signs that mean something at the begin of a line: heading, quote, list, rule; and a number before a list.
_LINE_START = re.compile(r"([ \t]*+(?:[0-9]{1,9}(?=[.)](?:[ \t]|$))|(?=[#>+=-])))(.)")


def escaped(text: str) -> str:
    """Returns markdown that reads as `text` does."""
    text = _INLINE.sub(lambda sign: "\\" + sign[0], text)
    return "\n".join(map(_escape_line_start, text.split("\n")))


def _escape_line_start(line: str) -> str:
    start = _LINE_START.match(line)
    return line if start is None else f"{start[1]}\\{line[start.end(1) :]}"


def size_in_bytes(text: str) -> int:
    """Returns the size of a text as WeCom counts it, after `escaped`."""
    return len(escaped(text).encode("utf-8", "replace"))
