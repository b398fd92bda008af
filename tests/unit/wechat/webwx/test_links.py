"""Articles, music, coupons, mini programs and channels (webwx 3.6)."""

from __future__ import annotations

import pytest

from tests.unit.wechat.webwx.entries import app, app_of_type, bare_app, entry, escaped
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx.content import Content
from wx2mqtt.wechat.webwx.links import ARTICLES, reader_message


def test_a_link() -> None:
    found = app(
        "<title>News &amp; more</title><des>D</des><type>5</type><url>http://a/?x=1&amp;amp;y=2</url>",
        "<appinfo><version>1</version><appname>App</appname></appinfo>",
    )
    assert found == Content(
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
    found = app(f"<title>A0</title><type>5</type><url>http://0</url>{articles(3)}")
    assert (found.detail["title"], found.detail["url"]) == ("A0", "http://0")
    assert found.detail["items"] == [
        {"title": f"A{n}", "url": f"http://{n}", "description": "d"} for n in (1, 2)
    ]


def test_articles_without_end_are_cut() -> None:
    items = app(f"<type>5</type>{articles(ARTICLES + 50)}").detail["items"]
    assert isinstance(items, list)
    assert len(items) == ARTICLES - 1


def test_articles_that_come_as_text() -> None:
    found = reader_message(entry(), escaped(articles(2, "<name>News</name>")), "en")
    assert found is not None
    assert found.text == "[link] A0"
    assert found.detail == {
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
    found = app_of_type(3, "<des>朴树</des><url>http://page</url><dataurl>http://song.mp3</dataurl>")
    assert found.detail == {
        "title": "T",
        "description": "朴树",
        "url": "http://page",
        "audio": "http://song.mp3",
    }


@pytest.mark.parametrize("number", [4, 7, 10, 13, 15, 16, 115])
def test_videos_shops_gifts_and_the_like_are_links(number: int) -> None:
    found = app_of_type(number, "<url>http://x</url>")
    assert (found.kind, found.detail) == (Kind.LINK, {"title": "T", "url": "http://x"})


def test_a_coupon_names_its_shop() -> None:
    item = "<carditem><card_type_name>兑换券</card_type_name><brand_name>咖啡馆</brand_name></carditem>"
    assert app_of_type(16, item).detail == {"title": "T", "source": "咖啡馆"}
    assert app(f"<type>16</type>{item}").text == "[link] 兑换券"


@pytest.mark.parametrize("number", [33, 36])
def test_a_mini_program(number: int) -> None:
    more = "<url>http://u</url><sourcedisplayname>App</sourcedisplayname><weappinfo><pagepath>p/x</pagepath></weappinfo>"
    found = app_of_type(number, more)
    assert (found.kind, found.text) == (Kind.MINI_PROGRAM, "[mini program] T")
    assert found.detail == {"title": "T", "url": "http://u", "app": "App", "page": "p/x"}


@pytest.mark.parametrize("number", [51, 63])
@pytest.mark.parametrize("tag", ["finderFeed", "finderLive"])
def test_channels_say_more_than_their_title(number: int, tag: str) -> None:
    found = app_of_type(number, f"<{tag}><nickname>N</nickname><desc>D</desc></{tag}>")
    assert (found.kind, found.text, found.detail) == (Kind.LINK, "[link] D", {"title": "D", "source": "N"})
