"""What WeChat itself says: system texts, system XML, friend requests, changes of groups.

Texts are matched loosely, in both Chinese scripts and English. Names in them are as shown; nobody can be
found by them for certain. (webwx 3.2, 3.10, 3.11)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import webwx_placeholder
from wx2mqtt.model import Json, Kind, Owner
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_text
from wx2mqtt.wechat.webwx.protocol.content import Content, content_facts
from wx2mqtt.wechat.webwx.protocol.link_messages import money_notice
from wx2mqtt.wechat.webwx.protocol.markup import (
    MAX_LINE_CHARACTERS,
    NO_NODE,
    XmlNode,
    clean_line,
    clean_name,
    parse_xml,
    system_text,
)

OWNER_MARK = "\0"
"""Stands for the owner among the names."""


MAX_NOTICE_CHARACTERS = (
    500  # characters; no such sentence is longer, and names without end would cost time without end
)


_YOU = ("你", "您", "You", "you")


_QUOTES = '"“”「」'


# A name is quoted, but not in all versions; or it is the owner. Behind it more may follow.
_NAME = rf"(?P<%s>{'|'.join(_YOU)}|[\"“「].+?[\"”」]|[^\"“”「」]+?)"


_GROUP = "(?:群聊|群組|群组)"


_CODE = "(?:二维码|二維碼|行動條碼|QR ?[Cc]ode)"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupNotice:
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


def group_notice(text: str) -> GroupNotice | None:
    """What a system text says of its group; None when it is about something else."""
    if len(text) > MAX_NOTICE_CHARACTERS:
        return None
    if _RENAMED.search(text):
        return GroupNotice(renamed=True)
    for pattern in _PATTERNS:
        found = pattern.match(text)
        if found:
            told = found.groupdict()
            return GroupNotice(
                added=(*_names(told.get("added")), *_names(told.get("also"))),
                removed=_names(told.get("removed")),
                by=next(iter(_names(told.get("by"))), ""),
            )
    return None


def _names(text: str | None) -> tuple[str, ...]:
    """The names in a part of a sentence, in their order."""
    if text in _YOU:
        return (OWNER_MARK,)
    names = (text or "").strip().strip(_QUOTES)
    return tuple(filter(None, (name.strip() for name in re.split("、|, ", names))))


_SYSMSG = re.compile(r"(?:<|&lt;)sysmsg\b")


_QUOTED_NAME = re.compile(r"[\"“「](.+?)[\"”」]")


_OWN = re.compile(r"\s*(?:你|您|You\b)", re.IGNORECASE)


_VARIABLE = re.compile(r"\$\{[^{}]*\}|\$(\w+)\$")


# Where a friend request came from, as far as clients agree on the number (webwx 2.17.5 sends 33 itself).
_SCENES = {3: "search", 14: "group", 15: "phone_number", 17: "card", 30: "qr_code"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallNotice:
    """A message was withdrawn. `own` when the owner did it; `by` is the name that WeChat tells, or empty."""

    message_id: str
    text: str
    by: str
    own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FriendRequest:
    """Somebody wants to be a friend. `ticket` and `username` are needed to accept, and secret."""

    name: str
    text: str
    source: str
    ticket: str
    username: str


def system_notice(_entry: JsonObject, content: str, language: Language) -> Content:
    """A system text."""
    said = system_text(content)
    return money_notice(said) or Content(
        kind=Kind.SYSTEM, text=said or webwx_placeholder(language, Kind.SYSTEM)
    )


def system_xml(content: str) -> RecallNotice | Content | None:
    """A system XML; None when it tells a person nothing."""
    start = _SYSMSG.search(content)  # something else than a person's name may stand before it
    root = parse_xml(content[start.start() :] if start else content)
    if root.attribute("type") == "revokemsg":
        return _recall(root.find("revokemsg"))
    said = system_text(_sentence(root.find("*")))
    return Content(kind=Kind.SYSTEM, text=said) if said else None


def friend_request(entry: JsonObject, content: str) -> FriendRequest:
    """A message 37: from RecommendInfo, else from the XML."""
    offer = read_object(entry, "RecommendInfo")
    xml = parse_xml(content) if content else NO_NODE
    scene = read_number(offer, "Scene") or _digits(xml.attribute("scene"))
    return FriendRequest(
        name=clean_name(read_text(offer, "NickName")) or xml.attribute("fromnickname"),
        text=clean_line(clean_name(read_text(offer, "Content")) or xml.attribute("content")),
        source=_SCENES.get(scene, str(scene) if scene else ""),
        ticket=read_text(offer, "Ticket") or xml.attribute("ticket"),
        username=read_text(offer, "UserName") or xml.attribute("encryptusername"),
    )


def recall_fields(recall: RecallNotice, owner: Owner) -> dict[str, Json]:
    """What is published of a recall: the withdrawn message is its `id`."""
    by = owner.nickname if recall.own else recall.by
    return content_facts(id=recall.message_id, message_id=recall.message_id, by=by, text=recall.text)


def request_fields(request: FriendRequest) -> dict[str, Json]:
    """What is published of a friend request; never the ticket."""
    return content_facts(name=request.name, text=request.text, source=request.source)


def _recall(xml: XmlNode) -> RecallNotice:
    said = system_text(xml.text("replacemsg"))
    by = _QUOTED_NAME.search(said[:MAX_LINE_CHARACTERS])
    ids = (xml.text(tag) for tag in ("msgid", "newmsgid"))
    withdrawn = next((found for found in ids if found.isascii() and found.isdigit() and found.strip("0")), "")
    own = bool(_OWN.match(said))
    return RecallNotice(
        message_id=withdrawn, text=said, by=clean_name(by[1]) if by and not own else "", own=own
    )


def _sentence(xml: XmlNode) -> str:
    """The words in a system XML of whatever sort: plain ones, else a template with its names filled in."""
    for part in (xml, xml.find("content_template")):
        text = part.text("plain") or part.text("text") or _filled(part.text("template"), part)
        if text:
            return text
    # A todo of the group has a title; an announcement is `content`, which elsewhere holds what is for phones.
    return xml.text("title") or (xml.text("content") if "announ" in xml.tag else "")


def _filled(template: str, xml: XmlNode) -> str:
    """A template with the nicknames of its links in place of `$variables$` (webwx 3.11.4)."""
    names = {link.attribute("name"): _link_names(link) for link in xml.find_all("link_list/link")}
    return _VARIABLE.sub(lambda found: names.get(found[1] or "") or "?", template)


def _link_names(link: XmlNode) -> str:
    members = [member.text("nickname") for member in link.find_all("memberlist/member")]
    return "、".join(filter(None, members)) or link.text("plain") or link.text("title")


def _digits(written: str) -> int:
    return int(written) if written.isascii() and written.isdigit() and len(written) < 6 else 0
