"""System texts and system XML (webwx 3.10, 3.11)."""

from __future__ import annotations

import tracemalloc

import pytest

from tests.support.rows import every_row
from tests.unit.wechat.webwx.entries import entry, escaped
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx.protocol import system_texts
from wx2mqtt.wechat.webwx.protocol.content import Content
from wx2mqtt.wechat.webwx.protocol.system_texts import MAX_FILLED_CHARACTERS


def test_system_texts_have_no_markup() -> None:
    words = '"A"领取了你的&lt;a href="weixin://x"&gt;红包&lt;/a&gt;'
    assert system_texts.system_notice(entry(), words, "en") == Content(
        kind=Kind.SYSTEM, text='"A"领取了你的红包'
    )


def test_system_texts_about_money() -> None:
    assert (
        system_texts.system_notice(entry(), '<img src="hongbao.png"/>收到红包，请在手机上查看', "en").kind
        is Kind.RED_PACKET
    )
    assert (
        system_texts.system_notice(entry(), "收到转账0.10元，请在手机上查看", "en").detail["amount"] == "0.10"
    )


def test_a_system_text_that_is_only_markup() -> None:
    assert system_texts.system_notice(entry(), '<img src="x"/>', "zh").text == "[系统消息]"


def content_of(escaped_xml: str) -> Content | None:
    return system_texts.system_xml_content(system_texts.parse_system_xml(escaped_xml))


def sysmsg(sort: str, inside: str) -> Content | None:
    return content_of(escaped(f'<sysmsg type="{sort}">{inside}</sysmsg>'))


def test_sentences_of_system_xml() -> None:
    pat = '<pat><fromusername>wxid_a</fromusername><template><![CDATA["${wxid_a}" 拍了拍 "${wxid_b}"]]></template></pat>'
    assert sysmsg("pat", pat) == Content(kind=Kind.SYSTEM, text='"?" 拍了拍 "?"')
    joined = (
        '<sysmsgtemplate><content_template type="t"><plain/><template>"$username$"邀请"$names$"加入了群聊 $5</template>'
        '<link_list><link name="username"><memberlist><member><username>wxid_a</username><nickname>A</nickname>'
        '</member></memberlist></link><link name="names"><memberlist><member><nickname>B</nickname></member>'
        "<member><nickname>C</nickname></member></memberlist></link></link_list></content_template></sysmsgtemplate>"
    )
    assert sysmsg("sysmsgtemplate", joined) == Content(kind=Kind.SYSTEM, text='"A"邀请"B、C"加入了群聊 $5')
    assert sysmsg(
        "delchatroommember", "<delchatroommember><plain>$5 gone</plain></delchatroommember>"
    ) == Content(kind=Kind.SYSTEM, text="$5 gone")
    assert sysmsg("roomtoolstips", "<todo><op>0</op><title>todo</title></todo>") == Content(
        kind=Kind.SYSTEM, text="todo"
    )


def test_a_template_that_repeats_a_long_name_is_filled_no_further_than_a_text_of_wechat_goes() -> None:
    name = "n" * 30_000
    template = (
        f"<sysmsgtemplate><content_template><template>{'$a$' * 10_000}</template><link_list><link name='a'>"
        f"<memberlist><member><nickname>{name}</nickname></member></memberlist></link></link_list>"
        "</content_template></sysmsgtemplate>"
    )
    tracemalloc.start()
    try:
        content = sysmsg("sysmsgtemplate", template)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert content == Content(kind=Kind.SYSTEM, text="n" * MAX_FILLED_CHARACTERS)
    assert peak_bytes < 10_000_000


def test_a_long_template_is_cut_as_well() -> None:
    template = f"<content_template><template>$a${'x' * 30_000}</template></content_template>"
    content = sysmsg("sysmsgtemplate", f"<sysmsgtemplate>{template}</sysmsgtemplate>")
    assert content == Content(kind=Kind.SYSTEM, text="?" + "x" * (MAX_FILLED_CHARACTERS - 1))


def test_an_announcement_of_the_group_is_read() -> None:
    sort = "mmchatroombarannouncememt"  # as WeChat spells it
    found = sysmsg(sort, f"<{sort}><content><![CDATA[群公告: 明天停水]]></content></{sort}>")
    assert found == Content(kind=Kind.SYSTEM, text="群公告: 明天停水")
    assert sysmsg("x", "<x><content>for phones</content></x>") is None


@every_row("inside", ["", "<x/>", "<x><y><plain>p</plain></y></x>", "plain"])
def test_system_xml_without_a_text_gives_nothing(inside: str) -> None:
    assert sysmsg("x", inside) is None


@pytest.mark.parametrize(
    "before", ["34757816141@chatroom:<br/>", "x:\n", "&lt;?xml version=&quot;1.0&quot;?&gt;"]
)
def test_system_xml_behind_something_else(before: str) -> None:
    inner = escaped('<sysmsg type="x"><x><text>hi</text></x></sysmsg>')
    assert content_of(before + inner) == Content(kind=Kind.SYSTEM, text="hi")
