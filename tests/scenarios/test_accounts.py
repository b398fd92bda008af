"""Several accounts in one process: a fault of one account does not affect the others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.scenarios.test_backup import wx2mqtt
from tests.support.faulty_bridge import FAILING_TEXT
from tests.support.multi_account_home import BASES, FAULTY_PROGRAM, MultiAccountHome, at_multi_account_home
from tests.support.process import BridgeProcess
from tests.support.terminal import Terminal

REFUSES_OFFICE = """
allow_anonymous true
acl_file {folder}/acl
"""
ACL = """
topic readwrite #
topic deny wx/office/in/#
topic deny wx/office/result/#
"""


@pytest.fixture
async def home(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[MultiAccountHome]:
    async with at_multi_account_home(tmp_path) as home:
        yield home


async def test_each_account_has_its_own_topics_login_and_health_and_a_restart_needs_no_scan(
    home: MultiAccountHome,
):
    await home.log_in()
    await home.assert_works("home", "one")
    await home.assert_works("office", "one")
    await home.bot.write("from the bot's person")
    await home.body("wx/bot/in/me", text="from the bot's person", account="bot", seq=1)
    for name, base in BASES.items():
        assert (await home.body(f"{base}/bridge/info"))["account"] == name
        assert (await home.body(f"{base}/login/state", state="online"))["account"] == name
    since = home.subscriber.count
    assert await home.in_thread(home.bridge.stop) == 0
    for base in BASES.values():
        await home.in_thread(
            home.subscriber.wait,
            f"{base}/bridge/state",
            lambda message: message.payload == b"offline",
            since=since,
        )
    since = home.subscriber.count
    home.bridge.start()
    await home.wait_until_online(since)
    await home.assert_works("home", "two")
    await home.assert_works("office", "two")
    assert {(await control.get("state"))["calls"]["jslogin"] for control in home.controls.values()} == {1}


async def test_a_fault_of_the_bridge_ends_one_account_which_reports_it_and_starts_again(
    home: MultiAccountHome,
):
    home.bridge = BridgeProcess(home.folder / "bridge", home.settings_of(*BASES), program=FAULTY_PROGRAM)
    await home.log_in()
    await home.assert_works("home", "before")
    since = home.subscriber.count
    await home.office.say("wife", FAILING_TEXT)
    offline = await home.in_thread(
        home.subscriber.wait,
        "wx/office/bridge/state",
        lambda message: message.payload == b"offline",
        since=since,
    )
    assert offline.retain is False
    state = await home.body("wx/office/login/state", state="stopped", since=since)
    assert "fault" in state["reason"]
    health = await home.in_thread(
        home.subscriber.wait,
        "wx/office/bridge/health",
        lambda message: "account_failed" in message.body["problems"],
        since=since,
    )
    assert health.body["faults"] == 1
    await home.wait_until_online(since, "office")
    await home.body("wx/office/in/wife", text=FAILING_TEXT, since=since)
    await home.assert_works("office", "after")
    await home.assert_works("home", "after")
    assert (await home.answer_of("office", "health"))["faults"] == 1
    assert (await home.answer_of("home", "health"))["faults"] == 0
    assert home.states("home", since) == []
    assert (await home.office.get("state"))["calls"]["jslogin"] == 1
    assert sum("account failed" in line for line in home.bridge.log) == 1
    assert FAILING_TEXT not in "\n".join(home.bridge.log)


async def test_a_command_that_was_accepted_before_the_fault_is_sent_once_after_it(home: MultiAccountHome):
    home.bridge = BridgeProcess(home.folder / "bridge", home.settings_of(*BASES), program=FAULTY_PROGRAM)
    await home.log_in()
    since = home.subscriber.count
    await home.office.post("fault", endpoint="webwxsendmsg", kind="status", value=503)
    await home.publish("wx/office/out/wife", {"text": "it waits", "id": "w"})
    await home.office.wait("calls:webwxsendmsg:1")
    await home.office.say("wife", FAILING_TEXT)
    await home.body("wx/office/result/wife", id="w", status="sent", since=since)
    await home.assert_works("office", "after")
    assert [message["text"] for message in await home.office.sent(2)] == ["it waits", "after out"]


async def test_the_bridge_stops_in_order_while_one_account_is_down(home: MultiAccountHome):
    home.bridge = BridgeProcess(home.folder / "bridge", home.settings_of(*BASES), program=FAULTY_PROGRAM)
    await home.log_in()
    since = home.subscriber.count
    await home.office.say("wife", FAILING_TEXT)
    await home.in_thread(home.bridge.wait_for_log, "account is begun again")
    assert await home.in_thread(home.bridge.stop) == 0
    for base in BASES.values():
        await home.in_thread(
            home.subscriber.wait,
            f"{base}/bridge/state",
            lambda message: message.payload == b"offline",
            since=since,
        )


async def test_a_refused_login_of_one_account_does_not_affect_the_others(home: MultiAccountHome):
    await home.office.post("settings", refuse_login="refused")
    since = home.subscriber.count
    home.bridge.start()
    await home.scan_all()
    await home.body("wx/office/login/state", state="refused", since=since)
    await home.wait_until_online(since, "home", "bot")
    await home.assert_works("home", "still")
    assert "login_refused" in (await home.answer_of("office", "health"))["problems"]


@pytest.mark.parametrize(
    "fault",
    [
        {"endpoint": "*", "kind": "hang"},
        {"endpoint": "*", "kind": "status", "value": 503},
        {"endpoint": "webwxsync", "kind": "garbage"},
    ],
    ids=["hangs", "fails", "talks nonsense"],
)
async def test_failing_servers_of_one_account_do_not_affect_the_others(
    home: MultiAccountHome, fault: dict[str, object]
):
    await home.log_in()
    since = home.subscriber.count
    await home.office.post("fault", times=0, **fault)
    await home.publish("wx/office/out/wife", {"text": "it waits", "id": "w"})
    for number in range(3):
        await home.assert_works("home", f"meanwhile {number}")
    assert home.states("home", since) == []
    await home.office.post("fault/clear")


async def test_a_used_up_quota_of_one_account_does_not_affect_the_others(home: MultiAccountHome):
    await home.bot.post("ilink/settings", quota=2)
    await home.log_in()
    await home.bot.write("hello")
    await home.body("wx/bot/in/me", text="hello")
    since = home.subscriber.count
    for number in range(5):
        await home.publish("wx/bot/out/me", f"{number}")
    assert len(await home.bot.bot_sent(2)) == 2
    await home.assert_works("home", "one")
    await home.assert_works("office", "one")
    assert [home.states(name, since) for name in BASES] == [[], [], []]


async def test_a_broker_that_refuses_the_topics_of_one_account_takes_those_of_the_others(
    with_mosquitto: None, tmp_path: Path
):
    (tmp_path / "mosquitto").mkdir()
    (tmp_path / "mosquitto" / "acl").write_text(ACL)
    async with at_multi_account_home(tmp_path, REFUSES_OFFICE) as home:
        await home.log_in()
        await home.office.say("wife", "nobody hears it")
        for number in range(3):
            await home.assert_works("home", f"well {number}")
        health = await home.in_thread(
            home.subscriber.wait,
            "wx/office/bridge/health",
            lambda message: "broker_refuses_topics" in message.body["problems"],
        )
        assert health.body["broker"]["refused_topics"] == ["wx/office/in/wife"]


async def test_an_added_account_needs_a_restart_and_the_others_keep_their_logins(home: MultiAccountHome):
    home.bridge.configure(home.settings_of("home"))
    since = home.subscriber.count
    home.bridge.start()
    await home.control.wait("code")
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.wait_until_online(since, "home")
    home.bridge.configure(home.settings_of("office", "home"))
    assert await home.answer_of("home", "reload") == {"applied": [], "needs_restart": ["accounts.office"]}
    await home.assert_works("home", "one")
    await home.in_thread(home.bridge.stop)
    since = home.subscriber.count
    home.bridge.start()
    await home.office.wait("code")
    await home.body("wx/office/login/state", state="waiting_for_scan", account="office", since=since)
    await home.wait_until_online(since, "home")
    await home.assert_works("home", "two")
    assert (await home.answer_of("office", "log_level", {"level": "info"})) == {"level": "info"}
    home.bridge.configure(home.settings_of("home", "office", language="zh"))
    assert await home.answer_of("office", "reload") == {"applied": ["language"], "needs_restart": []}
    home.bridge.configure(home.settings_of("home"))
    assert (await home.answer_of("office", "reload"))["needs_restart"] == ["accounts.office"]
    assert json.loads(home.subscriber.on("wx/bridge/info")[-1].payload)["account"] == "home"


async def test_the_command_line_reaches_each_account_beside_the_bridge_and_without_it(
    home: MultiAccountHome, tmp_path: Path
):
    folder = tmp_path / "terminal"
    folder.mkdir()
    terminal = Terminal(folder)

    async def run(*arguments: str, code: int = 0) -> str:
        done = await home.in_thread(terminal.run, *arguments, "-c", str(home.bridge.config))
        assert done.code == code, done
        return str(done.out) + str(done.err)

    await home.log_in()
    await home.office.post("fault", endpoint="webwxsendmsg", kind="ret", value=1204)
    await home.publish("wx/office/out/wife", {"text": "x", "id": "failed"})
    await home.body("wx/office/result/wife", id="failed", status="failed")
    for _ in ("beside it", "without it"):
        assert json.loads(await run("journal", "list", "--json"))["commands"] == []
        (listed,) = json.loads(await run("journal", "list", "--json", "--account", "office"))["commands"]
        assert listed["id"] == "failed"
        people = json.loads(await run("people", "list", "--json", "--account", "bot"))["people"]
        assert [person["user"] for person in people] == ["me"]
        assert "home, office, bot" in await run("people", "list", "--account", "garden", code=1)
        if home.bridge.running:
            await run("healthcheck")
            assert "logged in" in await run("login", "office")
            await home.office.post("logout")
            await home.body("wx/office/login/state", state="waiting_for_scan")
            assert "office: login_waiting_for_scan" in await run("healthcheck", code=1)
            await run("healthcheck", "--account", "home")
            await run("healthcheck", "--live")
            await home.in_thread(home.bridge.stop)


async def test_an_account_that_was_removed_is_purged_and_the_others_stay(
    home: MultiAccountHome, tmp_path: Path
):
    folder = tmp_path / "terminal"
    folder.mkdir()
    await home.log_in()
    await home.in_thread(home.bridge.stop)
    home.bridge.configure(home.settings_of("home", "bot"))
    since = home.subscriber.count
    home.bridge.start()
    await home.wait_until_online(since, "home", "bot")
    since = home.subscriber.count
    command = ("purge", "office", "--yes", "-c", str(home.bridge.config))
    assert (await home.in_thread(Terminal(folder).run, *command)).code == 0
    cleared = {message.topic for message in home.subscriber.received[since:] if not message.payload}
    assert "wx/office/bridge/state" in cleared
    assert all(topic.startswith("wx/office/") for topic in cleared)
    await home.assert_works("home", "still")


# Loggers of the whole process, whose lines need not name an account.
PROCESS_LOGGERS = ("wx2mqtt.app.", "wx2mqtt.web.", "wx2mqtt.mqtt.embedded", "wx2mqtt.store.", "wx2mqtt.cli.")


async def test_each_line_of_the_log_about_an_account_names_it(home: MultiAccountHome):
    """So do the lines of its threads, and of calls by the process, a socket or a page."""
    await home.log_in()
    for name in ("home", "office"):
        await home.assert_works(name, "one")
        await home.controls[name].say("wife", kind="image")
        await home.publish(f"{BASES[name]}/out/nobody", {"text": "x", "id": "n"})
        await home.body(f"{BASES[name]}/result/nobody", id="n", status="rejected")
    await home.answer_of("office", "reload")
    code, _, errors = await wx2mqtt(home.bridge, "journal", "retry", "n", "--account", "office")
    assert code == 1, errors
    since = home.subscriber.count
    await home.office.post("logout")
    await home.body("wx/office/login/state", needs="scan", since=since)
    assert await home.in_thread(home.bridge.stop) == 0
    lines = [json.loads(line) for line in home.bridge.log if line.startswith("{")]
    lines_without_account = {
        (line["logger"], line["event"])
        for line in lines
        if not line["logger"].startswith(PROCESS_LOGGERS) and line.get("account") not in BASES
    }
    assert lines_without_account == set()
    assert {line["account"] for line in lines if line["logger"].startswith("wx2mqtt.mqtt.")} == set(BASES)
    (reloaded,) = [line for line in lines if line["event"] == "reloaded"]
    assert "account" not in reloaded, "it concerns all accounts"
    assert {line["account"] for line in lines if line["event"] == "login"} == set(BASES)
