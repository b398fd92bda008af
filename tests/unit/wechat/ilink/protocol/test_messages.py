"""Received messages: every type of item and exact numbers.

Also quotes: of a whole message, of an id, and of a part of a text (ilink 5.4).
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
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
from tests.unit.wechat.test_json_reader import ANYTHING
from wx2mqtt.i18n import Language
from wx2mqtt.model import ChatKind, Kind, Message
from wx2mqtt.wechat.ilink.protocol.messages import (
    Quote,
    QuotePart,
    ReceivedMessage,
    read_message,
    read_quote,
    selected_text,
)


def messages_of(received: ReceivedMessage) -> list[Message]:
    return [item.message for item in received.items]


def read(raw: dict[str, Any], language: Language = "en") -> ReceivedMessage:
    result = read_message(raw, BOT, language, NOW)
    assert result is not None
    return result


def only(raw: dict[str, Any], language: Language = "en") -> Message:
    (result,) = messages_of(read(raw, language))
    return result


def test_a_text() -> None:
    result = read(entry(text("开灯 ☀😀")))
    assert (result.sender, result.context_token, result.time) == (ME, "AARzSECRET1", WROTE)
    (message,) = messages_of(result)
    assert (message.kind, message.text, message.id) == (Kind.TEXT, "开灯 ☀😀", "7500000000000000101")
    assert (message.chat, message.sender, message.chat_kind) == (ME, ME, ChatKind.FRIEND)
    assert not message.from_self
    assert (message.time, message.detail, message.media) == (WROTE, {}, None)


def test_the_text_of_a_voice_message_is_the_transcript() -> None:
    message = only(entry(voice()))
    assert (message.kind, message.text) == (Kind.VOICE, "开灯")
    assert message.detail == {"duration": 2.32, "transcript": True}
    assert message.media is not None
    assert message.media.mime == "audio/silk"


def test_a_voice_that_nobody_understood_is_a_voice() -> None:
    message = only(entry(voice(text="")), "zh")
    assert (message.text, message.detail) == ("[语音]", {"duration": 2.32})


def test_a_file_has_its_name_and_size() -> None:
    message = only(entry(file(md5="5d41402abc4b2a76b9719d911017c592")))
    assert (message.kind, message.text) == (Kind.FILE, "[file] report.pdf")
    assert message.detail == {"name": "report.pdf", "size": 5}
    assert message.media is not None
    assert (message.media.name, message.media.size) == ("report.pdf", 5)
    assert message.media.locator["md5"] == "5d41402abc4b2a76b9719d911017c592"


@every_row(("length", "seconds"), [(12_000, 12.0), (1, 1.0), (999, 999.0), (1000, 1.0)])
def test_the_length_of_a_video_is_read_in_either_unit(length: int, seconds: float) -> None:
    assert only(entry(video(play_length=length))).detail == {"duration": seconds}


def test_a_picture_and_a_video_have_small_pictures() -> None:
    for item in (image(thumb_media=media()), video(thumb_media=media())):
        message = only(entry(item))
        assert message.media is not None
        assert message.thumbnail is not None
    assert only(entry(image())).thumbnail is None


@every_row("number", [0, 11, 12, 99, -1, "x", None])
def test_an_unknown_item_becomes_an_unsupported_message(number: object) -> None:
    message = only(entry({"type": number, "new_item": {"a": 1}}))
    assert message.kind is Kind.UNSUPPORTED
    assert message.text == "[a message that a bot is not shown]"


@every_row("items", [[], None, "x", [None], [5]])
def test_a_message_without_items_is_not_lost(items: object) -> None:
    assert only(entry(item_list=items)).kind is Kind.UNSUPPORTED


@pytest.mark.parametrize("changes", [{"message_type": 2}, {"message_type": 0}, {"from_user_id": BOT}])
def test_what_no_person_wrote_is_left_out(changes: dict[str, Any]) -> None:
    assert read_message(entry(**changes), BOT, "en", NOW) is None


def test_who_does_not_say_what_they_are_is_a_person() -> None:
    raw = entry()
    del raw["message_type"]
    assert read_message(raw, BOT, "en", NOW) is not None


def test_nobody_wrote_it_is_an_error() -> None:
    with pytest.raises(ValueError):
        read_message(entry(from_user_id=""), BOT, "en", NOW)


@every_row("time", [0, -5, 1 << 60, "x", None, 1.5])
def test_a_time_that_is_none_is_now(time: object) -> None:
    result = read(entry(create_time_ms=time))
    assert result.time == 0
    assert messages_of(result)[0].time == NOW


# keys of bytes


def test_the_key_of_bytes_is_in_the_locator_whatever_its_form() -> None:
    for item in (
        image(aeskey=KEY.hex()),
        image(media=media(aes_key=KEY24)),
        file(),
        file(media=media(aes_key=KEY24)),
    ):
        result = only(entry(item)).media
        assert result is not None
        assert result.locator["key"] == KEY.hex()


def test_a_pictures_own_key_wins() -> None:
    result = only(entry(image(aeskey="ff" * 16))).media
    assert result is not None
    assert result.locator["key"] == "ff" * 16


def test_a_picture_without_a_key_is_not_encrypted_and_nothing_else_is_of_use_without_one() -> None:
    bare = media(aes_key="")
    result = only(entry(image(media=bare))).media
    assert result is not None
    assert "key" not in result.locator
    for item in (voice(media=bare), file(media=bare), video(media=bare)):
        assert only(entry(item)).media is None


def test_bytes_with_a_key_that_nobody_can_read_are_not_to_be_had() -> None:
    bad = media(aes_key="bm8ga2V5")
    for item in (image(aeskey="x", media=media(aes_key="")), image(media=bad), file(media=bad)):
        assert only(entry(item)).media is None


def test_bytes_without_an_address_are_not_to_be_had() -> None:
    without_address = media(full_url="", encrypt_query_param="")
    assert only(entry(image(media=without_address))).media is None
    assert only(entry(file(media={}))).media is None


def test_nothing_secret_is_shown() -> None:
    result = read(entry(image()))
    assert "SECRET" not in repr(result)
    assert KEY.hex() not in repr(result)


# whatever comes

SUBS = ["text_item", "image_item", "voice_item", "file_item", "video_item", "ref_msg", "type", "msg_id"]


FIELDS = ["from_user_id", "message_id", "create_time_ms", "message_type", "item_list", "context_token", "seq"]


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
def test_no_fields_make_it_fail_otherwise(changes: dict[str, Any]) -> None:
    raw = json.loads(json.dumps(entry(**changes)))
    try:
        result = read_message(raw, BOT, "en", NOW)
    except ValueError:
        return
    for message in messages_of(result) if result else ():
        assert message.id
        assert message.key


@given(st.lists(st.dictionaries(st.sampled_from(SUBS), ANYTHING), max_size=3))
def test_no_items_make_it_fail(items: list[dict[str, Any]]) -> None:
    raw = json.loads(json.dumps(entry(item_list=items)))
    result = read(raw)
    assert len(messages_of(result)) == max(1, len(items))


@given(
    st.integers(1, 5),
    st.dictionaries(st.text(max_size=5) | st.sampled_from(["media", "text", "len"]), ANYTHING),
)
def test_no_item_makes_it_fail(number: int, sub: dict[str, Any]) -> None:
    names = ["text_item", "image_item", "voice_item", "file_item", "video_item"]
    only(json.loads(json.dumps(entry({"type": number, names[number - 1]: sub}))))


KINDS = (Path(__file__).parents[5] / "docs/en/reference/kinds.md").read_text(encoding="utf-8")


@every_row(
    ("item", "keys"),
    [
        (voice(), {"duration", "transcript"}),
        (video(), {"duration"}),
        (file(), {"name", "size"}),
        (text(ref_msg={"svr_id": 5, "message_item": text()}), {"id", "kind", "text"}),
        ({"type": 99}, {"type"}),
    ],
)
def test_the_details_of_each_kind_are_documented(item: dict[str, Any], keys: set[str]) -> None:
    message = only(entry(item))
    (row,) = re.findall(rf"^\| `{message.kind}` \|.*$", KINDS, re.MULTILINE)
    assert set(message.detail) == keys <= set(re.findall(r"`(\w+)`", row))


WHOLE = "one two one two three one"


def md5(content: str) -> str:
    return hashlib.md5(content.encode()).hexdigest()


def part(start: str, end: str, begin: int, stop: int, hashed: str = "") -> QuotePart:
    return QuotePart(start=start, end=end, start_index=begin, end_index=stop, md5=hashed)


def read_quotes(**ref: Any) -> Quote:
    result = read_quote(text("off", ref_msg=ref), "en")
    assert result is not None
    return result


def test_a_text_that_answers_nothing_is_no_quote() -> None:
    assert read_quote(text("off"), "en") is None
    assert read_quote(text("off", ref_msg={}), "en") is None


def test_older_phones_bring_what_was_answered() -> None:
    result = read_quotes(message_item=text("door open", msg_id="55"), title="door")
    assert result.detail() == {"id": "55", "kind": "text", "text": "door open"}


def test_newer_ones_bring_its_id_alone() -> None:
    result = read_quotes(svr_id=2**63 + 1)
    assert result.detail() == {"id": str(2**63 + 1)}
    assert (result.kind, result.text) == (None, "")


@every_row(
    ("item", "kind", "content"),
    [
        (image(), "image", "[image]"),
        (voice(), "voice", "开灯"),
        (voice(text=""), "voice", "[voice]"),
        (file(), "file", "[file] report.pdf"),
        ({"type": 99}, "unsupported", "[a message that a bot is not shown]"),
    ],
)
def test_a_quoted_item_becomes_one_line_of_text(item: dict[str, Any], kind: str, content: str) -> None:
    assert read_quotes(message_item=item, svr_id=5).detail() == {"id": "5", "kind": kind, "text": content}


def test_a_title_is_better_than_nothing() -> None:
    assert read_quotes(title=" door open ").detail() == {"text": "door open"}


def test_what_was_answered_is_cut() -> None:
    assert len(str(read_quotes(message_item=text("x" * 5000)).detail()["text"])) == 1000


@every_row(
    ("wanted", "content"),
    [
        (part("one", "two", 0, 0), "one two"),
        (part("one", "two", 1, 1), "one two"),  # the end is counted in the whole text
        (part("two", "three", 0, 0), "two one two three"),
        (part("one", "one", 2, 2), "one"),
        (part("one", "two", 0, 0, md5("one two")), "one two"),
        (part("one", "two", 0, 1, md5("one two one two")), "one two one two"),
        (part("one", "two", 1, 0, md5("one two")), "one two"),  # counted from behind the start
        (part("one", "two", 1, 0, md5("one two").upper().lower()), "one two"),
    ],
)
def test_a_part_is_found_either_way_the_end_is_counted(wanted: QuotePart, content: str) -> None:
    assert selected_text(WHOLE, wanted) == content


@every_row(
    "wanted",
    [
        part("four", "two", 0, 0),
        part("one", "four", 0, 0),
        part("one", "two", 3, 0),
        part("three", "two", 0, 0),
        part("one", "two", -1, 0),
        part("one", "two", 0, -1),
        part("one", "two", 10**9, 0),
        part("one", "two", 0, 0, md5("something else")),
    ],
)
def test_a_part_that_is_not_in_the_text_is_not_selected(wanted: QuotePart) -> None:
    assert selected_text(WHOLE, wanted) is None


def test_the_quoted_part_is_published_else_the_whole_text() -> None:
    fields = {
        "start": "two",
        "end": "three",
        "startindex": 1,
        "endindex": 0,
        "quotemd5": md5("two three").upper(),
    }
    assert read_quotes(message_item=text(WHOLE), partial_text=fields).detail()["text"] == "two three"
    fields["quotemd5"] = md5("x")
    assert read_quotes(message_item=text(WHOLE), partial_text=fields).detail()["text"] == WHOLE


@given(st.text(max_size=30), st.text(max_size=3), st.text(max_size=3), st.integers(-2, 5), st.integers(-2, 5))
def test_a_part_begins_and_ends_as_it_must(whole: str, start: str, end: str, begin: int, stop: int) -> None:
    result = selected_text(whole, part(start, end, begin, stop))
    if result is not None:
        assert result.startswith(start)
        assert result.endswith(end)
        assert result in whole


@given(st.text(min_size=1, max_size=60), st.data())
def test_whatever_somebody_marked_is_found(whole: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start, len(whole) - 1))
    first, last = whole[start], whole[end]
    wanted = part(
        first, last, whole[:start].count(first), whole[:end].count(last), md5(whole[start : end + 1])
    )
    assert selected_text(whole, wanted) == whole[start : end + 1]


@given(st.dictionaries(st.sampled_from(["title", "message_item", "svr_id", "partial_text"]), ANYTHING))
def test_no_reference_makes_it_fail(ref: dict[str, Any]) -> None:
    result = read_quote(text("off", ref_msg=ref), "en")
    if result is not None:
        result.detail()


def test_a_quote_of_nothing_known_says_nothing() -> None:
    assert Quote(kind=Kind.TEXT).detail() == {"kind": "text"}
