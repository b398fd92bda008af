"""What the backend says to people, in English and Chinese; automations go by kinds and codes."""

from __future__ import annotations

from wx2mqtt.model import Kind
from wx2mqtt.wechat.words import KINDS, Sentences, said
from wx2mqtt.words import Language

_UNSUPPORTED = ("[a message that a bot is not shown]", "[机器人无法显示的消息]")

_SENTENCES: Sentences = {
    # why a login is over (ilink 10.3)
    "logged_out": (
        "WeChat no longer accepts this login (-14): the account was most likely connected somewhere else, or the login expired",
        "微信不再接受此次登录(-14):此账号很可能已在别处连接,或登录已过期",
    ),
    # why a login does not come about (ilink 3)
    "no_code": (
        "WeChat gives no QR code ({ret}); perhaps it blocks this network address",
        "微信没有给出二维码({ret});可能封锁了此网络地址",
    ),
    "foreign_host": (
        "the login was sent to '{host}', which is none of WeChat's hosts; nothing was sent there (ilink.hosts allows others)",
        "登录被转向“{host}”,它不是微信的主机;没有向其发送任何内容(可在 ilink.hosts 中允许)",
    ),
    "no_credentials": (
        "WeChat confirmed the login and gave no token: try again, and if that does not help, write to the bot on the phone first",
        "微信确认了登录但没有给出令牌:请重试;若仍不行,请先在手机上给机器人发一条消息",
    ),
    # why a call brought nothing
    "second_poller": (
        "WeChat refuses to hand over messages (403): another program receives with the same login",
        "微信拒绝交付消息(403):另有程序在使用同一登录接收",
    ),
    # why a message was not taken (ilink 10)
    "window_closed": (
        "WeChat takes messages only within 24 hours after the person wrote; they must write to the bot first",
        "微信只在对方发来消息后的 24 小时内接受消息;需要对方先给机器人发一条消息",
    ),
    "quota_used": (
        "WeChat takes about ten messages for each one that the person writes; they must write to the bot first",
        "对方每发来一条消息,微信大约只接受十条;需要对方先给机器人发一条消息",
    ),
    "rate_limited": ("WeChat says that this was too often", "微信提示操作过于频繁"),
    "text_too_long": (
        "the text has {size} bytes; WeChat takes {limit}",
        "文字有 {size} 字节;微信最多 {limit}",
    ),
    "empty_text": ("there is no text to send", "没有要发送的文字"),
    "no_address": ("WeChat gave no address for the file", "微信没有给出上传文件的地址"),
    "no_action": ("a bot cannot do this", "机器人无法执行此操作"),
    # why there are no bytes
    "wrong_key": ("the bytes cannot be decrypted with their key", "无法用给出的密钥解密此内容"),
    "wrong_size": (
        "WeChat sent {size} bytes, announced were {announced}",
        "微信发来 {size} 字节,宣布的是 {announced}",
    ),
    "wrong_hash": ("the bytes are not those that were announced", "内容与宣布的不一致"),
}


def say(language: Language, key: str, /, **facts: object) -> str:
    """The sentence for `key` with its facts."""
    return said(_SENTENCES, language, key, **facts)


def placeholder(language: Language, kind: Kind, what: str = "") -> str:
    """The line for a message whose kind has no text of its own: `[file] report.pdf`."""
    label = KINDS.get(kind, _UNSUPPORTED)[language == "zh"]
    return f"{label} {what}" if what else label
