"""What a program sends: to whom, how much, how often, and what is refused with which code."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.support.wecom_client import PIECE_BYTES, WeComClient, button_card
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.wecom.people import chatid_of

ME, WIFE, FAMILY, WORK = "WangXiaoMing", "LiLi", chatid_of("family"), chatid_of("work")


@pytest.fixture
async def greeted_client(subscribed_client: WeComClient) -> WeComClient:
    """Returns a WeCom client to which the owner has written, alone and in the group."""
    await subscribed_client.control("say", text="hi")
    await subscribed_client.control("say", to="family", text="hi")
    for _ in range(2):
        await subscribed_client.next()
    return subscribed_client


async def receive_callback(subscribed_client: WeComClient, **order: Any) -> dict[str, Any]:
    """Lets somebody write; returns the callback."""
    await subscribed_client.control("say", **order)
    return await subscribed_client.next()


# to whom


async def test_a_text_reaches_a_person_and_a_group(greeted_client: WeComClient):
    assert await greeted_client.send(ME, "**on** \\* 1") == 0
    assert await greeted_client.send(FAMILY, "# dinner", 2) == 0
    sent = await greeted_client.seen("sent")
    assert [
        (
            receive_callback["chat"],
            receive_callback["text"],
            receive_callback["shown"],
            receive_callback["command"],
        )
        for receive_callback in sent
    ] == [
        ("me", "**on** \\* 1", "on * 1", "send"),
        ("family", "# dinner", "dinner", "send"),
    ]
    assert await greeted_client.violations() == []


@pytest.mark.parametrize(
    ("chatid", "chat_type", "code"),
    [
        (ME.lower(), 1, 93006),
        (ME, 2, 93006),
        (FAMILY, 1, 93006),
        ("wrkNone", 2, 93006),
        (WIFE, 1, 93001),
        (WORK, 2, 93008),
    ],
)
async def test_a_chat_that_cannot_be_reached_has_its_code(
    greeted_client: WeComClient, chatid: str, chat_type: int, code: int
):
    assert await greeted_client.send(chatid, "hi", chat_type) == code
    assert await greeted_client.violations() == []
    assert (await greeted_client.seen("state"))["refused"] == {str(code): 1}


async def test_a_message_without_chat_type_is_guessed_and_odd(greeted_client: WeComClient):
    body: dict[str, Any] = {"msgtype": "markdown", "markdown": {"content": "hi"}}
    assert await greeted_client.code("aibot_send_msg", chatid=FAMILY, **body) == 0
    odd = "aibot_send_msg: tolerated, but: no chat_type, so that the gateway must guess"
    assert await greeted_client.violations() == [odd]
    await greeted_client.http.post("/sim/settings", json={"strict": False})
    assert await greeted_client.code("aibot_send_msg", chatid=ME, **body) == 0
    assert await greeted_client.violations() == []


# what


@pytest.mark.parametrize(
    ("body", "code", "problem"),
    [
        ({"msgtype": "text", "text": {"content": "x"}}, 40008, "msgtype is not one of"),
        ({"msgtype": "markdown"}, 40058, "markdown is no object"),
        ({"msgtype": "markdown", "markdown": {"content": " \n"}}, 93017, "the content is blank"),
        ({"msgtype": "markdown", "markdown": {"content": "灯" * 6827}}, 45002, "longer than 20480 bytes"),
        ({"msgtype": "image", "image": {"media_id": "x"}}, 40007, "media_id is none of this bot"),
        ({"msgtype": "image", "image": {}}, 40058, "media_id is no text"),
        ({"chat_type": 3, "msgtype": "markdown"}, 40058, "chat_type is not 1 or 2"),
    ],
)
async def test_a_malformed_message_is_refused_and_counted(
    greeted_client: WeComClient, body: dict[str, Any], code: int, problem: str
):
    fields: dict[str, Any] = {"chatid": ME, "chat_type": 1, **body}
    assert await greeted_client.code("aibot_send_msg", **fields) == code
    [found] = await greeted_client.violations()
    assert problem in found


async def test_spam_is_refused(greeted_client: WeComClient):
    await greeted_client.control("settings", spam="casino")
    assert await greeted_client.send(ME, "a casino") == 40201
    assert await greeted_client.violations() == []


async def test_a_chat_takes_thirty_a_minute_and_a_thousand_an_hour(greeted_client: WeComClient):
    assert [await greeted_client.send(ME, f"{n}") for n in range(31)] == [0] * 30 + [45009]
    assert await greeted_client.send(FAMILY, "hi", 2) == 0
    await greeted_client.control("clock", forward=60)
    assert await greeted_client.send(ME, "again") == 0
    await greeted_client.control("settings", minute_limit=0, hour_limit=32)
    assert [await greeted_client.send(ME, f"{n}") for n in range(2)] == [0, 45009]
    await greeted_client.control("clock", forward=3600)
    assert await greeted_client.send(ME, "again") == 0
    assert await greeted_client.violations() == []


# answers


async def test_a_stream_replaces_itself_until_it_is_finished(greeted_client: WeComClient):
    callback = await receive_callback(greeted_client, text="status?")
    assert await greeted_client.answer(callback, "one", finish=False) == 0
    assert await greeted_client.answer(callback, "one two", finish=False) == 0
    assert await greeted_client.answer(callback, "one two three") == 0
    lines = [line["text"] for line in (await greeted_client.seen("feed"))["lines"] if line["sender"] == "bot"]
    assert lines == ["one two three"]
    sent = await greeted_client.seen("sent")
    assert [receive_callback["finished"] for receive_callback in sent] == [False, False, True]
    assert {receive_callback["answers"] for receive_callback in sent} == {callback["body"]["msgid"]}
    assert await greeted_client.violations() == []


async def test_a_message_gets_one_finished_answer(greeted_client: WeComClient):
    callback = await receive_callback(greeted_client, text="hi")
    assert await greeted_client.answer(callback, "✓") == 0
    assert await greeted_client.answer(callback, "✓") == 846605
    await greeted_client.control("redeliver")
    assert await greeted_client.answer(await greeted_client.next(), "✓") == 846605
    assert (
        await greeted_client.violations()
        == ["aibot_respond_msg: a second finished answer to one message"] * 2
    )


async def test_answers_count_for_the_rate_of_the_chat(greeted_client: WeComClient):
    await greeted_client.control("settings", minute_limit=1)
    callback = await receive_callback(greeted_client, text="hi")
    assert await greeted_client.answer(callback, "✓") == 0
    assert await greeted_client.send(ME, "hi") == 45009


async def test_a_stream_expires(greeted_client: WeComClient):
    callback = await receive_callback(greeted_client, text="hi")
    assert await greeted_client.answer(callback, "one", finish=False) == 0
    await greeted_client.control("clock", forward=601)
    assert await greeted_client.answer(callback, "two") == 846608
    assert await greeted_client.violations() == []


async def test_a_blank_stream_is_ignored_and_counted(greeted_client: WeComClient):
    callback = await receive_callback(greeted_client, text="hi")
    assert await greeted_client.answer(callback, " ") == 0
    assert await greeted_client.seen("sent") == []
    assert await greeted_client.violations() == ["aibot_respond_msg: the content of a stream is blank"]


async def test_an_old_connection_has_no_callbacks_any_more(sim: Simulator, greeted_client: WeComClient):
    callback = await receive_callback(greeted_client, text="hi")
    await greeted_client.disconnect()
    async with WeComClient(sim.url) as again:
        await again.log_in()
        assert await again.answer(callback, "✓") == 846605
        assert await again.violations() == ["aibot_respond_msg: req_id is that of an older connection"]


async def test_each_callback_takes_its_own_command_only(greeted_client: WeComClient):
    callback = await receive_callback(greeted_client, text="hi")
    req_id = callback["headers"]["req_id"]
    body: dict[str, Any] = {"msgtype": "text", "text": {"content": "hello"}}
    assert await greeted_client.code("aibot_respond_welcome_msg", req_id, **body) == 846605
    await greeted_client.control("enter")
    event = await greeted_client.next()
    assert await greeted_client.answer(event, "✓") == 846605
    assert await greeted_client.code("aibot_respond_welcome_msg", event["headers"]["req_id"], **body) == 0
    assert (
        await greeted_client.code("aibot_respond_welcome_msg", event["headers"]["req_id"], **body) == 846605
    )
    assert await greeted_client.answer({"headers": {"req_id": "mine"}}, "✓") == 846605
    assert len(await greeted_client.violations()) == 4


async def test_a_welcome_must_come_within_five_seconds(greeted_client: WeComClient):
    await greeted_client.control("enter")
    event = await greeted_client.next()
    await greeted_client.control("clock", forward=6)
    body: dict[str, Any] = {"msgtype": "text", "text": {"content": "hello"}}
    assert (
        await greeted_client.code("aibot_respond_welcome_msg", event["headers"]["req_id"], **body) == 846605
    )
    assert await greeted_client.violations() == []


async def test_an_answer_may_be_a_card_or_a_file(greeted_client: WeComClient):
    callback = await receive_callback(greeted_client, text="hi")
    media_id = await greeted_client.upload(sample("image.png"), "image", "a.png")
    req_id = callback["headers"]["req_id"]
    assert (
        await greeted_client.code("aibot_respond_msg", req_id, msgtype="image", image={"media_id": media_id})
        == 0
    )
    [sent] = await greeted_client.seen("sent")
    assert (sent["command"], sent["kind"], sent["answers"]) == ("respond", "image", callback["body"]["msgid"])
    assert await greeted_client.violations() == []


# cards


async def receive_press(greeted_client: WeComClient) -> str:
    """Sends a card and presses it; returns the req_id of the event."""
    assert await greeted_client.send_card(ME, button_card("q1", "Yes", "No")) == 0
    await greeted_client.control("press", key="yes")
    return str((await greeted_client.next())["headers"]["req_id"])


def card_update(task_id: str = "q1") -> dict[str, Any]:
    card = button_card(task_id, "Yes", card_action={"type": 1, "url": "https://example.org"})
    return {"response_type": "update_template_card", "template_card": card}


async def test_a_pressed_card_is_updated(greeted_client: WeComClient):
    req_id = await receive_press(greeted_client)
    assert await greeted_client.code("aibot_respond_update_msg", req_id, **card_update()) == 0
    [line] = [line for line in (await greeted_client.seen("feed"))["lines"] if line["card"]]
    assert [button["text"] for button in line["card"]["buttons"]] == ["Yes"]
    assert await greeted_client.code("aibot_respond_update_msg", req_id, **card_update()) == 846605
    assert await greeted_client.violations() == ["aibot_respond_update_msg: a second answer to one event"]


async def test_a_card_is_not_updated_after_five_seconds(greeted_client: WeComClient):
    req_id = await receive_press(greeted_client)
    await greeted_client.control("clock", forward=6)
    assert await greeted_client.code("aibot_respond_update_msg", req_id, **card_update()) == 846605
    assert await greeted_client.violations() == []


@pytest.mark.parametrize(
    ("body", "code", "problem"),
    [
        ({**card_update(), "response_type": "text"}, 40058, "response_type"),
        ({**card_update(), "template_card": button_card("q1", "Yes")}, 42045, "without card_action"),
        (card_update("q2"), 40058, "task_id is not that of the pressed card"),
    ],
)
async def test_a_wrong_update_is_refused(
    greeted_client: WeComClient, body: dict[str, Any], code: int, problem: str
):
    req_id = await receive_press(greeted_client)
    assert await greeted_client.code("aibot_respond_update_msg", req_id, **body) == code
    [found] = await greeted_client.violations()
    assert problem in found


async def test_a_task_id_is_used_once(greeted_client: WeComClient):
    card = button_card("q1", "Yes")
    assert [await greeted_client.send_card(ME, card) for _ in range(2)] == [0, 40058]
    assert await greeted_client.violations() == ["aibot_send_msg: task_id is that of an older card"]
    await greeted_client.control("settings", repeated_task_id="accept")
    assert await greeted_client.send_card(ME, card) == 0


async def test_a_card_to_a_group_is_odd(greeted_client: WeComClient):
    assert await greeted_client.send_card(FAMILY, button_card("q1", "Yes"), 2) == 0
    assert await greeted_client.violations() == ["aibot_send_msg: tolerated, but: a card to a group"]


# uploads


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("image", sample("image.jpg")),
        ("video", sample("video.mp4")),
        ("voice", b"#!AMR\n" + bytes(100)),
        ("file", bytes(range(256)) * 8192),
    ],
)
async def test_each_type_is_uploaded_and_sent(greeted_client: WeComClient, kind: str, data: bytes):
    media_id = await greeted_client.upload(data, kind, "a file.bin")
    fields: dict[str, Any] = {"chatid": ME, "chat_type": 1, "msgtype": kind, kind: {"media_id": media_id}}
    assert await greeted_client.code("aibot_send_msg", **fields) == 0
    [sent] = await greeted_client.seen("sent")
    assert (sent["kind"], sent["text"], sent["media"]["size"]) == (kind, "a file.bin", len(data))
    assert (await greeted_client.http.get(f"/sim/wecom/media/{sent['msg_id']}")).content == data
    assert await greeted_client.violations() == []


async def test_a_wrong_format_is_refused_and_no_violation(greeted_client: WeComClient):
    data = sample("file.pdf")
    answer = await greeted_client.begin_upload(data, "image", "a.jpg")
    piece = base64.b64encode(data).decode()
    upload_id = answer["body"]["upload_id"]
    fields: dict[str, Any] = {"upload_id": upload_id, "chunk_index": 0, "base64_data": piece}
    assert await greeted_client.code("aibot_upload_media_chunk", **fields) == 0
    assert await greeted_client.code("aibot_upload_media_finish", upload_id=upload_id) == 40004
    assert await greeted_client.violations() == []


async def test_sizes_and_numbers_are_limited(greeted_client: WeComClient):
    await greeted_client.control("settings", image_limit=1000, file_limit=2000, refuse_media="video")
    assert (await greeted_client.begin_upload(bytes(1001), "image", "a.jpg"))["errcode"] == 93018
    assert (await greeted_client.begin_upload(bytes(2001), "file", "a.bin"))["errcode"] == 45001
    assert (await greeted_client.begin_upload(bytes(99), "video", "a.mp4"))["errcode"] == 40004
    await greeted_client.control("settings", upload_minute_limit=1)
    codes = [(await greeted_client.begin_upload(bytes(99), "file", "a.bin"))["errcode"] for _ in range(2)]
    assert codes == [0, 45009]
    assert await greeted_client.violations() == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"type": "film"}, "type is not"),
        ({"filename": "灯" * 86}, "filename is longer than 256 bytes"),
        ({"total_size": 4}, "total_size is no whole number from 5"),
        ({"total_chunks": 101}, "total_chunks is no whole number from 1 to 100"),
        ({"total_size": PIECE_BYTES + 1}, "cannot hold total_size bytes"),
    ],
)
async def test_a_malformed_upload_is_counted(
    greeted_client: WeComClient, change: dict[str, Any], problem: str
):
    fields: dict[str, Any] = {"type": "file", "filename": "a", "total_size": 10, "total_chunks": 1, **change}
    assert await greeted_client.code("aibot_upload_media_init", **fields) in (40004, 40058)
    [found] = await greeted_client.violations()
    assert problem in found


async def test_pieces_come_in_any_order_and_twice_but_not_too_many_at_once(greeted_client: WeComClient):
    data = bytes(range(256)) * (4 * PIECE_BYTES // 256) + b"end"
    upload_id = (await greeted_client.begin_upload(data, "file", "a.bin"))["body"]["upload_id"]
    await greeted_client.control("settings", piece_seconds=0.2)

    def piece(index: int) -> dict[str, Any]:
        part = data[index * PIECE_BYTES : (index + 1) * PIECE_BYTES]
        encoded = base64.b64encode(part).decode()
        return {"upload_id": upload_id, "chunk_index": index, "base64_data": encoded}

    order = (4, 2, 0, 1)
    waiting = [await greeted_client.post("aibot_upload_media_chunk", piece(index)) for index in order]
    assert [(await answer)["errcode"] for answer in waiting] == [0, 0, 0, -1]
    assert await greeted_client.violations() == ["aibot_upload_media_chunk: more than 3 pieces in flight"]
    assert await greeted_client.code("aibot_upload_media_finish", upload_id=upload_id) == 40058
    assert "2 pieces are missing" in (await greeted_client.violations())[0]
    for index in (1, 1, 3):
        assert await greeted_client.code("aibot_upload_media_chunk", **piece(index)) == 0
    first, second = [
        await greeted_client.call("aibot_upload_media_finish", upload_id=upload_id) for _ in range(2)
    ]
    assert first["body"]["media_id"] == second["body"]["media_id"]
    assert await greeted_client.violations() == []


async def test_a_piece_must_be_base64_small_and_of_this_bot(greeted_client: WeComClient):
    upload_id = (await greeted_client.begin_upload(bytes(PIECE_BYTES + 9), "file", "a"))["body"]["upload_id"]
    too_large = base64.b64encode(bytes(PIECE_BYTES + 1)).decode()
    for change, problem in (
        ({"base64_data": "no!"}, "is no base64"),
        ({"base64_data": too_large}, "a piece is larger than 524288 bytes"),
        ({"chunk_index": 2}, "chunk_index is no whole number from 0 to 1"),
        ({"upload_id": "x"}, "upload_id is none of this bot"),
    ):
        fields: dict[str, Any] = {"upload_id": upload_id, "chunk_index": 0, "base64_data": "AAAA", **change}
        assert await greeted_client.code("aibot_upload_media_chunk", **fields) == 40058
        [found] = await greeted_client.violations()
        assert problem in found


async def test_uploads_and_media_expire(greeted_client: WeComClient):
    data = b"hello world"
    upload_id = (await greeted_client.begin_upload(data, "file", "a"))["body"]["upload_id"]
    media_id = await greeted_client.upload(data, "file", "a")
    await greeted_client.control("clock", forward=1801)
    assert await greeted_client.code("aibot_upload_media_finish", upload_id=upload_id) == 40058
    await greeted_client.control("clock", forward=3 * 86400)
    fields: dict[str, Any] = {"chatid": ME, "chat_type": 1, "msgtype": "file", "file": {"media_id": media_id}}
    assert await greeted_client.code("aibot_send_msg", **fields) == 40007
    assert await greeted_client.violations() == []


async def test_an_upload_goes_on_after_a_reconnect(sim: Simulator, greeted_client: WeComClient):
    data = b"hello world"
    upload_id = (await greeted_client.begin_upload(data, "file", "a"))["body"]["upload_id"]
    await greeted_client.disconnect()
    async with WeComClient(sim.url) as again:
        await again.log_in()
        fields: dict[str, Any] = {
            "upload_id": upload_id,
            "chunk_index": 0,
            "base64_data": base64.b64encode(data).decode(),
        }
        assert await again.code("aibot_upload_media_chunk", **fields) == 0
        assert (await again.call("aibot_upload_media_finish", upload_id=upload_id))["body"]["type"] == "file"
        assert await again.violations() == []
