"""What every backend says to people, in English and Chinese; each has further sentences of its own."""

from __future__ import annotations

from collections.abc import Mapping

from wx2mqtt.model import Kind
from wx2mqtt.words import Language

Sentences = Mapping[str, tuple[str, str]]

KINDS: Mapping[Kind, tuple[str, str]] = {
    Kind.IMAGE: ("[image]", "[图片]"),
    Kind.VOICE: ("[voice]", "[语音]"),
    Kind.VIDEO: ("[video]", "[视频]"),
    Kind.STICKER: ("[sticker]", "[表情]"),
    Kind.FILE: ("[file]", "[文件]"),
    Kind.LINK: ("[link]", "[链接]"),
    Kind.MINI_PROGRAM: ("[mini program]", "[小程序]"),
    Kind.LOCATION: ("[location]", "[位置]"),
    Kind.CARD: ("[contact card]", "[名片]"),
    Kind.CHAT_HISTORY: ("[chat history]", "[聊天记录]"),
    Kind.TRANSFER: ("[transfer]", "[转账]"),
    Kind.RED_PACKET: ("[red packet]", "[红包]"),
    Kind.SYSTEM: ("[system message]", "[系统消息]"),
}

COMMON: Sentences = {
    "no_login": ("there is no login at WeChat", "尚未登录微信"),
    # why a call brought nothing
    "no_connection": ("no connection to WeChat ({call})", "无法连接微信({call})"),
    "no_answer": ("WeChat did not answer in time ({call})", "微信未在时限内回应({call})"),
    "broken_answer": ("WeChat's answer broke off ({call})", "微信的回应中断({call})"),
    "status": (
        "WeChat's server answered with HTTP status {status} ({call})",
        "微信服务器返回 HTTP {status}({call})",
    ),
    "too_large": ("WeChat's answer is too large ({call})", "微信的回应过大({call})"),
    "unreadable": ("WeChat's answer cannot be read ({call})", "无法读取微信的回应({call})"),
    "too_often": (
        "WeChat says that this was too often ({ret}, {call})",
        "微信提示操作过于频繁({ret},{call})",
    ),
    "failed": ("WeChat did not do it ({ret}, {call})", "微信未执行({ret},{call})"),
    # why there are no bytes
    "nothing_yet": ("WeChat sent no bytes ({call})", "微信没有返回任何内容({call})"),
    "gone": ("WeChat no longer has the bytes ({call})", "微信已没有此内容({call})"),
    "no_locator": ("it is not known where these bytes are", "不知道此内容在何处"),
    # why a message was not taken
    "not_taken": ("WeChat refused the message ({ret})", "微信拒绝了此消息({ret})"),
    "not_uploaded": ("WeChat refused the file ({ret})", "微信拒绝了此文件({ret})"),
    "no_media_id": ("WeChat took the file and gave it no name", "微信收到了文件,但没有给出编号"),
    "another_login": ("another login began meanwhile", "期间已开始另一次登录"),
    "bad_file": ("the file cannot be read", "无法读取此文件"),
    "empty_file": ("the file is empty", "文件为空"),
    "file_too_large": (
        "the file has {size} bytes; WeChat takes at most {limit} as '{kind}'",
        "文件有 {size} 字节;微信作为“{kind}”最多接受 {limit} 字节",
    ),
    "file_unsupported": (
        "WeChat takes no '{mime}' as '{kind}'; send it as a file",
        "微信不接受以“{kind}”发送“{mime}”;请作为文件发送",
    ),
    "kind_unsupported": ("this backend cannot send '{kind}' yet", "此后端还不能发送“{kind}”"),
    "bad_characters": ("the text holds characters that cannot be sent", "文字包含无法发送的字符"),
}


def said(sentences: Sentences, language: Language, key: str, /, **facts: object) -> str:
    """The sentence for `key` with its facts; a backend's own goes before the common one."""
    found = sentences.get(key) or COMMON[key]
    return found[language == "zh"].format_map(facts)
