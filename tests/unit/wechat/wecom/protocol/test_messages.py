import pytest

from wx2mqtt.model import ChatKind, Kind
from wx2mqtt.wechat.wecom.protocol.messages import read_messages, text_without_address

NOW = 1_790_000_000_000
SINGLE = {"msgid": "m1", "chattype": "single", "from": {"userid": "zhangsan"}}
GROUP = {**SINGLE, "chattype": "group", "chatid": "wrkABC"}
FILE = {"url": "https://files.example/1"}


def read(body, bot_name=""):
    return read_messages(body, bot_name, "en", NOW)


def test_a_text_of_a_person():
    (message,) = read(
        {**SINGLE, "msgtype": "text", "text": {"content": "hello"}, "create_time": 1_700_000_000}
    )
    assert (message.kind, message.text, message.time) == (Kind.TEXT, "hello", 1_700_000_000_000)
    assert (message.chat, message.sender, message.chat_kind) == (
        "user:zhangsan",
        "user:zhangsan",
        ChatKind.FRIEND,
    )


def test_a_text_in_a_group_without_the_address_of_the_bot():
    (message,) = read({**GROUP, "msgtype": "text", "text": {"content": "@Bot open the door"}})
    assert (message.chat, message.sender, message.text) == ("group:wrkABC", "user:zhangsan", "open the door")
    assert message.mentioned


@pytest.mark.parametrize(
    ("text", "bot_name", "rest"),
    [
        ("@Bot open", "", "open"),
        ("@My Bot open", "", "Bot open"),
        ("@My Bot open", "My Bot", "open"),
        ("@Bot", "", ""),
        ("open @Bot", "", "open @Bot"),
        ("@Bot\u2005open", "", ""),
    ],
)
def test_the_first_word_with_the_at_sign_goes(text, bot_name, rest):
    assert text_without_address(text, bot_name) == rest


@pytest.mark.parametrize(
    ("part", "kind"), [("image", Kind.IMAGE), ("video", Kind.VIDEO), ("file", Kind.FILE)]
)
def test_a_file_has_its_locator(part, kind):
    (message,) = read({**SINGLE, "msgtype": part, part: FILE})
    assert message.kind is kind
    assert message.media


def test_a_voice_message_is_its_transcript():
    (message,) = read({**SINGLE, "msgtype": "voice", "voice": {"content": "turn it off"}})
    assert (message.kind, message.text, message.media) == (Kind.VOICE, "turn it off", None)
    assert message.detail == {"transcript": True}


def test_each_part_of_a_mixed_message_is_a_message():
    parts = [
        {"msgtype": "text", "text": {"content": "look"}},
        {"msgtype": "image", "image": FILE},
        {"msgtype": "image", "image": FILE},
    ]
    messages = read({**SINGLE, "msgtype": "mixed", "mixed": {"msg_item": parts}})
    assert [message.id for message in messages] == ["m1", "m1-2", "m1-3"]
    assert [message.kind for message in messages] == [Kind.TEXT, Kind.IMAGE, Kind.IMAGE]


def test_a_quote_has_kind_and_text_and_no_id():
    quote = {"msgtype": "text", "text": {"content": "Open the garage?"}}
    (message,) = read({**SINGLE, "msgtype": "text", "text": {"content": "yes"}, "quote": quote})
    assert (message.kind, message.text) == (Kind.QUOTE, "yes")
    assert message.detail == {"kind": "text", "text": "Open the garage?"}


def test_a_type_that_is_not_known_is_unsupported():
    (message,) = read({**SINGLE, "msgtype": "hologram", "hologram": {}})
    assert (message.kind, message.detail) == (Kind.UNSUPPORTED, {"type": "hologram"})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**SINGLE, "msgid": ""},
        {**SINGLE, "msgid": "x" * 300},
        {**SINGLE, "from": {}},
        {**SINGLE, "from": "zhangsan"},
        {**GROUP, "chatid": ""},
    ],
)
def test_without_an_id_a_sender_or_a_chat_it_cannot_be_read(body):
    with pytest.raises(ValueError, match=r"^$"):
        read({**body, "msgtype": "text", "text": {"content": "x"}})
