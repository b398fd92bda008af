"""A purge deletes the secrets and all data of a removed account, and no data of another account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from tests.unit.store.make import media
from tests.unit.store.test_account_removal import fill
from wx2mqtt.aio import Signal
from wx2mqtt.app.operations import PurgeOperations
from wx2mqtt.app.stores import Stores
from wx2mqtt.clock import ENDLESS_LEASE
from wx2mqtt.errors import BadCommand
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.database import Database
from wx2mqtt.store.folder import DATABASE_NAME, PEOPLE_FILE_NAME, SESSIONS_FOLDER, StoreFolder
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.people_file import PeopleFile
from wx2mqtt.store.saved_logins import SavedLoginFolder
from wx2mqtt.store.search_index import SearchIndex
from wx2mqtt.store.sqlite_database import SqliteDatabase


class StoreOfTwoAccounts:
    """A store with the accounts `gone` and `home`, of which only `home` is configured."""

    def __init__(self, path: Path, database: Database) -> None:
        self.path = path
        self.database = database
        self.blobs = Blobs(path)
        self.base_topics = {"home": "base/home"}
        self.people_file = PeopleFile(database, path / PEOPLE_FILE_NAME)
        stores = Stores(
            folder=cast("StoreFolder", None),  # a purge does not look at it
            database=database,
            blobs=self.blobs,
            saved_logins=SavedLoginFolder(path / SESSIONS_FOLDER),
            lost=Signal(),
            lease=ENDLESS_LEASE,
            people_file=self.people_file,
            search_index=SearchIndex(database, path / "search.db"),
        )
        self.operations = PurgeOperations(stores, MediaRetention(database, self.blobs), self.base_topics)

    async def run(self, name: str, account: str) -> object:
        operation = self.operations.inspect if name == "purge.look" else self.operations.purge
        return await operation({"account": account})


@pytest.fixture
async def store(tmp_path: Path):
    database = await SqliteDatabase.open(tmp_path / DATABASE_NAME)
    store = StoreOfTwoAccounts(tmp_path, database)
    await store.blobs.open()
    (tmp_path / SESSIONS_FOLDER).mkdir()
    for account in ("gone", "home"):
        journal = await fill(database, account)
        (tmp_path / SESSIONS_FOLDER / f"{account}.json").write_text("{}")
        file = await store.blobs.store(f"%PDF of {account}".encode(), 1000)
        await journal.media.add(media(f"k-{account}"), "wife")
        await journal.media.mark_ready(f"k-{account}", file, [])
        store.blobs.mark_referenced(file)
    await store.people_file.write()
    yield store
    await database.close()


async def test_the_stored_data_and_the_topics_that_may_be_retained_are_listed(
    store: StoreOfTwoAccounts,
) -> None:
    stored = await store.run("purge.look", "gone")
    assert isinstance(stored, dict)
    topics = stored.pop("topics")
    assert stored == {
        "account": "gone",
        "base": "base/gone",
        "taken_by": "",
        "announced": ["homeassistant/device/wx2mqtt_gone/config"],
        "messages": 4,
        "commands": 2,
        "people": 2,
        "media": 2,
        "login": True,
    }
    assert isinstance(topics, list)
    assert "base/gone/login/qr" in topics
    assert "base/gone/bridge/state" in topics
    assert all(str(topic).startswith("base/gone/") and "<" not in str(topic) for topic in topics)


async def test_topics_that_belong_to_another_account_by_now_are_not_touched(
    store: StoreOfTwoAccounts,
) -> None:
    store.base_topics["home"] = "base/gone"
    stored = await store.run("purge.look", "gone")
    assert isinstance(stored, dict)
    assert (stored["topics"], stored["taken_by"]) == ([], "home")


async def test_a_purge_deletes_all_of_the_account_and_nothing_of_another(store: StoreOfTwoAccounts) -> None:
    damaged = store.path / SESSIONS_FOLDER / "gone.json.damaged-20261125T080000Z"
    damaged.write_text("secrets")
    await store.run("purge", "gone")

    assert [file.name for file in (store.path / SESSIONS_FOLDER).iterdir()] == ["home.json"]
    assert json.loads((store.path / PEOPLE_FILE_NAME).read_bytes())["accounts"].keys() == {"home"}
    assert [file.read_bytes() for file in (store.path / "media").glob("*/*")] == [b"%PDF of home"]
    with pytest.raises(BadCommand) as caught:
        await store.run("purge.look", "gone")
    assert caught.value.facts == {"account": "gone", "known": "-"}


@pytest.mark.parametrize("name", ["purge", "purge.look"])
async def test_an_account_that_is_configured_is_refused(store: StoreOfTwoAccounts, name: str) -> None:
    with pytest.raises(BadCommand) as caught:
        await store.run(name, "home")
    assert caught.value.message_key == "purge_running"
    assert (store.path / SESSIONS_FOLDER / "home.json").exists()


async def test_an_unknown_name_is_refused_with_the_names_that_can_be_purged(
    store: StoreOfTwoAccounts,
) -> None:
    with pytest.raises(BadCommand) as caught:
        await store.run("purge", "gonne")
    assert (caught.value.message_key, caught.value.facts["known"]) == ("purge_unknown", "gone")


async def test_a_login_without_any_rows_can_be_purged_too(store: StoreOfTwoAccounts) -> None:
    """A store whose database was lost has such a login."""
    (store.path / SESSIONS_FOLDER / "older.json").write_text("{}")
    stored = await store.run("purge.look", "older")
    assert isinstance(stored, dict)
    assert (stored["login"], stored["topics"], stored["base"]) == (True, [], "")
    await store.run("purge", "older")
    assert not (store.path / SESSIONS_FOLDER / "older.json").exists()
