"""The assets of the pages, and HTML in which no text becomes markup."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from tests.support.web import application_client
from wx2mqtt.web.html import ASSET_TYPES, Assets, join_html, tag

ASSETS = Assets()


@pytest.mark.parametrize("file", ["page.css", "page.js", "icon.svg"])
async def test_a_file_is_served_under_a_name_that_changes_with_it_and_kept_for_ever(file):
    name = ASSETS.served_names[file]
    async with application_client([]) as http:
        answer = await http.get(f"/static/{name}")
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).hexdigest()[:12] in name
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == ASSET_TYPES[f".{file.rpartition('.')[2]}"]


@pytest.mark.parametrize("name", ["page.css", "page.000000000000.css", "../page.css", "%2e%2e", "x/y"])
async def test_another_name_leads_nowhere(name):
    async with application_client([]) as http:
        answer = await http.get(f"/static/{name}")
    assert answer.status_code == 404


def test_no_asset_names_another_host():
    for asset in ASSETS.by_served_name.values():
        addresses = re.findall(rb"(?:https?:)?//[a-z0-9.-]+\.[a-z]+[^\s\"']*", asset.data)
        assert set(addresses) <= {b"http://www.w3.org/2000/svg"}


def test_the_assets_are_small():
    assert sum(len(asset.data) for asset in ASSETS.by_served_name.values()) < 20_000


def test_elements_stand_in_one_another():
    inner = tag("b", "you & me")
    assert tag("p", "To ", inner, None, class_="a", data_part="x") == (
        '<p class="a" data-part="x">To <b>you &amp; me</b></p>'
    )


def test_what_has_no_inside_has_no_end():
    assert tag("input", name="q", value='"<', required=True, hidden=False, maxlength=5, id=None) == (
        '<input name="q" value="&#34;&lt;" required maxlength="5">'
    )


def test_what_is_html_goes_in_as_it_is_and_all_else_is_escaped():
    assert join_html([Markup("<i>"), "<i>", None]) == "<i>&lt;i&gt;"


class ParsedFragment(HTMLParser):
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
    parsed = ParsedFragment(tag("p", text, title=value))
    assert parsed.tags == ["p"]
    assert [name for name, _ in parsed.attributes] == ["title"]
    if "\r" not in text and "\0" not in text:
        assert parsed.text == text
