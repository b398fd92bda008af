"""A bridge on iLink is killed at every commit of a combined message: each text arrives once, a repeat is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.crash.test_ilink_kill import killable_home, start_online
from tests.support.ilink_home import ILinkHome

TEXTS = tuple(f"alarm {number}" for number in range(7))
NO_LIMIT = {"send": {"per_minute": 0}}


async def publish(home: ILinkHome, *texts: str) -> None:
    for text in texts:
        await home.publish("wx/out/me", {"text": text, "id": text})


async def results(home: ILinkHome, *texts: str) -> list[dict[str, Any]]:
    return [await home.body("wx/result/me", id=text) for text in texts]


async def messages(home: ILinkHome) -> list[dict[str, Any]]:
    """Returns what the bot sent; asserts that all requests with the same key have the same text."""
    sent = await home.bot.bot_sent(1)
    by_key = {message["client_id"]: message["text"] for message in sent}
    assert [by_key[message["client_id"]] for message in sent] == [message["text"] for message in sent]
    return sent


def delivered_texts(sent: list[dict[str, Any]]) -> list[str]:
    """Returns the paragraphs that the person sees, without headings of the bridge."""
    shown = "\n\n".join(message["text"] for message in sent if message["delivered"])
    return [text for text in shown.split("\n\n") if not text.endswith("waiting:")]


@pytest.mark.parametrize(
    ("point", "fault"),
    [
        ("before:bundle", {}),
        ("after:bundle", {}),
        ("before:finish", {}),
        ("after:finish", {}),
        ("before:doubt", {"kind": "drop_answer"}),
        ("after:doubt", {"kind": "drop_answer"}),
        ("before:begin", {"kind": "drop_answer"}),
        ("after:begin", {"kind": "drop_answer"}),
        ("before:not_delivered", {"kind": "status", "value": 503}),
        ("after:not_delivered", {"kind": "status", "value": 503}),
    ],
)
async def test_killed_at_a_commit_of_a_combined_message(
    tmp_path: Path, with_mosquitto: None, point: str, fault: dict[str, Any]
):
    async with killable_home(tmp_path) as (home, process):
        await start_online(home, process)
        await publish(home, *TEXTS)
        for text in TEXTS:
            await home.body("wx/event/held", command_id=text)
        process.kill()
        if fault:
            await home.bot.post("fault", endpoint="sendmessage", times=1, **fault)
        process.start(point)
        await home.bot.write("hello")
        assert await process.reaches_point()
        await home.bot.post("fault/clear")
        await start_online(home, process)
        results_of_texts = await results(home, *TEXTS)
        # After two attempts without an answer, of which the kill was one, there is no third.
        status = "uncertain" if point == "after:begin" else "sent"
        assert {(result["status"], result["bundled"]) for result in results_of_texts} == {
            (status, len(TEXTS))
        }
        assert len({result["message_id"] for result in results_of_texts}) == 1
        sent = await messages(home)
        assert delivered_texts(sent) == [*TEXTS]
        assert not [
            message for message in home.subscriber.on("wx/result/me") if message.body["id"] not in TEXTS
        ]


@pytest.mark.parametrize("point", ["before:bundle", "after:bundle", "before:finish", "after:finish"])
async def test_killed_at_the_last_message_of_a_window(tmp_path: Path, with_mosquitto: None, point: str):
    singles, bundle = TEXTS[:3], TEXTS[3:]
    async with killable_home(tmp_path, **NO_LIMIT, ilink={"reserve": 6}) as (home, process):
        await start_online(home, process)
        await home.bot.write("hello")
        await publish(home, *singles)
        await home.body("wx/window/me", left=7)
        await process.stop()  # it keeps its count of messages
        await publish(home, *bundle)  # the broker keeps them, so that all wait at once
        process.start(point)
        assert await process.reaches_point()
        await start_online(home, process)
        results_of_texts = await results(home, *bundle)
        assert {(result["status"], result["bundled"]) for result in results_of_texts} == {
            ("sent", len(bundle))
        }
        assert {result.get("bundled") for result in await results(home, *singles)} == {None}
        assert delivered_texts(await messages(home)) == [*TEXTS]


async def test_a_command_accepted_between_a_kill_and_the_repeat_is_not_in_the_combined_message(
    tmp_path: Path, with_mosquitto: None
):
    async with killable_home(tmp_path) as (home, process):
        await start_online(home, process)
        await publish(home, *TEXTS)
        for text in TEXTS:
            await home.body("wx/event/held", command_id=text)
        process.kill()
        process.start("before:finish")
        await home.bot.write("hello")
        assert await process.reaches_point()
        await publish(home, "later")
        await home.bot.write("more")
        await start_online(home, process)
        results_of_texts = await results(home, *TEXTS)
        assert {(result["bundled"], result["duplicate_possible"]) for result in results_of_texts} == {
            (7, True)
        }
        (later,) = await results(home, "later")
        assert "bundled" not in later
        assert delivered_texts(await messages(home)) == [*TEXTS, "later"]
