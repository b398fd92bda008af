"""Every app type becomes a kind; quotes and forwarded chats are read (webwx 3.6.3, 3.6.5, 3.6.6)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.rows import every_row
from tests.unit.wechat.webwx.entries import app, app_of_type, bare_app, entry, escaped
from tests.unit.wechat.webwx.protocol.test_markup import BOMB
from wx2mqtt.model import Json, Kind
from wx2mqtt.wechat.webwx.protocol.app_messages import MAX_RECORD_ITEMS, app_message
from wx2mqtt.wechat.webwx.protocol.codes import AppType
from wx2mqtt.wechat.webwx.protocol.content import Content

KINDS = {
    AppType.NOT_ON_WEB: Kind.UNSUPPORTED,
    AppType.TEXT: Kind.TEXT,
    AppType.IMAGE: Kind.IMAGE,
    AppType.MUSIC: Kind.LINK,
    AppType.VIDEO_LINK: Kind.LINK,
    AppType.LINK: Kind.LINK,
    AppType.FILE: Kind.FILE,
    AppType.OPEN_APP: Kind.LINK,
    AppType.STICKER: Kind.STICKER,
    AppType.VOICE_REMINDER: Kind.UNSUPPORTED,
    AppType.SCANNED_PRODUCT: Kind.LINK,
    AppType.PRODUCT: Kind.LINK,
    AppType.STICKER_SET: Kind.LINK,
    AppType.COUPON: Kind.LINK,
    AppType.LIVE_LOCATION: Kind.LOCATION,
    AppType.CHAT_HISTORY: Kind.CHAT_HISTORY,
    AppType.NOTE: Kind.CHAT_HISTORY,
    AppType.MINI_PROGRAM: Kind.MINI_PROGRAM,
    AppType.MINI_PROGRAM_PAGE: Kind.MINI_PROGRAM,
    AppType.CHANNELS: Kind.LINK,
    AppType.GROUP_NOTE: Kind.TEXT,
    AppType.QUOTE: Kind.QUOTE,
    AppType.PAT: Kind.SYSTEM,
    AppType.CHANNELS_LIVE: Kind.LINK,
    AppType.ANNOUNCEMENT: Kind.TEXT,
    AppType.GIFT: Kind.LINK,
    AppType.TRANSFER: Kind.TRANSFER,
    AppType.RED_PACKET: Kind.RED_PACKET,
    AppType.READER: Kind.LINK,
}


@every_row("number", AppType)
def test_each_type_has_its_kind_and_says_its_title(number: AppType) -> None:
    found = app_of_type(number)
    assert found.kind is KINDS[number]
    assert found.kind in {Kind.IMAGE, Kind.STICKER} or found.text.endswith("T")
    assert found.kind is not Kind.TEXT or not found.detail  # it would stand in the place of the text


def test_a_file() -> None:
    found = app(
        "<title>报告.pdf</title><type>6</type><appattach><totallen>12</totallen></appattach>",
        FileName="报告.pdf",
        FileSize="34",
        MediaId="@m",
        EncryFileName="e",
        FromUserName="@@g",
    )
    assert (found.kind, found.text) == (Kind.FILE, "[file] 报告.pdf")
    assert found.detail == {"name": "报告.pdf", "size": 34}
    assert found.media is not None
    assert (found.media.size, found.media.name) == (34, "报告.pdf")
    assert found.media.locator == {
        "call": "file",
        "msgid": "7615282929538795099",
        "sender": "@@g",
        "mediaid": "@m",
        "encryfilename": "e",
    }


def test_a_file_that_wechat_gave_no_id_has_no_bytes_to_ask_for() -> None:
    found = app_of_type(AppType.FILE, FileName="a.pdf", MediaId="")
    assert (found.kind, found.media) == (Kind.FILE, None)


def test_a_file_keeps_its_name_but_for_what_does_harm() -> None:
    found = app_of_type(AppType.FILE, FileName='12:30 *a*  "b" <c> | d?\u202e/e.pdf', MediaId="@m")
    assert found.detail["name"] == '12:30 *a*  "b" <c> | d?_e.pdf'


def test_a_file_whose_entry_says_nothing() -> None:
    content = app("<title>x</title><type>6</type><appattach><totallen>12</totallen></appattach>")
    assert content.detail == {"name": "x", "size": 12}
    assert app("<title>x</title><type>6</type>", FileSize="-5").detail == {"name": "x"}


def test_a_file_has_a_name_under_which_it_can_be_saved() -> None:
    """Who saves it as it is called must not write elsewhere, nor open what looks like another sort of file."""
    found = bare_app(AppMsgType=6, FileName="../../.ssh/a\u202egpj.exe", MediaId="@m")
    assert (found.text, found.detail) == ("[file] .._.._.ssh_agpj.exe", {"name": ".._.._.ssh_agpj.exe"})
    assert found.media is not None
    assert found.media.name == ".._.._.ssh_agpj.exe"
    assert bare_app(AppMsgType=6, FileName="..").detail == {}


def test_images_and_stickers_of_apps_have_bytes() -> None:
    image, sticker = app_of_type(2), app_of_type(8)
    assert image.media is not None
    assert image.thumbnail is not None
    assert sticker.media is not None
    assert (image.media.locator["call"], sticker.media.locator["call"]) == ("image", "sticker")


def test_texts_of_apps_and_group_notes_are_texts() -> None:
    assert app_of_type(1) == app_of_type(53) == Content(kind=Kind.TEXT, text="T")


def test_an_announcement_says_what_it_says() -> None:
    found = app_of_type(87, "<textannouncement>all of it</textannouncement>")
    assert found == Content(kind=Kind.TEXT, text="all of it")


def test_a_live_location() -> None:
    found = bare_app(AppMsgType=17, FileName="我发起了位置共享")
    assert (found.kind, found.detail) == (Kind.LOCATION, {"label": "我发起了位置共享", "live": True})


@pytest.mark.parametrize("number", [0, 9, 4711])
def test_what_the_web_cannot_show_says_its_title_and_its_type(number: int) -> None:
    found = app_of_type(number)
    assert found.kind is Kind.UNSUPPORTED
    assert found.text.endswith(" T")
    assert found.detail["type"] == 49
    assert found.detail.get("app", 0) == number


def test_an_unknown_type_with_an_address_is_a_link() -> None:
    found = app_of_type(4711, "<des>D</des><url>http://x</url>")
    assert (found.kind, found.detail) == (Kind.LINK, {"title": "T", "description": "D", "url": "http://x"})


def test_the_type_in_the_xml_counts() -> None:
    assert app("<title>x</title><type>33</type>", AppMsgType=5).kind is Kind.MINI_PROGRAM
    assert app("<title>x</title>", AppMsgType=5).kind is Kind.LINK


def test_without_content_the_fields_of_the_entry_count() -> None:
    found = bare_app(AppMsgType=5, FileName="N &amp; M", Url="http://a/?x=1&amp;y=2")
    assert found.detail == {"title": "N & M", "url": "http://a/?x=1&y=2"}


@every_row("content", ["no xml", BOMB, escaped(BOMB), "<msg><other/></msg>", "&lt;msg&gt;"])
def test_what_cannot_be_read_is_unsupported_with_its_length(content: str) -> None:
    found = bare_app(content, AppMsgType=5)
    assert found.kind is Kind.UNSUPPORTED
    assert found.detail == {"type": 49, "length": len(content)}


@every_row(
    ("inside", "fields"),
    [
        ("", {"ImgStatus": 2}),
        ("<thumburl>http://x</thumburl>", {}),
        ("<appattach><cdnthumburl>30</cdnthumburl></appattach>", {"ImgStatus": 1}),
    ],
)
@every_row("number", [5, 3, 33, 51, 19, 4711])
def test_what_says_that_there_is_a_thumbnail_has_one(
    number: int, inside: str, fields: dict[str, Any]
) -> None:
    found = app_of_type(number, f"<url>http://x</url>{inside}", **fields)
    assert found.media is None
    assert found.thumbnail is not None
    assert found.thumbnail.locator == {"call": "thumbnail", "msgid": "7615282929538795099"}


def test_what_says_nothing_of_a_thumbnail_has_none() -> None:
    assert app_of_type(5, "<thumburl/><appattach><cdnthumburl/></appattach>", ImgStatus=1).thumbnail is None


def test_without_an_id_there_are_no_bytes() -> None:
    nameless = entry(MsgType=49, MsgId="", NewMsgId=0, AppMsgType=6, FileName="a", ImgStatus=2)
    assert app_message(nameless, "", "en").media is None
    assert app_message({**nameless, "AppMsgType": 5}, "", "en").thumbnail is None


def quote(kind: int, text: str) -> Content:
    refer = (
        f"<refermsg><type>{kind}</type><svrid>123</svrid><fromusr>wxid_x</fromusr><chatusr>wxid_y</chatusr>"
        f"<displayname>晓梅</displayname><content>{text}</content></refermsg>"
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


@every_row(
    ("kind", "text", "answered", "line"),
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
def test_quotes_of_other_kinds(kind: int, text: str, answered: str, line: str) -> None:
    found = quote(kind, text)
    assert (found.detail["kind"], found.detail["text"]) == (answered, line)


def test_a_quote_of_something_long_is_one_line() -> None:
    content = quote(1, "x" * 5000 + "\ny").detail["text"]
    assert isinstance(content, str)
    assert len(content) == 501


def test_a_quote_of_nothing() -> None:
    assert app("<title>yes</title><type>57</type>").detail == {
        "kind": "unsupported",
        "text": "[a message that web WeChat cannot show]",
    }


def history(*items: str, des: str = "A: hi") -> list[Json]:
    record = f"<recordinfo><datalist>{''.join(items)}</datalist></recordinfo>"
    found = app(
        f"<title>T</title><des>{des}</des><type>19</type><recorditem><![CDATA[{record}]]></recorditem>"
    )
    assert (found.kind, found.text, found.detail["title"]) == (Kind.CHAT_HISTORY, "[chat history] T", "T")
    assert isinstance(found.detail["items"], list)
    return found.detail["items"]


def test_who_said_what_when() -> None:
    text = (
        '<dataitem datatype="1"><sourcename>A</sourcename><sourcetime>2026-1-1 8:00</sourcetime>'
        "<srcMsgCreateTime>1700000000</srcMsgCreateTime><datadesc>hi &amp; ho</datadesc></dataitem>"
    )
    file = '<dataitem datatype="8"><sourcename>B</sourcename><datatitle>a.pdf</datatitle></dataitem>'
    assert history(text, file) == [
        {"sender": "A", "text": "hi & ho", "kind": "text", "time": "2023-11-14T22:13:20.000Z"},
        {"sender": "B", "text": "[file] a.pdf", "kind": "file"},
    ]


@every_row(
    ("number", "kind"),
    [
        ("2", "image"),
        ("3", "voice"),
        ("4", "video"),
        ("5", "link"),
        ("6", "location"),
        ("15", "video"),
        ("16", "card"),
        ("17", "chat_history"),
        ("19", "mini_program"),
        ("22", "link"),
        ("29", "link"),
        ("37", "sticker"),
        ("4711", "unsupported"),
        ("x", "unsupported"),
    ],
)
def test_what_is_no_text_has_its_kind_and_a_line(number: str, kind: str) -> None:
    (item,) = history(f'<dataitem datatype="{number}"><weburlitem><title>W</title></weburlitem></dataitem>')
    assert isinstance(item, dict)
    assert item["kind"] == kind
    assert str(item["text"]).endswith(" W")


def test_a_long_history_is_cut() -> None:
    assert (
        len(history(*['<dataitem datatype="1"><datadesc>x</datadesc></dataitem>'] * (MAX_RECORD_ITEMS + 20)))
        == MAX_RECORD_ITEMS
    )


def test_without_a_record_its_summary_is_read() -> None:
    assert history(des="A: hi: there\n[Image]\n") == [
        {"sender": "A", "text": "hi: there", "kind": "text"},
        {"text": "[Image]", "kind": "text"},
    ]


def test_a_note_is_a_record_as_well() -> None:
    found = app_of_type(24)
    assert (found.kind, found.detail) == (Kind.CHAT_HISTORY, {"title": "T"})
