"""The commands that work on the whole store: `wx2mqtt backup`, `restore` and `purge`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from wx2mqtt.app.redaction import one_line
from wx2mqtt.app.settings_mapping import restore_rules
from wx2mqtt.app.stores import encrypted_logins, open_database, wrong_key_error
from wx2mqtt.cli.backup_file import STANDARD_STREAM, backup_file, open_backup_file
from wx2mqtt.cli.operations import enter_store, exit_code, store_path
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError, WrongStoreKey, Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Json
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.store import backup
from wx2mqtt.store.archive import BadBackup
from wx2mqtt.store.folder import PROGRAM_NAME, SYSTEM_FOLDER, StoreFolder, data_folder
from wx2mqtt.store.owner import ROOT, create_for_service, run_as_owner
from wx2mqtt.store.replacement import store_parts

if TYPE_CHECKING:
    from wx2mqtt.store.encrypted_logins import EncryptedLogins
    from wx2mqtt.store.postgresql import PostgresqlDatabase

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The configuration file; by default ./wx2mqtt.yaml, else /etc/wx2mqtt/wx2mqtt.yaml.",
    ),
]
BackupFileArgument = Annotated[
    Path,
    typer.Argument(help="The file to write; a folder, for a file with a dated name; - for standard output."),
]
KeepOption = Annotated[
    int | None, typer.Option(min=1, help="In a folder: keep so many backups of this store, the newest ones.")
]
RestoreFileArgument = Annotated[Path, typer.Argument(help="The backup to read; - for standard input.")]
PurgedAccountArgument = Annotated[
    str, typer.Argument(help="An account that is no longer in the configuration.")
]
MediaOption = Annotated[bool, typer.Option("--media", help="Include all media files of messages.")]
OverwriteOption = Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")]
ReplaceOption = Annotated[
    bool,
    typer.Option("--force", help="Replace an existing store; the old one is kept in a folder within it."),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
NoBrokerOption = Annotated[
    bool,
    typer.Option("--no-broker", help="Delete only the data in the store, as for a broker that is gone."),
]


def add_commands(app: typer.Typer, load: Callable[[Path | None], LoadedSettings]) -> None:
    """Adds the commands to `app`; `load` reads the settings."""

    @app.command()
    def backup(
        file: BackupFileArgument,
        config: ConfigOption = None,
        media: MediaOption = False,
        force: OverwriteOption = False,
        keep: KeepOption = None,
    ) -> None:
        """Write the store into one file, also while the bridge runs. It holds the saved login: a secret."""
        write_backup(load(config), os.environ, file, media=media, force=force, keep=keep)

    @app.command()
    def restore(file: RestoreFileArgument, config: ConfigOption = None, force: ReplaceOption = False) -> None:
        """Make a backup the store. The bridge must not run."""
        restore_backup(load(config), os.environ, file, force=force)

    @app.command()
    def purge(
        account: PurgedAccountArgument,
        config: ConfigOption = None,
        yes: YesOption = False,
        no_broker: NoBrokerOption = False,
    ) -> None:
        """Delete a removed account: retained topics, discovery, broker session, stored data, login, media."""
        from wx2mqtt.app.application import RunEnvironment  # noqa: PLC0415
        from wx2mqtt.app.systemd import SystemdNotifier  # noqa: PLC0415
        from wx2mqtt.cli.purge import purge_account  # noqa: PLC0415

        environment = RunEnvironment(env=os.environ, notifier=SystemdNotifier({}))
        purge_account(load(config), environment, account, yes=yes, include_broker=not no_broker)


def write_backup(
    loaded: LoadedSettings, env: Mapping[str, str], file: Path, *, media: bool, force: bool, keep: int | None
) -> None:
    """Writes the store into `file`, mode 0600, whole or not at all. Raises `Wx2MqttError`, `SystemExit`.

    1. opens the file
    2. writes the store into it, as the owner of the store
    3. gives the file its name, and deletes old ones in the same folder
    4. stores the time in the store, for the metric of the last backup
    """
    language = loaded.settings.language
    store = store_path(loaded, env)
    with _translated_errors(language), _cleanup_on_signal():
        target = backup_file(file, store.name, keep=keep, force=force)
        made = now_ms()
        with _written_errors(target.path, language), open_backup_file(target) as out:
            summary = _write_store(loaded, store, out, target.path, media=media)
        _run_on_store(loaded, store, partial(_record_backup, loaded, store, made))
    _print_to_stderr(
        bridge_text(
            language,
            "backup_done",
            file=target.path,
            store=_store_name(loaded, store),
            accounts=summary["accounts"],
            messages=summary["messages"],
            media=summary["media"],
        )
    )


def _write_store(
    loaded: LoadedSettings, store: Path, out: IO[bytes], file: Path, *, media: bool
) -> dict[str, Json]:
    """Writes the store to `out`; returns what `backup_done` says of it."""

    def work() -> Json:
        with _translated_errors(loaded.settings.language), _written_errors(file, loaded.settings.language):
            folder = _work_folder(file)
            if loaded.settings.storage.url is None:
                summary = backup.create_backup(store, out, folder, media=media)
            else:
                summary = asyncio.run(_back_up_database(loaded, out, folder, media=media))
            out.flush()
        accounts = ", ".join(summary.head.accounts)
        return {"accounts": accounts, "messages": summary.messages, "media": summary.media}

    written = _run_on_store(loaded, store, work)
    assert isinstance(written, dict)
    return written


def _run_on_store(loaded: LoadedSettings, store: Path, work: Callable[[], Json]) -> Json:
    """Runs `work` as the owner of the folder; a database has no owner here."""
    if loaded.settings.storage.url is not None:
        return work()
    language = loaded.settings.language
    return run_as_owner(store, work, lambda error: exit_code(error, _print_to_stderr, language))


def _record_backup(loaded: LoadedSettings, store: Path, made: int) -> None:
    """Stores when the backup was made. A store that takes no change now has a backup nevertheless."""
    try:
        if loaded.settings.storage.url is None:
            backup.record_backup(store, made)
        else:
            asyncio.run(_record_in_database(loaded, made))
    except StoreError as error:
        _print_to_stderr(bridge_text(loaded.settings.language, "backup_not_recorded", why=error))


async def _record_in_database(loaded: LoadedSettings, made: int) -> None:
    from wx2mqtt.store.database_backup import record_database_backup  # noqa: PLC0415 - needs psycopg

    async with _opened_database(loaded) as (database, _):
        await record_database_backup(database, made)


def _store_name(loaded: LoadedSettings, store: Path) -> str:
    """Returns the store as a message names it: its folder, or the key that names the database."""
    return str(store) if loaded.settings.storage.url is None else "storage.url"


def _work_folder(file: Path) -> Path:
    """Returns a folder for a copy of the database: beside the file, where this user may write there."""
    beside = file.absolute().parent
    if file != STANDARD_STREAM and os.access(beside, os.W_OK | os.X_OK):
        return beside
    large = Path("/var/tmp")  # noqa: S108 - the copy goes into a new folder of its own
    is_usable = not os.environ.get("TMPDIR") and os.access(large, os.W_OK | os.X_OK)
    return large if is_usable else Path(tempfile.gettempdir())


def restore_backup(loaded: LoadedSettings, env: Mapping[str, str], file: Path, *, force: bool) -> None:
    """Replaces the store with the one in `file`. Raises `Wx2MqttError`; then nothing was changed."""
    language = loaded.settings.language
    _refuse_data_folder_of_root(loaded, env)
    with _translated_errors(language), _cleanup_on_signal(), _open_for_reading(file, language) as source:
        if store_path(loaded, env) == SYSTEM_FOLDER:
            create_for_service(SYSTEM_FOLDER, PROGRAM_NAME)
        store = enter_store(loaded, env)
        if loaded.settings.storage.url is None:
            summary = backup.restore_store(store, source, force=force, rules=restore_rules(loaded.settings))
            done = "restore_done"
        else:
            summary = asyncio.run(_restore_database(loaded, store, source, force=force))
            done = "restore_database_done"
    head = summary.head
    _print_to_stderr(bridge_text(language, done, folder=store, made=head.made, stream=summary.stream))
    if head.running:
        _print_to_stderr(bridge_text(language, "restore_doubt"))
    if summary.dropped:
        _print_to_stderr(bridge_text(language, "restore_dropped", count=summary.dropped))
    if summary.replaced is not None:
        _print_to_stderr(bridge_text(language, "restore_aside", replaced=summary.replaced))
    if os.geteuid() == ROOT and loaded.settings.storage.url is None:
        _print_to_stderr(bridge_text(language, "restore_root", folder=store))


def _refuse_data_folder_of_root(loaded: LoadedSettings, env: Mapping[str, str]) -> None:
    """Raises `Wx2MqttError` where root would begin a store that no service of this machine finds."""
    store = store_path(loaded, env)
    is_chosen = loaded.settings.storage.path is not None or store != data_folder(env)
    if os.geteuid() == ROOT and not is_chosen and not store_parts(store):
        raise Wx2MqttError(bridge_text(loaded.settings.language, "restore_whose", folder=store))


async def _back_up_database(
    loaded: LoadedSettings, out: IO[bytes], work_folder: Path, *, media: bool
) -> backup.BackupSummary:
    from wx2mqtt.store.database_backup import back_up_database  # noqa: PLC0415 - needs psycopg

    async with _opened_database(loaded) as (database, logins):
        try:
            await logins.check_keys()
        except WrongStoreKey:
            raise wrong_key_error(loaded) from None
        return await back_up_database(database, logins, out, work_folder, media=media)


async def _restore_database(
    loaded: LoadedSettings, store: Path, source: IO[bytes], *, force: bool
) -> backup.RestoreSummary:
    from wx2mqtt.store.database_backup import restore_database  # noqa: PLC0415 - needs psycopg

    folder = StoreFolder.open(store)
    try:
        async with _opened_database(loaded) as (database, logins):
            rules = restore_rules(loaded.settings)
            return await restore_database(database, logins, store, source, force=force, rules=rules)
    finally:
        folder.close()


@asynccontextmanager
async def _opened_database(
    loaded: LoadedSettings,
) -> AsyncGenerator[tuple[PostgresqlDatabase, EncryptedLogins], None]:
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
def _cleanup_on_signal() -> Iterator[None]:
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
def _written_errors(file: Path, language: Language) -> Iterator[None]:
    """Turns an `OSError` of the file into a `Wx2MqttError` that names it."""
    try:
        yield
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Wx2MqttError(bridge_text(language, "backup_not_written", file=file, why=why)) from error


@contextmanager
def _open_for_reading(file: Path, language: Language) -> Iterator[IO[bytes]]:
    if file == STANDARD_STREAM:
        yield sys.stdin.buffer
        return
    try:
        source = file.open("rb")
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Wx2MqttError(bridge_text(language, "backup_not_read", file=file, why=why)) from error
    with source:
        yield source


def _print_to_stderr(sentence: str) -> None:
    """Leaves standard output alone: the backup itself may go there."""
    print(one_line(sentence), file=sys.stderr, flush=True)
