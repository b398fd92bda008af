"""Articles, music, coupons, mini programs and channels (webwx 3.6.3, 3.6.4).

Transfers and red packets, as app messages and as told by WeChat in three scripts (webwx 3.6, 3.10).
"""

from __future__ import annotations

import time

import pytest

from tests.unit.wechat.webwx.entries import app, app_of_type, bare_app, entry, escaped
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx.protocol.content import Content
from wx2mqtt.wechat.webwx.protocol.link_messages import MAX_ARTICLES, money_notice, reader_message


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
    items = app(f"<type>5</type>{articles(MAX_ARTICLES + 50)}").detail["items"]
    assert isinstance(items, list)
    assert len(items) == MAX_ARTICLES - 1


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


@pytest.mark.parametrize(
    ("fee", "sub", "detail"),
    [
        ("￥0.10", "1", {"amount": "0.10", "currency": "CNY", "state": "pending"}),
        ("¥1,234.50", "3", {"amount": "1234.50", "currency": "CNY", "state": "accepted"}),
        ("HK$5", "4", {"amount": "5", "currency": "HKD", "state": "returned"}),
        ("8.00", "5", {"amount": "8.00", "currency": "CNY"}),
        ("8.00", "8", {"amount": "8.00", "currency": "CNY", "state": "accepted"}),
        ("RMB 8", "9", {"amount": "8", "currency": "CNY", "state": "returned"}),
        ("EUR 3", "", {"amount": "3", "currency": "EUR"}),
        ("much", "", {}),
        ("", "1", {"state": "pending"}),
    ],
)
def test_a_transfer(fee: str, sub: str, detail: dict[str, str]) -> None:
    more = f"<wcpayinfo><paysubtype>{sub}</paysubtype><feedesc>{fee}</feedesc><pay_memo>rent</pay_memo></wcpayinfo>"
    found = app(f"<title>微信转账</title><type>2000</type>{more}")
    assert (found.kind, found.text) == (Kind.TRANSFER, f"[transfer] {fee or '微信转账'}")
    assert found.detail == {**detail, "note": "rent"}


@pytest.mark.parametrize("tag", ["title", "des"])
@pytest.mark.parametrize(
    "words", ["收到转账1.00元。如需收钱，请点此升级至最新版本", "Received transfer of ¥1.00"]
)
def test_a_transfer_that_is_told_in_words_only_has_their_amount(tag: str, words: str) -> None:
    found = app(f"<type>2000</type><{tag}>{words}</{tag}>")
    assert found.detail == {"amount": "1.00", "currency": "CNY"}


def test_a_red_packet() -> None:
    found = app(
        "<title>红包</title><type>2001</type><wcpayinfo><sendertitle>恭喜发财</sendertitle></wcpayinfo>"
    )
    assert (found.kind, found.text) == (Kind.RED_PACKET, "[red packet] 恭喜发财")
    assert found.detail == {"note": "恭喜发财"}


@pytest.mark.parametrize(
    "words",
    [
        "收到红包，请在手机上查看",
        "发出红包，请在手机上查看",
        "收到紅包，請在手機上查看",
        "發出紅包，請在手機上查看",
        "收到一个红包",
        "Red packet received. View on phone.",
        "Red packet sent. View on phone.",
        "You sent a red packet",
        "Lucky Money received. View on phone.",
    ],
)
def test_red_packets_that_are_told(words: str) -> None:
    assert money_notice(words) == Content(kind=Kind.RED_PACKET, text=words)


@pytest.mark.parametrize(
    ("words", "detail"),
    [
        ("收到转账0.01元，请在手机上查看", {"amount": "0.01", "currency": "CNY"}),
        ("收到轉帳1,200.50元，請在手機上查看", {"amount": "1200.50", "currency": "CNY"}),
        ("收到轉賬¥5，請在手機上查看", {"amount": "5", "currency": "CNY"}),
        ("发出转账，请在手机上查看", {}),
        ("收到一笔转账", {}),
        ("Received transfer 0.01. View on phone.", {"amount": "0.01", "currency": "CNY"}),
        ("You received a transfer of HK$20", {"amount": "20", "currency": "HKD"}),
        ("Transfer received. View on phone.", {}),
        ("收到转账1.00元", {"amount": "1.00", "currency": "CNY"}),
        ("Received transfer of ¥1.00", {"amount": "1.00", "currency": "CNY"}),
        ("5月3日收到转账1.00元", {"amount": "1.00", "currency": "CNY"}),
        ("2 transfers: Received transfer 3.50", {"amount": "3.50", "currency": "CNY"}),
    ],
)
def test_transfers_that_are_told(words: str, detail: dict[str, str]) -> None:
    assert money_notice(words) == Content(kind=Kind.TRANSFER, text=words, detail=detail)


@pytest.mark.parametrize(
    "words",
    [
        '"A"领取了你的红包',
        '"A" opened your red packet',
        "你发的红包已超过24小时未被领取",
        "群收款消息，请在手机上查看",
        "位置共享已经结束",
        "The message is successfully sent but rejected by the receiver.",
        "",
    ],
)
def test_what_is_no_money(words: str) -> None:
    assert money_notice(words) is None


@pytest.mark.parametrize(
    "words", ["red packet " * 100_000, "收" * 1_000_000, "sent " * 200_000, "向" * 1_000_000]
)
def test_texts_without_end_cost_no_time(words: str) -> None:
    began = time.process_time()
    assert money_notice(words) is None
    assert money_notice(words[:200]) is None or "red packet" in words
    assert time.process_time() - began < 0.1
