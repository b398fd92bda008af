"""Sentences of the web server: problems with their remedies, and the short answers of the server."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from wx2mqtt.i18n import Catalogue, Language, Translations, text, translation
from wx2mqtt.values import frozen


@frozen(kw_only=False)
class Remedy:
    """A problem, and what a person does about it."""

    problem: Translations
    remedy: Translations

    def in_language(self, language: Language) -> tuple[str, str]:
        return translation(self.problem, language), translation(self.remedy, language)


# By problem, as `bridge/health` names it; the page shows those of `login_<state>` in its login section.
REMEDIES: Mapping[str, Remedy] = {
    "login_starting": Remedy(
        ("The bridge talks to WeChat.", "正在连接微信。"),
        ("Wait a moment.", "请稍候。"),
    ),
    "login_waiting_for_scan": Remedy(
        ("WeChat is not logged in.", "微信尚未登录。"),
        (
            "Open WeChat on the phone, tap + and then Scan, and point the camera at the code.",
            "打开手机微信，点右上角“+”，选择“扫一扫”，对准二维码。",
        ),
    ),
    "login_waiting_for_confirm": Remedy(
        ("WeChat asks the phone.", "微信在手机上等你确认。"),
        ("Tap “Log in” on the phone.", "请在手机上点“登录”。"),
    ),
    "login_interrupted": Remedy(
        ("WeChat does not answer, or the bridge cannot store.", "微信没有响应，或者桥接程序无法写入数据。"),
        (
            "The bridge tries again by itself. If it lasts, look at this machine's network, clock and disk.",
            "桥接程序会自动重试。一直这样的话，请检查本机的网络、时钟和磁盘。",
        ),
    ),
    "login_logged_out": Remedy(
        ("Nobody is logged in.", "没有登录。"),
        ("Ask for a code and scan it with the phone.", "请获取二维码，用微信扫一扫。"),
    ),
    "login_refused": Remedy(
        (
            "This login was refused; the bridge does not try again by itself.",
            "登录被拒绝；桥接程序不会自动重试。",
        ),
        (
            "Not every account may use WeChat on the web. Was it the owner's, or that of accounts.<name>.expect?",
            "网页版微信不是所有账号都能用。扫码的是主人的账号，或者 accounts.<name>.expect 里指定的账号吗？",
        ),
    ),
    "login_stopped": Remedy(
        ("The bridge stops.", "桥接程序正在停止。"),
        ("Start it again when you want it.", "需要时请重新启动。"),
    ),
    "broker_away": Remedy(
        (
            "The MQTT broker cannot be reached. What comes from WeChat is kept until it can.",
            "连不上 MQTT 服务器。收到的微信消息会保留，恢复连接后再发布。",
        ),
        (
            "See that it runs, and that mqtt.url and its password fit; 'wx2mqtt check --connect' tries.",
            "请确认 MQTT 服务器正在运行，并且 mqtt.url 及其密码正确；可用“wx2mqtt check --connect”测试。",
        ),
    ),
    "broker_refuses_topics": Remedy(
        ("The broker refuses topics of the bridge.", "MQTT 服务器拒绝了部分主题。"),
        (
            "Let the bridge's user publish and subscribe below its base; it tries again every 5 minutes.",
            "请给桥接程序的用户在主题前缀之下发布和订阅的权限。桥接程序每 5 分钟自动重试。",
        ),
    ),
    "standby": Remedy(
        (
            "Another client took over our client id twice, so this bridge stands by.",
            "另一个客户端两次用同一个客户端 id 抢占了连接，这个桥接程序已转为待命。",
        ),
        (
            "Stop the other bridge, or give this one another mqtt.client_id.",
            "请停掉另一个桥接程序，或给这个换一个 mqtt.client_id。",
        ),
    ),
    "store_trouble": Remedy(
        (
            "The store cannot be written; nothing is acknowledged meanwhile.",
            "存储写不了；这期间收到的消息和命令都不会确认。",
        ),
        (
            "Look at the disk: is it full, read-only or broken, and whose are the files?",
            "请检查磁盘是不是满了、只读或损坏，以及文件的所有者对不对。",
        ),
    ),
    "store_full": Remedy(
        (
            "The store has reached its limit; nothing more is received.",
            "存储已达到上限，不再接收消息。",
        ),
        (
            "Raise storage.max_size, or lower history.keep and media.keep.",
            "请调大 storage.max_size，或减小 history.keep 和 media.keep。",
        ),
    ),
    "muted_suspected": Remedy(
        (
            "WeChat takes messages but gives them no number: perhaps it delivers none of them.",
            "微信收了消息却没给编号：可能一条都没送到。",
        ),
        (
            "Look at the phone. If nothing arrives, give alarms another way: accounts.<name>.fallback.",
            "请看看手机。什么也没收到的话，请为告警设置备用通道：accounts.<name>.fallback。",
        ),
    ),
    "commands_failed": Remedy(
        (
            "A command was not sent, and nothing has been sent to the same user since.",
            "有命令没发出去，之后也没有命令成功发给同一个人。",
        ),
        (
            "The last commands below, the log and 'wx2mqtt journal list' say why. It goes with the next command that is sent to the user, or after 24 hours.",
            "原因看下方的最近命令、日志或“wx2mqtt journal list”。之后只要有一条成功发给这个人，或者过了 24 小时，这个问题就会消失。",
        ),
    ),
    "account_failed": Remedy(
        (
            "A fault of the bridge itself ended this account; the others go on.",
            "桥接程序自身出错，此账号已停止；其他账号不受影响。",
        ),
        (
            "It is begun again by itself, at the latest after five minutes. Please report what the log says.",
            "五分钟之内会自动重启。请把日志里的内容反馈给我们。",
        ),
    ),
    "loops_stuck": Remedy(
        ("A part of the bridge does not move any more.", "桥接程序的某一部分卡住了。"),
        (
            "Start it anew; under systemd the watchdog does. The log says what it last did.",
            "请重新启动；用 systemd 的话看门狗会自动重启。日志里记有它卡住前做的最后一件事。",
        ),
    ),
    "reload_refused": Remedy(
        (
            "The configuration file was refused at the last reload; the settings of before hold.",
            "上次重新加载时配置文件被拒绝；仍使用之前的设置。",
        ),
        (
            "'wx2mqtt check' names every problem of the file; mend it, and reload again.",
            "“wx2mqtt check”会列出文件里的所有问题；改好之后请重新加载。",
        ),
    ),
    "messages_set_aside": Remedy(
        (
            "The broker hangs up on some messages, so they were set aside.",
            "有些消息一发布，MQTT 服务器就断开连接；这些消息已单独存放，不再自动发布。",
        ),
        (
            "'wx2mqtt journal list' shows them, 'wx2mqtt journal retry --row' publishes one again.",
            "可用“wx2mqtt journal list”查看，用“wx2mqtt journal retry --row”重新发布。",
        ),
    ),
    "discovery_too_large": Remedy(
        (
            "What Home Assistant is to know is more than the broker takes, so people are left out.",
            "发给 Home Assistant 的配置超过了 MQTT 服务器的上限，所以少了一些联系人。",
        ),
        (
            "Name fewer people in homeassistant.expose, or raise the broker's packet limit.",
            "请减少 homeassistant.expose 中的联系人，或调大 MQTT 服务器的数据包上限。",
        ),
    ),
    "unresolved_people": Remedy(
        (
            "Since the last login it is not certain who some people are; their topics are closed.",
            "上次登录后，有些联系人对不上是谁，他们的主题已关闭。",
        ),
        (
            "Find them among the contacts below and decide with 'wx2mqtt people assign'.",
            "请在下方联系人里找到他们，用“wx2mqtt people assign”指定。",
        ),
    ),
}


def remedy_for(problem: str, language: Language) -> tuple[str, str]:
    """Returns the problem and its remedy as sentences. A problem without an entry is returned as it is."""
    known = REMEDIES.get(problem)
    return (problem, "") if known is None else known.in_language(language)


SERVER_MESSAGES: Catalogue = {
    # refused requests
    "foreign_host": (
        "this server does not answer to that name; put it into web.hosts, or the whole address into web.url",
        "本服务器没有这个主机名；请把它写入 web.hosts，或在 web.url 中写明外部地址",
    ),
    "only_ingress": (
        "this server answers only to Home Assistant's Ingress (web.ingress)",
        "本服务器只响应 Home Assistant 的 Ingress（web.ingress）",
    ),
    "foreign_origin": (
        "that came from a page of another site; if that is this server's own name, put it into web.hosts",
        "请求来自其他网站的页面；如果那是本服务器自己的名称，请写入 web.hosts",
    ),
    "head_too_large": ("the head of the request is too large", "请求头过大"),
    "body_too_large": ("that is more than this server reads", "请求内容过大"),
    "too_many_connections": ("too many connections", "连接过多"),
    "too_many_forms": (
        "too many logins from this address at the same time; wait a moment",
        "这个地址同时提交的登录太多，请稍候",
    ),
    "body_too_slow": ("the request did not come to its end in time", "请求未能及时传完"),
    "log_in_first": (
        "log in, or send the token of web.token_file as 'Authorization: Bearer …'",
        "请先登录，或用“Authorization: Bearer …”发送 web.token_file 中的令牌",
    ),
    "wrong_token": ("that is not the token of web.token_file", "令牌与 web.token_file 中的不符"),
    "too_often": (
        "too many wrong tries from your address; try again in {seconds} s",
        "这个地址输错次数太多；请 {seconds} 秒后再试",
    ),
    "internal": ("the bridge could not do it; its log says why", "桥接程序出错；原因见日志"),
    "not_loaded": (
        "the bridge cannot load its web server; its log says why, and the next request tries again",
        "桥接程序无法加载网页服务器；原因见日志，下一次请求会再试",
    ),
    # media
    "unknown_media": ("there is nothing of this id", "没有这个编号的文件"),
    "pending": ("the bytes are not here yet{why}; ask again later", "文件还没下载好{why}；请稍后再试"),
    "failed": ("the bytes could not be fetched{why}", "无法取得文件{why}"),
    "too_large": (
        "larger than media.max_size, and not fetched{why}",
        "超过 media.max_size 的限制，未下载{why}",
    ),
    "gone": ("the bytes are no longer to be had{why}", "文件已经没有了{why}"),
    "range": ("the file has {size} bytes", "文件共有 {size} 字节"),
    # the login
    "title": ("Log in", "登录"),
    "password": ("Password", "密码"),
    "log_in": ("Log in", "登录"),
    "log_out": ("Log out", "退出登录"),
    "wrong_password": ("That is not the password.", "密码不正确。"),
    "wait_first": (
        "Too many wrong tries from your address. Try again in {seconds} s.",
        "这个地址输错次数太多。请 {seconds} 秒后再试。",
    ),
    "logged_in": ("You are logged in.", "你已登录。"),
    "no_password": ("No password is needed here.", "此处不需要密码。"),
    "to_page": ("To the page", "进入页面"),
    # the page
    # calls of senders
    "wrong_sender_token": (
        "that is no sender's token: send that of a sender of web.senders (the one of web.token_file sends nothing)",
        "这不是发送方的令牌：请使用 web.senders 里某个发送方的令牌（web.token_file 中的令牌不能用来发送）",
    ),
    "sender_without_token": (
        "send the token of a sender of web.senders, as Authorization: Bearer …",
        "请在 Authorization: Bearer … 中提供 web.senders 里某个发送方的令牌",
    ),
    "sender_forbidden": (
        "this sender may not send to {user}; add them to its users in web.senders",
        "此发送方不能发给 {user}；请在 web.senders 的 users 中加上",
    ),
    "sender_names_nobody": (
        "this names nobody: write /send/<name>, or give the sender a 'to' in web.senders",
        "没有写明收件人：请写 /send/<名字>，或在 web.senders 中为此发送方设置 to",
    ),
    "sender_too_fast": (
        "{name} sends more than {rate} a minute (rate in web.senders); try again in {seconds} s",
        "{name} 每分钟超过 {rate} 条（web.senders 的 rate）；请在 {seconds} 秒后重试",
    ),
    "sender_unfinished": (
        "{limit} commands of {name} have no result yet; try again when some have",
        "{name} 已有 {limit} 条命令尚无结果；请等其中一些完成后重试",
    ),
    "account_elsewhere": (
        "account {account} runs on another instance: {instance}; send it there",
        "账号 {account} 在另一个实例上运行：{instance}；请发往那里",
    ),
    "account_not_here": (
        "account {account} does not run here now; try again later",
        "账号 {account} 目前不在此运行；请稍后重试",
    ),
    "store_refuses": (
        "the store does not take it now; try again later, with the same Idempotency-Key",
        "存储目前无法写入；请稍后用相同的 Idempotency-Key 重试",
    ),
    "unknown_account": ("there is no account of that name", "没有这个名称的账号"),
    "sending_off": (
        "texts to everybody can be sent only on this machine, or where web.password_file is set",
        "只有在本机上，或设置了 web.password_file 时，才能给任意联系人发消息",
    ),
    "no_code": ("no code is to be scanned now", "目前没有需要扫描的二维码"),
    "nothing_here": ("there is nothing of this name", "没有这个名称的文件"),
    "not_stored": ("the store does not take it; nothing was sent", "存储无法写入；未发送任何内容"),
    "database_away": (
        "the database cannot be used, so no account runs here; try again later",
        "数据库无法使用，因此这里没有账号在运行；请稍后再试",
    ),
    "too_many_viewers": (
        "too many look on already; reload the page to see what is new",
        "同时查看的人过多；请刷新页面查看最新内容",
    ),
}


# Returns a sentence: `server_text(language, key, **facts)`.
server_text = partial(text, SERVER_MESSAGES)


# Words of the texts that the bridge makes of what Alertmanager and Grafana send.
_ALERTS: Catalogue = {
    "firing": ("FIRING", "告警"),
    "resolved": ("RESOLVED", "已恢复"),
    # several alerts of one state
    "counted": ("{state} ({count})", "{state}（{count}）"),
    "between_states": (", ", "，"),
    # what all alerts of a group have in common: name, severity or both
    "title": ("{states}: {common}", "{states}：{common}"),
    "severity": (" ({severity})", "（{severity}）"),
    # before a resolved alert among firing ones
    "resolved_line": ("resolved: {line}", "已恢复：{line}"),
    "rest": ("and {count} more", "另有 {count} 个"),
}

# Returns a phrase: `alert_text(language, key, **facts)`.
alert_text = partial(text, _ALERTS)
