"""Measures the CPU time of reading messages of mixed kinds, compared with as many texts."""

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
class ReadingCost:
    """Microseconds of CPU for one message, from WeChat's answer to what goes to the bridge."""

    text: float
    mixed: float

    @property
    def ratio(self) -> float:
        """How many times as much mixed messages cost."""
        return self.mixed / self.text


def cost_of_usual_mix(count: int) -> ReadingCost:
    """Returns the cost of the kinds in the shares in which people send them: most are texts."""
    order = [kind for kind, share in SHARES.items() for _ in range(share)]
    order += ["text"] * (100 - len(order))
    random.Random(7).shuffle(order)
    return ReadingCost(_cost(["text"], count), _cost(order, count))


def cost_of_all_kinds(count: int) -> ReadingCost:
    """Returns the cost of all kinds in equal shares, also of the rare ones."""
    return ReadingCost(
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
        json.dumps({"BaseResponse": {"Ret": 0}, "AddMsgList": entries}, ensure_ascii=False).encode()
        for entries in slices
    ]


def _entry(kind: str, number: int) -> dict[str, object]:
    """Returns an entry with all fields of WeChat's own entries (webwx 3.1), since each of them is read."""
    number += 7615282929538795099
    text = "" if kind.startswith("system") else f"消息 {number}"
    person = {
        "UserName": "",
        "NickName": "",
        "QQNum": 0,
        "Province": "",
        "City": "",
        "Content": "",
        "Scene": 0,
    }
    empty_texts = dict.fromkeys(
        ("FileName", "FileSize", "MediaId", "Url", "OriContent", "EncryFileName", "Ticket"), ""
    )
    zeros = dict.fromkeys(
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
        **empty_texts,
        **zeros,
        **build(
            kind, text, number, WorldPerson(id="wife", nickname="老婆"), MessageDetails(language="zh_CN")
        ),
    }
