"""Every app type of webwx 3.6 arrives as its kind with a line that a person can read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.wechat.webwx.entries import appmsg, entry, escaped
from tests.unit.wechat.webwx.test_xml import BOMB
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx.appmsg import ITEMS, app_message, reader_message
from wx2mqtt.wechat.webwx.content import Content


def read(inside: str, after: str = "", **fields: Any) -> Content:
    content = appmsg(inside, after)
    return app_message(entry(MsgType=49, Content=content, **fields), content, "en")


def bare(content: str = "", **fields: Any) -> Content:
    return app_message(entry(MsgType=49, Content=content, **fields), content, "en")


def typed(number: int, more: str = "") -> Content:
    return read(f"<title>T</title><type>{number}</type>{more}")


def test_a_link() -> None:
    found = read(
        "<title>News &amp; more</title><des>D</des><type>5</type><url>http://a/?x=1&amp;amp;y=2</url>",
        "<appinfo><version>1</version><appname>App</appname></appinfo>",
    )
    assert found == Content(
        kind=Kind.LINK,
        text="[link] News & more",
        detail={"title": "News & more", "description": "D", "url": "http://a/?x=1&y=2", "source": "App"},
    )


def test_several_articles() -> None:
    items = "".join(
        f"<item><title>A{n}</title><url>http://{n}</url><digest>d</digest></item>" for n in range(3)
    )
    found = read(
        f"<title>A0</title><type>5</type><url>http://0</url><mmreader><category>{items}</category></mmreader>"
    )
    assert found.detail["items"] == [
        {"title": f"A{n}", "url": f"http://{n}", "description": "d"} for n in (1, 2)
    ]


def test_articles_that_come_as_text() -> None:
    reader = "<mmreader><category><item><title>T1</title><url>http://1</url></item><item><title>T2</title></item></category></mmreader>"
    found = reader_message(entry(), escaped(reader), "en")
    assert found is not None
    assert found.detail == {"title": "T1", "url": "http://1", "items": [{"title": "T2"}]}
    assert reader_message(entry(), escaped(f"<msg>{reader}</msg>"), "en") is not None
    assert reader_message(entry(), "about mmreader", "en") is None
    assert bare(escaped(reader), AppMsgType=100001).detail["title"] == "T1"
    assert bare(escaped("<mmreader/>"), AppMsgType=100001, FileName="F").detail == {"title": "F"}


@pytest.mark.parametrize("number", [3, 4, 7, 10, 13, 15, 16])
def test_music_video_shops_and_coupons_are_links(number: int) -> None:
    found = typed(number, "<url>http://x</url>")
    assert (found.kind, found.detail["url"]) == (Kind.LINK, "http://x")


def test_a_file() -> None:
    found = read(
        "<title>报告.pdf</title><type>6</type><appattach><totallen>12</totallen></appattach>",
        FileName="报告.pdf",
        FileSize="34",
        MediaId="@m",
        EncryFileName="e",
    )
    assert (found.kind, found.text, found.detail) == (
        Kind.FILE,
        "[file] 报告.pdf",
        {"name": "报告.pdf", "size": 34},
    )
    assert found.media is not None
    assert (found.media.size, found.media.name) == (34, "报告.pdf")
    assert found.media.locator["mediaid"] == "@m"
    told = read("<title>x</title><type>6</type><appattach><totallen>12</totallen></appattach>")
    assert told.detail == {"name": "x", "size": 12}


def test_images_and_stickers_of_apps_have_bytes() -> None:
    assert (typed(2).kind, typed(8).kind) == (Kind.IMAGE, Kind.STICKER)
    assert typed(2).media is not None
    assert typed(8).media is not None


def test_texts_of_apps_and_group_notes_are_texts() -> None:
    assert typed(1) == Content(kind=Kind.TEXT, text="T")
    assert typed(53) == Content(kind=Kind.TEXT, text="T")


def test_an_announcement_says_what_it_says() -> None:
    assert typed(87, "<textannouncement>all of it</textannouncement>") == Content(
        kind=Kind.TEXT, text="all of it"
    )
    assert typed(87) == Content(kind=Kind.TEXT, text="T")


def test_a_live_location() -> None:
    found = bare(AppMsgType=17, FileName="我发起了位置共享")
    assert (found.kind, found.detail) == (Kind.LOCATION, {"label": "我发起了位置共享", "live": True})


@pytest.mark.parametrize("number", [33, 36])
def test_a_mini_program(number: int) -> None:
    more = "<url>http://u</url><sourcedisplayname>App</sourcedisplayname><weappinfo><pagepath>p/x</pagepath></weappinfo>"
    found = typed(number, more)
    assert (found.kind, found.text) == (Kind.MINI_PROGRAM, "[mini program] T")
    assert found.detail == {"title": "T", "url": "http://u", "app": "App", "page": "p/x"}


@pytest.mark.parametrize("number", [51, 63])
def test_channels_say_more_than_their_title(number: int) -> None:
    found = typed(number, "<finderFeed><nickname>N</nickname><desc>D</desc></finderFeed>")
    assert (found.kind, found.text, found.detail) == (Kind.LINK, "[link] D", {"title": "D", "source": "N"})


def test_a_forwarded_history() -> None:
    record = (
        '<recordinfo><datalist count="2"><dataitem datatype="1"><sourcename>A</sourcename>'
        "<sourcetime>2026-1-1 8:00</sourcetime><datadesc>hi &amp;amp; ho</datadesc></dataitem>"
        '<dataitem datatype="8"><sourcename>B</sourcename><datatitle>a.pdf</datatitle></dataitem></datalist></recordinfo>'
    )
    inside = f"<title>Chat of A</title><des>A: hi</des><type>19</type><recorditem><![CDATA[{record}]]></recorditem>"
    found = read(inside)
    assert found.kind is Kind.CHAT_HISTORY
    assert found.detail["items"] == [
        {"sender": "A", "time": "2026-1-1 8:00", "text": "hi &amp; ho"},
        {"sender": "B", "text": "a.pdf"},
    ]
    assert typed(24).kind is Kind.CHAT_HISTORY


def test_a_long_history_is_cut() -> None:
    items = "<dataitem><datadesc>x</datadesc></dataitem>" * (ITEMS + 20)
    inside = f"<type>19</type><recorditem><![CDATA[<recordinfo><datalist>{items}</datalist></recordinfo>]]></recorditem>"
    found = read(inside)
    assert isinstance(found.detail["items"], list)
    assert len(found.detail["items"]) == ITEMS


def quote(kind: int, said: str) -> Content:
    refer = (
        f"<refermsg><type>{kind}</type><svrid>123</svrid><fromusr>wxid_x</fromusr>"
        f"<displayname>晓梅</displayname><content>{said}</content></refermsg>"
    )
    return read(f"<title>yes</title><type>57</type>{refer}")


def test_a_quote_of_a_text() -> None:
    found = quote(1, "shall &amp;lt;we&amp;gt;?")
    assert (found.kind, found.text) == (Kind.QUOTE, "yes")
    assert found.detail == {"id": "123", "kind": "text", "text": "shall <we>?", "sender": "晓梅"}


@pytest.mark.parametrize(
    ("kind", "said", "answered", "line"),
    [
        (3, "&lt;msg&gt;&lt;img/&gt;&lt;/msg&gt;", "image", "[image]"),
        (34, "", "voice", "[voice]"),
        (99, "x", "unsupported", "[a message that web WeChat cannot show]"),
        (
            49,
            "&lt;msg&gt;&lt;appmsg&gt;&lt;title&gt;Q&lt;/title&gt;&lt;type&gt;57&lt;/type&gt;&lt;/appmsg&gt;&lt;/msg&gt;",
            "quote",
            "Q",
        ),
        (
            49,
            "&lt;msg&gt;&lt;appmsg&gt;&lt;title&gt;L&lt;/title&gt;&lt;type&gt;5&lt;/type&gt;&lt;/appmsg&gt;&lt;/msg&gt;",
            "link",
            "L",
        ),
        (49, "broken", "link", "[link]"),
    ],
)
def test_quotes_of_other_kinds(kind: int, said: str, answered: str, line: str) -> None:
    found = quote(kind, said)
    assert (found.detail["kind"], found.detail["text"]) == (answered, line)


@pytest.mark.parametrize(
    ("fee", "sub", "detail"),
    [
        ("￥0.10", "1", {"amount": "0.10", "currency": "CNY", "state": "pending"}),
        ("¥1,234.50", "3", {"amount": "1234.50", "currency": "CNY", "state": "accepted"}),
        ("HK$5", "4", {"amount": "5", "currency": "HKD", "state": "returned"}),
        ("8.00", "5", {"amount": "8.00", "currency": "CNY"}),
        ("EUR 3", "", {"amount": "3"}),
        ("much", "", {}),
    ],
)
def test_a_transfer(fee: str, sub: str, detail: dict[str, str]) -> None:
    more = f"<wcpayinfo><paysubtype>{sub}</paysubtype><feedesc>{fee}</feedesc><pay_memo>rent</pay_memo></wcpayinfo>"
    found = read(f"<title>微信转账</title><type>2000</type>{more}")
    assert found.kind is Kind.TRANSFER
    assert found.detail == {**detail, "note": "rent"}


def test_a_red_packet() -> None:
    found = read(
        "<title>红包</title><type>2001</type><wcpayinfo><sendertitle>恭喜发财</sendertitle></wcpayinfo>"
    )
    assert (found.kind, found.text, found.detail) == (
        Kind.RED_PACKET,
        "[red packet] 恭喜发财",
        {"note": "恭喜发财"},
    )


@pytest.mark.parametrize("number", [0, 9, 4711])
def test_what_the_web_cannot_show_says_its_title(number: int) -> None:
    found = typed(number)
    assert found.kind is Kind.UNSUPPORTED
    assert found.text.endswith(" T")
    assert found.detail["type"] == 49


def test_an_unknown_type_with_an_address_is_a_link() -> None:
    assert typed(4711, "<url>http://x</url>").kind is Kind.LINK


def test_the_type_in_the_xml_counts() -> None:
    assert read("<title>x</title><type>33</type>", AppMsgType=5).kind is Kind.MINI_PROGRAM
    assert read("<title>x</title>", AppMsgType=5).kind is Kind.LINK


def test_without_content_the_fields_of_the_entry_count() -> None:
    found = bare(AppMsgType=5, FileName="N &amp; M", Url="http://a/?x=1&amp;y=2")
    assert found.detail == {"title": "N & M", "url": "http://a/?x=1&y=2"}


@pytest.mark.parametrize("content", ["no xml", BOMB, escaped(BOMB), "<msg><other/></msg>", "&lt;msg&gt;"])
def test_what_cannot_be_read_is_unsupported_with_its_length(content: str) -> None:
    found = bare(content, AppMsgType=5)
    assert found.kind is Kind.UNSUPPORTED
    assert found.detail == {"type": 49, "length": len(content)}
