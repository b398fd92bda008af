"""The name of a file is a name: whatever a path, an address or a stranger made of it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wx2mqtt.bridge.files.names import LONGEST, check_name, clean, named
from wx2mqtt.errors import BadCommand

ENDINGS = st.sampled_from([".jpg", ".mp4", ".bin", ".txt"])


def is_good(name):
    try:
        check_name(name)
    except BadCommand:
        return False
    return True


@pytest.mark.parametrize(
    ("found", "name"),
    [
        ("/home/me/图.png", "图.png"),
        ("C:\\Users\\me\\a.doc", "a.doc"),
        ("/a/..", ""),
        ("/a/.", ""),
        ("/a/", ""),
        ("", ""),
        ("/a/.bashrc", ".bashrc"),
        ("a\0b.jpg", "ab.jpg"),
        ("a\tb\nc.jpg", "abc.jpg"),
        ("  a   b .jpg ", "a b .jpg"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("\ufeffa.txt", "a.txt"),
        ("e\u0301.txt", "\u00e9.txt"),
        ("👨\u200d👩\u200d👧.png", "👨\u200d👩\u200d👧.png"),
    ],
)
def test_what_is_found_at_the_end_of_a_path_is_made_good(found, name):
    assert clean(found) == name


@pytest.mark.parametrize("stem", ["x" * 300, "图" * 300, "👨\u200d👩" * 60, "x. " * 100])
@pytest.mark.parametrize("ending", [".jpg", ".tar", ".JPEG", ""])
def test_one_that_is_too_long_is_cut_and_keeps_its_extension(stem, ending):
    name = clean(stem + ending)
    assert LONGEST - 16 < len(name.encode()) <= LONGEST
    assert name.endswith(ending)
    assert is_good(name)


def test_what_looks_like_no_extension_is_cut_with_the_rest():
    assert clean("a." + "b" * 300) == "a." + "b" * (LONGEST - 2)


@given(st.text(max_size=400))
@example("..")
@example("a/..\\..")
@example("\u202e..")
def test_what_was_made_good_is_good_and_stays_so(found):
    name = clean(found)
    assert is_good(name)
    assert name not in {".", ".."}
    assert not set(name) & {"/", "\\", "\0"}
    assert clean(name) == name
    assert all(unicodedata.category(sign) not in {"Cc", "Zl", "Zp", "Cs"} for sign in name)


@given(st.text(max_size=300), ENDINGS, st.sampled_from(["image", "video", "file"]))
def test_every_file_has_a_name(found, ending, kind):
    name = named("", found, kind, ending)
    assert name
    assert is_good(name)


@pytest.mark.parametrize(
    ("given_name", "found", "kind", "ending", "name"),
    [
        ("", "", "image", ".jpg", "image.jpg"),
        ("", "", "video", ".mp4", "video.mp4"),
        ("", "", "file", ".bin", "file.bin"),
        ("", "/tmp/snap", "image", ".png", "snap.png"),
        ("", "/tmp/snap.jpeg", "image", ".jpg", "snap.jpeg"),
        ("holiday", "/tmp/snap.jpeg", "image", ".jpg", "holiday.jpg"),
        ("holiday.jpg", "/tmp/snap.jpeg", "image", ".jpg", "holiday.jpg"),
        ("LICENSE", "", "file", ".txt", "LICENSE.txt"),
        ("LICENSE", "", "file", ".bin", "LICENSE"),
        (" ", "", "file", ".txt", "file.txt"),
        ("v1.2", "", "file", ".txt", "v1.2"),
    ],
)
def test_a_name_that_is_given_wins_and_an_extension_is_added_where_there_is_none(
    given_name, found, kind, ending, name
):
    assert named(given_name, found, kind, ending) == name


@pytest.mark.parametrize(
    "name", ["a.pdf", "Bericht 1.pdf", "图.png", "..a", "a..b", ".x", "👨\u200d👩.png", "x" * LONGEST]
)
def test_a_plain_name_is_taken_as_it_is(name):
    assert is_good(name)


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "\\",
        "..",
        ".",
        "a\0",
        "a\r",
        "\x1b",
        "\x7f",
        "\u202e",
        "\u2066a",
        "\u200ea",
        "\u061c",
        "\u2028",
        "\ufeff",
    ],
)
def test_one_that_hides_something_is_refused(name):
    assert not is_good(name)
    assert not is_good("x" * (LONGEST + 1))
    assert not is_good("图" * 100)
