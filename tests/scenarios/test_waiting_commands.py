"""Commands that wait: for the first login, for the next one, for the broker, for the rate limit of WeChat."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.scenarios.login_helpers import calls
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.home import Home
from tests.support.subscriber import Subscriber


def outcome(result: dict[str, Any]) -> tuple[str, str, bool]:
    return result["status"], result["code"], result["duplicate_possible"]


async def sent(home: Home) -> list[tuple[str, str]]:
    return [(message["to"], message["text"]) for message in await home.control.get("sent")]


async def scan(home: Home) -> None:
    """Scans and confirms; returns when the bridge is online."""
    since = home.subscriber.count
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.body("wx/login/state", state="online", since=since)


async def test_before_the_first_login_commands_to_named_contacts_wait_and_others_are_refused(home: Home):
    home.bridge.start()
    await home.control.wait("code")
    await home.in_thread(
        home.subscriber.wait, "wx/bridge/state", lambda message: message.payload == b"online"
    )
    assert (await home.send_command("妈妈", "nobody knows you yet"))["code"] == "unknown_user"
    expired = await home.send_command("wife", {"text": "too late", "id": "late", "ttl": 0.05})
    assert outcome(expired) == ("expired", "logged_out", False)
    for number in range(5):
        await home.publish("wx/out/wife", {"text": f"early {number}", "id": f"e{number}"})
    await home.publish("wx/out/filehelper", {"text": "early note", "id": "note"})
    await scan(home)
    for number in range(5, 10):
        await home.publish("wx/out/wife", {"text": f"early {number}", "id": f"e{number}"})
    for number in range(10):
        assert outcome(await home.body("wx/result/wife", id=f"e{number}")) == ("sent", "ok", False)
    assert outcome(await home.body("wx/result/filehelper", id="note")) == ("sent", "ok", False)
    assert [text for to, text in await sent(home) if to == "wife"] == [
        f"early {number}" for number in range(10)
    ]


async def test_a_command_to_a_named_contact_that_wechat_does_not_know_fails_after_the_login(home: Home):
    home.bridge.configure(home.settings({"contacts": {"ghost": {"remark": "nobody has this remark"}}}))
    home.bridge.start()
    await home.control.wait("code")
    await home.in_thread(
        home.subscriber.wait, "wx/bridge/state", lambda message: message.payload == b"online"
    )
    await home.publish("wx/out/ghost", {"text": "boo", "id": "boo"})
    await scan(home)
    result = await home.body("wx/result/ghost", id="boo")
    assert (result["status"], result["code"]) == ("rejected", "unresolved_user")
    assert await sent(home) == []


@pytest.mark.parametrize("kill", [False, True])
async def test_a_command_that_waits_for_a_login_survives_restarts_and_is_sent_once(home: Home, kill: bool):
    await home.log_in()
    await home.control.post("logout", retcode=1101)
    await home.body("wx/login/state", state="waiting_for_scan", since=home.subscriber.count)
    for number in range(4):
        await home.publish(
            f"wx/out/{('wife', '妈妈')[number % 2]}", {"text": f"later {number}", "id": f"l{number}"}
        )
    await home.send_request("health")
    await home.in_thread(home.bridge.kill if kill else home.bridge.stop)
    since = home.subscriber.count
    home.bridge.start()
    await home.body("wx/login/state", state="waiting_for_confirm", since=since)
    await home.control.post("confirm")
    for number in range(4):
        result = await home.body(f"wx/result/{('wife', '妈妈')[number % 2]}", id=f"l{number}")
        assert outcome(result) == ("sent", "ok", False)
    assert sorted(await sent(home)) == [
        ("mom", "later 1"),
        ("mom", "later 3"),
        ("wife", "later 0"),
        ("wife", "later 2"),
    ]


async def test_a_command_that_expired_while_the_bridge_was_away_is_reported_at_the_next_start(home: Home):
    await home.log_in()
    await home.control.post("fault", endpoint="webwxsendmsg", kind="ret", value=-1, times=0)
    await home.publish("wx/out/wife", {"text": "short", "id": "short", "ttl": 1.5})
    await home.publish("wx/out/wife", {"text": "long", "id": "long"})
    await home.control.wait("calls:webwxsendmsg:1")
    await home.in_thread(home.bridge.kill)
    await home.control.post("fault/clear")
    since = home.subscriber.count
    await home.in_thread(
        home.subscriber.wait, "wx/bridge/state", lambda message: message.payload == b"offline"
    )
    await home.restart()
    long_lived = await home.body("wx/result/wife", id="long", since=since)
    assert long_lived["status"] == "sent"
    short_lived = await home.body("wx/result/wife", id="short", since=since)
    assert short_lived["status"] in ("expired", "uncertain", "sent")
    assert len(await sent(home)) == len(set(await sent(home)))


async def test_the_rate_limit_of_wechat_delays_all_commands_and_health_says_until_when(home: Home):
    await home.log_in()
    await home.control.post("fault", endpoint="webwxsendmsg", kind="ret", value=1205)
    await home.publish("wx/out/wife", {"text": "patient", "id": "patient"})
    async with asyncio.timeout(MAX_WAIT_SECONDS):  # the call alone does not say that its answer has arrived
        while (await home.send_request("health"))["data"]["wechat"]["throttled"] <= 30:
            pass
    expired = await home.send_command("妈妈", {"text": "impatient", "id": "impatient", "ttl": 0.3})
    assert outcome(expired) == ("expired", "rate_limited", False)
    assert 30 < expired["retry_after"] <= 60
    health = (await home.send_request("health"))["data"]
    assert health["wechat"]["throttled"] > 30
    assert health["queues"]["to_wechat"]["depth"] == 1
    assert (await home.send_request("mark_read", {"user": "妈妈"}))["code"] == "rate_limited", (
        "a request waits as well"
    )
    assert (await home.control.get("state"))["calls"]["webwxsendmsg"] == 1, "nobody was asked again meanwhile"
    await home.in_thread(home.bridge.stop)
    await home.restart()
    assert outcome(await home.body("wx/result/wife", id="patient")) == ("sent", "ok", False)
    assert await sent(home) == [("wife", "patient")]


async def test_a_request_at_the_rate_limit_says_when_to_retry_and_wechat_is_not_called_before(home: Home):
    await home.log_in()
    await home.control.post("fault", endpoint="webwxoplog", kind="ret", value=1205)
    asked = {"user": "妈妈", "remark": "老妈"}
    answer = await home.send_request("set_remark", asked)
    assert answer["code"] == "rate_limited"
    assert answer["retry_after"] >= 30
    again = await home.send_request("set_remark", asked)
    assert again["code"] == "rate_limited"
    assert again["retry_after"] <= answer["retry_after"]
    assert await calls(home, "webwxoplog") == 1
    expired = await home.send_command("wife", {"text": "impatient", "id": "impatient", "ttl": 0.3})
    assert outcome(expired) == ("expired", "rate_limited", False)
    assert await sent(home) == []


async def test_results_wait_for_a_broker_that_dies_and_nothing_is_sent_twice(home: Home):
    with Subscriber(
        home.broker.port, "wx/result/#", client_id="patient-subscriber", session_seconds=600
    ) as subscriber:
        await home.log_in()
        await home.control.post("fault", endpoint="webwxsendmsg", kind="late", value=0.5, times=2)
        for number in range(6):
            await home.publish(
                f"wx/out/{('wife', '妈妈')[number % 2]}", {"text": f"held {number}", "id": f"h{number}"}
            )
        await home.control.wait("calls:webwxsendmsg:2")
        await home.in_thread(home.broker.kill)
        assert len(await home.control.sent(6)) == 6
        await home.in_thread(home.broker.start)
        for number in range(6):
            topic = f"wx/result/{('wife', '妈妈')[number % 2]}"
            result = await home.in_thread(subscriber.wait_body, topic, id=f"h{number}")
            assert outcome(result) == ("sent", "ok", False)
    assert len(await sent(home)) == 6


async def test_commands_that_the_broker_queued_while_the_bridge_was_away_are_sent_in_order(home: Home):
    await home.log_in()
    await home.in_thread(home.bridge.stop)
    for number in range(20):
        await home.publish("wx/out/wife", f"kept {number}")
    await home.publish("wx/out/wife", "{")
    await home.restart()
    results = await home.in_thread(home.subscriber.wait_count, "wx/result/wife", 21)
    assert [message.body["status"] for message in results].count("sent") == 20
    assert [text for _, text in await sent(home)] == [f"kept {number}" for number in range(20)]


async def test_a_command_that_expired_at_the_broker_is_not_sent(home: Home):
    await home.log_in()
    await home.in_thread(home.bridge.stop)
    await home.publish("wx/out/wife", {"text": "for a second", "id": "x"}, MessageExpiryInterval=1)
    await home.publish("wx/out/wife", {"text": "for long", "id": "y"}, MessageExpiryInterval=600)
    await home.publish("tick", "for two seconds", MessageExpiryInterval=2, retain=True)
    while await home.in_thread(is_retained, home, "tick"):
        pass
    await home.restart()
    assert outcome(await home.body("wx/result/wife", id="y")) == ("sent", "ok", False)
    assert await sent(home) == [("wife", "for long")]


def is_retained(home: Home, topic: str) -> bool:
    """Returns whether the broker still has a retained message of this topic."""
    with Subscriber(home.broker.port, topic, "mark") as subscriber:
        subscriber.publish("mark", b"")
        subscriber.wait("mark")
        return bool(subscriber.on(topic))


async def test_two_accounts_take_only_the_commands_of_their_own_topics(home: Home):
    office_broker = {**home.settings()["accounts"]["home"], "base_topic": "office"}
    home.bridge.configure(
        {**home.settings(), "accounts": {**home.settings()["accounts"], "office": office_broker}}
    )
    home.bridge.start()
    await home.body("office/login/state", state="waiting_for_scan")
    code = await home.in_thread(home.subscriber.wait, "wx/login/url", lambda message: bool(message.payload))
    for login_step in ("scan", "confirm"):
        await home.control.post(login_step, uuid=code.payload.decode().rpartition("/")[2])
    await home.body("wx/login/state", state="online")
    for topic in ("office/in/wife", "office", "office/bridge/state", "wx/last"):
        sent_all_the_same = await home.send_command("wife", {"text": "x", "id": topic}, ResponseTopic=topic)
        assert sent_all_the_same["code"] == "bad_response_topic"
    await home.publish("office/out/wife", {"text": "from the office", "id": "same", "ttl": 0.05})
    await home.publish("wx/out/wife", {"text": "from home", "id": "same"})
    assert (await home.body("office/result/wife", id="same"))["account"] == "office"
    assert (await home.body("wx/result/wife", id="same"))["account"] == "home"


async def test_results_and_refusals_are_in_chinese_with_that_language(home: Home):
    home.bridge.configure(home.settings(language="zh"))
    await home.log_in()
    assert (await home.send_command("wife", "你好"))["message"] == "微信已接收消息"
    assert (await home.send_command("wife", ""))["message"] == "没有要发送的文字"
    assert (await home.send_command("nobody", "x"))[
        "message"
    ] == "没有名为“nobody”的联系人；名单见 wx/contacts"
    assert "text/plain" in (await home.send_command("wife", "{"))["message"]
    assert "未知的请求" in (await home.send_request("what"))["error"]
    await home.control.post("fault", endpoint="webwxsendmsg", kind="ret", value=1204)
    refused = await home.send_command("wife", "refused")
    assert any("\u4e00" <= sign <= "\u9fff" for sign in refused["message"])


async def test_commands_to_an_ambiguous_contact_wait_until_the_owner_decides(home: Home):
    await home.log_in()
    assert (await home.send_command("小明", "are you the one"))["status"] == "sent"
    since = home.subscriber.count
    await home.control.post("logout", retcode=1101)
    await home.body("wx/login/state", state="waiting_for_scan", since=since)
    for namesake in ("twin1", "twin2"):
        await home.control.post("people", avatar={"id": namesake})
    await home.publish("wx/out/小明", {"text": "accepted before it was doubtful", "id": "before"})
    await scan(home)
    waited = await home.body("wx/result/小明", id="before", since=since)
    assert (waited["status"], waited["code"]) == ("rejected", "unresolved_user")
    refused = await home.send_command("小明", {"text": "who are you", "id": "after"})
    assert (refused["status"], refused["code"]) == ("rejected", "unresolved_user")
    assert "request/assign" in refused["message"]
    report = await home.body("wx/event/unresolved", user="小明", since=since)
    newcomer = report["candidates"][0]
    assert (await home.send_command(newcomer, "you are somebody new"))["status"] == "sent"
    assert (await home.send_request("assign", {"user": "小明", "to": newcomer}))["status"] == "ok"
    for name in ("小明", newcomer):
        assert (await home.send_command(name, f"to {name}, who is certain now"))["status"] == "sent"
    to = [to for to, text in await sent(home) if "certain" in text or "somebody new" in text]
    assert len(to) == 3
    assert len(set(to)) == 1


async def test_a_result_goes_only_to_a_response_topic_that_the_file_allows(home: Home):
    def configure(*filters: str) -> None:
        settings = home.settings()
        home.bridge.configure({**settings, "mqtt": {**settings["mqtt"], "response_topics": [*filters]}})

    configure("reply/#")
    await home.log_in()
    since = home.subscriber.count
    report = await home.send_command("wife", {"text": "x", "id": "1"}, ResponseTopic="zigbee2mqtt/door/set")
    assert (report["status"], report["code"]) == ("sent", "bad_response_topic")
    assert (await home.send_request("health", ResponseTopic="zigbee2mqtt/door/set"))[
        "code"
    ] == "bad_response_topic"
    await home.send_command("wife", {"text": "y", "id": "2"}, ResponseTopic="reply/me")
    assert (await home.body("reply/me", id="2"))["status"] == "sent"
    configure("zigbee2mqtt/+/set")
    answer = await home.send_request("reload")
    assert answer["data"] == {"applied": ["mqtt.response_topics"], "needs_restart": []}
    await home.send_command("wife", {"text": "z", "id": "3"}, ResponseTopic="zigbee2mqtt/door/set")
    assert (await home.body("zigbee2mqtt/door/set", id="3"))["status"] == "sent"
    assert [
        message.body["id"]
        for message in home.subscriber.received[since:]
        if message.topic.startswith("zigbee2mqtt")
    ] == ["3"]
