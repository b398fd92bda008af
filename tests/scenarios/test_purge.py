"""`wx2mqtt purge`: nothing of a removed account stays in the store and at the broker; other accounts lose nothing."""

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
    """Returns a configuration with these accounts, each below its own base topic."""
    account = home.settings()["accounts"]["home"]
    accounts = {name: {**account, "base_topic": name} for name in names}
    return {**home.settings(homeassistant={"enabled": True}), "accounts": accounts}


async def run_until_online(home: Home, name: str) -> None:
    """Starts the bridge, and waits until this account is online, by a new login if needed."""
    since = home.subscriber.count
    home.bridge.start()
    await home.body(f"{name}/login/state", state="online", since=since)
    await home.in_thread(home.subscriber.wait, f"{name}/contacts", since=since)


async def make_old_account(home: Home) -> None:
    """Runs the account `old` and then `new`; afterwards only `new` is configured."""
    await home.control.post("settings", autoscan=True)
    for name in ("old", "new"):
        home.bridge.configure(settings(home, name))
        await run_until_online(home, name)
        await home.in_thread(home.subscriber.wait, DEVICE.replace("old", name))
        home.bridge.stop()


def retained_topics(home: Home) -> set[str]:
    """Returns the retained topics that the broker sends to a new subscriber."""
    with Subscriber(home.broker.port, "#", "sentinel") as subscriber:
        subscriber.publish("sentinel", "all of it has come")
        subscriber.wait("sentinel")
        topics = {message.topic for message in subscriber.received if message.retain}
        return {topic for topic in topics if not topic.endswith("/health")}  # taken back at each connect


def count_rows(home: Home, account: str) -> int:
    with closing(sqlite3.connect(home.bridge.store / "wx2mqtt.db")) as connection:
        query = "SELECT (SELECT count(*) FROM person WHERE account = ?1) + (SELECT count(*) FROM account WHERE name = ?1)"
        return int(connection.execute(query, (account,)).fetchone()[0])


@pytest.mark.in_folder
@pytest.mark.parametrize("running", [True, False])
async def test_the_account_is_removed_completely_and_the_other_one_is_untouched(home, running):
    await make_old_account(home)
    before = await home.in_thread(retained_topics, home)
    assert {"old/bridge/state", "old/login/qr", "old/contacts", DEVICE, "new/bridge/state"} <= before
    assert await home.in_thread(session_present, home.broker.port, "wx2mqtt-old")
    if running:
        await run_until_online(home, "new")
    code, out, errors = await wx2mqtt(home.bridge, "purge", "old", "--yes")
    assert (code, errors) == (0, "")
    assert b"wx2mqtt-old" in out

    after = await home.in_thread(retained_topics, home)
    assert after == {topic for topic in before if not topic.startswith("old/") and topic != DEVICE}
    assert not await home.in_thread(session_present, home.broker.port, "wx2mqtt-old")
    assert count_rows(home, "old") == 0 < count_rows(home, "new")
    sessions = {file.name for file in (home.bridge.store / "sessions").iterdir()}
    assert sessions - {"new.json.processing"} == {"new.json"}  # which message is being processed
    assert json.loads((home.bridge.store / "people.json").read_bytes())["accounts"].keys() == {"new"}
    code, _, errors = await wx2mqtt(home.bridge, "purge", "old", "--yes")
    assert (code, "knows no account 'old'" in errors) == (1, True)
    if not running:
        await run_until_online(home, "new")


@pytest.mark.in_folder
async def test_nothing_is_removed_without_a_confirmation_or_without_the_broker(home):
    await make_old_account(home)
    before = await home.in_thread(retained_topics, home)
    code, _, errors = await wx2mqtt(home.bridge, "purge", "old")
    assert (code, "--yes" in errors) == (1, True)
    home.broker.stop()
    code, _, errors = await wx2mqtt(home.bridge, "purge", "old", "--yes")
    assert (code, "--no-broker" in errors) == (1, True)
    home.broker.start()
    assert await home.in_thread(retained_topics, home) == before
    assert count_rows(home, "old") > 0


@pytest.mark.in_folder
async def test_a_topic_that_the_broker_refuses_to_clear_is_named_and_the_store_is_kept(home, tmp_path):
    await make_old_account(home)
    (tmp_path / "acl").write_text("topic readwrite #\ntopic deny old/login/qr\n")
    home.broker.stop()
    home.broker.configure(DURABLE.replace("{folder}", str(home.broker.folder)) + f"acl_file {tmp_path}/acl\n")
    home.broker.start()
    code, _, errors = await wx2mqtt(home.bridge, "purge", "old", "--yes")
    assert code == 1
    assert "does not let us clear old/login/qr;" in errors
    assert count_rows(home, "old") > 0
    code, out, _ = await wx2mqtt(home.bridge, "purge", "old", "--yes", "--no-broker")
    assert (code, b"at the broker" in out) == (0, False)
    assert count_rows(home, "old") == 0


@pytest.mark.in_folder
async def test_a_store_that_a_restore_moved_aside_is_named_since_it_may_have_the_account(home):
    await make_old_account(home)
    (aside := home.bridge.store / "replaced-20261125T080000.000000Z").mkdir()
    code, out, _ = await wx2mqtt(home.bridge, "purge", "old", "--yes", "--no-broker")
    assert code == 0
    assert str(aside) in out.decode()
    assert aside.is_dir()


@pytest.mark.in_folder
async def test_a_configured_account_is_not_removed(home):
    await make_old_account(home)
    code, _, errors = await wx2mqtt(home.bridge, "purge", "new", "--yes")
    assert (code, "still in the configuration" in errors) == (1, True)
    await run_until_online(home, "new")
    home.bridge.configure(settings(home, "other"))  # the file says so; the bridge has not heard of it
    code, _, errors = await wx2mqtt(home.bridge, "purge", "new", "--yes")
    assert (code, "restart the bridge" in errors) == (1, True)
    assert count_rows(home, "new") > 0


async def test_topics_that_another_account_uses_now_are_kept(home):
    """The account was renamed, and kept its topics."""
    await home.log_in()
    home.bridge.stop()
    accounts = {"renamed": home.settings()["accounts"]["home"]}
    home.bridge.configure({**home.settings(), "accounts": accounts})
    code, out, _ = await wx2mqtt(home.bridge, "purge", "home", "--yes")
    assert (code, b"those of account 'renamed' now" in out) == (0, True)
    assert "wx/bridge/state" in await home.in_thread(retained_topics, home)
    assert not await home.in_thread(session_present, home.broker.port, "wx2mqtt-home")


async def fill_store(store: Path) -> None:
    folder = StoreFolder.open(store)
    database = await SqliteDatabase.open(store / DATABASE_NAME)
    await fill(database, "old")
    await database.close()
    folder.close()


def use_embedded_broker(store: Path, port: int, use: Callable[[int], object]) -> object:
    """Calls `use` with the port of the embedded broker while it runs."""

    async def run_broker() -> object:
        async with EmbeddedBroker(store, port=port) as broker:
            assert broker.implementation == "mosquitto"
            return await asyncio.to_thread(use, broker.port)

    return asyncio.run(run_broker())


@pytest.mark.parametrize("running", [True, False])
def test_the_embedded_broker_is_cleared_whether_it_runs_or_not(tmp_path, running):
    store, port = tmp_path / "store", free_port()
    asyncio.run(fill_store(store))

    def publish_old_topics(port: int) -> None:
        with BrokerUser(port, client_id="wx2mqtt-old", keeps_session=True) as client:
            client.subscribe("base/old/out/#")
            client.publish("base/old/bridge/state", b"offline", retain=True)

    use_embedded_broker(store, port, publish_old_topics)
    (tmp_path / "wx2mqtt.yaml").write_text(
        f"mqtt: {{url: embedded}}\nstorage: {{path: {store}}}\naccounts: {{new: {{}}}}\n"
    )
    loaded = load(tmp_path / "wx2mqtt.yaml", {}, BACKENDS)
    neighbours = RunEnvironment(env={}, embedded_port=port)

    def purge(_: int = 0) -> None:
        purge_account(loaded, neighbours, "old", yes=True, include_broker=True)

    async def purge_beside_broker() -> None:
        async with (
            open_application(loaded, neighbours, serve=False) as app,
            control_socket.serve_operations(store, app.operations.run),
            EmbeddedBroker(store, port=port),
        ):
            await asyncio.to_thread(purge)

    if running:
        asyncio.run(purge_beside_broker())
    else:
        purge()

    def topics_left(port: int) -> tuple[list[str], bool]:
        with BrokerUser(port) as client:
            client.subscribe("base/old/#", "end")
            client.publish("end", b"")
            client.wait("end", b"")
            topics = [topic for topic, *_ in client.received if topic != "end"]
        return topics, session_present(port, "wx2mqtt-old")

    assert use_embedded_broker(store, port, topics_left) == ([], False)
