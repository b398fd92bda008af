"""The bridge's own interface: which body is what, and what its query and `Idempotency-Key` say."""

from __future__ import annotations

from functools import partial

import pytest

from tests.support.rows import every_row
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Blob
from wx2mqtt.web.senders.interface import BodyForm, RequestBody, RequestHead, UploadedFile
from wx2mqtt.web.senders.own_interface import MAX_WAIT_SECONDS, PlainInterface

PICTURE = UploadedFile(name="", blob=Blob(sha256="ab", size=3, mime="image/png", path="ab.png"))


def head(content_type="", query=None, **headers):
    typed = {"content-type": content_type} if content_type else {}
    names = {"user": "wife"}
    return RequestHead(method="POST", path_names=names, query=query or {}, headers={**typed, **headers})


def fields_of(request_head, data=b"", form=None, file=None):
    body = RequestBody(data=data, fields=form or {}, file=file)
    return PlainInterface().read_command(request_head, body).fields


def refusal_of(work):
    with pytest.raises(BadCommand) as caught:
        work()
    return caught.value.message_key


@every_row(
    "content_type, query, form, kind",
    [
        ("text/plain; charset=utf-8", {}, BodyForm.BYTES, "file"),
        ("", {}, BodyForm.BYTES, "file"),
        ("application/json", {}, BodyForm.BYTES, "file"),
        ("image/jpeg", {}, BodyForm.FILE, "image"),
        ("VIDEO/MP4", {}, BodyForm.FILE, "video"),
        ("application/pdf", {"name": "plan.pdf"}, BodyForm.FILE, "file"),
        ("multipart/form-data; boundary=x", {}, BodyForm.MULTIPART, "file"),
    ],
)
def test_the_type_says_what_becomes_of_a_body(content_type, query, form, kind):
    plan = PlainInterface().plan_body(head(content_type, query))
    assert (plan.form, plan.kind) == (form, kind)


@every_row(
    "content_type, message_key",
    [
        ("application/x-www-form-urlencoded", "form_is_no_text"),
        ("application/octet-stream", "type_needs_name"),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_cure(content_type, message_key):
    assert refusal_of(lambda: PlainInterface().plan_body(head(content_type))) == message_key


def test_a_text_is_sent_as_it_is_with_the_keys_of_its_query():
    query = {"ttl": "600", "urgent": "1", "id": "7", "priority": "high", "hold": "0"}
    fields = fields_of(head("text/plain", query), "回家 ☀".encode())
    sent = {"text": "回家 ☀", "ttl": 600, "urgent": True, "id": "7", "priority": "high", "hold": False}
    assert fields == sent


def test_a_byte_order_mark_is_no_part_of_a_text():
    assert fields_of(head(), b"\xef\xbb\xbfsix") == {"text": "six"}


def test_octets_are_no_text():
    assert refusal_of(lambda: fields_of(head(), b"\xff\xfe\x00")) == "bytes_as_text"


def test_a_picture_has_its_kind_and_a_file_its_name():
    assert fields_of(head("image/png"), file=PICTURE) == {"kind": "image"}
    query = {"name": "plan.pdf", "ttl": "60"}
    expected = {"kind": "file", "name": "plan.pdf", "ttl": 60}
    assert fields_of(head("application/pdf", query), file=PICTURE) == expected


def test_the_fields_of_a_form_are_the_keys_of_a_command():
    form = {"text": "12", "urgent": "true", "ttl": "1.5", "mention": '["a"]', "hold": "no"}
    fields = fields_of(head("multipart/form-data"), form=form)
    assert fields["text"] == "12"
    assert (fields["urgent"], fields["hold"], fields["mention"]) == (True, False, ["a"])
    assert float(fields["ttl"]) == 1.5


def test_a_value_that_is_no_json_stays_a_text_and_breaks_out_of_nothing():
    form = {"ttl": "soon", "mention": '1, "urgent": true'}
    assert fields_of(head("multipart/form-data"), form=form) == form


@every_row(
    "data, message_key",
    [
        (b"[1]", "bad_body_json"),
        (b'{"text": ', "bad_body_json"),
        (b'{"text":' + b"[" * 100 + b"]" * 100 + b"}", "bad_body_json"),
        (b'{"text":[' + b"1," * 20_000 + b"1]}", "bad_body_json"),
        (b'{"text": "\xe9"}', "not_utf8"),
    ],
)
def test_json_that_is_no_command_is_refused(data, message_key):
    assert refusal_of(lambda: fields_of(head("application/json"), data)) == message_key


def test_a_query_beside_a_command_is_refused_but_for_the_wait():
    request_head = head("application/json", {"urgent": "1"})
    assert refusal_of(lambda: fields_of(request_head, b'{"text": "a"}')) == "query_beside_command"
    assert fields_of(head("application/json", {"wait": "3"}), b'{"text": "a"}') == {"text": "a"}
    assert refusal_of(lambda: fields_of(head("text/plain", {"urgnet": "1"}), b"a")) == "unknown_query_key"


def test_the_idempotency_key_is_the_id():
    assert fields_of(head("text/plain", **{"idempotency-key": '"k 1"'}), b"a")["id"] == "k 1"
    same = head("application/json", **{"idempotency-key": "k"})
    assert fields_of(same, b'{"text": "a", "id": "k"}')["id"] == "k"
    assert refusal_of(lambda: fields_of(same, b'{"text": "a", "id": "other"}')) == "two_ids"


def test_a_wait_is_cut_and_must_be_a_number():
    def wait_of(text):
        return PlainInterface().read_command(head(query={"wait": text}), RequestBody(data=b"a")).wait_seconds

    assert (wait_of("2.5"), wait_of("9999")) == (2.5, MAX_WAIT_SECONDS)
    for text in ("-1", "soon", "", "1e3", "nan"):
        assert refusal_of(partial(wait_of, text)) == "bad_value"


def test_the_path_names_the_recipient():
    assert PlainInterface().read_recipient(head()) == "wife"
    names = {"account": "office", "user": "wife"}
    assert PlainInterface().read_recipient(RequestHead(method="POST", path_names=names)) == "office/wife"
