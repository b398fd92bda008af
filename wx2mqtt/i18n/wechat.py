"""Sentences of the WeChat backends: errors, refusals, and the text that stands for a message without one.

`COMMON_SENTENCES` belong to all backends; each backend adds its own and may replace a common one.
"""

from __future__ import annotations

from functools import partial

from wx2mqtt.i18n import Catalogue, Language, Translations, text, translation
from wx2mqtt.message_kinds import MESSAGE_KINDS
from wx2mqtt.model import Kind

COMMON_SENTENCES: Catalogue = {
    "no_renewal": ("a login of web WeChat is not renewed", "网页版微信的登录无需续期"),
    "no_login": ("there is no login at WeChat", "尚未登录微信"),
    # why a call brought nothing
    "no_connection": ("no connection to WeChat ({call})", "无法连接微信（{call}）"),
    "no_answer": ("WeChat did not answer in time ({call})", "微信未在时限内回应（{call}）"),
    "broken_answer": ("WeChat's answer broke off ({call})", "微信的回应中断（{call}）"),
    "status": (
        "WeChat's server answered with HTTP status {status} ({call})",
        "微信服务器返回 HTTP {status}（{call}）",
    ),
    "too_large": ("WeChat's answer is too large ({call})", "微信的回应过大（{call}）"),
    "unreadable": ("WeChat's answer cannot be read ({call})", "无法读取微信的回应（{call}）"),
    "too_often": (
        "WeChat says that this was too often ({ret}, {call})",
        "微信提示操作过于频繁（{ret}，{call}）",
    ),
    "failed": ("WeChat did not do it ({ret}, {call})", "微信未执行（{ret}，{call}）"),
    # why there are no bytes
    "nothing_yet": ("WeChat sent no bytes ({call})", "微信没有返回任何内容（{call}）"),
    "gone": ("WeChat does not have it any more", "微信上已不存在"),
    "no_locator": ("it is not known where these bytes are", "不知道内容在哪里"),
    # why a message was not taken
    "not_taken": ("WeChat refused the message ({ret})", "微信拒绝了此消息（{ret}）"),
    "not_uploaded": ("WeChat refused the file ({ret})", "微信拒绝了此文件（{ret}）"),
    "no_media_id": ("WeChat took the file and gave it no name", "微信收到了文件，但没有给出编号"),
    "another_login": ("another login began meanwhile", "期间已开始另一次登录"),
    "bad_file": ("the file cannot be read", "无法读取此文件"),
    "empty_file": ("the file is empty", "文件为空"),
    "file_too_large": (
        "the file has {size} bytes; WeChat takes at most {limit} as '{kind}'",
        "文件有 {size} 字节；微信作为“{kind}”最多接受 {limit} 字节",
    ),
    "file_too_small": (
        "the file has {size} bytes; WeChat takes none with fewer than {limit}",
        "文件有 {size} 字节；微信不接受小于 {limit} 字节的文件",
    ),
    "file_unsupported": (
        "WeChat takes no '{mime}' as '{kind}'; send it as a file",
        "微信不接受以“{kind}”发送“{mime}”；请作为文件发送",
    ),
    "kind_unsupported": ("this backend cannot send '{kind}' yet", "此后端还不能发送“{kind}”"),
    "bad_characters": ("the text holds characters that cannot be sent", "文字包含无法发送的字符"),
}


def _placeholder(language: Language, kind: Kind, detail: str, unsupported: Translations) -> str:
    label = translation(MESSAGE_KINDS[kind].label or unsupported, language)
    return f"{label} {detail}" if detail else label


_ILINK_UNSUPPORTED = ("[a message that a bot is not shown]", "[机器人无法显示的消息]")

ILINK_MESSAGES: Catalogue = {
    # why a login is over (ilink 10.3)
    "logged_out": (
        "WeChat no longer accepts this login (-14): the account was most likely connected somewhere else, or the login expired",
        "微信不再接受此次登录（-14）：此账号很可能已在别处连接，或登录已过期",
    ),
    # why a login does not come about (ilink 3)
    "no_code": (
        "WeChat gives no QR code ({ret}); perhaps it blocks this network address",
        "微信没有给出二维码（{ret}）；可能封锁了此网络地址",
    ),
    "foreign_host": (
        "the login was sent to '{host}', which is none of WeChat's hosts; nothing was sent there (ilink.hosts allows others)",
        "登录被转向“{host}”，它不是微信的主机；没有向其发送任何内容（可在 ilink.hosts 中允许）",
    ),
    "no_credentials": (
        "WeChat confirmed the login and gave no token: try again, and if that does not help, write to the bot on the phone first",
        "微信确认了登录但没有给出令牌：请重试；若仍不行，请先在手机上给机器人发一条消息",
    ),
    # why a call brought nothing
    "second_poller": (
        "WeChat refuses to hand over messages (403): another program receives with the same login",
        "微信不再给出消息（403）：有另一个程序在用同一个登录接收",
    ),
    # why a message was not taken (ilink 10)
    "window_closed": (
        "WeChat takes messages only within 24 hours after the person wrote; they must write to the bot first",
        "对方上次发消息已超过 24 小时，微信不再接收；请对方先给机器人发一条消息",
    ),
    "quota_used": (
        "WeChat takes about ten messages for each one that the person writes; they must write to the bot first",
        "对方每发来一条消息，微信大约只接受十条；请对方先给机器人发一条消息",
    ),
    "rate_limited": ("WeChat says that this was too often", "微信提示操作过于频繁"),
    "text_too_long": (
        "the text has {size} bytes; WeChat takes {limit}",
        "文字有 {size} 字节；微信最多 {limit}",
    ),
    "empty_text": ("there is no text to send", "没有要发送的文字"),
    "no_address": ("WeChat gave no address for the file", "微信没有给出上传文件的地址"),
    "no_action": ("a bot cannot do this", "机器人无法执行此操作"),
    # why there are no bytes
    "wrong_key": ("the bytes cannot be decrypted with their key", "无法用给出的密钥解密此内容"),
    "wrong_size": (
        "WeChat sent {size} bytes, announced were {announced}",
        "微信发来 {size} 字节，应为 {announced}",
    ),
    "wrong_hash": ("the bytes are not those that were announced", "内容与事先给出的哈希不符"),
}

_ILINK_CATALOGUE: Catalogue = {**COMMON_SENTENCES, **ILINK_MESSAGES}


# Returns a sentence of `ILINK_MESSAGES` or `COMMON_SENTENCES`: `ilink_text(language, key, **facts)`.
ilink_text = partial(text, _ILINK_CATALOGUE)


def ilink_placeholder(language: Language, kind: Kind, detail: str = "") -> str:
    """Returns the text of a message whose kind has none of its own, such as `[file] report.pdf`."""
    return _placeholder(language, kind, detail, _ILINK_UNSUPPORTED)


_WECOM_UNSUPPORTED = ("[a message that a bot is not shown]", "[机器人无法显示的消息]")

WECOM_MESSAGES: Catalogue = {
    "no_login": ("there is no login at WeCom", "尚未登录企业微信"),
    "no_renewal": ("a login of WeCom is not renewed", "企业微信的登录无需续期"),
    # why there is no connection (wecom 2)
    "no_connection": ("no connection to WeCom", "无法连接企业微信"),
    "closed": ("the bridge closed the connection to WeCom", "桥接程序已关闭与企业微信的连接"),
    "closed_by_wecom": ("the connection to WeCom broke off", "与企业微信的连接中断"),
    "no_heartbeat": ("WeCom answered no heartbeat any more", "企业微信不再回应心跳"),
    "too_many_waiting": (
        "more messages came than could be stored, so the connection to WeCom was closed",
        "消息来得太多，存不过来，已关闭与企业微信的连接",
    ),
    "no_answer": ("WeCom did not answer in time ({call})", "企业微信没有及时回应（{call}）"),
    "answered_already": ("this message is being answered already", "此消息正在回应中"),
    "too_late": ("the connection of this message has ended", "此消息所属的连接已结束"),
    # why a login is over or does not come about (wecom 2.4, 2.6, 3, 6)
    "taken_over": (
        "another program uses this bot now, and WeCom lets only one connect; stop the other one, then log in again",
        "有另一个程序在用这个机器人，而企业微信只允许一个连接；请先停掉那个程序，再重新登录",
    ),
    "logged_out": (
        "the bot was logged out here; log in to use it again",
        "机器人已在这里退出登录；要用请重新登录",
    ),
    "refused": (
        "WeCom refuses bot id or secret ({ret}: {message}); correct wecom.bot_id and wecom.secret (a reload applies another secret), or scan again",
        "企业微信拒绝此机器人 ID 或密钥（{ret}：{message}）；请更正 wecom.bot_id 和 wecom.secret（只改密钥时，重新加载配置即可），或重新扫码",
    ),
    "not_now": (
        "WeCom does not let the bot connect now ({ret}: {message})",
        "企业微信暂不允许机器人连接（{ret}：{message}）",
    ),
    "no_code": ("WeCom gives no QR code ({ret})", "企业微信没有给出二维码（{ret}）"),
    "scan_failed": ("WeCom made no bot from this scan ({ret})", "此次扫码后企业微信没有创建机器人（{ret}）"),
    "address_expired": (
        "WeCom takes the address of this file no longer ({status}); it is good for five minutes",
        "企业微信已不再接受此文件的地址（{status}）；地址只有五分钟有效",
    ),
    # why a message was not taken (wecom 6)
    "not_subscribed": (
        "WeCom had lost the subscription of the bot (846609); it is made anew",
        "企业微信丢失了机器人的订阅（846609）；正在重新订阅",
    ),
    "no_chat": (
        "WeCom does not let the bot write here ({ret}: {message}); a person must write to the bot first, and a group must have it as a member",
        "企业微信不允许机器人在此发言（{ret}：{message}）；对方需先给机器人发一条消息，群聊需先加入机器人",
    ),
    "too_often": (
        "WeCom says that this was too often ({ret}, {call})",
        "企业微信提示操作过于频繁（{ret}，{call}）",
    ),
    "not_taken": ("WeCom refused it ({ret}: {message})", "企业微信拒绝了此请求（{ret}：{message}）"),
    "text_too_long": (
        "the text has {size} bytes as it is sent; WeCom takes {limit}",
        "文字按发送时计有 {size} 字节；企业微信最多 {limit}",
    ),
    "empty_text": ("there is no text to send", "没有要发送的文字"),
    "too_many_uploads": (
        "WeCom takes 30 files a minute and 1,000 an hour from a bot; the next one waits",
        "企业微信每分钟接受机器人上传 30 个文件，每小时 1,000 个；后面的文件先等着",
    ),
    "chat_is_full": (
        "WeCom takes 30 messages a minute and 1,000 an hour in a chat; the next one waits",
        "企业微信每分钟接受一个聊天 30 条消息，每小时 1,000 条；后面的消息先等着",
    ),
    "answered_too_late": ("answered already, or too late", "已回答，或已过期"),
    "no_action": ("a bot cannot do this", "机器人无法执行此操作"),
    # why there are no bytes (wecom 4.4)
    "wrong_key": ("the bytes cannot be decrypted with their key", "无法用给出的密钥解密此内容"),
}

_WECOM_CATALOGUE: Catalogue = {**COMMON_SENTENCES, **WECOM_MESSAGES}


# Returns a sentence of `WECOM_MESSAGES` or `COMMON_SENTENCES`: `wecom_text(language, key, **facts)`.
wecom_text = partial(text, _WECOM_CATALOGUE)


def wecom_placeholder(language: Language, kind: Kind, detail: str = "") -> str:
    """Returns the text of a message whose kind has none of its own, such as `[picture]`."""
    return _placeholder(language, kind, detail, _WECOM_UNSUPPORTED)


_WEBWX_UNSUPPORTED = ("[a message that web WeChat cannot show]", "[网页版微信无法显示的消息]")


# games and their results (webwx 3.2.3)
_GAMES: Catalogue = {
    "dice": ("dice", "骰子"),
    "rock_paper_scissors": ("rock paper scissors", "猜拳"),
    "rock": ("rock", "石头"),
    "paper": ("paper", "布"),
    "scissors": ("scissors", "剪刀"),
}

WEBWX_MESSAGES: Catalogue = {
    # why a login is over (webwx 1.3.2, 5.2.1): the numbers are used inconsistently, so the words say what is
    # likely
    "1100": (
        "WeChat ended the login (1100), most likely because it was logged out on the phone",
        "微信已结束登录（1100），很可能是在手机上退出了网页版",
    ),
    "1101": (
        "WeChat ended the login (1101): logged out on the phone, replaced by another web login, or expired",
        "微信已结束登录（1101）：在手机上退出、在别处登录了网页版，或登录已过期",
    ),
    "1102": (
        "WeChat no longer accepts this login (1102): expired, logged out, or ended as that of a robot",
        "微信不再接受此次登录（1102）：已过期、已退出，或被微信判定为机器人而结束",
    ),
    "1103": (
        "WeChat ended the login (1103); what this number means is not certain",
        "微信已结束登录（1103）；此编号的含义尚不确定",
    ),
    # why a login does not come about
    "refused": ("WeChat refuses this login ({ret}): {message}", "微信拒绝登录（{ret}）：{message}"),
    "refused_silently": (
        "WeChat refuses this login ({ret}) and says no reason",
        "微信拒绝登录（{ret}），未说明原因",
    ),
    "refused_by_page": (
        "WeChat answered the login with a web page: it does not let this account use web WeChat",
        "微信以网页回应登录：此账号不能使用网页版微信",
    ),
    "refused_without_key": (
        "WeChat confirmed the login and gave no session key: it does not let this account use web WeChat",
        "微信确认了登录但没有给出会话密钥：此账号不能使用网页版微信",
    ),
    "foreign_host": (
        "the login was sent to an address that is not WeChat's; nothing was sent there",
        "登录被转向一个不属于微信的地址；没有向其发送任何内容",
    ),
    "no_code": (
        "WeChat gives no QR code ({code}); perhaps it blocks this network address",
        "微信没有给出二维码（{code}）；可能封锁了此网络地址",
    ),
    # why a call brought nothing
    "later": ("WeChat says to try later ({ret}, {call})", "微信要求稍后再试（{ret}，{call}）"),
    "stale": (
        "WeChat renewed our keys while it was asked ({ret}, {call})",
        "请求途中微信更新了密钥（{ret}，{call}）",
    ),
    # why a message was not taken
    "not_a_friend": (
        "WeChat does not deliver to this person or group (1204): no friend, or not allowed",
        "微信无法发送给对方（1204）：不是好友或不允许",
    ),
    "not_done": ("WeChat refused to do this ({ret})", "微信拒绝了此操作（{ret}）"),
    "no_group": ("WeChat made no group and said no reason", "微信没有建立群聊，也未说明原因"),
    "media_forgotten": (
        "WeChat no longer takes a file that was uploaded before ({why})",
        "微信不再接受先前上传的文件（{why}）",
    ),
    "text_too_long": (
        "with the names of those mentioned the text is longer than {limit} bytes",
        "加上被 @ 的人的名字，文字超过 {limit} 字节",
    ),
    "no_member": ("somebody who is mentioned is not in this group", "被 @ 的人不在这个群里"),
    "no_mention": ("only in a group can somebody be mentioned", "只有在群里才能 @ 别人"),
    "old_request": (
        "this friend request is too old or of an earlier login; answer it on the phone",
        "此好友请求已过期或属于先前的登录；请在手机上处理",
    ),
    "few_members": ("a group needs at least two others", "群聊至少需要另外两人"),
}

_WEBWX_CATALOGUE: Catalogue = {**COMMON_SENTENCES, **WEBWX_MESSAGES}


# Returns a sentence of `WEBWX_MESSAGES` or `COMMON_SENTENCES`: `webwx_text(language, key, **facts)`.
webwx_text = partial(text, _WEBWX_CATALOGUE)


def webwx_placeholder(language: Language, kind: Kind, detail: str = "") -> str:
    """Returns the text of a message whose kind has none of its own, such as `[file] report.pdf`."""
    return _placeholder(language, kind, detail, _WEBWX_UNSUPPORTED)


def game_outcome(language: Language, game: str, result: str) -> str:
    """Returns a game and its result, such as `dice: 4`; empty without a game."""
    parts = [translation(_GAMES.get(key, (key, key)), language) for key in (game, result) if key]
    return ": ".join(parts)
