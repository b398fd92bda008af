"""The rows and locks of instances in the database. `InstanceLease` and `AccountTakeover` run the jobs below.

    instance     one row for each instance, with its heartbeat; it is live while its session locks its name
    ownership    one row for each account: who ran it last, since when, and whether it was given up in order
    drained      the instances that take no accounts until somebody tells them otherwise

An advisory lock has two keys of 32 bits. The first is `LOCK_NAMESPACE` for an account and
`INSTANCE_NAMESPACE` for an instance; the second is `lock_key` of its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from wx2mqtt.cluster.observation import SILENT_SECONDS, InstanceRow, Snapshot
from wx2mqtt.errors import Problem, SettingsError
from wx2mqtt.store.database import Connection
from wx2mqtt.store.postgresql_database import LOCK_NAMESPACE, PostgresqlListener
from wx2mqtt.store.statements import Statement
from wx2mqtt.values import frozen

INSTANCE_NAMESPACE: Final = LOCK_NAMESPACE + 1

# The channel on which instances say that an account is free, or that they come or go.
CHANNEL = "wx2mqtt"


@frozen
class InstanceIdentity:
    """What an instance says about itself."""

    name: str
    version: str
    #: The address of its page, empty without one.
    url: str
    max_accounts: int | None
    #: `ConfigurationDigest.whole`.
    configuration: str = ""
    #: `ConfigurationDigest.text`.
    settings: str = "{}"
    #: The ids of its keys of saved logins. The digests are made with the first key.
    login_key_ids: tuple[str, ...] = ()


def lock_key(name: str) -> int:
    """Returns the second key of a lock: 31 bits of the SHA-256 of the name, and never 0.

    0 is the key of the lock that migrations take.
    """
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") & 0x7FFFFFFF
    return key or 1


def check_account_locks(accounts: Sequence[str], file: str) -> None:
    """Raises `SettingsError` where two accounts have the same `lock_key`."""
    accounts_by_key: dict[int, str] = {}
    for name in accounts:
        other = accounts_by_key.setdefault(lock_key(name), name)
        if other != name:
            text = f"its lock in the database is that of account {other}, by chance; give one another name"
            raise SettingsError((Problem(file, 0, f"accounts.{name}", text),))


# Jobs for the connection that writes. A lock belongs to its session, a change of a row to a transaction.


def try_lock(connection: Connection, namespace: int, name: str) -> bool:
    """Takes the lock of a name, unless somebody else has it."""
    (is_taken,) = connection.execute(_TRY_LOCK, (namespace, lock_key(name))).fetchone()
    return bool(is_taken)


def try_lock_accounts(connection: Connection, names: Sequence[str]) -> list[str]:
    """Locks the accounts that nobody else has locked; returns their names."""
    return [name for name in names if try_lock(connection, LOCK_NAMESPACE, name)]


def unlock_account(connection: Connection, name: str) -> None:
    """Gives the lock of an account up, and notifies all instances."""
    connection.execute(_UNLOCK, (LOCK_NAMESPACE, lock_key(name)))
    connection.execute(_NOTIFY, (CHANNEL, ""))


def register(connection: Connection, identity: InstanceIdentity, *, is_leaving: bool) -> None:
    """Stores the row of an instance, in place of an older one of the same name. A drain goes on."""
    (is_drained,) = connection.execute(_IS_DRAINED, (identity.name,)).fetchone()
    values = (
        identity.name,
        identity.url,
        identity.version,
        identity.max_accounts,
        identity.configuration,
        identity.settings,
        lock_key(identity.name),
        is_leaving or is_drained,
        " ".join(identity.login_key_ids),
    )
    connection.execute(_REGISTER, values)
    connection.execute(_NOTIFY, (CHANNEL, ""))


def beat(connection: Connection, name: str) -> bool:
    """Stores a heartbeat; returns False if the row is gone."""
    return connection.execute(_BEAT, (name,)).rowcount == 1


def set_draining(connection: Connection, name: str, *, is_draining: bool) -> None:
    """Lets an instance take no accounts, or take some again. This holds until its row is deleted."""
    connection.execute(_SET_DRAINING, (name, is_draining))
    connection.execute(_NOTIFY, (CHANNEL, ""))


def set_drained(connection: Connection, name: str, *, is_drained: bool) -> None:
    """Lets an instance take no accounts, or take some again. This holds also when it is started again."""
    connection.execute(_ADD_DRAIN if is_drained else _END_DRAIN, (name,))
    set_draining(connection, name, is_draining=is_drained)


def leave(connection: Connection, name: str) -> None:
    """Deletes the row of an instance that has given up its accounts."""
    connection.execute(_LEAVE, (name,))
    connection.execute(_NOTIFY, (CHANNEL, ""))


def instances_without_key(connection: Connection, key_id: str) -> list[str]:
    """Returns the live instances that do not have a key of saved logins."""
    values = (key_id, SILENT_SECONDS, INSTANCE_NAMESPACE)
    return [name for (name,) in connection.execute(_INSTANCES_WITHOUT_KEY, values)]


def record_taken(connection: Connection, names: Sequence[str], instance: str) -> list[str]:
    """Stores who runs accounts now; returns those that another instance ran and did not give up in order."""
    failovers = []
    for name in names:
        row = connection.execute(_PREVIOUS_OWNER, (name,)).fetchone()
        if row is not None:
            previous_instance, was_released = row
            if previous_instance != instance and not was_released:
                failovers.append(name)
        connection.execute(_STORE_OWNER, (name, instance))
    connection.execute(_NOTIFY, (CHANNEL, ""))  # a previous owner then looks whether it still has its session
    return failovers


# Jobs for the connection that listens


async def read_snapshot(listener: PostgresqlListener, accounts: Sequence[str]) -> Snapshot:
    """Returns the rows of all instances, and who has locked these accounts."""
    ((locks, instances),) = await listener.fetch(_SNAPSHOT, (LOCK_NAMESPACE, INSTANCE_NAMESPACE))
    pids = dict(locks)
    return Snapshot(
        instances=tuple(InstanceRow(**row) for row in instances),
        lock_holders={name: pids[key] for name in accounts if (key := lock_key(name)) in pids},
    )


async def end_session(listener: PostgresqlListener, row: InstanceRow) -> bool:
    """Ends the session of an instance, if its heartbeat is still the same; returns whether it did."""
    values = (row.name, row.pid, row.heartbeat, INSTANCE_NAMESPACE)
    return bool(await listener.fetch(_END_SESSION, values))


async def read_differences(listener: PostgresqlListener, name: str, other: str) -> tuple[str, ...]:
    """Returns the keys of the configuration in which two instances differ."""
    return tuple(key for (key,) in await listener.fetch(_DIFFERENCES, (name, other)))


# Statements

_TRY_LOCK = Statement("SELECT pg_try_advisory_lock(?1::int, ?2::int)")

_UNLOCK = Statement("SELECT pg_advisory_unlock(?1::int, ?2::int)")

_NOTIFY = Statement("SELECT pg_notify(?1, ?2)")

_IS_DRAINED = Statement("SELECT EXISTS (SELECT 1 FROM drained WHERE instance = ?1)")

_REGISTER = Statement("""
    INSERT INTO instance
        (name, pid, url, version, max_accounts, configuration, settings, lock_key, draining, keys)
    VALUES (?1, pg_backend_pid(), ?2, ?3, ?4, ?5, ?6::text::jsonb, ?7, ?8, ?9)
    ON CONFLICT (name) DO UPDATE SET
        pid = excluded.pid, url = excluded.url, version = excluded.version,
        max_accounts = excluded.max_accounts,
        configuration = excluded.configuration, settings = excluded.settings, draining = excluded.draining,
        keys = excluded.keys, started = excluded.started, heartbeat = excluded.heartbeat,
        server_started = excluded.server_started
""")

_BEAT = Statement("""
    UPDATE instance SET heartbeat = clock_timestamp() WHERE name = ?1 AND pid = pg_backend_pid()
""")

_SET_DRAINING = Statement("UPDATE instance SET draining = ?2 WHERE name = ?1")

_ADD_DRAIN = Statement("INSERT INTO drained (instance) VALUES (?1) ON CONFLICT DO NOTHING")

_END_DRAIN = Statement("DELETE FROM drained WHERE instance = ?1")

_LEAVE = Statement("DELETE FROM instance WHERE name = ?1 AND pid = pg_backend_pid()")

_INSTANCES_WITHOUT_KEY = Statement("""
    SELECT name FROM instance WHERE ?1 <> ALL (string_to_array(keys, ' ')) AND (
        clock_timestamp() - heartbeat < make_interval(secs => ?2) OR (pid, lock_key) IN
            (SELECT pid, objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint = ?3))
    ORDER BY name
""")

_PREVIOUS_OWNER = Statement("SELECT instance, released IS NOT NULL FROM ownership WHERE account = ?1")

_STORE_OWNER = Statement("""
    INSERT INTO ownership (account, instance) VALUES (?1, ?2)
    ON CONFLICT (account) DO UPDATE SET
        instance = excluded.instance, since = excluded.since, released = NULL
""")

_SNAPSHOT = Statement("""
    WITH held AS MATERIALIZED (
        SELECT classid::bigint AS space, objid::bigint AS key, pid FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND classid::bigint IN (?1, ?2)
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
    SELECT
        (SELECT coalesce(json_agg(json_build_array(key, pid)), '[]') FROM held WHERE space = ?1),
        (SELECT coalesce(json_agg(json_build_object(
            'name', name, 'pid', pid, 'heartbeat', heartbeat::text,
            'has_session', (?2::bigint, lock_key, pid) IN (SELECT space, key, held.pid FROM held),
            'age', extract(epoch FROM clock_timestamp() - heartbeat),
            'is_of_this_server', server_started = pg_postmaster_start_time(),
            'version', version, 'url', url, 'max_accounts', max_accounts, 'is_draining', draining <> 0,
            'configuration', configuration) ORDER BY name), '[]') FROM instance)
""")

_END_SESSION = Statement("""
    SELECT pg_terminate_backend(pid) FROM instance
    WHERE name = ?1 AND pid = ?2 AND heartbeat = ?3::timestamptz
        AND server_started = pg_postmaster_start_time()
        AND (pid, lock_key) IN
            (SELECT pid, objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint = ?4)
""")

# Digests of different keys of saved logins cannot be compared.
_DIFFERENCES = Statement("""
    SELECT key FROM jsonb_each_text((SELECT settings FROM instance WHERE name = ?1)) AS own (key, mine)
    FULL JOIN jsonb_each_text((SELECT settings FROM instance WHERE name = ?2)) AS other (key, theirs)
        USING (key)
    WHERE mine IS DISTINCT FROM theirs AND split_part((SELECT keys FROM instance WHERE name = ?1), ' ', 1)
        = split_part((SELECT keys FROM instance WHERE name = ?2), ' ', 1)
    ORDER BY key LIMIT 100
""")

# The row of an instance that has been gone for long.
FORGET = Statement("DELETE FROM instance WHERE name = ?1 AND pid = ?2 AND heartbeat = ?3::timestamptz")

RELEASE = Statement("UPDATE ownership SET released = clock_timestamp() WHERE account = ?1 AND instance = ?2")
