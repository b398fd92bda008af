"""XML from strangers can be read or is nothing; it never fails, hangs or reads files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.wechat.webwx import xml

BOMB = (
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    + "]><msg>&j;</msg>"
)


def test_text_attributes_and_children_are_found() -> None:
    root = xml.parse_plain('<msg><a k = "v">x</a><a>y</a><b><c> z </c></b></msg>')
    assert root.tag == "msg"
    assert root.at("a").attribute("k") == "v"
    assert root.text("b/c") == "z"
    assert [node.text(".") for node in root.each("a")] == ["x", "y"]


def test_what_is_missing_is_empty() -> None:
    missing = xml.parse_plain("<msg/>").at("a/b")
    assert not missing
    assert (missing.tag, missing.text("x"), missing.attribute("y"), list(missing.each("z"))) == (
        "",
        "",
        "",
        [],
    )
    assert not missing.at("more")


@pytest.mark.parametrize(
    "source",
    [
        "",
        "no xml",
        "<open>",
        "<a></b>",
        BOMB,
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        "<a>" * 200_000,
        "x" * (xml.LIMIT + 1),
    ],
)
def test_what_attacks_or_is_broken_is_nothing(source: str) -> None:
    assert not xml.parse(source)
    assert not xml.parse_plain(source)


def test_a_declared_encoding_does_not_matter() -> None:
    assert xml.parse('<?xml version="1.0" encoding="gb2312"?><x>\u4e2d</x>').text(".") == "\u4e2d"


def test_deep_nesting_is_no_trouble() -> None:
    deep = 15_000
    root = xml.parse_plain("<a>" * deep + "</a>" * deep)
    assert root.text("b") == ""


def test_common_faults_are_mended() -> None:
    root = xml.parse_plain("<m><u>http://x/?a=1&b=2&amp;c</u><t>a\x0bb</t></m>")
    assert root.text("u") == "http://x/?a=1&b=2&c"
    assert root.text("t") == "ab"


@given(st.text(alphabet='<>/&;"= amsg![]CDAT-?\ud800', max_size=60))
def test_no_text_makes_it_fail(source: str) -> None:
    xml.parse(source)
    xml.parse_plain(source)
