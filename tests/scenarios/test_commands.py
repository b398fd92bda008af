"""From MQTT to WeChat on the whole bridge: what people publish, and the one result that each command gets."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

RESULT_KEYS = {
    "schema",
    "account",
    "id",
    "user",
    "status",
    "code",
    "message",
    "message_id",
    "time",
    "retry_after",
    "duplicate_possible",
    "sender",
}


async def sent_with_text(home, text):
    """Returns the messages with this text that WeChat took."""
    return [message for message in await home.control.get("sent") if message["text"] == text]


def outcome(result):
    return result["status"], result["code"]


# text and commands


@pytest.mark.parametrize(
    "text",
    [
        "开灯 ☀",
        " two\nlines \n",
        "[1, 2]",
        "&lt;b&gt; <br/> & \"'",
        "👍🏽 🇨🇳 1️⃣ 👨‍👩‍👧",
        "x" * 16384,
        "a{",
        "\u202eright to left\u202c",
        "\0 \a \x1b[31m \x7f \x85 \u2028 \ufffe",
    ],
)
async def test_a_text_arrives_as_it_is(shared_home, text):
    result = await shared_home.send_command("wife", text)
    (message,) = await sent_with_text(shared_home, text)
    assert outcome(result) == ("sent", "ok")
    assert (message["to"], message["kind"], message["msg_id"]) == ("wife", "text", result["message_id"])


async def test_a_result_has_all_keys_of_the_contract_and_null_where_nothing_is_known(shared_home):
    for payload in ("hello", ""):
        result = await shared_home.send_command("wife", payload)
        assert result.keys() == RESULT_KEYS
        assert (result["schema"], result["account"], result["user"]) == (1, "home", "wife")
        assert result["time"].endswith("Z")
        assert len(result["time"]) == 24
    assert (result["message_id"], result["retry_after"], result["duplicate_possible"]) == (None, None, False)


async def test_a_result_is_json_not_retained_and_says_so(shared_home):
    await shared_home.send_command("wife", "hello there")
    received = shared_home.subscriber.on("wx/result/wife")[-1]
    assert received.properties["ContentType"] == "application/json"
    assert received.properties["PayloadFormatIndicator"] == 1
    assert not received.retain


async def test_a_json_object_is_a_command(shared_home):
    result = await shared_home.send_command(
        "wife", {"text": "as a command", "id": "c-1", "priority": "high", "urgent": True}
    )
    assert (result["id"], *outcome(result)) == ("c-1", "sent", "ok")
    assert len(await sent_with_text(shared_home, "as a command")) == 1


@pytest.mark.parametrize(
    ("user", "to"), [("family", "family"), ("妈妈", "mom"), ("filehelper", "filehelper")]
)
async def test_groups_friends_and_the_file_helper_are_reached(shared_home, user, to):
    text = f"hello {user}"
    assert outcome(await shared_home.send_command(user, text)) == ("sent", "ok")
    (message,) = await sent_with_text(shared_home, text)
    assert message["to"] == to


async def test_text_plain_makes_a_text_of_anything_and_application_json_a_command(shared_home):
    text = '{"text": "no command"}'
    assert outcome(await shared_home.send_command("wife", text, ContentType="text/plain")) == ("sent", "ok")
    assert len(await sent_with_text(shared_home, text)) == 1
    refused = await shared_home.send_command("wife", "no object", ContentType="application/json")
    assert outcome(refused) == ("rejected", "bad_command")


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_command_is_sent_at_every_quality_of_service(shared_home, qos):
    text = f"at {qos}"
    assert outcome(await shared_home.send_command("wife", text, qos=qos)) == ("sent", "ok")
    assert len(await sent_with_text(shared_home, text)) == 1


# what is refused


@pytest.mark.parametrize(
    ("payload", "code", "hint"),
    [
        ("", "empty", "no text"),
        (" \n\t", "empty", "no text"),
        ('{"text": ""}', "empty", "no text"),
        (b"\xff\xfe", "bad_command", "UTF-8"),
        (b'{"text": "\xff"}', "bad_command", "UTF-8"),
        ("{", "bad_command", '{"text": "…"}'),
        ("{hello}", "bad_command", "text/plain"),
        ('{"temperature": 21.5}', "bad_command", "to send JSON use"),
        ('{"ttl": 5}', "bad_command", '{"text": "…"}'),
        ('{"text": "x", "tetx": "y"}', "bad_command", "'tetx'"),
        ('{"text": 5}', "bad_command", "'text'"),
        ('{"text": "x", "id": ""}', "bad_command", "'id'"),
        ('{"text": "x", "ttl": 0}', "bad_command", "'ttl'"),
        ('{"text": "x", "ttl": 1e400}', "bad_command", "too large"),
        ('{"kind": "voice"}', "bad_command", "'voice'"),
        ('{"kind": "image", "path": "/etc/passwd"}', "not_allowed", "media.send_from"),
        ('{"kind": "recall", "message_id": "1"}', "unknown_message", "'1'"),
        ("界" * 5462, "too_long", "16386"),
    ],
)
async def test_a_command_that_cannot_be_sent_gets_one_result_with_code_and_hint_and_nothing_is_sent(
    shared_home, payload, code, hint
):
    before = len(await shared_home.control.get("sent"))
    result = await shared_home.send_command("wife", payload)
    assert outcome(result) == ("rejected", code)
    assert hint in result["message"]
    assert result["id"]
    after = await shared_home.send_command("wife", "the others go on")
    assert outcome(after) == ("sent", "ok")
    assert len(await shared_home.control.get("sent")) == before + 1
    assert [message.body["id"] for message in shared_home.subscriber.on("wx/result/wife")].count(
        result["id"]
    ) == 1


@pytest.mark.parametrize("user", ["nobody", "Wife", "wife ", "e\u0301", "$SYS", "老公"])
async def test_an_unknown_user_is_answered_on_the_level_as_received(shared_home, user):
    result = await shared_home.send_command(user, "hello")
    assert (result["user"], *outcome(result)) == (user, "rejected", "unknown_user")
    assert "wx/contacts" in result["message"]


async def test_a_command_on_an_empty_topic_level_is_rejected(shared_home):
    assert outcome(await shared_home.send_command("", "hello")) == ("rejected", "bad_command")


@pytest.mark.parametrize(
    ("subtopic", "code"),
    [
        ("image", "bad_file"),
        ("video", "bad_file"),
        ("file/..", "bad_command"),
        ("file", "bad_command"),
        ("picture", "bad_command"),
        ("image/x", "bad_command"),
        ("file/a/b", "bad_command"),
        ("", "bad_command"),
    ],
)
async def test_a_command_on_a_topic_below_a_user_is_answered_on_the_users_result_topic(
    shared_home, subtopic, code
):
    result = await shared_home.send_command(f"wife/{subtopic}", b"\x89PNG\xff")
    assert (result["user"], *outcome(result)) == ("wife", "rejected", code)


async def test_the_result_of_a_command_to_a_removed_contact_says_so(shared_home):
    since = shared_home.subscriber.count
    await shared_home.control.post("people", add={"id": "leaver", "nickname": "Leaver"})
    await shared_home.body("wx/event/contact_added", since=since)
    assert outcome(await shared_home.send_command("Leaver", "hello")) == ("sent", "ok")
    since = shared_home.subscriber.count
    await shared_home.control.post("people", remove={"id": "leaver"})
    await shared_home.body("wx/event/contact_removed", since=since)
    result = await shared_home.send_command("Leaver", "are you there")
    assert outcome(result) == ("rejected", "unknown_user")
    assert "no longer a contact" in result["message"]


# ids


async def test_the_same_id_and_content_again_is_not_sent_and_its_result_comes_again_everywhere(shared_home):
    command = {"text": "only once", "id": "idem"}
    first = await shared_home.send_command("wife", command)
    again = await shared_home.send_command(
        "wife", {**command, "ttl": 5}, ResponseTopic="me/again", CorrelationData=b"\0\x01"
    )
    assert again == first
    answer = await shared_home.body("me/again", id="idem")
    assert answer == first
    assert shared_home.subscriber.on("me/again")[0].properties["CorrelationData"] == "0001"
    assert len(await sent_with_text(shared_home, "only once")) == 1


async def test_the_same_id_with_other_content_is_rejected(shared_home):
    await shared_home.send_command("wife", {"text": "first", "id": "reused"})
    assert outcome(await shared_home.send_command("wife", {"text": "second", "id": "reused"})) == (
        "rejected",
        "id_reused",
    )
    assert outcome(await shared_home.send_command("妈妈", {"text": "first", "id": "reused"})) == (
        "rejected",
        "id_reused",
    )
    assert await sent_with_text(shared_home, "second") == []


async def test_a_number_is_an_id_too(shared_home):
    first = await shared_home.send_command("wife", '{"text": "numbered", "id": 7615282929538795099}')
    again = await shared_home.send_command("wife", '{"text": "numbered", "id": "7615282929538795099"}')
    assert first["id"] == "7615282929538795099"
    assert again == first
    assert len(await sent_with_text(shared_home, "numbered")) == 1


# where the result goes


async def test_the_result_goes_to_the_response_topic_too_with_its_correlation_data(shared_home):
    result = await shared_home.send_command(
        "wife", "answer me", ResponseTopic="me/answer", CorrelationData=b"\xff\0\x07"
    )
    assert await shared_home.body("me/answer") == result
    received = shared_home.subscriber.on("me/answer")[0]
    assert received.properties["CorrelationData"] == "ff0007"
    assert received.properties["ContentType"] == "application/json"


async def test_a_refusal_goes_to_the_response_topic_too(shared_home):
    result = await shared_home.send_command("nobody", "x", ResponseTopic="me/refusal")
    assert await shared_home.body("me/refusal") == result


@pytest.mark.parametrize(
    "topic",
    ["wx/reply/me", "wx/in/wife", "wx/bridge/state", "homeassistant/switch/x/config", "$SYS/x"],
)
async def test_a_response_topic_that_is_not_allowed_gets_nothing_and_the_text_is_sent(shared_home, topic):
    since = shared_home.subscriber.count
    text = f"lead me to {topic}"
    result = await shared_home.send_command("wife", text, ResponseTopic=topic)
    assert outcome(result) == ("sent", "bad_response_topic")
    assert "WeChat took the message; the result comes on this topic only" in result["message"]
    await shared_home.send_command("wife", "the next one")
    assert [
        message
        for message in shared_home.subscriber.received[since:]
        if message.topic == topic and b"lead" in message.payload
    ] == []
    assert len(await sent_with_text(shared_home, text)) == 1


# time


async def test_a_short_message_expiry_is_enough_when_nothing_delays_the_command(shared_home):
    result = await shared_home.send_command("wife", "in time", MessageExpiryInterval=5)
    assert outcome(result) == ("sent", "ok")


# order


async def test_the_order_of_a_chat_is_the_order_of_publishing(shared_home):
    texts = [f"in order {number}" for number in range(40)]
    for text in texts:
        await shared_home.publish("wx/out/妈妈", {"text": text, "id": text})
    for text in texts:
        assert (await shared_home.body("wx/result/妈妈", id=text))["status"] == "sent"
    sent = [message["text"] for message in await shared_home.control.get("sent") if message["text"] in texts]
    assert sent == texts


# what a beginner publishes


async def test_the_byte_order_mark_of_powershell_is_no_part_of_text_or_command(shared_home):
    byte_order_mark = b"\xef\xbb\xbf"
    assert (await shared_home.send_command("wife", byte_order_mark + "你好".encode()))["status"] == "sent"
    result = await shared_home.send_command("wife", byte_order_mark + b'{"text": "in JSON", "id": "bom"}')
    assert (result["id"], result["status"]) == ("bom", "sent")
    assert [len(await sent_with_text(shared_home, text)) for text in ("你好", "in JSON")] == [1, 1]


async def test_the_result_of_a_command_on_a_wrong_topic_names_the_right_one(shared_home):
    picture = await shared_home.send_command("wife", b"\x89PNG\r\n\x1a\n\xff")
    assert "publish them on wx/out/wife/image" in picture["message"]
    for topic, user in (("wx/out/wife/picture", "wife"), ("wx/out/wife/file", "wife"), ("wx/out", "")):
        since = shared_home.subscriber.count
        await shared_home.publish(topic, "x")
        result = await shared_home.body(f"wx/result/{user}", since=since)
        assert (result["status"], result["code"]) == ("rejected", "bad_command")
        assert f"wx/out/{user or '<user>'}/file/<name>" in result["message"]
