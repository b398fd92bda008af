"""Entries of every message kind: valid XML that contains the given text (webwx 3.2, 3.6)."""

from __future__ import annotations

import html

import pytest
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.simulator import message_kinds
from wx2mqtt.simulator.app_message_kinds import APP_MESSAGE_KINDS
from wx2mqtt.simulator.message_kinds import UnknownKind, build, is_system
from wx2mqtt.simulator.message_spec import MessageDetails
from wx2mqtt.simulator.world import WorldPerson

WORDS = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=40)
AUTHOR = WorldPerson(id="a", nickname='李 "雷" & <b>')


def xml_of(fields):
    return ElementTree.fromstring(html.unescape(str(fields["Content"]).replace("<br/>", "\n")).strip())


XML_KINDS = sorted(
    {
        "image",
        "voice",
        "video",
        "iphone_video",
        "micro_video",
        "sticker",
        "card",
        "friend_request",
        "call",
        "recall",
        "pat",
        "member_joined",
        "member_invited",
        "group_todo",
        "member_removed",
        *APP_MESSAGE_KINDS,
    }
)


@every_row("kind", XML_KINDS)
def test_xml_is_well_formed_whatever_was_written(kind: str):
    for language in ("zh_CN", "en_US"):
        for text in ("", "a < b & \"c\" 'd'"):
            xml_of(build(kind, text, 77, AUTHOR, MessageDetails(language=language)))


@every_row("kind", sorted(APP_MESSAGE_KINDS))
def test_an_app_message_has_its_title_in_the_xml_and_in_the_entry(kind: str):
    fields = build(kind, "a & <b>", 77, AUTHOR, MessageDetails(language="zh_CN"))
    assert fields["FileName"] == "a &amp; &lt;b&gt;"
    message = xml_of(fields).find("appmsg")
    assert message.findtext("title") == "a & <b>"
    assert int(message.findtext("type")) == APP_MESSAGE_KINDS[kind].type


@given(WORDS, WORDS, WORDS)
def test_a_quote_keeps_all_that_people_wrote(text: str, name: str, quoted: str):
    detail = {"refer_name": name, "refer_text": quoted}
    message = xml_of(build("quote", text, 77, AUTHOR, MessageDetails(language="zh_CN", values=detail))).find(
        "appmsg"
    )
    assert message.findtext("title") == text
    assert message.findtext("refermsg/displayname") == name
    assert message.findtext("refermsg/content") == quoted


@given(WORDS)
def test_a_transfer_keeps_its_memo_within_cdata(memo: str):
    fields = build("app_transfer", "", 77, AUTHOR, MessageDetails(language="zh_CN", values={"memo": memo}))
    assert xml_of(fields).findtext("appmsg/wcpayinfo/pay_memo") == memo.replace("]]>", "")


def test_a_file_has_what_is_needed_to_fetch_it():
    fields = build("file", "报告.pdf", 77, AUTHOR, MessageDetails(language="zh_CN", values={"size": 12}))
    assert (fields["FileName"], fields["FileSize"]) == ("报告.pdf", "12")
    assert fields["MediaId"]
    assert fields["EncryFileName"]


def test_a_store_sticker_has_no_content():
    assert build("store_sticker", "", 1, AUTHOR, MessageDetails(language="zh_CN"))["Content"] == ""


def test_an_unknown_kind_is_refused_with_the_list_of_all():
    for kind in ("strange", "system:strange"):
        with pytest.raises(UnknownKind, match=r"there are: .*app_text.*text"):
            build(kind, "", 1, AUTHOR, MessageDetails(language="zh_CN"))


def test_wechats_own_words_are_what_the_phone_shows():
    asked = MessageDetails(language="en_US", values={"b": "Bob"})
    assert (
        message_kinds.phone_text("system:invited", "", AUTHOR, asked)
        == f'"{AUTHOR.nickname}" invited "Bob" to the group chat'
    )
    assert message_kinds.phone_text("system:invited", "mine", AUTHOR, asked) == "mine"
    assert message_kinds.phone_text("image", "", AUTHOR, asked) == ""
    assert message_kinds.phone_text("recall", "", AUTHOR, asked) == f'"{AUTHOR.nickname}" recalled a message'
    assert message_kinds.phone_text("recall", "mine", AUTHOR, asked) == "mine"


def test_an_invitation_has_its_members_beside_the_sentence():
    message = xml_of(
        build("member_invited", "", 77, AUTHOR, MessageDetails(language="zh_CN", values={"b": "甲、乙"}))
    )
    names = [[member.findtext("nickname") for member in link.iter("member")] for link in message.iter("link")]
    assert names == [[AUTHOR.nickname], ["甲", "乙"]]


def test_what_wechat_itself_says_is_known():
    assert [kind for kind in ("system", "system:pat", "recall", "text", "link") if is_system(kind)] == [
        "system",
        "system:pat",
        "recall",
    ]
