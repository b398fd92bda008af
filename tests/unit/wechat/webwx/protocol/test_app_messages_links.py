"""Links, articles, music, coupons, mini programs and channels (webwx 3.6.3, 3.6.4)."""

from __future__ import annotations

import pytest

from tests.support.rows import every_row
from tests.unit.wechat.webwx.entries import app, app_of_type, bare_app, entry, escaped
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx.protocol.app_messages import MAX_ARTICLES, reader_message
from wx2mqtt.wechat.webwx.protocol.content import Content


def test_a_link() -> None:
    content = app(
        "<title>News &amp; more</title><des>D</des><type>5</type><url>http://a/?x=1&amp;amp;y=2</url>",
        "<appinfo><version>1</version><appname>App</appname></appinfo>",
    )
    assert content == Content(
        kind=Kind.LINK,
        text="[link] News & more",
        detail={"title": "News & more", "description": "D", "url": "http://a/?x=1&y=2", "source": "App"},
    )


def articles(count: int, account: str = "") -> str:
    items = "".join(
        f"<item><title>A{n}</title><url>http://{n}</url><digest>d</digest></item>" for n in range(count)
    )
    return f"<mmreader><category>{account}{items}</category></mmreader>"


def test_several_articles() -> None:
    content = app(f"<title>A0</title><type>5</type><url>http://0</url>{articles(3)}")
    assert (content.detail["title"], content.detail["url"]) == ("A0", "http://0")
    assert content.detail["items"] == [
        {"title": f"A{n}", "url": f"http://{n}", "description": "d"} for n in (1, 2)
    ]


def test_articles_without_end_are_cut() -> None:
    items = app(f"<type>5</type>{articles(MAX_ARTICLES + 50)}").detail["items"]
    assert isinstance(items, list)
    assert len(items) == MAX_ARTICLES - 1


def test_articles_that_come_as_text() -> None:
    content = reader_message(entry(), escaped(articles(2, "<name>News</name>")), "en")
    assert content is not None
    assert content.text == "[link] A0"
    assert content.detail == {
        "title": "A0",
        "url": "http://0",
        "description": "d",
        "source": "News",
        "items": [{"title": "A1", "url": "http://1", "description": "d"}],
    }
    assert reader_message(entry(), escaped(f"<msg>{articles(1)}</msg>"), "en") is not None
    assert reader_message(entry(), "about mmreader", "en") is None


def test_a_reader_message() -> None:
    assert bare_app(escaped(articles(1)), AppMsgType=100001).detail["title"] == "A0"
    assert bare_app(escaped("<mmreader/>"), AppMsgType=100001, FileName="F").detail == {"title": "F"}


def test_music() -> None:
    content = app_of_type(3, "<des>朴树</des><url>http://page</url><dataurl>http://song.mp3</dataurl>")
    assert content.detail == {
        "title": "T",
        "description": "朴树",
        "url": "http://page",
        "audio": "http://song.mp3",
    }


@every_row("app_type", [4, 7, 10, 13, 15, 16, 115])
def test_videos_shops_gifts_and_the_like_are_links(app_type: int) -> None:
    content = app_of_type(app_type, "<url>http://x</url>")
    assert (content.kind, content.detail) == (Kind.LINK, {"title": "T", "url": "http://x"})


def test_a_coupon_names_its_shop() -> None:
    item = "<carditem><card_type_name>兑换券</card_type_name><brand_name>咖啡馆</brand_name></carditem>"
    assert app_of_type(16, item).detail == {"title": "T", "source": "咖啡馆"}
    assert app(f"<type>16</type>{item}").text == "[link] 兑换券"


@pytest.mark.parametrize("app_type", [33, 36])
def test_a_mini_program(app_type: int) -> None:
    more = "<url>http://u</url><sourcedisplayname>App</sourcedisplayname><weappinfo><pagepath>p/x</pagepath></weappinfo>"
    content = app_of_type(app_type, more)
    assert (content.kind, content.text) == (Kind.MINI_PROGRAM, "[mini program] T")
    assert content.detail == {"title": "T", "url": "http://u", "app": "App", "page": "p/x"}


@every_row("app_type", [51, 63])
@every_row("tag", ["finderFeed", "finderLive"])
def test_channels_have_the_text_of_the_feed_in_place_of_the_title(app_type: int, tag: str) -> None:
    content = app_of_type(app_type, f"<{tag}><nickname>N</nickname><desc>D</desc></{tag}>")
    assert (content.kind, content.text, content.detail) == (
        Kind.LINK,
        "[link] D",
        {"title": "D", "source": "N"},
    )
