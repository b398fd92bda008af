"""The payloads of all that is published, byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.limits import MAX_LAST_TEXT_CHARACTERS, MAX_PLAIN_TEXT_BYTES
from wx2mqtt.model import ChatKind, Handle, Json, Kind, Message, Result, Status
from wx2mqtt.mqtt.payloads import (
    answer_error,
    answer_ok,
    cut_payload,
    encode,
    event_body,
    last_body,
    message_body,
    plain_text,
    result_body,
)

TIME = 1_795_600_000_123
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\n\x01灯☀👨‍👩‍👧'), max_size=3000
)
SMALL: dict[str, Json] = {"thumbnail": {"state": "pending", "url": "/media/a"}}
DETAILS = st.dictionaries(st.sampled_from(["url", "title", "name"]), st.text(max_size=200))


def message(text="开灯 ☀", kind=Kind.TEXT, **more):
    values = {"key": "1", "id": "7615282929538795099", "chat": Handle("@1"), "chat_kind": ChatKind.FRIEND}
    return Message(**{**values, "sender": Handle("@1"), "kind": kind, "text": text, "time": TIME, **more})


def payload(text="开灯 ☀", kind=Kind.TEXT, *, media=None, **more):
    """Returns the payload of a message as the journal publishes it."""
    body = message_body(
        message(text, kind, **more),
        account="home",
        user="wife",
        chat_name="老婆",
        sender={"user": "wife", "name": "老婆", "self": False},
        trusted=True,
        media=media or {},
    )
    return encode({"schema": 1, "stream": "k3v9qa", "seq": 1042, **body})


def test_a_message_is_what_the_contract_shows():
    assert json.loads(payload()) == {
        "schema": 1,
        "stream": "k3v9qa",
        "seq": 1042,
        "id": "7615282929538795099",
        "account": "home",
        "user": "wife",
        "chat": {"kind": "friend", "name": "老婆"},
        "sender": {"user": "wife", "name": "老婆", "self": False},
        "trusted": True,
        "mentioned": False,
        "kind": "text",
        "text": "开灯 ☀",
        "time": "2026-11-25T09:46:40.123Z",
    }


def test_a_kind_adds_an_object_of_its_name_and_a_system_text_has_no_sender():
    place = message("天安门", Kind.LOCATION, detail={"lat": 39.9, "lon": 116.4, "label": "天安门"})
    body = message_body(place, account="a", user="u", chat_name="", sender=None, trusted=False, media=SMALL)
    assert body["location"] == {"lat": 39.9, "lon": 116.4, "label": "天安门", **SMALL}
    assert body["text"] == "天安门"
    assert "sender" not in body
    assert not any(value is None for value in body.values())


@given(st.text())
def test_any_text_becomes_utf_8_without_escapes_of_what_needs_none(text):
    written = encode({"text": text})
    read = json.loads(written)["text"]
    assert read == text.encode("utf-8", "replace").decode()
    assert b"\\u4" not in encode({"text": "你"})


def test_a_kind_of_which_nothing_is_known_has_an_empty_object_and_a_text_none():
    for kind, has_object in (
        (Kind.IMAGE, True),
        (Kind.STICKER, True),
        (Kind.SYSTEM, True),
        (Kind.TEXT, False),
    ):
        body = message_body(
            message("", kind), account="a", user="u", chat_name="", sender=None, trusted=False, media={}
        )
        assert (body.get(str(kind)) == {}) is has_object


def test_an_event_names_a_user_only_if_the_person_is_known():
    fields = {"reason": "x", "id": "not this one", "time": "nor this"}
    event = event_body("recall", event_id="e1", account="home", time=TIME, user=None, fields=fields)
    assert event == {
        "schema": 1,
        "event": "recall",
        "id": "e1",
        "account": "home",
        "time": "2026-11-25T09:46:40.123Z",
        "reason": "x",
    }
    named = event_body("recall", event_id="e1", account="home", time=TIME, user="wife", fields={})
    assert named["user"] == "wife"


def test_a_result_has_all_its_keys_with_null_where_nothing_is_known():
    result = Result(id="a", user="wife", status=Status.EXPIRED, code="rate_limited", time=TIME)
    assert result_body(result, "home") == {
        "schema": 1,
        "account": "home",
        "id": "a",
        "user": "wife",
        "status": "expired",
        "code": "rate_limited",
        "message": "",
        "message_id": None,
        "time": "2026-11-25T09:46:40.123Z",
        "retry_after": None,
        "duplicate_possible": False,
        "sender": None,
    }


@every_row("transaction", ["t", 1, 0, "", False, [1], {"a": None}])
def test_a_transaction_comes_back_as_it_was(transaction):
    assert json.loads(answer_ok([1], transaction)) == {
        "status": "ok",
        "data": [1],
        "transaction": transaction,
    }
    assert json.loads(answer_error("internal", "why", transaction)) == {
        "status": "error",
        "code": "internal",
        "error": "why",
        "transaction": transaction,
    }


def test_without_a_transaction_there_is_none():
    assert json.loads(answer_ok(None, None)) == {"status": "ok", "data": None}
    assert json.loads(answer_error("internal", "why", None)).keys() == {"status", "code", "error"}


# `last`


@given(TEXTS)
def test_last_is_the_message_with_its_text_cut_to_a_thousand_characters(text):
    whole, last = json.loads(payload(text)), json.loads(last_body(payload(text)))
    assert last["text"] == text[:MAX_LAST_TEXT_CHARACTERS]
    assert last.get("truncated", False) is (len(text) > MAX_LAST_TEXT_CHARACTERS)
    assert {**last, "text": text} | {"truncated": True} == whole | {"truncated": True}


@pytest.mark.parametrize("body", [{"text": None}, {"text": 5}, {}])
def test_last_of_a_message_without_a_text_is_that_message(body):
    assert json.loads(last_body(encode(body))) == body


def test_last_has_none_of_the_bytes_of_its_message():
    shown = {"state": "ready", "url": "/media/a"}
    last = json.loads(last_body(payload("[图片]", Kind.IMAGE, media={**shown, "data": "QUJD"})))
    assert last["image"] == shown
    assert "truncated" not in last


# a message that the broker takes only in part


@given(TEXTS, st.sampled_from([Kind.TEXT, Kind.LINK]), DETAILS, st.integers(0, 6000))
def test_what_is_cut_fits_is_marked_and_keeps_who_wrote_what_and_when(text, kind, detail, limit):
    large = payload(text, kind, detail=detail if kind is Kind.LINK else {})
    smaller = cut_payload(large, limit)
    if smaller is None:
        assert limit < 500  # what names a message needs no more
        return
    assert len(smaller) <= limit
    body, whole = json.loads(smaller), json.loads(large)
    assert body["truncated"] is True
    assert text.startswith(body["text"])
    kept = whole.keys() - {"link", "text"}
    assert {key: body[key] for key in kept} == {key: whole[key] for key in kept}


@given(TEXTS, st.integers(600, 6000))
def test_no_more_of_a_text_is_cut_away_than_must_be(text, limit):
    smaller = cut_payload(payload(text), limit)
    assert smaller is not None
    kept = json.loads(smaller)["text"]
    if kept == text:
        return
    one_more = json.loads(smaller) | {"text": text[: len(kept) + 1]}
    assert len(encode(one_more)) > limit


def test_long_details_go_before_the_text():
    large = payload("the line that a person reads", Kind.LINK, detail={"url": "x" * 5000})
    smaller = cut_payload(large, 2000)
    assert smaller is not None
    body = json.loads(smaller)
    assert body["text"] == "the line that a person reads"
    assert "link" not in body


def test_the_bytes_of_a_message_go_before_all_else():
    facts = {"state": "ready", "url": "/media/a", "path": "media/ab/abc.jpg", "width": 640}
    large = payload("[图片]", Kind.IMAGE, media={**facts, "data": "QUJD" * 1000})
    smaller = cut_payload(large, 1000)
    assert smaller is not None
    body, whole = json.loads(smaller), json.loads(large)
    assert body == {**whole, "image": facts, "truncated": True}


def test_what_has_no_text_cannot_be_cut_further():
    assert cut_payload(encode({"id": "x" * 100}), 50) is None


@given(TEXTS)
def test_the_bare_text_is_as_much_as_goes_into_200_bytes_and_ends_with_a_whole_character(text):
    plain = plain_text(text).decode()
    assert text.startswith(plain)
    assert len(plain.encode()) <= MAX_PLAIN_TEXT_BYTES == 200
    following = text[len(plain) : len(plain) + 1]
    assert not following or len((plain + following).encode()) > MAX_PLAIN_TEXT_BYTES


def test_half_a_character_from_a_stranger_does_not_stop_the_bare_text():
    assert plain_text("on\ud83d") == b"on?"
