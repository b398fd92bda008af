"""A reply: what the person wrote now, and what it answers (webwx 3.6)."""

from __future__ import annotations

import pytest

from tests.unit.wechat.webwx.entries import app
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx.content import Content


def quote(kind: int, said: str) -> Content:
    refer = (
        f"<refermsg><type>{kind}</type><svrid>123</svrid><fromusr>wxid_x</fromusr><chatusr>wxid_y</chatusr>"
        f"<displayname>晓梅</displayname><content>{said}</content></refermsg>"
    )
    return app(f"<title>yes</title><type>57</type>{refer}")


def test_a_quote_of_a_text() -> None:
    found = quote(1, "shall &amp;lt;we&amp;gt;?")
    assert (found.kind, found.text) == (Kind.QUOTE, "yes")
    assert found.detail == {"id": "123", "kind": "text", "text": "shall <we>?", "sender": "晓梅"}


def app_xml(number: int, title: str) -> str:
    return (
        f"&lt;msg&gt;&lt;appmsg&gt;&lt;title&gt;{title}&lt;/title&gt;&lt;type&gt;{number}&lt;/type&gt;"
        "&lt;/appmsg&gt;&lt;/msg&gt;"
    )


@pytest.mark.parametrize(
    ("kind", "said", "answered", "line"),
    [
        (3, "&lt;msg&gt;&lt;img/&gt;&lt;/msg&gt;", "image", "[image]"),
        (34, "", "voice", "[voice]"),
        (42, "", "card", "[contact card]"),
        (43, "", "video", "[video]"),
        (47, "", "sticker", "[sticker]"),
        (48, "", "location", "[location]"),
        (99, "x", "unsupported", "[a message that web WeChat cannot show]"),
        (49, app_xml(57, "Q"), "quote", "Q"),
        (49, app_xml(5, "L"), "link", "L"),
        (49, app_xml(6, "a.pdf"), "file", "a.pdf"),
        (49, app_xml(2000, ""), "transfer", "[transfer]"),
        (49, "broken", "link", "[link]"),
    ],
)
def test_quotes_of_other_kinds(kind: int, said: str, answered: str, line: str) -> None:
    found = quote(kind, said)
    assert (found.detail["kind"], found.detail["text"]) == (answered, line)


def test_a_quote_of_something_long_is_one_line() -> None:
    told = quote(1, "x" * 5000 + "\ny").detail["text"]
    assert isinstance(told, str)
    assert len(told) == 501


def test_a_quote_of_nothing() -> None:
    assert app("<title>yes</title><type>57</type>").detail == {
        "kind": "unsupported",
        "text": "[a message that web WeChat cannot show]",
    }
