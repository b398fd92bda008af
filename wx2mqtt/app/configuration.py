"""Loads the configuration of a bridge, chooses the backend where no file does, and says what is off.

A run without a file goes on with the backend whose login its store has, so that an update changes nobody's
backend; a new one begins with iLink. What a file leaves out has the default of the schema.

`ilink.remind`, `ilink.renew` and `fallback` help alarms while WeChat takes no message, and all are off by
default. Whatever finishes a set-up says in one line what that means: setup, `wx2mqtt login`, the start of the
bridge, the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from wx2mqtt.errors import StoreError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.settings.loader import LoadedSettings, load, load_valid_settings
from wx2mqtt.settings.schema import DEFAULT_ACCOUNT, Account, BackendName, Settings
from wx2mqtt.store.folder import SESSIONS_FOLDER, resolve_store_path
from wx2mqtt.store.owner import run_as_owner
from wx2mqtt.store.saved_logins import read_saved_login
from wx2mqtt.wechat.registry import BACKENDS, backend_entry


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
    storage = load_valid_settings(None, env, BACKENDS).settings.storage
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


def missing_safeguards(account: Account) -> str:
    """Returns the key of the line about an account that has none of them; empty if it has one."""
    if account.fallback.urls:
        return ""
    if not backend_entry(account.backend).has_reply_window:
        return "no_fallback"
    ilink = account.ilink
    is_guarded = ilink.remind.before is not None or ilink.renew.after is not None
    return "" if is_guarded else "no_safeguards"


def safeguards_line(account: Account, language: Language) -> str:
    """Returns what it means that the account has none of them; empty if it has one."""
    message_key = missing_safeguards(account)
    return bridge_text(language, message_key) if message_key else ""
