"""The reply window of iLink through the whole bridge: which commands wait, and what is sent when the person writes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.broker import DURABLE
from tests.support.ilink_home import ILinkHome, at_ilink_home


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[ILinkHome]:
    async with at_ilink_home(tmp_path, DURABLE) as home:
        yield home


def wait_for_window(home: ILinkHome, **wanted: Any) -> Any:
    return home.body("wx/window/me", **wanted)


async def sent_texts(home: ILinkHome, count: int) -> list[str]:
    return [message["text"] for message in await home.bot.bot_sent(count)]


async def publish_command(home: ILinkHome, **command: Any) -> None:
    await home.publish("wx/out/me", command)


async def test_commands_wait_until_the_person_writes_and_then_go_by_priority(home: ILinkHome):
    await home.log_in()
    # Before the login is complete the reason is "logged_out".
    state = await wait_for_window(home, open=False, why="never_wrote")
    assert (state["user"], state["account"]) == ("me", "home")
    for name, priority in (("a", "low"), ("b", "normal"), ("c", "high")):
        await publish_command(home, text=name, id=name, priority=priority)
        event = await home.body("wx/event/held", command_id=name)
        assert event["why"] == "never_wrote"
        assert "'me'" in event["hint"]
    await home.bot.write("hello")
    assert await sent_texts(home, 3) == ["c", "b", "a"]
    for name in "abc":
        assert (await home.body("wx/result/me", id=name))["status"] == "sent"
    state = await wait_for_window(home, left=7)
    assert state["open"] is True
    assert state["until"].endswith("Z")


async def test_a_killed_bridge_still_knows_what_waits(home: ILinkHome):
    await home.log_in()
    await publish_command(home, text="waits", id="a")
    await home.body("wx/event/held", command_id="a")
    await home.in_thread(home.bridge.kill)
    since = home.subscriber.count
    await home.restart()
    await home.bot.write("hello")
    assert await sent_texts(home, 1) == ["waits"]
    assert (await home.body("wx/result/me", id="a", since=since))["status"] == "sent"
    assert {message.body["id"] for message in home.subscriber.on("wx/event/held")} == {"held:a"}


async def test_the_quota_counts_parts_and_commands_beyond_it_wait(home: ILinkHome):
    await home.log_in()
    await home.bot.write("hello")
    await wait_for_window(home, open=True)
    for number in range(9):
        await publish_command(home, text=f"{number}", id=f"n{number}")
    await home.body("wx/result/me", id="n8")
    await publish_command(home, text=("A sentence of the text. " * 100 + "\n\n") * 2, id="long")
    event = await home.body("wx/event/held", command_id="long")
    assert event["why"] == "reserved"
    assert (await wait_for_window(home, left=1, waiting=1))["open"] is True
    await publish_command(home, text="alarm", id="alarm", urgent=True)
    assert (await wait_for_window(home, open=False, why="quota_used"))["left"] == 0
    await home.bot.write("more")
    result = await home.body("wx/result/me", id="long")
    assert result["parts"] == result["parts_sent"]
    assert result["parts"] > 1
    sent = await home.bot.bot_sent(10 + result["parts"])
    assert "".join("".join(message["text"].split()) for message in sent[10:]) == "Asentenceofthetext." * 200
    assert result["message_id"] == sent[-1]["msg_id"]


async def test_waiting_commands_are_sent_as_one_message_and_the_window_counts_it_once(home: ILinkHome):
    await home.log_in()
    for number in range(7):
        await publish_command(home, text=f"text {number}", id=f"n{number}")
    state = await wait_for_window(home, open=False, waiting=7)
    assert state["reserved"] == 0
    await home.bot.write("hello")
    results = [await home.body("wx/result/me", id=f"n{number}") for number in range(7)]
    assert {result["status"] for result in results} == {"sent"}
    assert {result["bundled"] for result in results} == {7}
    (message,) = await home.bot.bot_sent(1)
    assert message["text"] == "\n\n".join(
        ["7 messages were waiting:", *(f"text {number}" for number in range(7))]
    )
    assert {result["message_id"] for result in results} == {message["msg_id"]}
    state = await wait_for_window(home, left=9, waiting=0)
    assert (state["open"], state["reserved"]) == (True, 1)
    health = (await home.send_request("health"))["data"]
    assert health["queues"]["held"] == 0
    assert {received.body["id"] for received in home.subscriber.on("wx/result/me")} == {
        f"n{n}" for n in range(7)
    }


async def test_a_command_that_must_not_wait_fails_at_once(home: ILinkHome):
    await home.log_in()
    result = await home.send_command("me", {"text": "now", "id": "a", "hold": False})
    assert (result["status"], result["code"]) == ("failed", "window_closed")


async def test_a_refusal_by_the_server_counts_more_than_the_own_quota(home: ILinkHome):
    await home.log_in()
    await home.bot.write("hello")
    await wait_for_window(home, open=True)
    await home.bot.post("ilink/window", replies=10)
    await publish_command(home, text="hi", id="a")
    event = await home.body("wx/event/held", command_id="a")
    assert event["why"] == "quota_used"
    await home.bot.write("again")
    assert (await home.body("wx/result/me", id="a"))["status"] == "sent"


async def test_after_a_new_binding_commands_wait_for_the_person(home: ILinkHome):
    await home.log_in()
    await home.bot.write("hello")
    await wait_for_window(home, open=True)
    since = home.subscriber.count
    await home.bot.post("ilink/kill")
    await home.body("wx/login/state", state="waiting_for_scan", since=since)
    assert (await wait_for_window(home, open=False, since=since))["why"] == "logged_out"
    await publish_command(home, text="waits", id="a")
    await home.scan()
    event = await home.body("wx/event/held", command_id="a")
    assert event["why"] == "new_binding"
    assert (await wait_for_window(home, why="new_binding", since=since))["open"] is False
    await home.bot.write("here I am")
    assert (await home.body("wx/result/me", id="a"))["status"] == "sent"


async def test_the_directory_and_health_contain_the_window(home: ILinkHome):
    await home.log_in()
    await publish_command(home, text="waits", id="a")
    await home.body("wx/event/held", command_id="a")
    health = await home.send_request("health")
    assert health["data"]["queues"]["held"] == 1
    await home.bot.write("hello")
    await home.body("wx/result/me", id="a")
    await wait_for_window(home, left=9)
    answer = await home.send_request("contacts")
    (contact,) = answer["data"]["contacts"]
    assert contact["window"]["open"] is True
    assert contact["window"]["left"] == 9

    def shows_window(received: Any) -> bool:
        people = json.loads(received.payload or b"{}").get("contacts", [])
        return bool(people) and people[0].get("window", {}).get("left") == 9

    await home.in_thread(home.subscriber.wait, "wx/contacts", shows_window)


async def test_three_messages_without_an_id_are_reported_as_muted(home: ILinkHome):
    await home.log_in()
    await home.bot.write("hello")
    await wait_for_window(home, open=True)
    await home.bot.post("ilink/mute", on=True)
    for number in range(3):
        result = await home.send_command("me", {"text": "x", "id": f"n{number}"})
        assert (result["status"], result["code"]) == ("sent", "unconfirmed")
    health = await home.send_request("health")
    assert "muted_suspected" in health["data"]["problems"]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("wx/out/me", {"kind": "recall"}),
        ("wx/out/me", {"kind": "recall", "message_id": 5, "nonsense": 1}),
        ("wx/out/nobody", {"kind": "recall", "message_id": "1"}),
        ("wx/out/me", {"text": "x", "mention": 7}),
        ("wx/bridge/request/recall", {}),
        ("wx/bridge/request/recall", {"user": 7}),
        ("wx/bridge/request/group", {}),
        ("wx/bridge/request/set_remark", {}),
        ("wx/bridge/request/mark_read", {"x": 1}),
        ("wx/bridge/request/accept_friend", {"id": 5}),
    ],
)
async def test_an_action_that_ilink_lacks_is_unsupported_whatever_else_the_command_has(
    home: ILinkHome, topic: str, payload: dict[str, Any]
):
    await home.log_in()
    await home.publish(topic, payload)
    answer_topic = topic.replace("/out/", "/result/").replace("/request/", "/response/")
    answer = await home.body(answer_topic)
    assert answer["code"] == "unsupported"
    assert answer["status"] in ("rejected", "error")


async def test_a_person_who_gets_messages_is_reminded_once_before_the_window_closes(home: ILinkHome):
    remind = {"before": "24h", "quiet": None, "text": "write anything"}
    home.bridge.configure(home.settings({"ilink": {"remind": remind}}))
    await home.log_in()
    await home.bot.write("nobody sends anything")
    await wait_for_window(home, open=True)
    await publish_command(home, text="alarm", id="a")
    await home.body("wx/result/me", id="a")
    since = home.subscriber.count
    await home.bot.write("hello")
    event = await home.body("wx/event/reminded", since=since)
    assert event["user"] == "me"
    assert await sent_texts(home, 2) == ["alarm", "write anything"]
    health = (await home.send_request("health"))["data"]
    assert health["login"]["reminded"] == 1
    await home.in_thread(home.bridge.kill)
    await home.restart()
    await publish_command(home, text="after it", id="b")
    await home.body("wx/result/me", id="b")
    assert await sent_texts(home, 3) == ["alarm", "write anything", "after it"]
    assert {message.body["id"] for message in home.subscriber.on("wx/result/me")} == {"a", "b"}
