"""`wx2mqtt login` with an account on iLink: the code on the screen, and the number that the phone shows."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.broker import DURABLE
from tests.support.ilink_home import ILinkHome, at_ilink_home
from tests.support.screen import Screen


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[ILinkHome]:
    async with at_ilink_home(tmp_path, DURABLE) as home:
        yield home


async def at_a_screen(home: ILinkHome, story: Callable[[Screen], Awaitable[None]]) -> int:
    """Run `wx2mqtt login`, let the story happen, and give the exit code."""
    screen = Screen([sys.executable, "-m", "wx2mqtt", "login", "-c", str(home.bridge.config)])
    await home.in_thread(screen.__enter__)
    try:
        await story(screen)
        return await home.in_thread(screen.wait)
    finally:
        await home.in_thread(screen.__exit__, None, None, None)


async def number(home: ILinkHome) -> str:
    await home.bot.wait("number")
    return str((await home.control.get("ilink/state"))["codes"][-1]["number"])


async def test_the_number_is_typed_where_the_code_was_scanned(home: ILinkHome):
    await home.control.post("ilink/settings", verify_code=True)

    async def story(screen: Screen) -> None:
        (url,) = await home.in_thread(screen.scan)
        assert url.startswith("https://liteapp.weixin.qq.com/q/")
        await home.bot.post("ilink/scan")
        await home.in_thread(screen.until, "type the number")
        right = await number(home)
        await home.in_thread(screen.type, "000000" if right != "000000" else "111111")
        await home.in_thread(screen.until, "that was not the number")
        await home.in_thread(screen.type, right)
        await home.in_thread(screen.until, "confirm the login")
        await home.bot.post("ilink/confirm")
        await home.in_thread(screen.until, "logged in")

    assert await at_a_screen(home, story) == 0
    await home.bot.write("before the bridge")
    await home.restart()
    assert (await home.body("wx/in/me", text="before the bridge"))["seq"] == 1


async def test_beside_the_running_bridge_the_number_goes_to_the_bridge(home: ILinkHome):
    await home.control.post("ilink/settings", verify_code=True)
    home.bridge.start()
    await home.bot.wait("code")

    async def story(screen: Screen) -> None:
        await home.in_thread(screen.scan)
        await home.bot.wait("code")
        await home.bot.post("ilink/scan")
        await home.in_thread(screen.until, "type the number")
        await home.in_thread(screen.type, await number(home))
        await home.in_thread(screen.until, "confirm the login")
        await home.bot.post("ilink/confirm")
        await home.in_thread(screen.until, "logged in")

    assert await at_a_screen(home, story) == 0
    await home.body("wx/login/state", state="online")


OFF = "remind, renew and fallback are off"


@pytest.mark.parametrize("runs", [False, True], ids=["alone", "beside the bridge"])
async def test_after_the_login_it_says_in_one_line_that_nothing_helps_alarms(home: ILinkHome, runs: bool):
    if runs:
        home.bridge.start()

    async def story(screen: Screen) -> None:
        await home.in_thread(screen.scan)
        await home.bot.post("ilink/scan")
        await home.bot.post("ilink/confirm")
        await home.in_thread(screen.until, OFF)
        assert screen.text.index("logged in") < screen.text.index(OFF)

    assert await at_a_screen(home, story) == 0


async def test_with_one_of_them_nothing_is_said(home: ILinkHome):
    home.bridge.configure(home.settings({"ilink": {"remind": {"before": "2h"}}}))

    async def story(screen: Screen) -> None:
        await home.in_thread(screen.scan)
        await home.bot.post("ilink/scan")
        await home.bot.post("ilink/confirm")
        assert await home.in_thread(screen.wait) == 0
        assert "logged in" in screen.text
        assert OFF not in screen.text

    assert await at_a_screen(home, story) == 0
