"""Texts are decoded; XML is parsed or gives nothing, and never fails, hangs or reads files (webwx 3.3, 3.4)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.limits import MAX_XML_CHARACTERS
from wx2mqtt.wechat.webwx.protocol import markup


def span(code: str) -> str:
    return f'<span class="emoji emoji{code}"></span>'


@every_row(
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
    assert markup.plain_text(content) == meant


@given(st.text())
def test_whatever_is_typed_comes_back(typed: str) -> None:
    sent = typed.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    assert markup.plain_text(sent.replace("'", "&#39;").replace("\n", "<br/>")) == typed


@given(st.text(alphabet='<>&;#spanclemoji1f/"= 0x', max_size=80))
def test_fragments_of_markup_never_fail(content: str) -> None:
    assert isinstance(markup.plain_text(content), str)
    assert isinstance(markup.extract_xml(content), str)
    assert isinstance(markup.system_text(content), str)


@every_row(
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
    assert markup.clean_name(raw) == name


def test_system_texts_lose_their_links() -> None:
    raw = (
        "X开启了朋友验证。请先&lt;a href=&quot;weixin://findfriend/verifycontact&quot;&gt;发送朋友验证请求&lt;/a&gt;"
        '<img src="hongbao.png"/> &lt;3'
    )
    assert markup.system_text(raw) == "X开启了朋友验证。请先发送朋友验证请求 <3"


def test_lines_are_cut() -> None:
    assert markup.clean_line(" a\n b ") == "a b"
    assert markup.clean_line("x" * 600) == "x" * 500 + "…"


def test_words_of_the_server_lose_markup_and_control_characters() -> None:
    assert markup.server_message("<p>no\x1b[31m</p>&lt;b&gt;login&lt;/b&gt;") == "no [31m login"


def test_xml_is_unescaped_once_and_has_its_lines_back() -> None:
    assert markup.extract_xml("&lt;a&gt;<br/>&lt;b/&gt;&amp;amp;<br/>&lt;/a&gt;") == "<a>\n<b/>&amp;\n</a>"


def test_xml_that_is_not_escaped_keeps_its_own_entities() -> None:
    assert markup.extract_xml("  <a>x &amp;lt;<br/></a>") == "<a>x &amp;lt;\n</a>"


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    + "]><msg>&j;</msg>"
)


def test_text_attributes_and_children_are_found() -> None:
    root = markup.parse_plain_xml('<msg><a k = "v">x</a><a>y</a><b><c> z </c></b></msg>')
    assert root.tag == "msg"
    assert root.find("a").attribute("k") == "v"
    assert root.text("b/c") == "z"
    assert [node.text(".") for node in root.find_all("a")] == ["x", "y"]


def test_what_is_missing_is_empty() -> None:
    missing = markup.parse_plain_xml("<msg/>").find("a/b")
    assert not missing
    assert (missing.tag, missing.text("x"), missing.attribute("y"), list(missing.find_all("z"))) == (
        "",
        "",
        "",
        [],
    )
    assert not missing.find("more")


@every_row(
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
        "x" * (MAX_XML_CHARACTERS + 1),
    ],
)
def test_what_attacks_or_is_broken_is_nothing(source: str) -> None:
    assert not markup.parse_xml(source)
    assert not markup.parse_plain_xml(source)


def test_a_declared_encoding_does_not_matter() -> None:
    assert markup.parse_xml('<?xml version="1.0" encoding="gb2312"?><x>\u4e2d</x>').text(".") == "\u4e2d"


def test_deep_nesting_is_no_trouble() -> None:
    deep = 15_000
    root = markup.parse_plain_xml("<a>" * deep + "</a>" * deep)
    assert root.text("b") == ""


def test_common_faults_are_mended() -> None:
    root = markup.parse_plain_xml("<m><u>http://x/?a=1&b=2&amp;c</u><t>a\x0bb</t></m>")
    assert root.text("u") == "http://x/?a=1&b=2&c"
    assert root.text("t") == "ab"


@given(st.text(alphabet='<>/&;"= amsg![]CDAT-?\ud800', max_size=60))
def test_no_text_makes_it_fail(source: str) -> None:
    markup.parse_xml(source)
    markup.parse_plain_xml(source)
