"""Undoing what WeChat's server does to text: line breaks, emoji spans, entities (webwx 3.3, 3.4).

Faces such as `[微笑]` stay as they are: that is the text that phones send, in the language of the
sender's phone, and newer ones are unknown to every table (webwx 3.4.2).
"""

from __future__ import annotations

import re

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

LINE = 500  # characters of a line for people; longer titles are cut

# The server renders these characters to the code of another one; its clients put that right (webwx 3.4.1).
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


def plain(content: str) -> str:
    """The text that a person wrote."""
    if "<" in content:
        content = emoji_undone(breaks_undone(content))
    return entities_undone(content) if "&" in content else content


def name(raw: str) -> str:
    """A name of a person or group: as text, on one line."""
    if not raw or (raw.isprintable() and "<" not in raw and "&" not in raw):
        return raw.strip()
    return _CONTROL.sub(" ", plain(raw)).strip()


def system_text(content: str) -> str:
    """A text that WeChat wrote, without its links and pictures."""
    return _MARKUP.sub("", plain(content)).strip()


def line(raw: str) -> str:
    """One line for people, cut to a length that can be shown."""
    joined = " ".join(raw.split())
    return joined if len(joined) <= LINE else f"{joined[:LINE]}…"


def said_by_server(message: str) -> str:
    """What WeChat says to the person who logs in: no markup, one line."""
    return line(_CONTROL.sub(" ", re.sub(r"<[^<>]*>", " ", plain(message))))


def xml_of(content: str) -> str:
    """The XML in a message's content: escaped once, with `<br/>` between its lines (webwx 3.3)."""
    content = emoji_undone(breaks_undone(content)) if "<" in content else content
    stripped = content.lstrip()
    # Some servers send it without the escaping; then its own entities must stay.
    return stripped if stripped.startswith("<") else entities_undone(stripped)


def mended_xml(source: str) -> str:
    """XML that does not parse, its common faults put right: bare ampersands, control characters."""
    return _BARE_AMPERSAND.sub("&amp;", _NOT_XML.sub("", source))


def breaks_undone(content: str) -> str:
    """`<br/>` as a line's end."""
    content = content.replace("<br/>", "\n")
    return _BREAK.sub("\n", content) if "<br" in content else content


def emoji_undone(content: str) -> str:
    """Emoji spans as characters."""
    return _EMOJI.sub(lambda span: _characters(span[1]), content) if "<span" in content else content


def entities_undone(content: str) -> str:
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
    """4 or 5 digits are one code point, 6 are two as 2+4 (keycaps), 10 two as 5+5 (flags) (webwx 3.4.1).

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
