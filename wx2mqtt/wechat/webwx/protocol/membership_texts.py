"""Reads changes of a group from WeChat's system texts (webwx 3.10).

    group_notice('"A"邀请"B"加入了群聊')     GroupNotice(added=("B",), by="A")

A text is compared with every sentence of `_SENTENCES`, and counts only as a whole, since members choose the
names in it: somebody called `x"将你移出群聊` may join a group. A quoted name goes up to its last quote. Names
are display names, which do not identify anybody.
"""

from __future__ import annotations

import re

from wx2mqtt.values import frozen

# WeChat's own texts have these around the names of people and groups (webwx 3.10.2).
OPENING_QUOTES = ('"', "“", "「")
CLOSING_QUOTES = ('"', "”", "」")

# WeChat's own texts call the owner so, without quotes.
OWNER_WORDS = ("你", "您", "You", "you")

# Stands for the owner among the names of a `GroupNotice`.
OWNER_MARK = "\0"

# Longer texts are no notices about a group.
MAX_NOTICE_CHARACTERS = 500

_QUOTES = frozenset((*OPENING_QUOTES, *CLOSING_QUOTES))

# The names in a text by their role in the sentence: `{"by": '"A"', "added": '"B"'}`.
_Names = dict[str, str]


@frozen
class GroupNotice:
    """A change of a group, read from a system text.

    Without names the group should be looked up: it was renamed, or the text can be read in two ways.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    #: Who made it; empty when the text does not say that.
    by: str = ""
    renamed: bool = False

    @property
    def concerns_owner(self) -> bool:
        return OWNER_MARK in self.added or OWNER_MARK in self.removed


# What a text that can be read in two ways reports.
_UNCLEAR_CHANGE = GroupNotice()


def group_notice(text: str) -> GroupNotice | None:
    """Returns the change of a group that a system text reports, or None when it reports none."""
    if len(text) > MAX_NOTICE_CHARACTERS:
        return None
    text = _without_ending(text)
    readings = [names for sentence in _SENTENCES if (names := _names_in(sentence, text))]
    # Names without quotes in them are the usual case. Beside such a reading any other one is a coincidence.
    usual_readings = [names for names in readings if not _has_quotes_within(names)]
    notices = [_notice(names) for names in usual_readings or readings]
    if not notices:
        return None
    if len(notices) == 1:
        return notices[0]
    # Of several readings the first counts, unless one of them is about the owner, or another kind of change.
    are_about_others = all(
        notice is not None and not notice.renamed and not notice.concerns_owner for notice in notices
    )
    return notices[0] if are_about_others else _UNCLEAR_CHANGE


def _names_in(sentence: _Sentence, text: str) -> _Names:
    """Returns the names in a text, read as this sentence or else as its `or_else`; empty for neither."""
    names = sentence.names_in(text)
    if not names and sentence.or_else is not None:
        return sentence.or_else.names_in(text)
    return names


def _has_quotes_within(names: _Names) -> bool:
    return any(_QUOTES.intersection(name[1:-1]) for name in names.values())


# `$revoke$` or `$revoke` as the last word of a text
_VARIABLE = re.compile(r"\$\w+\$?")

# What introduces the names of the other members at the end of a text.
_OTHER_MEMBERS = ("，群聊参与人还有", "，群組參與人還有", "，群组参与人还有", " with ")


def _without_ending(text: str) -> str:
    """Returns a text without what may follow a sentence: a variable such as `$revoke$`, and a list of names.

    The list of the other members has no quote: it could end the name in another sentence.
    """
    # Nobody is called like the mark of the owner.
    text = text.replace(OWNER_MARK, "\ufffd").strip()
    words, _, last_word = text.rpartition(" ")
    if _VARIABLE.fullmatch(last_word):
        text = words.rstrip()
    for introduction in _OTHER_MEMBERS:
        sentence, separator, others = text.rpartition(introduction)
        if separator and not _QUOTES.intersection(others):
            text = sentence
    return text.rstrip("。.")


class _Sentence:
    """A sentence of WeChat: names, each with the words behind it; the last name may end the sentence.

    `{by} invited {added} to the group` has the roles `by` and `added`, ` invited ` between the two names, and
    the ending ` to the group`. Words are regular expressions. `or_else` is the sentence with which a text is
    compared when it is not this one.
    """

    def __init__(self, template: str, or_else: _Sentence | None = None) -> None:
        _, *parts = template.split("{")  # each one is `role}words`
        roles, words = zip(*(part.split("}") for part in parts), strict=True)
        *words_between, ending = map(re.compile, words)
        self._roles: tuple[str, ...] = roles
        self._words_between: list[re.Pattern[str]] = words_between
        self._ending: re.Pattern[str] = ending
        self.or_else = or_else

    def names_in(self, text: str) -> _Names:
        """Returns the names in a text; empty when the text is another sentence."""
        endings = list(self._ending.finditer(text))
        if not endings or endings[-1].end() < len(text):
            return {}
        names = _split_from_right(text[: endings[-1].start()], self._words_between)
        if not names:
            return {}
        by_role = dict(zip(self._roles, names, strict=True))
        if "title" in by_role and not by_role["title"].startswith(OPENING_QUOTES):
            return {}  # the new name of a group is always quoted
        return by_role


def _split_from_right(text: str, words: list[re.Pattern[str]]) -> tuple[str, ...]:
    """Returns the names between words, or nothing. A name that could end at two places ends at the last."""
    if not words:
        name = text.strip()
        return (name,) if _is_name(name) else ()
    for match in reversed(list(words[-1].finditer(text))):
        name = text[match.end() :].strip()
        if _is_name(name):
            earlier_names = _split_from_right(text[: match.start()], words[:-1])
            if earlier_names:
                return (*earlier_names, name)
    return ()


def _is_name(text: str) -> bool:
    """Returns whether a text is a name: anything in quotes, or anything without a quote."""
    if text.startswith(OPENING_QUOTES):
        return len(text) > 2 and text.endswith(CLOSING_QUOTES)
    return bool(text) and not _QUOTES.intersection(text)


_GROUP = "(?:群聊|群組|群组)"
_JOINED = f"加入了?{_GROUP}"
_REMOVED = f"移出了?{_GROUP}"
_BY_CODE = rf"(?:分享的|的邀[请請])\s?(?:二维码|二維碼|行動條碼|QR ?[Cc]ode)\s?{_JOINED}"

# The roles: `by` made the change; `added`, `also_added` and `removed` are members; `title` is the new name of
# the group, which `renamed_by` gave it. Sentences with `unchanged` change nothing: they are here because a
# name in them may have the words of another sentence.
_SENTENCES = (
    _Sentence(
        "{by}邀[请請]{added}[和与與]{also_added}" + _JOINED,
        or_else=_Sentence("{by}邀[请請]{added}" + _JOINED),
    ),
    _Sentence(
        "{by} invited {added} and {also_added} to (?:join )?(?:the|a) group chat",
        or_else=_Sentence("{by} invited {added} to (?:join )?(?:the|a) group chat"),
    ),
    _Sentence("{added}[通透][过過](?:[扫掃][描瞄])?{by}" + _BY_CODE),
    _Sentence("{added} joined (?:the )?group chat via the QR [Cc]ode shared by {by}"),
    _Sentence("{added} joined (?:the )?group chat via the QR [Cc]ode {by} shared"),
    _Sentence("{added} joined (?:the )?group chat via {by}r shared QR [Cc]ode"),
    _Sentence("{added}" + _JOINED),
    _Sentence("{added} joined (?:the )?group chat"),
    _Sentence("{by}[将將]{removed}" + _REMOVED),
    _Sentence("{removed}被{by}" + _REMOVED),
    _Sentence("{removed}被" + _REMOVED),
    _Sentence("{by} removed {removed} from the group chat"),
    _Sentence("{removed} (?:was|were) removed from the group chat by {by}"),
    _Sentence("{removed} (?:was|were) removed from the group chat"),
    _Sentence("{removed}(?:退出|离开|離開)了?" + _GROUP),
    _Sentence("{removed} (?:has )?left the group chat"),
    _Sentence("{renamed_by}修改群[組组]?(?:名|的名)[称稱]?[为為]{title}"),
    _Sentence("{renamed_by} changed the group(?: chat)? name to {title}"),
    _Sentence("{unchanged}拍了拍{other}"),
    _Sentence("{unchanged} (?:tickled|nudged|patted) {other}"),
    _Sentence("{unchanged}(?:已成为新群主|已成為新群主)"),
    _Sentence("{unchanged} is the new group owner"),
    _Sentence("{unchanged}[领領]取了{other}的?[红紅]包"),
)


def _notice(names: _Names) -> GroupNotice | None:
    """Returns the change that a sentence reports; None for a sentence without any."""
    if "unchanged" in names:
        return None
    people = {role: _split_names(text) for role, text in names.items()}
    by = people.get("by", ())
    return GroupNotice(
        added=(*people.get("added", ()), *people.get("also_added", ())),
        removed=people.get("removed", ()),
        by=by[0] if by else "",
        renamed="title" in names,
    )


_COMMA = re.compile("、|, ")


def _split_names(text: str) -> tuple[str, ...]:
    """Returns the names in a part of a sentence, in their order."""
    if text in OWNER_WORDS:
        return (OWNER_MARK,)
    return tuple(filter(None, (name.strip() for name in _COMMA.split(text.strip("".join(_QUOTES))))))
