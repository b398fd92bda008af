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


class SharedHome(Home):
    """Two accounts on iLink, and the bridges `east` and `west` on one database; `phones` by account."""

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
        """The configuration of an instance, with other keys of `storage` where they are given."""
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
            await self.runs(name, "east", since)

    async def runs(self, account: str, instance: str, since: int) -> None:
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

    async def works(self, account: str, word: str) -> None:
        """A message comes in, and a command goes out."""
        base, control = BASES[account], self.controls[account]
        await control.write(f"{word} in")
        await self.body(f"{base}/in/me", text=f"{word} in")
        await self.publish(f"{base}/out/me", {"text": f"{word} out", "id": word})
        await self.body(f"{base}/result/me", id=word, status="sent")

    def heard_of(self, topic: str, since: int = 0) -> list[ReceivedMessage]:
        return [received for received in self.subscriber.received[since:] if received.topic == topic]

    def owners(self) -> dict[str, str]:
        """Which instance each account runs on, by what it said last."""
        return {
            name: self.heard_of(f"{base}/bridge/info")[-1].body["instance"] for name, base in BASES.items()
        }

    async def spread(self, since: int, instance: str = "west") -> str:
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
        await self.runs(account, instance, since)
        return account

    def no_scan(self, since: int) -> None:
        """Nobody was asked to scan; each message has its number, and each command one result."""
        for base in BASES.values():
            states = {received.body["state"] for received in self.heard_of(f"{base}/login/state", since)}
            assert not states & {"waiting_for_scan", "logged_out", "refused"}, states
            # What a killed instance published last may come again, and is the same then.
            messages = dict.fromkeys(
                (received.body["seq"], received.body["id"]) for received in self.heard_of(f"{base}/in/me")
            )
            assert [seq for seq, _ in messages] == list(range(1, len(messages) + 1))
            results = {received.payload for received in self.heard_of(f"{base}/result/me")}
            assert len(results) == len({json.loads(payload)["id"] for payload in results})
            assert self.heard_of(f"{base}/bridge/state")[-1].payload == b"online"

    async def close(self) -> None:
        for bridge in (self.east, self.west):
            bridge.close()
        for control in self.controls.values():
            await control.close()
        await super().close()


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[SharedHome]:
    async with AsyncExitStack() as stack:
        simulators = {name: await stack.enter_async_context(Simulator()) for name in BASES}
        broker = stack.enter_context(mosquitto(tmp_path / "mosquitto", DURABLE))
        home = SharedHome(tmp_path, simulators, broker, stack.enter_context(Subscriber(broker.port)))
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
    home: SharedHome,
) -> None:
    await home.log_in()
    for name in BASES:
        await home.works(name, f"{name} alone")
    since = home.subscriber.count
    home.west.start()
    moved = await home.spread(since)
    for name in BASES:
        await home.works(name, f"{name} shared")
    code, out, said = await wx2mqtt(home.west, "cluster", "--json")
    assert code == 0, said
    report = json.loads(out)
    assert {line["account"]: line["instance"] for line in report["accounts"]} == {
        name: "west" if name == moved else "east" for name in BASES
    }
    assert [(line["instance"], line["state"], line["accounts"]) for line in report["instances"]] == [
        ("east", "running", 1),
        ("west", "running", 1),
    ]
    for bridge in (home.east, home.west):  # each asks the other one where it does not run the account
        for name in BASES:
            code, out, said = await wx2mqtt(bridge, "journal", "list", "--all", "--json", "--account", name)
            assert (code, f"{name} shared" in out.decode()) == (0, True), said
    back = home.subscriber.count
    assert home.west.stop() == 0
    await home.runs(moved, "east", back)
    await home.works(moved, f"{moved} back")
    home.no_scan(since)
    states = [received.payload for received in home.heard_of(f"{BASES[moved]}/bridge/state", back)]
    # `west` repeats its own `online` a few seconds after it took the account, which may be now.
    assert states[states.index(b"offline") :][:2] == [b"offline", b"online"]


async def test_a_drained_instance_gives_its_accounts_to_the_others(home: SharedHome) -> None:
    await home.log_in()
    alone = await wx2mqtt(home.east, "cluster", "drain")
    assert (alone[0], "no other instance" in alone[2]) == (1, True)
    since = home.subscriber.count
    home.west.start()
    moved = await home.spread(since)
    drained = home.subscriber.count
    code, _, said = await wx2mqtt(home.east, "cluster", "drain")
    assert code == 0, said
    (stayed,) = BASES.keys() - {moved}
    await home.runs(stayed, "west", drained)
    for name in BASES:
        await home.works(name, f"{name} drained")
    code, _, said = await wx2mqtt(home.east, "healthcheck")
    assert code == 0, "an instance without accounts is well"

    # Neither a lost connection nor a restart ends the drain.
    lines = len(home.east.log)
    with psycopg.connect(home.url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(instance.pid) FROM instance WHERE name = 'east'",
        )
    await home.in_thread(home.east.wait_for_log, "connection to the database lost", since=lines)
    await drained_state(home, "east")
    assert home.east.stop() == 0
    home.east.start()
    await drained_state(home, "east")
    back = home.subscriber.count
    code, _, said = await wx2mqtt(home.east, "cluster", "undrain")
    assert code == 0, said
    await home.spread(back, "east")
    home.no_scan(since)


async def drained_state(home: SharedHome, instance: str) -> None:
    """Waits until an instance is there again, as one that takes no accounts."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while True:
            code, out, said = await wx2mqtt(home.west, "cluster", "--json")
            assert code == 0, said
            states = {line["instance"]: line for line in json.loads(out)["instances"]}
            line = states.get(instance, {"state": "gone"})
            if line["state"] not in {"gone", "silent"}:
                assert (line["state"], line["accounts"]) == ("draining", 0)
                return


async def test_the_accounts_of_a_killed_instance_run_elsewhere(home: SharedHome) -> None:
    await home.log_in()
    since = home.subscriber.count
    home.west.start()
    moved = await home.spread(since)
    await home.works(moved, "before")
    killed = home.subscriber.count
    home.west.kill()
    await home.controls[moved].write("meanwhile")
    await home.runs(moved, "east", killed)
    await home.body(f"{BASES[moved]}/in/me", text="meanwhile", since=killed)
    for name in BASES:
        await home.works(name, f"{name} after")
    home.no_scan(since)


async def test_a_stopped_instance_is_replaced_and_does_nothing_when_it_goes_on(home: SharedHome) -> None:
    await home.log_in()
    since = home.subscriber.count
    home.west.start()
    moved = await home.spread(since)
    await home.works(moved, "before")
    stopped = home.subscriber.count
    os.kill(home.west.pid, signal.SIGSTOP)
    try:
        await home.runs(moved, "east", stopped)
        await home.controls[moved].write("meanwhile")
        await home.body(f"{BASES[moved]}/in/me", text="meanwhile", since=stopped)
        going_on = home.subscriber.count
    finally:
        os.kill(home.west.pid, signal.SIGCONT)
    await home.in_thread(home.west.wait_for_log, "connection to the database lost")
    again = await home.spread(going_on)  # it takes part anew
    for name in BASES:
        await home.works(name, f"{name} after")
    home.no_scan(since)
    owners = [received.body["instance"] for received in home.heard_of(f"{BASES[moved]}/bridge/info", stopped)]
    assert owners[0] == "east"
    assert again in BASES


async def test_all_go_on_after_the_database_was_away(home: SharedHome) -> None:
    await home.log_in()
    since = home.subscriber.count
    home.west.start()
    await home.spread(since)
    lost = home.subscriber.count
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
            since=lost,
        )
        await home.in_thread(
            home.subscriber.wait,
            f"{base}/bridge/state",
            lambda received: received.payload == b"online",
            since=lost,
        )
    for name in BASES:
        await home.works(name, f"{name} after")
    home.no_scan(since)
    assert set(home.owners().values()) <= {"east", "west"}


OTHER_KEY = base64.b64encode(bytes(range(1, 33))).decode()


async def test_an_instance_with_another_key_takes_no_account_and_ends_with_78(home: SharedHome) -> None:
    """A good instance that is idle does not make a difference: the key is compared with the database's own."""
    await home.log_in()
    since = home.subscriber.count
    home.west.configure(home.settings_of("west", key=OTHER_KEY))
    home.west.start()
    code = await asyncio.to_thread(home.west.wait)
    assert code == EXIT_CONFIGURATION, home.west.log
    (said,) = [line for line in home.west.log if "encrypted with another key" in line]
    assert "storage.key: " in said
    assert not [line for line in home.west.log if "account taken" in line]
    assert home.east.stop() == 0
    code, _, said = await wx2mqtt(home.west, "journal", "list")
    assert (code, "storage.key" in said) == (EXIT_CONFIGURATION, True), said
    code, out, _ = await wx2mqtt(home.west, "check", "--connect", "--json")
    rows = {row["check"]: row for row in json.loads(out)["rows"]}
    assert (code, rows["key"]["verdict"]) == (1, "failed")
    back = home.subscriber.count
    home.east.start()
    for account in BASES:
        await home.runs(account, "east", back)
    home.no_scan(since)


async def test_a_reload_with_a_key_that_is_not_the_databases_ends_the_instance_with_78(
    home: SharedHome,
) -> None:
    """In order: the other instance has its accounts at once, without a scan."""
    await home.log_in()
    since = home.subscriber.count
    home.west.start()
    moved = await home.spread(since)
    reloaded = home.subscriber.count
    home.west.configure(home.settings_of("west", key=OTHER_KEY))
    home.west.hangup()
    assert await asyncio.to_thread(home.west.wait) == EXIT_CONFIGURATION
    assert [line for line in home.west.log if "storage.key" in line and "another key" in line]
    await home.runs(moved, "east", reloaded)
    await home.works(moved, f"{moved} after")
    home.no_scan(since)


async def test_the_key_is_replaced_by_the_steps_of_the_page(home: SharedHome) -> None:
    """Two instances run all the time, on one PostgreSQL; each has its own folder in place of /etc/wx2mqtt."""
    new_key, on_each, replace, on_each_again = shell_of("Replace the key")
    bridges = {"east": home.east, "west": home.west}
    for name, bridge in bridges.items():
        file = bridge.folder / "storage.key"
        file.touch(mode=0o600)
        file.write_text(LOGIN_KEY)
        bridge.configure(with_key_file(home.settings_of(name), file))
    await home.log_in()
    since = home.subscriber.count
    home.west.start()
    await home.spread(since)

    async def run(script: str, bridge: BridgeProcess) -> tuple[int, str]:
        restarted, seen = home.subscriber.count, len(bridge.log)
        done = await asyncio.to_thread(run_script, script, bridge.folder)
        if "systemctl restart wx2mqtt" in script:
            assert bridge.stop() == 0
            bridge.start()
            await home.in_thread(bridge.wait_for_log, "account taken", since=seen)
            for base in BASES.values():
                await home.body(f"{base}/bridge/health", state="online", since=restarted)
        return done.returncode, done.stdout + done.stderr

    assert (await run(new_key, home.east))[0] == 0
    for copied in ("storage.key.new", "storage.key.both"):
        shutil.copy(home.east.folder / copied, home.west.folder / copied)
    assert await run(on_each, home.east) == (0, "")
    code, said = await run(replace, home.east)
    assert (code, "these instances do not have the new key: west" in said) == (1, True), said
    assert await run(on_each, home.west) == (0, "")
    code, said = await run(replace, home.east)
    assert (code, "encrypted with it: 2 (one, two)" in said) == (0, True), said
    for bridge in bridges.values():
        assert await run(on_each_again, bridge) == (0, "")
        assert (bridge.folder / "storage.key").read_text() != LOGIN_KEY
    for name in BASES:
        await home.works(name, f"{name} after")
    home.no_scan(since)
    assert not [line for bridge in bridges.values() for line in bridge.log if "configuration differs" in line]
    assert await asyncio.to_thread(with_old_key, home) == EXIT_CONFIGURATION


async def test_a_lost_key_is_replaced_and_every_account_is_scanned_again(home: SharedHome) -> None:
    await home.log_in()
    assert home.east.stop() == 0
    home.west.configure(home.settings_of("west", key=OTHER_KEY))
    code, _, said = await wx2mqtt(home.west, "cluster", "rotate-key")
    assert (code, "encrypted with another key" in said) == (EXIT_CONFIGURATION, True), said
    code, out, said = await wx2mqtt(home.west, "cluster", "rotate-key", "--forget-logins")
    assert (code, "saved logins deleted: 2 (one, two)" in out.decode()) == (0, True), said
    since = home.subscriber.count
    home.west.start()
    for base in BASES.values():
        await home.body(f"{base}/login/state", state="waiting_for_scan", since=since)


async def test_a_reload_takes_over_a_second_key(home: SharedHome) -> None:
    await home.log_in()
    home.east.configure(home.settings_of("east", key=f"{OTHER_KEY}\n{LOGIN_KEY}"))
    home.east.hangup()
    line = await home.in_thread(home.east.wait_for_log, '"reloaded"')
    assert (json.loads(line)["applied"], json.loads(line)["needs_restart"]) == (["storage.key"], [])
    code, out, said = await wx2mqtt(home.east, "cluster", "rotate-key")
    assert (code, "encrypted with it: 2 (one, two)" in out.decode()) == (0, True), said
    code, out, _ = await wx2mqtt(home.east, "cluster", "rotate-key")
    assert (code, "nothing was changed" in out.decode()) == (0, True)
    for name in BASES:
        await home.works(name, f"{name} after")


def shell_of(heading: str) -> list[str]:
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


def with_old_key(home: SharedHome) -> int:
    """Returns how an instance ends that still has the key of before."""
    third = BridgeProcess(home.folder / "third", home.settings_of("third"))
    return third.start().wait()
