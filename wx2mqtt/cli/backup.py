"""`wx2mqtt backup` writes the whole store into one file; `wx2mqtt restore` makes such a file the store.

A backup may be made while the bridge runs. `store.folder_backup` has the work on the store itself,
`cli/main.py` the options of both commands.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import stat
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from wx2mqtt.app.configuration import restore_rules
from wx2mqtt.app.stores import encrypted_logins, open_database, wrong_key_error
from wx2mqtt.cli.operations import enter_store, exit_code, store_path
from wx2mqtt.cli.terminal import complain
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadBackup, StoreError, WrongStoreKey, Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.i18n.settings import sentence_text
from wx2mqtt.model import Json
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.store import folder_backup
from wx2mqtt.store.atomic_files import PRIVATE_MODE
from wx2mqtt.store.folder import PROGRAM_NAME, SYSTEM_FOLDER, StoreFolder, data_folder
from wx2mqtt.store.folder_owner import ROOT, create_for_service, run_as_owner
from wx2mqtt.store.folder_replacement import store_parts
from wx2mqtt.values import frozen

if TYPE_CHECKING:
    from wx2mqtt.store.encrypted_logins import EncryptedLogins
    from wx2mqtt.store.postgresql_database import PostgresqlDatabase

# Standard output for a backup, and standard input for a restore.
STANDARD_STREAM = Path("-")

BACKUP_SUFFIX = ".tar.gz"


def write_backup(
    loaded: LoadedSettings, env: Mapping[str, str], file: Path, *, media: bool, force: bool, keep: int | None
) -> None:
    """Writes the store into `file`, mode 0600, whole or not at all. Raises `Wx2MqttError`, `SystemExit`.

    1. opens the file, as the user who runs the command
    2. writes the store into it, as the owner of the store
    3. gives the file its name, and deletes old backups of the store in the same folder
    4. stores the time in the store, for the metric of the last backup
    """
    language = loaded.settings.language
    store = store_path(loaded, env)
    with _translated_errors(language), _clean_up_on_signal():
        with _file_errors("backup_not_written", file, language):
            target = backup_file(file, store.name, keep=keep, force=force)
        made = now_ms()
        with _file_errors("backup_not_written", target.path, language), open_backup_file(target) as out:
            summary = _write_store(loaded, store, out, target.path, media=media)
        _run_on_store(loaded, store, partial(_record_backup, loaded, store, made))
    complain(
        bridge_text(
            language,
            "backup_done",
            file=target.path,
            store=store if loaded.settings.storage.url is None else "storage.url",
            accounts=summary["accounts"],
            messages=summary["messages"],
            media=summary["media"],
        )
    )


def _write_store(
    loaded: LoadedSettings, store: Path, out: IO[bytes], file: Path, *, media: bool
) -> dict[str, Json]:
    """Writes the store to `out`; returns the facts for the sentence `backup_done`."""

    def work() -> Json:
        language = loaded.settings.language
        with _translated_errors(language), _file_errors("backup_not_written", file, language):
            folder = _work_folder(file)
            if loaded.settings.storage.url is None:
                summary = folder_backup.create_backup(store, out, folder, media=media)
            else:
                summary = asyncio.run(_back_up_database(loaded, out, folder, media=media))
            out.flush()
        accounts = ", ".join(summary.head.accounts)
        return {"accounts": accounts, "messages": summary.messages, "media": summary.media}

    written = _run_on_store(loaded, store, work)
    assert isinstance(written, dict)
    return written


def _run_on_store(loaded: LoadedSettings, store: Path, work: Callable[[], Json]) -> Json:
    """Runs `work` as the owner of the folder; with `storage.url` as this user: nobody owns a database."""
    if loaded.settings.storage.url is not None:
        return work()
    language = loaded.settings.language
    return run_as_owner(store, work, lambda error: exit_code(error, complain, language))


def _record_backup(loaded: LoadedSettings, store: Path, made: int) -> None:
    """Stores when the backup was made. A store that cannot be written only costs a warning."""
    try:
        if loaded.settings.storage.url is None:
            folder_backup.record_backup(store, made)
        else:
            asyncio.run(_record_in_database(loaded, made))
    except StoreError as error:
        complain(bridge_text(loaded.settings.language, "backup_not_recorded", why=error))


async def _record_in_database(loaded: LoadedSettings, made: int) -> None:
    from wx2mqtt.store.postgresql_backup import record_database_backup  # noqa: PLC0415 - needs psycopg

    async with _opened_database(loaded) as (database, _):
        await record_database_backup(database, made)


def _work_folder(file: Path) -> Path:
    """Returns a folder for a copy of the database: beside the file, where this user may write there."""
    beside = file.absolute().parent
    if file != STANDARD_STREAM and os.access(beside, os.W_OK | os.X_OK):
        return beside
    large = Path("/var/tmp")  # noqa: S108 - the copy goes into a new folder of its own
    is_usable = not os.environ.get("TMPDIR") and os.access(large, os.W_OK | os.X_OK)
    return large if is_usable else Path(tempfile.gettempdir())


async def _back_up_database(
    loaded: LoadedSettings, out: IO[bytes], work_folder: Path, *, media: bool
) -> folder_backup.BackupSummary:
    from wx2mqtt.store.postgresql_backup import back_up_database  # noqa: PLC0415 - needs psycopg

    async with _opened_database(loaded) as (database, logins):
        try:
            await logins.check_keys()
        except WrongStoreKey:
            raise wrong_key_error(loaded) from None
        return await back_up_database(database, logins, out, work_folder, media=media)


def restore_backup(loaded: LoadedSettings, env: Mapping[str, str], file: Path, *, force: bool) -> None:
    """Replaces the store with the one in `file`. Raises `Wx2MqttError`; then nothing was changed.

    1. opens the backup, as the user who runs the command
    2. becomes the owner of the store
    3. replaces the store, in its folder or in the database
    4. says what was done
    """
    language = loaded.settings.language
    store = store_path(loaded, env)
    _require_clear_folder(loaded, env, store)
    with _translated_errors(language), _clean_up_on_signal(), ExitStack() as stack:
        with _file_errors("backup_not_read", file, language):
            is_stdin = file == STANDARD_STREAM
            source = sys.stdin.buffer if is_stdin else stack.enter_context(file.open("rb"))
        if store == SYSTEM_FOLDER:
            create_for_service(SYSTEM_FOLDER, PROGRAM_NAME)
        enter_store(loaded, env)
        if loaded.settings.storage.url is None:
            summary = folder_backup.restore_store(
                store, source, force=force, rules=restore_rules(loaded.settings)
            )
        else:
            summary = asyncio.run(_restore_database(loaded, store, source, force=force))
    for line in _restore_report(loaded, store, summary):
        complain(line)


def _require_clear_folder(loaded: LoadedSettings, env: Mapping[str, str], store: Path) -> None:
    """Raises `Wx2MqttError` where root would make a store in its own folder, where no service finds it."""
    is_chosen = loaded.settings.storage.path is not None or store != data_folder(env)
    if os.geteuid() == ROOT and not is_chosen and not store_parts(store):
        raise Wx2MqttError(bridge_text(loaded.settings.language, "restore_whose", folder=store))


def _restore_report(
    loaded: LoadedSettings, store: Path, summary: folder_backup.RestoreSummary
) -> Iterator[str]:
    language = loaded.settings.language
    is_folder = loaded.settings.storage.url is None
    done = "restore_done" if is_folder else "restore_database_done"
    yield bridge_text(
        language,
        done,
        folder=store,
        made=summary.head.made,
        messages=summary.messages,
        media=summary.media,
        stream=summary.stream,
    )
    if summary.head.running:
        yield bridge_text(language, "restore_doubt")
    if summary.dropped:
        yield bridge_text(language, "restore_dropped", count=summary.dropped)
    if summary.replaced is not None:
        yield bridge_text(language, "restore_aside", replaced=summary.replaced)
    if os.geteuid() == ROOT and is_folder:
        yield bridge_text(language, "restore_root", folder=store)


async def _restore_database(
    loaded: LoadedSettings, store: Path, source: IO[bytes], *, force: bool
) -> folder_backup.RestoreSummary:
    from wx2mqtt.store.postgresql_backup import restore_database  # noqa: PLC0415 - needs psycopg

    folder = StoreFolder.open(store)
    try:
        async with _opened_database(loaded) as (database, logins):
            rules = restore_rules(loaded.settings)
            return await restore_database(database, logins, store, source, force=force, rules=rules)
    finally:
        folder.close()


# Both commands need a database, errors as sentences, and a clean end.


@asynccontextmanager
async def _opened_database(
    loaded: LoadedSettings,
) -> AsyncGenerator[tuple[PostgresqlDatabase, EncryptedLogins], None]:
    """Opens the database of `storage.url`; the keys of saved logins are not compared with it yet."""
    database = await open_database(loaded)
    try:
        yield database, encrypted_logins(loaded, database)
    finally:
        await database.close()


@contextmanager
def _translated_errors(language: Language) -> Iterator[None]:
    """Turns `BadBackup` into a `Wx2MqttError` with its sentence in `language`."""
    try:
        yield
    except BadBackup as bad:
        raise Wx2MqttError(bridge_text(language, bad.key, **bad.facts)) from bad


@contextmanager
def _clean_up_on_signal() -> Iterator[None]:
    """Turns SIGTERM and SIGHUP into `SystemExit`, so that no copy of the store with its secrets is left."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:  # ignored under nohup
            signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _file_errors(text_key: str, file: Path, language: Language) -> Iterator[None]:
    """Turns an `OSError` of the file into a `Wx2MqttError` that names it."""
    try:
        yield
    except OSError as error:
        why = sentence_text(error.strerror or type(error).__name__, language)
        raise Wx2MqttError(bridge_text(language, text_key, file=file, why=why)) from error


# A backup goes into a file with a given name, into one with a dated name in a folder, or to standard output.
# A file appears under its name when it is complete.


@frozen
class BackupFile:
    """Where a backup goes."""

    path: Path
    #: The beginning of a dated name; empty for a given name.
    store_name: str = ""
    #: How many files with a dated name the folder keeps; None for all.
    keep: int | None = None


def backup_file(path: Path, store_name: str, *, keep: int | None, force: bool) -> BackupFile:
    """Returns the file to write: in a folder one with a dated name. Raises `BadBackup`.

    `store_name` begins the dated names, so that two stores may share a folder.
    """
    if path == STANDARD_STREAM:
        if sys.stdout.isatty():
            raise BadBackup("backup_terminal")
        return BackupFile(path=path)
    if path.is_dir():
        return BackupFile(path=_dated_path(path, store_name), store_name=store_name, keep=keep)
    if keep is not None:
        raise BadBackup("backup_keep_folder", file=path)
    if path.exists() and not force:
        raise BadBackup("backup_exists", file=path, folder=path.absolute().parent)
    return BackupFile(path=path)


def _dated_path(folder: Path, store_name: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"{store_name}-{stamp}{BACKUP_SUFFIX}"
    number = 1
    while path.exists():
        number += 1
        path = folder / f"{store_name}-{stamp}-{number}{BACKUP_SUFFIX}"
    return path


@contextmanager
def open_backup_file(file: BackupFile) -> Iterator[IO[bytes]]:
    """Yields what to write to. At the end the file is durable and has its name; after an error it is gone.

    Then deletes backups of the same store in the folder, except for the newest `keep`. Raises `OSError`.
    """
    if file.path == STANDARD_STREAM:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    # All names are relative to this handle: if somebody exchanges the folder, nothing is written elsewhere.
    folder = os.open(file.path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _new_file(folder, file.path.name) as out:
            yield out
        os.fsync(folder)
        if file.keep is not None:
            _delete_oldest(folder, file)
    finally:
        os.close(folder)


@contextmanager
def _new_file(folder: int, name: str) -> Iterator[IO[bytes]]:
    temporary_name = f".{name}.{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    handle = os.open(temporary_name, flags, PRIVATE_MODE, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary_name, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary_name, dir_fd=folder)
        raise


def _delete_oldest(folder: int, file: BackupFile) -> None:
    ages = {name: age for name in os.listdir(folder) if (age := _age(name, file.store_name)) is not None}
    assert file.keep is not None
    for name in sorted(ages, key=ages.__getitem__, reverse=True)[file.keep :]:
        if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=folder)
    os.fsync(folder)


# 20261125T080000Z, or -2 behind it for the second backup of the same second.
_STAMP = re.compile(r"(?P<time>\d{8}T\d{6}Z)(-(?P<number>\d{1,9}))?", re.ASCII)


def _age(name: str, store_name: str) -> tuple[str, int] | None:
    """Returns what sorts the backups of a store by time; None for a file that is none.

    It is the second, and the number of the backup within it.
    """
    stamp = _STAMP.fullmatch(name.removeprefix(f"{store_name}-").removesuffix(BACKUP_SUFFIX))
    if stamp is None or name != f"{store_name}-{stamp[0]}{BACKUP_SUFFIX}":
        return None
    return stamp["time"], int(stamp["number"] or 1)
