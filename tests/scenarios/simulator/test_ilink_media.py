"""iLink: files in both directions, encrypted, over the CDN (ilink 8)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.ilink_client import ILinkClient, decrypt, encrypt, key_of
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.server import Simulator

PICTURE = sample("image.jpg")


async def received(client: ILinkClient, kind: str, **values: Any) -> tuple[str, dict[str, Any]]:
    """The message of that kind that somebody sends: its id and its last item's object."""
    [msg_id] = (await client.control("say", kind=kind, **values))["msg_ids"]
    [message] = await client.new()
    item = message["item_list"][-1]
    return msg_id, item[next(key for key in item if key.endswith("_item"))]


async def plain(client: ILinkClient, msg_id: str) -> bytes:
    """The file as the phone has it."""
    return (await client.http.get(f"/sim/ilink/media/{msg_id}")).content


# from the person


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("image", (32, 44)),
        ("image_hex", (32, None)),
        ("image_44", (None, 44)),
        ("image_24", (None, 24)),
        ("image_plain", (None, None)),
    ],
)
async def test_a_picture_with_its_key_in_every_place(
    bound: ILinkClient, kind: str, keys: tuple[int | None, int | None]
):
    msg_id, item = await received(bound, kind)
    result = (item.get("aeskey"), item["media"].get("aes_key"))
    assert tuple(one and len(one) for one in result) == keys
    key = bytes.fromhex(item["aeskey"]) if "aeskey" in item else None
    data = await bound.download(item["media"], key)
    assert data == await plain(bound, msg_id)
    assert data.startswith(PICTURE)
    sealed = await bound.http.get(item["media"]["full_url"])
    assert item["mid_size"] == len(sealed.content)
    thumb = await bound.download(item["thumb_media"])
    assert thumb.startswith(sample("thumb.jpg"))
    assert await bound.violations() == []


@pytest.mark.parametrize(("kind", "length"), [("file", 44), ("file_24", 24)])
async def test_a_file_has_a_name_a_size_and_a_hash(bound: ILinkClient, kind: str, length: int):
    msg_id, item = await received(bound, kind, text="说明书.pdf")
    data = await bound.download(item["media"])
    assert data == await plain(bound, msg_id)
    assert len(item["media"]["aes_key"]) == length
    assert item["file_name"] == "说明书.pdf"
    assert item["len"] == str(len(data))
    assert item["md5"] == hashlib.md5(data).hexdigest()


async def test_a_video(bound: ILinkClient):
    msg_id, item = await received(bound, "video")
    data = await bound.download(item["media"])
    assert data == await plain(bound, msg_id)
    assert item["video_size"] == len(data) // 16 * 16 + 16
    assert item["video_md5"] == hashlib.md5(data).hexdigest()


@pytest.mark.parametrize("text", ["开灯", ""])
async def test_a_voice_is_silk_whatever_it_says_and_has_a_transcript_or_none(bound: ILinkClient, text: str):
    msg_id, item = await received(bound, "voice", text=text)
    data = await bound.download(item["media"])
    assert data == await plain(bound, msg_id)
    assert data.startswith(b"\x02#!SILK_V3")
    assert (item["encode_type"], item["sample_rate"]) == (4, 16000)
    assert item.get("text", "") == text


async def test_several_items_in_one_message(bound: ILinkClient):
    await bound.control("say", kind="several", text="sieh mal")
    [message] = await bound.new()
    assert [item["type"] for item in message["item_list"]] == [1, 2]


async def test_given_bytes_and_as_many_as_wanted(bound: ILinkClient):
    _, item = await received(bound, "image", data=base64.b64encode(PICTURE).decode())
    assert await bound.download(item["media"], bytes.fromhex(item["aeskey"])) == PICTURE
    await bound.control("say", kind="file", text="{n}.bin", count=2, bytes_of=200_001)
    files = [message["item_list"][0]["file_item"] for message in await bound.new()]
    assert [one["len"] for one in files] == ["200001"] * 2
    one, other = [await bound.download(file["media"]) for file in files]
    assert len(one) == len(other) == 200_001
    assert one != other


async def test_a_file_without_a_byte(bound: ILinkClient):
    _, item = await received(bound, "file", bytes_of=0)
    assert (item["len"], await bound.download(item["media"])) == ("0", b"")


async def test_a_wrong_key_a_bad_one_and_wrong_sizes(bound: ILinkClient):
    _, item = await received(bound, "file", detail={"key": "wrong"})
    with pytest.raises(ValueError, match="padding"):
        await bound.download(item["media"])
    _, item = await received(bound, "file", detail={"key": "bad"})
    assert len(base64.b64decode(item["media"]["aes_key"])) == 6
    _, item = await received(bound, "file", detail={"size": 1, "md5": "0" * 32})
    assert (item["len"], item["md5"]) == ("1", "0" * 32)


async def test_a_url_of_ones_own_leads_there_too_unless_it_may_not(bound: ILinkClient):
    _, item = await received(bound, "file", detail={"full_url": False})
    assert "full_url" not in item["media"]
    path = "/c2c/download?encrypted_query_param="
    built = path + quote(item["media"]["encrypt_query_param"], safe="")
    assert (await bound.http.get(built)).status_code == 200
    await bound.control("settings", own_urls=False)
    _, item = await received(bound, "file")
    built = path + quote(item["media"]["encrypt_query_param"], safe="")
    assert (await bound.http.get(built)).status_code == 400
    assert (await bound.http.get(item["media"]["full_url"])).status_code == 200


async def test_a_full_url_in_some_messages_or_to_anywhere(bound: ILinkClient):
    await bound.control("settings", full_urls="never")
    assert "full_url" not in (await received(bound, "file"))[1]["media"]
    await bound.control("settings", full_urls="sometimes")
    found = [(await received(bound, "file"))[1]["media"] for _ in range(4)]
    assert {"full_url" in media for media in found} == {True, False}
    _, item = await received(bound, "file", detail={"full_url": "http://169.254.169.254/"})
    assert item["media"]["full_url"] == "http://169.254.169.254/"


async def test_what_is_gone_is_told_by_a_header(bound: ILinkClient):
    msg_id, item = await received(bound, "image")
    await bound.control("media", msg_id=msg_id)
    answer = await bound.http.get(item["media"]["full_url"])
    assert (answer.status_code, answer.headers["x-error-message"]) == (400, "file expired")
    await bound.control("media", msg_id=msg_id, gone=False)
    assert (await bound.http.get(item["media"]["full_url"])).status_code == 200
    assert await bound.violations() == []


async def test_what_never_was_is_a_violation(bound: ILinkClient):
    answer = await bound.http.get("/c2c/download?encrypted_query_param=x")
    assert answer.status_code == 400
    assert await bound.violations() == ["cdn_download: there is no such file"]


async def test_the_token_does_not_belong_to_the_cdn(bound: ILinkClient):
    _, item = await received(bound, "file")
    await bound.http.get(item["media"]["full_url"], headers={"Authorization": f"Bearer {bound.token}"})
    assert await bound.violations() == ["cdn_download: the header authorization goes to the CDN"]


async def test_a_download_can_be_cut_off(bound: ILinkClient):
    _, item = await received(bound, "file", bytes_of=100_000)
    await bound.http.post("/sim/fault", json={"endpoint": "cdn_download", "kind": "truncate", "value": 1000})
    with pytest.raises(httpx.RemoteProtocolError):
        await bound.download(item["media"])


async def test_the_file_of_a_quoted_message_can_be_had(talking: ILinkClient):
    msg_id, _ = await received(talking, "image")
    await talking.control("say", kind="quote", text="das da", detail={"msg_id": msg_id})
    [message] = await talking.new()
    quoted = message["item_list"][0]["ref_msg"]["message_item"]
    data = await talking.download(quoted["image_item"]["media"])
    assert data == await plain(talking, msg_id)


# to the person


def image(media: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": 2, "image_item": {"media": media, "mid_size": len(PICTURE) // 16 * 16 + 16, **fields}}


async def test_a_picture_a_video_and_a_file(talking: ILinkClient):
    video, document = sample("video.mp4"), sample("file.pdf")
    await talking.send(image(await talking.upload(PICTURE, "image")))
    media = await talking.upload(video, "video")
    await talking.send({"type": 5, "video_item": {"media": media, "video_size": len(video) // 16 * 16 + 16}})
    media = await talking.upload(document, "file", own_url=True)
    item = {"media": media, "file_name": "报告.pdf", "len": str(len(document))}
    result = await talking.send({"type": 4, "file_item": item})
    sent = await talking.seen("sent")
    assert [one["kind"] for one in sent] == ["image", "video", "file"]
    assert [one["sha256"] for one in sent] == [
        hashlib.sha256(data).hexdigest() for data in (PICTURE, video, document)
    ]
    assert sent[2]["media"] == {"name": "报告.pdf", "size": len(document), "mime": "application/pdf"}
    assert all(one["delivered"] for one in sent)
    assert await plain(talking, str(result["message_id"])) == document
    assert await talking.violations() == []


async def test_what_was_uploaded_can_be_downloaded(talking: ILinkClient):
    media = await talking.upload(PICTURE, "image")
    path = "/c2c/download?encrypted_query_param=" + quote(media["encrypt_query_param"], safe="")
    sealed = (await talking.http.get(path)).content
    assert decrypt(sealed, key_of(media["aes_key"])) == PICTURE


@pytest.mark.parametrize(
    "fields",
    [
        {"filesize": len(PICTURE)},
        {"rawsize": -1},
        {"rawsize": "1404"},
        {"media_type": 5},
        {"aeskey": "MDAx"},
        {"filekey": "x"},
        {"rawfilemd5": ""},
        {"no_need_thumb": False},
        {"thumb_rawsize": 1},
    ],
)
async def test_what_is_asked_for_an_upload_is_checked(talking: ILinkClient, fields: dict[str, Any]):
    _, result = await talking.upload_url(PICTURE, "image", bytes(16), **fields)
    assert result == {"ret": -2, "errmsg": "invalid arguments"}
    assert len(await talking.violations()) == 1


async def test_an_upload_for_somebody_else_is_ret_1(talking: ILinkClient):
    _, result = await talking.upload_url(PICTURE, "image", bytes(16), to_user_id="test")
    assert result == {"ret": -1}
    assert len(await talking.violations()) == 1


async def test_a_small_picture_gets_a_place_of_its_own(talking: ILinkClient):
    thumb, key = sample("thumb.jpg"), bytes(range(16))
    fields = {
        "no_need_thumb": False,
        "thumb_rawsize": len(thumb),
        "thumb_rawfilemd5": hashlib.md5(thumb).hexdigest(),
        "thumb_filesize": len(thumb) // 16 * 16 + 16,
    }
    _, result = await talking.upload_url(PICTURE, "image", key, **fields)
    assert (await talking.put(result["thumb_upload_full_url"], encrypt(thumb, key))).status_code == 200
    assert (await talking.put(result["upload_full_url"], encrypt(PICTURE, key))).status_code == 200
    assert await talking.violations() == []


@pytest.mark.parametrize(
    ("mode", "keys"),
    [
        ("full", {"ret", "upload_full_url"}),
        ("param", {"ret", "upload_param"}),
        ("none", {"ret"}),
    ],
)
async def test_a_place_is_told_as_a_url_as_a_text_or_not(talking: ILinkClient, mode: str, keys: set[str]):
    await talking.control("settings", upload_url=mode)
    _, result = await talking.upload_url(PICTURE, "image", bytes(16))
    assert result.keys() == keys


async def test_a_file_may_be_too_large(talking: ILinkClient):
    await talking.control("settings", media_limit=1000)
    _, result = await talking.upload_url(PICTURE, "image", bytes(16))
    assert result == {"ret": -1, "errmsg": "file too large"}


async def test_a_url_of_ones_own_does_not_do_for_large_files(talking: ILinkClient):
    key, data = bytes(range(16)), bytes(100_000)
    filekey, result = await talking.upload_url(data, "file", key)
    param = quote(result["upload_param"], safe="")
    own = f"/c2c/upload?encrypted_query_param={param}&filekey={filekey}"
    assert (await talking.put(own, encrypt(data, key))).status_code == 500
    assert (await talking.put(result["upload_full_url"], encrypt(data, key))).status_code == 200


KEY = bytes(range(16))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        PICTURE,
        encrypt(PICTURE, KEY)[:-16],
        encrypt(PICTURE, bytes(16)),
        encrypt(PICTURE[:-1] + b"x", KEY),
    ],
    ids=["nothing", "plain", "short", "other key", "other file"],
)
async def test_a_body_that_is_not_what_was_announced_is_refused(talking: ILinkClient, body: bytes):
    _, result = await talking.upload_url(PICTURE, "image", KEY)
    answer = await talking.put(result["upload_full_url"], body)
    assert (answer.status_code, answer.headers["x-error-message"]) == (400, "invalid data")
    assert len(await talking.violations()) == 1


async def test_put_and_a_place_that_nobody_gave_are_refused(talking: ILinkClient):
    _, result = await talking.upload_url(PICTURE, "image", KEY)
    assert (await talking.http.put(result["upload_full_url"])).status_code == 404
    assert (await talking.put("/c2c/upload?encrypted_query_param=x&filekey=y", b"")).status_code == 400
    assert len(await talking.violations()) == 2


@pytest.mark.parametrize(("mode", "status"), [("refuse", 400), ("no_header", 200)])
async def test_an_upload_may_fail_all_the_same(talking: ILinkClient, mode: str, status: int):
    await talking.control("settings", upload_answer=mode)
    _, result = await talking.upload_url(PICTURE, "image", KEY)
    answer = await talking.put(result["upload_full_url"], encrypt(PICTURE, KEY))
    assert answer.status_code == status
    assert "x-encrypted-param" not in answer.headers
    assert await talking.violations() == []


async def test_twice_500_and_then_it_works(talking: ILinkClient):
    order = {"endpoint": "cdn_upload", "kind": "status", "value": 500, "times": 2}
    await talking.http.post("/sim/fault", json=order)
    _, result = await talking.upload_url(PICTURE, "image", KEY)
    body = encrypt(PICTURE, KEY)
    assert [(await talking.put(result["upload_full_url"], body)).status_code for _ in range(3)] == [
        500,
        500,
        200,
    ]


# what the servers cannot prepare, and what nobody sees


async def test_a_picture_with_a_strange_item_is_not_prepared(talking: ILinkClient):
    media = await talking.upload(PICTURE, "image")
    strange = [
        image({**media, "encrypt_type": 0}),
        image({key: value for key, value in media.items() if key != "encrypt_type"}),
        image({**media, "full_url": "x"}),
        image({**media, "encrypt_query_param": "x"}),
        image(media, aeskey="00" * 16),
        {**image(media), "create_time_ms": 1},
        {**image(media), "is_completed": True},
    ]
    for item in strange:
        assert await talking.send(item) == {"ret": -2, "errmsg": "prepare failed"}
    assert len(await talking.violations()) == len(strange)
    assert await talking.seen("sent") == []


async def test_the_text_of_the_upload_is_not_that_of_the_file(talking: ILinkClient):
    _, result = await talking.upload_url(PICTURE, "image", KEY)
    await talking.put(result["upload_full_url"], encrypt(PICTURE, KEY))
    media = {"encrypt_query_param": result["upload_param"], "aes_key": "x", "encrypt_type": 1}
    assert (await talking.send(image(media)))["ret"] == -2
    assert len(await talking.violations()) == 1


async def test_a_short_key_or_another_kind_is_taken_and_seen_by_nobody(talking: ILinkClient):
    media = await talking.upload(PICTURE, "image")
    short = base64.b64encode(key_of(media["aes_key"])).decode()
    assert "message_id" in await talking.send(image({**media, "aes_key": short}))
    as_file = {"media": media, "file_name": "a.jpg", "len": str(len(PICTURE))}
    assert "message_id" in await talking.send({"type": 4, "file_item": as_file})
    assert [one["delivered"] for one in await talking.seen("sent")] == [False, False]
    assert len(await talking.violations()) == 2


async def test_a_file_says_its_size_as_text(talking: ILinkClient):
    media = await talking.upload(PICTURE, "file")
    item = {"media": media, "file_name": "a.jpg", "len": len(PICTURE)}
    assert "message_id" in await talking.send({"type": 4, "file_item": item})
    assert await talking.violations() == ["sendmessage: file_item.len is not the text of the file's size"]


async def test_the_size_of_a_picture_is_that_of_the_ciphertext(talking: ILinkClient):
    media = await talking.upload(PICTURE, "image")
    await talking.send(image(media, mid_size=len(PICTURE)))
    assert len(await talking.violations()) == 1


async def test_a_file_for_one_person_is_none_for_another(sim: Simulator, talking: ILinkClient):
    media = await talking.upload(PICTURE, "image")
    async with ILinkClient(sim.url) as other:
        await other.log_in("wife")
        await other.control("say", **{"from": "wife", "text": "hi"})
        await other.new()
        assert (await other.send(image(media)))["ret"] == -2


async def test_a_large_file_is_not_kept_in_memory(talking: ILinkClient):
    data = bytes(5_000_000)
    media = await talking.upload(data, "file")
    item = {"media": media, "file_name": "a.bin", "len": str(len(data))}
    assert (await talking.send({"type": 4, "file_item": item}))["ret"] == 0
    [sent] = await talking.seen("sent")
    assert sent["sha256"] == hashlib.sha256(data).hexdigest()


# hostile answers


@pytest.mark.parametrize(
    ("kind", "value", "size"),
    [("huge", 3_000_000, 3_000_000), ("deep", 5000, 10_010), ("digits", 5000, 5026)],
)
async def test_answers_that_are_too_much(bound: ILinkClient, kind: str, value: int, size: int):
    await bound.http.post("/sim/fault", json={"endpoint": "getupdates", "kind": kind, "value": value})
    answer = await bound.post("getupdates", get_updates_buf="")
    assert len(answer.content) in range(size - 20, size + 20)
