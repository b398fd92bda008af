"""itchat as its readme shows it: log in, list people, receive, answer, fetch and send media.

Tells what it sees as lines of JSON. Each line that it reads lets it go on: first to send, then to the end.
"""

from __future__ import annotations

import hashlib
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


@itchat.msg_register(
    [itchat.content.PICTURE, itchat.content.RECORDING, itchat.content.ATTACHMENT, itchat.content.VIDEO]
)
def media(message):
    data = message["Text"]()
    tell(what=message["Type"], name=message["FileName"], sha256=hashlib.sha256(data).hexdigest())


@itchat.msg_register(itchat.content.FRIENDS)
def friend_request(message):
    itchat.add_friend(**message["Text"])
    tell(what="befriended")


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
wife = itchat.search_friends(remarkName="老婆")[0]["UserName"]
for order in json.loads(sys.argv[1]):
    sent = itchat.send(order, toUserName=wife)
    tell(what="media", ret=sent["BaseResponse"]["Ret"])
sent = itchat.send("falsch", toUserName=wife)
taken_back = itchat.revoke(sent["MsgID"], wife)
picture = itchat.get_head_img(userName=wife)
tell(what="done", ret=taken_back["BaseResponse"]["Ret"], picture=picture[:3].hex())
sys.stdin.readline()
sent = itchat.send("再见", toUserName="filehelper")
tell(what="sent", ret=sent["BaseResponse"]["Ret"])
itchat.logout()
tell(what="gone")
