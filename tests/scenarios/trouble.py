"""A home whose bridge has heard a first word, and a count of what it hears after trouble."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.home import Home, at_home

SAID_WITHIN = 45.0  # seconds of failing answers after which the state must say so


@asynccontextmanager
async def home_of(folder: Path, name: str) -> AsyncIterator[Home]:
    place = folder / name
    place.mkdir()
    async with at_home(place) as home:
        await home.control.post("settings", hold_sync=2)  # else a poll that works tells so after 25 s only
        await home.log_in()
        await home.control.say("wife", "before")
        await home.body("wx/in/wife", text="before")
        await home.control.wait("polling")
        yield home


async def heard_once_and_in_order(home: Home, *texts: str) -> None:
    await home.body("wx/in/wife", text=texts[-1])
    messages = [one.body for one in home.subscriber.on("wx/in/wife")]
    assert [body["text"] for body in messages] == ["before", *texts]
    assert [body["seq"] for body in messages] == list(range(1, len(messages) + 1))
    assert len({body["id"] for body in messages}) == len(messages)
