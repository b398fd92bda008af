"""Loads the configuration of a bridge, and chooses the backend where no file does.

A run without a file goes on with the backend whose login its store has, so that an update changes nobody's
backend; a new one begins with iLink. What a file leaves out has the default of the schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from wx2mqtt.errors import StoreError
from wx2mqtt.settings.loader import LoadedSettings, load, load_storage_settings
from wx2mqtt.settings.schema import DEFAULT_ACCOUNT, BackendName, Settings
from wx2mqtt.store.folder import SESSIONS_FOLDER, resolve_store_path
from wx2mqtt.store.owner_process import run_as_owner
from wx2mqtt.store.saved_logins import read_saved_login
from wx2mqtt.wechat.registry import BACKENDS


def load_configuration(
    path: Path | None, env: Mapping[str, str], current: Settings | None = None
) -> LoadedSettings:
    """As `settings.loader.load`; without a file the backend is that of `current`, else of the saved login.

    `current` are the settings of the running bridge at a reload. Raises `SettingsError`.
    """
    if path is not None:
        return load(path, env, BACKENDS)
    if current is not None:
        return load(
            None, env, BACKENDS, {name: account.backend for name, account in current.accounts.items()}
        )
    saved_backend = _backend_of_saved_login(env)
    return load(None, env, BACKENDS, {} if saved_backend is None else {DEFAULT_ACCOUNT: saved_backend})


def _backend_of_saved_login(env: Mapping[str, str]) -> BackendName | None:
    """Returns the backend whose login the store has for the account of a run without a file, or None."""
    storage = load_storage_settings(env, BACKENDS)
    folder, _ = resolve_store_path(storage.path, env)
    names: tuple[BackendName, ...] = get_args(BackendName)

    def read_backend() -> str | None:
        saved_login = read_saved_login(folder / SESSIONS_FOLDER, DEFAULT_ACCOUNT)
        return next((name for name in names if BACKENDS[name].is_saved_login(saved_login)), None)

    try:  # root stays root: the command may still have to open its own files
        saved_backend = run_as_owner(folder, read_backend, lambda _: 1)
    except (StoreError, SystemExit):  # opening the store says why
        return None
    return next((name for name in names if name == saved_backend), None)
