"""Saved logins in PostgreSQL are encrypted with the key of the database, and an old row counts as none."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator
from functools import partial

import psycopg
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.postgresql import empty_database, new_database
from wx2mqtt.errors import WrongStoreKey
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.encrypted_logins import (
    EncryptedLogins,
    forget_logins,
    hold_key_alone,
    key_fits,
    key_id,
    rotate_key,
)
from wx2mqtt.store.postgresql_database import MIGRATIONS_FOLDER, PostgresqlDatabase

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
SOMEBODY_WAITS = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)"
SESSION = {"cookies": ["geheim"], "nickname": "a\ud83d", "nul": "\0"}


@pytest.fixture
async def database() -> AsyncIterator[PostgresqlDatabase]:
    opened = await PostgresqlDatabase.open(empty_database())
    yield opened
    await opened.close()


def _sealed(connection: Connection, account: str = "home") -> bytes:
    return bytes(connection.execute("SELECT sealed FROM login WHERE account = ?", (account,)).fetchone()[0])


def _all_text(connection: Connection) -> str:
    rows = connection.execute("SELECT sealed::text FROM login_key UNION ALL SELECT sealed::text FROM login")
    return " ".join(text for (text,) in rows)


async def store_old_row(database: Database, sealed: bytes, account: str = "home") -> None:
    def job(connection: Connection) -> None:
        connection.execute("DELETE FROM login WHERE account = ?", (account,))
        connection.execute("INSERT INTO login (account, sealed) VALUES (?, ?)", (account, sealed))

    await database.write("forge", job)


async def check_refused(database: Database, key: bytes = OTHER_KEY) -> None:
    """Checks that the database refuses an instance with another key."""
    with pytest.raises(WrongStoreKey):
        await EncryptedLogins(database, [key]).check_keys()


def sealed_by_version_7(account: str, key: bytes) -> bytes:
    nonce = secrets.token_bytes(12)
    return b"\x01" + nonce + AESGCM(key).encrypt(nonce, b'{"old": true}', account.encode())


async def rotate(database: Database, keys: list[bytes]) -> list[str] | None:
    def job(connection: Connection) -> list[str] | None:
        hold_key_alone(connection)
        return rotate_key(connection, keys)

    return await database.write("rotate", job)


async def test_a_saved_login_is_loaded_and_gone_after_a_logout(database: PostgresqlDatabase) -> None:
    login = EncryptedLogins(database, [KEY]).of("home")
    assert await login.load() is None
    await login.save({"old": True})
    await login.save(SESSION)
    assert await EncryptedLogins(database, [KEY]).of("home").load() == SESSION
    assert await EncryptedLogins(database, [KEY]).of("other").load() is None
    await login.clear()
    await login.clear()
    assert await login.load() is None


async def test_the_database_has_nothing_that_can_be_read_and_no_login_twice_alike(
    database: PostgresqlDatabase,
) -> None:
    login = EncryptedLogins(database, [KEY]).of("home")
    sealed = []
    for _ in range(2):
        await login.save(SESSION)
        sealed.append(await database.read(_sealed))
    assert b"geheim" not in sealed[0]
    assert sealed[0] != sealed[1]
    stored = await database.read(_all_text)
    assert not [part for part in (KEY[:4].hex(), b"geheim".hex(), key_id(KEY)) if part in stored]


@pytest.mark.parametrize("damage", ["account", "byte", "number", "version", "empty"])
async def test_a_row_that_is_not_what_was_saved_counts_as_no_login(
    database: PostgresqlDatabase, damage: str
) -> None:
    logins = EncryptedLogins(database, [KEY])
    await logins.of("home").save(SESSION)
    await logins.of("other").save({"mine": 1})
    sealed = await database.read(_sealed)
    changed = {
        "byte": sealed[:-1] + bytes([sealed[-1] ^ 1]),
        "number": sealed[:1] + bytes(7) + b"\x02" + sealed[9:],  # that of `other`
        "version": b"\x01" + sealed[1:],
        "empty": b"",
    }.get(damage, sealed)
    account = "home" if damage in ("byte", "version", "empty") else "other"
    await store_old_row(database, changed, account)
    assert await logins.of(account).load() is None
    await logins.of(account).save(SESSION)
    assert await logins.of(account).load() == SESSION


async def test_a_login_that_is_put_back_is_not_used(database: PostgresqlDatabase) -> None:
    """This holds after a later login, after a logout, and after the account was purged."""
    logins = EncryptedLogins(database, [KEY])
    login = logins.of("home")
    await login.save({"login": 1})
    first = await database.read(_sealed)
    await login.save({"login": 2})
    second = await database.read(_sealed)
    await store_old_row(database, first)
    assert await login.load() is None
    await store_old_row(database, second)
    assert await login.load() == {"login": 2}
    await login.clear()
    await store_old_row(database, second)
    assert await login.load() is None
    await logins.delete("home")
    await store_old_row(database, second)
    assert await login.load() is None
    await login.save({"login": 3})
    for old in (first, second):
        await store_old_row(database, old)
        assert await login.load() is None


async def test_a_login_without_a_number_of_version_7_is_used_until_another_one_is_saved(
    database: PostgresqlDatabase,
) -> None:
    old = sealed_by_version_7("home", KEY)
    await store_old_row(database, old)
    logins = EncryptedLogins(database, [KEY])
    await logins.check_keys()
    assert await logins.of("home").load() == {"old": True}
    await logins.of("home").save(SESSION)
    await store_old_row(database, old)
    assert await logins.of("home").load() is None


async def test_the_database_learns_the_key_of_the_first_start_and_refuses_others(
    database: PostgresqlDatabase,
) -> None:
    """A login that cannot be decrypted is no missing one: a code would show in place of one that others can use."""
    for keys in ([KEY], [KEY], [OTHER_KEY, KEY]):
        await EncryptedLogins(database, keys).check_keys()
    await EncryptedLogins(database, [KEY]).of("home").save(SESSION)
    await check_refused(database)
    other = EncryptedLogins(database, [OTHER_KEY]).of("home")
    with pytest.raises(WrongStoreKey, match="encrypted with another key"):
        await other.load()
    with pytest.raises(WrongStoreKey):
        await other.save(SESSION)
    assert await database.read(partial(key_fits, keys=[KEY]))
    assert not await database.read(partial(key_fits, keys=[OTHER_KEY]))


async def test_an_old_database_learns_the_key_that_opens_most_of_its_logins(
    database: PostgresqlDatabase,
) -> None:
    """An instance with another key may have saved some before the database knew its key."""
    for account, key in (("a", KEY), ("b", KEY), ("c", OTHER_KEY)):
        await store_old_row(database, sealed_by_version_7(account, key), account)
    assert not await database.read(partial(key_fits, keys=[OTHER_KEY]))
    await check_refused(database)
    with pytest.raises(WrongStoreKey):
        await EncryptedLogins(database, [OTHER_KEY]).of("a").load()
    assert await database.read(partial(key_fits, keys=[KEY]))
    await EncryptedLogins(database, [KEY]).check_keys()
    assert not await database.read(partial(key_fits, keys=[OTHER_KEY]))
    assert await EncryptedLogins(database, [KEY]).of("b").load() == {"old": True}


async def test_the_key_is_replaced_in_one_commit_and_the_old_one_is_needed_no_more(
    database: PostgresqlDatabase,
) -> None:
    before, both = EncryptedLogins(database, [KEY]), EncryptedLogins(database, [OTHER_KEY, KEY])
    await before.of("home").save(SESSION)
    await both.of("work").save({"work": 1})  # still with the old key: the database has it
    assert await before.of("work").load() == {"work": 1}
    assert await rotate(database, [OTHER_KEY, KEY]) == ["home", "work"]
    after = EncryptedLogins(database, [OTHER_KEY])
    assert (await after.of("home").load(), await after.of("work").load()) == (SESSION, {"work": 1})
    with pytest.raises(WrongStoreKey):
        await before.of("home").save({})
    await both.of("home").save({"later": 1})
    assert await after.of("home").load() == {"later": 1}
    assert await rotate(database, [OTHER_KEY, KEY]) is None
    assert await rotate(database, [OTHER_KEY]) is None
    with pytest.raises(WrongStoreKey):
        await rotate(database, [bytes(32)])


async def test_a_login_that_was_put_back_does_not_become_the_newest_by_a_new_key(
    database: PostgresqlDatabase,
) -> None:
    login = EncryptedLogins(database, [KEY]).of("home")
    await login.save({"login": 1})
    first = await database.read(_sealed)
    await login.save({"login": 2})
    await store_old_row(database, first)
    assert await rotate(database, [OTHER_KEY, KEY]) == []
    assert await EncryptedLogins(database, [OTHER_KEY, KEY]).of("home").load() is None


async def test_a_lost_key_is_replaced_and_the_logins_are_deleted(database: PostgresqlDatabase) -> None:
    await EncryptedLogins(database, [KEY]).of("home").save(SESSION)
    assert await database.write("forget", partial(forget_logins, key=OTHER_KEY)) == ["home"]
    logins = EncryptedLogins(database, [OTHER_KEY])
    await logins.check_keys()
    assert await logins.of("home").load() is None


async def test_accounts_with_a_saved_login_are_listed_and_deleted_and_replaced_by_a_restore(
    database: PostgresqlDatabase,
) -> None:
    """A restored backup has the key of the machine that restores it."""
    logins, other = EncryptedLogins(database, [KEY]), EncryptedLogins(database, [OTHER_KEY])
    for account in ("home", "work"):
        await logins.of(account).save(SESSION)
    assert await logins.accounts() == {"home", "work"}
    await logins.delete("home")
    assert await logins.accounts() == {"work"}
    assert await logins.of("work").load() == SESSION
    await database.write("copy", partial(other.replace_all, {"club": {"club": 1}}))
    assert await other.accounts() == {"club"}
    assert await other.of("club").load() == {"club": 1}


async def test_a_database_of_version_7_is_migrated_and_learns_its_key_at_the_next_start() -> None:
    """The logins of before are used; whoever has another key is refused, also by the very first start."""
    url = new_database()
    script = (MIGRATIONS_FOLDER / "0007_first.sql").read_text(encoding="utf-8")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(script.encode())
        connection.execute("INSERT INTO meta VALUES ('schema_version', '7')")
        sealed = sealed_by_version_7("home", KEY)
        connection.execute("INSERT INTO login VALUES ('home', %s)", (sealed,))
    database = await PostgresqlDatabase.open(url)
    try:
        await check_refused(database)
        logins = EncryptedLogins(database, [KEY])
        await logins.check_keys()
        assert await logins.of("home").load() == {"old": True}
        await check_refused(database)
    finally:
        await database.close()


async def test_a_login_that_another_instance_saves_meanwhile_has_the_new_key(
    database: PostgresqlDatabase,
) -> None:
    """It waits for the commit that changes the key, and reads then which one is in use."""
    other = await PostgresqlDatabase.open(database.url)
    is_held, may_go_on = threading.Event(), threading.Event()

    def slow_rotation(connection: Connection) -> list[str] | None:
        hold_key_alone(connection)
        is_held.set()
        assert may_go_on.wait(MAX_WAIT_SECONDS)
        return rotate_key(connection, [OTHER_KEY, KEY])

    await EncryptedLogins(database, [KEY]).of("home").save(SESSION)
    rotating = asyncio.create_task(database.write("rotate", slow_rotation))
    assert await asyncio.to_thread(is_held.wait, MAX_WAIT_SECONDS)
    saving = asyncio.create_task(EncryptedLogins(other, [OTHER_KEY, KEY]).of("work").save({"work": 1}))
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not await database.read(lambda db: db.execute(SOMEBODY_WAITS).fetchone()[0]):  # noqa: ASYNC110 - no event of ours
            await asyncio.sleep(0)
    assert not saving.done()
    may_go_on.set()
    await asyncio.gather(rotating, saving)
    await other.close()
    assert await EncryptedLogins(database, [OTHER_KEY]).of("work").load() == {"work": 1}
