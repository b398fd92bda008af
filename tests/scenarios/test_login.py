"""Logging in through the whole bridge: codes, confirmations, refusals, restarts, logouts."""

from __future__ import annotations

import pytest

from tests.scenarios.login_helpers import (
    QR,
    STATE,
    URL,
    ask,
    assert_no_further_call,
    calls,
    retained,
    states_since,
    url_after,
)
from tests.support.home import Home
from tests.support.scanner import codes_in


async def test_the_code_is_retained_for_as_long_as_it_is_valid(home: Home):
    home.bridge.start()
    state = await home.body(STATE, state="waiting_for_scan")
    assert (state["needs"], state["account"], state["schema"]) == ("scan", "home", 1)
    url, png = [
        message for message in home.subscriber.received[code_index(home) :] if message.topic in (QR, URL)
    ][::-1]
    assert url.payload.decode().startswith("https://login.weixin.qq.com/l/")
    assert codes_in(png.payload) == [url.payload.decode()]
    assert png.properties["ContentType"] == "image/png"
    for received in (url, png):
        assert 290 <= received.properties["MessageExpiryInterval"] <= 300
    assert "MessageExpiryInterval" not in home.subscriber.on(STATE)[-1].properties
    assert state["since"] < state["qr_expires"]
    messages = await retained(home)
    assert messages[URL].payload == url.payload
    assert codes_in(messages[QR].payload) == [url.payload.decode()]


def code_index(home: Home) -> int:
    """Returns the index of the code of the present state, which is published before that state."""
    state_index = max(
        index for index, message in enumerate(home.subscriber.received) if message.topic == STATE
    )
    assert [message.topic for message in home.subscriber.received[state_index - 2 : state_index]] == [QR, URL]
    return state_index - 2


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_where_no_code_is_needed_a_picture_that_says_so_is_retained(home: Home, language: str):
    home.bridge.configure(home.settings(language=language))
    since = home.subscriber.count
    home.bridge.start()
    old_url = await url_after(home, since)  # it is never published if the scan comes before
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.body(STATE, state="online", since=since)
    online = home.subscriber.on(STATE)[-1].body
    assert online["reason"] == ("logged in as 王小明" if language == "en" else "已登录：王小明")
    assert "qr_expires" not in online
    messages = await retained(home)
    assert URL not in messages, "an empty topic is no retained message"
    assert codes_in(messages[QR].payload) == []
    assert "MessageExpiryInterval" not in messages[QR].properties
    pictures = {message.payload for message in home.subscriber.on(QR) if not codes_in(message.payload)}
    assert messages[QR].payload in pictures
    assert not any(old_url.encode() in message.payload for message in messages.values())


async def test_a_scanned_code_waits_for_a_confirmation(home: Home):
    home.bridge.start()
    await home.body(STATE, state="waiting_for_scan")
    await home.control.wait("code")
    since = home.subscriber.count
    await home.control.post("scan")
    state = await home.body(STATE, state="waiting_for_confirm", since=since)
    assert state["needs"] == "confirm"
    assert codes_in(home.subscriber.on(QR)[-1].payload) == [], (
        "a code that was scanned is of no use to anybody"
    )
    await home.control.post("confirm")
    await home.body(STATE, state="online", needs="nothing")
    states = [state for state in await states_since(home, 0) if state != "starting"]
    assert states == ["waiting_for_scan", "waiting_for_confirm", "online"]


@pytest.mark.parametrize("action", ["cancel", "expire"])
async def test_a_code_that_was_cancelled_or_expired_is_followed_by_a_new_one(home: Home, action: str):
    home.bridge.start()
    old_url = await url_after(home, 0)
    await home.control.wait("code")
    since = home.subscriber.count
    if action == "cancel":
        await home.control.post("scan")
    await home.control.post(action)
    new_url = await url_after(home, since)
    assert new_url != old_url
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.body(STATE, state="online", since=since)


async def test_a_code_that_stays_valid_after_a_cancel_is_kept(home: Home):
    await home.control.post("settings", cancel_code="408")
    home.bridge.start()
    await home.control.wait("code")
    await home.control.post("scan")
    await home.control.wait("scanned")
    await home.control.post("cancel")
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.body(STATE, state="online")
    assert await calls(home, "jslogin") == 1


async def test_a_refused_account_reports_the_reason_of_wechat_and_is_not_tried_again(home: Home):
    reason = "当前登录环境异常。为了你的帐号安全,暂时不能登录web微信。"
    await home.control.post("settings", refuse_login=reason)
    home.bridge.start()
    await home.control.wait("code")
    await home.control.post("scan")
    await home.control.post("confirm")
    state = await home.body(STATE, state="refused")
    assert state["needs"] == "other_backend"
    assert reason in state["reason"]
    await assert_no_further_call(home, "jslogin")
    assert await calls(home, "webwxnewloginpage") == 1
    assert codes_in(home.subscriber.on(QR)[-1].payload) == []
    await home.control.post("settings", refuse_login="")
    since = home.subscriber.count
    assert (await ask(home, "login"))["status"] == "ok"
    await url_after(home, since)


async def test_a_web_page_instead_of_the_keys_is_a_refusal(home: Home):
    await home.control.post("settings", html_login=True)
    home.bridge.start()
    await home.control.wait("code")
    await home.control.post("scan")
    await home.control.post("confirm")
    state = await home.body(STATE, state="refused")
    assert state["needs"] == "other_backend"
    assert "<" not in state["reason"]
    await assert_no_further_call(home, "jslogin")


@pytest.mark.in_folder
@pytest.mark.parametrize("expect", [{"nickname": "Somebody Else"}, {"uin": "1234567890"}])
async def test_an_account_that_is_not_expected_is_logged_out_again(home: Home, expect: dict[str, str]):
    home.bridge.configure(home.settings({"expect": expect}))
    home.bridge.start()
    await home.control.wait("code")
    await home.control.post("scan")
    await home.control.post("confirm")
    state = await home.body(STATE, state="refused")
    assert state["needs"] == "relogin"
    assert "王小明" in state["reason"]
    await home.control.wait("offline")
    assert await calls(home, "webwxlogout") == 1
    assert not (home.bridge.store / "sessions" / "home.json").exists()
    assert "online" not in await states_since(home, 0)
    assert home.subscriber.on("wx/contacts")[-1].body["count"] == 0, (
        "the contacts of a stranger are not published"
    )


async def test_a_restart_needs_no_scan_and_misses_nothing(home: Home):
    await home.log_in()
    await home.control.say("wife", "before")
    await home.body("wx/in/wife", text="before")
    await home.in_thread(home.bridge.stop)
    await home.control.say("wife", "meanwhile {n}", count=70)
    await home.restart()
    await home.body("wx/in/wife", text="meanwhile 70")
    texts = [message.body["text"] for message in home.subscriber.on("wx/in/wife")]
    assert texts == ["before", *(f"meanwhile {n}" for n in range(1, 71))]
    assert [message.body["seq"] for message in home.subscriber.on("wx/in/wife")] == list(range(1, 72))
    assert await calls(home, "jslogin") == 1
    assert await calls(home, "webwxpushloginurl") == 0


async def test_a_saved_login_that_is_refused_at_the_start_asks_the_phone_once(home: Home):
    await home.log_in()
    await home.in_thread(home.bridge.stop)
    await home.control.post("logout", retcode=1101)
    since = home.subscriber.count
    home.bridge.start()
    await home.body(STATE, state="waiting_for_confirm", needs="confirm", since=since)
    await home.control.post("confirm")
    await home.body(STATE, state="online", since=since)
    assert await calls(home, "jslogin") == 1
    assert await calls(home, "webwxpushloginurl") == 1


async def test_a_phone_that_declines_leads_to_a_code(home: Home):
    await home.log_in()
    await home.in_thread(home.bridge.stop)
    await home.control.post("logout", retcode=1101)
    since = home.subscriber.count
    home.bridge.start()
    await home.body(STATE, state="waiting_for_confirm", since=since)
    await home.control.post("cancel")
    await url_after(home, since)
    assert await calls(home, "webwxpushloginurl") == 1
    assert await calls(home, "jslogin") == 2


@pytest.mark.parametrize("answer", ["args", "antispam", "invalid"])
async def test_where_wechat_does_not_ask_the_phone_there_is_a_code_at_once(home: Home, answer: str):
    await home.control.post("settings", push_login=answer)
    await home.log_in()
    await home.in_thread(home.bridge.stop)
    await home.control.post("logout", retcode=1102)
    since = home.subscriber.count
    home.bridge.start()
    await url_after(home, since)
    assert await calls(home, "webwxpushloginurl") == 1


async def test_a_saved_login_that_cannot_be_checked_waits_for_wechat(home: Home):
    await home.log_in()
    await home.in_thread(home.bridge.stop)
    await home.stop_wechat()
    since = home.subscriber.count
    home.bridge.start()
    state = await home.body(STATE, state="interrupted", since=since)
    assert state["needs"] == "nothing"
    assert state["reason"]
    await home.start_wechat()
    await home.control.say("wife", "back again")
    await home.body(STATE, state="online", since=since)
    await home.body("wx/in/wife", text="back again")
    assert await calls(home, "jslogin") == 1


@pytest.mark.parametrize("shape", [{"answer_301": True}, {"cookies_only": True}])
async def test_the_keys_are_found_in_every_shape_of_the_answer(home: Home, shape: dict[str, bool]):
    await home.control.post("settings", **shape)
    await home.log_in()
