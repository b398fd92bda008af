"""The account that a store belongs to: another one that scans gets nothing, until the owner says otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.scenarios.signing_in import STATE, states_since, url_after
from tests.support.broker import DURABLE
from tests.support.home import Home, at_home
from tests.support.ilink_home import ILinkHome, at_ilink_home

OTHER_UIN = 999_888_777
OTHER_NAME = "Mallory"
EVENT = "wx/event/other_account"


class WebScans:
    """Web WeChat: the owner and another account scan."""

    backend = "webwx"
    name: str | None = OTHER_NAME

    def __init__(self, home: Home) -> None:
        self.home = home

    async def owner(self) -> None:
        await self.home.phone.wait("code")
        await self.home.phone.post("scan")
        await self.home.phone.post("confirm")

    async def other(self) -> None:
        await self.home.phone.wait("code")
        await self.home.phone.post("scan", uin=OTHER_UIN, nickname=OTHER_NAME)
        await self.home.phone.post("confirm")

    async def end_login(self) -> None:
        """WeChat ends the login of the owner."""
        await self.home.phone.post("logout", retcode=1101)

    async def sent(self) -> list[str]:
        return [str(line["text"]) for line in await self.home.phone.get("sent")]

    user = "wife"

    async def owner_writes(self) -> None:
        """Nothing is needed before a message can be sent."""

    other_id = str(OTHER_UIN)


class ILinkScans(WebScans):
    """iLink: the owner `me` and the person `wife` scan."""

    backend = "ilink"
    name = None
    user = "me"

    def __init__(self, home: ILinkHome) -> None:
        self.home: ILinkHome = home

    async def owner(self) -> None:
        await self.home.scan()

    async def other(self) -> None:
        await self.home.bot.wait("code")
        await self.home.bot.post("ilink/scan", person="wife")
        await self.home.bot.post("ilink/confirm")

    async def end_login(self) -> None:
        await self.home.bot.post("ilink/kill")

    async def sent(self) -> list[str]:
        return [str(line["text"]) for line in await self.home.bot.get("ilink/sent")]

    async def owner_writes(self) -> None:
        await self.home.bot.write("hello")


@pytest_asyncio.fixture(params=["webwx", "ilink"])
async def scans(
    with_mosquitto: None, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[WebScans]:
    if request.param == "webwx":
        async with at_home(tmp_path, DURABLE) as home:
            yield WebScans(home)
    else:
        async with at_ilink_home(tmp_path, DURABLE) as ilink_home:
            yield ILinkScans(ilink_home)


async def is_refused(scans: WebScans, since: int) -> dict[str, Any]:
    """The other account was refused, with an event that names it and has no id; the state is returned."""
    home = scans.home
    state = await home.body(STATE, state="refused", since=since)
    assert state["needs"] == "relogin"
    event = await home.body(EVENT, since=since)
    assert event.get("name") == scans.name
    assert event["account"] == "home"
    published = b"".join(one.payload for one in home.ear.heard[since:])
    assert scans.other_id.encode() not in published
    assert "online" not in await states_since(home, since)
    return state


async def log_in_and_out(scans: WebScans) -> int:
    """The owner has logged in and WeChat has ended that login; returns the count of the ear before the end."""
    await scans.home.log_in()
    await scans.owner_writes()
    since = scans.home.ear.count
    await scans.end_login()
    await scans.home.body(STATE, state="waiting_for_scan", since=since)
    return since


async def test_another_account_that_scans_gets_nothing(scans: WebScans):
    home = scans.home
    since = await log_in_and_out(scans)
    waits = {"text": "for the owner's people", "id": "waits", "ttl": 600}
    await home.publish(f"wx/out/{scans.user}", waits)
    people = home.ear.on("wx/contacts")[-1].body
    await scans.other()
    await is_refused(scans, since)
    assert home.ear.on("wx/contacts")[-1].body == people
    assert await scans.sent() == []

    since = home.ear.count
    assert (await home.ask("login"))["status"] == "ok"
    await url_after(home, since)
    await scans.owner()
    await home.body(STATE, state="online", since=since)
    await scans.owner_writes()
    assert (await home.body(f"wx/result/{scans.user}", id="waits"))["status"] == "sent"
    assert await scans.sent() == ["for the owner's people"]
