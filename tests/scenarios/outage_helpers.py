"""Helpers for tests of outages: a home with one received message, and a check of those that follow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from tests.support.home import Home, at_home

MAX_SECONDS_UNTIL_REPORTED = 45.0  # of failing answers, until the state must report them


@asynccontextmanager
async def home_with_message(folder: Path, name: str) -> AsyncIterator[Home]:
    """Runs a home in a subfolder, whose bridge has published the message `before`."""
    subfolder = folder / name
    subfolder.mkdir()
    async with at_home(subfolder) as home:
        # Otherwise a poll that works is reported after 25 s only.
        await home.control.post("settings", hold_sync=2)
        await home.log_in()
        await home.control.say("wife", "before")
        await home.body("wx/in/wife", text="before")
        await home.control.wait("polling")
        yield home


async def assert_received_once_in_order(home: Home, *texts: str) -> None:
    """Waits for the last of these texts; asserts that each came once and in order, after `before`."""
    await home.body("wx/in/wife", text=texts[-1])
    messages = [message.body for message in home.subscriber.on("wx/in/wife")]
    assert [body["text"] for body in messages] == ["before", *texts]
    assert [body["seq"] for body in messages] == list(range(1, len(messages) + 1))
    assert len({body["id"] for body in messages}) == len(messages)


def seconds_between(first: str, second: str) -> float:
    """Returns the seconds from one time of a payload to another."""
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()
