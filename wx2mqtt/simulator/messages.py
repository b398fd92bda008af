"""One entry of AddMsgList with all its fields (webwx 3.1), and the frame that a chat puts around it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from wx2mqtt.simulator import wire

Fields = dict[str, object]

_FIRST_ID = 7_615_282_929_538_795_099
"""Above 2^53, so that a client that reads ids as doubles gives itself away."""

_NOBODY: Fields = {
    "UserName": "",
    "NickName": "",
    "QQNum": 0,
    "Province": "",
    "City": "",
    "Content": "",
    "Signature": "",
    "Alias": "",
    "Scene": 0,
    "VerifyFlag": 0,
    "AttrStatus": 0,
    "Sex": 0,
    "Ticket": "",
    "OpCode": 0,
}


class Ids:
    """Message ids: they rise, with gaps, and stay below 2^63."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._last = _FIRST_ID

    def next(self) -> int:
        """Another id."""
        self._last += self._dice.randrange(3, 1000)
        return self._last


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Who a message is from and to, as user names, and the member who wrote it in a group."""

    sender: str
    receiver: str
    member: str = ""

    def frame(self, content: str) -> str:
        """The content with the sender's prefix of a group (webwx 3.5)."""
        return f"{self.member}:<br/>{content}" if self.member else content


def recommend(values: Fields) -> Fields:
    """RecommendInfo with all its fields."""
    return {**_NOBODY, **values}


def entry(msg_id: int, route: Route, values: Fields) -> Fields:
    """All fields of a message; `values` win, `Content` gets the group's frame."""
    content = values.get("Content", "")
    return {
        "MsgId": str(msg_id),
        "FromUserName": route.sender,
        "ToUserName": route.receiver,
        "MsgType": 1,
        "Status": 3,
        "ImgStatus": 1,
        "CreateTime": int(time.time()),
        "VoiceLength": 0,
        "PlayLength": 0,
        "FileName": "",
        "FileSize": "",
        "MediaId": "",
        "Url": "",
        "AppMsgType": 0,
        "StatusNotifyCode": 0,
        "StatusNotifyUserName": "",
        "RecommendInfo": _NOBODY,
        "ForwardFlag": 0,
        "AppInfo": {"AppID": "", "Type": 0},
        "HasProductId": 0,
        "Ticket": "",
        "ImgHeight": 0,
        "ImgWidth": 0,
        "SubMsgType": 0,
        "NewMsgId": msg_id,
        "OriContent": "",
        "EncryFileName": "",
        **values,
        "Content": route.frame(content) if isinstance(content, str) else content,
    }


def render(msg_id: int, route: Route, values: Fields) -> bytes:
    """A message as bytes."""
    return wire.dump(entry(msg_id, route, values))
