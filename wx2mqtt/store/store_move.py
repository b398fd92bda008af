"""Moves a store from one kind of database to another: its rows, and its saved logins.

The rows are the same in both kinds. The saved logins are files beside SQLite, and rows in PostgreSQL, where
everybody with rights on the database could read them: a key that only the instances have encrypts them.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wx2mqtt.bounded_json import load_json
from wx2mqtt.errors import StoreError
from wx2mqtt.limits import SAVED_LOGIN_JSON
from wx2mqtt.store.database import Connection, Database, Job, NamedRow
from wx2mqtt.store.queries import insert_rows
from wx2mqtt.store.saved_logins import SavedLogin, SavedLogins

# The tables of a store, and the columns by which their rows are read in pages.
TABLES: Final[Mapping[str, Sequence[str]]] = {
    "meta": ("name",),
    "account": ("name",),
    "publication": ("id",),
    "seen": ("account", "key"),
    "command": ("id",),
    "person": ("account", "id"),
    "level": ("account", "level"),
    "media": ("id",),
    "deed": ("account", "session", "mid"),
}
ROWS_PER_PAGE = 500

_TABLES_WITH_NEW_IDS = ("publication", "command")
_NONCE_BYTES = 12
_SEAL_VERSION = b"\x01"
_SCHEMA_VERSION = "schema_version"  # a row of `meta` that belongs to the database and not to the store


def _add_nothing(_target: Connection) -> None:
    """For a store whose saved logins are files."""


async def copy_store(
    source: Database, target: Database, add_more: Job[None] = _add_nothing
) -> dict[str, int]:
    """Replaces all rows of `target` by those of `source` in one commit; returns how many by table.

    `add_more` runs in the same commit. `source` may be in use: its rows are those of one moment. Raises
    `StoreFull`, `StoreError`, and then `target` is as it was.
    """
    loop = asyncio.get_running_loop()

    def job(target_connection: Connection) -> dict[str, int]:
        # The thread of the source writes to the target as well, while that of the target waits here.
        copying = source.read_snapshot(lambda connection: _replace_rows(connection, target_connection))
        copied = asyncio.run_coroutine_threadsafe(copying, loop).result()
        add_more(target_connection)
        return copied

    return await target.write("copy", job)


def _replace_rows(source: Connection, target: Connection) -> dict[str, int]:
    for table in TABLES:
        where = f" WHERE name <> '{_SCHEMA_VERSION}'" if table == "meta" else ""
        target.execute(f"DELETE FROM {table}{where}")  # noqa: S608
    copied = {table: _copy_table(source, target, table) for table in TABLES}
    for table in _TABLES_WITH_NEW_IDS:
        target.continue_ids(table)
    return copied


def _copy_table(source: Connection, target: Connection, table: str) -> int:
    count = 0
    after: list[object] | None = None
    while rows := _next_page(source, table, after):
        names = list(rows[0].keys())
        after = [rows[-1][name] for name in TABLES[table]]
        values = [tuple(row[name] for name in names) for row in rows]
        if table == "meta":
            values = [row for row in values if row[names.index("name")] != _SCHEMA_VERSION]
        marks = ", ".join("?" * len(names))
        # PostgreSQL lets a key be remembered twice.
        statement = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608
        if table != "seen":
            statement = statement.replace(" OR IGNORE", "")
        insert_rows(target, statement, values)
        count += len(values)
    return count


def _next_page(source: Connection, table: str, after: list[object] | None) -> list[NamedRow]:
    order = ", ".join(TABLES[table])
    marks = ", ".join("?" * len(TABLES[table]))
    where = f" WHERE ({order}) > ({marks})" if after is not None else ""
    statement = f"SELECT * FROM {table}{where} ORDER BY {order} LIMIT ?"  # noqa: S608
    return list(source.named_rows(statement, [*(after or ()), ROWS_PER_PAGE]))


class EncryptedLogin(SavedLogin):
    """The saved login of one account as a row, encrypted: what `SavedLoginFile` is as a file.

    The account is authenticated with it: the row of one account cannot be used for another one.
    """

    def __init__(self, database: Database, account: str, key: bytes) -> None:
        self._database = database
        self._account = account
        self._cipher = AESGCM(key)

    async def load(self) -> Mapping[str, object] | None:
        """Returns the saved session, or None. Raises `StoreError`, also if it was saved with another key."""
        row = await self._database.read(
            lambda db: db.execute("SELECT sealed FROM login WHERE account = ?", (self._account,)).fetchone()
        )
        if row is None:
            return None
        session = load_json(self._open(bytes(row[0])), SAVED_LOGIN_JSON)
        return session if isinstance(session, dict) else None

    async def save(self, session: Mapping[str, object]) -> None:
        """Replaces the saved session durably. Raises `StoreFull`, `StoreError`."""
        await self._database.write("login", lambda db: self.put(session, db))

    def put(self, session: Mapping[str, object], connection: Connection) -> None:
        """Replaces the saved session as a part of a write job."""
        connection.execute(
            "INSERT INTO login (account, sealed) VALUES (?, ?)"
            " ON CONFLICT (account) DO UPDATE SET sealed = excluded.sealed",
            (self._account, self._seal(json.dumps(dict(session)).encode())),
        )

    async def clear(self) -> None:
        statement = "DELETE FROM login WHERE account = ?"
        await self._database.write("logout", lambda db: db.execute(statement, (self._account,)))

    def _seal(self, data: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _SEAL_VERSION + nonce + self._cipher.encrypt(nonce, data, self._account.encode())

    def _open(self, sealed: bytes) -> bytes:
        nonce, data = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if not sealed.startswith(_SEAL_VERSION):
                raise InvalidTag
            return self._cipher.decrypt(nonce, data, self._account.encode())
        except (InvalidTag, ValueError):
            raise StoreError(
                f"The saved login of {self._account} cannot be decrypted: it was saved with another key."
            ) from None


class EncryptedLogins(SavedLogins):
    """The rows of the table `login`. `key` has 32 bytes."""

    def __init__(self, database: Database, key: bytes) -> None:
        self._database = database
        self._key = key

    def of(self, account: str) -> EncryptedLogin:
        return EncryptedLogin(self._database, account, self._key)

    async def accounts(self) -> set[str]:
        rows = await self._database.read(lambda db: db.execute("SELECT account FROM login").fetchall())
        return {account for (account,) in rows}

    async def delete(self, account: str) -> None:
        await self.of(account).clear()
        statement = "DELETE FROM mark WHERE account = ?"
        await self._database.write("purge", lambda db: db.execute(statement, (account,)))

    def replace_all(self, sessions: Mapping[str, Mapping[str, object]], connection: Connection) -> None:
        """Replaces the saved logins of all accounts as a part of a write job."""
        connection.execute("DELETE FROM login")
        for account, session in sessions.items():
            self.of(account).put(session, connection)
