"""Text comes out as it was written (webwx 3.3, 3.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.wechat.webwx import text


def span(code: str) -> str:
    return f'<span class="emoji emoji{code}"></span>'


@pytest.mark.parametrize(
    ("content", "meant"),
    [
        ("hello", "hello"),
        ("one<br/>two<br>three", "one\ntwo\nthree"),
        ("&lt;b&gt; &quot;x&quot; &#39;y&#39; &apos;z&apos; a &amp; b", "<b> \"x\" 'y' 'z' a & b"),
        ("&amp;lt;", "&lt;"),
        ("&amp;amp;", "&amp;"),
        ("&lt;br/&gt;", "<br/>"),
        ("a < b", "a < b"),
        ("&unknown; &", "&unknown; &"),
        ("[微笑][Smile]", "[微笑][Smile]"),
        (span("1f604"), "😄"),
        (span("2600"), "☀"),
        (span("2320e3"), "#\u20e3"),
        (span("1f1e81f1f3"), "🇨🇳"),
        (span("1F604"), "😄"),
        (span("26f9fe0f"), "\u26f9\ufe0f"),
        ('x<span class="emoji emoji1f450"></span y', "x👐 y"),
        (span("1f63c"), "😁"),
        (span("1f639") + span("1f63a") + span("1f4ab") + span("1f64d"), "😂😃😖😔"),
        (span("1f63b") + span("1f63d") + span("1f64e") + span("1f63f"), "😍😘😡😢"),
        (span("d83d"), "\ufffd"),
        (span("1fffff"), "\ufffd\uffff"),
        ('<span class="other"></span>', '<span class="other"></span>'),
    ],
)
def test_what_the_server_did_is_undone(content: str, meant: str) -> None:
    assert text.plain(content) == meant


@given(st.text())
def test_whatever_is_typed_comes_back(typed: str) -> None:
    sent = typed.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    assert text.plain(sent.replace("'", "&#39;").replace("\n", "<br/>")) == typed


@given(st.text(alphabet='<>&;#spanclemoji1f/"= 0x', max_size=80))
def test_fragments_of_markup_never_fail(content: str) -> None:
    assert isinstance(text.plain(content), str)
    assert isinstance(text.xml_of(content), str)
    assert isinstance(text.system_text(content), str)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("", ""),
        (" 晓梅 ", "晓梅"),
        (f"晓梅{span('1f338')}", "晓梅🌸"),
        ("Han &amp; Co &lt;3", "Han & Co <3"),
        ("a<br/>b\tc\x00d", "a b c d"),
    ],
)
def test_names_are_one_clean_line(raw: str, name: str) -> None:
    assert text.name(raw) == name


def test_system_texts_lose_their_links() -> None:
    told = (
        "X开启了朋友验证。请先&lt;a href=&quot;weixin://findfriend/verifycontact&quot;&gt;发送朋友验证请求&lt;/a&gt;"
        '<img src="hongbao.png"/> &lt;3'
    )
    assert text.system_text(told) == "X开启了朋友验证。请先发送朋友验证请求 <3"


def test_lines_are_cut() -> None:
    assert text.line(" a\n b ") == "a b"
    assert text.line("x" * 600) == "x" * 500 + "…"


def test_words_of_the_server_lose_markup_and_control_characters() -> None:
    assert text.said_by_server("<p>no\x1b[31m</p>&lt;b&gt;login&lt;/b&gt;") == "no [31m login"


def test_xml_is_unescaped_once_and_has_its_lines_back() -> None:
    assert text.xml_of("&lt;a&gt;<br/>&lt;b/&gt;&amp;amp;<br/>&lt;/a&gt;") == "<a>\n<b/>&amp;\n</a>"


def test_xml_that_is_not_escaped_keeps_its_own_entities() -> None:
    assert text.xml_of("  <a>x &amp;lt;<br/></a>") == "<a>x &amp;lt;\n</a>"
