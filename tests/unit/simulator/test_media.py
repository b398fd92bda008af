"""Files that are read in pieces: any range of them has the right bytes."""

from __future__ import annotations

import gc
import hashlib
import itertools
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.simulator import media, samples
from wx2mqtt.simulator.media import PIECE_BYTES, ByteSource, GeneratedBytes, GivenBytes, UploadedBytes

SIZE = 2 * PIECE_BYTES + 777


def uploaded(data: bytes) -> UploadedBytes:
    content = UploadedBytes()
    for place in range(0, len(data), 50_000):
        content.append(data[place : place + 50_000])
    return content


MADE_UP = GeneratedBytes(b"HEAD", SIZE, "seed")
WHOLE = b"".join(MADE_UP.pieces())
ALL: list[ByteSource] = [MADE_UP, GivenBytes(WHOLE), uploaded(WHOLE)]


@pytest.mark.parametrize("content", ALL, ids=["made up", "given", "uploaded"])
@given(st.integers(0, SIZE), st.integers(0, SIZE + 10))
def test_a_range_is_what_a_slice_of_the_whole_is(content: ByteSource, start: int, length: int):
    pieces = [*content.pieces(start, start + length)]
    assert b"".join(pieces) == WHOLE[start : start + length]
    assert max(map(len, pieces), default=0) <= PIECE_BYTES


@pytest.mark.parametrize("content", ALL, ids=["made up", "given", "uploaded"])
def test_sums_are_those_of_the_whole(content: ByteSource):
    assert content.size == SIZE
    assert content.sha256 == hashlib.sha256(WHOLE).hexdigest()
    assert content.md5 == hashlib.md5(WHOLE).hexdigest()


def test_what_is_made_up_is_the_same_for_a_seed_and_differs_for_another():
    assert GeneratedBytes(b"HEAD", SIZE, "seed").sha256 == MADE_UP.sha256
    assert GeneratedBytes(b"HEAD", SIZE, "other").sha256 != MADE_UP.sha256
    assert WHOLE.startswith(b"HEAD")
    assert b"".join(GeneratedBytes(b"HEAD", 2, "seed").pieces()) == b"HE"
    assert [*GeneratedBytes(b"HEAD", 0, "seed").pieces()] == []


def test_a_gigabyte_takes_no_memory():
    tracemalloc.start()
    content = media.generate_file("video", "1", 2**30)
    assert sum(map(len, itertools.islice(content.pieces(2**29), 100))) == 100 * PIECE_BYTES
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1024 * 1024


@every_row(
    ("kind", "mime"),
    [
        ("image", "image/jpeg"),
        ("voice", "audio/mpeg"),
        ("video", "video/mp4"),
        ("sticker", "image/gif"),
        ("file", "application/pdf"),
    ],
)
def test_every_kind_has_a_real_file_and_no_two_messages_the_same(kind: str, mime: str):
    first, second = (media.generate_file(kind, number) for number in ("1", "2"))
    assert (first.mime, second.mime) == (mime, mime)
    assert first.sha256 != second.sha256
    assert first.size < 3000


def test_what_nobody_knows_is_octets():
    assert GivenBytes(b"text").mime == "application/octet-stream"
    assert GivenBytes(samples.sample("image.png")).mime == "image/png"


def test_what_is_large_lies_in_a_file_that_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    small, large = uploaded(bytes(1000)), uploaded(bytes(2**21))
    [file] = tmp_path.iterdir()
    assert file.stat().st_size == 2**21
    assert sum(map(len, large.pieces())) == 2**21
    assert sum(map(len, small.pieces())) == 1000
    del large
    gc.collect()
    assert [*tmp_path.iterdir()] == []
