"""Two bridges on one database: an account runs on exactly one of them, and moves without a scan."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest_asyncio

from tests.scenarios.test_backup import wx2mqtt
from tests.support.broker import DURABLE, mosquitto
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.home import Home
from tests.support.ilink_home import PEOPLE, ILinkControl
from tests.support.postgresql import LOGIN_KEY, address, new_database
from tests.support.process import BridgeProcess
from tests.support.subscriber import ReceivedMessage, Subscriber
from wx2mqtt.cli.operations import EXIT_CONFIGURATION
from wx2mqtt.simulator.server import Simulator

ROOT = Path(__file__).parents[2]
BASES = {"one": "wx", "two": "wx/two"}


class ClusterHome(Home):
    """Two accounts on iLink, and the bridges `east` and `west` on one database; `controls` by account."""

    def __init__(
        self, folder: Path, simulators: dict[str, Simulator], broker: Any, subscriber: Subscriber
    ) -> None:
        self.simulators = simulators
        super().__init__(folder, simulators["one"], broker, subscriber)
        self.url = new_database()
        self.controls = {name: ILinkControl(simulator.url) for name, simulator in simulators.items()}
        self.east, self.west = (self._bridge(name) for name in ("east", "west"))

    def _bridge(self, instance: str) -> BridgeProcess:
        return BridgeProcess(self.folder / instance, self.settings_of(instance))

    def settings_of(self, instance: str, **storage: str) -> dict[str, Any]:
        """Returns the configuration of an instance, with other keys of `storage` where they are given."""
        accounts = {
            name: {
                "backend": "ilink",
                "endpoint": simulator.url,
                "contacts": PEOPLE,
                "send": {"per_minute": 0},
            }
            for name, simulator in self.simulators.items()
        }
        store = self.folder / instance / "store"
        return {
            "mqtt": {"url": self.broker.url},
            "accounts": accounts,
            "storage": {"path": str(store), "url": self.url, "key": LOGIN_KEY, **storage},
            "cluster": {"instance": instance},
        }

    async def log_in(self) -> None:
        """Starts `east` alone, and scans for both accounts."""
        since = self.subscriber.count
        self.east.start()
        for control in self.controls.values():
            await control.wait("code")
            await control.post("ilink/scan")
            await control.post("ilink/confirm")
        for name in BASES:
            await self.wait_until_runs(name, "east", since)

    async def wait_until_runs(self, account: str, instance: str, since: int) -> None:
        """Waits until an account is online on an instance."""
        base = BASES[account]
        await self.body(f"{base}/bridge/info", instance=instance, since=since)
        await self.body(f"{base}/login/state", state="online", since=since)
        await self.in_thread(
            self.subscriber.wait,
            f"{base}/bridge/state",
            lambda received: received.payload == b"online",
            since=since,
        )

    async def assert_works(self, account: str, word: str) -> None:
        """Asserts that a message comes in and a command goes out."""
        base, control = BASES[account], self.controls[account]
        await control.write(f"{word} in")
        await self.body(f"{base}/in/me", text=f"{word} in")
        await self.publish(f"{base}/out/me", {"text": f"{word} out", "id": word})
        await self.body(f"{base}/result/me", id=word, status="sent")

    def received_on(self, topic: str, since: int = 0) -> list[ReceivedMessage]:
        return [received for received in self.subscriber.received[since:] if received.topic == topic]

    def owners(self) -> dict[str, str]:
        """Returns the instance of each account, as its latest `bridge/info` names it."""
        return {
            name: self.received_on(f"{base}/bridge/info")[-1].body["instance"] for name, base in BASES.items()
        }

    async def wait_until_spread(self, since: int, instance: str = "west") -> str:
        """Waits until each instance runs one account; returns the account of `instance`, which had none."""
        moved = await self.in_thread(
            self.subscriber.wait,
            "#",
            lambda received: (
                received.topic.endswith("/bridge/info") and received.body["instance"] == instance
            ),
            since=since,
        )
        account = next(name for name, base in BASES.items() if moved.topic == f"{base}/bridge/info")
        await self.wait_until_runs(account, instance, since)
        return account

    def assert_nobody_scanned(self, since: int) -> None:
        """Asserts that nobody was asked to scan, each message has its number, and each command one result."""
        for base in BASES.values():
            states = {received.body["state"] for received in self.received_on(f"{base}/login/state", since)}
            assert not states & {"waiting_for_scan", "logged_out", "refused"}, states
            # What a killed instance published last may come again, and is the same then.
            messages = dict.fromkeys(
                (received.body["seq"], received.body["id"]) for received in self.received_on(f"{base}/in/me")
            )
            assert [seq for seq, _ in messages] == list(range(1, len(messages) + 1))
            results = {received.payload for received in self.received_on(f"{base}/result/me")}
            assert len(results) == len({json.loads(payload)["id"] for payload in results})
            assert self.received_on(f"{base}/bridge/state")[-1].payload == b"online"

    async def close(self) -> None:
        for bridge in (self.east, self.west):
            bridge.close()
        for control in self.controls.values():
            await control.close()
        await super().close()


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[ClusterHome]:
    async with AsyncExitStack() as stack:
        simulators = {name: await stack.enter_async_context(Simulator()) for name in BASES}
        broker = stack.enter_context(mosquitto(tmp_path / "mosquitto", DURABLE))
        home = ClusterHome(tmp_path, simulators, broker, stack.enter_context(Subscriber(broker.port)))
        stack.push_async_callback(home.close)
        for control in home.controls.values():
            await control.post("settings", strict=True)
            await control.post("ilink/settings", hold_updates=2.0, hold_status=2.0)
        try:
            yield home
            for control in home.controls.values():
                assert await control.get("violations") == []
        except BaseException:
            for bridge in (home.east, home.west):
                print("\n".join(bridge.log[-60:]))  # noqa: T201 - pytest shows it with the failure
            raise


async def test_accounts_move_to_an_instance_that_joins_and_back_from_one_that_leaves(
    home: ClusterHome,
) -> None:
    await home.log_in()
    for name in BASES:
        await home.assert_works(name, f"{name} alone")
    since = home.subscriber.count
    home.west.start()
    moved = await home.wait_until_spread(since)
    for name in BASES:
        await home.assert_works(name, f"{name} shared")
    code, out, errors = await wx2mqtt(home.west, "cluster", "--json")
    assert code == 0, errors
    report = json.loads(out)
    assert {row["account"]: row["instance"] for row in report["accounts"]} == {
        name: "west" if name == moved else "east" for name in BASES
    }
    assert [(row["instance"], row["state"], row["accounts"]) for row in report["instances"]] == [
        ("east", "running", 1),
        ("west", "running", 1),
    ]
    for bridge in (home.east, home.west):  # each asks the other one where it does not run the account
        for name in BASES:
            code, out, errors = await wx2mqtt(bridge, "journal", "list", "--all", "--json", "--account", name)
            assert (code, f"{name} shared" in out.decode()) == (0, True), errors
    since_stop = home.subscriber.count
    assert home.west.stop() == 0
    await home.wait_until_runs(moved, "east", since_stop)
    await home.assert_works(moved, f"{moved} back")
    home.assert_nobody_scanned(since)
    states = [received.payload for received in home.received_on(f"{BASES[moved]}/bridge/state", since_stop)]
    # `west` repeats its own `online` a few seconds after it took the account, which may be now.
    assert states[states.index(b"offline") :][:2] == [b"offline", b"online"]


async def test_a_drained_instance_gives_its_accounts_to_the_others(home: ClusterHome) -> None:
    await home.log_in()
    refused = await wx2mqtt(home.east, "cluster", "drain")
    assert (refused[0], "no other instance" in refused[2]) == (1, True)
    since = home.subscriber.count
    home.west.start()
    moved = await home.wait_until_spread(since)
    since_drain = home.subscriber.count
    code, _, errors = await wx2mqtt(home.east, "cluster", "drain")
    assert code == 0, errors
    (stayed,) = BASES.keys() - {moved}
    await home.wait_until_runs(stayed, "west", since_drain)
    for name in BASES:
        await home.assert_works(name, f"{name} drained")
    code, _, errors = await wx2mqtt(home.east, "healthcheck")
    assert code == 0, "an instance without accounts is well"

    # Neither a lost connection nor a restart ends the drain.
    log_length = len(home.east.log)
    with psycopg.connect(home.url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(instance.pid) FROM instance WHERE name = 'east'",
        )
    await home.in_thread(home.east.wait_for_log, "connection to the database lost", since=log_length)
    await wait_until_draining(home, "east")
    assert home.east.stop() == 0
    home.east.start()
    await wait_until_draining(home, "east")
    since_undrain = home.subscriber.count
    code, _, errors = await wx2mqtt(home.east, "cluster", "undrain")
    assert code == 0, errors
    await home.wait_until_spread(since_undrain, "east")
    home.assert_nobody_scanned(since)


async def wait_until_draining(home: ClusterHome, instance: str) -> None:
    """Waits until an instance takes part again, as one that takes no accounts."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while True:
            code, out, errors = await wx2mqtt(home.west, "cluster", "--json")
            assert code == 0, errors
            states = {row["instance"]: row for row in json.loads(out)["instances"]}
            row = states.get(instance, {"state": "gone"})
            if row["state"] not in {"gone", "silent"}:
                assert (row["state"], row["accounts"]) == ("draining", 0)
                return


async def test_the_accounts_of_a_killed_instance_run_elsewhere(home: ClusterHome) -> None:
    await home.log_in()
    since = home.subscriber.count
    home.west.start()
    moved = await home.wait_until_spread(since)
    await home.assert_works(moved, "before")
    since_kill = home.subscriber.count
    home.west.kill()
    await home.controls[moved].write("meanwhile")
    await home.wait_until_runs(moved, "east", since_kill)
    await home.body(f"{BASES[moved]}/in/me", text="meanwhile", since=since_kill)
    for name in BASES:
        await home.assert_works(name, f"{name} after")
    home.assert_nobody_scanned(since)


async def test_a_stopped_instance_is_replaced_and_does_nothing_when_it_goes_on(home: ClusterHome) -> None:
    await home.log_in()
    since = home.subscriber.count
    home.west.start()
    moved = await home.wait_until_spread(since)
    await home.assert_works(moved, "before")
    since_stop = home.subscriber.count
    os.kill(home.west.pid, signal.SIGSTOP)
    try:
        await home.wait_until_runs(moved, "east", since_stop)
        await home.controls[moved].write("meanwhile")
        await home.body(f"{BASES[moved]}/in/me", text="meanwhile", since=since_stop)
        since_resume = home.subscriber.count
    finally:
        os.kill(home.west.pid, signal.SIGCONT)
    await home.in_thread(home.west.wait_for_log, "connection to the database lost")
    moved_again = await home.wait_until_spread(since_resume)  # it takes part anew
    for name in BASES:
        await home.assert_works(name, f"{name} after")
    home.assert_nobody_scanned(since)
    owners = [
        received.body["instance"] for received in home.received_on(f"{BASES[moved]}/bridge/info", since_stop)
    ]
    assert owners[0] == "east"
    assert moved_again in BASES


async def test_all_accounts_go_on_after_the_database_was_away(home: ClusterHome) -> None:
    await home.log_in()
    since = home.subscriber.count
    home.west.start()
    await home.wait_until_spread(since)
    since_loss = home.subscriber.count
    name = psycopg.conninfo.conninfo_to_dict(home.url)["dbname"]
    with psycopg.connect(address("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        for bridge in (home.east, home.west):
            await home.in_thread(bridge.wait_for_log, "database cannot be opened yet")
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    for base in BASES.values():
        await home.in_thread(
            home.subscriber.wait,
            f"{base}/bridge/state",
            lambda received: received.payload == b"offline",
            since=since_loss,
        )
        await home.in_thread(
            home.subscriber.wait,
            f"{base}/bridge/state",
            lambda received: received.payload == b"online",
            since=since_loss,
        )
    for name in BASES:
        await home.assert_works(name, f"{name} after")
    home.assert_nobody_scanned(since)
    assert set(home.owners().values()) <= {"east", "west"}


OTHER_KEY = base64.b64encode(bytes(range(1, 33))).decode()


async def test_an_instance_with_another_key_takes_no_account_and_ends_with_78(home: ClusterHome) -> None:
    """A good instance that is idle does not make a difference: the key is compared with the database's own."""
    await home.log_in()
    since = home.subscriber.count
    home.west.configure(home.settings_of("west", key=OTHER_KEY))
    home.west.start()
    code = await asyncio.to_thread(home.west.wait)
    assert code == EXIT_CONFIGURATION, home.west.log
    (log_line,) = [line for line in home.west.log if "encrypted with another key" in line]
    assert "storage.key: " in log_line
    assert not [line for line in home.west.log if "account taken" in line]
    assert home.east.stop() == 0
    code, _, errors = await wx2mqtt(home.west, "journal", "list")
    assert (code, "storage.key" in errors) == (EXIT_CONFIGURATION, True), errors
    code, out, _ = await wx2mqtt(home.west, "check", "--connect", "--json")
    rows = {row["check"]: row for row in json.loads(out)["rows"]}
    assert (code, rows["key"]["verdict"]) == (1, "failed")
    since_restart = home.subscriber.count
    home.east.start()
    for account in BASES:
        await home.wait_until_runs(account, "east", since_restart)
    home.assert_nobody_scanned(since)


async def test_a_reload_with_a_key_that_is_not_the_databases_ends_the_instance_with_78(
    home: ClusterHome,
) -> None:
    """The instance ends in order: the other one has its accounts at once, without a scan."""
    await home.log_in()
    since = home.subscriber.count
    home.west.start()
    moved = await home.wait_until_spread(since)
    since_reload = home.subscriber.count
    home.west.configure(home.settings_of("west", key=OTHER_KEY))
    home.west.hangup()
    assert await asyncio.to_thread(home.west.wait) == EXIT_CONFIGURATION
    assert [line for line in home.west.log if "storage.key" in line and "another key" in line]
    await home.wait_until_runs(moved, "east", since_reload)
    await home.assert_works(moved, f"{moved} after")
    home.assert_nobody_scanned(since)


async def test_the_key_is_replaced_by_the_steps_of_the_page(home: ClusterHome) -> None:
    """Two instances run all the time, on one PostgreSQL; each has its own folder in place of /etc/wx2mqtt."""
    new_key, on_each, replace, on_each_again = shell_blocks("Replace the key")
    bridges = {"east": home.east, "west": home.west}
    for name, bridge in bridges.items():
        file = bridge.folder / "storage.key"
        file.touch(mode=0o600)
        file.write_text(LOGIN_KEY)
        bridge.configure(with_key_file(home.settings_of(name), file))
    await home.log_in()
    since = home.subscriber.count
    home.west.start()
    await home.wait_until_spread(since)

    async def run(script: str, bridge: BridgeProcess) -> tuple[int, str]:
        since_restart, log_length = home.subscriber.count, len(bridge.log)
        done = await asyncio.to_thread(run_script, script, bridge.folder)
        if "systemctl restart wx2mqtt" in script:
            assert bridge.stop() == 0
            bridge.start()
            await home.in_thread(bridge.wait_for_log, "account taken", since=log_length)
            for base in BASES.values():
                await home.body(f"{base}/bridge/health", state="online", since=since_restart)
        return done.returncode, done.stdout + done.stderr

    assert (await run(new_key, home.east))[0] == 0
    for copied in ("storage.key.new", "storage.key.both"):
        shutil.copy(home.east.folder / copied, home.west.folder / copied)
    assert await run(on_each, home.east) == (0, "")
    code, output = await run(replace, home.east)
    assert (code, "these instances do not have the new key: west" in output) == (1, True), output
    assert await run(on_each, home.west) == (0, "")
    code, output = await run(replace, home.east)
    assert (code, "encrypted with it: 2 (one, two)" in output) == (0, True), output
    for bridge in bridges.values():
        assert await run(on_each_again, bridge) == (0, "")
        assert (bridge.folder / "storage.key").read_text() != LOGIN_KEY
    for name in BASES:
        await home.assert_works(name, f"{name} after")
    home.assert_nobody_scanned(since)
    assert not [line for bridge in bridges.values() for line in bridge.log if "configuration differs" in line]
    assert await asyncio.to_thread(exit_code_with_old_key, home) == EXIT_CONFIGURATION


async def test_a_lost_key_is_replaced_and_every_account_is_scanned_again(home: ClusterHome) -> None:
    await home.log_in()
    assert home.east.stop() == 0
    home.west.configure(home.settings_of("west", key=OTHER_KEY))
    code, _, errors = await wx2mqtt(home.west, "cluster", "rotate-key")
    assert (code, "encrypted with another key" in errors) == (EXIT_CONFIGURATION, True), errors
    code, out, errors = await wx2mqtt(home.west, "cluster", "rotate-key", "--forget-logins")
    assert (code, "saved logins deleted: 2 (one, two)" in out.decode()) == (0, True), errors
    since = home.subscriber.count
    home.west.start()
    for base in BASES.values():
        await home.body(f"{base}/login/state", state="waiting_for_scan", since=since)


async def test_a_reload_takes_over_a_second_key(home: ClusterHome) -> None:
    await home.log_in()
    home.east.configure(home.settings_of("east", key=f"{OTHER_KEY}\n{LOGIN_KEY}"))
    home.east.hangup()
    line = await home.in_thread(home.east.wait_for_log, '"reloaded"')
    assert (json.loads(line)["applied"], json.loads(line)["needs_restart"]) == (["storage.key"], [])
    code, out, errors = await wx2mqtt(home.east, "cluster", "rotate-key")
    assert (code, "encrypted with it: 2 (one, two)" in out.decode()) == (0, True), errors
    code, out, _ = await wx2mqtt(home.east, "cluster", "rotate-key")
    assert (code, "nothing was changed" in out.decode()) == (0, True)
    for name in BASES:
        await home.assert_works(name, f"{name} after")


def shell_blocks(heading: str) -> list[str]:
    """Returns the blocks of shell below a heading of the page about several machines."""
    page = (ROOT / "docs/en/operation/cluster.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [textwrap.dedent(block) for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)]


def run_script(script: str, etc: Path) -> subprocess.CompletedProcess[str]:
    """Runs a block of the page with the programs of this environment, and without systemd."""
    text = script.replace("/opt/wx2mqtt/bin/", f"{Path(sys.executable).parent}/")
    text = text.replace("/etc/wx2mqtt/", f"{etc}/").replace("systemctl restart wx2mqtt", "")
    return subprocess.run(["bash", "-e", "-c", text], capture_output=True, text=True)


def with_key_file(settings: dict[str, Any], file: Path) -> dict[str, Any]:
    storage = {name: value for name, value in settings["storage"].items() if name != "key"}
    return {**settings, "storage": {**storage, "key_file": str(file)}}


def exit_code_with_old_key(home: ClusterHome) -> int:
    """Starts an instance that still has the old key; returns its exit code."""
    third = BridgeProcess(home.folder / "third", home.settings_of("third"))
    return third.start().wait()
