"""Texts and XML as WeChat's server sends them, made readable (webwx 3.3, 3.4).

Faces such as `[微笑]` stay as they are: that is the text that phones send, in the language of the sender's
phone, and newer ones are unknown to every table (webwx 3.4.2.1). XML is parsed without a DTD, so there are
no entities to expand and nothing to fetch; size and number of elements are bounded, and no input raises.
The parser is the standard library's, which costs half of what defusedxml's does, and most messages are XML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError, fromstring

from wx2mqtt.wechat.json_reader import JsonObject, read_text


def read_message_id(entry: JsonObject) -> str:
    """The id as text: MsgId, else the same number from NewMsgId; empty when there is none (webwx 3.1.1)."""
    found = read_text(entry, "MsgId")
    if not found.strip("0"):
        found = read_text(entry, "NewMsgId")
    return found if found.strip("0") else ""


_BREAK = re.compile(r"<br ?/?>")

# The final `>` may be missing (the server's slip for 1f450); one that a person typed would be `&gt;`.
_EMOJI = re.compile(r'<span class="emoji emoji([0-9a-fA-F]{2,40})">\s*</span>?')

# One pass over all entities is the same as `&amp;` last: what it yields is not looked at again.
_ENTITY = re.compile(r"&(lt|gt|quot|apos|amp|#0*39|#[xX]0*27);")

_ENTITIES = {"lt": "<", "gt": ">", "quot": '"', "amp": "&"}
_COMMON = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&#39;", "'"))

# Markup of system texts; anything else between angle brackets was typed by a person.
_MARKUP = re.compile(r"</?(?:a|img|_wc_custom_link_)\b[^<>]*>", re.IGNORECASE)

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_BARE_AMPERSAND = re.compile(r"&(?!#?\w{1,10};)")
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
MAX_LINE_CHARACTERS = 500  # characters of a line for people; longer titles are cut

# The server renders these characters to the code of another one; its clients put that right (webwx 3.4.1.4).
_CORRECTIONS = {
    0x1F63C: 0x1F601,
    0x1F639: 0x1F602,
    0x1F63A: 0x1F603,
    0x1F4AB: 0x1F616,
    0x1F64D: 0x1F614,
    0x1F63B: 0x1F60D,
    0x1F63D: 0x1F618,
    0x1F64E: 0x1F621,
    0x1F63F: 0x1F622,
}


def plain_text(content: str) -> str:
    """The text that a person wrote."""
    if "<" in content:
        content = undo_emoji(undo_breaks(content))
    return undo_entities(content) if "&" in content else content


def clean_name(raw: str) -> str:
    """A name of a person or group: as text, on one line."""
    if not raw or (raw.isprintable() and "<" not in raw and "&" not in raw):
        return raw.strip()
    return _CONTROL.sub(" ", plain_text(raw)).strip()


def system_text(content: str) -> str:
    """A text that WeChat wrote, without its links and pictures."""
    return _MARKUP.sub("", plain_text(content)).strip()


def clean_line(raw: str) -> str:
    """One line for people, cut to a length that can be shown."""
    joined = " ".join(raw.split())
    return joined if len(joined) <= MAX_LINE_CHARACTERS else f"{joined[:MAX_LINE_CHARACTERS]}…"


def server_message(message: str) -> str:
    """What WeChat says to the person who logs in: no markup, one line."""
    return clean_line(_CONTROL.sub(" ", re.sub(r"<[^<>]*>", " ", plain_text(message))))


def extract_xml(content: str) -> str:
    """The XML in a message's content: escaped once, with `<br/>` between its lines (webwx 3.3.2)."""
    content = undo_emoji(undo_breaks(content)) if "<" in content else content
    stripped = content.lstrip()
    # Some servers send it without the escaping; then its own entities must stay.
    return stripped if stripped.startswith("<") else undo_entities(stripped)


def repair_xml(source: str) -> str:
    """XML that does not parse, its common faults put right: bare ampersands, control characters."""
    return _BARE_AMPERSAND.sub("&amp;", _NOT_XML.sub("", source))


def undo_breaks(content: str) -> str:
    """`<br/>` as a line's end."""
    content = content.replace("<br/>", "\n")
    return _BREAK.sub("\n", content) if "<br" in content else content


def undo_emoji(content: str) -> str:
    """Emoji spans as characters."""
    return _EMOJI.sub(lambda span: _characters(span[1]), content) if "<span" in content else content


def undo_entities(content: str) -> str:
    """`&lt; &gt; &quot; &#39; &amp;` as characters, each once."""
    common = content
    for entity, character in _COMMON:
        common = common.replace(entity, character)
    if "&#" in common:  # a number in another spelling, which one pass over all of them finds
        return _ENTITY.sub(lambda entity: _ENTITIES.get(entity[1], "'"), content)
    return common.replace("&amp;", "&")


def _characters(digits: str) -> str:
    return "".join(_character(part) for part in _code_points(digits.lower()))


def _code_points(digits: str) -> list[str]:
    """4 or 5 digits are one code point, 6 are two as 2+4 (keycaps), 10 two as 5+5 (flags) (webwx 3.4.1.2).

    Longer runs are not described; taken apart the same way, from the left.
    """
    if len(digits) <= 5:
        return [digits]
    if len(digits) == 6:
        return [digits[:2], digits[2:]]
    size = 5 if digits.startswith("1f") else 4
    return [digits[:size], *(_code_points(digits[size:]) if digits[size:] else [])]


def _character(digits: str) -> str:
    code = int(digits, 16)
    if not 0x20 <= code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return chr(_CORRECTIONS.get(code, code))


MAX_XML_CHARACTERS = 1 << 20  # characters; a forwarded history of a hundred messages has some 100,000
MAX_XML_ELEMENTS = 20_000  # this also bounds the depth

# What may stand before a DTD; possessive, so that nothing is looked at twice.
_DTD = re.compile(r"\ufeff?(?>\s+|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)


class XmlNode:
    """One element, or the absence of one: every question has an answer, a missing thing is empty."""

    __slots__ = ("_element",)

    def __init__(self, element: Element | None) -> None:
        self._element = element

    def __bool__(self) -> bool:
        return self._element is not None

    @property
    def tag(self) -> str:
        return "" if self._element is None else self._element.tag

    def find(self, path: str) -> XmlNode:
        """The first element at a path of tags."""
        found = None if self._element is None else self._element.find(path)
        return NO_NODE if found is None else XmlNode(found)

    def text(self, path: str) -> str:
        """The text of the first element at a path."""
        found = None if self._element is None else self._element.findtext(path)
        return (found or "").strip()

    def attribute(self, key: str) -> str:
        """The value of an attribute."""
        return "" if self._element is None else self._element.get(key, "").strip()

    def find_all(self, path: str) -> Iterator[XmlNode]:
        """All elements at a path."""
        return iter(()) if self._element is None else map(XmlNode, self._element.iterfind(path))


NO_NODE = XmlNode(None)


def parse_xml(content: str) -> XmlNode:
    """The root of the XML in a message's content; `NO_NODE` when it cannot be read."""
    if len(content) > MAX_XML_CHARACTERS:
        return NO_NODE
    return parse_plain_xml(extract_xml(content))


def parse_plain_xml(source: str) -> XmlNode:
    """The root of XML that is not escaped; `NO_NODE` when it cannot be read."""
    if len(source) > MAX_XML_CHARACTERS or not 0 < source.count("<") <= 2 * MAX_XML_ELEMENTS:
        return NO_NODE
    return _parsed(source) or _parsed(repair_xml(source))


def _parsed(source: str) -> XmlNode:
    if "<!DOCTYPE" in source and _DTD.match(source):
        return NO_NODE
    try:
        return XmlNode(fromstring(source))  # noqa: S314
    # Besides the parser's own errors: characters that cannot be encoded.
    except (ParseError, ValueError):
        return NO_NODE
