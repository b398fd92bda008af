"""Reads changes of a group from WeChat's system texts (webwx 3.10).

A sentence is a sequence of names, each with fixed words after it: `"A"邀请"B"加入了群聊`. The words are
searched from the left, and a name is what stands before them. Nothing is tried again, so the cost grows no
faster than the text. Names are display names, which do not identify anybody.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from wx2mqtt.values import frozen

# Stands for the owner among the names of a `GroupNotice`.
OWNER_MARK = "\0"

# Longer texts are no notices about a group.
MAX_NOTICE_CHARACTERS = 500

_YOU = ("你", "您", "You", "you")
_QUOTES = '"“”「」'
_OPENING_QUOTES = ('"', "“", "「")
_CLOSING_QUOTES = ('"', "”", "」")

_QUOTE = re.compile(f"[{_QUOTES}]")
_BLANKS = re.compile(r"\s*")
_COMMA = re.compile("、|, ")

_GROUP = "(?:群聊|群組|群组)"
_CODE = "(?:二维码|二維碼|行動條碼|QR ?[Cc]ode)"
_JOINED = rf"加入了?{_GROUP}"
_JOINED_ENGLISH = " joined (?:the )?group chat"
_END = r"\Z"

Role = Literal["by", "added", "removed"]


@frozen
class GroupNotice:
    """A change of a group, read from a system text; `by` is empty when the text does not say who made it."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    by: str = ""
    renamed: bool = False


class _Name(NamedTuple):
    """A name of a sentence: its role and the words after it.

    `conjunction`: words that may stand between two names of this role. `may_be_missing`: it may be empty.
    """

    role: Role
    words: re.Pattern[str]
    conjunction: re.Pattern[str] | None = None
    may_be_missing: bool = False


def _name(role: Role, words: str, conjunction: str = "", *, may_be_missing: bool = False) -> _Name:
    either = re.compile(f"(?P<and>{conjunction})|{words}") if conjunction else None
    return _Name(role, re.compile(words), either, may_be_missing)


_SENTENCES = (
    (_name("by", "邀[请請]"), _name("added", _JOINED, "[和与與]")),
    (_name("by", " invited "), _name("added", " to (?:join )?(?:the|a) group chat", " and ")),
    (
        _name("added", "[通透][过過](?:[扫掃][描瞄])?"),
        _name("by", rf"(?:分享的|的邀[请請])\s*{_CODE}\s*{_JOINED}"),
    ),
    (_name("added", f"{_JOINED_ENGLISH} via the QR [Cc]ode shared by "), _name("by", _END)),
    (_name("added", f"{_JOINED_ENGLISH} via the QR [Cc]ode "), _name("by", " shared")),
    (_name("added", f"{_JOINED_ENGLISH} via "), _name("by", "r shared QR [Cc]ode")),
    (_name("added", _JOINED),),
    (_name("added", _JOINED_ENGLISH),),
    (_name("by", "[将將]"), _name("removed", f"移出了?{_GROUP}")),
    (_name("removed", "被"), _name("by", f"移出了?{_GROUP}", may_be_missing=True)),
    (_name("by", " removed "), _name("removed", " from the group chat")),
    (_name("removed", " (?:was|were) removed from the group chat by "), _name("by", _END)),
    (_name("removed", f" (?:was|were) removed from the group chat{_END}"),),
    (_name("removed", f"(?:退出|离开|離開)了?{_GROUP}"),),
    (_name("removed", " (?:has )?left the group chat"),),
)

_RENAMED = re.compile("修改群組?组?(?:名|的名)[称稱]?[为為]|\\bchanged the group(?: chat)? name to\\b")


def group_notice(text: str) -> GroupNotice | None:
    """Returns the change of a group that a system text reports, or None when it reports none."""
    if len(text) > MAX_NOTICE_CHARACTERS:
        return None
    if _RENAMED.search(text):
        return GroupNotice(renamed=True)
    text = text.strip()
    for sentence in _SENTENCES:
        names = _names_by_role(sentence, text)
        if names is not None:
            by = names.get("by", ())
            return GroupNotice(
                added=names.get("added", ()), removed=names.get("removed", ()), by=by[0] if by else ""
            )
    return None


def _names_by_role(sentence: tuple[_Name, ...], text: str) -> dict[Role, tuple[str, ...]] | None:
    """Returns the names in a text, or None when the text is another sentence."""
    names: dict[Role, tuple[str, ...]] = {}
    start = 0
    for name in sentence:
        end = None
        if name.conjunction and (between := _find_end(text, start, name.conjunction)) and between["and"]:
            end = _find_end(text, between.end(), name.words)
            if end:
                names[name.role] = _split_names(text[start : between.start()])
                start = between.end()
        end = end or _find_end(text, start, name.words, may_be_missing=name.may_be_missing)
        if end is None:
            return None
        names[name.role] = (*names.get(name.role, ()), *_split_names(text[start : end.start()]))
        start = end.end()
    return names


def _find_end(
    text: str, start: int, words: re.Pattern[str], *, may_be_missing: bool = False
) -> re.Match[str] | None:
    """Returns the first match of `words` with a name between `start` and it, or None.

    A name has quotes around it and contains anything, or it contains no quotes.
    """
    first = _BLANKS.match(text, start)
    begin = first.end() if first else start
    quote = _QUOTE.search(text, begin)
    is_quoted = text.startswith(_OPENING_QUOTES, begin)
    for match in words.finditer(text, start):
        if not is_quoted:
            if quote and quote.start() < match.start():
                return None
            if match.start() > begin or may_be_missing:
                return match
        elif _ends_quotation(text, begin + 1, match.start()):
            return match
    return None


def _ends_quotation(text: str, begin: int, end: int) -> bool:
    """Returns whether a closing quote, and blanks at most, ends a text with a character before it."""
    while end > begin and text[end - 1].isspace():
        end -= 1
    return end - begin > 1 and text[end - 1] in _CLOSING_QUOTES


def _split_names(text: str) -> tuple[str, ...]:
    """Returns the names in a part of a sentence, in their order."""
    text = text.strip()
    if text in _YOU:
        return (OWNER_MARK,)
    return tuple(filter(None, (name.strip() for name in _COMMA.split(text.strip(_QUOTES)))))
