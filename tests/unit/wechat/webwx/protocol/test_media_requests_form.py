"""An independent reader of `multipart/form-data` reads back what a form was made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wechat.webwx.forms import read_form
from wx2mqtt.wechat.webwx.protocol.media_requests import encode_form

NAMES = st.text(st.characters(exclude_characters='"\r\n', exclude_categories=["Cs"]), min_size=1)


VALUES = st.text(st.characters(exclude_categories=["Cs"]))


HOSTILE = st.sampled_from(
    [b"\r\n------WebKitFormBoundaryseed", b"\r\n", b"------WebKitFormBoundaryseed0--\r\n"]
)


CONTENT = st.lists(st.one_of(st.binary(max_size=50), HOSTILE), max_size=6).map(b"".join)


@given(fields=st.lists(st.tuples(NAMES, VALUES), max_size=5), name=NAMES, content=CONTENT)
def test_what_was_written_is_read(fields: list[tuple[str, str]], name: str, content: bytes) -> None:
    *parts, last = read_form(*encode_form(fields, name, "image/png", content, "seed"))
    assert [(part.name, part.text) for part in parts] == fields
    assert (last.name, last.filename, last.mime, last.content) == ("filename", name, "image/png", content)


@given(value=VALUES)
def test_a_value_cannot_end_its_part(value: str) -> None:
    attack = f"{value}\r\n------WebKitFormBoundaryseed--\r\n"
    form = encode_form([("a", attack)], "n", "a/b", b"", "seed")
    assert [part.text for part in read_form(*form)] == [attack, ""]


def test_names_are_plain_utf8_and_cannot_end_their_header() -> None:
    """RFC 2231 makes the upload fail (webwx 2.14.8)."""
    _, body = encode_form([], '季"度\r\n.pdf', "a/b", b"x", "seed")
    assert 'filename="季%22度%0D%0A.pdf"'.encode() in body
    assert b"filename*" not in body


def test_text_that_is_no_unicode_cannot_be_written() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode_form([("a", "\ud800")], "n", "a/b", b"", "seed")
