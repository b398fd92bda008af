"""What a system text says of a group: who came, who went, by whom, and that its name is another (webwx 3.10).

Matched loosely, in three scripts. The names are those that the text shows; nobody can be found by them for
certain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

YOU = "\0"
"""Stands for the owner among the names."""

LONGEST = 500  # characters; no such sentence is longer, and names without end would cost time without end

_YOU = ("你", "您", "You", "you")
_QUOTES = '"“”「」'
# A name is quoted, but not in all versions; or it is the owner. Behind it more may follow.
_NAME = rf"(?P<%s>{'|'.join(_YOU)}|[\"“「].+?[\"”」]|[^\"“”「」]+?)"
_GROUP = "(?:群聊|群組|群组)"
_CODE = "(?:二维码|二維碼|行動條碼|QR ?[Cc]ode)"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupNews:
    """`by` is who did it, empty where nobody is named."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    by: str = ""
    renamed: bool = False


def _pattern(words: str) -> re.Pattern[str]:
    for key in ("by", "added", "also", "removed"):
        words = words.replace(key.upper(), _NAME % key)
    return re.compile(r"\s*" + words)


_PATTERNS = tuple(
    map(
        _pattern,
        (
            rf"BY\s*邀[请請]\s*ADDED(?:[和与與]ALSO)?\s*加入了?{_GROUP}",
            r"BY invited ADDED(?: and ALSO)? to (?:join )?(?:the|a) group chat",
            rf"ADDED\s*[通透][过過](?:[扫掃][描瞄])?\s*BY\s*(?:分享的|的邀[请請])\s*{_CODE}\s*加入了?{_GROUP}",
            r"ADDED joined (?:the )?group chat via the QR [Cc]ode shared by BY\s*$",
            r"ADDED joined (?:the )?group chat via the QR [Cc]ode BY shared",
            r"ADDED joined (?:the )?group chat via BYr shared QR [Cc]ode",
            rf"ADDED\s*加入了?{_GROUP}",
            r"ADDED joined (?:the )?group chat",
            rf"BY\s*[将將]\s*REMOVED\s*移出了?{_GROUP}",
            rf"REMOVED\s*被\s*(?:BY\s*)?移出了?{_GROUP}",
            r"BY removed REMOVED from the group chat",
            r"REMOVED (?:was|were) removed from the group chat(?: by BY)?\s*$",
            rf"REMOVED\s*(?:退出|离开|離開)了?{_GROUP}",
            r"REMOVED (?:has )?left the group chat",
        ),
    )
)
_RENAMED = re.compile("修改群組?组?(?:名|的名)[称稱]?[为為]|\\bchanged the group(?: chat)? name to\\b")


def group_news(said: str) -> GroupNews | None:
    """What a system text says of its group; None when it is about something else."""
    if len(said) > LONGEST:
        return None
    if _RENAMED.search(said):
        return GroupNews(renamed=True)
    for pattern in _PATTERNS:
        found = pattern.match(said)
        if found:
            told = found.groupdict()
            return GroupNews(
                added=(*_names(told.get("added")), *_names(told.get("also"))),
                removed=_names(told.get("removed")),
                by=next(iter(_names(told.get("by"))), ""),
            )
    return None


def _names(told: str | None) -> tuple[str, ...]:
    """The names in a part of a sentence, in their order."""
    if told in _YOU:
        return (YOU,)
    names = (told or "").strip().strip(_QUOTES)
    return tuple(filter(None, (name.strip() for name in re.split("、|, ", names))))
