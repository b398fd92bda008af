"""Whatever a client sends, the simulator answers and keeps running."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.support.web_client import PREFIX, WebClient

HOSTILE: list[Any] = [
    None,
    True,
    -1,
    1e300,
    "",
    "x" * 70_000,
    "\u0000\ud83d",
    [],
    [[]],
    {},
    {"List": 7},
    [None, 7, "x", {}],
]

MEDIA: dict[str, Any] = {
    "Msg": {
        "Type": 3,
        "MediaId": "@",
        "FromUserName": "@",
        "ToUserName": "@",
        "LocalID": "17000000000000000",
        "ClientMsgId": "17000000000000000",
    },
    "Scene": 0,
}

BODIES: dict[str, dict[str, Any]] = {
    "webwxinit": {},
    "webwxstatusnotify": {"Code": 3, "FromUserName": "@", "ToUserName": "@", "ClientMsgId": 1},
    "webwxbatchgetcontact": {"Count": 1, "List": [{"UserName": "filehelper", "EncryChatRoomId": "x"}]},
    "webwxsync": {"SyncKey": {"Count": 1, "List": [{"Key": 1, "Val": 2}]}, "rr": 1},
    "webwxsendmsg": {
        "Msg": {
            "Type": 1,
            "Content": "a",
            "FromUserName": "@",
            "ToUserName": "@",
            "LocalID": "1",
            "ClientMsgId": "1",
        },
        "Scene": 0,
    },
    "webwxcheckupload": {
        "FileMd5": "0" * 32,
        "FileName": "a",
        "FileSize": 1,
        "FileType": 7,
        "FromUserName": "@",
        "ToUserName": "@",
    },
    "webwxsendmsgimg": MEDIA,
    "webwxsendvideomsg": MEDIA,
    "webwxsendemoticon": {"Msg": {**MEDIA["Msg"], "EmojiFlag": 2, "EMoticonMd5": "0"}, "Scene": 0},
    "webwxsendappmsg": {"Msg": {**MEDIA["Msg"], "Content": "<appmsg/>"}, "Scene": 0},
    "webwxrevokemsg": {"SvrMsgId": "1", "ToUserName": "@", "ClientMsgId": "1"},
    "webwxverifyuser": {"Opcode": 3, "VerifyUserList": [{"Value": "@", "VerifyUserTicket": "x"}]},
    "webwxcreatechatroom": {"MemberCount": 2, "MemberList": [{"UserName": "@"}, 7], "Topic": "x"},
    "webwxupdatechatroom": {"ChatRoomName": "@@", "AddMemberList": "@", "NewTopic": "x"},
    "webwxoplog": {"CmdId": 2, "UserName": "@", "RemarkName": "x"},
    "webwxstatreport": {"Count": 0, "List": []},
}


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Returns the paths of all keys and elements inside of a JSON value."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [p for key, inner in entries for p in ((*path, key), *paths_in(inner, (*path, key)))]


def with_value_at(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(body)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


@pytest.mark.parametrize("endpoint", BODIES)
async def test_every_part_of_a_body_can_be_anything(
    online_client: WebClient, caplog: pytest.LogCaptureFixture, endpoint: str
):
    sid = str(online_client.http.cookies["wxsid"])
    body = {"BaseRequest": online_client.base_request(), **BODIES[endpoint]}
    for path in paths_in(body):
        for value in HOSTILE:
            content = json.dumps(with_value_at(body, path, value))
            answer = await online_client.http.post(
                online_client.path(endpoint, f"sid={sid}&skey={online_client.skey}&fun=async&f=json&"),
                content=content,
            )
            assert answer.status_code in (200, 503), (path, value)
            if answer.status_code == 200:
                assert isinstance(json.loads(answer.content)["BaseResponse"]["Ret"], int)
    assert caplog.records == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "login",
        "webwxnewloginpage",
        "webwxpushloginurl",
        "webwxgetcontact",
        "synccheck",
        "webwxlogout",
        "webwxgetmsgimg",
        "webwxgetvoice",
        "webwxgetvideo",
        "webwxgetmedia",
        "webwxgeticon",
        "webwxgetheadimg",
        "webwxgetpubliclinkimg",
    ],
)
async def test_queries_can_be_anything(
    online_client: WebClient, caplog: pytest.LogCaptureFixture, endpoint: str
):
    await online_client.control("settings", hold_sync=0.01, hold_login=0.01)
    for query in ("", "sid", "seq=x&uuid=%ff", "seq=%D9%A3&sid=&synckey=|", "&&&=&=", "uuid=" + "x" * 9000):
        answer = await online_client.http.get(f"{PREFIX}{endpoint}?{query}")
        assert answer.status_code in (200, 301), query
    assert caplog.records == []


@pytest.mark.parametrize("part", ["uploadmediarequest", "size", "chunk", "filename", "name"])
async def test_every_part_of_an_upload_can_be_anything(
    online_client: WebClient, caplog: pytest.LogCaptureFixture, part: str
):
    asked = online_client.upload_request(b"data")
    texts = [json.dumps(with_value_at(asked, path, value)) for path in paths_in(asked) for value in HOSTILE]
    for text in texts if part == "uploadmediarequest" else ["", "-1", "9" * 40, "\x00", "x" * 9000, "١"]:
        form = {
            **online_client.upload_fields("a.bin", 4, "doc", asked),
            "chunks": "1",
            "chunk": "0",
            part: text,
        }
        answer = await online_client.http.post(
            PREFIX + "webwxuploadmedia?f=json", data=form, files={"filename": (text[:300] or "a", b"data")}
        )
        assert isinstance(json.loads(answer.content)["BaseResponse"]["Ret"], int)
    for body in (b"", b"--", b"--x\r\n", b"--x--\r\n", b"\xff" * 1000):
        headers = {"content-type": "multipart/form-data; boundary=x"}
        answer = await online_client.http.post(PREFIX + "webwxuploadmedia", content=body, headers=headers)
        assert json.loads(answer.content)["BaseResponse"]["Ret"] == 1
    assert caplog.records == []


async def test_cookies_can_be_anything(online_client: WebClient, caplog: pytest.LogCaptureFixture):
    for cookie in ("", ";;;", "wxsid", "=x", "wxsid=" + "x" * 5000, "wxsid=\x80"):
        answer = await online_client.http.get(
            online_client.path("webwxgetcontact"), headers=[(b"cookie", cookie.encode("latin-1"))]
        )
        assert answer.status_code == 200
    assert caplog.records == []
