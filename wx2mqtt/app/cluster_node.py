"""This process as one of the instances that share a database: what it says of itself, and how others stand.

`ClusterNode` belongs to a running bridge. `replace_key` and `cluster_report` are operations of the command
line on the database: they need no running bridge.

Loaded only with `storage.url`: it needs psycopg.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from wx2mqtt import __version__
from wx2mqtt.app.configuration import instance_name, secret_value, shared_settings
from wx2mqtt.app.stores import NOT_SHARED, Stores, login_keys, open_database, wrong_key_error
from wx2mqtt.cluster.account_takeover import AccountHost, AccountTakeover
from wx2mqtt.cluster.observation import SILENT_SECONDS, ClusterStatistics, InstanceRow
from wx2mqtt.cluster.tables import (
    CHANNEL,
    InstanceIdentity,
    account_keys,
    digest_of,
    instances_without_key,
    read_snapshot,
)
from wx2mqtt.errors import StoreError, WrongStoreKey, Wx2MqttError
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Json
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.store.database import Connection
from wx2mqtt.store.encrypted_logins import EncryptedLogins, forget_logins, hold_key_alone, key_id, rotate_key
from wx2mqtt.store.postgresql import PostgresqlDatabase, PostgresqlListener
from wx2mqtt.web.bridge_state import ClusterState, InstanceState


def instance_identity(loaded: LoadedSettings) -> InstanceIdentity:
    settings = loaded.settings
    keys = login_keys(settings.storage)
    digest = digest_of(shared_settings(settings), keys[0])
    return InstanceIdentity(
        name=instance_name(settings),
        version=__version__,
        url=(settings.web.url or "") if settings.web.enabled else "",
        max_accounts=settings.cluster.max_accounts,
        configuration=digest.whole,
        settings=digest.text,
        keys=tuple(key_id(key) for key in keys),
    )


async def replace_key(loaded: LoadedSettings, *, forget: bool) -> str:
    """Encrypts the saved logins with the first key of `storage.key`; returns a sentence for the terminal.

    With `forget` the key of before is lost: the saved logins are deleted. One commit does it, while every
    running instance has the new key. Raises `SettingsError`, `Wx2MqttError`, and then nothing was changed.
    """
    language, storage = loaded.settings.language, loaded.settings.storage
    if storage.url is None:
        raise Wx2MqttError(NOT_SHARED)
    keys = login_keys(storage)

    def job(connection: Connection) -> list[str] | None:
        hold_key_alone(connection)
        if lacking := instances_without_key(connection, key_id(keys[0])):
            raise Wx2MqttError(bridge_text(language, "key_lacking", instances=", ".join(lacking)))
        return forget_logins(connection, keys[0]) if forget else rotate_key(connection, keys)

    database = await open_database(loaded)
    try:
        accounts = await database.write("rotate_key", job)
    except WrongStoreKey:
        raise wrong_key_error(loaded) from None
    finally:
        await database.close()
    if accounts is None:
        return bridge_text(language, "key_is_new")
    text = "key_logins_forgotten" if forget else "key_replaced"
    return bridge_text(language, text, count=len(accounts), accounts=", ".join(accounts) or "-")


async def cluster_report(loaded: LoadedSettings) -> Json:
    """Returns the instances and where each account runs, as the database says.

    Raises `Wx2MqttError`.
    """
    storage = loaded.settings.storage
    if storage.url is None:
        raise Wx2MqttError(NOT_SHARED)
    keys = account_keys(tuple(loaded.settings.accounts), str(loaded.path or "the settings"))
    password = secret_value(storage.password)
    listener = await PostgresqlListener.open(storage.url, CHANNEL, password=password)
    try:
        snapshot = await read_snapshot(listener)
    finally:
        await listener.close()
    owners = {account: snapshot.owner_of(key) for account, key in keys.items()}
    return {
        "instances": [_instance_line(row, owners) for row in snapshot.instances],
        "accounts": [{"account": account, "instance": owner} for account, owner in owners.items()],
    }


def _instance_line(row: InstanceRow, owners: Mapping[str, str]) -> dict[str, Json]:
    if not row.has_session:
        state = "gone"
    elif row.age >= SILENT_SECONDS:
        state = "silent"
    else:
        state = "draining" if row.is_draining else "running"
    return {
        "instance": row.name,
        "state": state,
        "accounts": sum(owner == row.name for owner in owners.values()) if row.has_session else 0,
        "max_accounts": row.max_accounts,
        "lag": round(max(0.0, row.age), 1),
        "version": row.version,
        "url": row.url,
    }


class ClusterNode:
    """This process in the cluster, and its figures. Raises `SettingsError` for names of accounts.

    `accounts` are begun and stopped as the cluster decides.
    """

    def __init__(
        self, loaded: LoadedSettings, stores: Stores, accounts: AccountHost, statistics: ClusterStatistics
    ) -> None:
        keys = account_keys(tuple(loaded.settings.accounts), str(loaded.path or "the settings"))
        assert isinstance(stores.database, PostgresqlDatabase)  # `storage.url` is set
        assert isinstance(stores.saved_logins, EncryptedLogins)
        self._logins = stores.saved_logins
        self.takeover = AccountTakeover(
            stores.database,
            instance_identity(loaded),
            keys,
            accounts,
            stores.lease,
            statistics,
            check_key=self._logins.check_key,
        )
        self._statistics = statistics
        self._join_accounts(loaded)

    def _join_accounts(self, loaded: LoadedSettings) -> None:
        """Keeps accounts together that are each other's fallback: one is asked in the same process only."""
        known = frozenset(self.takeover.keys)
        groups = (group & known for group in loaded.settings.joined_accounts())
        self.takeover.groups = tuple(group for group in groups if len(group) > 1)

    async def use_keys(self, loaded: LoadedSettings) -> None:
        """Uses the keys of saved logins of a file that is reloaded. Raises `SettingsError`."""
        try:
            await self._logins.use_keys(login_keys(loaded.settings.storage))
        except WrongStoreKey:
            raise wrong_key_error(loaded) from None

    async def reload(self, loaded: LoadedSettings) -> None:
        """Lets the others know the settings after a reload, as far as the database answers."""
        self._join_accounts(loaded)
        with suppress(StoreError):
            await self.takeover.update(instance_identity(loaded))

    async def leave(self) -> None:
        """Gives all accounts up in order, as far as the database answers."""
        with suppress(StoreError):
            await self.takeover.leave()

    async def drain(self) -> Json:
        """Lets the other instances have all accounts until `end_drain`. Raises `Wx2MqttError` without any."""
        state = self.state()
        others = [item.name for item in state.instances if not (item.is_here or item.is_draining)]
        if not others:
            raise Wx2MqttError("no other instance could take the accounts; start one first")
        await self.takeover.set_drained(is_drained=True)
        return {"draining": [*sorted(state.own_accounts)], "others": [*others]}

    async def end_drain(self) -> Json:
        await self.takeover.set_drained(is_drained=False)
        return {"draining": False}

    @property
    def is_drained(self) -> bool:
        """Whether this instance was told to take no accounts."""
        return any(item.is_here and item.is_draining for item in self.state().instances)

    def owner_of(self, account: str) -> str:
        """Returns the name of the instance that runs an account; empty if none does."""
        key = self.takeover.keys.get(account)
        return "" if key is None else self.takeover.snapshot.owner_of(key)

    def state(self) -> ClusterState:
        """Returns what the page and the metrics show."""
        takeover, statistics = self.takeover, self._statistics
        owners = {account: self.owner_of(account) for account in takeover.keys}
        instances = tuple(
            InstanceState(
                name=row.name,
                url=row.url,
                version=row.version,
                accounts=tuple(account for account, owner in owners.items() if owner == row.name),
                is_here=row.name == takeover.identity.name,
                is_draining=row.is_draining,
            )
            for row in takeover.snapshot.instances
            if row.has_session
        )
        return ClusterState(
            instances=instances,
            accounts=tuple(takeover.keys),
            waiting=tuple(account for account, owner in owners.items() if not owner),
            differences=takeover.differences,
            heartbeat_seconds=statistics.heartbeat_seconds,
            look_seconds=statistics.look_seconds,
            failovers=statistics.failovers,
            lost_connections=statistics.lost_connections,
            has_lease=takeover.has_lease,
        )
