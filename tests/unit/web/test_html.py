"""HTML in which no text becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.web.html import Html, tag, together


def test_elements_stand_in_one_another():
    inner = tag("b", "you & me")
    assert tag("p", "To ", inner, None, class_="a", data_part="x") == (
        '<p class="a" data-part="x">To <b>you &amp; me</b></p>'
    )


def test_what_has_no_inside_has_no_end():
    assert tag("input", name="q", value='"<', required=True, hidden=False, maxlength=5, id=None) == (
        '<input name="q" value="&quot;&lt;" required maxlength="5">'
    )


def test_what_is_html_goes_in_as_it_is_and_all_else_is_escaped():
    assert together([Html("<i>"), "<i>", None]) == "<i>&lt;i&gt;"


class Read(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


hostile = st.text(st.sampled_from("<>&\"'=/ \n\tab\u202e\u4e2d") | st.characters(codec="utf-8"), max_size=40)


@given(hostile, hostile)
def test_no_text_and_no_value_gets_out_of_its_place(text, value):
    read = Read(tag("p", text, title=value))
    assert read.tags == ["p"]
    assert [name for name, _ in read.attributes] == ["title"]
    if "\r" not in text and "\0" not in text:
        assert read.text == text
