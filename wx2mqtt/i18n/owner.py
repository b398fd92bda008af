"""Sentences about whose account it is, who is the owner of a bot of WeCom, and what is wrong with a bot."""

from __future__ import annotations

from wx2mqtt.i18n import Catalogue

OWNER_MESSAGES: Catalogue = {
    # which account
    "wrong_account": (
        "another account scanned ({found}) than expect.{key} names; it was logged out again",
        "扫码的账号（{found}）与配置中的 expect.{key} 不符；已退出该账号",
    ),
    "not_the_owner": (
        "another account ({found}) scanned than the owner's; it was logged out again. request/login shows a new code",
        "扫码的账号（{found}）不是此桥接程序的主人，已退出该账号。请用 request/login 获取新的二维码",
    ),
    "unknown_account": (
        "WeChat did not say which account scanned; it was logged out again",
        "微信未说明是哪个账号扫码，已退出该账号",
    ),
    "other_account": (
        "another account is the owner of this bridge now; what waited for the one before was not sent",
        "桥接程序换了主人；原主人那些等着发的内容没有发送",
    ),
    "code_or_new_owner": (
        "'code' and 'new_owner' do not go together",
        "“code”与“new_owner”不能同时使用",
    ),
    # WeCom: which bot, and which person
    "other_bot": (
        "this is not the bot that is in use now; look again and confirm the one that is shown",
        "这不是当前使用的机器人；请重新查看，并确认页面上显示的那一个",
    ),
    "owner_named": (
        "there is an owner already; another one needs a new login: request/login with new_owner, or expect.wecom",
        "已经有主人；更换主人需要重新登录：request/login 加 new_owner，或设置 expect.wecom",
    ),
    "owner_no_person": ("'{user}' is a group and cannot be the owner", "“{user}”是群，不能作为主人"),
    "owner_unconfirmed": (
        "logged in, and nobody is trusted yet: confirm that this bot is yours, on the page of the bridge or with 'wx2mqtt login'",
        "已登录，但目前谁都不受信任：请在桥接程序的网页上，或用 wx2mqtt login 确认这是你的机器人",
    ),
    "owner_unnamed": (
        "logged in; say who you are: write to the bot, then press 'This is me' on the page of the bridge, or use request/owner",
        "已登录；请指定主人：先给机器人发一条消息，再在桥接程序的网页上点“这是我”，或用 request/owner",
    ),
    "ask_bot": (
        "The bot {bot} was made by a scan. Is it yours? Say no if somebody else may have scanned the code. [y/N]",
        "机器人 {bot} 是扫码创建的。它是你的吗？如果可能是别人扫的码，请答否。[y/N]",
    ),
    "ask_to_write": (
        "Who is the owner? Write to the bot in WeCom now. Ctrl-C ends this; it can be said later on the page of the bridge, too.",
        "谁是主人？请在企业微信里给机器人发一条消息。按 Ctrl-C 可以先跳过，以后在桥接程序的网页上也能指定。",
    ),
    "ask_owner": ("{user} is known to the bot. Is that you? [y/N]", "{user} 给机器人发过消息。是你吗？[y/N]"),
    "owner_is": ("{user} is the owner, and trusted.", "{user} 是主人，已受信任。"),
    "bot_confirmed": (
        "The bot is confirmed: whom the configuration or you name is trusted.",
        "机器人已确认：配置里写的人和你指定的人都受信任。",
    ),
    "bot_unconfirmed": (
        "The bot is not confirmed, so nobody is trusted. If it is not yours, log in anew with --new-owner.",
        "机器人没有确认，所以谁都不受信任。如果它不是你的，请用 --new-owner 重新登录。",
    ),
}

# What `wx2mqtt check --connect` finds out about a bot of WeCom, and what mends it.
BOT_FINDINGS: Catalogue = {
    "check_bot": ("bot", "机器人"),
    "bot_used_by_bridge": ("the bridge is connected with it", "桥接程序已连上"),
    "bot_accepted": (
        "WeCom takes its Bot ID and Secret; another program that used it has lost its connection",
        "Bot ID 和 Secret 有效；原先使用它的其他程序已断开",
    ),
    "bot_refused": ("WeCom refuses it: {why}", "企业微信拒绝了它：{why}"),
    "bot_refused_cure": (
        "compare Bot ID and Secret with those in WeCom, then log in anew: the page, wx2mqtt login or request/login",
        "请核对企业微信里的 Bot ID 和 Secret，然后重新登录：状态页、wx2mqtt login 或 request/login",
    ),
    "bot_use_ended": ("its use has ended: {why}", "已停止使用：{why}"),
    "bot_use_ended_cure": (
        "end the other program that uses it, or make a bot of its own for each; then log in anew: the page, wx2mqtt login or request/login",
        "请停掉正在使用它的其他程序，或给每个程序各建一个机器人；然后重新登录：状态页、wx2mqtt login 或 request/login",
    ),
    "bot_unreachable": ("no connection: {why}", "没有连接：{why}"),
    "bot_unreachable_cure": (
        "if it lasts: is the bot in API mode with the long connection? One with a callback URL has no long connection",
        "一直这样的话：机器人是 API 模式、使用长连接吗？设置了回调地址的机器人没有长连接",
    ),
    "bot_not_made": ("there is no bot yet", "还没有机器人"),
    "bot_not_made_cure": (
        "scan the code with the WeCom app (the page, or wx2mqtt login), or put bot_id and secret into the configuration",
        "请用企业微信扫码（状态页或 wx2mqtt login），或在配置中填写 bot_id 和 secret",
    ),
    "bot_without_people": ("nobody has written to it yet", "还没有人给它发过消息"),
    "bot_without_people_cure": (
        "write to it in WeCom: before that it cannot write to anybody. Is whoever shall use it in its visible range?",
        "请在企业微信里给它发一条消息：不先发，它就没法给人发。使用的人在它的可见范围内吗？",
    ),
    "bot_not_confirmed": ("a scan made it, and nobody is trusted yet", "它是扫码创建的，目前谁都不受信任"),
    "bot_not_confirmed_cure": (
        "confirm that it is yours: on the page, or with wx2mqtt login",
        "请确认它是你的：在状态页上，或用 wx2mqtt login",
    ),
    "bot_no_owner": ("it has no owner yet", "还没有主人"),
    "bot_no_owner_cure": (
        "say who you are: This is me on the page, wx2mqtt login, request/owner or expect.wecom",
        "请指定你自己：状态页上的“这是我”、wx2mqtt login、request/owner 或 expect.wecom",
    ),
    "bot_not_tried": (
        "no bridge uses it now, and it was not tried: to log in ends the connection of any other program",
        "现在没有桥接程序在用它；没有试着登录，因为登录会挤掉其他程序",
    ),
    "bot_not_tried_cure": (
        "if no other program uses it: wx2mqtt check --connect --take-over",
        "确定没有其他程序在用它：wx2mqtt check --connect --take-over",
    ),
    "bot_on_other_instance": (
        "the instance {instance} runs it, so it was not tried",
        "实例 {instance} 正在使用它，所以没有试着登录",
    ),
    "bot_on_other_instance_cure": ("run this check on that machine", "请到那台机器上检查"),
    "bot_state_unknown": (
        "the bridge runs, but does not tell about it: {why}",
        "桥接程序在运行，但查不到机器人的状态：{why}",
    ),
    "bot_state_unknown_cure": (
        "is the running bridge of this version? Restart it, and check again",
        "正在运行的桥接程序是这个版本吗？请重启后再检查",
    ),
}
