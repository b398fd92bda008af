"""Names of files: everything harmless stays, and nothing leads into another folder or hides what it is."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wx2mqtt.file_names import clean_filename, cut_filename, extension_of, utf8_size
from wx2mqtt.limits import MAX_FILENAME_BYTES

ANY = st.text(st.characters(exclude_categories=[]), max_size=400)


@pytest.mark.parametrize(
    "name",
    [
        '12:30 *what?* "a" <b> | c & d.pdf',
        "two   words .txt",
        ".hidden",
        "Makefile",
        "v1.2.",
        "a%20b.txt",
        "图.png",
    ],
)
def test_every_harmless_character_stays(name: str) -> None:
    assert clean_filename(name) == name


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("C:\\a.doc", "C:_a.doc"),
        ("a\0b\r\nc\td.txt", "abcd.txt"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("\u2066a\u2069\u200e\u200f\u061c.txt", "a.txt"),
        ("a\u2028b", "ab"),
        ("\ud83d.txt", ".txt"),
        (" a ", "a"),
        ("..", ""),
        (". .", ""),
        ("\u200b", ""),
        ("", ""),
    ],
)
def test_what_goes(name: str, cleaned: str) -> None:
    assert clean_filename(name) == cleaned


@given(ANY)
@example("\u202e..")
def test_a_cleaned_name_is_clean(name: str) -> None:
    cleaned = cut_filename(clean_filename(name))
    assert utf8_size(cleaned) <= MAX_FILENAME_BYTES
    assert not set(cleaned) & set("\\/\r\n\0\u202e\u200f")
    assert cleaned not in {".", ".."}
    assert cut_filename(clean_filename(cleaned)) == cleaned


@pytest.mark.parametrize(
    ("name", "extension"),
    [("a.pdf", "pdf"), ("a.tar.gz", "gz"), ("a", ""), ("a.b c", ""), ("a.报告", ""), ("a." + "x" * 13, "")],
)
def test_what_an_extension_is(name: str, extension: str) -> None:
    assert extension_of(name) == extension


def test_a_control_character_before_an_accent_does_not_leave_it_apart() -> None:
    assert clean_filename("e\t\u0301.txt") == "\u00e9.txt"
