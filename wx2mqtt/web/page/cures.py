"""What the problems of `bridge/health` mean and how each is mended, in English and Chinese.

THE table: each problem that the bridge can name, what is wrong then, and what a person does about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wx2mqtt.words import Language


@dataclass(frozen=True, slots=True)
class Cure:
    """`what` is wrong and `cure`, each in English and Chinese."""

    what: tuple[str, str]
    cure: tuple[str, str]

    def said(self, language: Language) -> tuple[str, str]:
        """Both in one language."""
        place = 1 if language == "zh" else 0
        return self.what[place], self.cure[place]


CURES: Mapping[str, Cure] = {
    "login_starting": Cure(
        ("The bridge talks to WeChat.", "正在连接微信。"),
        ("Wait a moment.", "请稍候。"),
    ),
    "login_waiting_for_scan": Cure(
        ("WeChat is not logged in.", "微信尚未登录。"),
        (
            "Open WeChat on the phone, tap + and then Scan, and point the camera at the code.",
            "打开手机微信,点右上角“+”,选择“扫一扫”,对准二维码。",
        ),
    ),
    "login_waiting_for_confirm": Cure(
        ("WeChat asks the phone.", "微信正在手机上询问。"),
        ("Tap “Log in” on the phone.", "请在手机上点“登录”。"),
    ),
    "login_interrupted": Cure(
        ("WeChat does not answer, or the bridge cannot store.", "微信没有响应,或桥接程序无法存储。"),
        (
            "The bridge tries again by itself. If it lasts, look at this machine's network, clock and disk.",
            "桥接程序会自动重试。若持续存在,请检查本机的网络、时钟和磁盘。",
        ),
    ),
    "login_logged_out": Cure(
        ("Nobody is logged in.", "没有登录。"),
        ("Ask for a code and scan it with the phone.", "请获取二维码并用手机扫描。"),
    ),
    "login_refused": Cure(
        (
            "This login was refused; the bridge does not try again by itself.",
            "登录被拒绝;桥接程序不会自动重试。",
        ),
        (
            "Not every account may use WeChat on the web. Was it the one that accounts.<name>.expect names?",
            "并非所有账号都能使用网页版微信。是否用了 accounts.<name>.expect 中指定的账号扫描?",
        ),
    ),
    "login_stopped": Cure(
        ("The bridge stops.", "桥接程序正在停止。"),
        ("Start it again when you want it.", "需要时请重新启动。"),
    ),
    "broker_away": Cure(
        (
            "The MQTT broker cannot be reached. What comes from WeChat is kept until it can.",
            "无法连接 MQTT 代理。微信消息会保留,直到恢复连接。",
        ),
        (
            "See that it runs, and that mqtt.url and its password fit; 'wx2mqtt check --connect' tries.",
            "请确认代理正在运行,并且 mqtt.url 及其密码正确;可用“wx2mqtt check --connect”测试。",
        ),
    ),
    "broker_refuses_topics": Cure(
        ("The broker refuses topics of the bridge.", "MQTT 代理拒绝了部分主题。"),
        (
            "Let the bridge's user publish and subscribe below its base; it tries again every 5 minutes.",
            "请允许桥接程序的用户在其基础主题下发布和订阅。每 5 分钟自动重试一次。",
        ),
    ),
    "standby": Cure(
        (
            "Another client took over our client id twice, so this bridge stands by.",
            "另一个客户端两次占用了同一 client id,本桥接程序转为待命。",
        ),
        (
            "Stop the other bridge, or give this one another mqtt.client_id.",
            "请停止另一个桥接程序,或为本程序设置不同的 mqtt.client_id。",
        ),
    ),
    "store_trouble": Cure(
        (
            "The store cannot be written; nothing is acknowledged meanwhile.",
            "存储无法写入;期间不会确认任何消息。",
        ),
        (
            "Look at the disk: is it full, read-only or broken, and whose are the files?",
            "请检查磁盘:是否已满、只读或损坏,以及文件的所有者。",
        ),
    ),
    "store_full": Cure(
        (
            "The store has reached its limit; nothing more is received.",
            "存储已达到上限,不再接收消息。",
        ),
        (
            "Raise storage.max_size, or lower history.keep and media.keep.",
            "请调大 storage.max_size,或减小 history.keep 和 media.keep。",
        ),
    ),
    "muted_suspected": Cure(
        (
            "WeChat takes messages but gives them no number: perhaps it delivers none of them.",
            "微信接收了消息但没有返回编号:可能一条都没有送达。",
        ),
        (
            "Look at the phone. If nothing arrives, give alarms another way: accounts.<name>.fallback.",
            "请查看手机。如果什么也没收到,请为告警设置另一条途径:accounts.<name>.fallback。",
        ),
    ),
    "account_failed": Cure(
        (
            "A fault of the bridge itself ended this account; the others go on.",
            "桥接程序自身出错,此账号已停止;其他账号不受影响。",
        ),
        (
            "It is begun again by itself, at the latest after five minutes. Please report what the log says.",
            "它会自动重新启动,最迟五分钟后。请反馈日志中的内容。",
        ),
    ),
    "loops_stuck": Cure(
        ("A part of the bridge does not move any more.", "桥接程序的某一部分停止了运转。"),
        (
            "Start it anew; under systemd the watchdog does. The log says what it last did.",
            "请重新启动;在 systemd 下看门狗会自动重启。日志中有最后的操作。",
        ),
    ),
    "messages_set_aside": Cure(
        (
            "The broker hangs up on some messages, so they were set aside.",
            "MQTT 代理遇到某些消息会断开,这些消息已被搁置。",
        ),
        (
            "'wx2mqtt journal list' shows them, 'wx2mqtt journal retry --row' publishes one again.",
            "可用“wx2mqtt journal list”查看,用“wx2mqtt journal retry --row”重新发布。",
        ),
    ),
    "discovery_too_large": Cure(
        (
            "What Home Assistant is to know is more than the broker takes, so people are left out.",
            "给 Home Assistant 的配置超过 MQTT 代理的上限,部分联系人未包含在内。",
        ),
        (
            "Name fewer people in homeassistant.expose, or raise the broker's packet limit.",
            "请减少 homeassistant.expose 中的联系人,或调大代理的数据包上限。",
        ),
    ),
    "unresolved_people": Cure(
        (
            "Since the last login it is not certain who some people are; their topics are closed.",
            "上次登录后无法确定部分联系人是谁;他们的主题已关闭。",
        ),
        (
            "Find them among the contacts below and decide with 'wx2mqtt people assign'.",
            "请在下方联系人中找到他们,并用“wx2mqtt people assign”指定。",
        ),
    ),
}


def cure(problem: str, language: Language) -> tuple[str, str]:
    """What is wrong and how to mend it; a name that is not in the table stands for itself."""
    known = CURES.get(problem)
    return (problem, "") if known is None else known.said(language)
