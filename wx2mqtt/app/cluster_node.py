"""This process as one of the instances that share a PostgreSQL database; loaded only with `storage.url`.

`ClusterNode` makes two objects from the settings, and shows what they know:

    instance    the row of this process in the database, and until when it may act for its accounts
    takeover    its accounts: it takes and starts those that no instance runs, and gives accounts up
"""

from __future__ import annotations

from contextlib import suppress

from wx2mqtt import __version__
from wx2mqtt.app.configuration import instance_name, shared_settings
from wx2mqtt.app.stores import Stores, login_keys, wrong_key_error
from wx2mqtt.cluster.account_takeover import AccountHost, AccountTakeover
from wx2mqtt.cluster.configuration_digest import digest_of
from wx2mqtt.cluster.instance_lease import InstanceLease
from wx2mqtt.cluster.observation import ClusterStatistics
from wx2mqtt.cluster.tables import InstanceIdentity, check_account_locks
from wx2mqtt.errors import StoreError, WrongStoreKey, Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import Settings
from wx2mqtt.store.encrypted_logins import EncryptedLogins, key_id
from wx2mqtt.store.postgresql_database import PostgresqlDatabase
from wx2mqtt.web.bridge_state import ClusterState, InstanceState


class ClusterNode:
    """This process in the cluster, which decides what `host` runs.

    Raises `SettingsError` where the database could not tell the locks of two accounts apart.
    """

    def __init__(
        self, loaded: LoadedSettings, stores: Stores, host: AccountHost, statistics: ClusterStatistics
    ) -> None:
        accounts = tuple(loaded.settings.accounts)
        check_account_locks(accounts, str(loaded.path or "the settings"))
        database, logins = stores.database, stores.saved_logins
        assert isinstance(database, PostgresqlDatabase)  # `storage.url` is set
        assert isinstance(logins, EncryptedLogins)
        self._logins = logins
        self._statistics = statistics
        self.instance = InstanceLease(
            database, instance_identity(loaded), stores.lease, statistics, check_login_key=logins.hold_key
        )
        self.takeover = AccountTakeover(database, self.instance, accounts, host, statistics)
        self.takeover.groups = self._account_groups(loaded.settings)

    def _account_groups(self, settings: Settings) -> tuple[frozenset[str], ...]:
        """Returns which accounts run together: one reaches its fallback accounts in its own process only."""
        known = frozenset(self.takeover.accounts)  # a reload may name new ones
        groups = (group & known for group in settings.joined_accounts())
        return tuple(group for group in groups if len(group) > 1)

    async def use_login_keys(self, loaded: LoadedSettings) -> None:
        """Uses the keys of saved logins of the new settings. Raises `SettingsError` for a wrong key."""
        try:
            await self._logins.use_keys(login_keys(loaded.settings.storage))
        except WrongStoreKey:
            raise wrong_key_error(loaded) from None

    async def reload(self, loaded: LoadedSettings) -> None:
        """Tells the other instances the new settings, if the database answers."""
        self.takeover.groups = self._account_groups(loaded.settings)
        with suppress(StoreError):
            await self.takeover.update(instance_identity(loaded))

    async def leave(self) -> None:
        """Gives all accounts up in order, if the database answers."""
        with suppress(StoreError):
            await self.takeover.leave()

    async def drain(self) -> Json:
        """Lets the other instances have all accounts until `end_drain`. Raises `Wx2MqttError` without any."""
        state = self.state()
        others = [item.name for item in state.instances if not (item.is_here or item.is_draining)]
        if not others:
            raise Wx2MqttError("no other instance could take the accounts; start one first")
        await self.instance.set_drained(is_drained=True)
        return {"draining": [*sorted(state.own_accounts)], "others": [*others]}

    async def end_drain(self) -> Json:
        await self.instance.set_drained(is_drained=False)
        return {"draining": False}

    @property
    def is_drained(self) -> bool:
        """Whether this instance was told to take no accounts."""
        return any(item.is_here and item.is_draining for item in self.state().instances)

    def owner_of(self, account: str) -> str:
        """Returns the name of the instance that runs an account; empty if none does."""
        return self.takeover.snapshot.owner_of(account)

    def state(self) -> ClusterState:
        takeover, statistics = self.takeover, self._statistics
        owners = {account: self.owner_of(account) for account in takeover.accounts}
        instances = tuple(
            InstanceState(
                name=row.name,
                url=row.url,
                version=row.version,
                accounts=tuple(account for account, owner in owners.items() if owner == row.name),
                is_here=row.name == self.instance.name,
                is_draining=row.is_draining,
            )
            for row in takeover.snapshot.instances
            if row.has_session
        )
        return ClusterState(
            instances=instances,
            accounts=takeover.accounts,
            waiting=tuple(account for account, owner in owners.items() if not owner),
            differences=takeover.differences,
            heartbeat_seconds=statistics.heartbeat_seconds,
            look_seconds=statistics.look_seconds,
            failovers=statistics.failovers,
            lost_connections=statistics.lost_connections,
            has_lease=self.instance.may_act,
        )


def instance_identity(loaded: LoadedSettings) -> InstanceIdentity:
    """Returns what this process tells the other instances."""
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
        login_key_ids=tuple(key_id(key) for key in keys),
    )
