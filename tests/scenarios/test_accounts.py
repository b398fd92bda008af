"""Several accounts in one process: each is its own, and the trouble of one is nobody else's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.scenarios.test_backup import wx2mqtt
from tests.support.faulty import POISON
from tests.support.process import BridgeProcess
from tests.support.terminal import Terminal
from tests.support.town import BASES, FAULTY, Town, running_town

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
async def town(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[Town]:
    async with running_town(tmp_path) as town:
        yield town


async def test_each_has_its_topics_its_login_its_health_and_all_come_back_without_a_scan(town: Town):
    await town.log_in()
    await town.is_well("home", "one")
    await town.is_well("office", "one")
    await town.bot.write("from the bot's person")
    await town.body("wx/bot/in/me", text="from the bot's person", account="bot", seq=1)
    for name, base in BASES.items():
        assert (await town.body(f"{base}/bridge/info"))["account"] == name
        assert (await town.body(f"{base}/login/state", state="online"))["account"] == name
    since = town.subscriber.count
    assert await town.in_thread(town.bridge.stop) == 0
    for base in BASES.values():
        await town.in_thread(
            town.subscriber.wait, f"{base}/bridge/state", lambda one: one.payload == b"offline", since=since
        )
    since = town.subscriber.count
    town.bridge.start()
    await town.all_online(since)
    await town.is_well("home", "two")
    await town.is_well("office", "two")
    assert {(await control.get("state"))["calls"]["jslogin"] for control in town.controls.values()} == {1}


async def test_a_fault_of_ours_ends_one_account_alone_which_says_so_and_begins_again(town: Town):
    town.bridge = BridgeProcess(town.folder / "bridge", town.of(*BASES), program=FAULTY)
    await town.log_in()
    await town.is_well("home", "before")
    since = town.subscriber.count
    await town.office.say("wife", POISON)
    gone = await town.in_thread(
        town.subscriber.wait, "wx/office/bridge/state", lambda one: one.payload == b"offline", since=since
    )
    assert gone.retain is False
    said = await town.body("wx/office/login/state", state="stopped", since=since)
    assert "fault" in said["reason"]
    health = await town.in_thread(
        town.subscriber.wait,
        "wx/office/bridge/health",
        lambda one: "account_failed" in one.body["problems"],
        since=since,
    )
    assert health.body["faults"] == 1
    await town.all_online(since, "office")
    await town.body("wx/office/in/wife", text=POISON, since=since)
    await town.is_well("office", "after")
    await town.is_well("home", "after")
    assert (await town.asked("office", "health"))["faults"] == 1
    assert (await town.asked("home", "health"))["faults"] == 0
    assert town.states("home", since) == []
    assert (await town.office.get("state"))["calls"]["jslogin"] == 1
    assert sum("account failed" in line for line in town.bridge.log) == 1
    assert POISON not in "\n".join(town.bridge.log)


async def test_what_was_accepted_before_the_fault_is_sent_after_it_once(town: Town):
    town.bridge = BridgeProcess(town.folder / "bridge", town.of(*BASES), program=FAULTY)
    await town.log_in()
    since = town.subscriber.count
    await town.office.post("fault", endpoint="webwxsendmsg", kind="status", value=503)
    await town.publish("wx/office/out/wife", {"text": "it waits", "id": "w"})
    await town.office.wait("calls:webwxsendmsg:1")
    await town.office.say("wife", POISON)
    await town.body("wx/office/result/wife", id="w", status="sent", since=since)
    await town.is_well("office", "after")
    assert [one["text"] for one in await town.office.sent(2)] == ["it waits", "after out"]


async def test_a_stop_while_one_account_is_down_is_in_order(town: Town):
    town.bridge = BridgeProcess(town.folder / "bridge", town.of(*BASES), program=FAULTY)
    await town.log_in()
    since = town.subscriber.count
    await town.office.say("wife", POISON)
    await town.in_thread(town.bridge.wait_for_log, "account is begun again")
    assert await town.in_thread(town.bridge.stop) == 0
    for base in BASES.values():
        await town.in_thread(
            town.subscriber.wait, f"{base}/bridge/state", lambda one: one.payload == b"offline", since=since
        )


async def test_a_login_that_is_refused_is_nobody_elses(town: Town):
    await town.office.post("settings", refuse_login="refused")
    since = town.subscriber.count
    town.bridge.start()
    await town.scan_all()
    await town.body("wx/office/login/state", state="refused", since=since)
    await town.all_online(since, "home", "bot")
    await town.is_well("home", "still")
    assert "login_refused" in (await town.asked("office", "health"))["problems"]


@pytest.mark.parametrize(
    "fault",
    [
        {"endpoint": "*", "kind": "hang"},
        {"endpoint": "*", "kind": "status", "value": 503},
        {"endpoint": "webwxsync", "kind": "garbage"},
    ],
    ids=["hangs", "fails", "talks nonsense"],
)
async def test_servers_in_trouble_are_those_of_one_account(town: Town, fault: dict[str, object]):
    await town.log_in()
    since = town.subscriber.count
    await town.office.post("fault", times=0, **fault)
    await town.publish("wx/office/out/wife", {"text": "it waits", "id": "w"})
    for number in range(3):
        await town.is_well("home", f"meanwhile {number}")
    assert town.states("home", since) == []
    await town.office.post("fault/clear")


async def test_a_quota_that_is_used_up_is_that_of_one_account(town: Town):
    await town.bot.post("ilink/settings", quota=2)
    await town.log_in()
    await town.bot.write("hello")
    await town.body("wx/bot/in/me", text="hello")
    since = town.subscriber.count
    for number in range(5):
        await town.publish("wx/bot/out/me", f"{number}")
    assert len(await town.bot.bot_sent(2)) == 2
    await town.is_well("home", "one")
    await town.is_well("office", "one")
    assert [town.states(name, since) for name in BASES] == [[], [], []]


async def test_a_broker_that_refuses_the_topics_of_one_takes_those_of_the_others(
    with_mosquitto: None, tmp_path: Path
):
    (tmp_path / "mosquitto").mkdir()
    (tmp_path / "mosquitto" / "acl").write_text(ACL)
    async with running_town(tmp_path, REFUSES_OFFICE) as town:
        await town.log_in()
        await town.office.say("wife", "nobody hears it")
        for number in range(3):
            await town.is_well("home", f"well {number}")
        health = await town.in_thread(
            town.subscriber.wait,
            "wx/office/bridge/health",
            lambda one: "broker_refuses_topics" in one.body["problems"],
        )
        assert health.body["broker"]["refused_topics"] == ["wx/office/in/wife"]


async def test_who_is_added_moves_nobody_and_a_reload_says_what_needs_a_restart(town: Town):
    town.bridge.configure(town.of("home"))
    since = town.subscriber.count
    town.bridge.start()
    await town.control.wait("code")
    await town.control.post("scan")
    await town.control.post("confirm")
    await town.all_online(since, "home")
    town.bridge.configure(town.of("office", "home"))
    assert await town.asked("home", "reload") == {"applied": [], "needs_restart": ["accounts.office"]}
    await town.is_well("home", "one")
    await town.in_thread(town.bridge.stop)
    since = town.subscriber.count
    town.bridge.start()
    await town.office.wait("code")
    await town.body("wx/office/login/state", state="waiting_for_scan", account="office", since=since)
    await town.all_online(since, "home")
    await town.is_well("home", "two")
    assert (await town.asked("office", "log_level", {"level": "info"})) == {"level": "info"}
    town.bridge.configure(town.of("home", "office", language="zh"))
    assert await town.asked("office", "reload") == {"applied": ["language"], "needs_restart": []}
    town.bridge.configure(town.of("home"))
    assert (await town.asked("office", "reload"))["needs_restart"] == ["accounts.office"]
    assert json.loads(town.subscriber.on("wx/bridge/info")[-1].payload)["account"] == "home"


async def test_the_command_line_reaches_each_account_beside_the_bridge_and_without_it(
    town: Town, tmp_path: Path
):
    folder = tmp_path / "terminal"
    folder.mkdir()
    terminal = Terminal(folder)

    async def run(*arguments: str, code: int = 0) -> str:
        done = await town.in_thread(terminal.run, *arguments, "-c", str(town.bridge.config))
        assert done.code == code, done
        return str(done.out) + str(done.err)

    await town.log_in()
    await town.office.post("fault", endpoint="webwxsendmsg", kind="ret", value=1204)
    await town.publish("wx/office/out/wife", {"text": "x", "id": "failed"})
    await town.body("wx/office/result/wife", id="failed", status="failed")
    for _ in ("beside it", "without it"):
        assert json.loads(await run("journal", "list", "--json"))["commands"] == []
        (listed,) = json.loads(await run("journal", "list", "--json", "--account", "office"))["commands"]
        assert listed["id"] == "failed"
        people = json.loads(await run("people", "list", "--json", "--account", "bot"))["people"]
        assert [one["user"] for one in people] == ["me"]
        assert "home, office, bot" in await run("people", "list", "--account", "garden", code=1)
        if town.bridge.running:
            await run("healthcheck")
            assert "logged in" in await run("login", "office")
            await town.office.post("logout")
            await town.body("wx/office/login/state", state="waiting_for_scan")
            assert "office: login_waiting_for_scan" in await run("healthcheck", code=1)
            await run("healthcheck", "--account", "home")
            await run("healthcheck", "--live")
            await town.in_thread(town.bridge.stop)


async def test_one_that_was_taken_out_is_purged_and_the_others_stay(town: Town, tmp_path: Path):
    folder = tmp_path / "terminal"
    folder.mkdir()
    await town.log_in()
    await town.in_thread(town.bridge.stop)
    town.bridge.configure(town.of("home", "bot"))
    since = town.subscriber.count
    town.bridge.start()
    await town.all_online(since, "home", "bot")
    since = town.subscriber.count
    command = ("purge", "office", "--yes", "-c", str(town.bridge.config))
    assert (await town.in_thread(Terminal(folder).run, *command)).code == 0
    cleared = {one.topic for one in town.subscriber.received[since:] if not one.payload}
    assert "wx/office/bridge/state" in cleared
    assert all(topic.startswith("wx/office/") for topic in cleared)
    await town.is_well("home", "still")


# Loggers of the whole process.
PROCESS = ("wx2mqtt.app.", "wx2mqtt.web.", "wx2mqtt.mqtt.embedded", "wx2mqtt.store.", "wx2mqtt.cli.")


async def test_each_line_of_the_log_about_an_account_names_it(town: Town):
    """In its tasks, in the threads that they start, and where the process, a socket or a page calls it."""
    await town.log_in()
    for name in ("home", "office"):
        await town.is_well(name, "one")
        await town.controls[name].say("wife", kind="image")
        await town.publish(f"{BASES[name]}/out/nobody", {"text": "x", "id": "n"})
        await town.body(f"{BASES[name]}/result/nobody", id="n", status="rejected")
    await town.asked("office", "reload")
    code, _, said = await wx2mqtt(town.bridge, "journal", "retry", "n", "--account", "office")
    assert code == 1, said
    seen = town.subscriber.count
    await town.office.post("logout")
    await town.body("wx/office/login/state", needs="scan", since=seen)
    assert await town.in_thread(town.bridge.stop) == 0
    lines = [json.loads(line) for line in town.bridge.log if line.startswith("{")]
    without = {
        (line["logger"], line["event"])
        for line in lines
        if not line["logger"].startswith(PROCESS) and line.get("account") not in BASES
    }
    assert without == set()
    assert {line["account"] for line in lines if line["logger"].startswith("wx2mqtt.mqtt.")} == set(BASES)
    (reloaded,) = [line for line in lines if line["event"] == "reloaded"]
    assert "account" not in reloaded, "it concerns all accounts"
    assert {line["account"] for line in lines if line["event"] == "login"} == set(BASES)
