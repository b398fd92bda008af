"""Checks the database of `storage.url`: version, rights, key, delay, clock, and whether session locks hold.

Nothing is created or changed; a schema that is missing is made by the first bridge.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from wx2mqtt.app.configuration import secret_value
from wx2mqtt.app.stores import login_keys
from wx2mqtt.diagnostics.check_report import CheckReport
from wx2mqtt.diagnostics.wechat_hosts import report_clock
from wx2mqtt.errors import StoreError
from wx2mqtt.settings.schema import Storage
from wx2mqtt.values import frozen

if TYPE_CHECKING:
    from wx2mqtt.store.postgresql_connection import PostgresqlConnection

OLDEST_VERSION, NEWEST_VERSION = 15, 17

# Each commit waits for the server once at least; more than this is felt by everybody who waits for a result.
SLOW_MS = 20.0
ROUND_TRIPS = 9

# Beside the namespace of the locks of instances, so that no bridge is disturbed.
_PROBE_NAMESPACE = 0x7778326E
_TABLE_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
_CREATE = ("CREATE",)

_IS_READ_ONLY = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'"
_MAY_LOSE_COMMITS = "SELECT current_setting('synchronous_commit') = 'off' OR current_setting('fsync') = 'off'"
_MAY_CREATE = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
_MISSING_RIGHTS = (
    "SELECT DISTINCT name FROM unnest(?::text[]) AS name, pg_class"
    " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
    " AND relname IN ('meta', 'account', 'publication', 'command', 'person', 'media', 'login')"
    " AND NOT has_table_privilege(pg_class.oid, name)"
)


@frozen
class DatabaseFacts:
    """What the database says of itself, and how two connections at the same time behave."""

    address: str
    connect_ms: float
    version: int
    version_text: str
    is_read_only: bool
    may_lose_commits: bool
    user: str
    schema: str
    #: Rights in SQL, such as INSERT.
    missing_rights: tuple[str, ...]
    #: None where the database has no key yet, or this user may not read it.
    key_fits: bool | None
    #: The usual time of an answer.
    delay_ms: float
    clock_ahead_seconds: float
    #: Another program, such as PgBouncer, shares connections to the server among its clients.
    has_pooler: bool
    #: A lock of one connection keeps another one out.
    locks_hold: bool


async def check_database(storage: Storage, report: CheckReport) -> None:
    """Adds a result for each property of the database, or one for why there is no connection."""
    if storage.url is None:
        return
    try:
        keys = login_keys(storage)
        facts = await asyncio.to_thread(_examine, storage.url, secret_value(storage.password), keys)
    except StoreError as error:
        report.failed("tcp", "storage.url", "database_unreachable", why=str(error))
        return
    except (ImportError, ValueError) as error:
        report.failed("tcp", "storage.url", "database_unusable", why=str(error))
        return
    report.ok("tcp", facts.address, "tcp_ok", ms=max(1, round(facts.connect_ms)))
    _report_version(facts, report)
    _report_rights(facts, report)
    _report_key(facts, report)
    _report_commits(facts, report)
    report_clock(report, facts.address, facts.clock_ahead_seconds)
    _report_pooler(facts, report)


def _examine(url: str, password: str | None, keys: Sequence[bytes]) -> DatabaseFacts:
    from wx2mqtt.store.postgresql_connection import PostgresqlConnection, check_url  # noqa: PLC0415 - needs psycopg

    check_url(url)
    started_at = time.perf_counter()
    with closing(PostgresqlConnection.open(url, password)) as first:
        connect_ms = (time.perf_counter() - started_at) * 1000
        with closing(PostgresqlConnection.open(url, password)) as second:
            missing_rights = _missing_rights(first)
            delay_ms, clock_ahead = _measure(first)
            return DatabaseFacts(
                address=first.address,
                connect_ms=connect_ms,
                version=_ask(first, "SELECT current_setting('server_version_num')::int") // 10_000,
                version_text=_ask(first, "SELECT current_setting('server_version')"),
                is_read_only=_ask(first, _IS_READ_ONLY),
                may_lose_commits=_ask(first, _MAY_LOSE_COMMITS),
                user=_ask(first, "SELECT current_user"),
                schema=_ask(first, "SELECT coalesce(current_schema(), '')"),
                missing_rights=missing_rights,
                key_fits=None if missing_rights else _key_fits(first, keys),
                delay_ms=delay_ms,
                clock_ahead_seconds=clock_ahead,
                has_pooler=not (first.is_direct() and second.is_direct()),
                locks_hold=_locks_hold(first, second),
            )


def _ask(connection: PostgresqlConnection, statement: str, values: Sequence[object] = ()) -> Any:
    """Returns the only value that a statement selects."""
    (value,) = connection.first_row(statement, values)
    return value


def _missing_rights(connection: PostgresqlConnection) -> tuple[str, ...]:
    """Returns the rights that the user lacks; whoever has made the tables has all of them."""
    if not _ask(connection, "SELECT to_regclass('meta') IS NOT NULL"):
        return () if _ask(connection, _MAY_CREATE) else _CREATE
    rows = connection.execute(_MISSING_RIGHTS, (list(_TABLE_RIGHTS),))
    missing = {name for (name,) in rows}
    return tuple(name for name in _TABLE_RIGHTS if name in missing)


def _key_fits(connection: PostgresqlConnection, keys: Sequence[bytes]) -> bool | None:
    from wx2mqtt.store.encrypted_logins import key_fits  # noqa: PLC0415 - needs cryptography

    has_table = _ask(connection, "SELECT to_regclass('login_key') IS NOT NULL")
    if not has_table or not connection.first_row("SELECT 1 FROM login_key"):
        return None
    return key_fits(connection, keys)


def _measure(connection: PostgresqlConnection) -> tuple[float, float]:
    """Returns the usual time of an answer (ms), and by how much the clock of this machine is ahead (s)."""
    times: list[float] = []
    ahead = 0.0
    for _ in range(ROUND_TRIPS):
        sent, sent_at = time.time(), time.perf_counter()
        server_time = _ask(connection, "SELECT extract(epoch FROM clock_timestamp())::float8")
        times.append(time.perf_counter() - sent_at)
        ahead = sent + times[-1] / 2 - server_time
    return statistics.median(times) * 1000, ahead


def _locks_hold(first: PostgresqlConnection, second: PostgresqlConnection) -> bool:
    """Returns whether a lock of one connection keeps another one out, between transactions as well.

    A pooler that gives a session of the server to whoever has a transaction lets both of them have it.
    """
    key = (_PROBE_NAMESPACE, secrets.randbits(31))
    first.first_row("SELECT pg_try_advisory_lock(?::int, ?::int)", key)
    try:
        has_both = _ask(second, "SELECT pg_try_advisory_lock(?::int, ?::int)", key)
    finally:
        first.first_row("SELECT pg_advisory_unlock(?::int, ?::int)", key)
    if has_both:
        second.first_row("SELECT pg_advisory_unlock(?::int, ?::int)", key)
    return not has_both


def _report_version(facts: DatabaseFacts, report: CheckReport) -> None:
    details = {"version": facts.version_text, "oldest": OLDEST_VERSION, "newest": NEWEST_VERSION}
    if facts.version < OLDEST_VERSION:
        report.failed("database_version", facts.address, "database_too_old", **details)
    elif facts.version > NEWEST_VERSION:
        report.warning("database_version", facts.address, "database_untested", **details)
    else:
        report.ok("database_version", facts.address, "database_version_ok", **details)


def _report_rights(facts: DatabaseFacts, report: CheckReport) -> None:
    rights, schema = ", ".join(facts.missing_rights), facts.schema or "public"
    details = {"user": facts.user, "rights": rights, "schema": schema}
    if facts.is_read_only:
        report.failed("rights", facts.address, "database_read_only")
    elif facts.missing_rights == _CREATE:
        report.failed("rights", facts.address, "database_no_right_to_create", **details)
    elif facts.missing_rights:
        report.failed("rights", facts.address, "database_rights_missing", **details)
    else:
        report.ok("rights", facts.address, "database_rights_ok", **details)


def _report_key(facts: DatabaseFacts, report: CheckReport) -> None:
    if facts.key_fits is None:
        report.ok("key", "storage.key", "database_key_none")
    elif facts.key_fits:
        report.ok("key", "storage.key", "database_key_ok")
    else:
        report.failed("key", "storage.key", "database_key_wrong")


def _report_commits(facts: DatabaseFacts, report: CheckReport) -> None:
    delay = {"ms": f"{facts.delay_ms:.1f}"}
    if facts.delay_ms > SLOW_MS:
        report.warning("delay", facts.address, "database_slow", **delay)
    else:
        report.ok("delay", facts.address, "database_delay_ok", **delay)
    if facts.may_lose_commits:
        report.warning("durability", facts.address, "database_not_durable")
    else:
        report.ok("durability", facts.address, "database_durable")


def _report_pooler(facts: DatabaseFacts, report: CheckReport) -> None:
    if not facts.locks_hold:
        report.failed("pooler", facts.address, "locks_broken_by_pooler")
    elif facts.has_pooler:
        report.ok("pooler", facts.address, "locks_hold_through_pooler")
    else:
        report.ok("pooler", facts.address, "locks_hold")
