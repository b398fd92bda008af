"""Logins that end: by the phone, by a send, by request; and what comes after."""

from __future__ import annotations

import pytest

from tests.scenarios.login_helpers import STATE, ask, assert_no_further_call, calls, states_since, url_after
from tests.support.home import Home


@pytest.mark.parametrize("retcode", [1100, 1101, 1102])
async def test_a_logout_while_running_is_reported_and_followed_by_a_code(home: Home, retcode: int):
    await home.log_in()
    since = home.subscriber.count
    await home.control.post("logout", retcode=retcode)
    ended = await home.body(STATE, state="logged_out", since=since)
    assert ended["needs"] == "relogin"
    assert ended["reason"]
    waiting = await home.body(STATE, state="waiting_for_scan", since=since)
    assert ended["reason"] in waiting["reason"]
    await url_after(home, since)
    assert await calls(home, "webwxpushloginurl") == 0, "only at the start"
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.body(STATE, state="online", since=since)
    await home.control.wait("polling")
    await home.control.say("wife", "there you are")
    assert (await home.body("wx/in/wife", text="there you are"))["user"] == "wife"


async def test_a_logout_that_a_send_meets_first_is_reported_as_well(home: Home):
    await home.log_in()
    since = home.subscriber.count
    await home.control.post("fault", endpoint="webwxsendmsg", kind="ret", value=1101)
    await home.in_thread(home.subscriber.publish, "wx/out/wife", "are you there?")
    await home.body(STATE, state="logged_out", since=since)
    await home.body(STATE, state="waiting_for_scan", since=since)


@pytest.mark.in_folder
async def test_after_a_requested_logout_the_account_waits_for_a_requested_login(home: Home):
    await home.log_in()
    since = home.subscriber.count
    answer = await ask(home, "logout", transaction=7)
    assert (answer["status"], answer["transaction"]) == ("ok", 7)
    assert (answer["data"]["state"], answer["data"]["needs"]) == ("logged_out", "relogin")
    await home.control.wait("offline")
    assert not (home.bridge.store / "sessions" / "home.json").exists()
    await assert_no_further_call(home, "jslogin")
    assert await states_since(home, since) == ["logged_out"]
    assert (await ask(home, "login"))["status"] == "ok"
    await url_after(home, since)


async def test_a_hangup_signal_starts_the_login_of_an_account_that_was_logged_out(home: Home):
    await home.log_in()
    await ask(home, "logout")
    since = home.subscriber.count
    home.bridge.hangup()
    await url_after(home, since)


async def test_a_request_to_log_in_is_answered_with_the_state_while_online(home: Home):
    await home.log_in()
    since = home.subscriber.count
    answer = await ask(home, "login")
    assert (answer["status"], answer["data"]["state"]) == ("ok", "online")
    assert await states_since(home, since) == []
    assert await calls(home, "jslogin") == 1


async def test_a_request_to_log_in_gives_a_new_code_while_one_is_shown(home: Home):
    home.bridge.start()
    old_url = await url_after(home, 0)
    since = home.subscriber.count
    await ask(home, "login")
    assert await url_after(home, since) != old_url
