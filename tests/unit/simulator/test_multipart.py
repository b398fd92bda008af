"""Forms as WeChat's file servers read them (webwx 2.14)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.simulator.multipart import BadForm, Part, parse

TYPE = "multipart/form-data; boundary=x1"


def form(*parts: bytes) -> bytes:
    return b"".join(b"--x1\r\n" + part + b"\r\n" for part in parts) + b"--x1--\r\n"


def part(disposition: str, content: bytes = b"1") -> bytes:
    return f"Content-Disposition: {disposition}\r\nContent-Type: a/b\r\n\r\n".encode() + content


def test_fields_and_files_are_read_byte_by_byte():
    data = b"\r\n--x\r\n\r\n\x00--x1"
    found = parse(
        TYPE,
        form(part('form-data; name="a"', "ü".encode()), part('form-data; name="f"; filename="图.jpg"', data)),
    )
    assert list(found.values()) == [
        Part(name="a", filename=None, content="ü".encode()),
        Part(name="f", filename="图.jpg", content=data),
    ]


def test_a_quoted_boundary_and_names_without_quotes_are_read():
    body = form(part("form-data; name=a; filename=b.jpg"))
    assert parse('multipart/form-data; boundary="x1"', body)["a"].filename == "b.jpg"


@pytest.mark.parametrize(
    ("content_type", "body", "what"),
    [
        ("text/plain", form(), "no multipart/form-data"),
        ("multipart/form-data", form(), "no multipart/form-data"),
        (TYPE, b"", "begin and end"),
        (TYPE, form(part('form-data; name="a"')).removesuffix(b"--\r\n"), "begin and end"),
        (TYPE, b"before\r\n" + form(), "begin and end"),
        (TYPE, form(b"no head"), "has no head"),
        (TYPE, form(b"Content-Type: a/b\r\n\r\n1"), "no Content-Disposition"),
        (TYPE, form(part("form-data")), "no name|no Content-Disposition"),
        (TYPE, form(part('form-data; filename="a"')), "has no name"),
        (TYPE, form(part('form-data; name="a"'), part('form-data; name="a"')), "twice"),
        (TYPE, form(part("form-data; name=\"f\"; filename*=utf-8''a.jpg")), "RFC 2231"),
        (TYPE, form(b'Content-Disposition: form-data; name="\xff"\r\n\r\n1'), "no UTF-8"),
    ],
)
def test_what_is_no_form_is_refused(content_type: str, body: bytes, what: str):
    with pytest.raises(BadForm, match=what):
        parse(content_type, body)


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"--x1", b"\r\n", b"--", b'name="a"', b":", b"\x00"])).map(b"".join)
)
def test_any_bytes_are_a_form_or_refused(body: bytes):
    with contextlib.suppress(BadForm):
        parse(TYPE, body)
