"""From WeChat to MQTT: every kind of message and event, groups, own messages, hostile input; one bridge for all."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.home import Home

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Kind in the simulator, kind on MQTT, what the text must contain, keys of the object that is named after the kind.
MESSAGES = [
    ("text", "text", "", ()),
    ("image", "image", "", ("state", "url", "thumbnail")),
    ("image_token", "image", "", ("state", "url", "thumbnail")),
    ("voice", "voice", "", ("duration", "state", "url")),
    ("video", "video", "", ("duration", "state", "url", "thumbnail")),
    ("iphone_video", "video", "", ("duration",)),
    ("micro_video", "video", "", ("duration",)),
    ("sticker", "sticker", "", ("width", "height", "state", "url")),
    ("store_sticker", "sticker", "", ("state",)),
    ("app_sticker", "sticker", "", ("state", "url")),
    ("card", "card", "李四", ("name", "alias", "province", "city")),
    ("location", "location", "东长安街", ("lat", "lon", "label", "address", "thumbnail")),
    ("location_48", "location", "东长安街", ("lat", "lon", "label", "address", "thumbnail")),
    ("live_location", "location", "位置共享", ("label", "live")),
    ("html", "text", "", ()),
    ("private_text", "text", "", ()),
    ("private_html", "text", "", ()),
    ("private_image", "image", "", ("state", "url")),
    ("link", "link", "解码新时代", ("title", "description", "url")),
    ("articles", "link", "第一条", ("title", "url", "items")),
    ("reader", "link", "第一条", ("title", "url", "source", "items")),
    ("music", "link", "平凡之路", ("title", "description", "url", "audio")),
    ("video_link", "link", "一个视频", ("title", "description", "url")),
    ("product", "link", "商品", ("title", "url")),
    ("scanned_product", "link", "扫到的商品", ("title",)),
    ("sticker_set", "link", "表情专辑", ("title",)),
    ("coupon", "link", "优惠券", ("title",)),
    ("gift", "link", "", ("title",)),
    ("open_app", "link", "打开应用", ("title",)),
    ("channels", "link", "一段视频", ("title", "source")),
    ("live", "link", "直播中", ("title", "source")),
    ("file", "file", "报告.pdf", ("name", "size", "state", "url")),
    ("quote", "quote", "好的", ("text", "id", "kind", "sender")),
    ("chat_history", "chat_history", "聊天记录", ("title", "items")),
    ("note", "chat_history", "笔记", ("title", "items")),
    ("mini_program", "mini_program", "今日天气", ("title", "url", "app", "page")),
    ("mini_program_36", "mini_program", "今日天气", ("title", "url", "app", "page")),
    ("app_transfer", "transfer", "0.01", ("amount", "currency", "state")),
    ("app_red_packet", "red_packet", "恭喜发财", ("note",)),
    ("app_text", "text", "来自应用的文字", ()),
    ("group_note", "text", "接龙", ()),
    ("announcement", "text", "", ()),
    ("app_image", "image", "", ("state", "url")),
    ("unsupported", "unsupported", "手机", ("type", "length")),
    ("voice_reminder", "unsupported", "语音提醒", ("type", "app", "length")),
    ("system", "system", "", ()),
    ("system:friend_added", "system", "添加", ()),
    ("system:not_friends", "system", "朋友验证", ()),
    ("system:blocked", "system", "拒收", ()),
    ("system:group_collection", "system", "群收款", ()),
    ("system:transfer", "transfer", "0.01", ("amount", "currency")),
    ("system:red_packet", "red_packet", "红包", ()),
    ("system:red_packet_sent", "red_packet", "红包", ()),
    ("pat", "system", "拍了拍", ()),
]
NOT_FOR_PEOPLE = ["mail", "qq", "push_system", "qq_image", "possible_friend", "notice", "status"]
CALLS = [("call", "call"), ("call_end", "ended"), ("call_invite", "invited")]


async def next_message(
    home: Home, action: Callable[[], Awaitable[Any]], topic: str = "wx/in/wife"
) -> dict[str, Any]:
    """Performs an action; returns the first message on a topic after it."""
    since = home.subscriber.count
    await action()
    received = await home.in_thread(home.subscriber.wait, topic, since=since)
    return dict(received.body)


def is_readable(text: str) -> bool:
    """Returns whether a person can read the text: it has no XML and no user name of WeChat's."""
    return bool(text.strip()) and "<" not in text and "@@" not in text and "&lt;" not in text


@pytest.mark.parametrize(
    ("simulated_kind", "kind", "content", "keys"), MESSAGES, ids=[row[0] for row in MESSAGES]
)
async def test_every_kind_of_message_comes_as_its_kind_with_a_readable_text(
    shared_home: Home, simulated_kind: str, kind: str, content: str, keys: tuple[str, ...]
):
    text = "写在里面" if simulated_kind in ("text", "html", "private_text", "private_html", "system") else ""
    body = await next_message(shared_home, lambda: shared_home.control.say("wife", text, kind=simulated_kind))
    assert body["kind"] == kind
    assert is_readable(body["text"])
    assert content in body["text"]
    assert text in body["text"]
    assert set(keys) <= set(body.get(body["kind"], {}))
    assert None not in body.values()


@pytest.mark.parametrize("simulated_kind", NOT_FOR_PEOPLE)
async def test_what_is_not_for_people_is_not_published(shared_home: Home, simulated_kind: str):
    async def write_both() -> None:
        await shared_home.control.say("wife", "nicht für Leute", kind=simulated_kind)
        await shared_home.control.say("wife", f"after {simulated_kind}")

    assert (await next_message(shared_home, write_both))["text"] == f"after {simulated_kind}"


@pytest.mark.parametrize(("call_kind", "state"), CALLS)
async def test_a_call_is_an_event(shared_home: Home, call_kind: str, state: str):
    since = shared_home.subscriber.count
    await shared_home.control.say("wife", kind=call_kind)
    call = await shared_home.body("wx/event/call", since=since)
    assert (call["event"], call["user"], call["state"], call["by"]) == ("call", "wife", state, "wife")
    assert "seq" not in call


async def test_a_message_has_the_keys_of_the_contract(shared_home: Home):
    (msg_id,) = await shared_home.control.say("wife", "开灯 ☀")
    received = await shared_home.in_thread(
        shared_home.subscriber.wait, "wx/in/wife", lambda message: message.body["id"] == msg_id
    )
    body = received.body
    assert list(body)[:3] == ["schema", "stream", "seq"]
    assert (body["schema"], body["account"], body["user"], body["kind"]) == (1, "home", "wife", "text")
    assert body["chat"] == {"kind": "friend", "name": "老婆"}
    assert body["sender"] == {"user": "wife", "name": "老婆", "self": False}
    assert (body["text"], body["trusted"], body["mentioned"]) == ("开灯 ☀", True, False)
    assert body["time"].endswith("Z")
    assert len(body["time"]) == len("2026-11-25T08:00:00.000Z")
    assert received.properties["ContentType"] == "application/json"
    assert received.properties["PayloadFormatIndicator"] == 1
    assert not received.retain
    last = await shared_home.body("wx/last", id=msg_id)
    assert last == body


@pytest.mark.parametrize(
    "text",
    [
        "😀👨‍👩‍👧🇨🇳",
        "a < b & c > d &lt;",
        "第一行\n第二行",
        "[微笑] [Smile]",
        "'\"\\/ \u200f\u202e",
        "x" * 5000,
    ],
)
async def test_texts_are_published_as_they_were_written(shared_home: Home, text: str):
    body = await next_message(shared_home, lambda: shared_home.control.say("wife", text))
    assert body["text"] == text


async def test_the_retained_copy_of_the_newest_message_is_truncated(shared_home: Home):
    text = "长" * 3000
    body = await next_message(shared_home, lambda: shared_home.control.say("wife", text))
    assert body["text"] == text
    last = await shared_home.body("wx/last", id=body["id"])
    assert last["text"] == "长" * 1000
    assert last["truncated"] is True


async def test_a_quote_contains_the_quoted_message(shared_home: Home):
    detail = {"refer_id": "7615282929538795098", "refer_name": "李雷", "refer_text": "几点吃饭？"}
    body = await next_message(
        shared_home, lambda: shared_home.control.say("wife", "六点", kind="quote", detail=detail)
    )
    assert body["text"] == "六点"
    assert body["quote"] == {"id": detail["refer_id"], "kind": "text", "text": "几点吃饭？", "sender": "李雷"}


async def test_a_location_has_its_coordinates_as_numbers(shared_home: Home):
    detail = {"lat": "31.2304", "lon": "121.4737", "label": "上海市黄浦区"}
    body = await next_message(
        shared_home, lambda: shared_home.control.say("wife", kind="location", detail=detail)
    )
    location = body["location"]
    assert (location["lat"], location["lon"], location["label"]) == (31.2304, 121.4737, "上海市黄浦区")


async def test_money_is_a_decimal_text_with_its_currency(shared_home: Home):
    body = await next_message(
        shared_home,
        lambda: shared_home.control.say("wife", kind="app_transfer", detail={"amount": "￥1234.50"}),
    )
    assert (body["transfer"]["amount"], body["transfer"]["currency"]) == ("1234.50", "CNY")


# groups


async def test_in_a_group_the_sender_is_separated_from_the_text_and_decides_the_trust(shared_home: Home):
    family = "wx/in/family"
    wife = await next_message(
        shared_home, lambda: shared_home.control.say("wife", "我到了", to="family"), family
    )
    assert wife["chat"] == {"kind": "group", "name": "相亲相爱一家人"}
    assert (wife["sender"]["user"], wife["text"], wife["trusted"]) == ("wife", "我到了", True)
    aunt = await next_message(shared_home, lambda: shared_home.control.say("aunt", "好", to="family"), family)
    assert aunt["sender"]["name"] == "三姨🌼"
    assert (aunt["trusted"], aunt["mentioned"]) == (False, False)
    mom = await next_message(shared_home, lambda: shared_home.control.say("mom", "好", to="family"), family)
    assert (mom["sender"]["user"], mom["sender"]["name"], mom["trusted"]) == ("妈妈", "妈妈", False)


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [("@王小明\u2005回家吃饭", True), ("@所有人 开会", True), ("王小明 来了", False), ("@王小明明 x", False)],
)
async def test_a_mention_of_the_owner_is_recognized(shared_home: Home, text: str, mentioned: bool):
    body = await next_message(
        shared_home, lambda: shared_home.control.say("mom", text, to="family"), "wx/in/family"
    )
    assert body["mentioned"] is mentioned


@pytest.mark.parametrize(
    "simulated_kind",
    ["image", "voice", "location", "link", "file", "quote", "sticker", "app_transfer", "card"],
)
async def test_every_kind_of_message_has_its_sender_in_a_group(shared_home: Home, simulated_kind: str):
    body = await next_message(
        shared_home, lambda: shared_home.control.say("wife", to="family", kind=simulated_kind), "wx/in/family"
    )
    assert body["kind"] == simulated_kind.removeprefix("app_")
    assert body["sender"]["user"] == "wife"
    assert is_readable(body["text"])


@pytest.mark.parametrize(
    "simulated_kind",
    [
        "invited",
        "invited_me",
        "i_invited",
        "joined_by_code",
        "i_removed",
        "removed_me",
        "renamed",
        "new_founder",
    ],
)
async def test_a_message_of_wechat_itself_in_a_group_has_no_sender(shared_home: Home, simulated_kind: str):
    body = await next_message(
        shared_home,
        lambda: shared_home.control.say("family", kind=f"system:{simulated_kind}"),
        "wx/in/family",
    )
    assert body["kind"] == "system"
    assert "sender" not in body
    assert body["trusted"] is False
    assert is_readable(body["text"])


@pytest.mark.parametrize("simulated_kind", ["member_joined", "member_removed", "group_todo"])
async def test_system_xml_is_a_readable_line(shared_home: Home, simulated_kind: str):
    body = await next_message(
        shared_home, lambda: shared_home.control.say("family", kind=simulated_kind), "wx/in/family"
    )
    assert body["kind"] == "system"
    assert is_readable(body["text"])


async def test_a_group_that_was_in_no_list_gets_its_name_with_its_first_message(shared_home: Home):
    await shared_home.control.post(
        "people", add_group={"id": "quiet", "nickname": "静悄悄", "members": ["me", "lilei"], "saved": False}
    )
    body = await next_message(
        shared_home, lambda: shared_home.control.say("lilei", "有人吗", to="quiet"), "wx/in/静悄悄"
    )
    assert body["chat"] == {"kind": "group", "name": "静悄悄"}
    assert body["sender"]["name"] == "李雷"


# official accounts, the owner, messages of WeChat itself


async def test_a_message_of_an_official_account_has_that_kind_of_chat(shared_home: Home):
    topic = "wx/in/中国日报双语新闻"
    body = await next_message(shared_home, lambda: shared_home.control.say("news", kind="articles"), topic)
    assert body["chat"]["kind"] == "official"


async def test_the_file_helper_is_the_owners_remote_control(shared_home: Home):
    body = await next_message(
        shared_home, lambda: shared_home.control.say("me", "开灯", to="filehelper"), "wx/in/filehelper"
    )
    assert body["chat"]["kind"] == "self"
    assert (body["sender"]["self"], body["trusted"], body["text"]) == (True, True, "开灯")


async def test_what_the_owner_writes_in_other_chats_is_not_published(shared_home: Home):
    async def write_both() -> None:
        await shared_home.control.say("me", "只给你看", to="wife")
        await shared_home.control.say("wife", "收到")

    assert (await next_message(shared_home, write_both))["text"] == "收到"


async def test_a_recall_is_an_event_that_names_the_message(shared_home: Home):
    (msg_id,) = await shared_home.control.say("wife", "算了")
    await shared_home.body("wx/in/wife", id=msg_id)
    since = shared_home.subscriber.count
    await shared_home.control.say("wife", kind="recall", detail={"msg_id": msg_id})
    recall = await shared_home.body("wx/event/recall", since=since)
    assert (recall["user"], recall["message_id"], recall["account"]) == ("wife", msg_id, "home")
    assert recall["time"].endswith("Z")
    assert "seq" not in recall


async def test_a_friend_request_names_person_and_text_and_never_the_ticket(shared_home: Home):
    since = shared_home.subscriber.count
    await shared_home.control.say("uncle", "我是隔壁老王", kind="friend_request")
    request = await shared_home.body("wx/event/friend_request", since=since)
    assert (request["name"], request["text"]) == ("Uncle Bob", "我是隔壁老王")
    assert request["id"]
    names = await shared_home.control.get("names")
    secrets = [b"@stranger", b"v2_", *(name.encode() for name in names.values() if name.startswith("@"))]
    for received in shared_home.subscriber.received:
        assert not any(secret in received.payload for secret in secrets), received.topic


# hostile input


HOSTILE: list[dict[str, Any]] = [
    {},
    {"MsgId": None, "MsgType": None, "Content": None, "FromUserName": None},
    {"MsgId": 12345678901234567890, "MsgType": "1", "FromUserName": 7, "ToUserName": [], "Content": {}},
    {"MsgId": "h1", "MsgType": 1, "FromUserName": "@x", "Content": "\x00 \x1b[31m"},
    {"MsgId": "h2", "MsgType": 99999, "FromUserName": "@y", "Content": "?"},
    {"MsgId": "h3", "MsgType": 49, "FromUserName": "@x", "Content": "&lt;msg&gt;&lt;appmsg&gt;"},
    {
        "MsgId": "h4",
        "MsgType": 49,
        "FromUserName": "@x",
        "Content": '&lt;!DOCTYPE a [&lt;!ENTITY b "bb"&gt;&lt;!ENTITY c "&amp;b;&amp;b;"&gt;]&gt;&lt;msg&gt;&amp;c;&lt;/msg&gt;',
    },
    {"MsgId": "h5", "MsgType": 49, "FromUserName": "@x", "Content": "&lt;a&gt;" * 20_000},
    {"MsgId": "h6", "MsgType": 1, "FromUserName": "@@" + "f" * 64, "Content": ":<br/>:<br/>"},
    {"MsgId": "h7", "MsgType": 51, "StatusNotifyCode": 4, "StatusNotifyUserName": "," * 10_000},
    {"MsgId": "h8", "MsgType": 37, "RecommendInfo": "none", "FromUserName": "fmessage"},
    {"MsgId": "h9", "MsgType": 10002, "FromUserName": "@x", "Content": "&lt;sysmsg type='revokemsg'/&gt;"},
    {"MsgId": "h10", "MsgType": 1, "SubMsgType": 48, "FromUserName": "@x", "OriContent": [1], "Url": None},
    {"MsgId": "h11", "MsgType": 1, "FromUserName": "@x", "CreateTime": 10**30, "Content": "when?"},
    {"MsgId": "h12", "MsgType": 1, "FromUserName": "../#/+", "Content": "where?"},
]


async def test_a_message_that_cannot_be_read_does_not_stop_the_others(shared_home: Home):
    home = shared_home
    names = await home.control.get("names")
    good = {
        "MsgType": 1,
        "FromUserName": names["wife"],
        "ToUserName": names["me"],
        "CreateTime": 1_795_600_000,
    }
    entries: list[Any] = []
    for number, bad in enumerate(HOSTILE):
        entries += [bad, {**good, "MsgId": f"10000{number}", "Content": f"good {number}"}]
    no_objects = [[], 7, None, "text"]
    since = home.subscriber.count
    await home.control.post(
        "raw", AddMsgList=[*no_objects, *entries, {**good, "MsgId": "99", "Content": "the end"}]
    )
    await home.in_thread(home.subscriber.wait_body, "wx/in/wife", since=since, text="the end")
    received = [
        message.body["text"] for message in home.subscriber.received[since:] if message.topic == "wx/in/wife"
    ]
    assert received == [*(f"good {number}" for number in range(len(HOSTILE))), "the end"]
    assert home.bridge.running
    has_unread = lambda message: message.body["messages"].get("unread", 0) >= 1  # noqa: E731 - named where it is used
    await home.in_thread(home.subscriber.wait, "wx/bridge/health", has_unread, since=since)


async def test_contacts_that_cannot_be_read_do_not_stop_the_others(shared_home: Home):
    home = shared_home
    names = await home.control.get("names")
    bad = [
        {},
        {"UserName": 5},
        {"UserName": "@z", "NickName": None, "MemberList": 3},
        {"UserName": ""},
        9,
        None,
    ]
    since = home.subscriber.count
    changed = [*bad, {"UserName": names["mom"], "NickName": "平安", "RemarkName": "老妈妈"}]
    await home.control.post("raw", ModContactList=changed, DelContactList=[{}, None, {"UserName": []}])
    renamed = await home.body("wx/event/contact_renamed", since=since, user="妈妈")
    assert (renamed["from"], renamed["to"]) == ("妈妈", "老妈妈")
    body = await next_message(home, lambda: home.control.say("wife", "还在"))
    assert body["text"] == "还在"


async def test_a_name_from_a_stranger_never_makes_a_topic_of_several_levels(shared_home: Home):
    home = shared_home
    names = {"a/b": "a_b", "+#": "__", "$SYS": "_SYS", "中": "中", "filehelper": "filehelper-2"}
    for number, nickname in enumerate(names):
        await home.control.post("people", add={"id": f"named{number}", "nickname": nickname})
        await home.control.say(f"named{number}", f"I am {nickname}")
    for nickname in names:
        received = await home.in_thread(
            home.subscriber.wait, "wx/in/#", lambda message, n=nickname: message.body["text"] == f"I am {n}"
        )
        level = received.topic.removeprefix("wx/in/")
        assert "/" not in level
        assert level == received.body["user"]
        assert level != "filehelper"


# never twice, never a gap


async def test_a_message_that_wechat_delivers_again_is_not_published_again(shared_home: Home):
    home = shared_home
    names = await home.control.get("names")
    entry = {
        "MsgId": "7777",
        "MsgType": 1,
        "FromUserName": names["wife"],
        "ToUserName": names["me"],
        "CreateTime": 1_795_600_000,
        "Content": "once",
    }
    await home.control.post("raw", AddMsgList=[entry, entry])
    await home.body("wx/in/wife", id="7777")
    await home.control.post("raw", AddMsgList=[entry])
    body = await next_message(home, lambda: home.control.say("wife", "after"))
    assert body["text"] == "after"
    assert [message.body["text"] for message in home.subscriber.on("wx/in/wife")].count("once") == 1


async def test_seq_has_no_gap_and_ids_are_unique(shared_home: Home):
    home = shared_home
    await home.control.say("wife", "burst {n}", count=120)
    await home.body("wx/in/wife", text="burst 120")
    messages = [message.body for message in home.subscriber.on("wx/in/#")]
    by_id = {body["id"]: body for body in messages}
    assert len(by_id) == len(messages)
    seqs = sorted(body["seq"] for body in messages)
    assert seqs == list(range(1, len(seqs) + 1))
    burst = [body["text"] for body in messages if body["text"].startswith("burst")]
    assert burst == [f"burst {n}" for n in range(1, 121)]
    assert len({body["stream"] for body in messages}) == 1


async def test_every_payload_of_json_is_valid_utf8_and_json(shared_home: Home):
    for received in shared_home.subscriber.received:
        if received.payload and received.properties.get("ContentType") == "application/json":
            body = json.loads(received.payload.decode())
            assert "null" not in received.payload.decode() or received.topic.startswith("wx/result"), body
