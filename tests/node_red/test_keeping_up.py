"""The flow that misses nothing: each message once and in order, through deploys, restarts and another store."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from tests.node_red.environment import NodeRedEnvironment

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = "each once, in order"


async def messages_until(environment: NodeRedEnvironment, last: str, since: int) -> list[dict[str, Any]]:
    """Waits for the message with the text `last`; returns all messages that the flow put out."""
    await environment.shown(NAME, f'"text":"{last}"', since=since)
    return [json.loads(text) for text in environment.red.all_shown(NAME, since=since)]


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [message["text"] for message in messages]


def is_consecutive(messages: list[dict[str, Any]]) -> bool:
    """Returns whether the seqs of the messages are consecutive."""
    first = messages[0]["seq"]
    return [message["seq"] for message in messages] == list(range(first, first + len(messages)))


async def test_without_a_stored_position_the_flow_begins_with_the_next_message(
    environment: NodeRedEnvironment,
):
    home, since = environment.home, len(environment.red.output)
    await home.control.say("wife", "of before {n}", count=3)
    await home.body("wx/in/wife", text="of before 3")
    await environment.load("history")
    await home.body("wx/bridge/response/history")
    await home.control.say("wife", "new")
    assert texts(await messages_until(environment, "new", since)) == ["new"]


async def test_messages_from_an_absence_of_node_red_come_once_and_in_order(environment: NodeRedEnvironment):
    home, since = environment.home, len(environment.red.output)
    await environment.load("history")
    await home.control.say("wife", "a {n}", count=3)
    await messages_until(environment, "a 3", since)
    await home.in_thread(environment.red.stop)
    await home.control.say("mom", "b {n}", count=3)
    await home.control.say("wife", "c {n}", count=3)
    await home.body("wx/in/wife", text="c 3")
    await environment.start()
    await home.control.say("wife", "d {n}", count=3)
    messages = await messages_until(environment, "d 3", since)
    assert sorted(texts(messages)) == sorted(f"{word} {n}" for word in "abcd" for n in (1, 2, 3))
    assert is_consecutive(messages)


async def test_more_messages_than_fit_into_one_answer_are_all_fetched(environment: NodeRedEnvironment):
    home, since, received = environment.home, len(environment.red.output), environment.home.subscriber.count
    await environment.load("history")
    await home.control.say("wife", "before")
    await messages_until(environment, "before", since)
    await home.in_thread(environment.red.stop)
    await home.control.say("wife", "many {n}", count=700)
    await home.body("wx/in/wife", text="many 700")
    await environment.start()
    messages = await messages_until(environment, "many 700", since)
    assert texts(messages) == ["before", *(f"many {n}" for n in range(1, 701))]
    asked = [
        message.body
        for message in home.subscriber.received[received:]
        if message.topic == "wx/bridge/request/history"
    ]
    assert len(asked) > 2


async def test_deploys_while_messages_come_lose_none_and_repeat_none(environment: NodeRedEnvironment):
    home, since = environment.home, len(environment.red.output)
    await environment.load("history")
    for deploy_number in range(5):
        await home.control.say("wife", f"deploy {deploy_number} {{n}}", count=20)
        await environment.load("history", "echo")
    await home.control.say("mom", "after")
    messages = await messages_until(environment, "after", since)
    assert len(messages) == 101
    assert is_consecutive(messages)


async def test_a_message_that_is_published_again_or_answered_to_another_client_comes_once(
    environment: NodeRedEnvironment,
):
    home, since = environment.home, len(environment.red.output)
    await environment.load("history")
    await home.control.say("wife", "first")
    await messages_until(environment, "first", since)
    published = await home.in_thread(
        home.subscriber.wait, "wx/in/wife", lambda message: message.body["text"] == "first"
    )
    await environment.wait_until_idle()
    received = home.subscriber.count
    await home.publish("wx/in/wife", published.payload)
    assert (await home.send_request("history", {"since": 0}))["status"] == "ok"
    await home.control.say("wife", "second")
    assert texts(await messages_until(environment, "second", since)) == ["first", "second"]
    asked = [
        message
        for message in home.subscriber.received[received:]
        if message.topic == "wx/bridge/request/history"
    ]
    assert len(asked) == 1, "only by us: what is published again is no reason to ask"


async def test_messages_missed_while_the_bridge_was_away_come_before_later_ones(
    environment: NodeRedEnvironment,
):
    home, since, received = environment.home, len(environment.red.output), environment.home.subscriber.count
    await environment.load("history")
    await home.control.say("wife", "first")
    (first,) = await messages_until(environment, "first", since)
    await home.in_thread(environment.red.stop)
    await home.control.say("wife", "lost by a broker")
    await home.body("wx/in/wife", text="lost by a broker", since=received)
    await home.in_thread(home.bridge.stop)  # so that nobody answers when Node-RED starts
    await environment.start()
    later = {**first, "seq": first["seq"] + 2, "text": "later"}
    await home.publish("wx/in/wife", json.dumps(later))
    await home.restart()
    await home.control.say("wife", "last")
    assert texts(await messages_until(environment, "last", since)) == ["first", "lost by a broker", "last"]


async def test_a_number_that_is_missing_is_asked_for(environment: NodeRedEnvironment):
    """So it is when a broker with a full queue drops a message: the next one shows it."""
    home, since, received = environment.home, len(environment.red.output), environment.home.subscriber.count
    await environment.load("history")
    await home.control.say("wife", "one")
    (message,) = await messages_until(environment, "one", since)
    await home.in_thread(home.subscriber.wait, "wx/bridge/response/history", since=received)
    asked = home.subscriber.count
    await home.publish("wx/in/wife", json.dumps({**message, "seq": message["seq"] + 5}))
    await home.in_thread(home.subscriber.wait, "wx/bridge/response/history", since=asked)
    await home.control.say("wife", "two")
    assert texts(await messages_until(environment, "two", since)) == ["one", "two"]


async def test_another_store_begins_anew_and_all_of_it_is_new(environment: NodeRedEnvironment):
    """This holds also when the old store was lost with the answer to the last request."""
    home, since = environment.home, len(environment.red.output)
    await environment.load("history", every=2)
    await home.control.say("wife", "of the old store")
    (old,) = await messages_until(environment, "of the old store", since)
    await home.in_thread(home.bridge.stop)
    shutil.rmtree(home.bridge.store)
    await home.log_in()
    await home.control.say("wife", "of the new store {n}", count=3)
    messages = await messages_until(environment, "of the new store 3", since)
    assert texts(messages) == ["of the old store", *(f"of the new store {n}" for n in (1, 2, 3))]
    assert messages[-1]["stream"] != old["stream"]
    assert messages[-1]["seq"] == 3
