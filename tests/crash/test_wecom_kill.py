"""A bridge on WeCom is killed at every commit: what was stored stays, and a gap is reported for the rest."""

from __future__ import annotations

import contextlib
import hashlib
from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.crash.killable_bridge import KillableBridge
from tests.crash.test_ilink_kill import PNG
from tests.support.broker import DURABLE
from tests.support.wecom_home import BOT, WeComHome, at_wecom_home
from wx2mqtt.simulator.wecom.people import userid_of

LONG = "a sentence of the text. " * 1000
QUESTION = {"id": "lock", "text": "lock?", "buttons": [{"text": "Yes", "key": "yes"}, "No"]}


@contextlib.asynccontextmanager
async def killable_home(folder: Path, **account: Any) -> AsyncIterator[tuple[WeComHome, KillableBridge]]:
    """Opens a home whose bridge is killed at the points that a test names; each message gets a receipt."""
    async with at_wecom_home(folder, DURABLE) as home:
        home.bridge.configure(home.settings({"wecom": BOT, **account}))
        await home.bot.post("wecom/settings", needs_first_message=False)
        with contextlib.closing(KillableBridge(home.bridge.config, folder / "log")) as process:
            yield home, process


async def start_online(
    home: WeComHome, process: KillableBridge, point: str = "", at: int = 1, *, waits_for_gap: bool = True
) -> int:
    """Starts the bridge, waits until it is online and has published its gap; returns the count of messages before."""
    since = home.subscriber.count
    process.start(point, at)
    await home.body("wx/login/state", state="online", since=since)
    await home.bot.wait("online")
    if waits_for_gap:
        await home.body("wx/event/gap", since=since)
    return since


async def receive_and_kill(home: WeComHome, process: KillableBridge) -> None:
    """Starts the bridge, lets it receive a message, and kills it."""
    await start_online(home, process, waits_for_gap=False)
    await home.bot.write("hello")
    await home.body("wx/in/me", text="hello")
    process.kill()


async def kill_during_command(
    home: WeComHome, process: KillableBridge, point: str, command: dict[str, Any], at: int = 1
) -> None:
    """Starts the bridge, publishes a command, and waits until the bridge kills itself at this point."""
    await start_online(home, process, point, at)
    await home.publish("wx/out/me", command)
    assert await process.reaches_point()


async def arrivals(home: WeComHome) -> list[dict[str, Any]]:
    """Returns the messages that the bot sent, without its answers to callbacks."""
    return [line for line in await home.control.get("wecom/sent") if line["command"] == "send"]


RECORDED_AT = 2
"""The number of the commit of a message after a kill; the first one of this name is that of the gap."""


async def test_a_message_that_was_not_stored_before_the_kill_is_in_the_gap_and_got_no_receipt(
    tmp_path: Path, with_mosquitto: None
):
    async with killable_home(tmp_path) as (home, process):
        await receive_and_kill(home, process)
        await start_online(home, process, "before:record", RECORDED_AT)
        message_id = await home.bot.write("lost")
        assert await process.reaches_point()
        since = await start_online(home, process)
        gap = await home.body("wx/event/gap", since=since)
        lines = (await home.control.get("wecom/feed"))["lines"]
        (written,) = [line["time"] for line in lines if line["msg_id"] == message_id]
        begun, ended = (datetime.fromisoformat(gap[name]).timestamp() for name in ("since", "until"))
        assert begun <= written <= ended
        await home.bot.write("after")
        await home.body("wx/in/me", text="after", since=since)
        assert [message.body["text"] for message in home.subscriber.on("wx/in/me")][-1] == "after"
        assert "lost" not in {message.body["text"] for message in home.subscriber.on("wx/in/me")}
        answered = [name for log in await home.control.get("wecom/logs") for name in log["answered"]]
        assert message_id not in answered


async def test_a_message_that_was_stored_before_the_kill_is_published_once(
    tmp_path: Path, with_mosquitto: None
):
    async with killable_home(tmp_path) as (home, process):
        await receive_and_kill(home, process)
        await start_online(home, process, "after:record", RECORDED_AT)
        message_id = await home.bot.write("stored")
        assert await process.reaches_point()
        await start_online(home, process)
        body = await home.body("wx/in/me", text="stored")
        assert body["id"] == message_id
        await home.bot.write("after")
        await home.body("wx/in/me", text="after")
        seqs = {
            message.body["seq"]
            for message in home.subscriber.on("wx/in/me")
            if message.body["text"] == "stored"
        }
        assert len(seqs) == 1


@pytest.mark.parametrize("point", ["before:record", "after:record"])
async def test_killed_when_a_gap_is_published_the_next_start_publishes_it(
    tmp_path: Path, with_mosquitto: None, point: str
):
    async with killable_home(tmp_path) as (home, process):
        await receive_and_kill(home, process)
        await home.bot.write("while no bridge ran")
        process.start(point)
        assert await process.reaches_point()
        await home.bot.write("again while no bridge ran")
        await start_online(home, process)
        await home.in_thread(home.subscriber.wait_count, "wx/event/gap", 1 if point == "before:record" else 2)
        lines = (await home.control.get("wecom/feed"))["lines"]
        lost = [line["time"] for line in lines if line["lost"]]
        gaps = [message.body for message in home.subscriber.on("wx/event/gap")]
        times = [
            [datetime.fromisoformat(gap[name]).timestamp() for name in ("since", "until")] for gap in gaps
        ]
        assert len(lost) == 2
        assert all(any(since <= at <= until for since, until in times) for at in lost)


@pytest.mark.parametrize(
    ("point", "counts", "is_doubtful"),
    [
        ("before:accept", {1}, {False}),
        ("after:accept", {1}, {False, True}),
        ("before:finish", {2}, {True}),
        ("after:finish", {1}, {False}),
    ],
)
async def test_killed_while_it_sends(
    tmp_path: Path, with_mosquitto: None, point: str, counts: set[int], is_doubtful: set[bool]
):
    async with killable_home(tmp_path) as (home, process):
        await receive_and_kill(home, process)
        await kill_during_command(home, process, point, {"text": "once", "id": "a"})
        await start_online(home, process)
        result = await home.body("wx/result/me", id="a")
        assert result["status"] == "sent"
        assert result["duplicate_possible"] in is_doubtful
        sent = await arrivals(home)
        assert [line["text"] for line in sent] == ["once"] * len(sent)
        assert len(sent) in counts


@pytest.mark.parametrize("point", ["before:part_sent", "after:part_sent", "before:finish"])
async def test_killed_between_the_parts_of_a_text(tmp_path: Path, with_mosquitto: None, point: str):
    async with killable_home(tmp_path) as (home, process):
        await receive_and_kill(home, process)
        await kill_during_command(home, process, point, {"text": LONG, "id": "a"})
        await start_online(home, process)
        result = await home.body("wx/result/me", id="a")
        assert (result["status"], result["parts_sent"]) == ("sent", result["parts"])
        sent = [line["shown"] for line in await arrivals(home)]
        assert result["duplicate_possible"] or len(sent) == result["parts"]
        assert "".join("".join(dict.fromkeys(sent)).split()) == "".join(LONG.split())


@pytest.mark.parametrize("point", ["after:accept", "after:begin", "before:finish"])
async def test_killed_while_it_sends_a_file(tmp_path: Path, with_mosquitto: None, point: str):
    async with killable_home(tmp_path) as (home, process):
        await receive_and_kill(home, process)
        await kill_during_command(home, process, point, {"kind": "image", "data": PNG, "id": "a"})
        await start_online(home, process)
        result = await home.body("wx/result/me", id="a")
        sent = await arrivals(home)
        assert result["status"] == "sent"
        assert {line["sha256"] for line in sent} == {hashlib.sha256(b64decode(PNG)).hexdigest()}
        assert result["duplicate_possible"] or len(sent) == 1


def answers(home: WeComHome) -> list[tuple[str, str]]:
    """Returns command and key of each answer; a repeated event counts once."""
    events = {message.body["id"]: message.body for message in home.subscriber.on("wx/event/button")}
    return [(event["command_id"], event["key"]) for event in events.values()]


@pytest.mark.parametrize("point", ["before:begin", "after:begin", "before:finish", "after:finish"])
async def test_killed_while_a_question_is_sent_two_cards_are_one_question(
    tmp_path: Path, with_mosquitto: None, point: str
):
    async with killable_home(tmp_path) as (home, process):
        await receive_and_kill(home, process)
        await kill_during_command(home, process, point, QUESTION)
        await start_online(home, process)
        assert (await home.body("wx/result/me", id="lock"))["status"] == "sent"
        cards = [line["card"]["task_id"] for line in await arrivals(home)]
        assert len(cards) == len({*cards}) == (2 if point == "before:finish" else 1)
        for card, key in zip(cards, ("yes", "No"), strict=False):
            await home.bot.press(key, task_id=card)
            await home.body("wx/event/button")
        await home.bot.write("after")
        await home.body("wx/in/me", text="after")
        assert answers(home) == [("lock", "yes")]


@pytest.mark.parametrize("point", ["before:record", "after:record"])
async def test_killed_when_a_button_is_pressed(tmp_path: Path, with_mosquitto: None, point: str):
    async with killable_home(tmp_path) as (home, process):
        await receive_and_kill(home, process)
        await start_online(home, process)
        assert (await home.send_command("me", QUESTION))["status"] == "sent"
        process.kill()
        await start_online(home, process, point, RECORDED_AT)
        await home.bot.press("yes")
        assert await process.reaches_point()
        await start_online(home, process)
        if point == "before:record":  # WeCom does not repeat a press, so the card can still be pressed
            assert answers(home) == []
            await home.bot.press("yes")
        await home.body("wx/event/button", command_id="lock", key="yes")
        if point == "after:record":  # the connection of the press has ended, so the card can still be pressed
            await home.bot.press("No")
        await home.bot.write("after")
        await home.body("wx/in/me", text="after")
        assert answers(home) == [("lock", "yes")]


@pytest.mark.parametrize("point", ["before:owner", "after:owner"])
async def test_killed_when_the_operator_names_the_owner(tmp_path: Path, with_mosquitto: None, point: str):
    async with killable_home(tmp_path, contacts={}) as (home, process):
        await start_online(home, process, waits_for_gap=False)
        await home.bot.write("hello")
        user = userid_of("me")
        await home.body(f"wx/in/{user}", text="hello")
        process.kill()
        await start_online(home, process, point)
        await home.publish("wx/bridge/request/owner", {"user": user})
        assert await process.reaches_point()
        # The broker delivers again what was not acknowledged before the kill.
        since = await start_online(home, process)
        await home.body("wx/login/state", state="online", needs="nothing", since=since)
        await home.bot.write("me")
        assert (await home.body(f"wx/in/{user}", text="me"))["trusted"] is True
