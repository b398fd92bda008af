"""Shared by the commands: exit codes, and requests to the running bridge.

Containers run `wx2mqtt healthcheck` every few seconds, so this file must load little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from wx2mqtt.app import control_socket
from wx2mqtt.app.application import RunEnvironment, open_application
from wx2mqtt.app.stores import open_database
from wx2mqtt.bridge.health import operational_problems
from wx2mqtt.errors import SettingsError, StoreError, StoreTooNew, WrongStoreKey, Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.settings import problem_text, sentence_text
from wx2mqtt.model import Json
from wx2mqtt.mqtt.embedded import PortInUse
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.store.folder import may_be_folder, resolve_store_path
from wx2mqtt.store.folder_owner import become_owner
from wx2mqtt.store.operation_queue import OperationAnswer, OperationQueue
from wx2mqtt.web.options import CannotListen

# Operations that no other instance is asked for: they concern accounts that no instance runs, or the bridge
# on this machine.
STORE_OPERATIONS = frozenset({"purge.look", "purge", "cluster.drain", "cluster.undrain"})

EXIT_OK = 0
EXIT_UNEXPECTED = 1
EXIT_USAGE = 2
EXIT_TEMPORARY = 75  # a port is in use, or the store is locked or full: try again later
EXIT_CONFIGURATION = 78  # the configuration is wrong: systemd must not start the bridge again

# The command that the page names where there is no configuration file.
SETUP_COMMAND = "wx2mqtt setup"


def exit_code(error: Wx2MqttError, write_line: Callable[[str], None], language: Language) -> int:
    """Writes an error as one line, or as one line for each problem of a file; returns the exit code."""
    match error:
        case SettingsError(problems=problems):
            for problem in problems:
                write_line(problem_text(problem, language))
            return EXIT_CONFIGURATION
        case StoreTooNew() | WrongStoreKey():
            code = EXIT_CONFIGURATION
        case StoreError() | PortInUse() | CannotListen():
            code = EXIT_TEMPORARY
        case _:
            code = EXIT_UNEXPECTED
    write_line(sentence_text(str(error), language))
    return code


def store_path(loaded: LoadedSettings, env: Mapping[str, str]) -> Path:
    """Returns the folder of the store: `storage.path`, or the default for this environment."""
    return resolve_store_path(loaded.settings.storage.path, env)[0]


def enter_store(loaded: LoadedSettings, env: Mapping[str, str]) -> Path:
    """Returns the folder of the store, before anything in it is touched.

    A command of root becomes the owner of the store here: after that it can open only what this user can
    open. Raises `StoreError`.
    """
    folder = store_path(loaded, env)
    become_owner(folder)
    return folder


async def run_operation(
    loaded: LoadedSettings, environment: RunEnvironment, operation: str, fields: Mapping[str, Json]
) -> Json:
    """Lets the running bridge do one operation; without one, does it on the store. Raises `Wx2MqttError`."""
    folder = enter_store(loaded, environment.env)
    try:
        return await control_socket.ask_bridge(folder, operation, fields)
    except control_socket.BridgeNotRunning:
        if not may_be_folder(folder) and loaded.settings.storage.url is None:
            raise Wx2MqttError(f"There is no store at {folder} yet; start the bridge once.") from None
    if operation not in STORE_OPERATIONS:
        answer = await ask_other_instance(loaded, operation, fields)
        if answer is not None:
            return answer.value
    async with open_application(loaded, environment, serve=False) as app:
        return await app.operations.run(operation, fields)


async def ask_other_instance(
    loaded: LoadedSettings, operation: str, fields: Mapping[str, Json]
) -> OperationAnswer | None:
    """Returns the answer of the instance that runs the account; None if there is none."""
    if loaded.settings.storage.url is None:
        return None
    account = str(fields.get("account") or next(iter(loaded.settings.accounts)))
    database = await open_database(loaded)
    try:
        if not await database.other_sessions():
            return None
        return await OperationQueue(database).ask(account, operation, fields)
    finally:
        await database.close()


async def health_report(
    loaded: LoadedSettings, env: Mapping[str, str], *, live: bool, account: str
) -> tuple[bool, str]:
    """Returns whether one account is well, or all if `account` is empty, and what is wrong.

    With `live` only problems count that a restart can solve; a database that is away is none of them. Raises
    `BridgeNotRunning`.
    """
    problems: list[str] = []
    try:
        folder = enter_store(loaded, env)
        answer = await control_socket.ask_bridge(folder, "accounts")
        if isinstance(answer, dict):  # the database is away, and no account runs
            return live, str(answer["outage"])
        running = answer if isinstance(answer, list) else []
        for name in [account] if account else running:
            health = await control_socket.ask_bridge(folder, "health", {"account": name})
            if not isinstance(health, dict):
                problems.append("the bridge does not report its health")
                continue
            reported = health["stuck"] if live else health["problems"]
            operational = operational_problems(map(str, reported)) if isinstance(reported, list) else ()
            problems += [f"{health['account']}: {problem}" for problem in operational]
    except control_socket.BridgeNotRunning:
        raise
    except (Wx2MqttError, OSError, ValueError) as error:
        return False, str(error)
    return not problems, "; ".join(problems)
