"""Decodes texts and XML in the form that WeChat's server sends them (webwx 3.3, 3.4).

    plain_text("a &lt; b<br/>ok")                             "a < b", a line break, "ok"
    parse_xml("&lt;msg&gt;&lt;emoji len='7'/&gt;&lt;/msg&gt;")  the root of the XML, an `XmlNode`

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

# A longer line for people is cut here.
MAX_LINE_CHARACTERS = 500

# What a name or an error message has a blank for: line breaks and other control characters, also in a row.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


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


# `<a href="…">`, `</a>`, `<img …>`, `<_wc_custom_link_ …>`: tags in texts of WeChat itself. Anything else
# between angle brackets was typed by a person.
_SYSTEM_TAG = re.compile(r"</?(?:a|img|_wc_custom_link_)\b[^<>]*>", re.IGNORECASE)


def system_text(content: str) -> str:
    """Returns a text of WeChat itself without its links and pictures."""
    return _SYSTEM_TAG.sub("", plain_text(content)).strip()


def clean_line(raw: str) -> str:
    """Returns a text on one line, cut to `MAX_LINE_CHARACTERS`."""
    joined = " ".join(raw.split())
    return joined if len(joined) <= MAX_LINE_CHARACTERS else f"{joined[:MAX_LINE_CHARACTERS]}…"


def server_message(message: str) -> str:
    """Returns an error message of WeChat on one line without markup."""
    without_tags = re.sub(r"<[^<>]*>", " ", plain_text(message))
    return clean_line(_CONTROL.sub(" ", without_tags))


# `<br>`, `<br/>` or `<br />`
_BREAK = re.compile(r"<br ?/?>")

# `<span class="emoji emoji1f604"></span>`; of 1f450 without the final `>`. A typed `>` arrives as `&gt;`.
_EMOJI = re.compile(r'<span class="emoji emoji([0-9a-fA-F]{2,40})">\s*</span>?')


def undo_tags(content: str) -> str:
    """Replaces `<br/>` by a line break, and emoji spans by characters."""
    content = content.replace("<br/>", "\n")
    if "<br" in content:
        content = _BREAK.sub("\n", content)
    return _EMOJI.sub(_emoji_of, content) if "<span" in content else content


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


def _emoji_of(span: re.Match[str]) -> str:
    """Returns the characters: 6 digits are 2+4 (keycaps), 10 are 5+5 (flags) (webwx 3.4.1.2).

    Other lengths are not described, and are split in the same way from the left.
    """
    digits = span[1].lower()
    characters = ""
    while digits:
        size = _code_point_digits(digits)
        code = int(digits[:size], 16)
        is_character = 0x20 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF
        characters += chr(_CODE_POINT_CORRECTIONS.get(code, code)) if is_character else "\ufffd"
        digits = digits[size:]
    return characters


def _code_point_digits(digits: str) -> int:
    """Returns how many of these hex digits are the next code point."""
    if len(digits) == 6:
        return 2
    if len(digits) <= 5:
        return len(digits)
    return 5 if digits.startswith("1f") else 4


# `&amp;` is not among these: it is replaced last, so that `&amp;lt;` becomes `&lt;`.
_COMMON_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&#39;", "'"))

# The same entities and `&amp;`, with every spelling of `'` as a number: `&#039;`, `&#x27;`. One pass over all
# of them has the same result, since replaced text is not searched again.
_ENTITY = re.compile(r"&(lt|gt|quot|apos|amp|#0*39|#[xX]0*27);")
_CHARACTER_OF_ENTITY = {"lt": "<", "gt": ">", "quot": '"', "amp": "&"}


def undo_entities(content: str) -> str:
    """Replaces `&lt; &gt; &quot; &#39; &amp;` by characters, each once."""
    decoded = content
    for entity, character in _COMMON_ENTITIES:
        decoded = decoded.replace(entity, character)
    # Only the regular expression knows the rarer spellings of a number; it is slower.
    if "&#" in decoded:
        return _ENTITY.sub(lambda entity: _CHARACTER_OF_ENTITY.get(entity[1], "'"), content)
    return decoded.replace("&amp;", "&")


# XML


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


def extract_xml(content: str) -> str:
    """Returns the XML in a message's content: escaped, with `<br/>` between lines (webwx 3.3.2)."""
    stripped = undo_tags(content).lstrip()
    # Some servers send it unescaped; then the entities inside it must stay.
    return stripped if stripped.startswith("<") else undo_entities(stripped)


def parse_xml(content: str) -> XmlNode:
    """Returns the root of the XML in a message's content, or `NO_NODE` when it cannot be parsed."""
    if len(content) > MAX_XML_CHARACTERS:
        return NO_NODE
    return parse_plain_xml(extract_xml(content))


# The two common errors in WeChat's XML: an ampersand that begins no entity (`A&B`), a forbidden character.
_BARE_AMPERSAND = re.compile(r"&(?!#?\w{1,10};)")
_FORBIDDEN_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


def parse_plain_xml(source: str) -> XmlNode:
    """Returns the root of XML that is not escaped, or `NO_NODE` when it cannot be parsed."""
    # Each element has a tag at its begin and one at its end.
    if len(source) > MAX_XML_CHARACTERS or not 0 < source.count("<") <= 2 * MAX_XML_ELEMENTS:
        return NO_NODE
    root = _try_parse(source)
    if root:
        return root
    mended = _BARE_AMPERSAND.sub("&amp;", _FORBIDDEN_IN_XML.sub("", source))
    return _try_parse(mended)


def _try_parse(source: str) -> XmlNode:
    if "<!DOCTYPE" in source and _begins_with_dtd(source):
        return NO_NODE
    try:
        return XmlNode(fromstring(source))  # noqa: S314
    # `ValueError` is for characters that cannot be encoded.
    except (ParseError, ValueError):
        return NO_NODE


_NO_BLANK = re.compile(r"\S")


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
