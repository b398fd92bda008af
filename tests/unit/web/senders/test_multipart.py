"""Multipart forms of senders: fields are kept, one file is stored, and anything else is refused."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.rows import every_row
from tests.unit.web.senders.test_request_bodies import FakeFileStore, read
from wx2mqtt.errors import BadCommand
from wx2mqtt.web.senders.interface import MAX_FORM_FIELDS, BodyForm

TYPE = 'multipart/form-data; boundary="x"'


FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="d.png"\r\n\r\n'


def field(name, value):
    return b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name, value)


@every_row("size", [1, 3, 7, 1000])
def test_a_form_is_read_whatever_its_pieces_are(size):
    data = (
        field(b"text", "回家".encode())
        + FILE
        + b"\r\n--y\r\n" * 20
        + b"\r\n"
        + field(b"text", b"2")
        + b"--x--\r\n"
    )
    store = FakeFileStore()
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    body = asyncio.run(read(BodyForm.MULTIPART, pieces, TYPE, store=store))
    assert body.fields == {"text": "回家"}
    assert (body.file.name, store.stored) == ("d.png", [("image", b"\r\n--y\r\n" * 20)])


@every_row(
    ("data", "message_key"),
    [
        (b"".join(field(b"p%d" % n, b"") for n in range(MAX_FORM_FIELDS + 1)) + b"--x--\r\n", "too_many_form_fields"),
        (field(b"a", b"v" * 101) + b"--x--\r\n", "body_over_limit"),
        (field(b"a", b"v" * 60) + field(b"b", b"v" * 60) + b"--x--\r\n", "body_over_limit"),
        (FILE + b"1\r\n" + FILE + b"2\r\n--x--\r\n", "one_file"),
        (field(b"a", b"\xff") + b"--x--\r\n", "not_utf8"),
        (field(b"a", b"1"), "bad_multipart"),
        (FILE + b"cut off", "bad_multipart"),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n", "bad_multipart"),
        (b"--x\r\n" + b"X: " + b"y" * 10_000 + b"\r\n\r\n--x--\r\n", "bad_multipart"),
        (b"--x\r\n" + b"X: y\r\n" * 100 + b"\r\n--x--\r\n", "bad_multipart"),
        (b"nothing of the kind", "bad_multipart"),
        (b"", "bad_multipart"),
    ],
)  # fmt: skip
def test_a_form_that_is_none_or_too_much_is_refused(data, message_key):
    with pytest.raises(BadCommand) as caught:
        asyncio.run(read(BodyForm.MULTIPART, [data] if data else [], TYPE))
    assert caught.value.message_key == message_key


@every_row(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'x' * 71}"],
)
def test_a_form_without_a_boundary_is_refused(content_type):
    with pytest.raises(BadCommand):
        asyncio.run(read(BodyForm.MULTIPART, [b"x"], content_type))
