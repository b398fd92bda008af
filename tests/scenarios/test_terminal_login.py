"""`wx2mqtt login` and `wx2mqtt run` at a terminal, where a person scans the code on the screen."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.scenarios.login_helpers import STATE, calls, url_after
from tests.support.home import Home
from tests.support.screen import Screen
from tests.support.terminal import Terminal


def login_screen(home: Home, *arguments: str) -> Screen:
    return Screen([sys.executable, "-m", "wx2mqtt", "login", *arguments, "-c", str(home.bridge.config)])


async def run_login_at_screen(home: Home, interact: Callable[[Screen], Any], *arguments: str) -> int:
    """Runs `wx2mqtt login` while `interact` acts as the person; returns the exit code."""
    screen = login_screen(home, *arguments)
    await home.in_thread(screen.__enter__)
    try:
        await interact(screen)
        return await home.in_thread(screen.wait)
    finally:
        await home.in_thread(screen.__exit__, None, None, None)


async def scan_and_confirm(home: Home, screen: Screen) -> None:
    (url,) = await home.in_thread(screen.scan)
    uuid = url.rpartition("/")[2]
    await home.control.post("scan", uuid=uuid)
    await home.control.post("confirm", uuid=uuid)


async def test_a_scan_of_the_screen_saves_a_session_with_which_the_bridge_begins(home: Home):
    async def interact(screen: Screen) -> None:
        await scan_and_confirm(home, screen)
        await home.in_thread(screen.until, "logged in as 王小明")
        assert "login.weixin" not in screen.text

    assert await run_login_at_screen(home, interact) == 0
    await home.control.say("wife", "before the bridge")
    await home.restart()
    assert (await home.body("wx/in/wife", text="before the bridge"))["seq"] == 1
    assert await calls(home, "jslogin") == 1


async def test_a_valid_login_needs_no_scan(home: Home):
    await home.log_in()
    await home.in_thread(home.bridge.stop)

    async def interact(screen: Screen) -> None:
        await home.in_thread(screen.until, "logged in as 王小明")
        assert screen.codes == []

    assert await run_login_at_screen(home, interact, "home") == 0
    await home.control.say("wife", "between")
    await home.restart()
    await home.body("wx/in/wife", text="between")


async def test_beside_a_running_bridge_the_bridge_logs_in(home: Home):
    home.bridge.start()
    await url_after(home, 0)

    async def interact(screen: Screen) -> None:
        await scan_and_confirm(home, screen)
        await home.in_thread(screen.until, "logged in as 王小明")

    assert await run_login_at_screen(home, interact) == 0
    await home.body(STATE, state="online")
    assert await run_login_at_screen(home, lambda screen: home.in_thread(screen.until, "logged in as")) == 0
    assert await calls(home, "jslogin") == 2


async def test_beside_a_bridge_whose_login_was_refused_login_asks_for_a_new_code(home: Home):
    await home.control.post("settings", refuse_login="环境异常")
    home.bridge.start()
    await home.control.wait("code")
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.body(STATE, state="refused")

    async def wait_for_refusal_and_scan(screen: Screen) -> None:
        await scan_and_confirm(home, screen)
        await home.in_thread(screen.until, "环境异常")

    assert await run_login_at_screen(home, wait_for_refusal_and_scan) == 1
    await home.control.post("settings", refuse_login="")
    assert await run_login_at_screen(home, lambda screen: scan_and_confirm(home, screen)) == 0


async def test_a_refusal_ends_login_with_the_reason_of_wechat(home: Home):
    await home.control.post("settings", refuse_login="环境异常")

    async def interact(screen: Screen) -> None:
        await scan_and_confirm(home, screen)
        await home.in_thread(screen.until, "环境异常")
        assert "Traceback" not in screen.text

    assert await run_login_at_screen(home, interact) == 1
    assert await calls(home, "jslogin") == 1


@pytest.mark.in_folder
async def test_an_unexpected_account_is_logged_out_and_not_saved(home: Home):
    home.bridge.configure(home.settings({"expect": {"nickname": "Somebody Else"}}))

    async def interact(screen: Screen) -> None:
        await scan_and_confirm(home, screen)
        await home.in_thread(screen.until, "expect.nickname")

    assert await run_login_at_screen(home, interact) == 1
    await home.control.wait("offline")
    assert not (home.bridge.store / "sessions" / "home.json").exists()


async def test_an_account_that_is_not_configured_is_refused(home: Home):
    assert (
        await run_login_at_screen(
            home, lambda screen: home.in_thread(screen.until, "no account 'work'"), "work"
        )
        == 1
    )


def has_no_secret(output: str, uuid: str = "login.weixin") -> bool:
    return not any(secret in output for secret in ("█", "login.weixin", uuid))


async def test_without_a_terminal_no_code_is_printed_but_where_to_find_it(home: Home):
    pipe = Terminal(home.folder)
    done = await home.in_thread(pipe.run, "login", "-c", home.bridge.config)
    assert done.code == 1
    assert "terminal" in done.err
    assert has_no_secret(done.out + done.err)
    home.bridge.start()
    await url_after(home, 0)
    since = home.subscriber.count
    with pipe.running("login", "-c", home.bridge.config) as login:
        await home.in_thread(login.until, "wx/login/qr")
        uuid = (await url_after(home, since)).rpartition("/")[2]
        await home.control.post("scan", uuid=uuid)
        await home.control.post("confirm", uuid=uuid)
        assert await home.in_thread(login.end) == 0
    assert has_no_secret("\n".join(login.said), uuid)


async def test_the_bridge_draws_its_code_on_a_terminal_and_never_into_its_log(home: Home):
    settings = home.settings(log={"level": "debug", "format": "auto"})
    home.bridge.configure(settings)
    screen = Screen([sys.executable, "-m", "wx2mqtt", "run", "-c", str(home.bridge.config)])
    await home.in_thread(screen.__enter__)
    try:
        await scan_and_confirm(home, screen)
        await home.in_thread(screen.until, "online")
        assert "login.weixin" not in screen.text
    finally:
        await home.in_thread(screen.__exit__, None, None, None)
