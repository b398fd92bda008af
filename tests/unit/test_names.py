"""Names, and those of files: everything harmless stays, and nothing leads into another folder or hides what it is."""

from __future__ import annotations

import sys
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.cost import cpu_seconds, is_in_proportion, repeated
from tests.support.rows import every_row
from wx2mqtt.limits import MAX_FILENAME_BYTES
from wx2mqtt.names import clean_filename, composed, cut_filename, extension_of, printable, utf8_size

ANY = st.text(st.characters(exclude_categories=[]), max_size=400)


@every_row(
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


@every_row(
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
def test_what_does_harm_in_a_file_name_is_removed(name: str, cleaned: str) -> None:
    assert clean_filename(name) == cleaned


@given(ANY)
@example("\u202e..")
def test_a_cleaned_name_is_clean(name: str) -> None:
    cleaned = cut_filename(clean_filename(name))
    assert utf8_size(cleaned) <= MAX_FILENAME_BYTES
    assert not set(cleaned) & set("\\/\r\n\0\u202e\u200f")
    assert cleaned not in {".", ".."}
    assert cut_filename(clean_filename(cleaned)) == cleaned


@every_row(
    ("name", "extension"),
    [("a.pdf", "pdf"), ("a.tar.gz", "gz"), ("a", ""), ("a.b c", ""), ("a.报告", ""), ("a." + "x" * 13, "")],
)
def test_what_an_extension_is(name: str, extension: str) -> None:
    assert extension_of(name) == extension


def test_a_control_character_before_an_accent_does_not_leave_it_apart() -> None:
    assert clean_filename("e\t\u0301.txt") == "\u00e9.txt"


# Marks whose order NFC reverses again and again, with a combining class of their own or by what they consist of.
MARKS_OUT_OF_ORDER = ("\u0301\u0327", "\u0f73", "\u0344\u0327", "\u0316\u0301\u0334", "\U0001d165\U0001d16d")


@every_row("marks", MARKS_OUT_OF_ORDER)
@every_row("function", [composed, clean_filename])
def test_marks_in_a_row_cost_no_more_than_in_proportion(function, marks: str) -> None:
    assert is_in_proportion(lambda size: function("a" + repeated(marks, size)), 20_000)
    assert cpu_seconds(lambda: function("a" + repeated(marks, 20_000))) < 0.1


def test_all_that_nfc_sorts_is_a_mark() -> None:
    for character in map(chr, range(sys.maxunicode + 1)):
        parts = unicodedata.normalize("NFD", character)
        if unicodedata.combining(parts[0]):
            assert unicodedata.category(character)[0] == "M"


@given(ANY)
@example("e\u0301")
def test_a_name_without_so_many_marks_is_composed_as_unicode_says(name: str) -> None:
    assert composed(name) == unicodedata.normalize("NFC", name)
    longer = "x" * 600 + name
    assert composed(longer) == unicodedata.normalize("NFC", longer)


@given(st.text())
def test_what_is_printable_stays_and_the_rest_is_escaped(text):
    assert printable(text).isprintable()
    assert not text.isprintable() or printable(text) == text
