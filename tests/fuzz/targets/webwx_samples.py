"""Valid inputs of web WeChat: an entry of every kind of message, answers, contacts, a session."""

from __future__ import annotations

from random import Random
from urllib.parse import urlsplit

from tests.fuzz.mutators import (
    HOSTILE_TEXTS,
    either,
    encode_json,
    grow_text,
    grown,
    mutated,
)
from tests.fuzz.oracles import LARGE_BYTES
from tests.fuzz.target import Generate
from tests.unit.wechat.webwx.entries import FAMILY, ME, WIFE
from wx2mqtt.simulator import message_kinds
from wx2mqtt.simulator.message_spec import MessageDetails
from wx2mqtt.simulator.messages import MessageRoute, entry_fields
from wx2mqtt.simulator.settings import ClientLanguage
from wx2mqtt.simulator.world import WorldPerson
from wx2mqtt.wechat.webwx.protocol.cookies import Cookies
from wx2mqtt.wechat.webwx.protocol.hosts import ClientProfile, hosts_of

NOW_MS = 1_790_000_000_000


# Valid inputs


def _entries() -> list[dict[str, object]]:
    """Returns an entry of every kind of message that the simulator knows, from a person and from a group."""
    author = WorldPerson(id="li", nickname="李雷")
    language: ClientLanguage = "zh_CN"
    built = []
    for number, kind in enumerate(message_kinds.all_kinds()):
        details = MessageDetails(language=language)
        fields = message_kinds.build(kind, "你好", 7_615_282_929_538_795_000 + number, author, details)
        member = "" if message_kinds.is_system(kind) or number % 2 else WIFE
        route = MessageRoute(sender=FAMILY if number % 2 == 0 else WIFE, receiver=ME, member=member)
        built.append(
            entry_fields(7_615_282_929_538_795_000 + number, route, {"CreateTime": 1_700_000_000, **fields})
        )
    return built


ENTRIES = _entries()
_KEYS = {"Count": 2, "List": [{"Key": 1, "Val": 620916854}, {"Key": 2, "Val": 620917961}]}
PERSON = {
    "UserName": WIFE,
    "NickName": "晓梅",
    "RemarkName": "老婆",
    "Alias": "lily_1",
    "ContactFlag": 3,
    "HeadImgUrl": "/cgi-bin/mmwebwx-bin/webwxgeticon?seq=600000001&username=@a",
    "VerifyFlag": 0,
    "Sex": 2,
    "Province": "广东",
    "City": "广州",
    "AttrStatus": 102_437,
    "MemberCount": 0,
    "MemberList": [],
}
MEMBERS = [
    {"UserName": ME, "NickName": "王小明", "DisplayName": "Papa", "MemberStatus": 0},
    {"UserName": WIFE, "NickName": "晓梅", "DisplayName": "", "MemberStatus": 4},
]
GROUP = {
    **PERSON,
    "UserName": FAMILY,
    "NickName": "家",
    "MemberCount": 2,
    "MemberList": MEMBERS,
    "RemarkName": "",
}
OFFICIAL = {**PERSON, "UserName": "@" + "9" * 32, "NickName": "News", "VerifyFlag": 24, "RemarkName": ""}
_SPECIAL = {"UserName": "filehelper", "NickName": "文件传输助手", "ContactFlag": 2}
CONTACTS = [PERSON, GROUP, OFFICIAL, _SPECIAL]
_BASE = {"Ret": 0, "ErrMsg": ""}
SYNC = {
    "BaseResponse": _BASE,
    "AddMsgCount": 1,
    "ModContactCount": 1,
    "ModContactList": [PERSON],
    "DelContactList": [{"UserName": WIFE, "ContactFlag": 0}],
    "ContinueFlag": 0,
    "SyncKey": _KEYS,
    "Profile": {"BitFlag": 1, "NickName": {"Buff": "王"}},
    "SKey": "@crypt_1_2",
    "SyncCheckKey": _KEYS,
}
_INIT = {
    "BaseResponse": _BASE,
    "Count": 2,
    "ContactList": CONTACTS,
    "SyncKey": _KEYS,
    "SKey": "@crypt_1_2",
    "User": {"Uin": 211_722_515, "UserName": ME, "NickName": "王小明"},
    "ChatSet": f"filehelper,{WIFE},{FAMILY},",
}
_PAGE = {"BaseResponse": _BASE, "MemberCount": 4, "MemberList": CONTACTS, "Seq": 0}
_BATCH = {
    "BaseResponse": _BASE,
    "Count": 1,
    "ContactList": [GROUP],
    "BlackList": f"{WIFE},",
    "MemberList": MEMBERS,
}
SCRIPTS = (
    b'window.QRLogin.code = 200; window.QRLogin.uuid = "4ZtmDT6OPg==";',
    b"window.code=408;",
    b"window.code=201;window.userAvatar = 'data:img/jpg;base64,/9j/4AAQSkZJRg==';",
    b'window.code=200;\nwindow.redirect_uri="https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A&uuid=4&lang=zh_CN&scan=1";',
    b'window.synccheck={retcode:"0",selector:"2"}',
    (
        b"<error><ret>0</ret><message></message><skey>@crypt_1</skey><wxsid>S/+</wxsid><wxuin>211722515</wxuin>"
        b"<pass_ticket>a%2Bb</pass_ticket><isgrayscale>1</isgrayscale></error>"
    ),
    (
        b"<error><ret>1203</ret><message><![CDATA[For security reasons &lt;a href='x'&gt;help&lt;/a&gt;]]></message>"
        b"<redirecturl>https://wx2.qq.com/</redirecturl></error>"
    ),
    b"<!DOCTYPE html><html><body>busy</body></html>",
    b'{"ret":"0","msg":"all ok","uuid":"4ZtmDT6OPg=="}',
)
SCRIPT_WORDS = (
    *(
        "window.QRLogin.code = ",
        "window.QRLogin.uuid = ",
        "window.code=",
        "window.redirect_uri=",
        "window.userAvatar = ",
    ),
    *(
        "window.synccheck={",
        "retcode:",
        "selector:",
        "data:img/jpg;base64,",
        "<ret>",
        "</ret>",
        "<message>",
        "</message>",
    ),
    *(
        "<skey>",
        "</skey>",
        "<wxsid>",
        "<wxuin>",
        "<pass_ticket>",
        "<redirecturl>",
        "<![CDATA[",
        "<html",
        "1100",
        "1101",
    ),
)
FIELD_WORDS = (WIFE, FAMILY, ME, "filehelper", "newsapp", "@talkroom", "7615282929538795099")
MESSAGE_BATCHES = [encode_json({**SYNC, "AddMsgList": [fields]}) for fields in ENTRIES]
ANSWERS = [
    *(encode_json(answer) for answer in (SYNC, _INIT, _PAGE, _BATCH)),
    rb'{"BaseResponse": {"Ret": "1100", "ErrMsg": {"Str": "half \ud83d of it"}}, "User": {"Uin": "211722515"}}',
]
CONTACT_PAGES = [
    encode_json({"before": CONTACTS, "after": CONTACTS}),
    encode_json(
        {"before": [PERSON, GROUP], "after": [{**OFFICIAL, "NickName": "老婆", "RemarkName": ""}, PERSON]}
    ),
    encode_json(
        {
            "before": [],
            "after": [{**PERSON, "UserName": "@" + "d" * 64, "NickName": "wife", "RemarkName": ""}],
        }
    ),
]


COOKIES = Cookies({}).with_response(
    "wx2.qq.com", ["wxuin=211722515; Domain=wx2.qq.com; Path=/", "wxsid=S; Domain=.qq.com"], 0.0
)
PROFILE = ClientProfile(hosts=hosts_of("wx2.qq.com"))


def check_url(url: str) -> None:
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    assert urlsplit(url).hostname


_PREFIX = "wechat.webwx.protocol"


def names(module: str, *functions: str) -> tuple[str, ...]:
    return tuple(f"{_PREFIX}.{module}:{name}" for name in functions)


def text_generate(seeds: list[bytes], words: tuple[str, ...]) -> tuple[Generate, Generate]:
    """Returns generators of texts: mutations of valid ones, and walks through the words of the format."""

    def walk(random: Random) -> bytes:
        return "".join(
            random.choice((*words, *HOSTILE_TEXTS)) for _ in range(random.randrange(1, 30))
        ).encode()

    def walk_large(random: Random) -> bytes:
        return grow_text(walk(random).decode(), random, words, LARGE_BYTES).encode()

    return either(mutated(seeds, words), walk), either(grown(seeds, words), walk_large)
