"""Bodies of senders: what is kept, what is stored, and what is refused while it still comes."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from tests.support.rows import every_row
from wx2mqtt.model import Blob
from wx2mqtt.web.senders import request_bodies
from wx2mqtt.web.senders.interface import BodyForm, BodyPlan, RequestHead
from wx2mqtt.web.senders.request_bodies import PART_HEADS_BYTES, BadBody, BodyReader, MemoryBudget

MAX_FILE_BYTES = 1000


class TooLarge(Exception):
    pass


class FakeFileStore:
    """Accepts files as the bridge does; `stored` has their bytes."""

    def __init__(self):
        self.stored = []

    def check_upload(self, kind, size):
        assert kind == "image"
        if size > MAX_FILE_BYTES:
            raise TooLarge

    async def store_upload(self, kind, pieces):
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


@every_row(
    ("form", "max_bytes"),
    [
        (BodyForm.BYTES, 100),
        (BodyForm.FILE, MAX_FILE_BYTES),
        (BodyForm.TEXT_OR_FILE, MAX_FILE_BYTES),
        (BodyForm.MULTIPART, MAX_FILE_BYTES + 100 + PART_HEADS_BYTES),
    ],
)
def test_an_announced_size_is_refused_before_a_byte_is_read(form, max_bytes):
    def read_announced(size):
        pieces = [] if size > max_bytes else [b"--x", None]
        asyncio.run(reader_of(pieces, "multipart/form-data; boundary=x", declared=size).read(plan(form)))

    for size in (max_bytes + 1, 30 * 10**9):
        with pytest.raises(BadBody if form is BodyForm.BYTES else TooLarge):
            read_announced(size)
    with pytest.raises(BadBody) as broken_off:
        read_announced(max_bytes)
    assert broken_off.value.status == 408, "it is read"


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
