r"""Markdown as people read it: the text without its marks (wecom 5.4).

`**on** \*` is shown as `on *`. What a mark is, CommonMark says, with tables and strikethrough. HTML is not
shown. Lines stay where they are in the source, so that a text without marks comes out as it went in.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_TAG = re.compile(r"<[^<>]*>")
_CELL_BORDER = " | "

_LEAVES = frozenset(
    {"paragraph_open", "table_open", "heading_open", "fence", "code_block", "html_block", "hr"}
)
"""Blocks that have text of their own."""

_AT_THEIR_LINE = _LEAVES | {"bullet_list_open", "ordered_list_open", "list_item_open", "blockquote_open"}
"""Tokens that know at which line of the source they begin."""


def shown_text(markdown: str) -> str:
    """Returns what people read of a message in markdown."""
    writer = _Writer()
    for token in _parser().parse(markdown):
        writer.take(token)
    return "\n".join(writer.lines)


@functools.cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - rarely needed

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


class _Writer:
    """Writes the blocks of a text, each at the line at which it begins in the source.

    `_prefixes`: of each list and quote around the block, what stands before its first line and the others.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._prefixes: list[tuple[str, str]] = []
        self._source_line = 0
        self._row: list[str] | None = None

    def take(self, token: Token) -> None:
        """Takes the next token of the parser."""
        if token.type in _AT_THEIR_LINE:
            self._go_to(token)
        match token.type:
            case "blockquote_open":
                self._prefixes.append(("｜", "｜"))
            case "list_item_open":
                mark = f"{token.info}{token.markup} " if token.info else "• "
                self._prefixes.append((mark, " " * len(mark)))
            case "blockquote_close" | "list_item_close":
                self._prefixes.pop()
            case "tr_open":
                self._row = []
            case "tr_close":
                self._write(_CELL_BORDER.join(self._row or []))
                self._row = None
            case _:
                self._take_text(token)

    def _take_text(self, token: Token) -> None:
        match token.type:
            case "inline" if self._row is not None:
                self._row.append(_inline_text(token))
            case "inline":
                self._write(_inline_text(token))
            case "fence" | "code_block":
                self._write(token.content.removesuffix("\n"))
            case "html_block":
                self._write(_TAG.sub("", token.content.removesuffix("\n")))
            case "hr":
                self._write("———")

    def _go_to(self, token: Token) -> None:
        """Adds the blank lines that the source has before a block."""
        if token.map is None:
            return
        begin, end = token.map
        blank = begin - self._source_line
        self.lines += [""] * (blank if self.lines or blank > 0 else 0)
        self._source_line = max(begin, self._source_line)
        if token.type in _LEAVES:
            self._source_line = end

    def _write(self, text: str) -> None:
        first = "".join(first for first, _ in self._prefixes)
        others = "".join(other for _, other in self._prefixes)
        self._prefixes = [(other, other) for _, other in self._prefixes]
        begin, *rest = text.split("\n")
        self.lines += [first + begin, *(others + line for line in rest)]


def _inline_text(token: Token) -> str:
    parts: list[str] = []
    targets: list[str] = []
    for child in token.children or ():
        match child.type:
            case "softbreak" | "hardbreak":
                parts.append("\n")
            case "link_open":
                targets.append(str(child.attrs.get("href", "")))
            case "link_close":
                _add_target(parts, targets.pop())
            case "image":
                parts.append(child.content)
                _add_target(parts, str(child.attrs.get("src", "")))
            case "html_inline":
                continue
            case _:
                parts.append(child.content)
    return "".join(parts)


def _add_target(parts: list[str], target: str) -> None:
    """Adds where a link leads, if its text is not that already."""
    if target and not "".join(parts).endswith(target):
        parts.append(f" ({target})")
