"""Uploads: the form, the sequence of parts, the limits (webwx 2.13, 2.14, 6.1)."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.support.web_client import PART, PREFIX, WebClient, file_xml
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.server import Simulator

PICTURE = sample("image.jpg")
TWO_PARTS = PICTURE + bytes(PART)


def ret(answer) -> int:
    value: int = answer["BaseResponse"]["Ret"]
    return value


async def upload_one_part(
    client: WebClient,
    data: bytes = PICTURE,
    *,
    name: str = "a.jpg",
    media_type: str = "pic",
    asked: dict[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Uploads one part with some fields changed; returns the answer."""
    request = client.upload_request(data, **(asked or {}))
    form = client.upload_fields(name, len(data), media_type, request, **fields)
    return await client.upload_part(name, data[:PART], form)


async def test_a_small_picture_is_uploaded_in_one_part_and_sent(online_client: WebClient):
    result = await online_client.upload("图 1.jpg", PICTURE, "pic")
    assert (ret(result), result["StartPos"]) == (0, len(PICTURE))
    names = await online_client.seen("names")
    answer = await online_client.send_media("webwxsendmsgimg", 3, names["wife"], MediaId=result["MediaId"])
    assert ret(answer) == 0
    [sent] = await online_client.seen("sent")
    assert (sent["to"], sent["kind"], sent["msg_id"]) == ("wife", "image", answer["MsgID"])
    assert sent["media"] == {"name": "图 1.jpg", "size": len(PICTURE), "mime": "image/jpeg"}
    assert sent["sha256"] == hashlib.sha256(PICTURE).hexdigest()
    media_answer = await online_client.http.get(f"/sim/media/{answer['MsgID']}")
    assert media_answer.content == PICTURE
    line = (await online_client.seen("feed"))["lines"][0]
    assert (line["via"], line["kind"], line["media"]) == ("web", "image", sent["media"])
    assert await online_client.violations() == []


async def test_a_large_file_comes_in_parts_and_only_the_last_answer_has_a_media_id(online_client: WebClient):
    data = bytes(range(256)) * 5000
    asked = online_client.upload_request(data)
    result = []
    for number in range(3):
        fields = online_client.upload_fields("a.bin", len(data), "doc", asked, chunks="3", chunk=str(number))
        result.append(
            await online_client.upload_part("a.bin", data[number * PART : (number + 1) * PART], fields)
        )
    assert [bool(answer["MediaId"]) for answer in result] == [False, False, True]
    assert [answer["StartPos"] for answer in result] == [PART, 2 * PART, len(data)]
    answer = await online_client.send_file("filehelper", "a.bin", data, result[-1]["MediaId"])
    media_answer = await online_client.http.get(f"/sim/media/{answer['MsgID']}")
    assert hashlib.sha256(media_answer.content).digest() == hashlib.sha256(data).digest()
    assert await online_client.violations() == []


async def test_a_media_id_is_good_for_several_people_and_not_in_the_next_login(online_client: WebClient):
    names = await online_client.seen("names")
    media_id = (await online_client.upload("a.jpg", PICTURE, "pic"))["MediaId"]
    for to in (names["wife"], names["family"], "filehelper"):
        assert ret(await online_client.send_media("webwxsendmsgimg", 3, to, MediaId=media_id)) == 0
    await online_client.log_in()
    assert ret(await online_client.send_media("webwxsendmsgimg", 3, "filehelper", MediaId=media_id)) == 1
    assert await online_client.violations() == ["webwxsendmsgimg: MediaId is of another login"]


async def test_a_part_that_comes_again_since_its_answer_was_lost_gets_the_same_answer(
    online_client: WebClient,
):
    asked = online_client.upload_request(TWO_PARTS)
    result = []
    for number in (0, 0, 1, 1):
        fields = online_client.upload_fields(
            "a.bin", len(TWO_PARTS), "doc", asked, chunks="2", chunk=str(number)
        )
        part = TWO_PARTS[number * PART : (number + 1) * PART]
        result.append(await online_client.upload_part("a.bin", part, fields))
    assert result[0] == result[1]
    assert result[2] == result[3]
    assert result[2]["MediaId"]
    assert await online_client.violations() == []


async def test_parts_out_of_order_are_refused(online_client: WebClient):
    asked = online_client.upload_request(TWO_PARTS)
    fields = online_client.upload_fields("a.bin", len(TWO_PARTS), "doc", asked, chunks="2", chunk="1")
    assert ret(await online_client.upload_part("a.bin", TWO_PARTS[PART:], fields)) == 1
    three_parts = TWO_PARTS + bytes(PART)
    asked = online_client.upload_request(three_parts)
    for number, wanted in ((0, 0), (2, 1)):
        fields = online_client.upload_fields(
            "a.bin", len(three_parts), "doc", asked, chunks="3", chunk=str(number)
        )
        part = three_parts[number * PART : (number + 1) * PART]
        assert ret(await online_client.upload_part("a.bin", part, fields)) == wanted
    assert await online_client.violations() == [
        "webwxuploadmedia: chunk 0 must come first",
        "webwxuploadmedia: the chunks do not come in their order",
    ]


@pytest.mark.parametrize(
    ("change", "wanted", "what"),
    [
        ({"asked": {"FileMd5": "0" * 32}}, 1, "FileMd5 is not the MD5 of what came"),
        ({"asked": {"FileMd5": "X"}}, 1, "FileMd5 is not 32 hex digits in lower case"),
        ({"asked": {"FileMd5": None}}, 0, "tolerated, but: no FileMd5 (wechat4u)"),
        ({"asked": {"UploadType": 1}}, 1, "wrong in uploadmediarequest: UploadType"),
        ({"asked": {"MediaType": 1}}, 1, "wrong in uploadmediarequest: MediaType"),
        ({"asked": {"StartPos": 1}}, 1, "wrong in uploadmediarequest: StartPos"),
        ({"asked": {"ClientMediaId": "x"}}, 1, "wrong in uploadmediarequest: ClientMediaId"),
        ({"asked": {"TotalLen": 1}}, 1, "size, TotalLen and DataLen are not the same number"),
        ({"asked": {"DataLen": 1}}, 1, "size, TotalLen and DataLen are not the same number"),
        ({"size": "1"}, 1, "size, TotalLen and DataLen are not the same number"),
        ({"asked": {"FromUserName": "@x"}}, 1, "FromUserName is not the account's name in this login"),
        ({"asked": {"ToUserName": "@x"}}, 1, "ToUserName is unknown in this login"),
        ({"asked": {"BaseRequest": None}}, 1, "BaseRequest is missing"),
        ({"uploadmediarequest": "{"}, 1, "uploadmediarequest is no JSON in UTF-8"),
        ({"uploadmediarequest": "[]"}, 1, "uploadmediarequest is no JSON object"),
        ({"webwx_data_ticket": None}, 1, "the form lacks webwx_data_ticket"),
        ({"webwx_data_ticket": "x"}, -14, "webwx_data_ticket is missing, wrong or too old"),
        (
            {"pass_ticket": "undefined"},
            0,
            "tolerated, but: the pass_ticket of the form is not the decoded one (itchat, wechat4u)",
        ),
        ({"id": None}, 0, "tolerated, but: no id (wechat4u)"),
        ({"id": "1"}, 0, "tolerated, but: id is not WU_FILE_ and a number"),
        ({"strange": "1"}, 1, "the form has a field that WeChat does not know"),
        ({"lastModifiedDate": None}, 1, "the form lacks lastModifiedDate"),
        ({"mediatype": "image"}, 1, "mediatype is not pic, video or doc, or not for such a name"),
        ({"name": "b.jpg"}, 0, "tolerated, but: name is not the filename of the file part"),
        ({"chunks": "1", "chunk": "0"}, 0, "tolerated, but: chunks and chunk although there is one part"),
        ({"chunks": "2", "chunk": "0"}, 1, "chunks and chunk do not fit the size"),
        ({"chunks": "1"}, 1, "chunks and chunk do not fit the size"),
        ({"data": TWO_PARTS}, 1, "more than 524288 bytes without chunks and chunk"),
        ({"data": b""}, 1, "an empty file"),
        ({"data": b"no picture"}, 1, "what came is no picture"),
        ({"name": "a.mp4", "media_type": "video"}, 1, "what came is no video"),
        ({"name": "a.gif"}, 1, "mediatype is not pic, video or doc, or not for such a name"),
        ({"name": "长" * 90 + ".jpg"}, 1, "the name is too long"),
    ],
)
async def test_a_malformed_upload_is_refused_and_recorded(
    online_client: WebClient, change, wanted: int, what: str
):
    change = dict(change)
    if change.get("name") == "b.jpg":
        data = PICTURE
        form = online_client.upload_fields("b.jpg", len(data), "pic", online_client.upload_request(data))
        result = await online_client.upload_part("a.jpg", data, form)
    else:
        result = await upload_one_part(online_client, **change)
    assert (ret(result), bool(result.get("MediaId"))) == (wanted, wanted == 0)
    assert await online_client.violations() == [f"webwxuploadmedia: {what}"]


async def test_a_quote_in_a_filename_is_escaped_as_by_a_browser(online_client: WebClient):
    form = online_client.upload_fields('q"u.jpg', len(PICTURE), "pic", online_client.upload_request(PICTURE))
    assert ret(await online_client.upload_part('q"u.jpg', PICTURE, form)) == 0
    assert await online_client.violations() == []


async def test_a_name_by_rfc_2231_is_refused(online_client: WebClient):
    form = online_client.upload_fields("a.jpg", len(PICTURE), "pic", online_client.upload_request(PICTURE))
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in form.items()
    ]
    head = b"--x\r\nContent-Disposition: form-data; name=\"filename\"; filename*=utf-8''%E5%9B%BE.jpg\r\n\r\n"
    answer = await online_client.http.post(
        PREFIX + "webwxuploadmedia?f=json",
        content=b"".join(parts) + head + PICTURE + b"\r\n--x--\r\n",
        headers={"content-type": "multipart/form-data; boundary=x"},
    )
    assert ret(answer.json()) == 1
    [what] = await online_client.violations()
    assert "RFC 2231" in what


async def test_the_preflight_request_of_a_browser_is_answered(online_client: WebClient):
    answer = await online_client.http.request("OPTIONS", PREFIX + "webwxuploadmedia?f=json")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_uploads_come_to_the_file_host(online_client: WebClient):
    cookies = "; ".join(f"{name}={value}" for name, value in online_client.http.cookies.items())
    form = online_client.upload_fields("a.jpg", len(PICTURE), "pic", online_client.upload_request(PICTURE))
    for host, wanted in (("file.wx2.qq.com", 0), ("wx2.qq.com", 1100), ("file.wx.qq.com", 1100)):
        answer = await online_client.http.post(
            PREFIX + "webwxuploadmedia?f=json",
            data=form,
            files={"filename": ("a.jpg", PICTURE)},
            headers={"host": host, "cookie": cookies},
        )
        assert ret(answer.json()) == wanted, host


async def test_pictures_and_videos_have_their_limit_and_files_another(online_client: WebClient):
    await online_client.control("settings", media_limit=2000, file_limit=3000)
    assert ret(await upload_one_part(online_client, PICTURE + bytes(2000 - len(PICTURE)))) == 1
    assert ret(await upload_one_part(online_client, PICTURE + bytes(1999 - len(PICTURE)))) == 0
    assert ret(await upload_one_part(online_client, bytes(3001), media_type="doc")) == 1
    assert ret(await upload_one_part(online_client, bytes(3000), media_type="doc")) == 0
    assert await online_client.violations() == ["webwxuploadmedia: the file is too large"] * 2


async def check_upload(client: WebClient, data: bytes, **other: Any) -> dict[str, Any]:
    asked = {
        "FileMd5": hashlib.md5(data).hexdigest(),
        "FileName": "a.bin",
        "FileSize": len(data),
        "FileType": 7,
        "FromUserName": client.me,
        "ToUserName": "filehelper",
        **other,
    }
    return await client.post("webwxcheckupload", **asked)


async def test_a_very_large_file_is_checked_first_and_carries_what_that_gave(online_client: WebClient):
    await online_client.control("settings", check_above=1000)
    data = bytes(1001)
    assert ret(await online_client.upload("a.bin", data)) == 402
    checked = await check_upload(online_client, data)
    assert (ret(checked), checked["MediaId"]) == (0, "")
    wrong = {"AESKey": checked["AESKey"], "Signature": "x"}
    assert ret(await online_client.upload("a.bin", data, **wrong)) == 402
    signed = {"AESKey": checked["AESKey"], "Signature": checked["Signature"]}
    result = await online_client.upload("a.bin", data, **signed)
    assert result["MediaId"]
    assert ret(await online_client.send_file("filehelper", "a.bin", data, result["MediaId"])) == 1
    sent = await online_client.send_file(
        "filehelper", "a.bin", data, result["MediaId"], Signature=checked["Signature"]
    )
    assert ret(sent) == 0
    assert await online_client.violations() == [
        "webwxuploadmedia: a large file without webwxcheckupload",
        "webwxuploadmedia: AESKey and Signature are not those of webwxcheckupload",
        "webwxsendappmsg: Signature is not that of webwxcheckupload",
    ]


async def test_a_file_that_wechat_has_already_is_not_uploaded_again(online_client: WebClient):
    await online_client.control("settings", check_above=1000)
    data = bytes(1001)
    first = await check_upload(online_client, data)
    await online_client.upload("a.bin", data, AESKey=first["AESKey"], Signature=first["Signature"])
    await online_client.log_in()
    again = await check_upload(online_client, data, FileName="b.bin")
    assert again["MediaId"]
    sent = await online_client.send_file(
        "filehelper", "b.bin", data, again["MediaId"], Signature=again["Signature"]
    )
    assert ret(sent) == 0
    await online_client.control("settings", instant_upload=False)
    assert (await check_upload(online_client, data))["MediaId"] == ""
    assert await online_client.violations() == []


@pytest.mark.parametrize("wrong", [{"FileType": 1}, {"FileName": 7}, {"FileSize": "7"}, {"FileMd5": "x"}])
async def test_a_check_that_is_not_as_wechat_wants_it_is_refused(online_client: WebClient, wrong):
    assert ret(await check_upload(online_client, b"a", **wrong)) == 1
    assert len(await online_client.violations()) == 1


async def test_a_video_and_a_sticker_are_sent(online_client: WebClient):
    video = (await online_client.upload("a.mp4", sample("video.mp4"), "video"))["MediaId"]
    assert ret(await online_client.send_media("webwxsendvideomsg", 43, "filehelper", MediaId=video)) == 0
    gif = (await online_client.upload("a.gif", sample("sticker.gif")))["MediaId"]
    sent = await online_client.send_media("webwxsendemoticon", 47, "filehelper", MediaId=gif, EmojiFlag=2)
    assert ret(sent) == 0
    assert [message["kind"] for message in await online_client.seen("sent")] == ["video", "sticker"]
    assert await online_client.violations() == []


async def test_a_sticker_that_came_is_sent_again_by_its_md5(online_client: WebClient):
    await online_client.control("say", kind="sticker")
    [received] = await online_client.all_new()
    md5 = received["Content"].partition("md5=&quot;")[2].partition("&quot;")[0]
    again = {"EMoticonMd5": md5, "EmojiFlag": 2, "Content": None}
    assert ret(await online_client.send_media("webwxsendemoticon", 47, "filehelper", **again)) == 0
    assert (await online_client.seen("sent"))[0]["media"]["mime"] == "image/gif"
    assert await online_client.violations() == []
    again["EMoticonMd5"] = "0" * 32
    assert ret(await online_client.send_media("webwxsendemoticon", 47, "filehelper", **again)) == 1
    assert len(await online_client.violations()) == 1


@pytest.mark.parametrize(
    ("endpoint", "message", "what"),
    [
        ("webwxsendmsgimg", {"Type": 43}, "Type is not 3"),
        ("webwxsendmsgimg", {"MediaId": "x"}, "MediaId is unknown"),
        ("webwxsendmsgimg", {"Content": "x"}, "Content is not empty"),
        ("webwxsendvideomsg", {"Type": 43}, "what was uploaded is not of mediatype video"),
        ("webwxsendvideomsg", {}, "Type is not 43 or 62"),
        ("webwxsendemoticon", {"Type": 47}, "EmojiFlag is not 2"),
        ("webwxsendemoticon", {"Type": 47, "EmojiFlag": 2}, "what was uploaded is not of mediatype doc"),
        ("webwxsendappmsg", {"Type": 6}, "Content is no XML: a name must be escaped"),
    ],
)
async def test_media_that_are_sent_wrong_are_refused(
    online_client: WebClient, endpoint: str, message, what: str
):
    media_id = (await online_client.upload("a.jpg", PICTURE, "pic"))["MediaId"]
    result = await online_client.send_media(endpoint, 3, "filehelper", **{"MediaId": media_id, **message})
    assert ret(result) == 1
    assert await online_client.violations() == [f"{endpoint}: {what}"]
    assert await online_client.seen("sent") == []


async def test_a_sticker_must_be_animated(online_client: WebClient):
    media_id = (await online_client.upload("a.bin", PICTURE))["MediaId"]
    result = await online_client.send_media(
        "webwxsendemoticon", 47, "filehelper", MediaId=media_id, EmojiFlag=2
    )
    assert ret(result) == 1
    assert await online_client.violations() == ["webwxsendemoticon: what was uploaded is no GIF"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            ("<title>a &amp; b.bin</title>", "<title>a & b.bin</title>"),
            "Content is no XML: a name must be escaped",
        ),
        (("<type>6</type>", "<type>5</type>"), "type is not 6"),
        (("<lowurl></lowurl>", ""), "appmsg or appattach lacks a child"),
        (("<fileext>bin</fileext>", ""), "appmsg or appattach lacks a child"),
        (("<fileext>bin</fileext>", "<fileext>.bin</fileext>"), "fileext is not the extension of the title"),
        (("<totallen>100</totallen>", "<totallen>x</totallen>"), "totallen is no number"),
        (
            ("<totallen>100</totallen>", "<totallen>99</totallen>"),
            "totallen is not the size of what was uploaded",
        ),
        (("<attachid>@", "<attachid>"), "attachid is no MediaId of a file in this login"),
        (("<appmsg appid='wxeb7ec651dd0aefa9'", "<appmsg appid='x'"), "appid is not that of files"),
        (("sdkver=''", ""), "the root is not appmsg with appid and sdkver"),
        (("<title>a &amp; b.bin</title>", "<title></title>"), "title is empty"),
        (
            ("appid='wxeb7ec651dd0aefa9'", "appid=''"),
            "tolerated, but: the appid of files is empty in desktop logins, and only there (itchat-uos)",
        ),
    ],
)
async def test_each_part_of_the_xml_of_a_file_is_checked(online_client: WebClient, change, what: str):
    media_id = (await online_client.upload("a & b.bin", bytes(100)))["MediaId"]
    content = file_xml("a & b.bin", 100, media_id)
    assert change[0] in content
    result = await online_client.send_media(
        "webwxsendappmsg", 6, "filehelper", Content=content.replace(*change)
    )
    assert ret(result) == (0 if what.startswith("tolerated") else 1)
    assert await online_client.violations() == [f"webwxsendappmsg: {what}"]


async def test_a_call_without_fun_is_refused(online_client: WebClient):
    media_id = (await online_client.upload("a.jpg", PICTURE, "pic"))["MediaId"]
    message = {**online_client.text("filehelper", ""), "Type": 3, "MediaId": media_id}
    assert ret(await online_client.post("webwxsendmsgimg", Msg=message, Scene=0)) == 1
    assert len(await online_client.violations()) == 1


async def test_a_repeat_of_a_picture_is_dropped_and_too_many_are_1205(online_client: WebClient):
    await online_client.control("settings", rate_limit=1)
    media_id = (await online_client.upload("a.jpg", PICTURE, "pic"))["MediaId"]
    key = {"LocalID": "17000000000001234", "ClientMsgId": "17000000000001234", "MediaId": media_id}
    first, second = [
        await online_client.send_media("webwxsendmsgimg", 3, "filehelper", **key) for _ in range(2)
    ]
    assert first == second
    assert [message["delivered"] for message in await online_client.seen("sent")] == [True, False]
    assert ret(await online_client.send_media("webwxsendmsgimg", 3, "filehelper", MediaId=media_id)) == 1205


async def test_an_echo_of_a_file_names_it(online_client: WebClient):
    await online_client.control("settings", echo=True)
    data = b"x" * 100
    media_id = (await online_client.upload("a & b.txt", data))["MediaId"]
    await online_client.send_file("filehelper", "a & b.txt", data, media_id)
    [echo] = await online_client.all_new()
    assert (echo["MsgType"], echo["FileName"], echo["FileSize"]) == (49, "a &amp; b.txt", "100")


async def test_an_upload_is_kept_on_disk_and_removed_with_a_reset(sim: Simulator, online_client: WebClient):
    data = bytes(3 * 1024 * 1024)
    media_id = (await online_client.upload("a.bin", data))["MediaId"]
    assert sim.wechat.session is not None
    ready = sim.wechat.session.uploads.find(media_id)
    assert ready is not None
    assert sum(map(len, ready.content.pieces(1, 70_000))) == 69_999
    await online_client.control("reset")
    assert sim.wechat.session is None
