"""`wx2mqtt restore`: makes a backup the store, in the folder or in the database."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from wx2mqtt.app.configuration import restore_rules
from wx2mqtt.cli.backup import STANDARD_STREAM, clean_up_on_signal, opened_database, translated_errors
from wx2mqtt.cli.operations import enter_store, store_path
from wx2mqtt.cli.terminal import complain
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.store import backup
from wx2mqtt.store.folder import PROGRAM_NAME, SYSTEM_FOLDER, StoreFolder, data_folder, store_parts
from wx2mqtt.store.owner import ROOT, create_for_service


def restore_backup(loaded: LoadedSettings, env: Mapping[str, str], file: Path, *, force: bool) -> None:
    """Replaces the store with the one in `file`. Raises `Wx2MqttError`; then nothing was changed."""
    language = loaded.settings.language
    _refuse_data_folder_of_root(loaded, env)
    with translated_errors(language), clean_up_on_signal(), _open_for_reading(file, language) as source:
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
    complain(bridge_text(language, done, folder=store, made=head.made, stream=summary.stream))
    if head.running:
        complain(bridge_text(language, "restore_doubt"))
    if summary.dropped:
        complain(bridge_text(language, "restore_dropped", count=summary.dropped))
    if summary.replaced is not None:
        complain(bridge_text(language, "restore_aside", replaced=summary.replaced))
    if os.geteuid() == ROOT and loaded.settings.storage.url is None:
        complain(bridge_text(language, "restore_root", folder=store))


def _refuse_data_folder_of_root(loaded: LoadedSettings, env: Mapping[str, str]) -> None:
    """Raises `Wx2MqttError` where root would begin a store that no service of this machine finds."""
    store = store_path(loaded, env)
    is_chosen = loaded.settings.storage.path is not None or store != data_folder(env)
    if os.geteuid() == ROOT and not is_chosen and not store_parts(store):
        raise Wx2MqttError(bridge_text(loaded.settings.language, "restore_whose", folder=store))


async def _restore_database(
    loaded: LoadedSettings, store: Path, source: IO[bytes], *, force: bool
) -> backup.RestoreSummary:
    from wx2mqtt.store.database_backup import restore_database  # noqa: PLC0415 - needs psycopg

    folder = StoreFolder.open(store)
    try:
        async with opened_database(loaded) as (database, logins):
            rules = restore_rules(loaded.settings)
            return await restore_database(database, logins, store, source, force=force, rules=rules)
    finally:
        folder.close()


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
