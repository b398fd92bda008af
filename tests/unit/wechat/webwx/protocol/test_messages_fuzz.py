"""No reader fails, whatever its input is, and every result can be written as JSON."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.repetitions import repetitions
from tests.unit.wechat.test_json_reader import ANYTHING
from tests.unit.wechat.webwx.entries import FAMILY, ME, SESSION, WIFE, entry, escaped, roster
from wx2mqtt.model import Event, Message
from wx2mqtt.wechat.webwx import download
from wx2mqtt.wechat.webwx.protocol import locators, markup, messages
from wx2mqtt.wechat.webwx.protocol.codes import AppType, MsgType
from wx2mqtt.wechat.webwx.protocol.content import Content
from wx2mqtt.wechat.webwx.protocol.locators import fetch_request
from wx2mqtt.wechat.webwx.protocol.system_texts import money_notice

# What readers look for, in any order and nesting.
TAGS = (
    *("msg", "appmsg", "title", "des", "type", "url", "dataurl", "sourcedisplayname", "appinfo"),
    *("appname", "appattach", "totallen", "fileext", "cdnthumburl", "thumburl", "weappinfo"),
    *("pagepath", "finderFeed", "desc", "nickname", "refermsg", "svrid", "displayname", "content"),
    *("wcpayinfo", "paysubtype", "feedesc", "recorditem", "recordinfo", "datalist", "dataitem"),
    *("datadesc", "datatitle", "srcMsgCreateTime", "mmreader", "category", "item", "digest"),
    *("carditem", "emoji", "gameext", "location", "img", "videomsg", "sysmsg", "revokemsg", "msgid"),
    *("replacemsg", "content_template", "template", "link_list", "link", "memberlist", "member"),
    *("plain", "text", "textannouncement"),
)
VALUES = st.sampled_from(
    [
        "0",
        "1",
        "5",
        "19",
        "49",
        "57",
        "2000",
        "-1",
        "9" * 25,
        "x",
        "￥1.5",
        "&amp;",
        "<![CDATA[<a>]]>",
        "\ud800",
    ]
) | st.text(max_size=12)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["type", "content", "x", "y", "label", "poiname", "length", "width", "name", "nickname"]),
    st.sampled_from(["0", "1", "4", "-5", "1e9", "9" * 25, "30.5", "200", "", "é"]),
    max_size=4,
)


def element(inside: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def written(tag: str, attributes: dict[str, str], inner: str) -> str:
        written = " ".join(f'{key}="{value}"' for key, value in attributes.items())
        return f"<{tag} {written}>{inner}</{tag}>"

    return st.builds(written, st.sampled_from(TAGS), ATTRIBUTES, inside)


TREES = st.recursive(VALUES, lambda inner: element(st.lists(inner, max_size=4).map("".join)), max_leaves=8)
APPS = st.builds(
    "<msg><appmsg><type>{}</type>{}</appmsg></msg>".format, st.sampled_from([*AppType, 4711]), TREES
)
SYSTEM = st.builds('<sysmsg type="{}">{}</sysmsg>'.format, st.sampled_from(["revokemsg", "pat", "x"]), TREES)
CUT = st.tuples(TREES | APPS | SYSTEM, st.integers(0, 200)).map(lambda sample: sample[0][: sample[1]])
CONTENTS = TREES | APPS | SYSTEM | CUT | st.text(max_size=60)


def assert_is_json(item: Message | Event | Content | None) -> None:
    """Fails unless an item can be written as JSON without NaN."""
    if item is None:
        return
    values = item.fields if isinstance(item, Event) else {**item.detail, "text": item.text}
    json.dumps(values, allow_nan=False)
    for number in re.findall(
        r"-?\d+", json.dumps([v for v in values.values() if isinstance(v, int | float)])
    ):
        assert len(number) <= 20


@settings(max_examples=repetitions(80, 2000), suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([*MsgType, 66, 77]),
    CONTENTS,
    st.booleans(),
    st.sampled_from([WIFE, FAMILY, ME, ""]),
    st.dictionaries(
        st.sampled_from(
            [
                *("RecommendInfo", "AppMsgType", "FileName", "FileSize", "Url", "OriContent", "PlayLength"),
                *("VoiceLength", "HasProductId", "ImgStatus", "SubMsgType", "MediaId", "MsgId", "NewMsgId"),
            ]
        ),
        ANYTHING,
        max_size=5,
    ),
)
def test_no_entry_makes_a_reader_fail(
    sort: int, content: str, plain: bool, writer: str, fields: dict[str, Any]
) -> None:
    sample = entry(
        **{
            **fields,
            "MsgType": sort,
            "Content": content if plain else escaped(content),
            "FromUserName": writer,
        }
    )
    found = messages.read_message(sample, roster(), "en", 1)
    assert_is_json(found)
    if isinstance(found, Message):
        messages.read_notice(sample, found)


@given(st.binary(max_size=200) | st.sampled_from([b'{"BaseResponse": {"Ret": 1e400}}', b"{" * 5000, b"<"]))
def test_no_answer_makes_the_judge_of_bytes_fail(head: bytes) -> None:
    ret = download._ret(head)
    assert ret is None or isinstance(ret, int)


@given(st.dictionaries(st.sampled_from(["call", "msgid", "sender", "mediaid", "username", "seq"]), st.text()))
def test_no_locator_makes_a_request_fail(locator: dict[str, str]) -> None:
    assert locators.parse_call(locator) is None or locator["call"] in set(locators.MediaCall)
    for call in locators.MediaCall:
        url = fetch_request(SESSION, call, locator, "t").url
        assert url.isascii()
        assert not re.search(r"[\s#]", url)


@given(st.text(alphabet="收到发红包转账元0123456789.,￥$ transfereceived", max_size=210))
def test_no_text_makes_the_reader_of_money_fail(values: str) -> None:
    assert_is_json(money_notice(values))


ENTITY = re.compile(r"&(lt|gt|quot|apos|amp|#0*39|#[xX]0*27);")
CHARACTERS = {"lt": "<", "gt": ">", "quot": '"', "amp": "&"}


@given(
    st.lists(st.sampled_from(["&", "lt;", "gt;", "quot;", "amp;", "#39;", "#039;", "#x27;", "#", "a"])).map(
        "".join
    )
)
def test_entities_are_undone_once_as_in_one_pass(content: str) -> None:
    assert markup.undo_entities(content) == ENTITY.sub(lambda found: CHARACTERS.get(found[1], "'"), content)
