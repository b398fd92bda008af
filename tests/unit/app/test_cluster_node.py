"""This process in a cluster: what it tells the other instances, and that it drains only where one is left."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.postgresql import empty_database
from wx2mqtt.aio import Signal
from wx2mqtt.app.cluster_node import ClusterNode, instance_identity
from wx2mqtt.app.stores import Stores
from wx2mqtt.clock import Lease
from wx2mqtt.cluster.observation import LEASE_SECONDS, ClusterStatistics
from wx2mqtt.errors import SettingsError, Wx2MqttError
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import Settings
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.encrypted_logins import EncryptedLogins, key_id
from wx2mqtt.store.folder import StoreFolder
from wx2mqtt.store.postgresql_database import PostgresqlDatabase

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
ACCOUNTS: dict[str, Any] = {
    "home": {"fallback": {"accounts": ["office/me"]}},
    "office": {},
    "club": {},
}


def load_settings(*, keys: tuple[bytes, ...] = (KEY,), **sections: Any) -> LoadedSettings:
    storage = {
        "url": "postgresql://db/wx2mqtt",
        "key": "\n".join(base64.b64encode(key).decode() for key in keys),
    }
    settings = Settings.model_validate({"storage": storage, "accounts": ACCOUNTS, **sections})
    return LoadedSettings(settings=settings, path=Path("wx2mqtt.yaml"))


class FakeAccounts:
    """Runs no account."""

    async def start_account(self, name: str) -> None:
        raise AssertionError(name)

    async def stop_account(self, name: str) -> None:
        raise AssertionError(name)


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    database = await PostgresqlDatabase.open(empty_database())
    logins = EncryptedLogins(database, [KEY])
    await logins.check_keys()
    yield Stores(
        folder=cast("StoreFolder", None),  # a cluster does not look at it
        database=database,
        blobs=Blobs(tmp_path),
        saved_logins=logins,
        lost=Signal(),
        lease=Lease(LEASE_SECONDS),
    )
    await database.close()


@pytest.fixture
async def node(stores: Stores) -> AsyncIterator[ClusterNode]:
    loaded = load_settings(cluster={"instance": "east"})
    node = ClusterNode(loaded, stores, FakeAccounts(), ClusterStatistics())
    yield node
    await node.takeover.close()


def test_an_instance_tells_its_name_limit_address_and_the_ids_of_its_keys() -> None:
    identity = instance_identity(
        load_settings(
            keys=(OTHER_KEY, KEY),
            cluster={"instance": "east", "max_accounts": 5},
            web={"url": "https://east.example.org"},
        )
    )
    assert (identity.name, identity.max_accounts, identity.url) == ("east", 5, "https://east.example.org")
    assert identity.login_key_ids == (key_id(OTHER_KEY), key_id(KEY))


def test_a_disabled_web_server_has_no_address() -> None:
    web = {"enabled": False, "url": "https://east.example.org"}
    assert instance_identity(load_settings(web=web)).url == ""


def test_instances_may_differ_in_what_is_their_own_and_not_in_their_accounts() -> None:
    east = instance_identity(load_settings(cluster={"instance": "east"}))
    west = instance_identity(load_settings(cluster={"instance": "west"}, language="zh"))
    other = instance_identity(load_settings(accounts={**ACCOUNTS, "club": {"backend": "ilink"}}))
    assert east.configuration == west.configuration
    assert east.configuration != other.configuration


async def test_an_account_and_its_fallback_account_stay_on_one_instance(node: ClusterNode) -> None:
    assert node.takeover.groups == (frozenset({"home", "office"}),)


async def test_before_an_instance_has_taken_them_all_accounts_wait(node: ClusterNode) -> None:
    state = node.state()
    assert state.waiting == state.accounts == ("home", "office", "club")
    assert (state.instances, state.has_lease) == ((), False)
    assert [node.owner_of(name) for name in ("home", "unknown")] == ["", ""]


async def test_the_only_instance_is_not_drained(node: ClusterNode) -> None:
    await node.instance.join()
    with pytest.raises(Wx2MqttError, match="no other instance"):
        await node.drain()
    assert not node.is_drained


async def test_a_reload_with_a_key_of_another_database_is_refused_by_its_setting(node: ClusterNode) -> None:
    with pytest.raises(SettingsError) as caught:
        await node.use_login_keys(load_settings(keys=(OTHER_KEY,)))
    assert [problem.key for problem in caught.value.problems] == ["storage.key"]
    await node.use_login_keys(load_settings(keys=(OTHER_KEY, KEY)))
