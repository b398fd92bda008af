"""What `wx2mqtt cluster` does on the database, without a running bridge: the report, and a new key of logins.

Loaded only with `storage.url`: it needs psycopg.
"""

from __future__ import annotations

from collections.abc import Mapping

from wx2mqtt.app.configuration import secret_value
from wx2mqtt.app.stores import NOT_SHARED, login_keys, open_database, wrong_key_error
from wx2mqtt.cluster.observation import SILENT_SECONDS, InstanceRow
from wx2mqtt.cluster.tables import CHANNEL, check_account_locks, instances_without_key, read_snapshot
from wx2mqtt.errors import WrongStoreKey, Wx2MqttError
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Json
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.store.database import Connection
from wx2mqtt.store.encrypted_logins import forget_logins, hold_key_alone, key_id, rotate_key
from wx2mqtt.store.postgresql_database import PostgresqlListener


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
    accounts = tuple(loaded.settings.accounts)
    check_account_locks(accounts, str(loaded.path or "the settings"))
    password = secret_value(storage.password)
    listener = await PostgresqlListener.open(storage.url, CHANNEL, password=password)
    try:
        snapshot = await read_snapshot(listener, accounts)
    finally:
        await listener.close()
    owners = {account: snapshot.owner_of(account) for account in accounts}
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
