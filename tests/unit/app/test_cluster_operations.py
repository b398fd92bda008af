"""`wx2mqtt cluster` reports instances and accounts from the database, and replaces the key of logins."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.postgresql import empty_database
from wx2mqtt.app.cluster_operations import cluster_report, replace_key
from wx2mqtt.cluster.tables import InstanceIdentity, register
from wx2mqtt.errors import SettingsError, Wx2MqttError
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import Settings
from wx2mqtt.store.encrypted_logins import EncryptedLogins, key_id
from wx2mqtt.store.postgresql_database import PostgresqlDatabase

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))


def load_settings(url: str | None, *keys: bytes) -> LoadedSettings:
    storage = {"url": url, "key": "\n".join(base64.b64encode(key).decode() for key in keys) or None}
    settings = Settings.model_validate({"storage": storage, "accounts": {"home": {}, "office": {}}})
    return LoadedSettings(settings=settings, path=Path("wx2mqtt.yaml"))


@pytest.fixture
def url() -> str:
    return empty_database()


async def save_login(url: str, key: bytes) -> None:
    database = await PostgresqlDatabase.open(url)
    await EncryptedLogins(database, [key]).of("home").save({"token": "geheim"})
    await database.close()


async def saved_login(url: str, key: bytes) -> object:
    database = await PostgresqlDatabase.open(url)
    try:
        return await EncryptedLogins(database, [key]).of("home").load()
    finally:
        await database.close()


async def add_instance(url: str, name: str, *keys: bytes) -> None:
    """Stores the row of an instance whose session has ended since."""
    identity = InstanceIdentity(
        name=name, version="1", url="", max_accounts=3, login_key_ids=tuple(key_id(key) for key in keys)
    )
    database = await PostgresqlDatabase.open(url)
    await database.write("register", lambda db: register(db, identity, is_leaving=False))
    await database.close()


@pytest.mark.parametrize("operation", [cluster_report, lambda loaded: replace_key(loaded, forget=False)])
async def test_without_a_shared_database_there_is_no_cluster(operation: Any) -> None:
    with pytest.raises(Wx2MqttError, match=r"storage\.url is not set"):
        await operation(load_settings(None))


async def test_accounts_without_an_instance_are_listed_as_running_nowhere(url: str) -> None:
    await add_instance(url, "east", KEY)
    report: Any = await cluster_report(load_settings(url, KEY))
    (instance,) = report["instances"]
    assert (instance["instance"], instance["state"], instance["accounts"]) == ("east", "gone", 0)
    assert instance["max_accounts"] == 3
    assert report["accounts"] == [
        {"account": "home", "instance": ""},
        {"account": "office", "instance": ""},
    ]


async def test_a_new_key_encrypts_the_saved_logins_from_then_on(url: str) -> None:
    await save_login(url, KEY)
    loaded = load_settings(url, OTHER_KEY, KEY)
    assert "home" in await replace_key(loaded, forget=False)
    assert await saved_login(url, OTHER_KEY) == {"token": "geheim"}
    assert "home" not in await replace_key(loaded, forget=False), "the key is the newest already"


async def test_a_key_that_is_not_the_database_s_is_refused_by_its_setting(url: str) -> None:
    await save_login(url, KEY)
    with pytest.raises(SettingsError) as caught:
        await replace_key(load_settings(url, OTHER_KEY), forget=False)
    assert [problem.key for problem in caught.value.problems] == ["storage.key"]
    assert await saved_login(url, KEY) == {"token": "geheim"}


async def test_with_a_lost_key_the_saved_logins_are_deleted(url: str) -> None:
    await save_login(url, KEY)
    assert "home" in await replace_key(load_settings(url, OTHER_KEY), forget=True)
    assert await saved_login(url, OTHER_KEY) is None


async def test_the_key_is_not_replaced_while_an_instance_does_not_have_the_new_one(url: str) -> None:
    await save_login(url, KEY)
    await add_instance(url, "east", KEY)
    with pytest.raises(Wx2MqttError, match="east"):
        await replace_key(load_settings(url, OTHER_KEY, KEY), forget=False)
    assert await saved_login(url, KEY) == {"token": "geheim"}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE instance SET keys = %s", (f"{key_id(OTHER_KEY)} {key_id(KEY)}",))
    assert "home" in await replace_key(load_settings(url, OTHER_KEY, KEY), forget=False)
