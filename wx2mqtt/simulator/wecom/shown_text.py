r"""Markdown as people read it: the text without its marks (wecom 5.4).

`**on** \*` is shown as `on *`. Rules as in CommonMark for what the notes list: headings, bold, italic, lists,
quotes, links, pictures, rules, code and tables; a backslash keeps a punctuation mark, and an entity such as
`&lt;` is the character that it names. A line break stays a line break.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from html.entities import html5

_FENCE = re.compile(r" {0,3}(```+|~~~+)[^`]*$")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]+|$)(.*?)(?:[ \t]+#+)?[ \t]*$")
_QUOTE = re.compile(r" {0,3}> ?")
_BULLET = re.compile(r"( *)[-*+](?:[ \t]+|$)")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")


def shown_text(markdown: str) -> str:
    """Returns what people read of a message in markdown."""
    lines: list[str] = []
    fence = ""
    for line in markdown.replace("\r\n", "\n").split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and line.strip() == mark[1]:
                fence = ""
            else:
                lines.append(line)
        elif mark:
            fence = mark[1]
        else:
            _add_line(lines, line)
    return "\n".join(lines)


def _add_line(lines: list[str], line: str) -> None:
    if _RULE.match(line):
        lines.append("———")
    elif lines and lines[-1].strip() and _UNDERLINE.match(line):
        return  # the line before it is a heading
    elif "|" in line and _TABLE_RULE.match(line):
        return  # between the head of a table and its rows
    else:
        lines.append(_shown_line(line))


def _shown_line(line: str) -> str:
    if heading := _HEADING.match(line):
        return _inline(heading[1])
    if quote := _QUOTE.match(line):
        return "｜" + _shown_line(line[quote.end() :])
    if bullet := _BULLET.match(line):
        return f"{bullet[1]}• {_inline(line[bullet.end() :])}"
    if not line.startswith("    "):
        line = line.lstrip(" ")
    return _inline(line.rstrip(" "))


_TOKENS = re.compile(
    r"\\(?P<escaped>[!-/:-@\[-`{-~])"
    r"|(?P<ticks>`+)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)"
    r"|!?\[(?P<label>(?:\\.|[^\[\]\\])*)\]\((?P<target>[^()\s]*)(?:[ \t]+\"[^\"]*\")?\)"
    r"|<(?P<address>[A-Za-z][A-Za-z0-9+.-]{1,31}:[^<>\s]*)>"
    r"|(?P<tag></?[A-Za-z][A-Za-z0-9-]*(?:[ \t][^<>]*)?/?>)"
    r"|(?P<entity>&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)"
)

_KEPT = "\ue000{}\ue001"  # private characters stand for what no mark may change any more
_KEPT_PLACE = re.compile("\ue000([0-9]+)\ue001")
_EMPHASIS = (
    re.compile(r"(?<![*\w])\*\*\*(?=\S)(.+?)(?<=\S)\*\*\*"),
    re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*"),
    re.compile(r"(?<!\w)__(?=\S)(.+?)(?<=\S)__(?!\w)"),
    re.compile(r"\*(?=[^\s*])(.+?)(?<=[^\s*])\*"),
    re.compile(r"(?<!\w)_(?=[^\s_])(.+?)(?<=[^\s_])_(?!\w)"),
    re.compile(r"~~(?=\S)(.+?)(?<=\S)~~"),
)


def _inline(line: str) -> str:
    """Returns a line without the marks inside of it."""
    kept: list[str] = []

    def keep(text: str) -> str:
        kept.append(text)
        return _KEPT.format(len(kept) - 1)

    text = _TOKENS.sub(lambda match: keep(_token_text(match)), line)
    for emphasis in _EMPHASIS:
        text = emphasis.sub(r"\1", text)
    return _KEPT_PLACE.sub(lambda match: kept[int(match[1])] if int(match[1]) < len(kept) else "", text)


def _token_text(match: re.Match[str]) -> str:
    for name, shown in _TOKEN_TEXTS.items():
        if (found := match[name]) is not None:
            return shown(found, match)
    return ""


def _link(label: str, match: re.Match[str]) -> str:
    target = match["target"]
    text = _inline(label)
    return text if text == target or not target else f"{text} ({target})"


def _entity(text: str) -> str:
    """Returns the character of an entity; a name that is not known stays as it is."""
    return html.unescape(text) if text[1] == "#" or text[1:] in html5 else text


_TOKEN_TEXTS: dict[str, Callable[[str, re.Match[str]], str]] = {
    "escaped": lambda text, _: text,
    "code": lambda text, _: text,
    "label": _link,
    "address": lambda text, _: text,
    "tag": lambda _, __: "",
    "entity": lambda text, _: _entity(text),
}
