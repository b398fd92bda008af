"""GET /media/<id>: the file, or a sentence that says why there is none."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO, NoReturn

import pytest

from tests.support.web import FETCHED, PNG, FakeMediaLibrary, application_client
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.store.atomic_files import open_to_read
from wx2mqtt.store.records import MediaState
from wx2mqtt.web import media_endpoint
from wx2mqtt.web.media_endpoint import MEDIA_WAIT_TIMEOUT_SECONDS


@pytest.fixture
def library(tmp_path):
    return FakeMediaLibrary(tmp_path)


async def test_the_bytes_come_with_what_they_are(library):
    row = library.put("a1", PNG, name="照片.png")
    async with application_client(library) as http:
        answer = await http.get("/media/a1")
    assert answer.status_code == 200
    assert answer.content == PNG
    assert {
        "content-type": "image/png",
        "content-length": str(len(PNG)),
        "etag": f'"{row.blob.sha256}"',
        "last-modified": formatdate(FETCHED / 1000, usegmt=True),
        "cache-control": "private, no-cache",
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "content-disposition": "inline; filename=\"file.png\"; filename*=UTF-8''%E7%85%A7%E7%89%87.png",
    }.items() <= dict(answer.headers).items()
    assert "date" in answer.headers


async def test_a_file_whose_answer_cannot_be_made_is_closed(library, monkeypatch):
    opened: list[BinaryIO] = []

    def open_and_keep(path: Path) -> BinaryIO:
        opened.append(open_to_read(path))
        return opened[-1]

    def failing(*_: object) -> NoReturn:
        raise ValueError

    library.put("a1", PNG)
    monkeypatch.setattr(media_endpoint, "open_to_read", open_and_keep)
    monkeypatch.setattr(media_endpoint, "FileRangeResponse", failing)
    async with application_client(library) as http:
        assert (await http.get("/media/a1")).status_code == 500
    assert [file.closed for file in opened] == [True]


async def test_a_file_without_a_name_is_called_after_its_kind_and_id(library):
    library.put("a1", b"x", mime="audio/mpeg", kind="voice", suffix=".mp3")
    async with application_client(library) as http:
        answer = await http.get("/media/a1")
    assert answer.headers["content-disposition"] == 'inline; filename="voice-a1.mp3"'


@pytest.mark.parametrize(
    "mime", ["text/html", "image/svg+xml", "application/octet-stream", "text/html\r\nx: y"]
)
async def test_what_could_run_is_only_saved(library, mime):
    library.put("a1", b"<script>alert(1)</script>", mime=mime, name="picture.png")
    async with application_client(library) as http:
        answer = await http.get("/media/a1")
    assert answer.headers["content-disposition"] == 'attachment; filename="picture.png"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("mime", ["video/mp4", "audio/mpeg"])
async def test_what_a_browser_plays_is_played_and_loads_nothing_else(library, mime):
    library.put("a1", b"x", mime=mime)
    async with application_client(library) as http:
        answer = await http.get("/media/a1")
    policy = answer.headers["content-security-policy"]
    assert policy == "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'"
    assert answer.headers["content-disposition"].startswith("inline;")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_head_alone_tells_the_same(library):
    library.put("a1", PNG)
    async with application_client(library) as http:
        whole, head = await http.get("/media/a1"), await http.head("/media/a1")
    assert head.status_code == 200
    assert head.content == b""
    assert {**head.headers, "date": ""} == {**whole.headers, "date": ""}


async def test_a_range_of_a_file_is_returned(library):
    library.put("a1", PNG)
    async with application_client(library) as http:
        answer = await http.get("/media/a1", headers={"range": "bytes=10-19"})
        head = await http.head("/media/a1", headers={"range": "bytes=-4"})
    assert answer.status_code == 206
    assert answer.content == PNG[10:20]
    assert answer.headers["content-range"] == f"bytes 10-19/{len(PNG)}"
    assert head.status_code == 206
    assert head.headers["content-length"] == "4"


async def test_a_part_that_does_not_exist_is_refused_with_the_size(library):
    library.put("a1", PNG)
    async with application_client(library) as http:
        answer = await http.get("/media/a1", headers={"range": f"bytes={len(PNG)}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(PNG)}"


async def test_a_client_that_has_the_file_already_gets_304(library):
    row = library.put("a1", PNG)
    async with application_client(library) as http:
        answer = await http.get("/media/a1", headers={"if-none-match": f'"{row.blob.sha256}"'})
    assert answer.status_code == 304
    assert answer.content == b""
    assert answer.headers["etag"] == f'"{row.blob.sha256}"'


async def test_an_empty_file_is_returned(library):
    library.put("a1", b"")
    async with application_client(library) as http:
        answer = await http.get("/media/a1")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (MediaState.FAILED, 502),
        (MediaState.TOO_LARGE, 413),
        (MediaState.GONE, 410),
        (MediaState.PENDING, 503),
    ],
)
async def test_what_is_not_there_says_why_in_words(library, state, status):
    library.put_row("a1", state, reason="WeChat says so")
    async with application_client(library) as http:
        answer = await http.get("/media/a1?wait=0")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "WeChat says so" in answer.text
    assert ("retry-after" in answer.headers) is (state is MediaState.PENDING)


async def test_it_is_said_in_the_clients_language(library):
    library.put_row("a1", MediaState.GONE)
    async with application_client(library) as http:
        answer = await http.get("/media/a1", headers={"accept-language": "zh-CN"})
    assert "文件已经没有了" in answer.text


async def test_a_client_gets_the_time_of_the_next_attempt(library):
    library.put_row("a1", MediaState.PENDING, due=now_ms() + 60_000)
    library.put_row("a2", MediaState.PENDING, due=now_ms() + 86_400_000)
    async with application_client(library) as http:
        soon, late = await http.get("/media/a1?wait=0"), await http.get("/media/a2?wait=0")
    assert 50 <= int(soon.headers["retry-after"]) <= 60
    assert int(late.headers["retry-after"]) == 300


async def test_bytes_that_are_under_way_are_waited_for(library):
    library.put_row("a1", MediaState.PENDING)
    async with application_client(library) as http:
        asking = asyncio.create_task(http.get("/media/a1"))
        await library.wait_until_waiting(1)
        assert library.waiting == [("a1", MEDIA_WAIT_TIMEOUT_SECONDS)]
        library.put("a1", PNG)
        assert (await asking).content == PNG


@pytest.mark.parametrize(
    ("query", "headers", "wait"),
    [
        ("", {}, 25), ("?wait=3", {}, 3), ("?wait=2.5", {}, 2.5), ("?wait=9999", {}, 25), ("?wait=0", {}, 0),
        *((f"?wait={bad}", {}, 25) for bad in ("-1", "nan", "inf", "1e9", "x", "", "１")),
        ("", {"prefer": "wait=4"}, 4), ("", {"prefer": 'respond-async, wait="7"; x=1'}, 7),
        ("", {"prefer": "await=4"}, 25), ("?wait=1", {"prefer": "wait=4"}, 1),
    ],
)  # fmt: skip
async def test_the_client_may_shorten_the_wait(library, query, headers, wait):
    library.put("a1", PNG)
    async with application_client(library) as http:
        await http.get(f"/media/a1{query}", headers=headers)
    assert library.asked == [("a1", wait)]


async def test_at_the_stop_nobody_waits_any_longer(library):
    library.put_row("a1", MediaState.PENDING)
    closing = asyncio.Event()
    async with application_client(library, closing=closing) as http:
        asking = asyncio.create_task(http.get("/media/a1"))
        await library.wait_until_waiting(1)
        closing.set()
        answer = await asking
    assert answer.status_code == 503
    assert library.waiting == []


async def test_each_account_is_asked(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first, second = FakeMediaLibrary(tmp_path / "one"), FakeMediaLibrary(tmp_path / "two")
    first.put("a1", b"one")
    second.put("b1", b"two")
    async with application_client([first, second]) as http:
        assert (await http.get("/media/a1")).content == b"one"
        assert (await http.get("/media/b1")).content == b"two"
        assert (await http.get("/media/c1")).status_code == 404


async def test_a_file_that_was_pruned_a_moment_ago_is_gone(library):
    row = library.put("a1", PNG)
    library.file(row).unlink()
    async with application_client(library) as http:
        assert (await http.get("/media/a1")).status_code == 410


async def test_a_store_that_cannot_be_read_is_said_and_no_more(library, monkeypatch):
    async def find(*_):
        raise StoreError("disk I/O error in /var/lib/secret")

    monkeypatch.setattr(library, "find", find)
    async with application_client(library) as http:
        answer = await http.get("/media/a1")
    assert answer.status_code == 503
    assert "secret" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_but_reading_is_possible(library, method):
    library.put("a1", PNG)
    async with application_client(library) as http:
        assert (await http.request(method, "/media/a1")).status_code == 405
