"""itchat as its readme shows it: log in, list people, receive, answer, fetch and send media.

Prints what it receives and does as lines of JSON. It waits for a line of input before it sends, and before it ends.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading

import redirect_to_simulator  # type: ignore[import-not-found]  # noqa: F401  (first: it redirects the client that is imported next)

import itchat  # type: ignore[import-not-found]  # isort: skip

output_lock = threading.Lock()


def report(**values):
    with output_lock:
        sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")
        sys.stdout.flush()


@itchat.msg_register(itchat.content.TEXT)
def from_a_friend(message):
    report(
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
    report(what="answered", ret=answer["BaseResponse"]["Ret"])


@itchat.msg_register(itchat.content.TEXT, isGroupChat=True)
def from_a_group(message):
    report(
        what="group", group=message["User"]["NickName"], name=message["ActualNickName"], text=message["Text"]
    )


@itchat.msg_register([itchat.content.NOTE, itchat.content.SHARING, itchat.content.MAP])
def other(message):
    report(what=message["Type"], text=message["Text"])


@itchat.msg_register(
    [itchat.content.PICTURE, itchat.content.RECORDING, itchat.content.ATTACHMENT, itchat.content.VIDEO]
)
def media(message):
    data = message["Text"]()
    report(what=message["Type"], name=message["FileName"], sha256=hashlib.sha256(data).hexdigest())


@itchat.msg_register(itchat.content.FRIENDS)
def friend_request(message):
    itchat.add_friend(**message["Text"])
    report(what="befriended")


itchat.login(qrCallback=lambda **_: None, loginCallback=lambda: None)
report(
    what="people",
    me=itchat.search_friends()["NickName"],
    friends=[friend["RemarkName"] or friend["NickName"] for friend in itchat.get_friends(update=True)],
    groups=[group["NickName"] for group in itchat.get_chatrooms(update=True)],
)
itchat.run(blockThread=False)
report(what="running")
sys.stdin.readline()
wife = itchat.search_friends(remarkName="老婆")[0]["UserName"]
for file_command in json.loads(sys.argv[1]):
    sent = itchat.send(file_command, toUserName=wife)
    report(what="media", ret=sent["BaseResponse"]["Ret"])
sent = itchat.send("falsch", toUserName=wife)
taken_back = itchat.revoke(sent["MsgID"], wife)
picture = itchat.get_head_img(userName=wife)
report(what="done", ret=taken_back["BaseResponse"]["Ret"], picture=picture[:3].hex())
sys.stdin.readline()
sent = itchat.send("再见", toUserName="filehelper")
report(what="sent", ret=sent["BaseResponse"]["Ret"])
itchat.logout()
report(what="gone")
