"""Reads messages of WeChat itself: system texts, system XML, recalls, friend requests, group changes.

Texts are matched loosely, in simplified Chinese, traditional Chinese and English. They hold display names,
which do not identify anybody. (webwx 3.2, 3.10, 3.11)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import webwx_placeholder
from wx2mqtt.model import Json, Kind, Owner
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_text
from wx2mqtt.wechat.webwx.protocol.content import Content, content_facts
from wx2mqtt.wechat.webwx.protocol.markup import (
    MAX_LINE_CHARACTERS,
    NO_NODE,
    XmlNode,
    clean_line,
    clean_name,
    parse_xml,
    system_text,
)
from wx2mqtt.wechat.webwx.protocol.money_messages import money_notice

# Stands for the owner among the names of a `GroupNotice`.
OWNER_MARK = "\0"

# Longer texts are no notices about a group, and matching them would take long.
MAX_NOTICE_CHARACTERS = 500

_YOU = ("你", "您", "You", "you")
_QUOTES = '"“”「」'

# A name: the word for the owner, a quoted name, or a name without quotes, which some versions write.
_NAME = rf"(?P<%s>{'|'.join(_YOU)}|[\"“「].+?[\"”」]|[^\"“”「」]+?)"

_GROUP = "(?:群聊|群組|群组)"
_CODE = "(?:二维码|二維碼|行動條碼|QR ?[Cc]ode)"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupNotice:
    """A change of a group, read from a system text; `by` is empty when the text does not say who made it."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    by: str = ""
    renamed: bool = False


def _pattern(template: str) -> re.Pattern[str]:
    """Compiles a template in which BY, ADDED, ALSO and REMOVED stand for names."""
    for key in ("by", "added", "also", "removed"):
        template = template.replace(key.upper(), _NAME % key)
    return re.compile(r"\s*" + template)


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
    """Returns the change of a group that a system text reports, or None when it reports none."""
    if len(text) > MAX_NOTICE_CHARACTERS:
        return None
    if _RENAMED.search(text):
        return GroupNotice(renamed=True)
    for pattern in _PATTERNS:
        match = pattern.match(text)
        if match:
            parts = match.groupdict()
            return GroupNotice(
                added=(*_names(parts.get("added")), *_names(parts.get("also"))),
                removed=_names(parts.get("removed")),
                by=next(iter(_names(parts.get("by"))), ""),
            )
    return None


def _names(text: str | None) -> tuple[str, ...]:
    """Returns the names in a part of a sentence, in their order."""
    if text in _YOU:
        return (OWNER_MARK,)
    names = (text or "").strip().strip(_QUOTES)
    return tuple(filter(None, (name.strip() for name in re.split("、|, ", names))))


_SYSMSG = re.compile(r"(?:<|&lt;)sysmsg\b")
_QUOTED_NAME = re.compile(r"[\"“「](.+?)[\"”」]")
_STARTS_WITH_YOU = re.compile(r"\s*(?:你|您|You\b)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{[^{}]*\}|\$(\w+)\$")

# Source of a friend request by its Scene, as far as clients agree (webwx 2.17.5).
_REQUEST_SOURCES = {3: "search", 14: "group", 15: "phone_number", 17: "card", 30: "qr_code"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallNotice:
    """A withdrawn message. `own`: the owner withdrew it; else `by` is the name in the text, or empty."""

    message_id: str
    text: str
    by: str
    own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FriendRequest:
    """A friend request. `ticket` and `username` are needed to accept it, and must stay secret."""

    name: str
    text: str
    source: str
    ticket: str
    username: str


def system_notice(_entry: JsonObject, content: str, language: Language) -> Content:
    """Returns the content of a system text: a red packet, a transfer, or the text itself."""
    text = system_text(content)
    return money_notice(text) or Content(
        kind=Kind.SYSTEM, text=text or webwx_placeholder(language, Kind.SYSTEM)
    )


def system_xml(content: str) -> RecallNotice | Content | None:
    """Returns the recall or the text in a system XML, or None when it has no text for people."""
    # Text that is no sender prefix may precede the XML.
    start = _SYSMSG.search(content)
    root = parse_xml(content[start.start() :] if start else content)
    if root.attribute("type") == "revokemsg":
        return _recall_notice(root.find("revokemsg"))
    text = system_text(_sentence(root.find("*")))
    return Content(kind=Kind.SYSTEM, text=text) if text else None


def friend_request(entry: JsonObject, content: str) -> FriendRequest:
    """Returns a friend request (MsgType 37): each field from RecommendInfo, or else from the XML."""
    info = read_object(entry, "RecommendInfo")
    xml = parse_xml(content) if content else NO_NODE
    scene = read_number(info, "Scene") or _short_number(xml.attribute("scene"))
    return FriendRequest(
        name=clean_name(read_text(info, "NickName")) or xml.attribute("fromnickname"),
        text=clean_line(clean_name(read_text(info, "Content")) or xml.attribute("content")),
        source=_REQUEST_SOURCES.get(scene, str(scene) if scene else ""),
        ticket=read_text(info, "Ticket") or xml.attribute("ticket"),
        username=read_text(info, "UserName") or xml.attribute("encryptusername"),
    )


def recall_fields(recall: RecallNotice, owner: Owner) -> dict[str, Json]:
    """Returns the fields of a recall that are published; `id` names the withdrawn message."""
    by = owner.nickname if recall.own else recall.by
    return content_facts(id=recall.message_id, message_id=recall.message_id, by=by, text=recall.text)


def request_fields(request: FriendRequest) -> dict[str, Json]:
    """Returns the fields of a friend request that are published, which excludes the secret ones."""
    return content_facts(name=request.name, text=request.text, source=request.source)


def _recall_notice(xml: XmlNode) -> RecallNotice:
    text = system_text(xml.text("replacemsg"))
    by = _QUOTED_NAME.search(text[:MAX_LINE_CHARACTERS])
    ids = (xml.text(tag) for tag in ("msgid", "newmsgid"))
    message_id = next((id_ for id_ in ids if id_.isascii() and id_.isdigit() and id_.strip("0")), "")
    own = bool(_STARTS_WITH_YOU.match(text))
    return RecallNotice(
        message_id=message_id, text=text, by=clean_name(by[1]) if by and not own else "", own=own
    )


def _sentence(xml: XmlNode) -> str:
    """Returns the sentence in a system XML of any kind: a plain text, or a filled-in template."""
    for node in (xml, xml.find("content_template")):
        text = node.text("plain") or node.text("text") or _fill_template(node.text("template"), node)
        if text:
            return text
    # A group's to-do has a title. An announcement is in `content`, which in other XML is not meant for
    # people.
    return xml.text("title") or (xml.text("content") if "announ" in xml.tag else "")


def _fill_template(template: str, xml: XmlNode) -> str:
    """Returns a template with nicknames from its link list in place of `$variables$` (webwx 3.11.4)."""
    names = {link.attribute("name"): _link_names(link) for link in xml.find_all("link_list/link")}
    return _VARIABLE.sub(lambda variable: names.get(variable[1] or "") or "?", template)


def _link_names(link: XmlNode) -> str:
    members = [member.text("nickname") for member in link.find_all("memberlist/member")]
    return "、".join(filter(None, members)) or link.text("plain") or link.text("title")


def _short_number(text: str) -> int:
    """Returns a number of at most five digits, or 0 for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
