"""File types and picture sizes are detected by content."""

from __future__ import annotations

import io
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from tests.support.rows import every_row
from wx2mqtt.store.file_type import SNIFFED_BYTES, file_type_of, image_size


def picture(image_format: str, width: int = 30, height: int = 20, **more: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, image_format, **more)
    return file.getvalue()


def detected_type(data: bytes) -> str:
    return file_type_of(data[:SNIFFED_BYTES], len(data)).mime


@every_row(
    ("data", "mime_type", "extension"),
    [
        (picture("JPEG"), "image/jpeg", ".jpg"),
        (picture("PNG"), "image/png", ".png"),
        (picture("GIF"), "image/gif", ".gif"),
        (picture("BMP"), "image/bmp", ".bmp"),
        (picture("WEBP"), "image/webp", ".webp"),
        (b"\xff\xf3\x40\xc4" + bytes(100), "audio/mpeg", ".mp3"),
        (b"ID3\x03\x00" + bytes(100), "audio/mpeg", ".mp3"),
        (b"\x02#!SILK_V3\x0c\x00" + bytes(100), "audio/silk", ".silk"),
        (b"#!SILK_V3\x0c\x00" + bytes(100), "audio/silk", ".silk"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(100), "video/mp4", ".mp4"),
        (b"\x00\x00\x00\x18ftypiso6\x00\x00\x00\x00iso6avc1" + bytes(100), "video/mp4", ".mp4"),
        (b"PK\x03\x04" + bytes(100), "application/zip", ".zip"),
        (b"%PDF-1.7\nall text so far\n", "application/pdf", ".pdf"),
        (b"\x00\x01\x02\x03", "application/octet-stream", ".bin"),
        (b"", "application/octet-stream", ".bin"),
        (b"\xff\xfe\xfd", "application/octet-stream", ".bin"),
    ],
)
def test_formats_are_known_by_their_signature(data: bytes, mime_type: str, extension: str) -> None:
    file_type = file_type_of(data, len(data))
    assert (file_type.mime, file_type.extension) == (mime_type, extension)


@every_row(
    ("text", "mime_type"),
    [
        ("hello", "text/plain"),
        ("你好,开灯 ☀\r\n\t第二行", "text/plain"),
        ("\ufeffwith a mark", "text/plain"),
        ("BMW is a car, and MZ a shop, GIF a word", "text/plain"),
        ("BMW", "text/plain"),
        ("<3 you", "text/plain"),
        ("I like <html> and <svg>", "text/plain"),
        ("<!DOCTYPE html><p>", "text/html"),
        ("\n  <HTML lang=en>", "text/html"),
        ("<!-- hi --><?xml version='1.0'?>\n<!-- again --> <html xmlns='x'>", "text/html"),
        ("<script>alert(1)</script>", "text/html"),
        ("<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        ("<?xml version='1.0'?><!-- a --><!DOCTYPE svg PUBLIC 'x'><svg/>", "image/svg+xml"),
        ("<!-- never ended <svg>", "text/plain"),
        ('{"a": 1}', "application/json"),
        (' [1, "b"]', "application/json"),
        ("{}", "application/json"),
        ("[]", "application/json"),
        ("[1] a comment", "text/plain"),
        ("{curly", "text/plain"),
        ("[" * 5000, "text/plain"),
        ('{"a": "' + "x" * 9000, "application/json"),
    ],
)
def test_types_of_text_are_distinguished(text: str, mime_type: str) -> None:
    assert detected_type(text.encode()) == mime_type


def test_a_text_is_recognised_though_the_first_bytes_end_within_a_letter() -> None:
    for shift in range(4):
        assert detected_type(b"x" * shift + "☀".encode() * 5000) == "text/plain"
    assert (
        detected_type("☀".encode()[:2]) == "application/octet-stream"
    )  # the whole file ends within the letter


def test_a_file_with_a_control_character_is_no_text() -> None:
    assert detected_type(b"hello\x00") == "application/octet-stream"


@every_row("image_format", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_the_size_of_a_picture_is_read(image_format: str) -> None:
    data = picture(image_format, 33, 21)
    assert image_size(data, detected_type(data)) == (33, 21)


def test_the_size_is_that_of_the_picture_as_it_is_shown() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    data = picture("JPEG", 40, 30, exif=exif)
    assert image_size(data, "image/jpeg") == (30, 40)


def test_the_size_after_a_long_comment_is_found() -> None:
    data = picture("JPEG", 40, 30)
    comment = b"\xff\xfe\xff\xff" + bytes(0xFFFD)
    assert image_size(data[:2] + comment * 3 + data[2:], "image/jpeg") == (40, 30)


@every_row(
    "data",
    [
        picture("PNG")[:20],
        picture("JPEG")[:30],
        b"BM" + b"\xff" * 60,
        b"GIF89a" + b"\xff" * 60,
        b"\xff\xd8\xff\xe0" * 1000,
    ],
)
def test_a_broken_picture_has_no_size(data: bytes) -> None:
    assert image_size(data, "image/jpeg") is None


def test_what_is_no_picture_has_no_size() -> None:
    assert image_size(picture("PNG"), "video/mp4") is None
    assert image_size(b"<svg width='3' height='4'/>", "image/svg+xml") is None


SIGNATURES = [
    b"",
    b"\x00\x00\x00\x18ftyp",
    b"RIFF",
    b"BM",
    b"PK\x03\x04",
    b"II*\x00",
    b"\xff\xd8\xff",
    b"P6 ",
]


@given(st.sampled_from(SIGNATURES), st.binary(max_size=300))
@example(b"<!---->" * 1000, b"x")
@example(b"P6 ", b"9" * 8000)
@example(b"\x00\x00\x00\x00ftypheic", b"")
@example(b"", b"[" * 8192)
def test_no_bytes_take_long_or_fail(head: bytes, rest: bytes) -> None:
    data = head + rest
    started = time.process_time()
    file_type = file_type_of(data, len(data))
    size = image_size(data, "image/x")
    assert time.process_time() - started < 1
    assert file_type.extension.startswith(".")
    assert "/" in file_type.mime
    assert size is None or min(size) > 0


@pytest.mark.parametrize(("width", "height"), [(0, 20), (30, 0)])
def test_a_picture_without_width_or_height_has_no_size(width: int, height: int) -> None:
    head = b"GIF89a" + width.to_bytes(2, "little") + height.to_bytes(2, "little") + bytes(20)
    assert image_size(head, "image/gif") is None
