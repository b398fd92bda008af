"""`wx2mqtt backup` and `restore`: the store as one file, and back.

The commands for what was stored: backup, restore, purge.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from wx2mqtt.app.redaction import one_line
from wx2mqtt.cli.operations import ConfigOption, store_folder
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.i18n.bridge import Language, bridge_text
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.store import backup
from wx2mqtt.store.archive import BadBackup
from wx2mqtt.store.files import atomic_writer

STANDARD_STREAM = Path("-")
"""Standard output and input, for containers and pipes."""


def write_backup(
    loaded: LoadedSettings, env: Mapping[str, str], file: Path, *, media: bool, force: bool
) -> None:
    """Write the store into `file`, mode 0600, whole or not at all. Raises `Wx2MqttError`."""
    language = loaded.settings.language
    store = store_folder(loaded, env)
    work = Path(tempfile.gettempdir()) if file == STANDARD_STREAM else file.absolute().parent
    with _in_words(language), _cleaned_up(), _written(file, language, force=force) as out:
        made = backup.create_backup(store, out, work, media=media)
    accounts = ", ".join(made.head.accounts)
    _tell(
        bridge_text(
            language, "backup_done", file=file, accounts=accounts, messages=made.messages, media=made.media
        )
    )


def restore_backup(loaded: LoadedSettings, env: Mapping[str, str], file: Path, *, force: bool) -> None:
    """Let what is in `file` be the store. Raises `Wx2MqttError`; then nothing was changed."""
    language = loaded.settings.language
    store = store_folder(loaded, env)
    with _in_words(language), _cleaned_up(), _read(file, language) as source:
        done = backup.restore_store(store, source, force=force)
    _tell(bridge_text(language, "restore_done", folder=store, made=done.head.made, stream=done.stream))
    if done.head.running:
        _tell(bridge_text(language, "restore_doubt"))
    if done.replaced is not None:
        _tell(bridge_text(language, "restore_aside", replaced=done.replaced))


@contextmanager
def _in_words(language: Language) -> Iterator[None]:
    try:
        yield
    except BadBackup as bad:
        raise Wx2MqttError(bridge_text(language, bad.key, **bad.facts)) from bad


@contextmanager
def _cleaned_up() -> Iterator[None]:
    """Whoever ends us, a copy of the store with its secrets is not left behind."""
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
    for one, how in before.items():
        if how is not signal.SIG_IGN:  # nohup
            signal.signal(one, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        for one, how in before.items():
            signal.signal(one, how)


@contextmanager
def _written(file: Path, language: Language, *, force: bool) -> Iterator[IO[bytes]]:
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
def _read(file: Path, language: Language) -> Iterator[IO[bytes]]:
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


def _tell(sentence: str) -> None:
    """Not on standard output, where the backup itself may go."""
    print(one_line(sentence), file=sys.stderr, flush=True)


ArchiveArgument = Annotated[Path, typer.Argument(help="The file; - for a pipe.")]


def add_commands(app: typer.Typer, load: Callable[[Path | None], LoadedSettings]) -> None:
    """Give `app` these commands; `load` reads the settings."""

    @app.command()
    def backup(
        file: ArchiveArgument,
        config: ConfigOption = None,
        media: Annotated[bool, typer.Option("--media", help="Also all files of messages.")] = False,
        force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
    ) -> None:
        """The whole store in one file, beside a running bridge too. It holds the saved login: a secret."""
        write_backup(load(config), os.environ, file, media=media, force=force)

    @app.command()
    def restore(
        file: ArchiveArgument,
        config: ConfigOption = None,
        force: Annotated[
            bool, typer.Option("--force", help="Put the store that is there aside for it.")
        ] = False,
    ) -> None:
        """A backup becomes the store. The bridge must not run."""
        restore_backup(load(config), os.environ, file, force=force)

    @app.command()
    def purge(
        account: Annotated[str, typer.Argument(help="An account that is no longer in the configuration.")],
        config: ConfigOption = None,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
        no_broker: Annotated[
            bool, typer.Option("--no-broker", help="Only what is in the store; the broker is gone, say.")
        ] = False,
    ) -> None:
        """Take a removed account away: retained topics, discovery, broker session, rows, login, media."""
        from wx2mqtt.app.application import RunEnvironment  # noqa: PLC0415
        from wx2mqtt.app.systemd import SystemdNotifier  # noqa: PLC0415
        from wx2mqtt.cli.purge import purge as take_away  # noqa: PLC0415

        around = RunEnvironment(env=os.environ, notifier=SystemdNotifier({}))
        take_away(load(config), around, account, yes=yes, include_broker=not no_broker)
