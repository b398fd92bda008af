"""`wx2mqtt backup` and `restore`: the store as one file, and back."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from wx2mqtt.cli.offline import store_of
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.service.redaction import one_line
from wx2mqtt.settings.load import Loaded
from wx2mqtt.store import backups
from wx2mqtt.store.archive import BadBackup
from wx2mqtt.store.files import writing_whole
from wx2mqtt.words import Language, say

STREAM = Path("-")
"""Standard output and input, for containers and pipes."""


def back_up(loaded: Loaded, env: Mapping[str, str], file: Path, *, media: bool, force: bool) -> None:
    """Write the store into `file`, mode 0600, whole or not at all. Raises `Wx2MqttError`."""
    language = loaded.settings.language
    store = store_of(loaded, env)
    work = Path(tempfile.gettempdir()) if file == STREAM else file.absolute().parent
    with _in_words(language), _cleaned_up(), _written(file, language, force=force) as out:
        made = backups.back_up(store, out, work, media=media)
    accounts = ", ".join(made.head.accounts)
    _tell(
        say(language, "backup_done", file=file, accounts=accounts, messages=made.messages, media=made.media)
    )


def restore(loaded: Loaded, env: Mapping[str, str], file: Path, *, force: bool) -> None:
    """Let what is in `file` be the store. Raises `Wx2MqttError`; then nothing was changed."""
    language = loaded.settings.language
    store = store_of(loaded, env)
    with _in_words(language), _cleaned_up(), _read(file, language) as source:
        done = backups.restore(store, source, force=force)
    _tell(say(language, "restore_done", folder=store, made=done.head.made, stream=done.stream))
    if done.head.running:
        _tell(say(language, "restore_doubt"))
    if done.replaced is not None:
        _tell(say(language, "restore_aside", replaced=done.replaced))


@contextmanager
def _in_words(language: Language) -> Iterator[None]:
    try:
        yield
    except BadBackup as bad:
        raise Wx2MqttError(say(language, bad.word, **bad.facts)) from bad


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
    if file == STREAM and sys.stdout.isatty():
        raise BadBackup("backup_terminal")
    if file != STREAM and file.exists() and not force:
        raise BadBackup("backup_exists", file=file)
    try:
        if file == STREAM:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        else:
            with writing_whole(file) as out:
                yield out
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Wx2MqttError(say(language, "backup_not_written", file=file, why=why)) from error


@contextmanager
def _read(file: Path, language: Language) -> Iterator[IO[bytes]]:
    if file == STREAM:
        yield sys.stdin.buffer
        return
    try:
        source = file.open("rb")
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Wx2MqttError(say(language, "backup_not_read", file=file, why=why)) from error
    with source:
        yield source


def _tell(sentence: str) -> None:
    """Not on standard output, where the backup itself may go."""
    print(one_line(sentence), file=sys.stderr, flush=True)
