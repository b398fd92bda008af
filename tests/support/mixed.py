"""Ten thousand messages as people send them, and what it costs to read them beside as many texts."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from wx2mqtt.model import ChatKind, Contact, Handle, Owner
from wx2mqtt.simulator.message_kinds import all_kinds, build
from wx2mqtt.simulator.message_spec import MessageDetails
from wx2mqtt.simulator.world import WorldPerson
from wx2mqtt.wechat.json_reader import parse_json
from wx2mqtt.wechat.webwx.protocol import messages, responses
from wx2mqtt.wechat.webwx.protocol.group_members import GroupMembers

# Of a hundred messages; the rest are texts. The kinds are the simulator's.
SHARES = {
    "image": 10,
    "sticker": 5,
    "voice": 4,
    "video": 2,
    "link": 2,
    "quote": 2,
    "file": 1,
    "mini_program": 1,
    "location": 1,
    "card": 1,
    "system:invited": 1,
}
BATCH = 50  # messages in one answer
OWNER = Owner(handle=Handle("@" + "e" * 32), nickname="王小明")
FRIEND = "@" + "a" * 64
NEVER_SHOWN = {"status", "mail", "qq", "push_system", "qq_image", "possible_friend", "notice"}


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of CPU for one message, from WeChat's answer to what goes to the bridge."""

    text: float
    mixed: float

    @property
    def ratio(self) -> float:
        """How many times as much mixed ones cost."""
        return self.mixed / self.text


def cost_of_mixed(count: int) -> Cost:
    """Of what people send: most of it texts."""
    order = [kind for kind, share in SHARES.items() for _ in range(share)]
    order += ["text"] * (100 - len(order))
    random.Random(7).shuffle(order)
    return Cost(_cost(["text"], count), _cost(order, count))


def cost_of_each(count: int) -> Cost:
    """Of all kinds equally, those included that hardly anybody ever sends."""
    return Cost(
        _cost(["text"], count), _cost([kind for kind in all_kinds() if kind not in NEVER_SHOWN], count)
    )


def _cost(kinds: Sequence[str], count: int) -> float:
    answers = _answers(kinds, count)
    view = GroupMembers(OWNER)
    view.update([Contact(handle=Handle(FRIEND), kind=ChatKind.FRIEND, nickname="老婆")])
    began = time.process_time()
    for answer in answers:
        for entry in responses.read_sync(parse_json(answer)).messages:
            messages.read_message(entry, view, "zh", 0)
    return (time.process_time() - began) / count * 1e6


def _answers(kinds: Sequence[str], count: int) -> list[bytes]:
    entries = [_entry(kinds[number % len(kinds)], number) for number in range(count)]
    slices = (entries[at : at + BATCH] for at in range(0, count, BATCH))
    return [
        json.dumps({"BaseResponse": {"Ret": 0}, "AddMsgList": one}, ensure_ascii=False).encode()
        for one in slices
    ]


def _entry(kind: str, number: int) -> dict[str, object]:
    """With all the fields of WeChat's own entries (webwx 3.1), since each of them is read."""
    number += 7615282929538795099
    said = "" if kind.startswith("system") else f"消息 {number}"
    person = {
        "UserName": "",
        "NickName": "",
        "QQNum": 0,
        "Province": "",
        "City": "",
        "Content": "",
        "Scene": 0,
    }
    nothing = dict.fromkeys(
        ("FileName", "FileSize", "MediaId", "Url", "OriContent", "EncryFileName", "Ticket"), ""
    )
    zero = dict.fromkeys(
        (
            "AppMsgType",
            "SubMsgType",
            "StatusNotifyCode",
            "ImgHeight",
            "ImgWidth",
            "VoiceLength",
            "PlayLength",
        ),
        0,
    )
    return {
        "MsgId": str(number),
        "NewMsgId": number,
        "FromUserName": FRIEND,
        "ToUserName": OWNER.handle,
        "MsgType": 1,
        "Content": "",
        "Status": 3,
        "ImgStatus": 1,
        "CreateTime": 1_700_000_000,
        "StatusNotifyUserName": "",
        "RecommendInfo": person,
        "AppInfo": {"AppID": "", "Type": 0},
        "ForwardFlag": 0,
        "HasProductId": 0,
        **nothing,
        **zero,
        **build(
            kind, said, number, WorldPerson(id="wife", nickname="老婆"), MessageDetails(language="zh_CN")
        ),
    }
