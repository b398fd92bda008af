"""WeChat's encoding of messages: JSON, escaped texts, emoji spans, ids (webwx 1.2, 3.3, 3.4).

Also the entries of AddMsgList with all their fields (webwx 3.1).
"""

from __future__ import annotations

import json
import random
import re
import time
from dataclasses import dataclass

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_FLAG = "[\U0001f1e6-\U0001f1ff]{2}"
_KEYCAP = "[0-9#*]\u20e3"
_OLD_EMOJI = "[\u2600-\u27bf\U0001f300-\U0001f3fa\U0001f400-\U0001f64f\U0001f680-\U0001f6ff]"
_COMPOSED = "[\u200d\ufe0f\U0001f3fb-\U0001f3ff]"
_EMOJI = re.compile(f"{_FLAG}|{_KEYCAP}|(?<!\u200d){_OLD_EMOJI}(?!{_COMPOSED})")
"""The emoji that the server replaces by spans: those of old phones. Newer and composed ones stay."""


def dump_json(value: object) -> bytes:
    """Returns JSON as WeChat's servers write it: raw UTF-8, only the escapes that JSON requires."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _emoji_span(match: re.Match[str]) -> str:
    digits = "".join(f"{ord(character):x}" for character in match[0])
    return f'<span class="emoji emoji{digits}"></span>'


def escape(text: str) -> str:
    """Escapes once, as the server does with all user text."""
    return text.translate(_ESCAPES)


def encode_name(text: str) -> str:
    return _EMOJI.sub(_emoji_span, escape(text)) if text else ""


def encode_text(content: str) -> str:
    """Encodes a text message: escaped, emoji as spans, lines separated by `<br/>`."""
    return encode_name(content).replace("\r\n", "\n").replace("\n", "<br/>")


def encode_xml(content: str) -> str:
    """Encodes the XML of a message: escaped once, `<br/>` between its lines."""
    return escape(content).replace("\n", "<br/>")


def pinyin(nickname: str) -> str:
    """Returns the PYQuanPin of a name: ASCII letters and digits unchanged, `?` for other characters."""
    return "".join(c if c.isascii() and c.isalnum() else "?" for c in nickname if not c.isspace())


Fields = dict[str, object]
_FIRST_MESSAGE_ID = 7_615_282_929_538_795_099
"""Above 2^53, to expose clients that parse ids as doubles."""

_EMPTY_RECOMMEND_INFO: Fields = {
    "UserName": "",
    "NickName": "",
    "QQNum": 0,
    "Province": "",
    "City": "",
    "Content": "",
    "Signature": "",
    "Alias": "",
    "Scene": 0,
    "VerifyFlag": 0,
    "AttrStatus": 0,
    "Sex": 0,
    "Ticket": "",
    "OpCode": 0,
}


class MessageIds:
    """Issues message ids: increasing, with gaps, below 2^63."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._last = _FIRST_MESSAGE_ID

    def next(self) -> int:
        self._last += self._rng.randrange(3, 1000)
        return self._last


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRoute:
    """Sender and receiver of a message as user names, and the author in a group."""

    sender: str
    receiver: str
    member: str = ""

    def add_member_prefix(self, content: str) -> str:
        """Returns the content with the author prefix of a group (webwx 3.5.1)."""
        return f"{self.member}:<br/>{content}" if self.member else content


def recommend_info(values: Fields) -> Fields:
    return {**_EMPTY_RECOMMEND_INFO, **values}


def entry_fields(msg_id: int, route: MessageRoute, values: Fields) -> Fields:
    """Returns all fields of a message entry.

    `values` override the defaults, Content gets the author prefix.
    """
    content = values.get("Content", "")
    return {
        "MsgId": str(msg_id),
        "FromUserName": route.sender,
        "ToUserName": route.receiver,
        "MsgType": 1,
        "Status": 3,
        "ImgStatus": 1,
        "CreateTime": int(time.time()),
        "VoiceLength": 0,
        "PlayLength": 0,
        "FileName": "",
        "FileSize": "",
        "MediaId": "",
        "Url": "",
        "AppMsgType": 0,
        "StatusNotifyCode": 0,
        "StatusNotifyUserName": "",
        "RecommendInfo": _EMPTY_RECOMMEND_INFO,
        "ForwardFlag": 0,
        "AppInfo": {"AppID": "", "Type": 0},
        "HasProductId": 0,
        "Ticket": "",
        "ImgHeight": 0,
        "ImgWidth": 0,
        "SubMsgType": 0,
        "NewMsgId": msg_id,
        "OriContent": "",
        "EncryFileName": "",
        **values,
        "Content": route.add_member_prefix(content) if isinstance(content, str) else content,
    }


def render_entry(msg_id: int, route: MessageRoute, values: Fields) -> bytes:
    """Returns a message entry as JSON bytes."""
    return dump_json(entry_fields(msg_id, route, values))
