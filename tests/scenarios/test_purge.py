"""`wx2mqtt purge`: a removed account leaves nothing behind, in the store and at the broker; nobody else loses."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.test_backup import wx2mqtt
from tests.support.broker import DURABLE, free_port
from tests.support.broker_user import BrokerUser, session_present
from tests.support.home import Home, at_home
from tests.support.subscriber import Subscriber
from tests.unit.store.test_account_removal import fill
from wx2mqtt.app import control_socket
from wx2mqtt.app.application import RunEnvironment, open_application
from wx2mqtt.cli.purge import purge_account
from wx2mqtt.mqtt.embedded import EmbeddedBroker
from wx2mqtt.settings.loader import load
from wx2mqtt.store.folder import DATABASE_NAME, StoreFolder
from wx2mqtt.store.sqlite_database import SqliteDatabase
from wx2mqtt.wechat.registry import BACKENDS

DEVICE = "homeassistant/device/wx2mqtt_old/config"


@pytest.fixture
async def home(tmp_path):
    async with at_home(tmp_path, DURABLE) as home:
        yield home


def settings(home: Home, *names: str) -> dict[str, Any]:
    """A configuration with these accounts, each below a base of its own."""
    one = home.settings()["accounts"]["home"]
    accounts = {name: {**one, "base_topic": name} for name in names}
    return {**home.settings(homeassistant={"enabled": True}), "accounts": accounts}


async def run(home: Home, name: str) -> None:
    """Start the bridge, in which this account has its login or gets one."""
    since = home.subscriber.count
    home.bridge.start()
    await home.body(f"{name}/login/state", state="online", since=since)
    await home.in_thread(home.subscriber.wait, f"{name}/contacts", since=since)


async def leave(home: Home) -> None:
    """The account `old` was there; by now it is no longer configured, and `new` has its place."""
    await home.control.post("settings", autoscan=True)
    for name in ("old", "new"):
        home.bridge.configure(settings(home, name))
        await run(home, name)
        await home.in_thread(home.subscriber.wait, DEVICE.replace("old", name))
        home.bridge.stop()


def retained(home: Home) -> set[str]:
    """What a client that comes now is told by the broker at once."""
    with Subscriber(home.broker.port, "#", "sentinel") as subscriber:
        subscriber.publish("sentinel", "all of it has come")
        subscriber.wait("sentinel")
        topics = {one.topic for one in subscriber.received if one.retain}
        return {topic for topic in topics if not topic.endswith("/health")}  # taken back at each connect


def rows(home: Home, account: str) -> int:
    with closing(sqlite3.connect(home.bridge.store / "wx2mqtt.db")) as connection:
        query = "SELECT (SELECT count(*) FROM person WHERE account = ?1) + (SELECT count(*) FROM account WHERE name = ?1)"
        return int(connection.execute(query, (account,)).fetchone()[0])


@pytest.mark.in_folder
@pytest.mark.parametrize("running", [True, False])
async def test_nothing_of_the_account_stays_and_all_of_the_other(home, running):
    await leave(home)
    before = await home.in_thread(retained, home)
    assert {"old/bridge/state", "old/login/qr", "old/contacts", DEVICE, "new/bridge/state"} <= before
    assert await home.in_thread(session_present, home.broker.port, "wx2mqtt-old")
    if running:
        await run(home, "new")
    code, out, said = await wx2mqtt(home.bridge, "purge", "old", "--yes")
    assert (code, said) == (0, "")
    assert b"wx2mqtt-old" in out

    after = await home.in_thread(retained, home)
    assert after == {topic for topic in before if not topic.startswith("old/") and topic != DEVICE}
    assert not await home.in_thread(session_present, home.broker.port, "wx2mqtt-old")
    assert rows(home, "old") == 0 < rows(home, "new")
    sessions = {file.name for file in (home.bridge.store / "sessions").iterdir()}
    assert sessions - {"new.json.processing"} == {"new.json"}  # which message is being processed
    assert json.loads((home.bridge.store / "people.json").read_bytes())["accounts"].keys() == {"new"}
    code, _, said = await wx2mqtt(home.bridge, "purge", "old", "--yes")
    assert (code, "knows no account 'old'" in said) == (1, True)
    if not running:
        await run(home, "new")


@pytest.mark.in_folder
async def test_nothing_goes_unasked_and_nothing_goes_half(home):
    await leave(home)
    before = await home.in_thread(retained, home)
    code, _, said = await wx2mqtt(home.bridge, "purge", "old")
    assert (code, "--yes" in said) == (1, True)
    home.broker.stop()
    code, _, said = await wx2mqtt(home.bridge, "purge", "old", "--yes")
    assert (code, "--no-broker" in said) == (1, True)
    home.broker.start()
    assert await home.in_thread(retained, home) == before
    assert rows(home, "old") > 0


@pytest.mark.in_folder
async def test_what_the_broker_refuses_to_clear_is_told_and_the_store_stays(home, tmp_path):
    await leave(home)
    (tmp_path / "acl").write_text("topic readwrite #\ntopic deny old/login/qr\n")
    home.broker.stop()
    home.broker.configure(DURABLE.replace("{folder}", str(home.broker.folder)) + f"acl_file {tmp_path}/acl\n")
    home.broker.start()
    code, _, said = await wx2mqtt(home.bridge, "purge", "old", "--yes")
    assert code == 1
    assert "does not let us clear old/login/qr;" in said
    assert rows(home, "old") > 0
    code, out, _ = await wx2mqtt(home.bridge, "purge", "old", "--yes", "--no-broker")
    assert (code, b"at the broker" in out) == (0, False)
    assert rows(home, "old") == 0


@pytest.mark.in_folder
async def test_what_a_restore_put_aside_is_named_since_it_may_hold_the_account_too(home):
    await leave(home)
    (aside := home.bridge.store / "replaced-20261125T080000.000000Z").mkdir()
    code, out, _ = await wx2mqtt(home.bridge, "purge", "old", "--yes", "--no-broker")
    assert code == 0
    assert str(aside) in out.decode()
    assert aside.is_dir()


@pytest.mark.in_folder
async def test_who_is_still_wanted_is_refused(home):
    await leave(home)
    code, _, said = await wx2mqtt(home.bridge, "purge", "new", "--yes")
    assert (code, "still in the configuration" in said) == (1, True)
    await run(home, "new")
    home.bridge.configure(settings(home, "other"))  # the file says so; the bridge has not heard of it
    code, _, said = await wx2mqtt(home.bridge, "purge", "new", "--yes")
    assert (code, "restart the bridge" in said) == (1, True)
    assert rows(home, "new") > 0


async def test_topics_that_another_account_has_by_now_stay(home):
    """The account got another name, and with it kept its topics."""
    await home.log_in()
    home.bridge.stop()
    accounts = {"renamed": home.settings()["accounts"]["home"]}
    home.bridge.configure({**home.settings(), "accounts": accounts})
    code, out, _ = await wx2mqtt(home.bridge, "purge", "home", "--yes")
    assert (code, b"those of account 'renamed' now" in out) == (0, True)
    assert "wx/bridge/state" in await home.in_thread(retained, home)
    assert not await home.in_thread(session_present, home.broker.port, "wx2mqtt-home")


async def _fill(store: Path) -> None:
    folder = StoreFolder.open(store)
    database = await SqliteDatabase.open(store / DATABASE_NAME)
    await fill(database, "old")
    await database.close()
    folder.close()


def embedded(store: Path, port: int, use: Callable[[int], object]) -> object:
    """Something done at the embedded broker, which runs meanwhile."""

    async def whole() -> object:
        async with EmbeddedBroker(store, port=port) as own:
            assert own.implementation == "mosquitto"
            return await asyncio.to_thread(use, own.port)

    return asyncio.run(whole())


@pytest.mark.parametrize("running", [True, False])
def test_the_embedded_broker_is_cleared_whether_it_runs_or_not(tmp_path, running):
    store, port = tmp_path / "store", free_port()
    asyncio.run(_fill(store))

    def say(port: int) -> None:
        with BrokerUser(port, client_id="wx2mqtt-old", keeps_session=True) as one:
            one.subscribe("base/old/out/#")
            one.publish("base/old/bridge/state", b"offline", retain=True)

    embedded(store, port, say)
    (tmp_path / "wx2mqtt.yaml").write_text(
        f"mqtt: {{url: embedded}}\nstorage: {{path: {store}}}\naccounts: {{new: {{}}}}\n"
    )
    loaded = load(tmp_path / "wx2mqtt.yaml", {}, BACKENDS)
    around = RunEnvironment(env={}, embedded_port=port)

    def take_away(_: int = 0) -> None:
        purge_account(loaded, around, "old", yes=True, include_broker=True)

    async def beside() -> None:
        async with (
            open_application(loaded, around, serve=False) as app,
            control_socket.serve_operations(store, app.operations.run),
            EmbeddedBroker(store, port=port),
        ):
            await asyncio.to_thread(take_away)

    if running:
        asyncio.run(beside())
    else:
        take_away()

    def left(port: int) -> tuple[list[str], bool]:
        with BrokerUser(port) as one:
            one.subscribe("base/old/#", "end")
            one.publish("end", b"")
            one.wait("end", b"")
            topics = [topic for topic, *_ in one.received if topic != "end"]
        return topics, session_present(port, "wx2mqtt-old")

    assert embedded(store, port, left) == ([], False)
