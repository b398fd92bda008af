"""What the backend says to people, in English and Chinese; automations go by kinds and codes."""

from __future__ import annotations

from wx2mqtt.model import Kind
from wx2mqtt.wechat.words import KINDS, said
from wx2mqtt.words import Language

_UNSUPPORTED = ("[a message that web WeChat cannot show]", "[网页版微信无法显示的消息]")

# games and their results (webwx 3.2)
_GAMES: dict[str, tuple[str, str]] = {
    "dice": ("dice", "骰子"),
    "rock_paper_scissors": ("rock paper scissors", "猜拳"),
    "rock": ("rock", "石头"),
    "paper": ("paper", "布"),
    "scissors": ("scissors", "剪刀"),
}

_SENTENCES: dict[str, tuple[str, str]] = {
    # why a login is over (webwx 1.3, 5.2): the numbers are used inconsistently, so the words say what is
    # likely
    "1100": (
        "WeChat ended the login (1100), most likely because it was logged out on the phone",
        "微信已结束登录(1100),很可能是在手机上退出了网页版",
    ),
    "1101": (
        "WeChat ended the login (1101): logged out on the phone, replaced by another web login, or expired",
        "微信已结束登录(1101):在手机上退出、在别处登录了网页版,或登录已过期",
    ),
    "1102": (
        "WeChat no longer accepts this login (1102): expired, logged out, or ended as that of a robot",
        "微信不再接受此次登录(1102):已过期、已退出,或被微信判定为机器人而结束",
    ),
    "1103": (
        "WeChat ended the login (1103); what this number means is not certain",
        "微信已结束登录(1103);此编号的含义尚不确定",
    ),
    # why a login does not come about (webwx 2.4)
    "refused": ("WeChat refuses this login ({ret}): {message}", "微信拒绝登录({ret}):{message}"),
    "refused_silently": (
        "WeChat refuses this login ({ret}) and says no reason",
        "微信拒绝登录({ret}),未说明原因",
    ),
    "refused_by_page": (
        "WeChat answered the login with a web page: it does not let this account use web WeChat",
        "微信以网页回应登录:此账号不能使用网页版微信",
    ),
    "refused_without_key": (
        "WeChat confirmed the login and gave no session key: it does not let this account use web WeChat",
        "微信确认了登录但没有给出会话密钥:此账号不能使用网页版微信",
    ),
    "foreign_host": (
        "the login was sent to an address that is not WeChat's; nothing was sent there",
        "登录被转向一个不属于微信的地址;没有向其发送任何内容",
    ),
    "no_code": (
        "WeChat gives no QR code ({code}); perhaps it blocks this network address",
        "微信没有给出二维码({code});可能封锁了此网络地址",
    ),
    # why a call brought nothing
    "later": ("WeChat says to try later ({ret}, {call})", "微信要求稍后再试({ret},{call})"),
    "stale": (
        "WeChat renewed our keys while it was asked ({ret}, {call})",
        "请求途中微信更新了密钥({ret},{call})",
    ),
    # why a message was not taken
    "not_a_friend": (
        "WeChat does not deliver to this person or group (1204): no friend, or not allowed",
        "微信无法发送给对方(1204):不是好友或不允许",
    ),
    "not_done": ("WeChat refused to do this ({ret})", "微信拒绝了此操作({ret})"),
    "no_group": ("WeChat made no group and said no reason", "微信没有建立群聊,也未说明原因"),
    "media_forgotten": (
        "WeChat no longer takes a file that was uploaded before ({why})",
        "微信不再接受先前上传的文件({why})",
    ),
    "text_too_long": (
        "with the names of those mentioned the text is longer than {limit} bytes",
        "加上被提及者的名字后,文字超过 {limit} 字节",
    ),
    "no_member": ("somebody who is mentioned is not in this group", "被提及的人不在此群中"),
    "no_mention": ("only in a group can somebody be mentioned", "只有在群聊中才能提及别人"),
    "old_request": (
        "this friend request is too old or of an earlier login; answer it on the phone",
        "此好友请求已过期或属于先前的登录;请在手机上处理",
    ),
    "few_members": ("a group needs at least two others", "群聊至少需要另外两人"),
}


def say(language: Language, key: str, /, **facts: object) -> str:
    """The sentence for `key` with its facts."""
    return said(_SENTENCES, language, key, **facts)


def placeholder(language: Language, kind: Kind, what: str = "") -> str:
    """The line for a message whose kind has no text of its own: `[file] report.pdf`."""
    label = KINDS.get(kind, _UNSUPPORTED)[language == "zh"]
    return f"{label} {what}" if what else label


def outcome(language: Language, game: str, result: str) -> str:
    """A game and its result in words: `dice: 4`; empty where there is no game."""
    parts = [_GAMES.get(word, (word, word))[language == "zh"] for word in (game, result) if word]
    return ": ".join(parts)
