"""Replies: what was answered in full, by its id, and in part (ilink 5.4)."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wechat.ilink.entries import file, image, text, voice
from tests.unit.wechat.test_fields import ANYTHING
from wx2mqtt.model import Kind
from wx2mqtt.wechat.ilink.quotes import Part, Quote, quote, selected

WHOLE = "one two one two three one"


def md5(said: str) -> str:
    return hashlib.md5(said.encode()).hexdigest()


def part(start: str, end: str, begin: int, stop: int, hashed: str = "") -> Part:
    return Part(start=start, end=end, start_index=begin, end_index=stop, md5=hashed)


def read(**ref: Any) -> Quote:
    found = quote(text("off", ref_msg=ref), "en")
    assert found is not None
    return found


def test_a_text_that_answers_nothing_is_no_quote() -> None:
    assert quote(text("off"), "en") is None
    assert quote(text("off", ref_msg={}), "en") is None


def test_older_phones_bring_what_was_answered() -> None:
    found = read(message_item=text("door open", msg_id="55"), title="door")
    assert found.detail() == {"id": "55", "kind": "text", "text": "door open"}


def test_newer_ones_bring_its_id_alone() -> None:
    found = read(svr_id=2**63 + 1)
    assert found.detail() == {"id": str(2**63 + 1)}
    assert (found.kind, found.text) == (None, "")


@pytest.mark.parametrize(
    ("item", "kind", "said"),
    [
        (image(), "image", "[image]"),
        (voice(), "voice", "开灯"),
        (voice(text=""), "voice", "[voice]"),
        (file(), "file", "[file] report.pdf"),
        ({"type": 99}, "unsupported", "[a message that a bot is not shown]"),
    ],
)
def test_what_was_answered_is_told_in_a_line(item: dict[str, Any], kind: str, said: str) -> None:
    assert read(message_item=item, svr_id=5).detail() == {"id": "5", "kind": kind, "text": said}


def test_a_title_is_better_than_nothing() -> None:
    assert read(title=" door open ").detail() == {"text": "door open"}


def test_what_was_answered_is_cut() -> None:
    assert len(str(read(message_item=text("x" * 5000)).detail()["text"])) == 1000


@pytest.mark.parametrize(
    ("wanted", "said"),
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
def test_a_part_is_found_either_way_the_end_is_counted(wanted: Part, said: str) -> None:
    assert selected(WHOLE, wanted) == said


@pytest.mark.parametrize(
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
def test_a_part_that_is_not_there_is_not_told(wanted: Part) -> None:
    assert selected(WHOLE, wanted) is None


def test_a_part_is_what_is_told_of_an_answer_and_else_the_whole() -> None:
    fields = {
        "start": "two",
        "end": "three",
        "startindex": 1,
        "endindex": 0,
        "quotemd5": md5("two three").upper(),
    }
    assert read(message_item=text(WHOLE), partial_text=fields).detail()["text"] == "two three"
    fields["quotemd5"] = md5("x")
    assert read(message_item=text(WHOLE), partial_text=fields).detail()["text"] == WHOLE


@given(st.text(max_size=30), st.text(max_size=3), st.text(max_size=3), st.integers(-2, 5), st.integers(-2, 5))
def test_a_part_begins_and_ends_as_it_must(whole: str, start: str, end: str, begin: int, stop: int) -> None:
    found = selected(whole, part(start, end, begin, stop))
    if found is not None:
        assert found.startswith(start)
        assert found.endswith(end)
        assert found in whole


@given(st.text(min_size=1, max_size=60), st.data())
def test_whatever_somebody_marked_is_found(whole: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start, len(whole) - 1))
    first, last = whole[start], whole[end]
    wanted = part(
        first, last, whole[:start].count(first), whole[:end].count(last), md5(whole[start : end + 1])
    )
    assert selected(whole, wanted) == whole[start : end + 1]


@given(st.dictionaries(st.sampled_from(["title", "message_item", "svr_id", "partial_text"]), ANYTHING))
def test_no_reference_makes_it_fail(ref: dict[str, Any]) -> None:
    found = quote(text("off", ref_msg=ref), "en")
    if found is not None:
        found.detail()


def test_a_quote_of_nothing_known_says_nothing() -> None:
    assert Quote(kind=Kind.TEXT).detail() == {"kind": "text"}
