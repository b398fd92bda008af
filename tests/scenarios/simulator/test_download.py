"""Downloads of files and profile pictures: whole, thumbnails, ranges, empty, expired (webwx 2.16, 3.7)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

import httpx
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.web_client import PREFIX, WebClient
from wx2mqtt.simulator.samples import sample, sample_of_kind
from wx2mqtt.simulator.server import Simulator

VIDEO = {"range": "bytes=0-"}


async def receive_message(client: WebClient, kind: str, **values: Any) -> dict[str, Any]:
    """Lets somebody send a message of this kind; returns it as the client receives it."""
    await client.control("say", kind=kind, **values)
    message: dict[str, Any] = (await client.all_new())[-1]
    return message


def ret(answer: httpx.Response) -> int:
    value: int = answer.json()["BaseResponse"]["Ret"]
    return value


async def test_a_picture_can_be_downloaded_whole_and_as_a_thumbnail(online_client: WebClient):
    message = await receive_message(online_client, "image")
    whole = await online_client.fetch("webwxgetmsgimg", {"MsgID": message["MsgId"]})
    small = await online_client.fetch("webwxgetmsgimg", {"MsgID": message["MsgId"], "type": "slave"})
    assert (whole.status_code, whole.headers["content-type"]) == (200, "image/jpeg")
    assert whole.content.startswith(sample_of_kind("image"))
    assert small.content.startswith(sample("thumb.jpg"))
    assert int(whole.headers["content-length"]) == len(whole.content)
    assert f"length=&quot;{len(whole.content)}&quot;" in message["Content"]
    assert whole.content == (await online_client.http.get(f"/sim/media/{message['MsgId']}")).content
    assert small.content == (await online_client.http.get(f"/sim/media/{message['MsgId']}?thumbnail")).content
    assert await online_client.violations() == []


async def test_a_sticker_is_downloaded_whole_and_a_voice_message_as_mp3(online_client: WebClient):
    sticker = await receive_message(online_client, "sticker")
    answer = await online_client.fetch("webwxgetmsgimg", {"MsgID": sticker["MsgId"], "type": "big"})
    assert answer.content.startswith(b"GIF89a")
    voice = await receive_message(online_client, "voice")
    answer = await online_client.fetch("webwxgetvoice", {"msgid": voice["MsgId"]})
    assert (answer.headers["content-type"], answer.content[:2]) == ("audio/mp3", b"\xff\xf3")
    answer = await online_client.fetch("webwxgetvoice", {"msgid": voice["MsgId"]}, **VIDEO)
    assert answer.status_code == 206
    assert await online_client.violations() == []


@pytest.mark.parametrize("kind", ["video", "iphone_video", "micro_video"])
async def test_a_video_needs_a_range(online_client: WebClient, kind: str):
    message = await receive_message(online_client, kind)
    query = {"msgid": message["MsgId"]}
    assert (await online_client.fetch("webwxgetvideo", query)).content == b""
    assert await online_client.violations() == ["webwxgetvideo: a video without a Range header"]
    whole = await online_client.fetch("webwxgetvideo", query, **VIDEO)
    size = len(whole.content)
    assert (whole.status_code, whole.headers["content-range"]) == (206, f"bytes 0-{size - 1}/{size}")
    assert whole.content.startswith(sample_of_kind("video"))
    small = await online_client.fetch("webwxgetmsgimg", {"MsgID": message["MsgId"], "type": "slave"})
    assert small.content.startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize(
    ("wanted", "status", "places"),
    [
        ("bytes=0-", 206, slice(0, None)),
        ("bytes=5-9", 206, slice(5, 10)),
        ("bytes=70000-", 206, slice(70_000, None)),
        ("bytes=-100", 206, slice(-100, None)),
        ("bytes=99999-200000", 206, slice(99_999, None)),
        ("bytes=100000-", 416, slice(0, 0)),
        ("bytes=9-5", 416, slice(0, 0)),
        ("bytes=-", 206, slice(0, None)),
        ("octets", 206, slice(0, None)),
    ],
)
async def test_a_range_request_gets_exactly_those_bytes(
    online_client: WebClient, wanted: str, status: int, places: slice
):
    message = await receive_message(online_client, "video", bytes_of=100_000)
    whole = (await online_client.fetch("webwxgetvideo", {"msgid": message["MsgId"]}, **VIDEO)).content
    part = await online_client.fetch("webwxgetvideo", {"msgid": message["MsgId"]}, range=wanted)
    assert (part.status_code, part.content) == (status, whole[places])


async def test_a_file_comes_from_the_file_host_with_its_name(online_client: WebClient):
    data = "Inhalt ☀".encode()
    message = await receive_message(
        online_client,
        "file",
        text="报告 & mehr.txt",
        data=base64.b64encode(data).decode(),
        **{"from": "mom", "to": "family"},
    )
    assert (message["FileName"], message["FileSize"]) == ("报告 &amp; mehr.txt", str(len(data)))
    assert "&lt;fileext&gt;txt&lt;/fileext&gt;" in message["Content"]
    answer = await online_client.fetch_file(message)
    assert answer.content == data
    assert 'filename="报告 & mehr.txt"' in answer.headers["content-disposition"]
    cookies = "; ".join(f"{name}={value}" for name, value in online_client.http.cookies.items())
    for host, expected in (("file.wx2.qq.com", data), ("wx2.qq.com", None)):
        online_client.http.headers.update({"host": host, "cookie": cookies})
        answer = await online_client.fetch_file(message)
        assert (answer.content == expected) is (expected is not None), host
    assert len(await online_client.violations()) == 1


@pytest.mark.parametrize(
    ("query", "wanted", "what"),
    [
        ({"sender": "@x"}, 1, "sender is not the message's FromUserName"),
        ({"sender": None}, 1, "sender is not the message's FromUserName"),
        ({"mediaid": "@crypt_x"}, 1, "mediaid is that of no file"),
        ({"fromuser": "7"}, 1, "fromuser is not the account's number"),
        ({"encryfilename": "x"}, 1, "encryfilename is not that of the file"),
        ({"encryfilename": None}, 1, "encryfilename is not that of the file"),
        (
            {"encryfilename": None, "filename": "报告.pdf"},
            None,
            "tolerated, but: filename instead of encryfilename (itchat, wechat4u)",
        ),
        ({"pass_ticket": "undefined"}, None, "tolerated, but: undefined as pass_ticket (itchat)"),
        ({"pass_ticket": "x"}, -14, "pass_ticket is not this login's"),
        ({"webwx_data_ticket": "x"}, -14, "webwx_data_ticket is missing, wrong or too old"),
        ({"webwx_data_ticket": None}, -14, "webwx_data_ticket is missing, wrong or too old"),
    ],
)
async def test_all_parameters_of_a_file_are_checked(online_client: WebClient, query, wanted, what: str):
    message = await receive_message(online_client, "file")
    answer = await online_client.fetch_file(message, **query)
    assert answer.content.startswith(b"%PDF") if wanted is None else ret(answer) == wanted, answer.content
    assert await online_client.violations() == [f"webwxgetmedia: {what}"]


async def test_a_file_of_an_earlier_login_is_not_found_and_asking_is_no_violation(online_client: WebClient):
    message = await receive_message(online_client, "file")
    await online_client.log_in()
    assert ret(await online_client.fetch_file(message)) == 1
    assert await online_client.violations() == []


async def test_a_map_has_its_path_in_the_message(online_client: WebClient):
    message = await receive_message(online_client, "location")
    path = message["Content"].partition(":<br/>")[2].replace("&amp;", "&")
    answer = await online_client.http.get(path, headers={"referer": "x"})
    assert answer.content.startswith(b"\xff\xd8\xff")
    assert await online_client.violations() == []


async def test_links_have_a_small_picture_and_texts_have_none(online_client: WebClient):
    for kind in ("link", "mini_program", "music"):
        message = await receive_message(online_client, kind)
        small = await online_client.fetch("webwxgetmsgimg", {"MsgID": message["MsgId"], "type": "slave"})
        assert small.content.startswith(b"\xff\xd8\xff")
    message = await receive_message(online_client, "text", text="a")
    assert ret(await online_client.fetch("webwxgetmsgimg", {"MsgID": message["MsgId"], "type": "slave"})) == 1
    assert len(await online_client.violations()) == 1


@pytest.mark.parametrize(
    ("endpoint", "query", "kind", "what"),
    [
        ("webwxgetmsgimg", {"MsgID": "7"}, "image", "MsgID is that of no message that has this"),
        ("webwxgetvoice", {}, "image", "msgid is that of no message that has this"),
        ("webwxgetvideo", {}, "voice", "msgid is that of no message that has this"),
        ("webwxgetmsgimg", {}, "voice", "type is not slave or big, or the message is no picture"),
        ("webwxgetmsgimg", {"type": "x"}, "image", "type is not slave or big, or the message is no picture"),
        (
            "webwxgetmsgimg",
            {"type": "big"},
            "image",
            "tolerated, but: type=big is for stickers, and only for them (itchat, wechat4u)",
        ),
        (
            "webwxgetmsgimg",
            {},
            "sticker",
            "tolerated, but: type=big is for stickers, and only for them (itchat, wechat4u)",
        ),
        ("webwxgetmsgimg", {"skey": "x"}, "image", "skey was never given to this login"),
        ("webwxgetpubliclinkimg", {}, "location", "pictype is not location"),
    ],
)
async def test_a_malformed_download_request_is_refused_and_recorded(
    online_client: WebClient, endpoint, query, kind, what
):
    message = await receive_message(online_client, kind)
    name = "MsgID" if endpoint == "webwxgetmsgimg" else "msgid"
    answer = await online_client.fetch(endpoint, {name: message["MsgId"], **query})
    assert (answer.content[:1] == b"{") is not what.startswith("tolerated")
    assert await online_client.violations() == [f"{endpoint}: {what}"]


async def test_downloads_as_public_clients_make_them_are_no_violation(
    sim: Simulator, online_client: WebClient
):
    message = await receive_message(online_client, "voice")
    answer = await online_client.http.get(
        PREFIX + "webwxgetvoice", params={"MsgID": message["MsgId"], "skey": online_client.skey}
    )
    assert answer.content
    assert [violation.partition(": ")[2] for violation in await online_client.violations()] == [
        "tolerated, but: no Referer (itchat, wechat4u)",
        "tolerated, but: MsgID and msgid are not the same name (itchat, wechat4u)",
    ]


async def test_a_dead_login_gets_nothing(online_client: WebClient):
    message = await receive_message(online_client, "image")
    await online_client.control("logout", retcode=1101)
    assert ret(await online_client.fetch("webwxgetmsgimg", {"MsgID": message["MsgId"]})) == 1101
    online_client.http.cookies.delete("wxsid")
    assert ret(await online_client.fetch("webwxgetmsgimg", {"MsgID": message["MsgId"]})) == 1102


# what goes wrong


async def test_the_first_answers_can_be_empty(online_client: WebClient):
    await online_client.control("settings", empty_downloads=2)
    message = await receive_message(online_client, "image")
    answers = [await online_client.fetch("webwxgetmsgimg", {"MsgID": message["MsgId"]}) for _ in range(3)]
    assert [(answer.status_code, bool(answer.content)) for answer in answers] == [
        (200, False),
        (200, False),
        (200, True),
    ]
    small = {"MsgID": message["MsgId"], "type": "slave"}
    assert (await online_client.fetch("webwxgetmsgimg", small)).content == b"", "each thing has its own count"
    other = await receive_message(online_client, "image")
    await online_client.control("media", msg_id=other["MsgId"], empty=0)
    assert (await online_client.fetch("webwxgetmsgimg", {"MsgID": other["MsgId"]})).content


async def test_bytes_can_be_missing_for_ever(online_client: WebClient):
    message = await receive_message(online_client, "file")
    for gone, begins in (("json", b'{"BaseResponse"'), ("html", b"<!DOCTYPE"), ("empty", b""), ("", b"%PDF")):
        await online_client.control("media", msg_id=message["MsgId"], gone=gone)
        answer = await online_client.fetch_file(message)
        assert answer.status_code == 200
        assert answer.content.startswith(begins)
        assert bool(answer.content) is (gone != "empty")
    await online_client.control("settings", gone_media="json")
    assert ret(await online_client.fetch_file(message)) == 1
    assert await online_client.violations() == []


async def test_a_sticker_of_the_shop_and_a_recalled_picture_have_no_bytes(online_client: WebClient):
    message = await receive_message(online_client, "store_sticker")
    answer = await online_client.fetch("webwxgetmsgimg", {"MsgID": message["MsgId"], "type": "big"})
    assert (answer.status_code, answer.content) == (200, b"")
    message = await receive_message(online_client, "image")
    await online_client.control("say", kind="recall", detail={"msg_id": message["MsgId"]})
    assert (await online_client.fetch("webwxgetmsgimg", {"MsgID": message["MsgId"]})).content == b""
    assert await online_client.violations() == []


async def test_the_bytes_of_a_large_video_are_generated_while_they_are_sent(online_client: WebClient):
    size = 30 * 1024 * 1024 + 5
    message = await receive_message(online_client, "video", bytes_of=size)
    digest, received = hashlib.sha256(), 0
    request = online_client.http.stream(
        "GET",
        PREFIX + "webwxgetvideo",
        params={"msgid": message["MsgId"], "skey": online_client.skey},
        headers={**VIDEO, "referer": "x"},
    )
    async with request as answer:
        async for piece in answer.aiter_bytes():
            digest.update(piece)
            received += len(piece)
    assert received == size
    media_answer = await online_client.http.get(f"/sim/media/{message['MsgId']}")
    assert hashlib.sha256(media_answer.content).digest() == digest.digest()


async def test_a_body_can_break_off_stall_come_slowly_and_have_no_length(online_client: WebClient):
    message = await receive_message(online_client, "video", bytes_of=200_000)
    query = {"msgid": message["MsgId"]}
    whole = (await online_client.fetch("webwxgetvideo", query, **VIDEO)).content

    await online_client.control("fault", endpoint="webwxgetvideo", kind="truncate", value=150_000)
    with pytest.raises(httpx.RemoteProtocolError):
        await online_client.fetch("webwxgetvideo", query, **VIDEO)

    await online_client.control("fault", endpoint="webwxgetvideo", kind="stall", value=150_000)
    with pytest.raises(httpx.ReadTimeout):
        await online_client.http.get(
            PREFIX + "webwxgetvideo",
            params={"skey": online_client.skey, **query},
            headers={**VIDEO, "referer": "x"},
            timeout=httpx.Timeout(MAX_WAIT_SECONDS, read=0.3),
        )

    await online_client.control("fault", endpoint="webwxgetvideo", kind="drip", value=1_000_000)
    began = asyncio.get_running_loop().time()
    assert (await online_client.fetch("webwxgetvideo", query, **VIDEO)).content == whole
    assert asyncio.get_running_loop().time() - began > 0.09

    await online_client.control("fault", endpoint="webwxgetvideo", kind="no_length")
    answer = await online_client.fetch("webwxgetvideo", query, **VIDEO)
    assert "content-length" not in answer.headers
    assert answer.content == whole

    await online_client.control("fault", endpoint="webwxgetvideo", kind="status", value=502)
    assert (await online_client.fetch("webwxgetvideo", query, **VIDEO)).status_code == 502
    state = await online_client.seen("state")
    assert state["downloads"] == {"now": 0, "most": 1}
    assert await online_client.violations() == []


async def test_two_downloads_at_once_are_counted_and_may_be_mixed_up(online_client: WebClient):
    await online_client.control("settings", mix_downloads=True)
    first = await receive_message(online_client, "image", bytes_of=40_000_000)
    second = await receive_message(online_client, "image", bytes_of=5000)
    request = online_client.http.stream(
        "GET",
        PREFIX + "webwxgetmsgimg",
        params={"MsgID": first["MsgId"], "skey": online_client.skey},
        headers={"referer": "x"},
    )
    async with request:
        mixed = (await online_client.fetch("webwxgetmsgimg", {"MsgID": second["MsgId"]})).content
    whole = (await online_client.http.get(f"/sim/media/{first['MsgId']}")).content
    assert mixed == whole[:5000]
    assert await online_client.violations() == [
        "webwxgetmsgimg: tolerated, but: another download is under way"
    ]


async def test_an_aborted_download_is_over_and_successive_ones_do_not_count_as_two_at_once(
    online_client: WebClient,
):
    await online_client.control("settings", mix_downloads=True)
    messages = [
        await receive_message(online_client, "image", bytes_of=size)
        for size in (40_000_000, 1_000_000, 70_000, 10)
    ]
    with pytest.raises(httpx.ReadTimeout):
        await online_client.control("fault", endpoint="webwxgetmsgimg", kind="drip", value=1000)
        await online_client.http.get(
            PREFIX + "webwxgetmsgimg",
            params={"MsgID": messages[0]["MsgId"], "skey": online_client.skey},
            headers={"referer": "x"},
            timeout=httpx.Timeout(MAX_WAIT_SECONDS, read=0.05),
        )
    for _ in range(5):
        for message in messages[1:]:
            answer = await online_client.fetch(
                "webwxgetmsgimg", {"MsgID": message["MsgId"]}, connection="close"
            )
            media_answer = await online_client.http.get(f"/sim/media/{message['MsgId']}")
            assert answer.content == media_answer.content
    assert (await online_client.seen("state"))["downloads"] == {"now": 0, "most": 1}
    assert await online_client.violations() == []


# people


async def test_everybody_has_a_picture_that_changes_with_its_number(online_client: WebClient):
    names = await online_client.seen("names")
    contacts = (await online_client.batch(names["wife"], names["family"], names["mom"]))["ContactList"]
    pictures = [await online_client.http.get(contact["HeadImgUrl"]) for contact in contacts]
    assert all(answer.content.startswith(b"\xff\xd8\xff") for answer in pictures)
    assert len({answer.content for answer in pictures}) == 3
    await online_client.control("people", avatar={"id": "wife"})
    [wife] = (await online_client.batch(names["wife"]))["ContactList"]
    assert (await online_client.http.get(wife["HeadImgUrl"])).content != pictures[0].content
    assert await online_client.violations() == []


async def test_a_members_picture_is_asked_with_the_group(online_client: WebClient):
    names = await online_client.seen("names")
    [family] = (await online_client.batch(names["family"]))["ContactList"]
    query = {"seq": "0", "username": names["aunt"], "chatroomid": family["EncryChatRoomId"]}
    assert (await online_client.fetch("webwxgeticon", query)).content.startswith(b"\xff\xd8\xff")
    assert await online_client.violations() == []
    assert ret(await online_client.fetch("webwxgeticon", {**query, "chatroomid": "@x"})) == 1
    assert ret(await online_client.fetch("webwxgeticon", {"username": "@x"})) == 1
    assert ret(await online_client.fetch("webwxgetheadimg", {"username": names["wife"]})) == 1
    assert len(await online_client.violations()) == 3


async def test_requests_for_pictures_as_itchat_makes_them_are_no_violation(online_client: WebClient):
    names = await online_client.seen("names")
    answer = await online_client.fetch("webwxgeticon", {"userName": names["wife"], "type": "big"})
    assert answer.content.startswith(b"\xff\xd8\xff")
    assert await online_client.violations() == [
        "webwxgeticon: tolerated, but: userName instead of username (itchat)"
    ]


# the control


async def test_a_thousand_pictures_can_be_injected_in_one_call(online_client: WebClient):
    answer = await online_client.control("say", kind="image", bytes_of=300_000, count=1000)
    assert len(answer["msg_ids"]) == 1000
    first, last = [
        (await online_client.fetch("webwxgetmsgimg", {"MsgID": answer["msg_ids"][index]})).content
        for index in (0, -1)
    ]
    assert (len(first), first == last) == (300_000, False)


async def test_bytes_are_given_in_base64(online_client: WebClient):
    for wrong in ({"data": "x"}, {"data": 7}, {"bytes_of": -1}, {"kind": "text", "bytes_of": 1}):
        answer = await online_client.http.post("/sim/say", json={"kind": "image", **wrong})
        assert answer.status_code in (400, 409)
    message = await receive_message(online_client, "image", data="")
    assert (await online_client.fetch("webwxgetmsgimg", {"MsgID": message["MsgId"]})).content == b""


async def test_a_message_by_raw_can_have_bytes(online_client: WebClient):
    await online_client.control("raw", AddMsgList=[{"MsgId": "77"}])
    await online_client.control("media", msg_id="77", kind="image", data=base64.b64encode(b"abc").decode())
    assert (await online_client.fetch("webwxgetmsgimg", {"MsgID": "77"})).content == b"abc"
    await online_client.control("media", msg_id="78", kind="voice", bytes_of=50)
    assert len((await online_client.fetch("webwxgetvoice", {"msgid": "78"})).content) == 50
    for wrong, status in (
        ({"msg_id": "79"}, 404),
        ({"msg_id": "77", "gone": "x"}, 400),
        ({"msg_id": "77", "empty": "x"}, 400),
        ({"msg_id": "77", "strange": 1}, 400),
        ({"msg_id": "77", "bytes_of": "x"}, 400),
        ({"msg_id": "77", "kind": "text", "bytes_of": 1}, 400),
    ):
        assert (await online_client.http.post("/sim/media", json=wrong)).status_code == status
    assert (await online_client.http.get("/sim/media/79")).status_code == 404


async def test_media_are_served_so_that_a_browser_never_runs_them(online_client: WebClient):
    data = base64.b64encode(b"<script>alert(1)</script>").decode()
    message = await receive_message(online_client, "file", text="a.html", data=data)
    media_answer = await online_client.http.get(f"/sim/media/{message['MsgId']}")
    assert media_answer.headers["x-content-type-options"] == "nosniff"
    assert media_answer.headers["content-type"] == "application/octet-stream"
    assert media_answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in media_answer.headers["content-security-policy"]
