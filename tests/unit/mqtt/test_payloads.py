"""Messages that are larger than the broker takes: what goes, what stays, and that the rest fits."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.model import Json
from wx2mqtt.mqtt.payloads import cut, encode

FRAME: dict[str, Json] = {"schema": 1, "seq": 1042, "id": "7615282929538795099", "user": "wife"}


@given(text=st.text(min_size=700), limit=st.integers(min_value=200, max_value=700))
def test_a_text_that_is_too_large_keeps_its_beginning(text: str, limit: int):
    smaller = cut(encode({**FRAME, "kind": "text", "text": text}), limit)
    assert smaller is not None
    assert len(smaller) <= limit
    body = json.loads(smaller)
    assert body["truncated"] is True
    assert text.startswith(body["text"])
    assert len(body["text"]) > 0
    assert {key: body[key] for key in FRAME} == FRAME


def test_long_details_go_before_the_text_does():
    link: dict[str, Json] = {**FRAME, "kind": "link", "text": "[link] news", "link": {"url": "x" * 1000}}
    smaller = cut(encode(link), 700)
    assert smaller is not None
    assert json.loads(smaller) == {**FRAME, "kind": "link", "text": "[link] news", "truncated": True}


def test_what_would_not_fit_without_any_text_is_not_cut():
    assert cut(encode({**FRAME, "kind": "text", "text": "x" * 1000}), 60) is None
