"""The shipped alarm on iLink: in each state in which WeChat does not take it, somebody is told within a minute."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable

import pytest

from tests.node_red.environment import (
    NAMES,
    NodeRedEnvironment,
    read,
    sent_count,
    timeout_seconds,
    use_up_quota,
    wait_for_text,
    with_fallback,
)
from tests.support.deadlines import allowed
from tests.support.ilink_home import ILinkHome
from wx2mqtt.clock import loop_time

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_ANSWER = "me was not told: the bridge does not answer. Do it and the broker run?"
TEXT = "💧 Water in the cellar! 地下室漏水！\nAnswer 好 (or ok) if you see to it."


@pytest.fixture
def environment(bot_environment: NodeRedEnvironment) -> NodeRedEnvironment:
    return bot_environment


async def within_a_minute(waiting: Awaitable[str]) -> str:
    """Returns what a debug node shows; it must not take longer than an alarm may."""
    started_at = loop_time()
    text = await waiting
    assert loop_time() - started_at < allowed(60)
    return text


async def test_the_shipped_times_keep_within_a_minute():
    """A result is missed `WITHIN` seconds after its text, at the next of the ticks."""
    nodes = read("alarm")
    (tab,) = (node for node in nodes if node["type"] == "tab")
    (tick,) = (node for node in nodes if node.get("repeat"))
    within = next(int(variable["value"]) for variable in tab["env"] if variable["name"] == "WITHIN")
    assert within + int(tick["repeat"]) < 60


async def test_an_alarm_uses_the_reserve_goes_first_and_its_result_is_shown(
    environment: NodeRedEnvironment, home: ILinkHome
):
    """Twelve other texts wait or were sent before it."""
    await environment.load("alarm")
    await use_up_quota(home)
    since, sent = len(environment.red.output), await sent_count(home)
    for number in range(3):
        await home.publish("wx/out/me", {"text": f"waits {number}", "ttl": 600})
    await home.body("wx/event/held", why="reserved")
    await environment.press("try it")
    assert await within_a_minute(environment.shown("told", since=since)) == "me was told"
    assert (await home.bot.get("ilink/sent"))[sent]["text"] == TEXT
    assert environment.red.all_shown("not reached", since=since) == []


async def test_an_alarm_with_the_quota_used_is_reported_at_once(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await environment.load("alarm")
    await use_up_quota(home)
    since = len(environment.red.output)
    await environment.press("try it")
    assert await environment.shown("told", since=since) == "me was told"
    await home.publish("home/water/alarm", "OFF")
    await environment.wait_until_idle()
    await environment.press("try it")
    text = await within_a_minute(environment.shown("not reached", since=since))
    assert text.startswith("me was not told: ")
    assert text.endswith(" (quota_used)")


async def test_each_of_twelve_alarms_in_a_row_is_sent_or_reported_as_not_sent(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await environment.load("alarm")
    since = len(environment.red.output)
    for number in range(1, 13):
        await environment.press("try it")
        await home.in_thread(
            environment.red.wait,
            lambda _, number=number: (
                len(environment.red.all_shown("told", since=since))
                + len(environment.red.all_shown("not reached", since=since))
                == number
            ),
            since=since,
        )
        await home.publish("home/water/alarm", "OFF")
        await environment.wait_until_idle()
    assert (
        len(environment.red.all_shown("told", since=since)) >= 5
    )  # each is followed by the news that it is over
    assert all(
        text.endswith("(quota_used)") for text in environment.red.all_shown("not reached", since=since)
    )


async def test_an_alarm_with_the_window_shut_is_reported_at_once(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await environment.load("alarm", LANGUAGE="zh")
    since = len(environment.red.output)
    await home.bot.post("ilink/window", ago=25 * 3600)
    await environment.press("try it")
    text = await within_a_minute(environment.shown("not reached", since=since))
    assert text.startswith("没有通知到 me：")
    assert text.endswith("（window_closed）")


async def test_an_alarm_with_the_window_shut_goes_to_the_fallback_at_once(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await environment.load("alarm")
    async with with_fallback(home) as service:
        since = len(environment.red.output)
        await home.bot.post("ilink/window", ago=25 * 3600)
        await environment.press("try it")
        text = await within_a_minute(environment.shown("told", since=since))
        assert text.startswith("me was told by the fallback: ")
        (alert, *_) = await home.in_thread(service.wait, 1)
        assert alert["message"] == TEXT
        assert environment.red.all_shown("not reached", since=since) == []


async def test_a_failing_fallback_is_reported(environment: NodeRedEnvironment, home: ILinkHome):
    await environment.load("alarm")
    async with with_fallback(home) as service:
        service.status = 500
        since = len(environment.red.output)
        await home.bot.post("ilink/window", ago=25 * 3600)
        await environment.press("try it")
        assert "(window_closed)" in await within_a_minute(environment.shown("not reached", since=since))
        assert environment.red.all_shown("told", since=since) == []


async def test_an_alarm_without_a_login_is_reported_at_once_and_the_fallback_gets_it_within_a_minute(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await environment.load("alarm")
    async with with_fallback(home) as service:
        subscriber = home.subscriber.count
        await home.bot.post("ilink/kill")
        await home.in_thread(
            home.subscriber.wait,
            "wx/login/state",
            lambda message: message.body["state"] in {"logged_out", "waiting_for_scan"},
            since=subscriber,
        )
        await home.in_thread(service.wait, 1)  # that the login has ended
        await environment.wait_until_idle()
        since = len(environment.red.output)
        await environment.press("try it")
        text = await environment.shown("not reached", since=since)
        assert text.startswith("me was not told: WeChat is not logged in (")
        text = await within_a_minute(environment.shown("told", since=since))
        assert text.startswith("me was told by the fallback: ")
        assert text.endswith("(logged_out)")
    subscriber = home.subscriber.count
    await home.scan()
    await home.body("wx/login/state", state="online", since=subscriber)
    await home.bot.wait("polling")


async def test_a_message_that_wechat_takes_without_an_id_is_reported_as_doubtful(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await environment.load("alarm")
    since = len(environment.red.output)
    await home.bot.post("ilink/mute")
    try:
        await environment.press("try it")
        text = await within_a_minute(environment.shown("told", since=since))
        assert text.startswith("me was told: ")
        assert text.endswith("(unconfirmed)")
    finally:
        await home.bot.post("ilink/mute", on=False)


async def test_an_alarm_with_the_bridge_offline_is_reported_soon(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await environment.load("alarm")
    subscriber = home.subscriber.count
    await home.in_thread(home.bridge.kill)
    await home.in_thread(
        home.subscriber.wait,
        "wx/bridge/state",
        lambda message: message.payload == b"offline",
        since=subscriber,
    )
    await environment.wait_until_idle()
    since = len(environment.red.output)
    await environment.press("try it")
    assert await within_a_minute(environment.shown("not reached", since=since)) == NO_ANSWER
    sent = await sent_count(home)
    await home.restart()
    await wait_for_text(home, TEXT, sent)  # it is published again while it is worth it
    assert await environment.shown("told", since=since) == "me was told"


async def test_an_alarm_with_a_bridge_that_hangs_is_reported_as_without_a_result(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await environment.load("alarm", WITHIN=timeout_seconds(2), every=0.3)
    await environment.wait_until_idle()
    os.kill(home.bridge.pid, signal.SIGSTOP)
    try:
        since = len(environment.red.output)
        await environment.press("try it")
        text = await within_a_minute(environment.shown("not reached", "no result", since=since))
        assert text == "me was not told: no result. Do the bridge and the broker run?"
    finally:
        os.kill(home.bridge.pid, signal.SIGCONT)


async def test_an_alarm_with_the_broker_away_is_reported_soon_and_sent_when_it_is_back(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await environment.load("alarm", every=0.5)
    since = len(environment.red.output)
    await home.in_thread(home.broker.kill)
    await home.in_thread(
        environment.red.wait, lambda entry: entry["text"].startswith("Disconnected"), since=since
    )
    sent = await sent_count(home)
    await environment.press("try it")
    text = await within_a_minute(environment.shown("not reached", since=since))
    assert text == NO_ANSWER
    subscriber = home.subscriber.count
    await home.in_thread(home.broker.start)
    await wait_for_text(home, TEXT, sent)
    await home.in_thread(
        home.subscriber.wait, "wx/bridge/state", since=subscriber
    )  # for those who come after


async def test_the_values_of_the_tab_are_checked_and_an_unknown_second_person_is_named(
    environment: NodeRedEnvironment, home: ILinkHome
):
    since = len(environment.red.output)
    await environment.load("alarm", SECOND="family", ROUNDS=0)
    text = await environment.shown("check the settings", "family", since=since)
    assert text == "nobody is called family; the bridge knows me"
    assert (
        await environment.shown("check the settings", "ROUNDS", since=since)
        == "ROUNDS must be a number above 0"
    )
    await environment.load("alarm", SECOND="family", LANGUAGE="zh")
    await environment.shown("check the settings", "没有 family 这个人；桥接程序里有 me", since=since)


async def test_an_unknown_second_person_is_reported_when_the_alarm_needs_them(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await environment.load("alarm", FIRST="mom", SECOND="family")
    since = len(environment.red.output)
    await environment.press("try it")
    for name in ("mom", "family"):
        text = await within_a_minute(environment.shown("not reached", f"{name} was not told: ", since=since))
        assert text.endswith("(unknown_user)")


async def test_beside_all_other_flows_an_answer_to_the_alarm_is_answered_by_the_alarm_alone(
    environment: NodeRedEnvironment, home: ILinkHome
):
    await environment.load(*NAMES)
    sent, since = await sent_count(home), len(environment.red.output)
    await home.publish("home/water/alarm", "ON")
    await wait_for_text(home, TEXT, sent)
    sent = await sent_count(home)
    await home.bot.write("ok")
    assert (await environment.shown("answered", since=since)).endswith("sees to it")
    await home.bot.write("light on")
    await wait_for_text(home, "OK, light on", sent)
    await wait_for_text(home, "You wrote: light on", sent)
    texts = [line["text"] for line in (await home.bot.get("ilink/sent"))[sent:]]
    assert "You wrote: ok" not in texts
    assert not any(text.startswith("I know: ") for text in texts)


@pytest.mark.parametrize("name", ["echo", "remote-control"])
async def test_an_answer_that_wechat_does_not_take_is_reported(
    environment: NodeRedEnvironment, home: ILinkHome, name: str
):
    await environment.load(name, PERSON="nobody", PEOPLE="nobody", FRESH=3600)
    since = len(environment.red.output)
    message = {**await home.body("wx/in/me"), "user": "nobody", "text": "status"}
    await home.publish("wx/in/nobody", message)
    assert "(unknown_user)" in await environment.shown("not sent", "nobody", since=since)
