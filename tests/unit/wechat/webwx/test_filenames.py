"""Names that arrive: short enough, with their extension, harmless, never empty."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx import filenames
from wx2mqtt.wechat.webwx.filenames import TITLE, UPLOADED

ANY = st.text(st.characters(exclude_categories=[]), min_size=1, max_size=400)
KINDS = st.sampled_from(
    [
        (Kind.FILE, "application/pdf"),
        (Kind.IMAGE, "image/jpeg"),
        (Kind.STICKER, "image/gif"),
        (Kind.VIDEO, "video/mp4"),
    ]
)


@given(name=ANY, sort=KINDS, ending=st.sampled_from(["", ".pdf", ".jpg", ".MP4", ".tar.gz"]))
def test_every_name_becomes_one_that_can_be_sent(name: str, sort: tuple[Kind, str], ending: str) -> None:
    for make, size, limit in (
        (filenames.title, lambda made: len(made.encode()), TITLE),
        (filenames.uploaded, lambda made: len(quote(made, safe="")), UPLOADED),
    ):
        made = make(name + ending, *sort)
        assert 0 < size(made) <= limit
        assert not set(made) & set('\\/:*?"<>|\r\n\0\u202e\u200f')
        assert not made.endswith((".", " "))
        assert make(made, *sort) == made


@given(name=ANY)
def test_every_name_that_comes_in_becomes_one_that_leads_nowhere(name: str) -> None:
    received = filenames.received(name)
    assert len(received.encode()) <= TITLE
    assert not set(received) & set("\\/\r\n\0\u202e\u200f")
    assert received not in {".", ".."}


@pytest.mark.parametrize("name", ["季度报告 (1) & <x>.pdf", ".hidden", "Makefile", "e\u0301?.txt", ""])
def test_a_name_that_does_no_harm_comes_in_as_it_is(name: str) -> None:
    assert filenames.received(name) == name


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("季度报告.pdf", "季度报告.pdf"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("..", "file"),
        ("a\x00b\r\nc\u202egpj.exe", "ab cgpj.exe"),
        ("\u200f\u200b", "file"),
        ("  two   words .txt ", "two words .txt"),
        ('a"b<c>|?*:\\.doc', "a_b_c______.doc"),
        ("e\u0301.txt", "é.txt"),
        ("👨\u200d👩\u200d👧.png", "👨\u200d👩\u200d👧.png"),
        ("no extension", "no extension"),
    ],
)
def test_what_becomes_of_a_name(name: str, made: str) -> None:
    assert filenames.title(name, Kind.FILE, "application/octet-stream") == made


@pytest.mark.parametrize(
    ("name", "kind", "mime", "made"),
    [
        ("photo", Kind.IMAGE, "image/jpeg", "photo.jpg"),
        ("photo.JPEG", Kind.IMAGE, "image/jpeg", "photo.JPEG"),
        ("photo.heic", Kind.IMAGE, "image/png", "photo.heic.png"),
        ("v1.2", Kind.VIDEO, "video/mp4", "v1.2.mp4"),
        ("funny", Kind.STICKER, "image/gif", "funny.gif"),
        ("photo", Kind.FILE, "image/jpeg", "photo"),
        ("..", Kind.IMAGE, "image/bmp", "image.bmp"),
    ],
)
def test_pictures_and_videos_end_as_wechat_expects(name: str, kind: Kind, mime: str, made: str) -> None:
    assert filenames.title(name, kind, mime) == made


def test_a_long_name_is_cut_before_its_extension() -> None:
    """webwx 2.14: 16 Chinese characters are known to pass, 17 to fail; the receiver sees the long name."""
    name = "报" * 17 + ".xlsx"
    assert filenames.uploaded(name, Kind.FILE, "") == "报" * 15 + ".xlsx"
    assert filenames.uploaded("报" * 16 + ".doc", Kind.FILE, "") == "报" * 16 + ".doc"
    assert filenames.title(name, Kind.FILE, "") == name
    assert filenames.title("x" * 300 + ".pdf", Kind.FILE, "") == "x" * (TITLE - 4) + ".pdf"
    for gap in (" ", ".", "\u200d"):
        assert filenames.title("x" * 235 + gap + "y" * 9 + ".pdf", Kind.FILE, "") == "x" * 235 + ".pdf"
    assert filenames.uploaded("x" * 100_000, Kind.FILE, "") == "x" * UPLOADED


@pytest.mark.parametrize(
    ("name", "extension"),
    [("a.pdf", "pdf"), ("a.tar.gz", "gz"), ("a", ""), ("a.b c", ""), ("a.报告", ""), ("a." + "x" * 13, "")],
)
def test_what_an_extension_is(name: str, extension: str) -> None:
    assert filenames.extension(name) == extension
