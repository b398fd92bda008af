"""`bridge/request/<name>` on the whole bridge: everything that can be asked, and what is wrongly asked."""

from __future__ import annotations

import pytest
import yaml

from tests.support.postgresql import storage_settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

KNOWN = ("assign", "contacts", "health", "log_level", "login", "logout", "reload", "send")
ACTIONS = ("mark_read", "set_remark", "accept_friend", "group")


# the names


async def test_health_is_answered(shared_home):
    answer = await shared_home.send_request("health", {"transaction": "h"})
    assert (answer["status"], answer["transaction"]) == ("ok", "h")
    assert (answer["data"]["state"], answer["data"]["healthy"]) == ("online", True)


async def test_contacts_are_answered_completely_or_filtered(shared_home):
    all_contacts = (await shared_home.send_request("contacts"))["data"]
    assert all_contacts["count"] == len(all_contacts["contacts"])
    assert {"wife", "family", "filehelper"} <= {contact["user"] for contact in all_contacts["contacts"]}
    found = (await shared_home.send_request("contacts", {"query": "老婆"}))["data"]["contacts"]
    assert [contact["user"] for contact in found] == ["wife"]
    assert (found[0]["trusted"], found[0]["matched_by"]) == (True, "pin")
    groups = (await shared_home.send_request("contacts", {"kind": "group"}))["data"]["contacts"]
    assert {contact["kind"] for contact in groups} == {"group"}
    page = (await shared_home.send_request("contacts", {"limit": 2, "offset": 1}))["data"]
    assert page["contacts"] == all_contacts["contacts"][1:3]
    assert page["count"] == all_contacts["count"]


@pytest.mark.parametrize(
    "fields", [{"limit": -1}, {"limit": "2"}, {"offset": 1.5}, {"query": 7}, {"kind": []}, {"limit": True}]
)
async def test_a_contradictory_contacts_request_is_a_bad_request(shared_home, fields):
    answer = await shared_home.send_request("contacts", fields)
    assert (answer["status"], answer["code"]) == ("error", "bad_request")
    assert next(iter(fields)) in answer["error"]


async def test_login_while_online_answers_with_the_state(shared_home):
    answer = await shared_home.send_request("login", {"transaction": 1})
    assert answer["status"] == "ok"
    assert answer["data"]["state"] == "online"


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
async def test_the_log_level_can_be_requested(shared_home, level):
    assert (await shared_home.send_request("log_level", {"level": level}))["data"] == {"level": level}


@pytest.mark.parametrize("level", [None, "loud", 7, ["debug"], {"a": 1}, "DEBUG"])
async def test_an_unknown_log_level_is_refused(shared_home, level):
    answer = await shared_home.send_request("log_level", {} if level is None else {"level": level})
    assert (answer["status"], answer["code"]) == ("error", "bad_request")
    assert "debug, info, warning or error" in answer["error"]


async def test_a_send_is_answered_with_its_result(shared_home):
    since = shared_home.subscriber.count
    answer = await shared_home.send_request(
        "send", {"user": "wife", "text": "by request", "id": "req-1", "transaction": [1]}
    )
    result = await shared_home.body("wx/result/wife", id="req-1", since=since)
    assert answer == {"status": "ok", "data": result, "transaction": [1]}
    assert result["status"] == "sent"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"text": "x"}, "bad_command"),
        ({"user": "nobody", "text": "x"}, "unknown_user"),
        ({"user": "wife", "text": ""}, "empty"),
        ({"user": "wife", "tetx": "x"}, "bad_request"),
        ({"user": "#", "text": "x"}, "bad_command"),
        ({"user": "a/b", "text": "x"}, "bad_command"),
        ({"user": "wife", "kind": "image"}, "bad_command"),
        ({"user": "wife", "kind": "image", "data": "AAAA"}, "bad_file"),
    ],
)
async def test_a_send_that_cannot_be_is_an_error(shared_home, fields, code):
    answer = await shared_home.send_request("send", {**fields, "transaction": 2})
    assert (answer["status"], answer["code"], answer["transaction"]) == ("error", code, 2)
    health = (await shared_home.send_request("health"))["data"]
    assert health["problems"] == ["commands_failed"], "no topic is refused for that"


async def test_assign_names_a_person_who_is_unknown_or_has_no_open_decision(shared_home):
    answer = await shared_home.send_request("assign", {"user": "nobody", "to": "wife"})
    assert (answer["code"], "nobody" in answer["error"]) == ("unknown_user", True)
    assert (await shared_home.send_request("assign", {"user": "wife", "to": "妈妈"}))["code"] == "bad_request"
    assert (await shared_home.send_request("assign", {"user": "wife"}))["code"] == "bad_request"


# what is wrongly asked


@pytest.mark.parametrize("name", ["nothing", "health/more", "HEALTH", "", "历史"])
async def test_an_unknown_name_gets_an_error_that_names_those_that_are_known(shared_home, name):
    answer = await shared_home.send_request(name, {"transaction": 3})
    assert (answer["status"], answer["code"], answer["transaction"]) == ("error", "unknown_request", 3)
    assert all(known in answer["error"] for known in KNOWN)


@pytest.mark.parametrize(
    "payload", ["[]", "x", "{", b"\xff", "1", '"health"', "null", '{"transaction": 1e999}']
)
async def test_a_payload_that_is_no_object_is_a_bad_request(shared_home, payload):
    answer = await shared_home.send_request("health", payload)
    assert (answer["status"], answer["code"]) == ("error", "bad_request")


@pytest.mark.parametrize("name", [*KNOWN, "recall", "history", "media", *ACTIONS])
async def test_an_unknown_key_is_a_bad_request_that_names_it(shared_home, name):
    answer = await shared_home.send_request(name, {"bogus": 1, "transaction": 4})
    assert (answer["status"], answer["code"], answer["transaction"]) == ("error", "bad_request", 4)
    assert "'bogus'" in answer["error"]
    assert (await shared_home.send_request("health"))["data"]["state"] == "online"


async def test_a_deeply_nested_transaction_is_refused_and_the_bridge_goes_on(shared_home):
    deep = '{"transaction": ' + "[" * 900 + "]" * 900 + "}"
    assert (await shared_home.send_request("health", deep))["code"] == "bad_request"
    assert (await shared_home.send_request("health", '{"transaction": [[[[1]]]]}'))["transaction"] == [
        [[[1]]]
    ]


async def test_the_answer_goes_to_the_response_topic_too(shared_home):
    answer = await shared_home.send_request(
        "log_level", {"level": "debug"}, ResponseTopic="me/level", CorrelationData=b"\1"
    )
    assert await shared_home.body("me/level") == answer
    assert shared_home.subscriber.on("me/level")[0].properties["CorrelationData"] == "01"


@pytest.mark.parametrize("topic", ["wx/bridge/state", "homeassistant/x", "$SYS/x"])
async def test_an_answer_is_not_sent_to_a_forbidden_response_topic(shared_home, topic):
    answer = await shared_home.send_request("log_level", {"level": "debug"}, ResponseTopic=topic)
    assert answer["code"] == "bad_response_topic"


# reload


def configure(home, account=None, **top):
    home.bridge.configure(home.settings(account, **top))


async def test_a_reload_applies_what_can_change_and_names_the_rest(shared_home):
    try:
        configure(
            shared_home,
            {"send": {"allow": ["wife"], "per_minute": 0}, "expect": {"nickname": "我"}},
            language="zh",
            mqtt={"url": shared_home.broker.url, "keepalive": 17},
        )
        data = (await shared_home.send_request("reload"))["data"]
        assert data["applied"] == ["accounts.home.send.allow", "language"]
        assert data["needs_restart"] == ["accounts.home.expect.nickname", "mqtt.keepalive"]
        refused = await shared_home.send_command("filehelper", "not to you any more")
        assert (refused["code"], refused["message"]) == ("not_allowed", "send.allow 中没有“filehelper”")
        assert (await shared_home.send_command("wife", "but to you"))["message"] == "微信已接收消息"
        again = (await shared_home.send_request("reload"))["data"]
        assert again["applied"] == []
        assert again["needs_restart"] == data["needs_restart"], "they are still not in force"
    finally:
        configure(shared_home)
        await shared_home.send_request("reload")
    assert (await shared_home.send_command("filehelper", "to you again"))["status"] == "sent"


async def test_a_bad_file_changes_nothing_and_every_problem_is_named(shared_home):
    good = shared_home.bridge.config.read_text()
    try:
        bad = {**yaml.safe_load(good), "language": "zh", "nonsense": 1, "log": {"level": "loud"}}
        shared_home.bridge.config.write_text(yaml.safe_dump(bad))
        answer = await shared_home.send_request("reload", {"transaction": 9})
        assert (answer["status"], answer["code"], answer["transaction"]) == ("error", "bad_request", 9)
        assert "nonsense" in answer["error"]
        assert "level" in answer["error"]
        assert (await shared_home.send_command("wife", "as before"))["message"] == "WeChat took the message"
    finally:
        shared_home.bridge.config.write_text(good)


async def test_sighup_reloads_the_file(shared_home):
    since = len(shared_home.bridge.log)
    try:
        configure(shared_home, {"send": {"allow": ["wife"], "per_minute": 0}})
        shared_home.bridge.hangup()
        await shared_home.in_thread(shared_home.bridge.wait_for_log, '"reloaded"', since=since)
        assert (await shared_home.send_command("filehelper", "not by hangup"))["code"] == "not_allowed"
    finally:
        configure(shared_home)
        await shared_home.send_request("reload")


async def test_a_reload_changes_the_rate_limit_of_the_owner(shared_home):
    try:
        configure(shared_home, {"send": {"per_minute": 1, "burst": 2, "ttl": "1s"}})
        await shared_home.send_request("reload")
        for number in range(3):  # what was sent before counts, so that perhaps none of them goes through
            await shared_home.publish("wx/out/wife", {"text": f"limited {number}", "id": f"limited-{number}"})
        results = [await shared_home.body("wx/result/wife", id=f"limited-{number}") for number in range(3)]
        assert (results[-1]["status"], results[-1]["code"]) == ("expired", "rate_limited")
        assert 0 < results[-1]["retry_after"] <= 60
        assert "send.per_minute" in results[-1]["message"]
    finally:
        configure(shared_home)
        await shared_home.send_request("reload")


async def test_a_full_store_takes_no_command_until_there_is_room(shared_home):
    try:
        configure(shared_home, storage={**storage_settings(shared_home.bridge.store), "max_size": "100kB"})
        assert (await shared_home.send_request("reload"))["data"]["applied"] == ["storage.max_size"]
        refused = await shared_home.send_command("wife", {"text": "no room", "id": "room"})
        assert (refused["status"], refused["code"]) == ("rejected", "storage_full")
        health = (await shared_home.send_request("health"))["data"]
        assert "store_full" in health["problems"]
    finally:
        configure(shared_home)
        await shared_home.send_request("reload")
    assert (await shared_home.send_command("wife", {"text": "room again", "id": "room2"}))["status"] == "sent"


# last, since it logs out


async def test_after_logout_nothing_is_received_and_login_gives_a_code(shared_home):
    since = shared_home.subscriber.count
    answer = await shared_home.send_request("logout")
    assert (answer["status"], answer["data"]["state"], answer["data"]["needs"]) == (
        "ok",
        "logged_out",
        "relogin",
    )
    assert (await shared_home.send_request("logout"))["data"]["state"] == "logged_out"
    expired = await shared_home.send_command("wife", {"text": "nobody is there", "ttl": 0.1})
    assert (expired["status"], expired["code"]) == ("expired", "logged_out")
    await shared_home.send_request("login")
    await shared_home.body("wx/login/state", state="waiting_for_scan", since=since)
    await shared_home.control.post("scan")
    await shared_home.control.post("confirm")
    await shared_home.body("wx/login/state", state="online", since=since)
    await shared_home.control.wait("polling")
    assert (await shared_home.send_command("wife", "there again"))["status"] == "sent"
