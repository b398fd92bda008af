"""Injected messages as a web client receives them (webwx 3)."""

from __future__ import annotations

import html

import pytest

from tests.support.web_client import WebClient
from wx2mqtt.simulator.message_kinds import all_kinds


async def receive_injected(client: WebClient, **speech):
    ids = (await client.control("say", **speech))["msg_ids"]
    messages = (await client.sync())["AddMsgList"]
    assert [message["MsgId"] for message in messages] == ids
    return messages[0]


async def test_a_friend_writes_to_me(online_client: WebClient):
    names = await online_client.seen("names")
    message = await receive_injected(online_client, text="开灯 ☀ <b> & \"'\n第二行", **{"from": "lilei"})
    assert (message["FromUserName"], message["ToUserName"]) == (names["lilei"], online_client.me)
    assert message["Content"] == (
        '开灯 <span class="emoji emoji2600"></span> &lt;b&gt; &amp; &quot;&#39;<br/>第二行'
    )


async def test_a_member_writes_into_a_group(online_client: WebClient):
    names = await online_client.seen("names")
    message = await receive_injected(online_client, text="吃饭了", to="family", **{"from": "aunt"})
    assert (message["FromUserName"], message["ToUserName"]) == (names["family"], online_client.me)
    assert message["Content"] == f"{names['aunt']}:<br/>吃饭了"


async def test_the_owners_phone_writes_to_a_friend_a_group_and_the_file_helper(online_client: WebClient):
    names = await online_client.seen("names")
    for to in ("wife", "family", "filehelper"):
        message = await receive_injected(online_client, text="好", to=to, **{"from": "me"})
        assert (message["FromUserName"], message["ToUserName"]) == (online_client.me, names[to])
        assert message["Content"] == "好"


async def test_wechat_itself_speaks_in_a_group_without_a_prefix(online_client: WebClient):
    names = await online_client.seen("names")
    for speaker in ("family", "mom"):
        message = await receive_injected(
            online_client, kind="system:invited", to="family", detail={"b": "小红"}, **{"from": speaker}
        )
        assert message["FromUserName"] == names["family"]
        assert message["MsgType"] == 10000
        assert message["Content"].endswith("邀请&quot;小红&quot;加入了群聊")


async def test_somebody_who_is_not_in_a_chat_cannot_write_there(online_client: WebClient):
    for order in ({"from": "wife", "to": "work"}, {"from": "wife", "to": "mom"}):
        assert (await online_client.http.post("/sim/say", json={"text": "a", **order})).status_code == 409
    assert (await online_client.http.post("/sim/say", json={"from": "nobody"})).status_code == 404
    for order in ({"kind": "strange"}, {"count": "7"}, {"whom": "x"}):
        assert (await online_client.http.post("/sim/say", json=order)).status_code == 400


@pytest.mark.parametrize("language", ["zh_CN", "en_US"])
async def test_every_kind_of_message_can_be_injected_in_both_languages(
    online_client: WebClient, language: str
):
    await online_client.control("settings", language=language, poll_limit=0)
    seen = {}
    for kind in all_kinds():
        seen[kind] = await receive_injected(online_client, kind=kind, **{"from": "mom"})
    types = {message["MsgType"] for message in seen.values()}
    assert types == {
        1,
        2,
        3,
        11,
        12,
        13,
        34,
        35,
        36,
        37,
        38,
        39,
        40,
        42,
        43,
        44,
        47,
        48,
        49,
        50,
        51,
        52,
        53,
        62,
        9999,
        10000,
        10002,
    }
    inner = {message["AppMsgType"] for message in seen.values() if message["MsgType"] == 49}
    assert inner == {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 15, 16, 17, 33, 36, 57, 2000, 2001, 100001}
    chinese = language == "zh_CN"
    assert ("收到红包" in seen["system:red_packet"]["Content"]) is chinese


async def test_a_quote_carries_what_it_answers(online_client: WebClient):
    message = await receive_injected(
        online_client, kind="quote", text="六点", detail={"refer_text": "几点 <吃>？", "refer_id": "77"}
    )
    xml = html.unescape(message["Content"].replace("<br/>", "\n"))
    assert "<title>六点</title>" in xml
    assert "<svrid>77</svrid>" in xml
    assert "<content>几点 &lt;吃&gt;？</content>" in xml


async def test_the_text_of_a_location_looks_like_a_sender_and_is_none(online_client: WebClient):
    message = await receive_injected(
        online_client, kind="location", text="天安门", detail={"lat": "39.9", "lon": "116.4"}
    )
    assert (message["MsgType"], message["SubMsgType"]) == (1, 48)
    assert message["Content"].startswith("天安门:<br/>/cgi-bin/mmwebwx-bin/webwxgetpubliclinkimg?")
    assert message["Url"].endswith("coord=39.9,116.4")
    assert '<location x="39.9" y="116.4"' in message["OriContent"]


async def test_a_recall_names_the_message_and_marks_it_on_the_phone(online_client: WebClient):
    message = await receive_injected(online_client, text="错了")
    recall = await receive_injected(online_client, kind="recall", detail={"msg_id": message["MsgId"]})
    assert recall["MsgType"] == 10002
    assert f"&lt;msgid&gt;{message['MsgId']}&lt;/msgid&gt;" in recall["Content"]
    lines = (await online_client.seen("feed"))["lines"]
    assert [line["recalled"] for line in lines] == [True, False]


async def test_system_messages_of_a_group_use_the_group_name_of_a_member(online_client: WebClient):
    recall = await receive_injected(online_client, kind="recall", **{"from": "mom", "to": "family"})
    assert '"老妈" 撤回了一条消息' in html.unescape(recall["Content"])
    recall = await receive_injected(online_client, kind="recall", **{"from": "mom"})
    assert '"平安是福" 撤回了一条消息' in html.unescape(recall["Content"])


async def test_fields_of_a_message_can_be_replaced(online_client: WebClient):
    await online_client.control("say", text="a", raw={"MsgId": "5", "MsgType": 777, "CreateTime": 1})
    await online_client.control("say", text="a", raw={"MsgId": "5"})
    messages = (await online_client.sync())["AddMsgList"]
    assert [message["MsgId"] for message in messages] == ["5", "5"]
    assert (messages[0]["MsgType"], messages[0]["CreateTime"]) == (777, 1)
