"""From MQTT to WeCom on the whole bridge: every kind compared by its hash, texts as they were written, rates,
and outcomes that nobody knows.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.broker import DURABLE
from tests.support.wecom_home import BOT, WeComHome, at_wecom_home
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.wecom.people import chatid_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG, JPEG, GIF, MP4, PDF = map(sample, ("image.png", "image.jpg", "sticker.gif", "video.mp4", "file.pdf"))
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 \x18\x00\x00\x000\x01\x00\x9d\x01*\x01\x00\x01\x00\x0f\xc0\xfe%\xa4\x00\x03p\x00\xfe\xfb\x94\x00\x00"

MARKDOWN_SIGNS = """*bold* _italic_ `code` ~~struck~~ # no heading
# a line of it
> quoted? - listed?
- [ ] task
1. first
1) first
--- and ***
===
| a | b |
|---|---|
[link](https://example.org/a_b?c=*d*) ![picture](x) <b>tag</b> &amp; &copy; \\*
    four blanks ``` fence
living_room_1: 21.5 °C, 3 * 4 < 5, 家_中_"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(with_mosquitto: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WeComHome]:
    folder = tmp_path_factory.mktemp("home")
    async with at_wecom_home(folder, DURABLE) as home:
        await home.log_in()
        yield home


async def last_sent(home: WeComHome, result: dict[str, Any]) -> dict[str, Any]:
    """Returns the message that WeCom took last, for a command with this result."""
    assert (result["status"], result["code"], result["message_id"]) == ("sent", "ok", None), result
    return dict((await home.control.get("wecom/sent"))[-1])


@pytest.mark.parametrize(
    ("topic", "data", "kind"),
    [
        ("me/image", PNG, "image"),
        ("me/image", JPEG, "image"),
        ("me/image", GIF, "image"),
        ("me/video", MP4, "video"),
        ("me/file/a.pdf", PDF, "file"),
        ("family/file/门.bin", b"12345", "file"),
    ],
)
async def test_each_kind_arrives_as_it_was(home: WeComHome, topic: str, data: bytes, kind: str):
    message = await last_sent(home, await home.send_command(topic, data))
    assert (message["kind"], message["sha256"]) == (kind, hashlib.sha256(data).hexdigest())
    assert message["chat"] == topic.partition("/")[0]


async def test_a_picture_that_wecom_does_not_show_goes_as_a_file(home: WeComHome):
    large = PNG + os.urandom(10 * 1024 * 1024)
    for data in (WEBP, large, PNG[:20], b"just words"):
        message = await last_sent(home, await home.send_command("me/image", data))
        assert (message["kind"], message["sha256"]) == ("file", hashlib.sha256(data).hexdigest())


async def test_what_only_begins_like_a_video_goes_as_a_file(home: WeComHome):
    data = b"\x1aE\xdf\xa3" + os.urandom(5000)
    for command in (data, {"kind": "video", "data": base64.b64encode(data).decode()}):
        topic = "me/video" if isinstance(command, bytes) else "me"
        message = await last_sent(home, await home.send_command(topic, command))
        assert (message["kind"], message["sha256"]) == ("file", hashlib.sha256(data).hexdigest())


async def test_what_wecom_refuses_as_a_picture_goes_as_a_file(home: WeComHome):
    await home.control.post("wecom/settings", refuse_media="image")
    data = PNG + b"another one"
    message = await last_sent(home, await home.send_command("me/image", data))
    await home.control.post("wecom/settings", refuse_media="")
    assert (message["kind"], message["sha256"]) == ("file", hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(("size", "code"), [(4, "bad_file"), (20 * 1024 * 1024 + 1, "too_large")])
async def test_what_wecom_never_takes_is_rejected_with_the_reason(home: WeComHome, size: int, code: str):
    result = await home.send_command("me/file/a.bin", b"x" * size)
    assert (result["status"], result["code"]) == ("rejected", code)


@pytest.mark.parametrize("user", ["me", "family"])
async def test_a_text_full_of_markdown_signs_is_shown_as_it_was_written(home: WeComHome, user: str):
    message = await last_sent(home, await home.send_command(user, {"text": MARKDOWN_SIGNS}))
    shown_lines = [text_line.replace("\u00a0", " ").strip() for text_line in message["shown"].splitlines()]
    assert shown_lines == [text_line.strip() for text_line in MARKDOWN_SIGNS.splitlines()]


async def test_markdown_is_sent_as_markdown(home: WeComHome):
    message = await last_sent(
        home, await home.send_command("me", {"text": "**on** *now*", "format": "markdown"})
    )
    assert (message["text"], message["shown"]) == ("**on** *now*", "on now")


@pytest.mark.parametrize(
    ("user", "kind", "data", "caption"),
    [
        ("me", "image", JPEG, {"text": "*door* <now>"}),
        ("me", "video", MP4, {"text": MARKDOWN_SIGNS}),
        ("family", "file", os.urandom(700_001), {"text": "账单 12"}),
        ("me", "image", PNG, {"text": "**on** *now*", "format": "markdown"}),
    ],
)
async def test_a_caption_goes_before_its_file(
    home: WeComHome, user: str, kind: str, data: bytes, caption: dict[str, str]
):
    since = len(await home.control.get("wecom/sent"))
    content = base64.b64encode(data + b"caption").decode()
    result = await home.send_command(user, {"kind": kind, "data": content, "name": "a", **caption})
    assert (result["status"], result["parts"], result["parts_sent"]) == ("sent", 2, 2)
    text, file = (await home.control.get("wecom/sent"))[since:]
    if "format" in caption:
        assert (text["text"], text["shown"]) == (caption["text"], "on now")
    else:
        assert _digest_of_lines(text["shown"]) == _digest_of_lines(caption["text"])
    assert (file["kind"], file["sha256"]) == (kind, hashlib.sha256(data + b"caption").hexdigest())
    assert (text["chat"], file["chat"]) == (user, user)


def _digest_of_lines(text: str) -> str:
    """Returns the hash of a text without the blanks around its lines, which markdown does not show."""
    lines = [message.replace("\u00a0", " ").strip() for message in text.splitlines()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


async def test_a_file_without_its_caption_is_sent_and_the_result_says_so(home: WeComHome):
    """WeCom answers the caption with a refusal that is final: its file follows."""
    since = len(await home.control.get("wecom/sent"))
    await home.control.post("fault", endpoint="aibot_send_msg", kind="ret", value=40008)
    data = PNG + b"lost caption"
    command = {"kind": "image", "data": base64.b64encode(data).decode(), "text": "who is it", "id": "lost"}
    result = await home.send_command("me", command)
    assert (result["status"], result["parts"], result["parts_sent"]) == ("sent", 2, 1)
    (image,) = (await home.control.get("wecom/sent"))[since:]
    assert (image["kind"], image["sha256"]) == ("image", hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    "command",
    [
        {"kind": "recall", "message_id": "1", "id": "recall"},
        {"text": "hi", "mention": ["me"], "id": "mention"},
    ],
)
async def test_what_a_bot_cannot_do_is_unsupported(home: WeComHome, command: dict[str, Any]):
    result = await home.send_command("family", command)
    assert (result["status"], result["code"]) == ("rejected", "unsupported")


@pytest.mark.parametrize("name", ["group", "mark_read", "set_remark", "accept_friend"])
async def test_all_actions_are_unsupported(home: WeComHome, name: str):
    answer = await home.send_request(name, {"user": "family"})
    assert (answer["status"], answer["code"]) == ("error", "unsupported")


@pytest.mark.parametrize("errcode", [93001, 93006, 93008])
async def test_where_the_bot_may_not_write_the_result_says_that_the_person_must_write(
    home: WeComHome, errcode: int
):
    await home.control.post("fault", endpoint="aibot_send_msg", kind="ret", value=errcode)
    result = await home.send_command("me", {"text": "hi", "id": f"no-chat-{errcode}"})
    assert (result["status"], result["code"], result["duplicate_possible"]) == ("rejected", "no_chat", False)
    assert "must write to the bot" in result["message"]


async def test_a_long_text_is_split_by_what_is_sent(home: WeComHome):
    since = len(await home.control.get("wecom/sent"))
    text = "*a* line of the text_\n" * 2000
    result = await home.send_command("me", {"text": text, "id": "long"})
    assert (result["status"], result["parts"], result["parts_sent"]) == ("sent", 3, 3), result
    parts = (await home.control.get("wecom/sent"))[since:]
    assert all(len(part["text"].encode()) <= 20_480 for part in parts)
    assert "".join("".join(part["shown"].split()) for part in parts) == "".join(text.split())


@pytest.mark.parametrize("kind", ["drop_answer", "stall", "hang"])
async def test_without_an_answer_a_message_is_sent_once_more_and_the_result_says_so(
    home: WeComHome, kind: str
):
    await home.control.post("fault", endpoint="aibot_send_msg", kind=kind)
    result = await home.send_command("me", {"text": kind, "id": kind})
    assert (result["status"], result["code"], result["duplicate_possible"]) == ("sent", "ok", True)
    texts = [message["text"] for message in await home.control.get("wecom/sent")]
    assert texts.count(kind.replace("_", "\\_")) == (1 if kind == "hang" else 2)


@pytest.mark.parametrize("receipt", [None, "✓"])
async def test_a_chat_gets_all_that_wecom_takes_in_a_minute_and_no_more(
    tmp_path: Path, with_mosquitto: None, receipt: str | None
):
    async with at_wecom_home(tmp_path, DURABLE) as home:
        await home.log_in()
        home.bridge.stop()
        home.bridge.configure(home.settings({"wecom": {**BOT, "receipt": receipt}}))
        await home.restart()
        for number in range(32):
            await home.publish("wx/out/me", {"text": f"text {number}", "id": f"t{number}", "ttl": 20})
        await home.body("wx/result/me", id="t29", status="sent")
        last_result = await home.body("wx/result/me", id="t31")
        assert (last_result["status"], last_result["code"]) == ("expired", "rate_limited")
        assert 0 < last_result["retry_after"] <= 60
        state = await home.control.get("wecom/state")
        assert not state["refused"], state
        assert (await home.send_command("family", {"text": "others do not wait", "id": "f"}))[
            "status"
        ] == "sent"


@pytest.mark.parametrize("is_killed", [False, True])
async def test_receipts_begin_at_once_after_a_start_unless_the_minute_is_full(
    tmp_path: Path, with_mosquitto: None, is_killed: bool
):
    async with at_wecom_home(tmp_path, DURABLE) as home:
        home.bridge.configure(home.settings({"wecom": BOT}))
        await home.restart()
        for numbers in (range(1, 3), range(3, 11)):
            for number in numbers:
                await home.bot.write("hello")
                await home.bot.wait(f"answered:{number}")
            await home.in_thread(home.bridge.kill if is_killed else home.bridge.stop)
            await home.restart()
        await home.bot.write("one too many")
        await home.body("wx/in/me", text="one too many")
        for number in range(21):
            await home.publish("wx/out/me", {"text": f"text {number}", "id": f"t{number}", "ttl": 10})
        last_result = await home.body("wx/result/me", id="t20")
        assert (last_result["status"], last_result["code"]) == ("expired", "rate_limited")
        assert await count_answered(home) == 10
        state = await home.control.get("wecom/state")
        assert not state["refused"], state


async def test_after_an_orderly_stop_what_got_no_receipt_takes_no_place(tmp_path: Path, with_mosquitto: None):
    async with at_wecom_home(tmp_path, DURABLE) as home:
        await home.restart()
        for number in range(12):
            await home.bot.write(f"message {number}")
        await home.body("wx/in/me", text="message 11")
        await home.in_thread(home.bridge.stop)
        await home.restart()
        for number in range(30):
            await home.publish("wx/out/me", {"text": f"text {number}", "id": f"t{number}", "ttl": 10})
        assert (await home.body("wx/result/me", id="t29"))["status"] == "sent"


async def count_answered(home: WeComHome) -> int:
    sent = await home.control.get("wecom/sent")
    return sum(message["command"] == "respond" for message in sent)


async def test_receipts_and_messages_together_are_no_more_than_a_chat_may_have(
    tmp_path: Path, with_mosquitto: None
):
    async with at_wecom_home(tmp_path, DURABLE) as home:
        home.bridge.configure(home.settings({"wecom": BOT}))
        await home.log_in()
        for number in range(14):
            await home.bot.write(f"message {number}")
        await home.bot.wait("answered:10")
        for number in range(22):
            await home.publish("wx/out/me", {"text": f"text {number}", "id": f"t{number}", "ttl": 10})
        await home.body("wx/result/me", id="t19", status="sent")
        last_result = await home.body("wx/result/me", id="t21")
        assert (last_result["status"], last_result["code"]) == ("expired", "rate_limited")
        state = await home.control.get("wecom/state")
        assert not state["refused"], state


async def test_a_kill_in_an_attempt_is_in_doubt_and_sent_at_most_twice(tmp_path: Path, with_mosquitto: None):
    async with at_wecom_home(tmp_path, DURABLE) as home:
        await home.log_in()
        await home.control.post("fault", endpoint="aibot_send_msg", kind="stall")
        await home.publish("wx/out/me", {"text": "killed", "id": "k"})
        await home.bot.bot_sent(1)
        await home.in_thread(home.bridge.kill)
        await home.restart()
        result = await home.body("wx/result/me", id="k")
        assert (result["status"], result["duplicate_possible"]) == ("sent", True)
        assert [message["text"] for message in await home.bot.bot_sent(2)] == ["killed", "killed"]


async def test_the_group_has_its_chat_id(home: WeComHome):
    handles = (await home.control.get("wecom/state"))["handles"]
    assert handles["family"] == chatid_of("family")
