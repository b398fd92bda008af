"""Purge: the secrets first, all of the account in the end, and nothing that is still wanted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.store.make import media
from tests.unit.store.test_retention import fill
from wx2mqtt.app.admin import PurgeOperations
from wx2mqtt.errors import BadCommand
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.database import Database
from wx2mqtt.store.folder import DATABASE_NAME, PEOPLE_COPY_NAME, SESSIONS_FOLDER
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.people_copy import PeopleCopy


class House:
    """A store with the accounts `gone` and `home`, of which only `home` is configured."""

    def __init__(self, path: Path, database: Database) -> None:
        self.path = path
        self.database = database
        self.blobs = Blobs(path)
        self.bases = {"home": "base/home"}
        self.copy = PeopleCopy(database, path / PEOPLE_COPY_NAME)
        purging = PurgeOperations(path, database, MediaRetention(database, self.blobs), self.copy, self.bases)
        self.operations = purging.operations()

    async def ask(self, name: str, account: str) -> object:
        return await self.operations[name]({"account": account})


@pytest.fixture
async def house(tmp_path: Path):
    database = await Database.open(tmp_path / DATABASE_NAME)
    house = House(tmp_path, database)
    await house.blobs.open()
    (tmp_path / SESSIONS_FOLDER).mkdir()
    for account in ("gone", "home"):
        journal = await fill(database, account)
        (tmp_path / SESSIONS_FOLDER / f"{account}.json").write_text("{}")
        file = await house.blobs.store(f"%PDF of {account}".encode(), 1000)
        await journal.add_media(media(f"k-{account}"), "wife")
        await journal.mark_media_ready(f"k-{account}", file, [])
        house.blobs.mark_referenced(file)
    await house.copy.write()
    yield house
    await database.close()


async def test_it_tells_what_there_is_and_which_topics_may_stand_at_the_broker(house: House) -> None:
    found = await house.ask("purge.look", "gone")
    assert isinstance(found, dict)
    topics = found.pop("topics")
    assert found == {
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


async def test_topics_that_belong_to_another_account_by_now_are_not_touched(house: House) -> None:
    house.bases["home"] = "base/gone"
    found = await house.ask("purge.look", "gone")
    assert isinstance(found, dict)
    assert (found["topics"], found["taken_by"]) == ([], "home")


async def test_it_takes_all_of_the_account_and_nothing_of_another(house: House) -> None:
    damaged = house.path / SESSIONS_FOLDER / "gone.json.damaged-20261125T080000Z"
    damaged.write_text("secrets")
    await house.ask("purge", "gone")

    assert [file.name for file in (house.path / SESSIONS_FOLDER).iterdir()] == ["home.json"]
    assert json.loads((house.path / PEOPLE_COPY_NAME).read_bytes())["accounts"].keys() == {"home"}
    assert [file.read_bytes() for file in (house.path / "media").glob("*/*")] == [b"%PDF of home"]
    with pytest.raises(BadCommand) as caught:
        await house.ask("purge.look", "gone")
    assert caught.value.facts == {"account": "gone", "known": "-"}


@pytest.mark.parametrize("name", ["purge", "purge.look"])
async def test_an_account_that_is_configured_is_refused(house: House, name: str) -> None:
    with pytest.raises(BadCommand) as caught:
        await house.ask(name, "home")
    assert caught.value.message_key == "purge_running"
    assert (house.path / SESSIONS_FOLDER / "home.json").exists()


async def test_a_name_that_nobody_knows_is_told_with_those_that_can_be_purged(house: House) -> None:
    with pytest.raises(BadCommand) as caught:
        await house.ask("purge", "gonne")
    assert (caught.value.message_key, caught.value.facts["known"]) == ("purge_unknown", "gone")


async def test_a_login_without_any_rows_can_be_purged_too(house: House) -> None:
    """As after a database that was lost."""
    (house.path / SESSIONS_FOLDER / "older.json").write_text("{}")
    found = await house.ask("purge.look", "older")
    assert isinstance(found, dict)
    assert (found["login"], found["topics"], found["base"]) == (True, [], "")
    await house.ask("purge", "older")
    assert not (house.path / SESSIONS_FOLDER / "older.json").exists()
