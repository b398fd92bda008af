"""Secrets that stand in files of their own: `password_file` becomes `password`.

From the command line's `-c` and the environment to `Settings`, or to every problem at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wx2mqtt.errors import Problem, SettingsError
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.environment import (
    FILE_SUFFIX,
    FROM_CREDENTIAL,
    add_credentials,
    add_environment,
    paths_of,
    secret_paths,
)
from wx2mqtt.settings.key_tree import KeyKind, locate
from wx2mqtt.settings.problems import SettingsReport, UnreadableError, is_world_readable, read_text
from wx2mqtt.settings.rules import BackendRules, rule_findings
from wx2mqtt.settings.schema import Settings
from wx2mqtt.settings.validation import validate
from wx2mqtt.settings.yaml_tree import SourcePosition, YamlTree, YamlValue, parse

MAX_SECRET_BYTES = 64 * 1024


def read_secrets(tree: YamlTree, report: SettingsReport) -> None:
    """Put the content of every secret's file into the tree."""
    for path in list(secret_paths(tree)):
        file_path = (*path[:-1], path[-1] + FILE_SUFFIX)
        named = tree.get(file_path)
        if not isinstance(named, str) or not named:
            continue
        if tree.get(path) is not None:
            both = f"is given here and in {file_path[-1]}; take one of the two away"
            report.problems.append(tree.problem(path, both))
        else:
            _read_secret_file(tree, path, file_path, Path(named), report)


def warn_of_clear_text(tree: YamlTree, file: Path, report: SettingsReport) -> None:
    """Name each secret that stands in a configuration that everybody may read."""
    if not is_world_readable(file):
        return
    advice = f"is a secret, and every user of this machine may read {file}: chmod o-r {file}"
    for path in secret_paths(tree):
        if tree.get(path) and tree.position_of(path).file == tree.file:
            report.warnings.append(tree.problem(path, advice))


def _read_secret_file(
    tree: YamlTree, path: tuple[str, ...], file_path: tuple[str, ...], file: Path, report: SettingsReport
) -> None:
    place = tree.position_of(file_path)
    try:
        tree.set(path, _content(path, file), SourcePosition(place.file, place.line, name=place.name))
    except UnreadableError as fault:
        report.problems.append(tree.problem(file_path, str(fault)))
        return
    if is_world_readable(file) and place.file != FROM_CREDENTIAL:
        advice = f"every user of this machine may read {file}: chmod o-r {file}"
        report.warnings.append(tree.problem(file_path, advice))


def _content(path: tuple[str, ...], file: Path) -> YamlValue:
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


LOCAL_CONFIG = Path("wx2mqtt.yaml")


SYSTEM_CONFIG = Path("/etc/wx2mqtt/wx2mqtt.yaml")


MAX_CONFIG_BYTES = 1_000_000  # bytes; some twenty thousand contacts


_OF_THE_PAGE = re.compile(r"(?:^|\()(?:web|language)(?:\.|\)|$)")  # a key, or a variable with its key in ( )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSettings:
    """Settings, the file that they came from (None without any), and what the owner should know."""

    settings: Settings
    path: Path | None
    warnings: tuple[Problem, ...] = ()


def find_config(cwd: Path, system: Path = SYSTEM_CONFIG) -> Path | None:
    """The file that counts when none is named: in the working folder, else the system's, else none."""
    return next((path for path in (cwd / LOCAL_CONFIG, system) if path.exists()), None)


def load(path: Path | None, env: Mapping[str, str], backends: BackendRules) -> LoadedSettings:
    """Read everything that makes the settings; raises `SettingsError` with all problems.

    Without a file: web WeChat for one account and the embedded broker, and what `env` says. Secrets are
    read from their files; relative paths count from the folder of the file that names them. `env` holds
    `WX2MQTT_…` variables and systemd's `CREDENTIALS_DIRECTORY`.
    `backends` says which keys each backend knows.
    """
    report = SettingsReport()
    settings = _gather(path, env, backends, report)
    if report.problems:
        raise SettingsError(_in_order(report.problems))
    return LoadedSettings(settings=settings, path=path, warnings=_in_order(report.warnings))


def load_web_settings(path: Path | None, env: Mapping[str, str], backends: BackendRules) -> Settings | None:
    """Settings of which only `web` and `language` count: where to show what is wrong with the rest.

    None where nothing is to be shown: `web` itself has a problem. A file that cannot be read at all leaves
    the defaults, which are on loopback.
    """
    report = SettingsReport()
    try:
        settings = _gather(path, env, backends, report)
    except SettingsError:
        settings = Settings()
    faulty = any(_OF_THE_PAGE.search(problem.key) for problem in report.problems)
    return None if faulty or not settings.web.enabled else settings


def _gather(
    path: Path | None, env: Mapping[str, str], backends: BackendRules, report: SettingsReport
) -> Settings:
    """Everything that the settings come from; what has a problem is left out of them."""
    tree = _defaults() if path is None else _read_config(path, report)
    if folder := env.get("CREDENTIALS_DIRECTORY"):
        add_credentials(tree, Path(folder))
    add_environment(tree, env, report)
    _anchor_paths(tree)
    read_secrets(tree, report)
    settings, faults = validate(tree)
    report.problems += faults
    for finding in rule_findings(settings, backends):
        found = report.warnings if finding.is_warning else report.problems
        found.append(tree.problem(finding.path, finding.message))
    return settings


def _defaults() -> YamlTree:
    tree = YamlTree("defaults", first_line=0)
    tree.set(("mqtt", "url"), EMBEDDED, SourcePosition("defaults", 0))
    return tree


def _read_config(path: Path, report: SettingsReport) -> YamlTree:
    try:
        text = read_text(path, MAX_CONFIG_BYTES)
    except UnreadableError as fault:
        raise SettingsError((Problem(str(path), 1, "file", str(fault)),)) from None
    tree, faults = parse(text, str(path))
    report.problems += faults
    warn_of_clear_text(tree, path, report)
    return tree


def _anchor_paths(tree: YamlTree) -> None:
    """A relative path in a file counts from the file's folder, so that the working folder does not matter."""
    for path in paths_of(tree, KeyKind.PATH, KeyKind.PATHS):
        place, value = tree.position_of(path), tree.get(path)
        base = Path(place.file).absolute().parent if place.line else Path.cwd()
        if isinstance(value, str) and value and place.tag != "bool":
            tree.replace(path, _anchored(base, value))
        elif isinstance(value, list):
            tree.replace(
                path, [_anchored(base, one) if isinstance(one, str) and one else one for one in value]
            )


def _anchored(base: Path, path: str) -> str:
    return str(base / os.path.expanduser(path))  # noqa: PTH111  # the other one raises where there is no home


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By file and line, nothing twice."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line)))
