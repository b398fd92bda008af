"""What a program gets of people: every kind of message, events, files that live five minutes."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from tests.support.wecom_client import WeComClient, button_card
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.wecom.people import chatid_of

ME, WIFE, FAMILY = "WangXiaoMing", "LiLi", chatid_of("family")


async def receive_injected(subscribed_client: WeComClient, **order: Any) -> dict[str, Any]:
    """Lets somebody write; returns the body of the callback, with the msgid that the order returned."""
    answer = await subscribed_client.control("say", **order)
    callback = await subscribed_client.next()
    assert callback["cmd"] == "aibot_msg_callback"
    body: dict[str, Any] = callback["body"]
    assert answer == {"msg_ids": [body["msgid"]], "delivered": 1}
    return body


async def test_a_text_of_a_person(subscribed_client: WeComClient):
    body = await receive_injected(subscribed_client, text="开灯 ☀ *x*")
    assert (body["chattype"], body["from"]["userid"], body["msgtype"]) == ("single", ME, "text")
    assert body["text"] == {"content": "开灯 ☀ *x*"}
    assert "chatid" not in body


async def test_a_text_in_a_group_begins_with_the_name_of_the_bot(subscribed_client: WeComClient):
    body = await receive_injected(
        subscribed_client, **{"from": "wife", "to": "family", "text": "who is home?"}
    )
    assert (body["chattype"], body["chatid"], body["from"]["userid"]) == ("group", FAMILY, WIFE)
    assert body["text"] == {"content": "@家 who is home?"}
    body = await receive_injected(
        subscribed_client, **{"from": "wife", "to": "family", "text": "hi", "detail": {"at": False}}
    )
    assert body["text"] == {"content": "hi"}


async def test_a_voice_brings_its_transcript_only(subscribed_client: WeComClient):
    body = await receive_injected(subscribed_client, kind="voice", text="关灯")
    assert body["voice"] == {"content": "关灯"}


@pytest.mark.parametrize("kind", ["image", "file", "video"])
async def test_a_file_is_fetched_and_decrypted(subscribed_client: WeComClient, kind: str):
    body = await receive_injected(subscribed_client, kind=kind, bytes_of=300_001)
    data = await subscribed_client.fetch(body[kind])
    assert len(data) == 300_001
    plain = await subscribed_client.http.get(f"/sim/wecom/media/{body['msgid']}")
    assert plain.content == data
    assert data.startswith(
        sample({"image": "image.jpg", "file": "file.pdf", "video": "video.mp4"}[kind])[:64]
    )
    assert await subscribed_client.violations() == []


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 65_536])
async def test_each_length_is_padded_to_32(subscribed_client: WeComClient, size: int):
    data = bytes(range(256)) * 256
    body = await receive_injected(subscribed_client, kind="file", data=base64.b64encode(data[:size]).decode())
    assert await subscribed_client.fetch(body["file"]) == data[:size]


async def test_a_file_has_a_name_in_each_form_of_the_header(subscribed_client: WeComClient):
    forms = {}
    for form in ("both", "star", "plain", "none"):
        body = await receive_injected(
            subscribed_client, kind="file", text="账单 1.pdf", detail={"name": form}
        )
        answer = await subscribed_client.http.get(body["file"]["url"])
        forms[form] = answer.headers.get("content-disposition", "")
    encoded = "%E8%B4%A6%E5%8D%95%201.pdf"
    assert forms == {
        "both": f"attachment; filename=\"file\"; filename*=UTF-8''{encoded}",
        "star": f"attachment; filename*=UTF-8''{encoded}",
        "plain": f'attachment; filename="{encoded}"',
        "none": "",
    }


async def test_a_file_lives_for_five_minutes(subscribed_client: WeComClient):
    body = await receive_injected(subscribed_client, kind="image")
    await subscribed_client.control("clock", forward=299)
    assert await subscribed_client.fetch(body["image"])
    await subscribed_client.control("clock", forward=2)
    assert (await subscribed_client.http.get(body["image"]["url"])).status_code == 403
    assert await subscribed_client.violations() == []


async def test_a_file_can_be_gone_at_once(subscribed_client: WeComClient):
    body = await receive_injected(subscribed_client, kind="file")
    await subscribed_client.control("media", msg_id=body["msgid"])
    assert (await subscribed_client.http.get(body["file"]["url"])).status_code == 403
    await subscribed_client.control("media", msg_id=body["msgid"], gone=False)
    assert (await subscribed_client.http.get(body["file"]["url"])).status_code == 200


@pytest.mark.parametrize("damage", ["padding", "cut", "empty"])
async def test_a_file_can_be_damaged(subscribed_client: WeComClient, damage: str):
    body = await receive_injected(subscribed_client, kind="file", detail={"damage": damage})
    with pytest.raises((ValueError, IndexError)):
        await subscribed_client.fetch(body["file"])


@pytest.mark.parametrize(("form", "length"), [("padded", 44), ("wrong", 43), ("short", 22), ("bad", 14)])
async def test_a_key_can_have_another_form(subscribed_client: WeComClient, form: str, length: int):
    body = await receive_injected(subscribed_client, kind="file", detail={"key": form})
    assert len(body["file"]["aeskey"]) == length


async def test_a_mixed_message_has_texts_and_pictures_in_order(subscribed_client: WeComClient):
    order = {"from": "wife", "to": "family", "kind": "mixed"}
    body = await receive_injected(subscribed_client, **order, detail={"parts": ["look", None, "and", None]})
    items = body["mixed"]["msg_item"]
    assert [item["msgtype"] for item in items] == ["text", "image", "text", "image"]
    assert [item["text"]["content"] for item in items[::2]] == ["@家 look", "and"]
    first, second = [await subscribed_client.fetch(item["image"]) for item in items[1::2]]
    assert first != second
    assert items[1]["image"]["aeskey"] != items[3]["image"]["aeskey"]


async def test_a_quote_has_the_kind_and_the_text_and_no_id(subscribed_client: WeComClient):
    await receive_injected(subscribed_client, text="hi")
    assert await subscribed_client.send(ME, "**on** or off?") == 0
    body = await receive_injected(subscribed_client, kind="quote", text="off")
    assert body["text"] == {"content": "off"}
    assert body["quote"] == {"msgtype": "text", "text": {"content": "on or off?"}}


async def test_a_quoted_picture_can_be_fetched(subscribed_client: WeComClient):
    picture = await receive_injected(subscribed_client, kind="image")
    body = await receive_injected(
        subscribed_client, kind="quote", text="this", detail={"msg_id": picture["msgid"]}
    )
    assert body["quote"]["msgtype"] == "image"
    assert await subscribed_client.fetch(body["quote"]["image"]) == await subscribed_client.fetch(
        picture["image"]
    )


async def test_fields_can_be_replaced_and_removed(subscribed_client: WeComClient):
    await subscribed_client.control("say", text="hi", raw={"msgid": None, "msgtype": "hologram"})
    body = (await subscribed_client.next())["body"]
    assert "msgid" not in body
    assert body["msgtype"] == "hologram"


async def test_many_messages_are_numbered(subscribed_client: WeComClient):
    answer = await subscribed_client.control("say", text="n {n}", count=3)
    assert [(await subscribed_client.next())["body"]["text"]["content"] for _ in range(3)] == [
        "n 1",
        "n 2",
        "n 3",
    ]
    assert answer["delivered"] == 3


async def test_a_message_can_come_twice(subscribed_client: WeComClient):
    await subscribed_client.control("settings", repeat_callbacks=True)
    await subscribed_client.control("say", text="hi")
    first, second = [await subscribed_client.next() for _ in range(2)]
    assert first["body"] == second["body"]
    assert first["headers"] != second["headers"]
    await subscribed_client.control("settings", repeat_callbacks=False)
    assert await subscribed_client.control("redeliver") == {"delivered": True}
    assert (await subscribed_client.next())["body"] == first["body"]


async def test_messages_written_while_no_client_is_connected_are_lost_or_kept(
    sim: Simulator, subscribed_client: WeComClient
):
    await subscribed_client.disconnect()
    await subscribed_client.seen("wait", **{"for": "offline"})
    assert (await subscribed_client.control("say", text="lost"))["delivered"] == 0
    await subscribed_client.control("settings", offline="kept")
    assert (await subscribed_client.control("say", text="kept"))["delivered"] == 0
    lines = (await subscribed_client.seen("feed"))["lines"]
    assert [(line["text"], line["lost"]) for line in lines] == [("lost", True), ("kept", False)]
    async with WeComClient(sim.url) as again:
        await again.log_in()
        assert (await again.next())["body"]["text"]["content"] == "kept"


async def test_messages_of_a_person_with_too_many_unanswered_ones_are_not_delivered(
    subscribed_client: WeComClient,
):
    await subscribed_client.control("settings", unanswered_limit=3)
    assert (await subscribed_client.control("say", text="{n}", count=4))["delivered"] == 3
    first = await subscribed_client.next()
    assert await subscribed_client.answer(first, "✓") == 0
    assert (await subscribed_client.control("say", text="again"))["delivered"] == 1


async def test_events_have_a_sender_and_their_fields(subscribed_client: WeComClient):
    await subscribed_client.control("enter", **{"from": "wife"})
    event = await subscribed_client.next()
    assert event["cmd"] == "aibot_event_callback"
    assert event["body"]["event"] == {"eventtype": "enter_chat"}
    assert event["body"]["from"]["userid"] == WIFE
    await subscribed_client.control("feedback", values={"content": "bad"})
    details = (await subscribed_client.next())["body"]["event"]["feedback_event"]
    assert details["content"] == "bad"
    await subscribed_client.control("event", event={"eventtype": "auth_change_event"})
    assert (await subscribed_client.next())["body"]["event"] == {"eventtype": "auth_change_event"}


async def test_a_press_names_the_card_and_the_key(subscribed_client: WeComClient):
    await receive_injected(subscribed_client, text="hi")
    assert await subscribed_client.send_card(ME, button_card("q1", "Yes", "No")) == 0
    assert await subscribed_client.control("press", key="no") == {"delivered": True}
    body = (await subscribed_client.next())["body"]
    assert body["event"] == {
        "eventtype": "template_card_event",
        "template_card_event": {"card_type": "button_interaction", "event_key": "no", "task_id": "q1"},
    }
    assert (body["from"]["userid"], body["chattype"]) == (ME, "single")
    answer = await subscribed_client.http.post("/sim/wecom/press", json={"key": "maybe"})
    assert (answer.status_code, "no button 'maybe'" in answer.json()["error"]) == (409, True)


async def test_a_choice_comes_with_the_press(subscribed_client: WeComClient):
    await receive_injected(subscribed_client, text="hi")
    options = [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}]
    card = {
        "card_type": "vote_interaction",
        "main_title": {"title": "Which?"},
        "checkbox": {"question_key": "q", "mode": 1, "option_list": options},
        "submit_button": {"text": "Send", "key": "go"},
        "task_id": "v1",
    }
    assert await subscribed_client.send_card(ME, card) == 0
    await subscribed_client.control("press", chosen=["a", "b"])
    details = (await subscribed_client.next())["body"]["event"]["template_card_event"]
    assert details["event_key"] == "go"
    assert details["selected_items"] == {
        "selected_item": [{"question_key": "q", "option_ids": {"option_id": ["a", "b"]}}]
    }


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"to": "family", "kind": "image"}, "a group brings no image"),
        ({"to": "work"}, "the bot is not in work"),
        ({"from": "lilei", "to": "family"}, "lilei is not in family"),
        ({"from": "news"}, "news is not in the enterprise"),
        ({"kind": "dance"}, "no kind is named 'dance'"),
        ({"kind": "text", "bytes_of": 5}, "brings no bytes"),
        ({"from": "nobody"}, "nobody is named 'nobody'"),
        ({"bot": "aibNone"}, "no bot is 'aibNone'"),
        ({"weather": "rain"}, "unknown: weather"),
        ({"count": -1}, "count must be int"),
    ],
)
async def test_a_wrong_order_says_what_is_wrong(
    subscribed_client: WeComClient, order: dict[str, Any], reason: str
):
    answer = await subscribed_client.http.post("/sim/wecom/say", json=order)
    assert answer.status_code in (400, 404, 409)
    assert reason in answer.json()["error"]


async def test_the_file_storage_records_requests_that_do_not_belong_there(subscribed_client: WeComClient):
    body = await receive_injected(subscribed_client, kind="file")
    await subscribed_client.http.get(body["file"]["url"], headers={"Authorization": "Bearer x"})
    await subscribed_client.http.get("/ai/file/none")
    assert await subscribed_client.violations() == [
        "wecom_file: the header authorization goes to the storage",
        "wecom_file: there is no such file",
    ]


async def test_the_recorded_hashes_of_received_and_sent_files_are_right(subscribed_client: WeComClient):
    body = await receive_injected(subscribed_client, kind="file", bytes_of=1_500_000)
    data = await subscribed_client.fetch(body["file"])
    media_id = await subscribed_client.upload(data, "file", "back.bin")
    part = {"media_id": media_id}
    assert (
        await subscribed_client.code("aibot_send_msg", chatid=ME, chat_type=1, msgtype="file", file=part) == 0
    )
    [message] = await subscribed_client.seen("sent")
    assert message["sha256"] == hashlib.sha256(data).hexdigest()
    assert await subscribed_client.violations() == []
