"""From iLink's messages to ours: every item, exact numbers, and one key for a message under whatever id."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wechat.ilink.entries import (
    BOT,
    KEY,
    KEY24,
    ME,
    NOW,
    WROTE,
    entry,
    file,
    image,
    media,
    text,
    video,
    voice,
)
from tests.unit.wechat.test_fields import ANYTHING
from wx2mqtt.model import ChatKind, Kind, Message
from wx2mqtt.wechat.ilink.messages import Letter, letter
from wx2mqtt.words import Language


def read(raw: dict[str, Any], language: Language = "en") -> Letter:
    found = letter(raw, BOT, language, NOW)
    assert found is not None
    return found


def only(raw: dict[str, Any], language: Language = "en") -> Message:
    (found,) = read(raw, language).messages
    return found


def test_a_text() -> None:
    found = read(entry(text("开灯 ☀😀")))
    assert (found.sender, found.token, found.time) == (ME, "AARzSECRET1", WROTE)
    (message,) = found.messages
    assert (message.kind, message.text, message.id) == (Kind.TEXT, "开灯 ☀😀", "7500000000000000101")
    assert (message.chat, message.sender, message.chat_kind) == (ME, ME, ChatKind.FRIEND)
    assert not message.from_self
    assert (message.time, message.detail, message.media) == (WROTE, {}, None)


def test_a_voice_says_what_wechat_heard_in_it() -> None:
    message = only(entry(voice()))
    assert (message.kind, message.text) == (Kind.VOICE, "开灯")
    assert message.detail == {"duration": 2.32, "transcript": True}
    assert message.media is not None
    assert message.media.mime == "audio/silk"


def test_a_voice_that_nobody_understood_is_a_voice() -> None:
    message = only(entry(voice(text="")), "zh")
    assert (message.text, message.detail) == ("[语音]", {"duration": 2.32})


def test_a_file_is_told_with_name_and_size() -> None:
    message = only(entry(file(md5="5d41402abc4b2a76b9719d911017c592")))
    assert (message.kind, message.text) == (Kind.FILE, "[file] report.pdf")
    assert message.detail == {"name": "report.pdf", "size": 5}
    assert message.media is not None
    assert (message.media.name, message.media.size) == ("report.pdf", 5)
    assert message.media.locator["md5"] == "5d41402abc4b2a76b9719d911017c592"


@pytest.mark.parametrize(("length", "seconds"), [(12_000, 12.0), (1, 1.0), (999, 999.0), (1000, 1.0)])
def test_the_length_of_a_video_is_read_in_either_unit(length: int, seconds: float) -> None:
    assert only(entry(video(play_length=length))).detail == {"duration": seconds}


def test_a_picture_and_a_video_have_small_pictures() -> None:
    for item in (image(thumb_media=media()), video(thumb_media=media())):
        message = only(entry(item))
        assert message.media is not None
        assert message.thumbnail is not None
    assert only(entry(image())).thumbnail is None


@pytest.mark.parametrize("number", [0, 11, 12, 99, -1, "x", None])
def test_an_unknown_item_is_told_as_one(number: object) -> None:
    message = only(entry({"type": number, "new_item": {"a": 1}}))
    assert message.kind is Kind.UNSUPPORTED
    assert message.text == "[a message that a bot is not shown]"


@pytest.mark.parametrize("items", [[], None, "x", [None], [5]])
def test_a_message_without_items_is_not_lost(items: object) -> None:
    assert only(entry(item_list=items)).kind is Kind.UNSUPPORTED


def test_every_item_of_a_message_is_one() -> None:
    found = read(entry(text("one"), image(), text("one"))).messages
    assert [one.id for one in found] == [
        "7500000000000000101",
        "7500000000000000101.2",
        "7500000000000000101.3",
    ]
    assert [one.kind for one in found] == [Kind.TEXT, Kind.IMAGE, Kind.TEXT]
    assert len({one.key for one in found}) == 3


def test_numbers_above_two_to_the_53_stay_exact() -> None:
    for number in (2**53 + 1, 2**64 - 1, str(2**64 - 1)):
        assert only(entry(message_id=number)).id == str(number)


def test_without_a_number_of_its_own_it_has_that_of_its_item_or_its_key() -> None:
    assert only(entry(text(msg_id="77"), message_id=0)).id == "77"
    message = only(entry(message_id=None))
    assert message.id == message.key


@pytest.mark.parametrize("changes", [{"message_type": 2}, {"message_type": 0}, {"from_user_id": BOT}])
def test_what_no_person_wrote_is_left_out(changes: dict[str, Any]) -> None:
    assert letter(entry(**changes), BOT, "en", NOW) is None


def test_who_does_not_say_what_they_are_is_a_person() -> None:
    raw = entry()
    del raw["message_type"]
    assert letter(raw, BOT, "en", NOW) is not None


def test_nobody_wrote_it_is_an_error() -> None:
    with pytest.raises(ValueError):
        letter(entry(from_user_id=""), BOT, "en", NOW)


@pytest.mark.parametrize("told", [0, -5, 1 << 60, "x", None, 1.5])
def test_a_time_that_is_none_is_now(told: object) -> None:
    found = read(entry(create_time_ms=told))
    assert found.time == 0
    assert found.messages[0].time == NOW


# the key (ilink 4.5)


def key(raw: dict[str, Any]) -> str:
    return only(raw).key


REDELIVERED: dict[str, Any] = {
    "message_id": 1,
    "seq": 99,
    "context_token": "AARzSECRET2",
    "update_time_ms": 5,
    "session_id": "x",
}


@pytest.mark.parametrize("item", [text(), image(), voice(), file(), video()])
def test_a_message_that_comes_again_under_a_new_id_has_its_old_key(item: dict[str, Any]) -> None:
    assert key(entry(item)) == key(entry(item, **REDELIVERED))


def test_the_address_of_bytes_may_be_another_when_it_comes_again() -> None:
    again = media(full_url="https://novac2c.cdn.weixin.qq.com/c2c/download?other", encrypt_query_param="P2")
    assert key(entry(image())) == key(entry(image(media=again), **REDELIVERED))


@pytest.mark.parametrize(
    "changes",
    [
        {"create_time_ms": WROTE + 1},
        {"from_user_id": "o9cq80other@im.wechat"},
        {"item_list": [text("heating off")]},
        {"item_list": [text("heating on", ref_msg={"svr_id": 5})]},
        {"item_list": [text(), text()]},
    ],
)
def test_another_message_has_another_key(changes: dict[str, Any]) -> None:
    assert key(entry()) not in {one.key for one in read(entry(**changes)).messages}


def test_two_pictures_at_once_have_two_keys() -> None:
    other = media(aes_key=KEY24)
    assert key(entry(image())) != key(entry(image(media=other)))


def test_without_a_time_the_id_tells_messages_apart() -> None:
    assert key(entry(create_time_ms=0)) != key(entry(create_time_ms=0, number=5))
    assert key(entry(create_time_ms=0)) == key(entry(create_time_ms=0))


# keys of bytes


def test_the_key_of_bytes_is_in_the_locator_whatever_its_form() -> None:
    for item in (
        image(aeskey=KEY.hex()),
        image(media=media(aes_key=KEY24)),
        file(),
        file(media=media(aes_key=KEY24)),
    ):
        found = only(entry(item)).media
        assert found is not None
        assert found.locator["key"] == KEY.hex()


def test_a_pictures_own_key_wins() -> None:
    found = only(entry(image(aeskey="ff" * 16))).media
    assert found is not None
    assert found.locator["key"] == "ff" * 16


def test_a_picture_without_a_key_is_not_encrypted_and_nothing_else_is_of_use_without_one() -> None:
    bare = media(aes_key="")
    found = only(entry(image(media=bare))).media
    assert found is not None
    assert "key" not in found.locator
    for item in (voice(media=bare), file(media=bare), video(media=bare)):
        assert only(entry(item)).media is None


def test_bytes_with_a_key_that_nobody_can_read_are_not_to_be_had() -> None:
    bad = media(aes_key="bm8ga2V5")
    for item in (image(aeskey="x", media=media(aes_key="")), image(media=bad), file(media=bad)):
        assert only(entry(item)).media is None


def test_bytes_without_an_address_are_not_to_be_had() -> None:
    nowhere = media(full_url="", encrypt_query_param="")
    assert only(entry(image(media=nowhere))).media is None
    assert only(entry(file(media={}))).media is None


def test_nothing_secret_is_shown() -> None:
    found = read(entry(image()))
    assert "SECRET" not in repr(found)
    assert KEY.hex() not in repr(found)


# whatever comes

SUBS = ["text_item", "image_item", "voice_item", "file_item", "video_item", "ref_msg", "type", "msg_id"]
FIELDS = ["from_user_id", "message_id", "create_time_ms", "message_type", "item_list", "context_token", "seq"]


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
def test_no_fields_make_it_fail_otherwise(changes: dict[str, Any]) -> None:
    raw = json.loads(json.dumps(entry(**changes)))
    try:
        found = letter(raw, BOT, "en", NOW)
    except ValueError:
        return
    for message in found.messages if found else ():
        assert message.id
        assert message.key


@given(st.lists(st.dictionaries(st.sampled_from(SUBS), ANYTHING), max_size=3))
def test_no_items_make_it_fail(items: list[dict[str, Any]]) -> None:
    raw = json.loads(json.dumps(entry(item_list=items)))
    found = read(raw)
    assert len(found.messages) == max(1, len(items))


@given(
    st.integers(1, 5),
    st.dictionaries(st.text(max_size=5) | st.sampled_from(["media", "text", "len"]), ANYTHING),
)
def test_no_item_makes_it_fail(number: int, sub: dict[str, Any]) -> None:
    names = ["text_item", "image_item", "voice_item", "file_item", "video_item"]
    only(json.loads(json.dumps(entry({"type": number, names[number - 1]: sub}))))


README = (Path(__file__).parents[4] / "README.md").read_text()


@pytest.mark.parametrize(
    ("item", "keys"),
    [
        (voice(), {"duration", "transcript"}),
        (video(), {"duration"}),
        (file(), {"name", "size"}),
        (text(ref_msg={"svr_id": 5, "message_item": text()}), {"id", "kind", "text"}),
        ({"type": 99}, {"type"}),
    ],
)
def test_what_is_told_of_each_kind_stands_in_the_readme(item: dict[str, Any], keys: set[str]) -> None:
    message = only(entry(item))
    (row,) = re.findall(rf"^\| `{message.kind}` \|.*$", README, re.MULTILINE)
    assert set(message.detail) == keys <= set(re.findall(r"`(\w+)`", row))
