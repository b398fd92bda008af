"""WeChat's own texts in Chinese and English (webwx 3.6, 3.10, 3.11)."""

from __future__ import annotations

from wx2mqtt.simulator.settings import ClientLanguage

_VERIFY = '<a href="weixin://findfriend/verifycontact">%s</a>'

SYSTEM_TEXTS: dict[str, tuple[str, str]] = {
    "red_packet": ("收到红包，请在手机上查看", "Red packet received. View on phone."),
    "red_packet_sent": ("发出红包，请在手机上查看", "Red packet sent. View on phone."),
    "transfer": ("收到转账0.01元，请在手机上查看", "Received transfer 0.01. View on phone."),
    "group_collection": ("群收款消息，请在手机上查看", "Group payment. View on phone."),
    "location_ended": ("位置共享已经结束", "Real-time location sharing has ended."),
    "friend_added": (
        "你已添加了{a}，现在可以开始聊天了。",
        "You have added {a} as your contact. Start chatting!",
    ),
    "not_friends": (
        "{a}开启了朋友验证，你还不是他（她）朋友。请先发送朋友验证请求，对方验证通过后，才能聊天。"
        + _VERIFY % "发送朋友验证",
        "{a} has enabled Friend Confirmation. " + _VERIFY % "[Send a friend request]",
    ),
    "blocked": (
        "消息已发出，但被对方拒收了。",
        "The message is successfully sent but rejected by the receiver.",
    ),
    "invited": ('"{a}"邀请"{b}"加入了群聊', '"{a}" invited "{b}" to the group chat'),
    "invited_me": (
        '"{a}"邀请你加入了群聊，群聊参与人还有：{b}',
        '"{a}" invited you to a group chat with {b}',
    ),
    "i_invited": ('你邀请"{b}"加入了群聊', 'You invited "{b}" to the group chat'),
    "joined_by_code": (
        ' "{b}"通过扫描"{a}"分享的二维码加入群聊',
        ' "{b}" joined the group chat via the QR Code shared by "{a}"',
    ),
    "joined_by_my_code": (
        ' "{b}"通过扫描你分享的二维码加入群聊',
        ' "{b}" joined the group chat via your shared QR Code',
    ),
    "i_removed": ('你将"{b}"移出了群聊', 'You removed "{b}" from the group chat'),
    "removed_me": ('你被"{a}"移出群聊', 'You were removed from the group chat by "{a}"'),
    "renamed": ('"{a}"修改群名为“{t}”', '"{a}" changed the group name to “{t}”'),
    "i_renamed": ("你修改群名为“{t}”", "You changed the group name to “{t}”"),
    "pat": ('"{a}" 拍了拍 "{b}"', '"{a}" tickled "{b}"'),
    "new_founder": ('"{a}"已成为新群主', '"{a}" is the new group owner'),
}
"""Texts of type 10000 in Chinese and English; a: who did it, b: to whom, t: the new name."""

_PHRASES: dict[str, tuple[str, str]] = {
    "greeting": ("你好，我是新来的", "Hello, I am new here"),
    "i_recalled": ("你撤回了一条消息", "You recalled a message"),
    "recalled": ('"{a}" 撤回了一条消息', '"{a}" recalled a message'),
    "pat": ('"{a}" 拍了拍我', '"{a}" tickled me'),
    "joined": ('"{a}"加入了群聊', '"{a}" joined the group chat'),
    "invited": ('"{a}"邀请"{b}"加入了群聊', '"{a}" invited "{b}" to the group chat'),
    "removed": ('"{a}"被移出群聊', '"{a}" was removed from the group chat'),
    "todo": ("群待办", "Group todo"),
    "unsupported": (
        "该类型暂不支持，请在手机上查看",
        "This type of message is not supported on web. View on phone.",
    ),
    "live_location": ("我发起了位置共享", "I started real-time location sharing"),
    "transfer": ("微信转账", "Transfer"),
    "red_packet": ("微信红包", "Red packet"),
    "channels": ("当前微信版本不支持展示该内容，请升级至最新版本。", "Update WeChat to view this content."),
    "chat_history": ("群聊的聊天记录", "Chat history"),
}


def phrase(language: ClientLanguage, name: str) -> str:
    chinese, english = _PHRASES[name]
    return chinese if language == "zh_CN" else english
