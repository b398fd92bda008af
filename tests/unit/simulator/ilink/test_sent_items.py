"""The item that a bot sends (ilink 5.2, 8.2)."""

from __future__ import annotations

import base64
import random

import pytest

from wx2mqtt.simulator.ilink.aes import EncryptedBytes, ciphertext_size, decrypt
from wx2mqtt.simulator.ilink.cdn_storage import MAX_KEPT_FILES, CdnFile, CdnStorage, MessageFiles, UploadSlot
from wx2mqtt.simulator.ilink.sent_items import BadItem, read_item
from wx2mqtt.simulator.media import GivenBytes

KEY = bytes(range(16))
DATA = b"\xff\xd8\xff picture"


@pytest.fixture
def storage():
    return CdnStorage(random.Random(1))


def uploaded(storage, media_type=1, *, thumb=False):
    cipher = EncryptedBytes(GivenBytes(DATA), KEY)
    slot = UploadSlot(
        param=storage.new_param(),
        filekey="0" * 32,
        media_type=media_type,
        person="me",
        key=KEY,
        size=len(DATA),
        md5=GivenBytes(DATA).md5,
        ciphertext_size=cipher.size,
        is_thumbnail=thumb,
    )
    storage.reserve(slot)
    param = storage.put(CdnFile(content=cipher, slot=slot, plain=decrypt(cipher, KEY)))
    return {
        "encrypt_query_param": param,
        "aes_key": base64.b64encode(KEY.hex().encode()).decode(),
        "encrypt_type": 1,
    }


def image(media, **fields):
    return {"type": 2, "image_item": {"media": media, "mid_size": ciphertext_size(len(DATA)), **fields}}


def test_a_text_is_what_it_says(storage):
    item = read_item({"type": 1, "text_item": {"text": "x"}}, storage, "me")
    assert (item.kind, item.text, item.visible, item.media, item.sha256) == ("text", "x", True, None, "")


def test_a_picture_brings_its_file(storage):
    item = read_item(image(uploaded(storage)), storage, "me")
    assert (item.kind, item.visible, item.failure, item.violation, item.oddities) == (
        "image",
        True,
        "",
        "",
        (),
    )
    assert item.sha256 == GivenBytes(DATA).sha256
    assert item.media is not None
    assert (item.media.size, item.media.mime) == (len(DATA), "image/jpeg")


def test_it_belongs_to_the_person_it_was_uploaded_for(storage):
    media = uploaded(storage)
    assert read_item(image(media), storage, "me").failure == ""
    assert read_item(image(media), storage, "wife").failure


def test_what_came_from_a_person_is_not_what_a_bot_uploaded(storage):
    param, _ = storage.seal(GivenBytes(DATA))
    assert read_item(image({**uploaded(storage), "encrypt_query_param": param}), storage, "me").failure


@pytest.mark.parametrize("media_type", [2, 3])
def test_as_another_kind_nobody_sees_it(storage, media_type):
    item = read_item(image(uploaded(storage, media_type)), storage, "me")
    assert (item.visible, item.failure) == (False, "")
    assert item.violation


def test_the_small_picture_is_not_the_picture(storage):
    assert read_item(image(uploaded(storage, thumb=True)), storage, "me").violation


def test_a_video_and_a_file(storage):
    media = uploaded(storage, 2)
    video = {"type": 5, "video_item": {"media": media, "video_size": ciphertext_size(len(DATA))}}
    assert read_item(video, storage, "me").visible
    result = {"media": uploaded(storage, 3), "file_name": "a", "len": str(len(DATA))}
    assert read_item({"type": 4, "file_item": result}, storage, "me").text == "a"
    assert not read_item({"type": 4, "file_item": {**result, "len": len(DATA)}}, storage, "me").visible


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"type": "1"},
        {"type": [1]},
        {"type": 1, "text_item": "x"},
        {"type": 2, "image_item": {}},
        {"type": 4, "file_item": {"media": {}}},
    ],
)
def test_what_is_no_item(storage, value):
    with pytest.raises(BadItem):
        read_item(value, storage, "me")


def test_of_very_many_files_places_and_items_the_oldest_go(storage):
    attachments = MessageFiles()
    first = storage.put(CdnFile(content=GivenBytes(b"")))
    for number in range(MAX_KEPT_FILES):
        storage.put(CdnFile(content=GivenBytes(b"")))
        attachments.put(str(number), GivenBytes(b""))
        attachments.record_sent_item(str(number), {})
    attachments.put("last", GivenBytes(b""))
    attachments.record_sent_item("last", {})
    assert first not in storage.files
    assert "0" not in attachments.plain
    assert "0" not in attachments.items
    assert len(storage.files) == len(attachments.plain) == len(attachments.files) == MAX_KEPT_FILES
