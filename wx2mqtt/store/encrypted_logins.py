"""The saved logins of a store in PostgreSQL: rows that are encrypted with `storage.key`.

    await EncryptedLogins(database, [key]).of("home").save(session)

The tables:

    login         what was saved: AES-GCM, with the account and the number of the login as associated data
    login_number  the number of the login that was saved or deleted last, written in the same commit
    login_key     a constant that is encrypted with the key: whoever cannot open it has another key

An instance has one key, or a new one and then the one before. `login_key` alone says which of them is in use,
so that all instances change at the same moment (`rotate_key`). A write job that saves a login holds the key
in use (`hold_key`), one that changes the key holds it alone (`hold_key_alone`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from functools import partial

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wx2mqtt.bounded_json import load_json
from wx2mqtt.errors import StoreError, WrongStoreKey
from wx2mqtt.limits import SAVED_LOGIN_JSON
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.saved_logins import SavedLogin, SavedLogins
from wx2mqtt.store.statements import Statement

log = structlog.get_logger(__name__)

Keys = Sequence[bytes]

_NONCE_BYTES = 12
_NUMBER_BYTES = 8

# The first byte of a row. Stores before version 8 have no numbers.
_FORMAT_WITHOUT_NUMBER = b"\x01"
_FORMAT_WITH_NUMBER = b"\x02"
_HEAD_BYTES = 1 + _NUMBER_BYTES

# What the row of `login_key` holds, encrypted.
_KEY_CHECK = b"wx2mqtt storage.key"
_KEY_ID_CHARACTERS = 16


class EncryptedLogins(SavedLogins):
    """The rows of the table `login`. Each key has 32 bytes."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self.keys = tuple(keys)
        self.database = database

    async def check_keys(self) -> None:
        """Compares the keys with the database, which learns the key at the first start.

        Raises `WrongStoreKey`, and other `StoreError`.
        """
        await self.database.write("login_key", self.hold_key)

    async def use_keys(self, keys: Keys) -> None:
        """Compares other keys with the database and uses them from now on. Raises `WrongStoreKey` instead.

        Where the database does not answer they are compared when a login is saved or loaded.
        """
        try:
            await EncryptedLogins(self.database, keys).check_keys()
        except WrongStoreKey:
            raise
        except StoreError as error:
            log.warning("keys of saved logins not compared with the database", problem=str(error))
        self.keys = tuple(keys)

    def hold_key(self, connection: Connection) -> None:
        """Compares the keys as a part of a write job, and keeps the key in use until its commit."""
        hold_key(connection, self.keys)

    def of(self, account: str) -> EncryptedLogin:
        return EncryptedLogin(self, account)

    async def accounts(self) -> set[str]:
        return {account for (account,) in await self.database.fetch("SELECT account FROM login")}

    async def delete(self, account: str) -> None:
        await self.database.write("purge", partial(_delete_all_of, account=account))

    def replace_all(self, sessions: Mapping[str, Mapping[str, object]], connection: Connection) -> None:
        """Replaces the saved logins of all accounts as a part of a write job; the first key is used then."""
        connection.execute(_DELETE_LOGINS)
        connection.execute(_SET_KEY, (_encrypted_check(self.keys[0]),))
        for account, session in sessions.items():
            self.of(account).put(session, connection)


class EncryptedLogin(SavedLogin):
    """The saved login of one account as a row. A row that was not saved as it is counts as none."""

    def __init__(self, logins: EncryptedLogins, account: str) -> None:
        self._logins = logins
        self._account = account

    async def load(self) -> Mapping[str, object] | None:
        """Returns the saved session, or None. Raises `WrongStoreKey`, and other `StoreError`."""
        return await self._logins.database.read(self._load)

    def _load(self, connection: Connection) -> Mapping[str, object] | None:
        row = connection.execute(_LOGIN, (self._account,)).fetchone()
        if row is None:
            return None
        sealed, number = row
        data, problem = _open_login(self._account, bytes(sealed), number, self._logins.keys)
        if data is not None:
            session = load_json(data, SAVED_LOGIN_JSON)
            return session if isinstance(session, dict) else None
        if not key_fits(connection, self._logins.keys):
            raise WrongStoreKey
        log.error("saved login is not used; scan again", account=self._account, problem=problem)
        return None

    async def save(self, session: Mapping[str, object]) -> None:
        await self._logins.database.write("login", partial(self.put, session))

    def put(self, session: Mapping[str, object], connection: Connection) -> None:
        """Replaces the saved session as a part of a write job."""
        key = hold_key(connection, self._logins.keys)
        _put_login(connection, self._account, json.dumps(dict(session)).encode(), key)

    async def clear(self) -> None:
        await self._logins.database.write("logout", partial(_delete_login, account=self._account))


# The key


def hold_key(connection: Connection, keys: Keys) -> bytes:
    """Returns which of the keys the database uses. Nobody can change it until the commit of this write job.

    A database without one learns the key that opens most of the stored logins, if that is not the lesser
    part; without a login, the first one. Raises `WrongStoreKey`.
    """
    row = connection.execute(_HOLD_KEY).fetchone()
    if row is None:
        connection.execute(_ADD_KEY, (_encrypted_check(_key_of_most_logins(connection, keys)),))
        row = connection.execute(_HOLD_KEY).fetchone()
    key = _key_that_opens(bytes(row[0]), keys)
    if key is None:
        raise WrongStoreKey
    return key


def key_fits(connection: Connection, keys: Keys) -> bool:
    """Returns whether the database uses one of the keys, or none yet that is another. Changes nothing."""
    row = connection.execute(_READ_KEY).fetchone()
    if row is not None:
        return _key_that_opens(bytes(row[0]), keys) is not None
    try:
        _key_of_most_logins(connection, keys)
    except WrongStoreKey:
        return False
    return True


def key_id(key: bytes) -> str:
    """Returns what identifies a key, and tells nothing about it: a key has 256 random bits."""
    return hmac.new(key, b"wx2mqtt key id", hashlib.sha256).hexdigest()[:_KEY_ID_CHARACTERS]


def hold_key_alone(connection: Connection) -> None:
    """Lets nobody save a login, and no instance join, until the commit of this write job."""
    connection.execute(_HOLD_KEY_ALONE)


def forget_logins(connection: Connection, key: bytes) -> list[str]:
    """Deletes all saved logins and sets another key, as a part of a write job; returns their accounts."""
    accounts = [account for account, _, _ in _all_logins(connection)]
    for account in accounts:
        _delete_login(connection, account)
    connection.execute(_SET_KEY, (_encrypted_check(key),))
    return accounts


def rotate_key(connection: Connection, keys: Keys) -> list[str] | None:
    """Encrypts all saved logins with the first key, as a part of a write job; returns their accounts.

    None if the database uses this key already. Rows that no key opens stay as they are. `hold_key_alone`
    comes before it in the job. Raises `WrongStoreKey`.
    """
    if hold_key(connection, keys) == keys[0]:
        return None
    connection.execute(_SET_KEY, (_encrypted_check(keys[0]),))
    rotated = []
    for account, sealed, number in _all_logins(connection):
        data, _ = _open_login(account, sealed, number, keys)
        if data is not None:
            _put_login(connection, account, data, keys[0])
            rotated.append(account)
    return rotated


def _key_of_most_logins(connection: Connection, keys: Keys) -> bytes:
    """Returns the key that opens most of the logins. Raises `WrongStoreKey` if that is the lesser part."""
    logins = _all_logins(connection)
    opened = dict.fromkeys(keys, 0)
    for account, sealed, number in logins:
        for key in opened:
            data, _ = _open_login(account, sealed, number, [key])
            if data is not None:
                opened[key] += 1
    best = max(keys, key=lambda key: opened[key])
    if opened[best] * 2 < len(logins):
        raise WrongStoreKey
    return best


def _all_logins(connection: Connection) -> list[tuple[str, bytes, int | None]]:
    """Returns the account, the encrypted row and the number of each saved login."""
    rows = connection.execute(_LOGINS)
    return [(account, bytes(sealed), number) for account, sealed, number in rows]


def _encrypted_check(key: bytes) -> bytes:
    """Returns a new content of the row of `login_key`, which only this key opens."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, _KEY_CHECK, _KEY_CHECK)


def _key_that_opens(check: bytes, keys: Keys) -> bytes | None:
    for key in keys:
        if _decrypt(key, check, _KEY_CHECK) == _KEY_CHECK:
            return key
    return None


# A row


def _put_login(connection: Connection, account: str, data: bytes, key: bytes) -> None:
    """Stores a login: format, number and nonce, then what the key encrypts."""
    number = _new_number(connection, account)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    head = _head(number)
    encrypted = AESGCM(key).encrypt(nonce, data, head + account.encode())
    connection.execute(_SAVE_LOGIN, (account, head + nonce + encrypted))


def _new_number(connection: Connection, account: str) -> int:
    """Returns a number that no login ever had, and stores it as the newest one of the account."""
    connection.execute(_DELETE_NUMBER, (account,))
    (number,) = connection.execute(_NEW_NUMBER, (account,)).fetchone()
    return int(number)


def _delete_login(connection: Connection, account: str) -> None:
    """Deletes a saved login, and uses its number up: a copy of the row is not used any more."""
    connection.execute(_DELETE_LOGIN, (account,))
    _new_number(connection, account)


def _delete_all_of(connection: Connection, account: str) -> None:
    """Deletes the saved login of an account that was removed, its number, and its marks of fatal messages."""
    for statement in (_DELETE_LOGIN, _DELETE_NUMBER, _DELETE_MARKS):
        connection.execute(statement, (account,))


def _open_login(account: str, sealed: bytes, number: int | None, keys: Keys) -> tuple[bytes | None, str]:
    """Returns what was saved and an empty text; None and why it is not used, if it is not.

    `number` is that of the login that was saved or deleted last: an older row may have been put back.
    """
    if sealed.startswith(_FORMAT_WITH_NUMBER):
        head = sealed[:_HEAD_BYTES]
        encrypted = sealed[_HEAD_BYTES:]
        is_newest = number is not None and head == _head(number)
        associated = head + account.encode()
    else:
        encrypted = sealed.removeprefix(_FORMAT_WITHOUT_NUMBER)
        is_newest = number is None
        associated = account.encode()
    if not is_newest:
        return None, "another one was saved later, or it was deleted"
    for key in keys:
        data = _decrypt(key, encrypted, associated)
        if data is not None:
            return data, ""
    return None, "it was not saved with this key, or it is damaged"


def _head(number: int) -> bytes:
    return _FORMAT_WITH_NUMBER + number.to_bytes(_NUMBER_BYTES, "big")


def _decrypt(key: bytes, encrypted: bytes, associated: bytes) -> bytes | None:
    """Returns the content of a nonce and what follows it; None with another key, or if it was changed."""
    nonce, data = encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:]
    try:
        return AESGCM(key).decrypt(nonce, data, associated)
    except (InvalidTag, ValueError):
        return None


# Statements

_DELETE_LOGINS = Statement("DELETE FROM login")

_SET_KEY = Statement("""
    INSERT INTO login_key (sealed) VALUES (?) ON CONFLICT ("only") DO UPDATE SET sealed = excluded.sealed
""")

_LOGIN = Statement("""
    SELECT sealed, (SELECT number FROM login_number WHERE login_number.account = login.account)
    FROM login WHERE account = ?
""")

# Waits for a change of the key that is under way, and keeps the next one away until the end of the commit.
_HOLD_KEY = Statement("SELECT sealed FROM login_key FOR SHARE")

_ADD_KEY = Statement("INSERT INTO login_key (sealed) VALUES (?) ON CONFLICT DO NOTHING")

_READ_KEY = Statement("SELECT sealed FROM login_key")

_HOLD_KEY_ALONE = Statement("SELECT sealed FROM login_key FOR UPDATE")

_LOGINS = Statement("""
    SELECT account, sealed, (SELECT number FROM login_number WHERE login_number.account = login.account)
    FROM login ORDER BY account
""")

_SAVE_LOGIN = Statement("""
    INSERT INTO login (account, sealed) VALUES (?, ?)
    ON CONFLICT (account) DO UPDATE SET sealed = excluded.sealed
""")

_DELETE_NUMBER = Statement("DELETE FROM login_number WHERE account = ?")

_NEW_NUMBER = Statement("INSERT INTO login_number (account) VALUES (?) RETURNING number")

_DELETE_LOGIN = Statement("DELETE FROM login WHERE account = ?")

_DELETE_MARKS = Statement("DELETE FROM mark WHERE account = ?")
