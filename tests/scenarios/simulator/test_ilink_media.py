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


async def receive_media(client: ILinkClient, kind: str, **values: Any) -> tuple[str, dict[str, Any]]:
    """Lets somebody send a message of this kind; returns its id and the object of its last item."""
    [msg_id] = (await client.control("say", kind=kind, **values))["msg_ids"]
    [message] = await client.new()
    item = message["item_list"][-1]
    return msg_id, item[next(key for key in item if key.endswith("_item"))]


async def file_on_phone(client: ILinkClient, msg_id: str) -> bytes:
    """Returns the bytes of a file as the phone has them."""
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
async def test_the_key_of_a_picture_can_stand_in_each_of_its_fields(
    bound_client: ILinkClient, kind: str, keys: tuple[int | None, int | None]
):
    msg_id, item = await receive_media(bound_client, kind)
    result = (item.get("aeskey"), item["media"].get("aes_key"))
    assert tuple(value and len(value) for value in result) == keys
    key = bytes.fromhex(item["aeskey"]) if "aeskey" in item else None
    data = await bound_client.download(item["media"], key)
    assert data == await file_on_phone(bound_client, msg_id)
    assert data.startswith(PICTURE)
    sealed = await bound_client.http.get(item["media"]["full_url"])
    assert item["mid_size"] == len(sealed.content)
    thumbnail = await bound_client.download(item["thumb_media"])
    assert thumbnail.startswith(sample("thumb.jpg"))
    assert await bound_client.violations() == []


@pytest.mark.parametrize(("kind", "length"), [("file", 44), ("file_24", 24)])
async def test_a_file_has_a_name_a_size_and_a_hash(bound_client: ILinkClient, kind: str, length: int):
    msg_id, item = await receive_media(bound_client, kind, text="说明书.pdf")
    data = await bound_client.download(item["media"])
    assert data == await file_on_phone(bound_client, msg_id)
    assert len(item["media"]["aes_key"]) == length
    assert item["file_name"] == "说明书.pdf"
    assert item["len"] == str(len(data))
    assert item["md5"] == hashlib.md5(data).hexdigest()


async def test_a_video(bound_client: ILinkClient):
    msg_id, item = await receive_media(bound_client, "video")
    data = await bound_client.download(item["media"])
    assert data == await file_on_phone(bound_client, msg_id)
    assert item["video_size"] == len(data) // 16 * 16 + 16
    assert item["video_md5"] == hashlib.md5(data).hexdigest()


@pytest.mark.parametrize("text", ["开灯", ""])
async def test_a_voice_is_silk_whatever_it_says_and_has_a_transcript_or_none(
    bound_client: ILinkClient, text: str
):
    msg_id, item = await receive_media(bound_client, "voice", text=text)
    data = await bound_client.download(item["media"])
    assert data == await file_on_phone(bound_client, msg_id)
    assert data.startswith(b"\x02#!SILK_V3")
    assert (item["encode_type"], item["sample_rate"]) == (4, 16000)
    assert item.get("text", "") == text


async def test_several_items_in_one_message(bound_client: ILinkClient):
    await bound_client.control("say", kind="several", text="sieh mal")
    [message] = await bound_client.new()
    assert [item["type"] for item in message["item_list"]] == [1, 2]


async def test_given_bytes_and_as_many_as_wanted(bound_client: ILinkClient):
    _, item = await receive_media(bound_client, "image", data=base64.b64encode(PICTURE).decode())
    assert await bound_client.download(item["media"], bytes.fromhex(item["aeskey"])) == PICTURE
    await bound_client.control("say", kind="file", text="{n}.bin", count=2, bytes_of=200_001)
    files = [message["item_list"][0]["file_item"] for message in await bound_client.new()]
    assert [file["len"] for file in files] == ["200001"] * 2
    first, other = [await bound_client.download(file["media"]) for file in files]
    assert len(first) == len(other) == 200_001
    assert first != other


async def test_a_file_without_a_byte(bound_client: ILinkClient):
    _, item = await receive_media(bound_client, "file", bytes_of=0)
    assert (item["len"], await bound_client.download(item["media"])) == ("0", b"")


async def test_a_wrong_key_a_bad_one_and_wrong_sizes(bound_client: ILinkClient):
    _, item = await receive_media(bound_client, "file", detail={"key": "wrong"})
    with pytest.raises(ValueError, match="padding"):
        await bound_client.download(item["media"])
    _, item = await receive_media(bound_client, "file", detail={"key": "bad"})
    assert len(base64.b64decode(item["media"]["aes_key"])) == 6
    _, item = await receive_media(bound_client, "file", detail={"size": 1, "md5": "0" * 32})
    assert (item["len"], item["md5"]) == ("1", "0" * 32)


async def test_a_url_that_the_client_builds_leads_to_the_file_unless_the_order_forbids_it(
    bound_client: ILinkClient,
):
    _, item = await receive_media(bound_client, "file", detail={"full_url": False})
    assert "full_url" not in item["media"]
    path = "/c2c/download?encrypted_query_param="
    built = path + quote(item["media"]["encrypt_query_param"], safe="")
    assert (await bound_client.http.get(built)).status_code == 200
    await bound_client.control("settings", own_urls=False)
    _, item = await receive_media(bound_client, "file")
    built = path + quote(item["media"]["encrypt_query_param"], safe="")
    assert (await bound_client.http.get(built)).status_code == 400
    assert (await bound_client.http.get(item["media"]["full_url"])).status_code == 200


async def test_a_full_url_in_some_messages_or_to_anywhere(bound_client: ILinkClient):
    await bound_client.control("settings", full_urls="never")
    assert "full_url" not in (await receive_media(bound_client, "file"))[1]["media"]
    await bound_client.control("settings", full_urls="sometimes")
    found = [(await receive_media(bound_client, "file"))[1]["media"] for _ in range(4)]
    assert {"full_url" in media for media in found} == {True, False}
    _, item = await receive_media(bound_client, "file", detail={"full_url": "http://169.254.169.254/"})
    assert item["media"]["full_url"] == "http://169.254.169.254/"


async def test_a_header_says_that_a_file_is_gone(bound_client: ILinkClient):
    msg_id, item = await receive_media(bound_client, "image")
    await bound_client.control("media", msg_id=msg_id)
    answer = await bound_client.http.get(item["media"]["full_url"])
    assert (answer.status_code, answer.headers["x-error-message"]) == (400, "file expired")
    await bound_client.control("media", msg_id=msg_id, gone=False)
    assert (await bound_client.http.get(item["media"]["full_url"])).status_code == 200
    assert await bound_client.violations() == []


async def test_asking_for_a_file_that_never_existed_is_a_violation(bound_client: ILinkClient):
    answer = await bound_client.http.get("/c2c/download?encrypted_query_param=x")
    assert answer.status_code == 400
    assert await bound_client.violations() == ["cdn_download: there is no such file"]


async def test_sending_the_token_to_the_cdn_is_a_violation(bound_client: ILinkClient):
    _, item = await receive_media(bound_client, "file")
    await bound_client.http.get(
        item["media"]["full_url"], headers={"Authorization": f"Bearer {bound_client.token}"}
    )
    assert await bound_client.violations() == ["cdn_download: the header authorization goes to the CDN"]


async def test_a_download_can_be_cut_off(bound_client: ILinkClient):
    _, item = await receive_media(bound_client, "file", bytes_of=100_000)
    await bound_client.http.post(
        "/sim/fault", json={"endpoint": "cdn_download", "kind": "truncate", "value": 1000}
    )
    with pytest.raises(httpx.RemoteProtocolError):
        await bound_client.download(item["media"])


async def test_the_file_of_a_quoted_message_can_be_downloaded(greeted_client: ILinkClient):
    msg_id, _ = await receive_media(greeted_client, "image")
    await greeted_client.control("say", kind="quote", text="das da", detail={"msg_id": msg_id})
    [message] = await greeted_client.new()
    quoted = message["item_list"][0]["ref_msg"]["message_item"]
    data = await greeted_client.download(quoted["image_item"]["media"])
    assert data == await file_on_phone(greeted_client, msg_id)


# to the person


def image_item(media: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": 2, "image_item": {"media": media, "mid_size": len(PICTURE) // 16 * 16 + 16, **fields}}


async def test_a_picture_a_video_and_a_file(greeted_client: ILinkClient):
    video, pdf = sample("video.mp4"), sample("file.pdf")
    await greeted_client.send(image_item(await greeted_client.upload(PICTURE, "image")))
    media = await greeted_client.upload(video, "video")
    await greeted_client.send(
        {"type": 5, "video_item": {"media": media, "video_size": len(video) // 16 * 16 + 16}}
    )
    media = await greeted_client.upload(pdf, "file", own_url=True)
    item = {"media": media, "file_name": "报告.pdf", "len": str(len(pdf))}
    result = await greeted_client.send({"type": 4, "file_item": item})
    sent = await greeted_client.seen("sent")
    assert [message["kind"] for message in sent] == ["image", "video", "file"]
    assert [message["sha256"] for message in sent] == [
        hashlib.sha256(data).hexdigest() for data in (PICTURE, video, pdf)
    ]
    assert sent[2]["media"] == {"name": "报告.pdf", "size": len(pdf), "mime": "application/pdf"}
    assert all(message["delivered"] for message in sent)
    assert await file_on_phone(greeted_client, str(result["message_id"])) == pdf
    assert await greeted_client.violations() == []


async def test_an_uploaded_file_can_be_downloaded(greeted_client: ILinkClient):
    media = await greeted_client.upload(PICTURE, "image")
    path = "/c2c/download?encrypted_query_param=" + quote(media["encrypt_query_param"], safe="")
    sealed = (await greeted_client.http.get(path)).content
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
async def test_each_field_of_an_upload_request_is_checked(
    greeted_client: ILinkClient, fields: dict[str, Any]
):
    _, result = await greeted_client.upload_url(PICTURE, "image", bytes(16), **fields)
    assert result == {"ret": -2, "errmsg": "invalid arguments"}
    assert len(await greeted_client.violations()) == 1


async def test_an_upload_for_somebody_else_is_ret_1(greeted_client: ILinkClient):
    _, result = await greeted_client.upload_url(PICTURE, "image", bytes(16), to_user_id="test")
    assert result == {"ret": -1}
    assert len(await greeted_client.violations()) == 1


async def test_a_thumbnail_gets_an_upload_location_of_its_own(greeted_client: ILinkClient):
    thumbnail, key = sample("thumb.jpg"), bytes(range(16))
    fields = {
        "no_need_thumb": False,
        "thumb_rawsize": len(thumbnail),
        "thumb_rawfilemd5": hashlib.md5(thumbnail).hexdigest(),
        "thumb_filesize": len(thumbnail) // 16 * 16 + 16,
    }
    _, result = await greeted_client.upload_url(PICTURE, "image", key, **fields)
    assert (
        await greeted_client.put(result["thumb_upload_full_url"], encrypt(thumbnail, key))
    ).status_code == 200
    assert (await greeted_client.put(result["upload_full_url"], encrypt(PICTURE, key))).status_code == 200
    assert await greeted_client.violations() == []


@pytest.mark.parametrize(
    ("mode", "keys"),
    [
        ("full", {"ret", "upload_full_url"}),
        ("param", {"ret", "upload_param"}),
        ("none", {"ret"}),
    ],
)
async def test_the_upload_location_comes_as_a_url_as_a_parameter_or_not_at_all(
    greeted_client: ILinkClient, mode: str, keys: set[str]
):
    await greeted_client.control("settings", upload_url=mode)
    _, result = await greeted_client.upload_url(PICTURE, "image", bytes(16))
    assert result.keys() == keys


async def test_a_file_may_be_too_large(greeted_client: ILinkClient):
    await greeted_client.control("settings", media_limit=1000)
    _, result = await greeted_client.upload_url(PICTURE, "image", bytes(16))
    assert result == {"ret": -1, "errmsg": "file too large"}


async def test_a_large_file_cannot_be_uploaded_to_a_url_that_the_client_builds(greeted_client: ILinkClient):
    key, data = bytes(range(16)), bytes(100_000)
    filekey, result = await greeted_client.upload_url(data, "file", key)
    param = quote(result["upload_param"], safe="")
    own = f"/c2c/upload?encrypted_query_param={param}&filekey={filekey}"
    assert (await greeted_client.put(own, encrypt(data, key))).status_code == 500
    assert (await greeted_client.put(result["upload_full_url"], encrypt(data, key))).status_code == 200


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
async def test_a_body_that_is_not_what_was_announced_is_refused(greeted_client: ILinkClient, body: bytes):
    _, result = await greeted_client.upload_url(PICTURE, "image", KEY)
    answer = await greeted_client.put(result["upload_full_url"], body)
    assert (answer.status_code, answer.headers["x-error-message"]) == (400, "invalid data")
    assert len(await greeted_client.violations()) == 1


async def test_put_and_an_unknown_upload_location_are_refused(greeted_client: ILinkClient):
    _, result = await greeted_client.upload_url(PICTURE, "image", KEY)
    assert (await greeted_client.http.put(result["upload_full_url"])).status_code == 404
    assert (await greeted_client.put("/c2c/upload?encrypted_query_param=x&filekey=y", b"")).status_code == 400
    assert len(await greeted_client.violations()) == 2


@pytest.mark.parametrize(("mode", "status"), [("refuse", 400), ("no_header", 200)])
async def test_an_upload_can_fail_by_order(greeted_client: ILinkClient, mode: str, status: int):
    await greeted_client.control("settings", upload_answer=mode)
    _, result = await greeted_client.upload_url(PICTURE, "image", KEY)
    answer = await greeted_client.put(result["upload_full_url"], encrypt(PICTURE, KEY))
    assert answer.status_code == status
    assert "x-encrypted-param" not in answer.headers
    assert await greeted_client.violations() == []


async def test_an_upload_works_after_two_ordered_500s(greeted_client: ILinkClient):
    order = {"endpoint": "cdn_upload", "kind": "status", "value": 500, "times": 2}
    await greeted_client.http.post("/sim/fault", json=order)
    _, result = await greeted_client.upload_url(PICTURE, "image", KEY)
    body = encrypt(PICTURE, KEY)
    assert [(await greeted_client.put(result["upload_full_url"], body)).status_code for _ in range(3)] == [
        500,
        500,
        200,
    ]


# what the servers cannot prepare, and what nobody sees


async def test_a_picture_with_a_malformed_item_is_not_delivered(greeted_client: ILinkClient):
    media = await greeted_client.upload(PICTURE, "image")
    strange = [
        image_item({**media, "encrypt_type": 0}),
        image_item({key: value for key, value in media.items() if key != "encrypt_type"}),
        image_item({**media, "full_url": "x"}),
        image_item({**media, "encrypt_query_param": "x"}),
        image_item(media, aeskey="00" * 16),
        {**image_item(media), "create_time_ms": 1},
        {**image_item(media), "is_completed": True},
    ]
    for item in strange:
        assert await greeted_client.send(item) == {"ret": -2, "errmsg": "prepare failed"}
    assert len(await greeted_client.violations()) == len(strange)
    assert await greeted_client.seen("sent") == []


async def test_an_upload_parameter_does_not_serve_as_a_download_parameter(greeted_client: ILinkClient):
    _, result = await greeted_client.upload_url(PICTURE, "image", KEY)
    await greeted_client.put(result["upload_full_url"], encrypt(PICTURE, KEY))
    media = {"encrypt_query_param": result["upload_param"], "aes_key": "x", "encrypt_type": 1}
    assert (await greeted_client.send(image_item(media)))["ret"] == -2
    assert len(await greeted_client.violations()) == 1


async def test_a_short_key_or_a_wrong_kind_is_accepted_and_never_shown(greeted_client: ILinkClient):
    media = await greeted_client.upload(PICTURE, "image")
    short = base64.b64encode(key_of(media["aes_key"])).decode()
    assert "message_id" in await greeted_client.send(image_item({**media, "aes_key": short}))
    as_file = {"media": media, "file_name": "a.jpg", "len": str(len(PICTURE))}
    assert "message_id" in await greeted_client.send({"type": 4, "file_item": as_file})
    assert [message["delivered"] for message in await greeted_client.seen("sent")] == [False, False]
    assert len(await greeted_client.violations()) == 2


async def test_a_file_says_its_size_as_text(greeted_client: ILinkClient):
    media = await greeted_client.upload(PICTURE, "file")
    item = {"media": media, "file_name": "a.jpg", "len": len(PICTURE)}
    assert "message_id" in await greeted_client.send({"type": 4, "file_item": item})
    assert await greeted_client.violations() == [
        "sendmessage: file_item.len is not the text of the file's size"
    ]


async def test_the_size_of_a_picture_is_that_of_the_ciphertext(greeted_client: ILinkClient):
    media = await greeted_client.upload(PICTURE, "image")
    await greeted_client.send(image_item(media, mid_size=len(PICTURE)))
    assert len(await greeted_client.violations()) == 1


async def test_a_file_for_one_person_is_none_for_another(sim: Simulator, greeted_client: ILinkClient):
    media = await greeted_client.upload(PICTURE, "image")
    async with ILinkClient(sim.url) as other:
        await other.log_in("wife")
        await other.control("say", **{"from": "wife", "text": "hi"})
        await other.new()
        assert (await other.send(image_item(media)))["ret"] == -2


async def test_a_large_file_is_not_kept_in_memory(greeted_client: ILinkClient):
    data = bytes(5_000_000)
    media = await greeted_client.upload(data, "file")
    item = {"media": media, "file_name": "a.bin", "len": str(len(data))}
    assert (await greeted_client.send({"type": 4, "file_item": item}))["ret"] == 0
    [sent] = await greeted_client.seen("sent")
    assert sent["sha256"] == hashlib.sha256(data).hexdigest()


# hostile answers


@pytest.mark.parametrize(
    ("kind", "value", "size"),
    [("huge", 3_000_000, 3_000_000), ("deep", 5000, 10_010), ("digits", 5000, 5026)],
)
async def test_an_answer_can_be_larger_than_a_client_expects(
    bound_client: ILinkClient, kind: str, value: int, size: int
):
    await bound_client.http.post("/sim/fault", json={"endpoint": "getupdates", "kind": kind, "value": value})
    answer = await bound_client.post("getupdates", get_updates_buf="")
    assert len(answer.content) in range(size - 20, size + 20)
