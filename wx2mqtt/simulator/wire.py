"""How WeChat writes values: JSON, escaped names and texts, emoji spans, ids (webwx 1.2, 3.3, 3.4). Pure."""

from __future__ import annotations

import json
import re

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})

_FLAG = "[\U0001f1e6-\U0001f1ff]{2}"
_KEYCAP = "[0-9#*]\u20e3"
_OLD_EMOJI = "[\u2600-\u27bf\U0001f300-\U0001f3fa\U0001f400-\U0001f64f\U0001f680-\U0001f6ff]"
_COMPOSED = "[\u200d\ufe0f\U0001f3fb-\U0001f3ff]"
_EMOJI = re.compile(f"{_FLAG}|{_KEYCAP}|(?<!\u200d){_OLD_EMOJI}(?!{_COMPOSED})")
"""What the server turns into spans: the emoji of the old phones. Newer and composed ones come as they are."""


def dump(value: object) -> bytes:
    """JSON as WeChat's servers write it: raw UTF-8, no escapes beyond those that JSON demands."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _span(match: re.Match[str]) -> str:
    digits = "".join(f"{ord(character):x}" for character in match[0])
    return f'<span class="emoji emoji{digits}"></span>'


def escape(text: str) -> str:
    """Escape once, as the server does with everything that people wrote."""
    return text.translate(_ESCAPES)


def name(text: str) -> str:
    """A nickname, remark or group name on the wire."""
    return _EMOJI.sub(_span, escape(text)) if text else ""


def text(content: str) -> str:
    """A text message on the wire: escaped, emoji as spans, lines broken by `<br/>`."""
    return name(content).replace("\r\n", "\n").replace("\n", "<br/>")


def xml(content: str) -> str:
    """The XML of a message on the wire: escaped once, `<br/>` between its lines."""
    return escape(content).replace("\n", "<br/>")


def pinyin(nickname: str) -> str:
    """What stands in PYQuanPin: latin letters as they are, a question mark for what is no letter."""
    return "".join(c if c.isascii() and c.isalnum() else "?" for c in nickname if not c.isspace())
