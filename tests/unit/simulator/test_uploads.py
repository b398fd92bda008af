"""Multipart forms and the parts of an upload (webwx 2.14)."""

from __future__ import annotations

import contextlib
import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.simulator import uploads
from wx2mqtt.simulator.uploads import (
    PART_BYTES,
    BadForm,
    BadUpload,
    ReceivedField,
    UploadDeclaration,
    Uploads,
    parse_form,
)

TYPE = "multipart/form-data; boundary=x1"


def form(*parts: bytes) -> bytes:
    return b"".join(b"--x1\r\n" + part + b"\r\n" for part in parts) + b"--x1--\r\n"


def part(disposition: str, content: bytes = b"1") -> bytes:
    return f"Content-Disposition: {disposition}\r\nContent-Type: a/b\r\n\r\n".encode() + content


def test_fields_and_files_are_read_byte_by_byte():
    data = b"\r\n--x\r\n\r\n\x00--x1"
    found = parse_form(
        TYPE,
        form(part('form-data; name="a"', "ü".encode()), part('form-data; name="f"; filename="图.jpg"', data)),
    )
    assert list(found.values()) == [
        ReceivedField(name="a", filename=None, content="ü".encode()),
        ReceivedField(name="f", filename="图.jpg", content=data),
    ]


def test_a_quoted_boundary_and_names_without_quotes_are_read():
    body = form(part("form-data; name=a; filename=b.jpg"))
    assert parse_form('multipart/form-data; boundary="x1"', body)["a"].filename == "b.jpg"


@every_row(
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
        parse_form(content_type, body)


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"--x1", b"\r\n", b"--", b'name="a"', b":", b"\x00"])).map(b"".join)
)
def test_any_bytes_are_a_form_or_refused(body: bytes):
    with contextlib.suppress(BadForm):
        parse_form(TYPE, body)


DATA = bytes(2 * PART_BYTES) + b"end"


PARTS = [DATA[:PART_BYTES], DATA[PART_BYTES : 2 * PART_BYTES], DATA[2 * PART_BYTES :]]


def announced(**other) -> UploadDeclaration:
    values = {
        "key": "1",
        "name": "a.bin",
        "size": len(DATA),
        "media_type": "doc",
        "md5": hashlib.md5(DATA).hexdigest(),
        "part_count": 3,
        **other,
    }
    return UploadDeclaration(**values)


def test_all_parts_make_a_file_that_is_found_by_its_media_id():
    all_of_it = Uploads(random.Random(1))
    for number, part in enumerate(PARTS):
        upload = all_of_it.accept_part(announced(), number, part)
        assert (upload.finished is not None) is (number == 2)
    assert upload.finished is not None
    assert all_of_it.find(upload.finished.media_id) is upload.finished
    assert b"".join(upload.finished.content.pieces()) == DATA


@given(st.lists(st.integers(0, 3), max_size=8))
def test_only_the_right_order_makes_a_file(numbers: list[int]):
    all_of_it, ready = Uploads(random.Random(1)), None
    for number in numbers:
        try:
            upload = all_of_it.accept_part(announced(), number, [*PARTS, b""][number])
        except BadUpload:
            continue
        ready = upload.finished or ready
        assert upload.content.size == sum(map(len, PARTS[: upload.received_parts]))
    if ready:
        assert b"".join(ready.content.pieces()) == DATA


def test_an_upload_that_begins_again_begins_again():
    all_of_it = Uploads(random.Random(1))
    for number in (0, 1, 0, 1, 2):
        upload = all_of_it.accept_part(announced(), number, PARTS[number])
    assert upload.finished is not None


def test_parts_that_say_other_things_are_refused():
    all_of_it = Uploads(random.Random(1))
    all_of_it.accept_part(announced(), 0, PARTS[0])
    with pytest.raises(BadUpload, match="different things"):
        all_of_it.accept_part(announced(name="b.bin"), 1, PARTS[1])


@every_row(
    ("name", "media_type", "fits"),
    [
        ("a.JPG", "pic", True),
        ("a.b.png", "pic", True),
        ("a.gif", "pic", False),
        ("jpg", "pic", False),
        ("a.mp4", "video", True),
        ("a.mov", "video", False),
        ("a.jpg", "doc", True),
        ("", "doc", True),
    ],
)
def test_what_may_go_as_what(name: str, media_type: uploads.MediaType, fits: bool):
    assert uploads.extension_fits(name, media_type) is fits


def test_of_very_many_the_oldest_go():
    all_of_it, media_ids = Uploads(random.Random(1)), []
    for number in range(uploads.MAX_FINISHED_UPLOADS + 1):
        upload = all_of_it.accept_part(announced(key=str(number), size=1, md5="", part_count=1), 0, b"a")
        assert upload.finished is not None
        media_ids.append(upload.finished.media_id)
    assert all_of_it.find(media_ids[0]) is None
    assert all_of_it.find(media_ids[1]) is not None
