"""Reads messages of WeChat itself: system texts, system XML, recalls, friend requests.

Texts are matched loosely, in simplified Chinese, traditional Chinese and English. They hold display names,
which do not identify anybody. (webwx 3.2, 3.10, 3.11)
"""

from __future__ import annotations

import re

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import webwx_placeholder
from wx2mqtt.model import Json, Kind, Owner
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_text
from wx2mqtt.wechat.webwx.protocol.content import Content, content_facts
from wx2mqtt.wechat.webwx.protocol.markup import (
    CLOSING_QUOTES,
    MAX_LINE_CHARACTERS,
    NO_NODE,
    OPENING_QUOTES,
    OWNER_WORDS,
    XmlNode,
    clean_line,
    clean_name,
    parse_xml,
    system_text,
)
from wx2mqtt.wechat.webwx.protocol.money_messages import money_notice

_SYSMSG = re.compile(r"(?:<|&lt;)sysmsg\b")
_RECALLED_WORDS = "已?[撤收]回|(?:has )?(?:recalled|withdrew|unsent)"
_RECALLED = re.compile(_RECALLED_WORDS)
_OWNER_RECALLED = re.compile(rf"(?:[你您]|You(?: have|'ve)?) ?(?:{_RECALLED_WORDS})", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{[^{}]*\}|\$(\w+)\$")

# Of a system text made from a template. Those of WeChat list the members of a group at most.
MAX_FILLED_CHARACTERS = 10_000

# Source of a friend request by its Scene, as far as clients agree (webwx 2.17.5).
_REQUEST_SOURCES = {3: "search", 14: "group", 15: "phone_number", 17: "card", 30: "qr_code"}


@frozen
class RecallNotice:
    """A withdrawn message. `own`: the owner withdrew it; else `by` is the name in the text, or empty."""

    message_id: str
    text: str
    by: str
    own: bool


@frozen
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
    root = _root(content)
    if root.attribute("type") == "revokemsg":
        return _recall_notice(root.find("revokemsg"))
    body = root.find("*")
    text = system_text(_sentence(body) or _text_of_people(body))
    return Content(kind=Kind.SYSTEM, text=text) if text else None


def has_text_of_people(content: str) -> bool:
    """Returns whether people wrote the text in a system XML, so that it reports nothing as WeChat."""
    body = _root(content).find("*")
    return not _sentence(body)


def _root(content: str) -> XmlNode:
    # Text that is no sender prefix may precede the XML.
    start = _SYSMSG.search(content)
    return parse_xml(content[start.start() :] if start else content)


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
    by = _recalling_name(text[:MAX_LINE_CHARACTERS])
    ids = (xml.text(tag) for tag in ("msgid", "newmsgid"))
    message_id = next((id_ for id_ in ids if id_.isascii() and id_.isdigit() and id_.strip("0")), "")
    own = bool(_OWNER_RECALLED.match(text.strip()))
    return RecallNotice(
        message_id=message_id, text=text, by=clean_name(by) if by and not own else "", own=own
    )


def _recalling_name(text: str) -> str:
    """Returns the quoted name of who withdrew a message, up to its last quote; or an empty text."""
    for words in reversed(list(_RECALLED.finditer(text))):
        name = text[: words.start()].strip()
        if name.startswith(OPENING_QUOTES) and name.endswith(CLOSING_QUOTES):
            return name[1:-1]
    return ""


def _sentence(xml: XmlNode) -> str:
    """Returns the sentence of WeChat in a system XML of any kind: a plain text, or a filled-in template."""
    for node in (xml, xml.find("content_template")):
        text = node.text("plain") or node.text("text") or _fill_template(node.text("template"), node)
        if text:
            return text
    return ""


def _text_of_people(xml: XmlNode) -> str:
    """Returns what a member of the group wrote in a system XML: the title of a to-do, or an announcement."""
    # In XML that is no announcement, `content` is not meant for people.
    return xml.text("title") or (xml.text("content") if "announ" in xml.tag else "")


def _fill_template(template: str, xml: XmlNode) -> str:
    """Returns a template with nicknames from its link list in place of `$variables$` (webwx 3.11.4).

    The text is cut: variables that repeat long names could make it thousands of times as long as the XML.
    """
    names = {link.attribute("name"): _link_names(link) for link in xml.find_all("link_list/link")}
    parts: list[str] = []
    missing = MAX_FILLED_CHARACTERS
    end = 0
    for variable in _VARIABLE.finditer(template):
        if missing <= 0:
            break
        words = template[end : variable.start()]
        part = words + _quoted_if_owner_word(names.get(variable[1] or "") or "?", words)
        parts.append(part[:missing])
        missing -= len(part)
        end = variable.end()
    return "".join([*parts, template[end : end + max(missing, 0)]])


def _quoted_if_owner_word(name: str, words_before: str) -> str:
    """Returns a name, in quotes where it would be read as the owner: somebody may be called 你."""
    is_quoted = words_before.endswith(OPENING_QUOTES)
    return f'"{name}"' if name in OWNER_WORDS and not is_quoted else name


def _link_names(link: XmlNode) -> str:
    members = [member.text("nickname") for member in link.find_all("memberlist/member")]
    return "、".join(filter(None, members)) or link.text("plain") or link.text("title")


def _short_number(text: str) -> int:
    """Returns a number of at most five digits, or 0 for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
