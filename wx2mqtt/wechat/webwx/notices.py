"""What WeChat itself says: system texts, system XML, friend requests (webwx 3.2, 3.10, 3.11)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wx2mqtt.model import Json, Kind, Owner
from wx2mqtt.wechat.fields import Entry, inner, number, text
from wx2mqtt.wechat.webwx.content import Content, facts
from wx2mqtt.wechat.webwx.money import money_told
from wx2mqtt.wechat.webwx.text import LINE, line, name, system_text
from wx2mqtt.wechat.webwx.words import placeholder
from wx2mqtt.wechat.webwx.xml import NOTHING, Node, parse
from wx2mqtt.words import Language

_SYSMSG = re.compile(r"(?:<|&lt;)sysmsg\b")
_QUOTED_NAME = re.compile(r"[\"“「](.+?)[\"”」]")
_OWN = re.compile(r"\s*(?:你|您|You\b)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{[^{}]*\}|\$(\w+)\$")

# Where a friend request came from, as far as clients agree on the number (webwx 2.17 sends 33 itself).
_SCENES = {3: "search", 14: "group", 15: "phone_number", 17: "card", 30: "qr_code"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
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


def told(_entry: Entry, content: str, language: Language) -> Content:
    """A system text."""
    said = system_text(content)
    return money_told(said) or Content(kind=Kind.SYSTEM, text=said or placeholder(language, Kind.SYSTEM))


def system_xml(content: str) -> Recall | Content | None:
    """A system XML; None when it tells a person nothing."""
    start = _SYSMSG.search(content)  # something else than a person's name may stand before it
    root = parse(content[start.start() :] if start else content)
    if root.attribute("type") == "revokemsg":
        return _recall(root.at("revokemsg"))
    said = system_text(_sentence(root.at("*")))
    return Content(kind=Kind.SYSTEM, text=said) if said else None


def friend_request(entry: Entry, content: str) -> FriendRequest:
    """A message 37: from RecommendInfo, else from the XML."""
    offer = inner(entry, "RecommendInfo")
    xml = parse(content) if content else NOTHING
    scene = number(offer, "Scene") or _digits(xml.attribute("scene"))
    return FriendRequest(
        name=name(text(offer, "NickName")) or xml.attribute("fromnickname"),
        text=line(name(text(offer, "Content")) or xml.attribute("content")),
        source=_SCENES.get(scene, str(scene) if scene else ""),
        ticket=text(offer, "Ticket") or xml.attribute("ticket"),
        username=text(offer, "UserName") or xml.attribute("encryptusername"),
    )


def recall_fields(recall: Recall, owner: Owner) -> dict[str, Json]:
    """What is published of a recall: the withdrawn message is its `id`."""
    by = owner.nickname if recall.own else recall.by
    return facts(id=recall.message_id, message_id=recall.message_id, by=by, text=recall.text)


def request_fields(request: FriendRequest) -> dict[str, Json]:
    """What is published of a friend request; never the ticket."""
    return facts(name=request.name, text=request.text, source=request.source)


def _recall(xml: Node) -> Recall:
    said = system_text(xml.text("replacemsg"))
    by = _QUOTED_NAME.search(said[:LINE])
    ids = (xml.text(tag) for tag in ("msgid", "newmsgid"))
    withdrawn = next((found for found in ids if found.isascii() and found.isdigit() and found.strip("0")), "")
    own = bool(_OWN.match(said))
    return Recall(message_id=withdrawn, text=said, by=name(by[1]) if by and not own else "", own=own)


def _sentence(xml: Node) -> str:
    """The words in a system XML of whatever sort: plain ones, else a template with its names filled in."""
    for part in (xml, xml.at("content_template")):
        said = part.text("plain") or part.text("text") or _filled(part.text("template"), part)
        if said:
            return said
    # A todo of the group has a title; an announcement is `content`, which elsewhere holds what is for phones.
    return xml.text("title") or (xml.text("content") if "announ" in xml.tag else "")


def _filled(template: str, xml: Node) -> str:
    """A template with the nicknames of its links in place of `$variables$` (webwx 3.11)."""
    names = {link.attribute("name"): _link_names(link) for link in xml.each("link_list/link")}
    return _VARIABLE.sub(lambda found: names.get(found[1] or "") or "?", template)


def _link_names(link: Node) -> str:
    members = [member.text("nickname") for member in link.each("memberlist/member")]
    return "、".join(filter(None, members)) or link.text("plain") or link.text("title")


def _digits(written: str) -> int:
    return int(written) if written.isascii() and written.isdigit() and len(written) < 6 else 0
