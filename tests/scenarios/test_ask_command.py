"""`wx2mqtt ask` beside the running bridge: prints the key of the answer, or ends with 1."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import DURABLE
from tests.support.home import Home
from tests.support.ilink_home import at_ilink_home
from tests.support.terminal import Done, Terminal

Ask = Callable[..., Coroutine[Any, Any, Done]]


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    (folder := tmp_path / "terminal").mkdir()
    return Terminal(folder)


@pytest.fixture
def ask(home: Home, terminal: Terminal) -> Ask:
    """Gives `await ask("wife", "Lock?", "yes", "no")`, which runs the command on the configuration of the home."""

    async def ask(*arguments: str) -> Done:
        return await home.in_thread(terminal.run, "ask", *arguments, "-c", str(home.bridge.config))

    return ask


async def test_the_command_prints_the_answer_and_ends_with_0(home: Home, ask: Ask) -> None:
    await home.log_in()
    asking = asyncio.create_task(ask("wife", "Lock?", "yes", "no", "--timeout", "60"))
    (sent,) = await home.control.sent(1)
    assert sent["text"] == "Lock?\n1 yes\n2 no"
    await home.control.say("wife", "2")
    done = await asking
    assert (done.code, done.out, done.err) == (0, "no\n", "")
    event = await home.body("wx/event/button")
    assert event["key"] == "no"


async def test_without_an_answer_the_command_ends_with_1_and_the_question_is_closed(
    home: Home, ask: Ask
) -> None:
    await home.log_in()
    done = await ask("wife", "Lock?", "yes", "--timeout", "1")
    assert (done.code, done.out, done.err) == (1, "", "nobody has answered\n")
    since = home.subscriber.count
    await home.control.say("wife", "1")
    assert "button" not in await home.body("wx/in/wife", text="1", since=since)


async def test_a_question_that_was_not_sent_in_time_says_why(
    with_mosquitto: None, tmp_path: Path, terminal: Terminal
) -> None:
    """Nobody can answer: on iLink the question waits until the person writes."""
    async with at_ilink_home(tmp_path, DURABLE) as home:
        await home.log_in()
        arguments = ("ask", "me", "Lock?", "yes", "--timeout", "1", "-c", str(home.bridge.config))
        done = await home.in_thread(terminal.run, *arguments)
    assert (done.code, done.out) == (1, "")
    assert "WeChat takes no message before" in done.err


async def test_the_reason_of_a_refused_question_is_printed(home: Home, ask: Ask) -> None:
    await home.log_in()
    done = await ask("nobody", "Lock?", "yes")
    assert done.code == 2
    assert "nobody is called 'nobody'" in done.err
    done = await ask("wife", "Lock?", "1")
    assert done.code == 2
    assert "the text of button 1" in done.err


async def test_without_a_bridge_nothing_is_asked(home: Home, ask: Ask) -> None:
    await home.log_in()
    await home.in_thread(home.bridge.kill)
    done = await ask("wife", "Lock?", "yes")
    assert done.code == 1
    assert "no bridge runs" in done.err
