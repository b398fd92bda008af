"""Decodes texts and XML in the form that WeChat's server sends them (webwx 3.3, 3.4).

Faces such as `[微笑]` stay: phones send this text in the sender's language, and no table knows the
newer ones (webwx 3.4.2.1). XML with a DTD is refused, so there are no entities to expand and nothing to
fetch; size and number of elements are bounded, and no input raises. The parser of the standard library takes
half the time of defusedxml, and most messages are XML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError, fromstring

from wx2mqtt.limits import MAX_XML_CHARACTERS, MAX_XML_ELEMENTS

_BREAK = re.compile(r"<br ?/?>")

# The server omits the final `>` for 1f450. A `>` that a person typed arrives as `&gt;`.
_EMOJI = re.compile(r'<span class="emoji emoji([0-9a-fA-F]{2,40})">\s*</span>?')

# One pass over all entities has the same result as `&amp;` last: replaced text is not searched again.
_ENTITY = re.compile(r"&(lt|gt|quot|apos|amp|#0*39|#[xX]0*27);")

_ENTITIES = {"lt": "<", "gt": ">", "quot": '"', "amp": "&"}
_COMMON_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&#39;", "'"))

# Markup of system texts; anything else between angle brackets was typed by a person.
_MARKUP = re.compile(r"</?(?:a|img|_wc_custom_link_)\b[^<>]*>", re.IGNORECASE)

_NO_BLANK = re.compile(r"\S")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_BARE_AMPERSAND = re.compile(r"&(?!#?\w{1,10};)")
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")

# Of a line for people; longer ones are cut.
MAX_LINE_CHARACTERS = 500

# The server sends these code points for other characters; official clients correct that (webwx 3.4.1.4).
_CODE_POINT_CORRECTIONS = {
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

# Around names in WeChat's own texts (webwx 3.10.2), and what stands there without quotes for the owner.
OPENING_QUOTES = ('"', "“", "「")
CLOSING_QUOTES = ('"', "”", "」")
OWNER_WORDS = ("你", "您", "You", "you")


def plain_text(content: str) -> str:
    """Returns the text that a person wrote, with line breaks, emoji and entities decoded."""
    if "<" in content:
        content = undo_tags(content)
    return undo_entities(content) if "&" in content else content


def clean_name(raw: str) -> str:
    """Returns the name of a person or group as plain text on one line."""
    if not raw or (raw.isprintable() and "<" not in raw and "&" not in raw):
        return raw.strip()
    return _CONTROL.sub(" ", plain_text(raw)).strip()


def system_text(content: str) -> str:
    """Returns a text of WeChat itself without its links and pictures."""
    return _MARKUP.sub("", plain_text(content)).strip()


def clean_line(raw: str) -> str:
    """Returns a text on one line, cut to `MAX_LINE_CHARACTERS`."""
    joined = " ".join(raw.split())
    return joined if len(joined) <= MAX_LINE_CHARACTERS else f"{joined[:MAX_LINE_CHARACTERS]}…"


def server_message(message: str) -> str:
    """Returns an error message of WeChat on one line without markup."""
    return clean_line(_CONTROL.sub(" ", re.sub(r"<[^<>]*>", " ", plain_text(message))))


def extract_xml(content: str) -> str:
    """Returns the XML in a message's content: escaped, with `<br/>` between lines (webwx 3.3.2)."""
    stripped = undo_tags(content).lstrip()
    # Some servers send it unescaped; then the entities inside it must stay.
    return stripped if stripped.startswith("<") else undo_entities(stripped)


def undo_tags(content: str) -> str:
    """Replaces `<br/>` by a line break, and emoji spans by characters."""
    content = content.replace("<br/>", "\n")
    if "<br" in content:
        content = _BREAK.sub("\n", content)
    return _EMOJI.sub(_emoji_of, content) if "<span" in content else content


def undo_entities(content: str) -> str:
    """Replaces `&lt; &gt; &quot; &#39; &amp;` by characters, each once."""
    decoded = content
    for entity, character in _COMMON_ENTITIES:
        decoded = decoded.replace(entity, character)
    # Another spelling of a numeric entity; the slower regular expression knows all of them.
    if "&#" in decoded:
        return _ENTITY.sub(lambda entity: _ENTITIES.get(entity[1], "'"), content)
    return decoded.replace("&amp;", "&")


def _emoji_of(span: re.Match[str]) -> str:
    """Returns the characters: 6 digits are 2+4 (keycaps), 10 are 5+5 (flags) (webwx 3.4.1.2).

    Other lengths are not described, and are split in the same way from the left.
    """
    digits = span[1].lower()
    characters = ""
    while digits:
        size = len(digits)
        if size == 6:
            size = 2
        elif size > 5:
            size = 5 if digits.startswith("1f") else 4
        code = int(digits[:size], 16)
        is_character = 0x20 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF
        characters += chr(_CODE_POINT_CORRECTIONS.get(code, code)) if is_character else "\ufffd"
        digits = digits[size:]
    return characters


class XmlNode:
    """An XML element, or a missing one: all its texts and attributes are empty."""

    __slots__ = ("_element",)

    def __init__(self, element: Element | None) -> None:
        self._element = element

    def __bool__(self) -> bool:
        return self._element is not None

    @property
    def tag(self) -> str:
        return "" if self._element is None else self._element.tag

    def find(self, path: str) -> XmlNode:
        """Returns the first element at a path of tags, or `NO_NODE`."""
        element = None if self._element is None else self._element.find(path)
        return NO_NODE if element is None else XmlNode(element)

    def text(self, path: str) -> str:
        """Returns the stripped text of the first element at a path."""
        text = None if self._element is None else self._element.findtext(path)
        return (text or "").strip()

    def attribute(self, key: str) -> str:
        return "" if self._element is None else self._element.get(key, "").strip()

    def find_all(self, path: str) -> Iterator[XmlNode]:
        return iter(()) if self._element is None else map(XmlNode, self._element.iterfind(path))


NO_NODE = XmlNode(None)


def parse_xml(content: str) -> XmlNode:
    """Returns the root of the XML in a message's content, or `NO_NODE` when it cannot be parsed."""
    if len(content) > MAX_XML_CHARACTERS:
        return NO_NODE
    return parse_plain_xml(extract_xml(content))


def parse_plain_xml(source: str) -> XmlNode:
    """Returns the root of XML that is not escaped, or `NO_NODE` when it cannot be parsed."""
    if len(source) > MAX_XML_CHARACTERS or not 0 < source.count("<") <= 2 * MAX_XML_ELEMENTS:
        return NO_NODE
    # Its common errors are bare ampersands and control characters.
    return _try_parse(source) or _try_parse(_BARE_AMPERSAND.sub("&amp;", _NOT_XML.sub("", source)))


def _try_parse(source: str) -> XmlNode:
    if "<!DOCTYPE" in source and _begins_with_dtd(source):
        return NO_NODE
    try:
        return XmlNode(fromstring(source))  # noqa: S314
    # `ValueError` is for characters that cannot be encoded.
    except (ParseError, ValueError):
        return NO_NODE


def _begins_with_dtd(source: str) -> bool:
    """Returns whether nothing but a byte order mark, blanks, instructions and comments precedes a DTD."""
    rest = source.removeprefix("\ufeff")
    begin = 0
    while True:
        sign = _NO_BLANK.search(rest, begin)
        if sign is None:
            return False
        begin = sign.start()
        if rest.startswith("<?", begin):
            end = rest.find("?>", begin + 2)
        elif rest.startswith("<!--", begin):
            end = rest.find("-->", begin + 4)
        else:
            return rest.startswith("<!DOCTYPE", begin)
        if end < 0:
            return False
        begin = rest.index(">", end) + 1
