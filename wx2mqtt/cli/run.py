"""The command `run`, and the loading of the settings for all commands.

A plain `wx2mqtt run` needs no library of the command line, which takes a tenth of the start, and 2 MB
for as long as the bridge runs.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import structlog

from wx2mqtt.app import logs
from wx2mqtt.app.application import RunEnvironment
from wx2mqtt.app.configuration import load_configuration, safeguards_line
from wx2mqtt.app.process import run
from wx2mqtt.app.systemd import SystemdNotifier
from wx2mqtt.cli.operations import EXIT_OK, EXIT_UNEXPECTED, SETUP_COMMAND, enter_store, exit_code
from wx2mqtt.cli.terminal import command_language, complain, contacts_progress, show_login
from wx2mqtt.errors import Problem, SettingsError, Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.i18n.settings import problem_text
from wx2mqtt.memory import pause_collection, tune_malloc
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.environment import ENVIRONMENT_PREFIX
from wx2mqtt.settings.loader import LoadedSettings, find_config, is_missing, load_storage_settings
from wx2mqtt.settings.schema import Settings
from wx2mqtt.wechat.registry import BACKENDS

log = structlog.get_logger(__name__)

# Each variable of the environment that configures accounts begins so.
_ACCOUNTS_VARIABLE = f"{ENVIRONMENT_PREFIX}ACCOUNTS"


def run_plain(arguments: Sequence[str]) -> int:
    """Runs the command line `run`, `run -c FILE` or `run --config FILE`, and returns its exit code."""
    config = Path(arguments[-1]) if len(arguments) > 1 else None
    language = command_language(config, os.environ)  # the user of the store may not read the file
    try:
        return run_bridge(config, explain=False)
    except Wx2MqttError as error:
        return exit_code(error, complain, language)


def run_bridge(config: Path | None, *, explain: bool) -> int:
    """Runs the bridge until it is stopped, and returns the exit code. Raises `Wx2MqttError`."""
    tune_malloc()
    with pause_collection():
        loaded = load_with_warnings(config, explain=explain, is_run=True)
        enter_store(loaded, os.environ)
    _show_safeguards(loaded.settings)

    async def bridge() -> None:
        environment = RunEnvironment(
            env=os.environ,
            notifier=SystemdNotifier(os.environ),
            on_progress=contacts_progress(loaded.settings.language),
            on_login_status=show_login,
            setup_command=setup_command(loaded, os.environ),
        )
        await run(loaded, environment)

    try:
        asyncio.run(bridge())
    except Wx2MqttError:
        raise
    except Exception:  # through the log, which redacts: a traceback may quote a request
        log.critical("the bridge failed", exc_info=True)
        return EXIT_UNEXPECTED
    return EXIT_OK


def _show_safeguards(settings: Settings) -> None:
    """Says which account has no safeguard of alarms: to a person at a terminal, else in the log."""
    for name, account in settings.accounts.items():
        is_at_terminal = sys.stderr.isatty()
        line = safeguards_line(account, settings.language if is_at_terminal else "en")
        if line and is_at_terminal:
            complain(f"{name}: {line}")
        elif line:
            log.info(line, account=name)


def setup_command(loaded: LoadedSettings, env: Mapping[str, str]) -> str:
    """Returns the command that the page names where there is no configuration.

    It is empty with a file, and where the environment chooses a broker or configures accounts.
    """
    is_default = loaded.path is None and loaded.settings.mqtt.url == (EMBEDDED,)
    has_accounts = any(value and name.startswith(_ACCOUNTS_VARIABLE) for name, value in env.items())
    return SETUP_COMMAND if is_default and not has_accounts else ""


def load_settings(config: Path | None, *, is_run: bool = False) -> LoadedSettings:
    """Loads the settings and configures the log by them; raises `SettingsError`.

    The log of a command other than `run` shows warnings only: it stands among the answers at the terminal.
    """
    loaded = load_configuration(_config_path(config), os.environ)
    _configure_log(loaded.settings, level=loaded.settings.log.level if is_run else "warning")
    return loaded


def load_backup_settings(config: Path | None) -> LoadedSettings:
    """Loads what a backup needs, as `load_settings`; a secret that this user may not read does not matter."""
    loaded = load_storage_settings(_config_path(config), os.environ, BACKENDS)
    _configure_log(loaded.settings, level="warning")
    return loaded


def _config_path(config: Path | None) -> Path | None:
    """Returns the file that is named, else the one that is found. Raises `SettingsError`."""
    if config is not None and is_missing(config):
        raise SettingsError((Problem(str(config), 1, "file", "there is no such file; name another with -c"),))
    return config or find_config()


def _configure_log(settings: Settings, *, level: str) -> None:
    log_settings = settings.log
    logs.configure(
        level=level,
        format=log_settings.format,
        stream=sys.stderr,
        message_text=log_settings.message_text,
    )


def load_with_warnings(config: Path | None, *, explain: bool, is_run: bool = False) -> LoadedSettings:
    """Loads the settings as `load_settings`, and prints the warnings, also where the file has problems.

    With `explain` the problems of a file are shown on the page until it has none.
    """
    try:
        loaded = load_settings(config, is_run=is_run)
    except SettingsError as error:
        print_warnings(error.warnings, command_language(config, os.environ))
        if not explain:
            raise
        from wx2mqtt.cli.check import wait_until_usable  # noqa: PLC0415

        wait_until_usable(config or find_config(), error, complain)
        loaded = load_settings(config, is_run=is_run)
    print_warnings(loaded.warnings, loaded.settings.language)
    return loaded


def print_warnings(warnings: Iterable[Problem], language: Language) -> None:
    for warning in warnings:
        complain(bridge_text(language, "warning_line", problem=problem_text(warning, language)))
