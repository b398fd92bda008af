"""The headers for a file that a stranger sent."""

from __future__ import annotations

import re
from email.message import Message
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.web.media_headers import (
    INLINE_TYPES,
    MAX_NAME_BYTES,
    content_disposition,
    content_type,
    download_name,
)


@every_row("mime", ["image/png", "image/jpeg", "image/gif", "audio/mpeg", "video/mp4", "application/pdf"])
def test_pixels_sound_video_and_pdf_are_shown(mime):
    assert content_disposition(mime, "a").startswith("inline;")


@every_row(
    "mime",
    [
        *("text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/xml", "text/plain"),
        *(
            "application/octet-stream",
            "application/javascript",
            "text/css",
            "image/PNG",
            "",
            "multipart/related",
        ),
    ],
)
def test_everything_else_is_only_saved(mime):
    assert content_disposition(mime, "a").startswith("attachment;")


def test_nothing_that_can_run_is_on_the_list():
    assert not [mime for mime in INLINE_TYPES if re.search("xml|html|script|text|svg", mime)]


@every_row(
    ("original", "name"),
    [
        ("report.pdf", "report.pdf"),
        ("报告 2026.pdf", "报告 2026.pdf"),
        ("../../etc/passwd", "_._etc_passwd"),
        ("C:\\Windows\\x.exe", "C__Windows_x.exe"),
        ("a\x00b\r\nc.png", "abc.png"),
        ("photo\u202egpj.exe", "photogpj.exe"),  # right-to-left: would read photoexe.jpg
        (".bashrc", "bashrc"),
        ('a"b;c.png', "a_b;c.png"),
        *((empty, "instead.png") for empty in ("", ".", "..", "/", "\u202e", "   ", "///", "\ud800")),
    ],
)
def test_a_name_is_made_harmless(original, name):
    assert download_name(original, "instead.png") == name


def test_a_long_name_keeps_its_ending():
    name = download_name("长" * 300 + ".pdf", "x")
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert name.endswith("长.pdf")


def test_what_looks_like_an_endless_ending_is_cut():
    assert len(download_name("a." + "b" * 400, "x").encode()) <= MAX_NAME_BYTES


@given(st.text(max_size=400))
def test_no_name_is_a_path_or_breaks_a_header(original):
    name = download_name(original, "instead.png")
    assert 0 < len(name.encode()) <= MAX_NAME_BYTES
    assert not {"/", "\\", "\x00", "\r", "\n"} & {*name}
    assert not name.startswith(".")
    value = content_disposition("image/png", name)
    assert value.isascii()
    assert value.isprintable()
    assert re.fullmatch(r"inline; filename=\"[^\"\\/%]+\"(; filename\*=UTF-8''[A-Za-z0-9._~%-]+)?", value)


@given(st.text(max_size=100))
def test_the_receiver_reads_the_name_that_was_meant(original):
    name = download_name(original, "instead.png")
    value = content_disposition("image/png", name)
    extended = re.search(r"filename\*=UTF-8''(.*)", value)
    if extended:
        assert unquote(extended[1]) == name
    else:
        header = Message()
        header["content-disposition"] = value
        assert header.get_filename() == name


def test_what_compatibility_makes_of_a_wide_quotation_mark_ends_nothing():
    assert content_disposition("image/png", download_name("a\uff02\uff0fb.png", "x")).startswith(
        'inline; filename="a__b.png";'
    )


@every_row("bad", ["", "image", "image/png; x", "image/png\r\nx: y", "IMAGE/PNG", "a/b/c", "text/ html"])
def test_a_type_that_is_none_is_bytes(bad):
    assert content_type(bad) == "application/octet-stream"


def test_a_well_formed_type_is_sent_unchanged():
    assert content_type("image/svg+xml") == "image/svg+xml"
