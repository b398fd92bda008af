"""Bodies of senders: what is kept, what is stored, and what is refused while it still comes."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from tests.support.rows import every_row
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Blob
from wx2mqtt.web.senders import request_bodies
from wx2mqtt.web.senders.interface import MAX_FORM_FIELDS, BodyForm, BodyPlan, RequestHead
from wx2mqtt.web.senders.request_bodies import BadBody, BodyReader, MemoryBudget


class FakeFileStore:
    """Accepts files as the bridge does; `stored` has their bytes."""

    def __init__(self):
        self.stored = []

    async def __call__(self, kind, pieces):
        data = b"".join([piece async for piece in pieces])
        self.stored.append((kind, data))
        return Blob(sha256="ab", size=len(data), mime="image/png", path="ab")


def reader_of(pieces, content_type="", *, store=None, budget=None, declared=None):
    waiting = [*pieces]

    async def receive():
        if not waiting:
            await asyncio.Event().wait()  # the client sends nothing more, and stays
        piece = waiting.pop(0)
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": bool(waiting) and piece != b""}

    headers = [(b"content-length", str(declared).encode())] if declared is not None else []
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    head = RequestHead(method="POST", headers={"content-type": content_type})
    return BodyReader(request, head, budget or MemoryBudget(), store or FakeFileStore())


def plan(form, max_bytes=100):
    return BodyPlan(form=form, max_bytes=max_bytes, kind="image")


async def read(form, pieces, content_type="", **more):
    return await reader_of([*pieces, b""], content_type, **more).read(plan(form))


async def test_bytes_are_kept_to_their_limit():
    assert (await read(BodyForm.BYTES, [b"a" * 60, b"b" * 40])).data == b"a" * 60 + b"b" * 40
    with pytest.raises(BadBody) as caught:
        await read(BodyForm.BYTES, [b"a" * 60, b"b" * 41])
    assert (caught.value.status, caught.value.bad.facts) == (413, {"limit": 100})


async def test_an_announced_size_is_refused_before_a_byte_is_read():
    with pytest.raises(BadBody):
        await reader_of([], declared=101).read(plan(BodyForm.BYTES))


async def test_a_file_goes_to_the_store_piece_by_piece():
    store = FakeFileStore()
    body = await read(BodyForm.FILE, [b"a" * 90, b"b" * 90], store=store)
    assert store.stored == [("image", b"a" * 90 + b"b" * 90)]
    assert body.file.blob.size == 180


@every_row(
    ("pieces", "is_text"),
    [
        ([b"text"], True),
        (["回家".encode()], True),
        ([b"\xff"], False),
        ([b"a\0"], False),
        ([b"a" * 101], False),
    ],
)
def test_a_text_stays_a_text_and_anything_else_is_a_file(pieces, is_text):
    store = FakeFileStore()
    body = asyncio.run(read(BodyForm.TEXT_OR_FILE, pieces, store=store))
    assert (body.data, store.stored) == ((pieces[0], []) if is_text else (b"", [("image", pieces[0])]))


async def test_a_body_that_stalls_or_breaks_off_is_refused(monkeypatch):
    monkeypatch.setattr(request_bodies, "STALL_SECONDS", 0.05)
    for pieces in ([], [b"a", None]):
        with pytest.raises(BadBody) as caught:
            await reader_of(pieces).read(plan(BodyForm.BYTES))
        assert caught.value.status == 408


async def test_bodies_share_their_memory_and_give_it_back():
    budget = MemoryBudget(150)
    first = reader_of([b"a" * 100, b""], budget=budget)
    await first.read(plan(BodyForm.BYTES))
    with pytest.raises(BadBody) as caught:
        await reader_of([b"a" * 100, b""], budget=budget).read(plan(BodyForm.BYTES))
    assert caught.value.status == 503
    first.release_memory()
    await reader_of([b"a" * 100, b""], budget=budget).read(plan(BodyForm.BYTES))


# forms

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
