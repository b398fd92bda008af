"""itchat as its readme shows it: log in, list people, receive, answer. Tells what it sees as lines of JSON."""

from __future__ import annotations

import json
import sys
import threading

import led_here  # type: ignore[import-not-found]  # noqa: F401  (first: it leads the next one here)

import itchat  # type: ignore[import-not-found]  # isort: skip

told = threading.Lock()


def tell(**values):
    with told:
        sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")
        sys.stdout.flush()


@itchat.msg_register(itchat.content.TEXT)
def from_a_friend(message):
    tell(
        what="friend",
        name=message["User"]["NickName"],
        remark=message["User"]["RemarkName"],
        text=message["Text"],
    )
    answer = (
        message.user.send("好的 ☀")
        if hasattr(message, "user")
        else itchat.send("好的 ☀", message["FromUserName"])
    )
    tell(what="answered", ret=answer["BaseResponse"]["Ret"])


@itchat.msg_register(itchat.content.TEXT, isGroupChat=True)
def from_a_group(message):
    tell(
        what="group", group=message["User"]["NickName"], name=message["ActualNickName"], text=message["Text"]
    )


@itchat.msg_register([itchat.content.NOTE, itchat.content.SHARING, itchat.content.MAP])
def other(message):
    tell(what=message["Type"], text=message["Text"])


itchat.login(qrCallback=lambda **_: None, loginCallback=lambda: None)
tell(
    what="people",
    me=itchat.search_friends()["NickName"],
    friends=[friend["RemarkName"] or friend["NickName"] for friend in itchat.get_friends(update=True)],
    groups=[group["NickName"] for group in itchat.get_chatrooms(update=True)],
)
itchat.run(blockThread=False)
tell(what="running")
sys.stdin.readline()
sent = itchat.send("再见", toUserName="filehelper")
tell(what="sent", ret=sent["BaseResponse"]["Ret"])
itchat.logout()
tell(what="gone")
