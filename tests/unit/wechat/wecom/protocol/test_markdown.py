import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from wx2mqtt.wechat.wecom.protocol.markdown import escaped, size_in_bytes


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("hello", "hello"),
        ("*a* _b_ `c`", "\\*a\\* \\_b\\_ \\`c\\`"),
        ("# no heading", "\\# no heading"),
        ("a # b > c - d", "a # b > c - d"),
        ("> no quote\n- no list", "\\> no quote\n\\- no list"),
        ("1. no list\n21.5 °C", "1\\. no list\n21.5 °C"),
        ("a & b &amp; c", "a & b \\&amp; c"),
        ("C:\\temp", "C:\\\\temp"),
        ("[x](http://y)", "\\[x\\](http://y)"),
    ],
)
def test_signs_of_markdown_are_escaped_where_they_mean_something(text, markdown):
    assert escaped(text) == markdown


def test_the_size_is_that_of_what_is_sent():
    assert size_in_bytes("*好") == 5


def shown(markdown: str) -> str:
    """Returns what a reader sees of one paragraph."""
    (inline,) = [token for token in MarkdownIt().parse(markdown) if token.type == "inline"]
    assert {child.type for child in inline.children or ()} <= {"text", "text_special"}
    return "".join(child.content for child in inline.children or ())


LINE = st.text(st.sampled_from("ab*_`[]()<>#+-.!|~&;=\\1 "), min_size=1).map(str.strip).filter(bool)


@given(LINE)
def test_a_line_is_shown_as_it_was_written(text):
    assert shown(escaped(text)) == text
