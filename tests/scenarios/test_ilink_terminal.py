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


async def run_login_command(home: ILinkHome, scenario: Callable[[Screen], Awaitable[None]]) -> int:
    """Runs `wx2mqtt login` while the scenario uses its screen; returns the exit code."""
    screen = Screen([sys.executable, "-m", "wx2mqtt", "login", "-c", str(home.bridge.config)])
    await home.in_thread(screen.__enter__)
    try:
        await scenario(screen)
        return await home.in_thread(screen.wait)
    finally:
        await home.in_thread(screen.__exit__, None, None, None)


async def number_on_phone(home: ILinkHome) -> str:
    """Waits until the phone shows a number; returns it."""
    await home.bot.wait("number")
    return str((await home.control.get("ilink/state"))["codes"][-1]["number"])


async def test_the_number_is_typed_where_the_code_was_scanned(home: ILinkHome):
    await home.control.post("ilink/settings", verify_code=True)

    async def scenario(screen: Screen) -> None:
        (url,) = await home.in_thread(screen.scan)
        assert url.startswith("https://liteapp.weixin.qq.com/q/")
        await home.bot.post("ilink/scan")
        await home.in_thread(screen.until, "type the number")
        number = await number_on_phone(home)
        await home.in_thread(screen.type, "000000" if number != "000000" else "111111")
        await home.in_thread(screen.until, "that was not the number")
        await home.in_thread(screen.type, number)
        await home.in_thread(screen.until, "confirm the login")
        await home.bot.post("ilink/confirm")
        await home.in_thread(screen.until, "logged in")

    assert await run_login_command(home, scenario) == 0
    await home.bot.write("before the bridge")
    await home.restart()
    assert (await home.body("wx/in/me", text="before the bridge"))["seq"] == 1


async def test_beside_a_running_bridge_the_typed_number_goes_to_the_bridge(home: ILinkHome):
    await home.control.post("ilink/settings", verify_code=True)
    home.bridge.start()
    await home.bot.wait("code")

    async def scenario(screen: Screen) -> None:
        await home.in_thread(screen.scan)
        await home.bot.wait("code")
        await home.bot.post("ilink/scan")
        await home.in_thread(screen.until, "type the number")
        await home.in_thread(screen.type, await number_on_phone(home))
        await home.in_thread(screen.until, "confirm the login")
        await home.bot.post("ilink/confirm")
        await home.in_thread(screen.until, "logged in")

    assert await run_login_command(home, scenario) == 0
    await home.body("wx/login/state", state="online")


NOTHING_HELPS_ALARMS = "remind, renew and fallback are off"


@pytest.mark.parametrize("runs", [False, True], ids=["alone", "beside the bridge"])
async def test_after_the_login_one_line_says_that_no_option_helps_alarms(home: ILinkHome, runs: bool):
    if runs:
        home.bridge.start()

    async def scenario(screen: Screen) -> None:
        await home.in_thread(screen.scan)
        await home.bot.post("ilink/scan")
        await home.bot.post("ilink/confirm")
        await home.in_thread(screen.until, NOTHING_HELPS_ALARMS)
        assert screen.text.index("logged in") < screen.text.index(NOTHING_HELPS_ALARMS)

    assert await run_login_command(home, scenario) == 0


async def test_with_one_of_these_options_the_line_is_not_printed(home: ILinkHome):
    home.bridge.configure(home.settings({"ilink": {"remind": {"before": "2h"}}}))

    async def scenario(screen: Screen) -> None:
        await home.in_thread(screen.scan)
        await home.bot.post("ilink/scan")
        await home.bot.post("ilink/confirm")
        assert await home.in_thread(screen.wait) == 0
        assert "logged in" in screen.text
        assert NOTHING_HELPS_ALARMS not in screen.text

    assert await run_login_command(home, scenario) == 0
