"""A bridge on iLink is killed while its login is renewed: it goes on with the login that WeChat accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.killable_bridge import KillableBridge
from tests.crash.test_ilink_kill import killable_home, start_online
from tests.scenarios.login_helpers import STATE
from tests.scenarios.test_ilink_renewal import confirm, saved_bots, wait_for_renewal
from tests.support.ilink_home import ILinkHome


async def offer_code(home: ILinkHome, process: KillableBridge, point: str = "") -> None:
    """Starts a bridge that offers a code for the next login; it kills itself at this point, after it stored a message."""
    await home.control.post("ilink/settings", autoscan="me")
    since = home.subscriber.count
    process.start(point, at=2)
    await home.body(STATE, state="online", since=since)
    await home.bot.wait("polling")
    await home.control.post("ilink/settings", autoscan="")
    await home.bot.write("hello")
    await home.body("wx/in/me", text="hello", since=since)
    since = home.subscriber.count
    await home.send_request("login", {"renew": True})
    await wait_for_renewal(home, since)
    await home.bot.bot_sent(2)


@pytest.mark.parametrize("point", ["before:record", "after:record"])
async def test_killed_at_the_commit_that_moves_to_the_next_login(
    tmp_path: Path, with_mosquitto: None, point: str
):
    async with killable_home(tmp_path) as (home, process):
        await start_online(home, process)
        await process.stop()
        await offer_code(home, process, point)
        await confirm(home)
        assert await process.reaches_point()
        await start_online(home, process)
        assert (await home.body("wx/window/me", why="new_binding"))["open"] is False
        since = home.subscriber.count
        await home.bot.write("hello again")
        await home.body("wx/in/me", text="hello again", since=since)
        assert len(home.subscriber.on("wx/in/me")) == 2


@pytest.mark.in_folder
async def test_killed_while_a_code_is_offered_the_login_goes_on(tmp_path: Path, with_mosquitto: None):
    async with killable_home(tmp_path) as (home, process):
        await offer_code(home, process)
        process.kill()
        await start_online(home, process)
        since = home.subscriber.count
        await home.bot.write("hello again")
        await home.body("wx/in/me", text="hello again", since=since)
        assert len(saved_bots(home)) == 1
