"""The commands that work on the whole store: `wx2mqtt backup`, `restore` and `purge`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from wx2mqtt.app.redaction import one_line
from wx2mqtt.app.stores import encrypted_logins, open_database, wrong_key_error
from wx2mqtt.cli.operations import store_folder
from wx2mqtt.errors import WrongStoreKey, Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.store import backup
from wx2mqtt.store.archive import BadBackup
from wx2mqtt.store.files import atomic_writer
from wx2mqtt.store.folder import StoreFolder

if TYPE_CHECKING:
    from wx2mqtt.store.encrypted_logins import EncryptedLogins
    from wx2mqtt.store.postgresql import PostgresqlDatabase

STANDARD_STREAM = Path("-")
"""Means standard output for a backup and standard input for a restore."""

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The configuration file; by default ./wx2mqtt.yaml, else /etc/wx2mqtt/wx2mqtt.yaml.",
    ),
]
BackupFileArgument = Annotated[Path, typer.Argument(help="The file to write; - for standard output.")]
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
    ) -> None:
        """Write the store into one file, also while the bridge runs. It holds the saved login: a secret."""
        write_backup(load(config), os.environ, file, media=media, force=force)

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
    loaded: LoadedSettings, env: Mapping[str, str], file: Path, *, media: bool, force: bool
) -> None:
    """Writes the store into `file`, mode 0600, whole or not at all. Raises `Wx2MqttError`."""
    language = loaded.settings.language
    store = store_folder(loaded, env)
    work_folder = Path(tempfile.gettempdir()) if file == STANDARD_STREAM else file.absolute().parent
    with (
        _translated_errors(language),
        _cleanup_on_signal(),
        _open_for_writing(file, language, force=force) as out,
    ):
        if loaded.settings.storage.url is None:
            summary = backup.create_backup(store, out, work_folder, media=media)
        else:
            summary = asyncio.run(_back_up_database(loaded, out, work_folder, media=media))
    _print_to_stderr(
        bridge_text(
            language,
            "backup_done",
            file=file,
            accounts=", ".join(summary.head.accounts),
            messages=summary.messages,
            media=summary.media,
        )
    )


def restore_backup(loaded: LoadedSettings, env: Mapping[str, str], file: Path, *, force: bool) -> None:
    """Replaces the store with the one in `file`. Raises `Wx2MqttError`; then nothing was changed."""
    language = loaded.settings.language
    store = store_folder(loaded, env)
    with _translated_errors(language), _cleanup_on_signal(), _open_for_reading(file, language) as source:
        if loaded.settings.storage.url is None:
            summary = backup.restore_store(store, source, force=force)
            done = "restore_done"
        else:
            summary = asyncio.run(_restore_database(loaded, store, source, force=force))
            done = "restore_database_done"
    head = summary.head
    _print_to_stderr(bridge_text(language, done, folder=store, made=head.made, stream=summary.stream))
    if head.running:
        _print_to_stderr(bridge_text(language, "restore_doubt"))
    if summary.replaced is not None:
        _print_to_stderr(bridge_text(language, "restore_aside", replaced=summary.replaced))


async def _back_up_database(
    loaded: LoadedSettings, out: IO[bytes], work_folder: Path, *, media: bool
) -> backup.BackupSummary:
    from wx2mqtt.store.database_backup import back_up_database  # noqa: PLC0415 - needs psycopg

    async with _opened_database(loaded) as (database, logins):
        try:
            await logins.settle_key()
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
            return await restore_database(database, logins, store, source, force=force)
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
def _open_for_writing(file: Path, language: Language, *, force: bool) -> Iterator[IO[bytes]]:
    if file == STANDARD_STREAM and sys.stdout.isatty():
        raise BadBackup("backup_terminal")
    if file != STANDARD_STREAM and file.exists() and not force:
        raise BadBackup("backup_exists", file=file)
    try:
        if file == STANDARD_STREAM:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        else:
            with atomic_writer(file) as out:
                yield out
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
