"""Topic names from any name that a person can choose."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.bridge.people.topic_names import (
    base_topic_name,
    clean_topic_name,
    cut_topic_name,
    topic_name_candidates,
    unique_topic_name,
)
from wx2mqtt.limits import MAX_CHOSEN_TOPIC_NAME_BYTES
from wx2mqtt.model import ChatKind, PersonId
from wx2mqtt.store.person_records import Person

FAMILY = "👨\u200d👩\u200d👧\u200d👦"


def topic_name(
    *names: str, kind: ChatKind = ChatKind.FRIEND, taken: set[str] | None = None, style="unicode"
) -> str:
    return unique_topic_name(names, kind, style, (taken or set()).__contains__, {})


@every_row(
    ("remark", "nickname", "is_owner", "expected"),
    [
        ("老婆", "Lily", False, "老婆"),
        ("", "Lily", False, "Lily"),
        ("", "Lily", True, "Lily"),
        ("", "", True, "owner"),
        ("", "", False, "friend"),
    ],
)
def test_the_remark_counts_then_the_nickname(remark, nickname, is_owner, expected) -> None:
    person = Person(
        id=PersonId(1),
        topic_name="",
        kind=ChatKind.FRIEND,
        handle=None,
        login_id="1",
        matched_by="new",
        remark=remark,
        nickname=nickname,
    )
    assert topic_name(*topic_name_candidates(person, is_owner=is_owner)) == expected


@every_row(
    ("name", "expected"),
    [
        ("老婆", "老婆"),
        ("Anna Maria", "Anna_Maria"),
        ("  Bob\n", "Bob"),
        ("a\tb\u3000c", "a_b_c"),
        ("/", "_"),
        ("+", "_"),
        ("#", "_"),
        ("*", "_"),
        (">", "_"),
        ("a.b", "a_b"),
        ("$SYS", "_SYS"),
        ("$SYS/#", "_SYS__"),
        ("x/../y", "x____y"),
        ("BOB", "BOB"),
        ("😀🎉", "😀🎉"),
        (FAMILY, FAMILY),
        ("❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥"),
        ("\u202eevil\u202c", "evil"),
        ("\u200fדוד\u200e", "דוד"),
        ("a\x00b\x07c\x7f", "abc"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("half\ud83d", "half"),
        ("un\u0378assigned", "unassigned"),
        ("Jose\u0301", "José"),
        ("e\u200b\u0301", "é"),
    ],
)
def test_a_name_becomes_one_level(name: str, expected: str) -> None:
    assert topic_name(name) == expected


@every_row(
    "name",
    [
        "Li\u200dly",
        "Li\u200cly",
        "Lily\ufe0f",
        "Lily\ufe0f\ufe0f\ufe0f",
        "L\U000e0101ily",
        "\u2066Lily\u2069",
    ],
)
def test_marks_that_nobody_sees_do_not_make_another_name(name: str) -> None:
    assert clean_topic_name(name) == "Lily"


@every_row("name", ["a+\ufe0f", "a+\ufe0f\ufe0f", "a+\u200d", "a>\ufe0f"])
def test_a_sign_that_is_replaced_leaves_no_mark_that_nobody_sees(name: str) -> None:
    assert clean_topic_name(name) == "a_"


@given(st.text(alphabet="a+>\ufe0f\u200d\U000e0101\u0301😀❤🔥 \u202e", max_size=12))
def test_a_level_is_its_own_level(name: str) -> None:
    assert clean_topic_name(clean_topic_name(name)) == clean_topic_name(name)


@every_row("name", ["", " ", "\u200b", "\u202e", "\u3164", "\u2800\u115f", "\ufe0f", "\x00"])
@every_row(
    ("kind", "expected"),
    [
        (ChatKind.FRIEND, "friend"),
        (ChatKind.GROUP, "group"),
        (ChatKind.OFFICIAL, "account"),
        (ChatKind.SYSTEM, "account"),
        (ChatKind.SELF, "self"),
    ],
)
def test_a_name_that_shows_nothing_is_called_by_its_kind(name: str, kind: ChatKind, expected: str) -> None:
    assert topic_name(name, kind=kind) == expected


def test_the_remark_goes_before_the_nickname_and_an_empty_one_does_not() -> None:
    assert topic_name("老婆", "Lily") == "老婆"
    assert topic_name("\u200b", "Lily") == "Lily"


def test_two_with_the_same_name_get_numbers() -> None:
    assert topic_name("Bob", taken={"Bob"}) == "Bob-2"
    assert topic_name("Bob", taken={"Bob", "Bob-2"}) == "Bob-3"


def test_thousands_of_equal_names_are_counted_on_and_not_from_the_start() -> None:
    assigned: set[str] = set()
    hints: dict[str, int] = {}
    for _ in range(5000):
        assigned.add(unique_topic_name(["Bob"], ChatKind.FRIEND, "unicode", assigned.__contains__, hints))
    assert len(assigned) == 5000
    assert "Bob-5000" in assigned


@given(
    st.text(st.characters(categories=["L", "N"], exclude_characters="\u115f\u1160\u3164\uffa0"), max_size=20)
)
def test_letters_and_digits_are_cleaned_as_they_are_beside_a_sign(name: str) -> None:
    assert clean_topic_name(name) == clean_topic_name(f"{name}/")[:-1]


def test_lookalikes_are_different_names_and_case_is_kept() -> None:
    assert (
        len(
            {
                clean_topic_name("Anna"),
                clean_topic_name("Аnna"),
                clean_topic_name("anna"),
                clean_topic_name("Ａnna"),
            }
        )
        == 4
    )


def test_composed_and_decomposed_are_one_name() -> None:
    assert clean_topic_name("é") == clean_topic_name("e\u0301") == "é"


@pytest.mark.parametrize("style", ["unicode", "pinyin"])
def test_only_the_file_helper_is_called_filehelper(style: str) -> None:
    assert topic_name("filehelper", style=style) == "filehelper-2"
    assert topic_name("file\u200bhelper", taken={"filehelper-2"}) == "filehelper-3"


def test_a_long_name_is_cut_between_characters() -> None:
    assert topic_name("长" * 200) == "长" * 21
    assert topic_name(FAMILY * 5) == FAMILY * 2
    assert topic_name("🇨🇳" * 20) == "🇨🇳" * 8
    assert topic_name("a" * 63 + "e\u0301") == "a" * 63
    assert topic_name("👍🏽" * 9) == "👍🏽" * 8


def test_a_long_name_leaves_room_for_its_number() -> None:
    assert topic_name("长" * 200, taken={"长" * 21}) == "长" * 20 + "-2"


def test_a_character_longer_than_the_limit_is_cut_nevertheless() -> None:
    zalgo = "a" + "\u0335" * 200
    assert 0 < len(topic_name(zalgo).encode()) <= MAX_CHOSEN_TOPIC_NAME_BYTES


def test_cutting_to_the_limit_leaves_what_fits_alone() -> None:
    assert cut_topic_name("a" * 64, 64) == "a" * 64


@given(st.text(max_size=200), st.sampled_from(ChatKind), st.sets(st.sampled_from(["friend", "_", "a", "0"])))
def test_whatever_the_name_the_level_is_one_that_a_broker_takes(
    name: str, kind: ChatKind, taken: set[str]
) -> None:
    made = topic_name(name, kind=kind, taken=taken)
    assert made
    assert made not in taken
    assert len(made.encode()) <= MAX_CHOSEN_TOPIC_NAME_BYTES
    assert not set(made) & set("/+#.*>$")
    assert not any(mark.isspace() or unicodedata.category(mark) in {"Cc", "Cs", "Cn"} for mark in made)
    assert unicodedata.normalize("NFC", made) == made
    assert base_topic_name([made], kind, "unicode") == made or made == "filehelper-2"


@every_row(
    ("name", "expected"),
    [
        ("老婆", "laopo"),
        ("重庆 老王", "chongqing_laowang"),
        ("张三(Work) 2", "zhangsanwork_2"),
        ("José Ñandú", "jose_nandu"),
        ("女儿", "nver"),
        ("绿略虐 谁 〇", "lvlvenve_shui_ling"),
        ("长城 银行 行者", "changcheng_yinhang_xingzhe"),
        ("\U00020000", "he"),
        ("$SYS/#", "_sys__"),
        ("Ⅷ", "viii"),
        ("😀🎉", "friend"),
        ("Аня", "friend"),
        ("", "friend"),
    ],
)
def test_pinyin_is_plain_letters_and_falls_back(name: str, expected: str) -> None:
    assert topic_name(name, style="pinyin") == expected


def test_pinyin_tries_the_nickname_when_the_remark_cannot_be_spelled() -> None:
    assert topic_name("😀", "小王", style="pinyin") == "xiaowang"


@given(st.text(max_size=60))
def test_pinyin_never_leaves_its_letters(name: str) -> None:
    assert set(topic_name(name, style="pinyin")) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")


COMMON = "".join(
    bytes([row, cell]).decode("gb2312", "ignore") for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF)
)
"""The 3,755 characters of the first level of GB 2312, which are ordered by their readings."""


def test_common_characters_are_read_as_on_a_keyboard() -> None:
    readings = [topic_name(mark, style="pinyin") for mark in COMMON]
    assert len(COMMON) == 3755
    digest = hashlib.sha256(" ".join(readings).encode()).hexdigest()
    assert digest == "6bc02f8a2daccaf409f3806e28cb2527841d6468f65af368a82e477accef47fb", (
        "topic names of new people would change"
    )


def test_pinyin_is_not_loaded_by_those_who_do_not_want_it() -> None:
    code = (
        "import sys; from wx2mqtt.bridge.people.registry import PeopleRegistry; from wx2mqtt.bridge.people.topic_names import base_topic_name;"
        "from wx2mqtt.model import ChatKind; base_topic_name(['x'], ChatKind.FRIEND, 'unicode');"
        "sys.exit('anyascii' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
