"""What the bridge sent never comes back as a message, though WeChat echoes it; what the owner wrote does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.home import Home, at_home

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXTS = [
    "开灯 ☀",
    " blanks around ",
    "two\nlines",
    "two\r\nlines",
    "&lt;br/&gt; <br/> & \"'",
    "👍🏽 🇨🇳 1️⃣ 👨‍👩‍👧 😁 😼",
    "[微笑]/::)",
    "@Han Meimei\u2005hello",
    "tab\tand \u3000 wide",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_home(with_mosquitto: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """Gives a home that publishes what the owner writes, too."""
    async with at_home(tmp_path_factory.mktemp("home")) as home:
        home.bridge.configure(home.settings({"receive": {"own": True}}))
        await home.log_in()
        await home.control.post("settings", echo=True)
        yield home


async def published(home: Home, user: str) -> list[str]:
    """Returns the texts that were published of a chat, after all messages before this call have come."""
    last_text = f"a mark {home.subscriber.count}"
    await home.control.post("say", **{"from": "me", "to": user, "text": last_text})
    await home.body(f"wx/in/{user}", text=last_text)
    return [message.body["text"] for message in home.subscriber.on(f"wx/in/{user}")]


@pytest.mark.parametrize("user", ["wife", "filehelper", "family"])
@pytest.mark.parametrize("text", TEXTS)
async def test_an_echo_is_no_message_whatever_becomes_of_its_text(shared_home, user, text):
    result = await shared_home.send_command(user, text)
    assert result["status"] == "sent"
    found = await published(shared_home, user)
    assert [text for text in found if not text.startswith("a mark")] == []


@pytest.mark.parametrize("user", ["wife", "filehelper"])
async def test_an_echo_that_comes_before_the_answer_is_no_message(shared_home, user):
    await shared_home.control.post("fault", endpoint="webwxsendmsg", kind="late", value=0.5)
    syncs = (await shared_home.control.get("state"))["calls"].get("webwxsync", 0)
    await shared_home.publish(f"wx/out/{user}", {"text": "the echo is quicker", "id": f"quicker-{user}"})
    await shared_home.control.wait(f"calls:webwxsync:{syncs + 1}")
    assert [
        message
        for message in shared_home.subscriber.on("wx/result/#")
        if message.body["id"] == f"quicker-{user}"
    ] == []
    await shared_home.body(f"wx/result/{user}", id=f"quicker-{user}", status="sent")
    assert "the echo is quicker" not in await published(shared_home, user)


@pytest.mark.parametrize("user", ["wife", "filehelper"])
async def test_the_echo_of_an_attempt_whose_answer_was_lost_is_no_message(shared_home, user):
    await shared_home.control.post("fault", endpoint="webwxsendmsg", kind="drop_answer")
    result = await shared_home.send_command(user, "lost and echoed")
    assert (result["status"], result["duplicate_possible"]) == ("sent", True)
    assert "lost and echoed" not in await published(shared_home, user)


async def test_the_echoes_of_two_attempts_that_wechat_both_delivered_are_no_messages(shared_home):
    await shared_home.control.post("settings", drop_repeats=False)
    await shared_home.control.post("fault", endpoint="webwxsendmsg", kind="drop_answer", times=2)
    result = await shared_home.send_command("filehelper", "twice lost and echoed")
    await shared_home.control.post("settings", drop_repeats=True)
    assert result["status"] == "uncertain"
    assert "twice lost and echoed" not in await published(shared_home, "filehelper")


@pytest.mark.parametrize("user", ["wife", "filehelper"])
async def test_what_the_owner_writes_on_the_phone_is_a_message_though_it_is_equal(shared_home, user):
    text = f"equal words for {user}"
    await shared_home.send_command(user, text)
    await shared_home.control.post("say", **{"from": "me", "to": user, "text": text})
    received = await shared_home.body(f"wx/in/{user}", text=text)
    assert received["sender"]["self"] is True
    assert (await published(shared_home, user)).count(text) == 1


async def test_an_echo_that_comes_after_a_restart_is_no_message(shared_home):
    await shared_home.control.post("fault", endpoint="synccheck", kind="hang", value=0.3)
    await shared_home.control.post("fault", endpoint="webwxsync", kind="stuck", times=0)
    result = await shared_home.send_command("filehelper", "echoed to the next life")
    assert result["status"] == "sent"
    await shared_home.in_thread(shared_home.bridge.kill)
    await shared_home.control.post("fault/clear")
    await shared_home.restart()
    assert "echoed to the next life" not in await published(shared_home, "filehelper")


@pytest.mark.parametrize("answers_lost", [0, 2])
async def test_the_echo_of_a_caption_is_no_message_though_its_answers_were_lost(shared_home, answers_lost):
    """The file of the caption follows, so the caption is a part of a command that was sent."""
    text = f"a caption, {answers_lost} answers lost"
    await shared_home.control.post("fault", endpoint="synccheck", kind="hang", value=0.3)
    await shared_home.control.post("fault", endpoint="webwxsync", kind="stuck", times=0)
    if answers_lost:
        await shared_home.control.post(
            "fault", endpoint="webwxsendmsg", kind="drop_answer", times=answers_lost
        )
    file = {"kind": "file", "data": "YWJj", "name": f"{answers_lost}.txt"}
    result = await shared_home.send_command(
        "filehelper", {**file, "text": text, "id": f"caption-{answers_lost}"}
    )
    assert (result["status"], result["parts_sent"]) == ("sent", 1 if answers_lost else 2)
    await shared_home.in_thread(shared_home.bridge.kill)
    await shared_home.control.post("fault/clear")
    await shared_home.restart()
    found = await published(shared_home, "filehelper")
    assert [found_text for found_text in found if text in found_text or ".txt" in found_text] == []
