"""Opens the store of a run: in the folder of `storage.path`, or in the database of `storage.url`.

    async with open_stores(loaded, env, on_commit_point) as stores:
        stores.database, stores.blobs, stores.saved_logins, …

With `storage.url` the folder is used as well, for the control socket and scratch files.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from wx2mqtt.aio import Signal
from wx2mqtt.app.configuration import secret_value
from wx2mqtt.clock import ENDLESS_LEASE, Lease
from wx2mqtt.errors import Problem, SettingsError, StoreError, WrongStoreKey
from wx2mqtt.settings.cross_key_rules import install_command
from wx2mqtt.settings.field_types import parse_login_keys
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import Storage
from wx2mqtt.store.atomic_files import file_error, make_folder
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.database import Database, OnCommitPoint, ignore_commit_point
from wx2mqtt.store.folder import (
    DATABASE_NAME,
    PEOPLE_FILE_NAME,
    SEARCH_INDEX_NAME,
    SESSIONS_FOLDER,
    StoreFolder,
    resolve_store_path,
)
from wx2mqtt.store.people_file import PeopleFile
from wx2mqtt.store.saved_logins import SavedLoginFolder, SavedLogins
from wx2mqtt.store.search_index import SearchIndex
from wx2mqtt.store.shared_marks import SharedMarks
from wx2mqtt.store.sqlite_database import SqliteDatabase
from wx2mqtt.values import frozen

if TYPE_CHECKING:
    from wx2mqtt.store.encrypted_logins import EncryptedLogins
    from wx2mqtt.store.postgresql_database import PostgresqlDatabase

log = structlog.get_logger(__name__)

NOT_SHARED = "this bridge shares its accounts with no other one: storage.url is not set"


@frozen
class Stores:
    """The parts of the store that all accounts share."""

    #: Holds everything; with `storage.url` only the control socket and scratch files.
    folder: StoreFolder
    database: Database
    blobs: Blobs
    saved_logins: SavedLogins
    #: Emitted once, when the connection on which a database commits is lost: another process may run the
    #: accounts from then on.
    lost: Signal[[]]
    #: Whether this process may act for its accounts. It ends before `lost` is emitted.
    lease: Lease
    #: None with `storage.url`.
    people_file: PeopleFile | None = None
    #: None with `storage.url`.
    search_index: SearchIndex | None = None
    #: The marks of messages in the database; None without `storage.url`.
    shared_marks: SharedMarks | None = None


@asynccontextmanager
async def open_stores(
    loaded: LoadedSettings,
    env: Mapping[str, str],
    on_commit_point: OnCommitPoint,
    lease: Lease = ENDLESS_LEASE,
) -> AsyncGenerator[Stores, None]:
    """Opens the store, and closes it at the end. The loss of a database ends the `lease`.

    `on_commit_point` is called before and after each commit: crash tests kill the process there.

    Raises `StoreLocked`, `StoreFull`, `StoreTooNew`, `StoreError`, and `SettingsError` for a `storage.url`
    that the library of the database cannot read and for a `storage.key` that is not the database's.
    """
    storage = loaded.settings.storage
    path, log_text = resolve_store_path(storage.path, env)
    log.info(log_text if storage.url is None else f"The store is a database; {path} has scratch files.")
    async with AsyncExitStack() as stack:
        folder = StoreFolder.open(path)
        stack.callback(folder.close)
        if storage.url is None:
            stores = await _open_in_folder(stack, folder, on_commit_point, lease)
        else:
            stores = await _open_in_database(stack, folder, loaded, on_commit_point, lease)
        if stores.search_index is not None:
            stack.push_async_callback(stores.search_index.close)
        yield stores


async def _open_in_folder(
    stack: AsyncExitStack, folder: StoreFolder, on_commit_point: OnCommitPoint, lease: Lease
) -> Stores:
    """Opens the file of the database, which `stack` closes."""
    path = folder.path
    database = await SqliteDatabase.open(path / DATABASE_NAME, on_commit_point)
    stack.push_async_callback(database.close)
    if database.set_aside is not None:
        log.error("damaged database set aside; a new one was begun", set_aside=str(database.set_aside))
    return Stores(
        folder=folder,
        database=database,
        blobs=Blobs(path),
        saved_logins=SavedLoginFolder(path / SESSIONS_FOLDER),
        lost=Signal(),
        lease=lease,
        people_file=PeopleFile(database, path / PEOPLE_FILE_NAME),
        search_index=SearchIndex(database, path / SEARCH_INDEX_NAME),
    )


async def _open_in_database(
    stack: AsyncExitStack,
    folder: StoreFolder,
    loaded: LoadedSettings,
    on_commit_point: OnCommitPoint,
    lease: Lease,
) -> Stores:
    """Connects to the database, whose connections `stack` closes."""
    from wx2mqtt.store.postgresql_blobs import DatabaseBlobs  # noqa: PLC0415 - these need further libraries

    try:
        make_folder(folder.path / SESSIONS_FOLDER)  # for the marks of messages
    except OSError as error:
        raise file_error(error, folder.path) from error
    lost: Signal[[]] = Signal()
    loop = asyncio.get_running_loop()

    def on_lost() -> None:
        lease.revoke()  # at once, in the thread that calls this: the event loop may be busy
        loop.call_soon_threadsafe(lost.emit)

    database = await open_database(loaded, on_commit_point, on_lost)
    stack.push_async_callback(database.close)
    logins = encrypted_logins(loaded, database)
    try:
        await logins.check_keys()
    except WrongStoreKey:
        raise wrong_key_error(loaded) from None
    marks = SharedMarks(database)
    await marks.count(folder.path / SESSIONS_FOLDER)
    return Stores(
        folder=folder,
        shared_marks=marks,
        database=database,
        blobs=DatabaseBlobs(folder.path, database),
        saved_logins=logins,
        lost=lost,
        lease=lease,
    )


async def open_database(
    loaded: LoadedSettings,
    on_commit_point: OnCommitPoint = ignore_commit_point,
    on_lost: Callable[[], object] = lambda: None,
) -> PostgresqlDatabase:
    """Connects to the database of `storage.url`. Raises `SettingsError` and `StoreError`."""
    storage = loaded.settings.storage
    assert storage.url is not None
    try:
        from wx2mqtt.store.postgresql_connection import check_url  # noqa: PLC0415
        from wx2mqtt.store.postgresql_database import PostgresqlDatabase  # noqa: PLC0415

        check_url(storage.url)
    except ImportError as error:
        sentence = f"psycopg cannot be used: {install_command('postgresql')} ({error.name or 'libpq'})"
        raise _storage_error(loaded, "storage.url", sentence) from None
    except ValueError as error:
        raise _storage_error(loaded, "storage.url", str(error)) from None
    password = secret_value(storage.password)
    return await PostgresqlDatabase.open(storage.url, on_commit_point, on_lost, password=password)


def login_keys(storage: Storage) -> tuple[bytes, ...]:
    """Returns the keys of `storage.key`, which a configuration with `storage.url` has; the newest first."""
    return parse_login_keys(secret_value(storage.key) or "")


def encrypted_logins(loaded: LoadedSettings, database: PostgresqlDatabase) -> EncryptedLogins:
    """Returns the saved logins of a database; the keys are not compared with it yet."""
    from wx2mqtt.store.encrypted_logins import EncryptedLogins  # noqa: PLC0415 - needs cryptography

    return EncryptedLogins(database, login_keys(loaded.settings.storage))


def wrong_key_error(loaded: LoadedSettings) -> SettingsError:
    """Returns what is wrong with a `storage.key` that is not the one of the database."""
    sentence = (
        "the saved logins in this database are encrypted with another key; copy storage.key_file from an"
        " instance that runs"
    )
    return _storage_error(loaded, "storage.key", sentence)


def _storage_error(loaded: LoadedSettings, key: str, sentence: str) -> SettingsError:
    return SettingsError((Problem(str(loaded.path or "the settings"), 0, key, sentence),))


class StoreLost(StoreError):
    """The connection to the database is lost; nothing is published or sent until it is opened again."""
