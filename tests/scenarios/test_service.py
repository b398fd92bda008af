"""The bridge as a service: readiness, watchdog, an orderly stop, and its state for other programs."""

from __future__ import annotations

import asyncio
import copy
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.scenarios.login_helpers import STATE, ask, states_since
from tests.scenarios.test_backup import wx2mqtt
from tests.support.broker import free_port
from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.home import Home
from tests.support.service_manager import ServiceManager
from tests.support.terminal import Terminal

BRIDGE, HEALTH, INFO = "wx/bridge/state", "wx/bridge/health", "wx/bridge/info"
STOPS_WITHIN = 5.0  # seconds that an orderly stop may take


def rfc3339(text: str) -> float:
    assert text.endswith("Z")
    assert text[-5] == ".", "milliseconds"
    return datetime.fromisoformat(text).timestamp()


async def stop_bridge(home: Home) -> tuple[int, float]:
    """Stops the bridge in order; returns the exit code and how long it took."""
    started_at = time.monotonic()
    code = await home.in_thread(home.bridge.stop)
    return code, time.monotonic() - started_at


# what systemd hears


async def test_systemd_is_notified_of_each_state_from_ready_to_stopping(home: Home):
    with ServiceManager(home.folder, watchdog=2) as manager:
        home.bridge.start(**manager.env)
        await home.in_thread(manager.wait, "READY", "1")
        await home.in_thread(manager.wait, "STATUS", "home: waiting_for_scan")
        await home.control.wait("code")
        await home.control.post("scan")
        await home.control.post("confirm")
        status = await home.in_thread(manager.wait, "STATUS", "home: online")
        assert "王小明" in status
        assert "no broker" not in status
        since = len(manager.received)
        home.bridge.hangup()
        await home.in_thread(manager.wait, "RELOADING", "1", since=since)
        assert int(await home.in_thread(manager.wait, "MONOTONIC_USEC", since=since)) > 0
        await home.in_thread(manager.wait, "READY", "1", since=since)
        assert await home.in_thread(home.bridge.stop) == 0
        assert "STOPPING" in manager.names
        assert manager.names.index("READY") < manager.names.index("STOPPING")


async def test_the_watchdog_is_notified_at_half_its_interval(home: Home):
    with ServiceManager(home.folder, watchdog=1) as manager:
        home.bridge.start(**manager.env)
        await home.in_thread(manager.wait, "READY", "1")
        for _ in range(6):
            await home.in_thread(manager.wait, "WATCHDOG", since=len(manager.received), timeout=allowed(2))
        times = manager.times("WATCHDOG")
        assert max(b - a for a, b in pairwise(times)) < allowed(0.95)
        assert await home.in_thread(home.bridge.stop) == 0


async def test_a_broker_that_is_away_does_not_keep_the_service_from_being_ready(home: Home):
    home.broker.stop()
    with ServiceManager(home.folder, watchdog=2) as manager:
        home.bridge.start(**manager.env)
        await home.in_thread(manager.wait, "READY", "1")
        await home.in_thread(manager.wait, "STATUS", "no broker")
        since = len(manager.received)
        await home.in_thread(manager.wait, "WATCHDOG", since=since)
        home.broker.start()
        await home.in_thread(manager.wait, "STATUS", "waiting_for_scan (scan the QR code", since=since)
        code, took = await stop_bridge(home)
        assert (code, took < allowed(STOPS_WITHIN)) == (0, True)


# stopping


async def test_a_stop_publishes_its_states_in_order_and_takes_no_time(home: Home):
    await home.log_in()
    since = home.subscriber.count
    code, took = await stop_bridge(home)
    assert code == 0
    assert took < allowed(2)
    messages_at_stop = [
        (message.topic, message.payload)
        for message in home.subscriber.received[since:]
        if message.topic in (STATE, BRIDGE)
    ]
    assert [topic for topic, _ in messages_at_stop] == [STATE, BRIDGE]
    assert home.subscriber.on(STATE)[-1].body["state"] == "stopped"
    assert messages_at_stop[-1] == (BRIDGE, b"offline")


async def test_a_stop_is_over_in_time_whatever_hangs(home: Home):
    await home.log_in()
    for endpoint in ("webwxsendmsg", "synccheck", "webwxlogout"):
        await home.control.post("fault", endpoint=endpoint, kind="hang", times=0)
    await home.in_thread(home.subscriber.publish, "wx/out/wife", "never answered")
    await home.control.wait("calls:webwxsendmsg:1")
    home.broker.pause()
    try:
        code, took = await stop_bridge(home)
    finally:
        home.broker.resume()
    assert code == 0
    assert took < allowed(STOPS_WITHIN)
    await home.control.post("fault/clear")
    home.bridge.start()
    result = await home.body("wx/result/wife")
    assert (result["status"], result["duplicate_possible"]) == ("sent", True)


@pytest.mark.parametrize("when", ["at once", "with a code", "broker away"])
async def test_a_stop_at_an_awkward_moment_is_in_order(home: Home, when: str):
    if when == "broker away":
        home.broker.stop()
    home.bridge.start()
    if when == "with a code":
        await home.control.wait("code")
    else:
        await home.in_thread(home.bridge.wait_for_log, "The store is")
    code, took = await stop_bridge(home)
    assert (code, took < allowed(STOPS_WITHIN)) == (0, True)
    if when == "broker away":
        home.broker.start()


async def test_after_a_kill_the_broker_publishes_the_will(home: Home):
    await home.log_in()
    await home.in_thread(home.subscriber.wait, BRIDGE, lambda message: message.payload == b"online")
    since = home.subscriber.count
    home.bridge.kill()
    will = await home.in_thread(home.subscriber.wait, BRIDGE, since=since)
    assert will.payload == b"offline"
    await home.restart()
    await home.in_thread(
        home.subscriber.wait, BRIDGE, lambda message: message.payload == b"online", since=since
    )


async def test_the_bridge_state_online_is_published_after_the_state_of_the_login(home: Home):
    await home.log_in()
    await home.in_thread(home.bridge.stop)
    since = home.subscriber.count
    home.bridge.start()
    await home.in_thread(
        home.subscriber.wait, BRIDGE, lambda message: message.payload == b"online", since=since
    )
    topics = [message.topic for message in home.subscriber.received[since:]]
    first = topics[: topics.index(BRIDGE)]
    assert {STATE, "wx/login/qr", "wx/contacts", INFO} <= set(first)
    await home.in_thread(
        home.subscriber.wait, HEALTH, lambda message: message.body["broker"]["connected"], since=since
    )


# health and info


async def test_health_has_the_state_and_the_time_of_the_next_report(home: Home):
    await home.log_in()
    await home.control.say("wife", "hello")
    health = await home.body(HEALTH, healthy=True)
    assert (health["schema"], health["account"], health["state"]) == (1, "home", "online")
    assert health["problems"] == []
    assert 0 < rfc3339(health["next_before"]) - rfc3339(health["time"]) <= 60
    assert health["broker"]["connected"] is True
    assert set(health["queues"]) >= {"to_mqtt", "to_wechat", "set_aside", "dropped"}
    assert health["store"]["limit"] == 2_000_000_000
    assert health["wechat"]["last_answer_age"] >= 0
    answer = await ask(home, "health")
    assert answer["data"]["state"] == "online"
    since = home.subscriber.count
    again = await home.in_thread(home.subscriber.wait_body, HEALTH, since=since)
    assert rfc3339(again["time"]) <= rfc3339(home.subscriber.on(HEALTH)[-2].body["next_before"])


async def test_health_names_problems(home: Home):
    home.bridge.start()
    waiting = await home.body(HEALTH, problems=["login_waiting_for_scan"])
    assert waiting["healthy"] is False


async def test_healthcheck_reports_health_and_liveness_to_a_container(home: Home):
    pipe = Terminal(home.folder)

    async def code(*options: str) -> int:
        done = await home.in_thread(pipe.run, "healthcheck", "-c", home.bridge.config, *options)
        assert "Traceback" not in done.err
        return done.code

    assert [await code(), await code("--live")] == [1, 1]
    home.bridge.start()
    await home.body(STATE, state="waiting_for_scan")
    assert [await code(), await code("--live")] == [1, 0]
    await home.control.wait("code")
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.body(STATE, state="online")
    assert [await code(), await code("--live")] == [0, 0]
    home.broker.stop()
    await home.in_thread(home.bridge.wait_for_log, "no connection to the broker")
    assert [await code(), await code("--live")] == [1, 0]
    home.broker.start()


async def test_info_describes_the_bridge_without_secrets(home: Home):
    home.broker.configure("allow_anonymous false\npassword_file {folder}/passwords")
    settings = home.settings(web={"token": "page-secret-4711"})
    settings["mqtt"] |= {"username": "bridge", "password": "broker-secret-4711"}
    home.bridge.configure(settings)
    home.bridge.start()
    info = await home.body(INFO)
    assert (info["schema"], info["account"], info["backend"]) == (1, "home", "webwx")
    assert info["version"]
    assert info["stream"]
    assert info["mqtt_protocol"] == "5"
    assert info["capabilities"]["groups"] is True
    assert info["settings"]["send"]["per_minute"] == 0
    assert "4711" not in str(info)
    assert any("web.token" in warning for warning in info["warnings"])


async def test_the_log_level_changes_while_it_runs(home: Home):
    home.bridge.configure({**home.settings(), "log": {"level": "error", "format": "json"}})
    await home.log_in()
    lines = len(home.bridge.log)
    assert (await ask(home, "log_level", level="debug"))["status"] == "ok"
    await ask(home, "logout")
    assert any('"event": "login"' in line for line in home.bridge.log[lines:])
    assert (await ask(home, "log_level", level="loud"))["code"] == "bad_request"


# a store that is full


def settings_of_a_small_store(home: Home, size: str) -> dict[str, Any]:
    settings = home.settings()
    return {**settings, "storage": {"path": str(home.bridge.store), "max_size": size}}


def write_large_file(store: Path, size: int) -> Path:
    """Writes a large file into the store, as another program might."""
    large_file = store / "a-large-file"
    large_file.write_bytes(bytes(size))
    return large_file


@pytest.mark.in_folder
async def test_a_full_store_receives_nothing_rejects_commands_and_goes_on_when_there_is_room(home: Home):
    await home.log_in()
    await home.control.say("wife", "before")
    await home.body("wx/in/wife", text="before")
    await home.in_thread(home.bridge.stop)
    large_file = write_large_file(home.bridge.store, 8_000_000)
    home.bridge.configure(settings_of_a_small_store(home, "8MB"))
    since = home.subscriber.count
    home.bridge.start()
    state = await home.body(STATE, state="interrupted", since=since)
    assert "8 MB" in state["reason"]
    assert state["needs"] == "nothing"
    await home.control.say("wife", "while it was full")
    await home.in_thread(home.subscriber.say, "wx/out/wife", {"text": "no room", "id": "c1"})
    result = await home.body("wx/result/wife", since=since)
    assert (result["status"], result["code"], result["id"]) == ("rejected", "storage_full", "c1")
    health = await home.body(HEALTH, since=since, state="interrupted")
    assert "store_full" in health["problems"]
    assert "online" not in await states_since(home, since)
    with_room = home.subscriber.count
    large_file.unlink()
    home.bridge.configure(settings_of_a_small_store(home, "80MB"))
    home.bridge.hangup()
    await home.body("wx/in/wife", text="while it was full")
    await home.body(STATE, state="online", since=with_room)  # it may follow the message
    assert (await states_since(home, since))[-1] == "online"
    assert [message.body["seq"] for message in home.subscriber.on("wx/in/wife")] == [1, 2]


# a file that is refused


async def test_a_refused_reload_is_reported_everywhere_until_a_successful_one(home: Home):
    """The reload changes nothing, so only these messages show that the file and the bridge differ."""
    settings = {**home.settings(), "web": {"listen": f"127.0.0.1:{free_port()}"}}
    home.bridge.configure(settings)
    address = f"http://{settings['web']['listen']}"
    with ServiceManager(home.folder) as manager:
        home.bridge.start(**manager.env)
        await home.control.wait("code")
        await home.control.post("scan")
        await home.control.post("confirm")
        await home.body(STATE, state="online")
        before = await metrics_after_reload(address, successful=1.0)

        since, notified_before = home.subscriber.count, len(manager.received)
        faulty = copy.deepcopy(settings)
        faulty["accounts"]["home"]["sned"] = {}
        home.bridge.configure(faulty)
        home.bridge.hangup()
        text = "the configuration file was refused at the last reload"
        status = await home.in_thread(manager.wait, "STATUS", text, since=notified_before)
        assert status.count(text) == 1
        assert "home: online" in status
        state = await home.body(STATE, state="online", since=since)
        assert text in state["reason"]
        assert "accounts.home.sned" in state["reason"]
        health = await home.body(HEALTH, problems=["reload_refused"], healthy=False, since=since)
        assert health["state"] == "online"
        refused = await metrics_after_reload(address, successful=0.0)
        key = "wx2mqtt_config_last_reload_success_timestamp_seconds"
        assert refused[key] == before[key]
        async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
            page = (await client.get("/")).text
            assert "The changed configuration cannot be used" in page
            for path in ("/livez", "/healthz"):
                assert (await client.get(path)).status_code == 200, "a restart would end it with this file"
        for option in ([], ["--live"]):
            code, out, complaint = await wx2mqtt(home.bridge, "healthcheck", *option)
            assert (code, out.decode()) == (0, "well\n"), complaint

        since, notified_before = home.subscriber.count, len(manager.received)
        home.bridge.configure(settings)
        assert (await ask(home, "reload"))["status"] == "ok"
        assert text not in (await home.body(STATE, state="online", since=since))["reason"]
        await home.body(HEALTH, problems=[], healthy=True, since=since)
        await home.in_thread(manager.wait, "STATUS", "home: online", since=notified_before)
        accepted = await metrics_after_reload(address, successful=1.0)
        assert accepted[key] > before[key]
        assert home.bridge.stop() == 0


async def metrics_after_reload(address: str, *, successful: float) -> dict[str, float]:
    """Waits until the metrics report this result of the reload, up to a second later; returns those without labels."""
    async with asyncio.timeout(MAX_WAIT_SECONDS), httpx.AsyncClient(trust_env=False) as client:
        while True:
            text = (await client.get(f"{address}/metrics")).text
            lines = [line.split(" ") for line in text.splitlines() if line and not line.startswith("#")]
            metrics = {name: float(value) for name, value, *_ in lines if "{" not in name}
            if metrics["wx2mqtt_config_last_reload_successful"] == successful:
                return metrics
