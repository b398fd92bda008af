"""Builds `Settings` from the configuration file, systemd's credentials, the environment and secret files.

    1. `yaml_tree.parse` reads the file into a tree of texts; each value knows its line
    2. `environment` sets the values of credentials and of variables in it, which take precedence
    3. relative paths are made absolute, and the content of each `…_file` becomes the secret itself
    4. `validate` makes `Settings` of the tree; a value that has a problem is left out
    5. `rule_findings` compares the values that are left with each other

No step stops at a problem: `load` reports all of them at once, each with its file and line.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from wx2mqtt.errors import Problem, SettingsError
from wx2mqtt.limits import MAX_CONFIG_BYTES, MAX_SECRET_BYTES
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.environment import (
    FILE_SUFFIX,
    FROM_CREDENTIAL,
    add_credentials,
    add_environment,
    paths_of,
    secret_paths,
)
from wx2mqtt.settings.key_tree import KeyKind, KeyPath, locate
from wx2mqtt.settings.problems import (
    SettingsFinding,
    SettingsReport,
    UnreadableError,
    is_world_readable,
    read_text,
)
from wx2mqtt.settings.rules import BackendRules, rule_findings
from wx2mqtt.settings.schema import (
    DEFAULT_ACCOUNT,
    FIRST_BACKEND,
    BackendName,
    Settings,
)
from wx2mqtt.settings.validation import validate
from wx2mqtt.settings.yaml_tree import SourcePosition, YamlTree, YamlValue, key_text, parse
from wx2mqtt.values import frozen

LOCAL_CONFIG = Path("wx2mqtt.yaml")
SYSTEM_CONFIG = Path("/etc/wx2mqtt/wx2mqtt.yaml")

# Where the values of a run without a file come from.
_DEFAULTS_SOURCE = SourcePosition("defaults", 0)

_NO_BACKENDS: Mapping[str, BackendName] = MappingProxyType({})

# The path of a problem that concerns the file as a whole, such as a syntax error.
_WHOLE_FILE: KeyPath = ()

# Sections without which the page cannot show the problems of the others.
_PAGE_SECTIONS = frozenset({"web", "language"})


@frozen
class LoadedSettings:
    """Settings, the file that they came from (None without a file), and warnings for the owner."""

    settings: Settings
    path: Path | None
    warnings: tuple[Problem, ...] = ()


def find_config(cwd: Path, system: Path = SYSTEM_CONFIG) -> Path | None:
    """Returns the file to use when none is named: the one in `cwd`, else the system's, else None."""
    return next((path for path in (cwd / LOCAL_CONFIG, system) if path.exists()), None)


def load(
    path: Path | None,
    env: Mapping[str, str],
    backends: BackendRules,
    usual_backends: Mapping[str, BackendName] = _NO_BACKENDS,
) -> LoadedSettings:
    """Reads all sources of the settings; raises `SettingsError` with all problems and warnings.

    Without a file: one account, the embedded broker, and the keys that `env` sets; an account whose backend
    `env` does not name has that of `usual_backends`, else iLink. Secrets are read from their files; relative
    paths count from the folder of the file that names them. `env` holds `WX2MQTT_…` variables and systemd's
    `CREDENTIALS_DIRECTORY`. `backends` says which keys each backend has.
    """
    report = SettingsReport()
    settings = _gather(path, env, backends, report, usual_backends)
    warnings = _in_order(report.warnings)
    if report.problems:
        raise SettingsError(_in_order(report.problems), warnings)
    return LoadedSettings(settings=settings, path=path, warnings=warnings)


def load_web_settings(path: Path | None, env: Mapping[str, str], backends: BackendRules) -> Settings | None:
    """Returns settings for the page that shows the problems of the file; only `web` and `language` are used.

    None if no page can be shown: `web` or `language` has a problem itself, or the page is disabled. A file
    that cannot be read at all gives the defaults, which listen on loopback.
    """
    settings, report = _gather_usable(path, env, backends)
    is_page_faulty = any(problem.path and problem.path[0] in _PAGE_SECTIONS for problem in report.problems)
    return None if is_page_faulty or not settings.web.enabled else settings


def load_valid_settings(path: Path | None, env: Mapping[str, str], backends: BackendRules) -> LoadedSettings:
    """Returns the settings without the values that have a problem; the defaults for an unreadable file.

    For what only asks a running bridge, which may have refused this file.
    """
    settings, _ = _gather_usable(path, env, backends)
    return LoadedSettings(settings=settings, path=path)


def _gather_usable(
    path: Path | None, env: Mapping[str, str], backends: BackendRules
) -> tuple[Settings, SettingsReport]:
    """Merges all sources; the defaults for a file that cannot be read at all."""
    report = SettingsReport()
    try:
        return _gather(path, env, backends, report), report
    except SettingsError:
        return Settings(), report


def _gather(
    path: Path | None,
    env: Mapping[str, str],
    backends: BackendRules,
    report: SettingsReport,
    usual_backends: Mapping[str, BackendName] = _NO_BACKENDS,
) -> Settings:
    """Merges all sources; values that have a problem are left out, so that the rest can be checked too."""
    if path is None:
        tree = YamlTree(_DEFAULTS_SOURCE.file, first_line=0)
        tree.set(("mqtt", "url"), EMBEDDED, _DEFAULTS_SOURCE)
    else:
        tree = _read_config(path, report)
    if folder := env.get("CREDENTIALS_DIRECTORY"):
        add_credentials(tree, Path(folder))
    add_environment(tree, env, report)
    if path is None:
        _add_default_backends(tree, usual_backends)
    _anchor_paths(tree)
    _read_secrets(tree, report)
    settings, problems = validate(tree)
    report.problems += problems
    incomplete = {_section_of(problem.path) for problem in report.problems if problem.path is not None}
    for finding in rule_findings(settings, backends):
        problem = tree.problem(finding.path, finding.message)
        if not finding.is_warning:
            report.problems.append(problem)
        elif _is_certain(finding, incomplete):
            report.warnings.append(problem)
    return settings


def _is_certain(finding: SettingsFinding, incomplete: set[KeyPath]) -> bool:
    """Whether no value was left out that the rule may have needed.

    `incomplete` are the sections from which values were left out. A warning about the rest of such a section
    can be wrong ("no mqtt.url is mqtts", where that URL has a problem).
    """
    section = _section_of(finding.path)
    if section == ("homeassistant",) and any(other[:1] == ("accounts",) for other in incomplete):
        return False  # its rules look up the accounts
    return incomplete.isdisjoint({_WHOLE_FILE, section})


def _section_of(path: KeyPath) -> KeyPath:
    """Returns the section of a key: the first name of its path, for an account with the account's name."""
    return path[:2] if path[:1] == ("accounts",) else path[:1]


def _add_default_backends(tree: YamlTree, usual_backends: Mapping[str, BackendName]) -> None:
    """Names the backend of each account that has none, for a run without a file."""
    accounts = tree.get(("accounts",)) or {DEFAULT_ACCOUNT: {}}
    if not isinstance(accounts, dict):
        return  # `validate` reports it
    for name, account in list(accounts.items()):
        if isinstance(account, dict) and account.get("backend") is None:
            backend = usual_backends.get(name, FIRST_BACKEND)
            tree.set(("accounts", name, "backend"), backend, _DEFAULTS_SOURCE)


def _read_config(path: Path, report: SettingsReport) -> YamlTree:
    try:
        text = read_text(path, MAX_CONFIG_BYTES)
    except UnreadableError as error:
        raise SettingsError((Problem(str(path), 1, key_text(_WHOLE_FILE), str(error)),)) from None
    tree, problems = parse(text, str(path))
    report.problems += problems
    _warn_of_readable_secrets(tree, path, report)
    return tree


def _anchor_paths(tree: YamlTree) -> None:
    """Makes the paths of a file absolute from the file's folder: the working folder must not matter."""
    for path in paths_of(tree, KeyKind.PATH, KeyKind.PATHS):
        position, value = tree.position_of(path), tree.get(path)
        base = Path(position.file).absolute().parent if position.line else Path.cwd()
        if isinstance(value, list):
            tree.replace(path, [_anchored(base, item) for item in value])
        elif isinstance(value, str) and position.tag != "bool":
            tree.replace(path, _anchored(base, value))


def _anchored(base: Path, path: YamlValue) -> YamlValue:
    """Returns the absolute path; anything but a text that is not empty stays, for `validate` to judge."""
    if not isinstance(path, str) or not path:
        return path
    return str(base / os.path.expanduser(path))  # noqa: PTH111  # Path.expanduser raises without a home folder


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Returns the problems by file and line, without duplicates."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line)))


# secrets


def _read_secrets(tree: YamlTree, report: SettingsReport) -> None:
    """Reads each file that holds a secret: `password_file` becomes `password`."""
    for path in list(secret_paths(tree)):
        file_path = (*path[:-1], path[-1] + FILE_SUFFIX)
        file_name = tree.get(file_path)
        if not isinstance(file_name, str) or not file_name:
            continue
        if tree.get(path) is not None:
            message = f"is given here and in {file_path[-1]}; remove one of the two"
            report.problems.append(tree.problem(path, message))
            continue
        file, position = Path(file_name), tree.position_of(file_path)
        try:
            secret = _secret_in(path, file)
        except UnreadableError as error:
            report.problems.append(tree.problem(file_path, str(error)))
            continue
        tree.set(path, secret, SourcePosition(position.file, position.line, name=position.name))
        if is_world_readable(file) and position.file != FROM_CREDENTIAL:
            advice = f"every user of this machine may read {file}: chmod o-r {shlex.quote(file_name)}"
            report.warnings.append(tree.problem(file_path, advice))


def _secret_in(path: tuple[str, ...], file: Path) -> YamlValue:
    """Returns the content of a secret's file: the text without its line end, or a list of lines."""
    text = read_text(file, MAX_SECRET_BYTES)
    key = locate(path)
    if key is not None and key.kind is KeyKind.SECRETS:
        lines: list[YamlValue] = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            raise UnreadableError(f"{file} is empty; write one URL a line into it")
        return lines
    secret = text.rstrip("\r\n")
    if not secret.strip():
        raise UnreadableError(f"{file} is empty; write the secret into it")
    return secret


def _warn_of_readable_secrets(tree: YamlTree, file: Path, report: SettingsReport) -> None:
    """Adds a warning for each secret in a configuration file that every user of the machine may read."""
    if not is_world_readable(file):
        return
    quoted = shlex.quote(str(file))
    advice = f"is a secret, and every user of this machine may read {file}: chmod o-r {quoted}"
    for path in secret_paths(tree):
        if tree.get(path) and tree.position_of(path).file == tree.file:
            report.warnings.append(tree.problem(path, advice))
